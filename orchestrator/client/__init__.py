"""Clients of the public API: HTTP, accounts that sign in with a wallet, a log as served."""
