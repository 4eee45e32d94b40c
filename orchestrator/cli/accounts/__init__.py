"""The commands of accounts: what a wallet does at a server besides its contracts."""
