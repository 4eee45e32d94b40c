"""The log's answers to requests, and a stranger's replay of them."""
