"""Files of this machine: those that a user names, and private ones."""
