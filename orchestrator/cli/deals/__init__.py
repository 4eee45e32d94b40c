"""The commands of deals: drafting one in words, and accepting by an owner's own rules."""
