"""Commands about the database of a log: checking it, and restoring it."""
