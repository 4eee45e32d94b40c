"""The pure core: no I/O, no clock, no randomness; the time and new ids are arguments."""
