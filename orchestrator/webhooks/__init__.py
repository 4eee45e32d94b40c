"""Webhooks: what the log says, sent to URLs of accounts, signed and tried again."""
