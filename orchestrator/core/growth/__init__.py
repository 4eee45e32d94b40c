"""A history as a growth lead asks about it: what moved leads, what it cost, what it brought."""
