"""The kinds of entries: what each does to the world, why it was written, whom it is shown to."""
