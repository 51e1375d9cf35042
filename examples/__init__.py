"""Integrations to read first, and the demo that runs one of them."""
