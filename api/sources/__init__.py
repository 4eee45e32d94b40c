"""The doors for events of other systems, as these send them."""
