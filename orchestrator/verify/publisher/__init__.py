"""The log as the chain knows it: who has registered it, and who signs for it."""
