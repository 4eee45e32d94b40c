"""The command that backtests a history, and how it shows what came of it."""
