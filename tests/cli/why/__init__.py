"""Tests of the command that answers why."""
