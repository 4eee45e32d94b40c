"""The state of a running deployment, for those who run it: its journal, its pulses, its numbers."""
