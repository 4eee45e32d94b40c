"""The commands of deals: drafting one in words, accepting by an owner's own rules, sharing pay."""
