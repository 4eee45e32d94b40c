"""An answer as lines for people."""

import io

from rich.console import Console

from orchestrator.cli.why.view import format_reason, print_reason
from orchestrator.core.why.reason import Code, Reason

ANSWER = Reason(
    Code.TOUCH_LOST,
    "touch 'email' won nothing",
    (7,),
    (
        Reason(Code.TOUCH_TOO_OLD, "it is too old", (7, 9)),
        Reason(Code.RIVAL_WON, "it won", (), (Reason(Code.REVERSED, "taken back", (4,)),)),
    ),
)


def test_an_answer_is_an_indented_list_with_its_entries() -> None:
    assert format_reason(ANSWER) == [
        "touch 'email' won nothing  (entry 7)",
        "- it is too old  (entries 7, 9)",
        "- it won",
        "  - taken back  (entry 4)",
    ]


def test_control_characters_and_markup_are_shown_as_they_are() -> None:
    out = io.StringIO()
    print_reason(Reason(Code.LEAD, "a \x1b[31mred\x07 [bold]lead[/]"), Console(file=out))
    assert out.getvalue() == "a ?[31mred? [bold]lead[/]\n"
