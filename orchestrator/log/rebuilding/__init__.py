"""The making anew of what the database keeps of a log, from its entries."""
