"""The nodes that a chain is reached through: sizes, patience, refusals and fail-over."""
