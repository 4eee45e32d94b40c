"""The interpreter's lock, which all threads of a process share: how soon one of them gives way."""

import sys


def give_way_within(seconds: float) -> None:
    """Have a thread that computes give way to one that waits after so long, or sooner.

    It holds for the whole process. So it is only ever lowered: a second part that asks for less
    haste must not slow the first.
    """
    if seconds < sys.getswitchinterval():
        sys.setswitchinterval(seconds)
