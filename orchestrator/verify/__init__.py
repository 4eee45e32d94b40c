"""The checks of a stranger: a replay, payments counted again, receipts, a copy of the log."""
