"""The form of a log's origin, the name under which its registrant has registered it."""

# As many bytes as the event log takes; it takes any, and readers these alone.
MAX_ORIGIN_CHARS = 255
ORIGIN_RULE = f"1 to {MAX_ORIGIN_CHARS} printable ASCII characters"


def is_origin(text: object) -> bool:
    """Return whether this is an origin, which shows as it is written wherever it is shown."""
    return (
        isinstance(text, str)
        and 1 <= len(text) <= MAX_ORIGIN_CHARS
        and text.isascii()
        and text.isprintable()
    )
