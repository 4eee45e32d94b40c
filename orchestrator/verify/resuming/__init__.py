"""The resuming of a replay after a restart."""
