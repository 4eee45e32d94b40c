"""The screen of `tallystick status`, made from what a service tells of itself.

Its words are a stranger's, if it is not our own service that answers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core.common.units import format_ms

Line = tuple[str, str]
_WEI_DIGITS = 18
_SHOWN_DIGITS = 4


def lines_of(found: Mapping[str, Any], where: str) -> Iterator[Line]:
    """Yield the lines of the screen, each with its style."""
    now_ms, figures = found["now_ms"], found["figures"]
    yield f"tallystick at {where}{'' if now_ms is None else f', {format_ms(now_ms)}'}", "bold"
    for part in found["parts"]:
        mark, style = ("ok", "green") if part["is_well"] else ("no", "red")
        yield f"  {mark}  {part['part']:<10} {part['detail']}", style
    if now_ms is not None:
        yield f"  log {found['size']} entries, {found['waiting']} requests wait", ""
    if "block" in figures:
        yield f"  chain at block {figures['block']}", ""
    if "balance_wei" in figures:
        yield f"  relayer has {_ether(figures['balance_wei'])} of the chain's coin", ""


def _ether(wei: int) -> str:
    digits = f"{wei // 10 ** (_WEI_DIGITS - _SHOWN_DIGITS):0{_SHOWN_DIGITS + 1}}"
    return f"{digits[:-_SHOWN_DIGITS]}.{digits[-_SHOWN_DIGITS:]}"
