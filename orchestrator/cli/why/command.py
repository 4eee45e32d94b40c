"""`tallystick why`: what counted, what did not, and what would change it, by the public log."""

import json
import os
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from orchestrator.cli.arguments import (
    parse_address,
    parse_contract_id,
    parse_time_s,
    parse_word,
)
from orchestrator.cli.options import BY_NAME, Api, Json, KeyFile
from orchestrator.cli.why.view import print_reason
from orchestrator.core.common.errors import InputError, WhyError
from orchestrator.core.entries.kinds import Topic, kind_of
from orchestrator.core.log.entry import address_word
from orchestrator.core.why.contract import why_contract
from orchestrator.core.why.lead import why_lead, why_step
from orchestrator.core.why.level import why_level
from orchestrator.core.why.outcome import why_outcome
from orchestrator.core.why.reason import Reason
from orchestrator.core.why.source import Filter, Source, entry_at
from orchestrator.core.why.touch import why_action, why_touch

_POSITION = re.compile(r"[0-9]{1,13}")
_WORD = re.compile(r"0x[0-9a-fA-F]{64}")

Question = Callable[[Source], Reason]


def why(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT",
            help="A position in the log, a contract's id, a lead, or an operator's address.",
        ),
    ],
    surface: Annotated[
        str | None,
        typer.Option(metavar="SURFACE", help=BY_NAME),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The time to answer for; else the service's now."),
    ] = None,
    api: Api = None,
    key_file: KeyFile = None,
    json_out: Json = False,
) -> None:
    """Print why a touch, a lead, an outcome, a contract or an operator is paid, or is not."""
    # They take long to import, and a backtest does not need them.
    from orchestrator.cli.why.unopened import explain_unopened
    from orchestrator.client.http import Client
    from orchestrator.client.log_server import ServedClock, find_surface
    from orchestrator.client.public_records import PublicRecords
    from orchestrator.runtime.settings import read_settings

    named_ms = None if at is None else parse_time_s(at) * 1000
    with Client(api or read_settings(os.environ).public_url) as client:
        question = parse_question(subject, surface, partial(find_surface, client))
        # By the clock that judged what happened: it may be another than ours.
        now_ms = ServedClock(client)() if named_ms is None else named_ms
        try:
            answer = question(PublicRecords(client, now_ms))
        except WhyError as error:
            # The log knows contracts from their opening on, and their parties before.
            word = parse_contract_id(subject) if _WORD.fullmatch(subject) else b""
            answer = explain_unopened(error, key_file, api, word)
    if json_out:
        typer.echo(json.dumps(answer.to_json()))
    else:
        print_reason(answer, Console())


def parse_question(
    subject: str, surface: str | None, surface_of: Callable[[str], str] = str
) -> Question:
    """Return the question that a subject stands for. Raises InputError if it stands for none.

    `surface_of` finds the id of a surface that is named.
    """
    if _POSITION.fullmatch(subject):
        return lambda source: _why_entry(source, int(subject))
    if _WORD.fullmatch(subject):
        word = parse_contract_id(subject)
        return lambda source: _why_word(source, word)
    if not subject.startswith("0x"):
        raise InputError(
            "subject-malformed",
            f"{subject!r} is no position, no id of a contract or lead, and no address",
        )
    operator = address_word(parse_address(subject))
    if surface is None:
        raise InputError("surface-missing", "name the surface that the operator acts on: --surface")
    word = parse_word(surface_of(surface), "surface")
    return lambda source: why_level(source, word, operator)


_BY_POSITION: dict[Topic, Callable[[Source, int], Reason]] = {
    Topic.TOUCH: why_touch,
    Topic.ACTION: why_action,
    Topic.OUTCOME: why_outcome,
    Topic.STEP: why_step,
}


def _why_entry(source: Source, position: int) -> Reason:
    """Return the answer about the entry at a position, by its kind. Raises WhyError."""
    entry = entry_at(source, position).entry
    topic = kind_of(entry).topic
    if topic in _BY_POSITION:
        return _BY_POSITION[topic](source, position)
    match topic:
        case Topic.LEAD:
            return why_lead(source, entry.surface, entry.subject)
        case Topic.CONTRACT:
            return why_contract(source, entry.subject)
        case Topic.LEVEL:
            return why_level(source, entry.surface, entry.subject)
    raise WhyError(
        "no-answer", f"entry {position} is of kind {entry.kind}, of which nothing is asked"
    )


def _why_word(source: Source, word: bytes) -> Reason:
    """Return the answer about a contract or a lead. Raises WhyError for a word of neither."""
    if source.contract(word) is not None:
        return why_contract(source, word)
    for placed in source.find(Filter(subject=word, kind="lead.registered"), 1):
        return why_lead(source, placed.entry.surface, word)
    raise WhyError(
        "subject-unknown",
        f"the log knows no contract and no lead 0x{word.hex()}; of a proposal its parties may ask, "
        f"with --key-file",
    )
