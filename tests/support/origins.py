"""Values that are no origin of a log, and would mostly show otherwise than they are written."""

NO_ORIGINS: list[object] = [
    *("", "x" * 256, None, 7),
    # What moves a terminal's cursor or colours, by C0 and by C1, and what ends a line.
    *("a\x1b[31mRED", "a\nthe receipt holds", "a\x9b2J", "a\x7f", "a\u2028b"),
    # What turns a line's direction, what is not seen, and what is no letter at all.
    *("a\u202egnihton", "a\u200b", "\ud800"),
    "größe.example",
]
