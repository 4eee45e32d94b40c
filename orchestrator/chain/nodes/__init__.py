"""The nodes that a chain is reached through: sizes, patience and fail-over."""
