"""The command that shows on one screen how a running service is."""
