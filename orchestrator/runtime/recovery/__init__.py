"""Recovery of the log's database: what the chain knows of it, and making it anew."""
