"""Answers to why: what counted, what did not, and what would change it, with the log behind it.

An answer is a small tree of reasons. It is computed from public records alone, so a service gives
the same answers as a stranger with a copy of the log.
"""
