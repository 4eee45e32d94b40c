"""The world that the log has made so far, and what may be asked of it."""
