"""A deployment on a clock that we move, and the market that the demonstration lives through."""
