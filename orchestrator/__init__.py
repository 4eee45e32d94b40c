"""Tallystick: pays autonomous agents for outcomes that a log can prove."""
