"""Accounts: who calls, with which wallet and scopes, and how they present themselves."""
