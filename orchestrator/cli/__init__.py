"""The `tallystick` command: options, views, questions."""
