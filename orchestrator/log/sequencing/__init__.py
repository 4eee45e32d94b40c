"""The sequencer: the one writer, which turns requests into entries batch by batch."""
