"""The SQL of our schema and queries, and the states of the errors that come of it."""
