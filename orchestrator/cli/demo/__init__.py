"""The report of a demonstration, as the command prints it."""
