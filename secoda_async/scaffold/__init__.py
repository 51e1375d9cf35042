"""Makes the folder of a new integration."""
