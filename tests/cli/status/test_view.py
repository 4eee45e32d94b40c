"""The screen of `tallystick status`."""

from orchestrator.cli.status.view import lines_of

FOUND = {
    "now_ms": 0,
    "size": 12,
    "waiting": 3,
    "figures": {"block": 7, "balance_wei": 1_234_567 * 10**12},
    "parts": [
        {"part": "database", "is_well": True, "detail": "answers"},
        {"part": "sequencer", "is_well": False, "detail": "silent"},
    ],
}


def test_a_screen_has_a_line_for_each_part_and_the_numbers() -> None:
    assert list(lines_of(FOUND, "http://here")) == [
        ("tallystick at http://here, 1970-01-01T00:00:00.000Z", "bold"),
        ("  ok  database   answers", "green"),
        ("  no  sequencer  silent", "red"),
        ("  log 12 entries, 3 requests wait", ""),
        ("  chain at block 7", ""),
        ("  relayer has 1.2345 of the chain's coin", ""),
    ]


def test_what_is_unknown_is_left_out() -> None:
    nothing = FOUND | {"now_ms": None, "size": None, "waiting": None, "figures": {}, "parts": []}
    assert list(lines_of(nothing, "http://here")) == [("tallystick at http://here", "bold")]


def test_little_is_shown_as_little() -> None:
    poor = FOUND | {"figures": {"balance_wei": 10**13}}
    assert list(lines_of(poor, "x"))[-1][0] == "  relayer has 0.0000 of the chain's coin"
