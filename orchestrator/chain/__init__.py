"""The edge to the chain: reads, events, and transactions sent exactly once."""
