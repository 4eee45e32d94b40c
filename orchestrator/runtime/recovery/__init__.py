"""Recovery of the log's database: checking it, and making it anew from the public log."""
