"""PostgreSQL with all SQL, and the files that a user names."""
