"""The log: its inbox, its one writer, its tree and projections, its readers and its check."""
