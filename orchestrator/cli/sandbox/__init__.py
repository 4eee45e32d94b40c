"""The command that runs a living market on one machine, for agents to try."""
