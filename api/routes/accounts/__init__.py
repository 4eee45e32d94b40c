"""The routes of accounts: signing in, profiles, keys, private memory, boards."""
