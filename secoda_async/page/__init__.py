"""A run as one HTML page that needs nothing else: its report, and its lineage to walk through."""
