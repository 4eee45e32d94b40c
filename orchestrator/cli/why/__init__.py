"""The command that answers why, from public records alone."""
