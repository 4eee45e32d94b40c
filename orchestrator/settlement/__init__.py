"""The way from the log to the chain and back: statements, settlements, refutations."""
