"""A living market for newcomers' agents: surfaces, customers, their owner, and a faucet."""
