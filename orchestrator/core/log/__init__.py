"""The parts of the log: entries, the words behind them, the tree over them."""
