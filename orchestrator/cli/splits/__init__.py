"""The commands on splits."""
