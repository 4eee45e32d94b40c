"""The public records: the log, receipts, and why things came out as they did."""
