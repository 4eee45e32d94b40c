"""The inbox: each request becomes durable with its idempotency key, and waits to be decided.

A request names people only by pseudonyms and commitments. The identity behind a pseudonym, and the
bodies behind commitments, are stored in tables of their own, from which they can be erased.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from orchestrator.core.common.errors import RequestError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import BYTES_OF_ROW
from orchestrator.core.common.names import escaped, own_id
from orchestrator.core.common.units import format_ms
from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.world.codec import commitment, encode_request, json_text, request_id
from orchestrator.core.world.requests import RETRYABLE, Arrival, ProductEvent, Request
from orchestrator.core.world.rights import API, RIGHTS, Right
from orchestrator.storage.database import DatabaseError, NamedQuery, Row, Session, array
from orchestrator.storage.sql.sqlstates import ACCOUNT_FULL, NO_PLACE, OTHER_REQUEST
from orchestrator.storage.traces import trace_query

# The most requests, results or pseudonyms of one call: one statement and one transaction for all.
MAX_BULK = 1_000
# The most bytes of a body, so that a full inbox has a bounded size too.
MAX_BODY_BYTES = 65_536
# The longest key; it stands in a unique index, whose rows are bounded.
_MAX_KEY_CHARS = 255


class Submission(NamedTuple):
    """A request as an account makes it.

    `body` is the canonical form of what the account sent: the same key must come with the same
    body. A body that may have to be erased comes with a `salt` of 32 random bytes, and its request
    commits to `commitment(salt, body)`; both are kept apart, where `erase` removes them. Without a
    salt, only the body's hash is kept.
    """

    idempotency_key: str
    request: Request
    body: bytes
    salt: bytes = b""


class Result(NamedTuple):
    """The fate of a request.

    `status` is `waiting`, `done` (`entries` of them from `first_position` on) or `refused` (for the
    reason that `code` names and `message` explains).
    """

    request_id: UUID
    status: str
    first_position: int | None
    entries: int | None
    code: str | None
    message: str | None

    @property
    def is_retryable(self) -> bool:
        """Return whether the same request, sent again, is decided anew."""
        return self.code in RETRYABLE


class EventAheadError(RequestError):
    """A product event that is dated ahead of the database's clock, by `ahead_ms`."""

    def __init__(self, message: str, ahead_ms: int) -> None:
        super().__init__("event-ahead", message)
        self.ahead_ms = ahead_ms


class SurfacesBusyError(Exception):
    """Requests about several surfaces, of which another transaction has one."""


def enter(session: Session, log_id: bytes, requests: Sequence[Request]) -> None:
    """Wait for the surfaces that requests are about, to which the session then has sole access.

    Until its transaction ends, no other takes a request about them: so what it submits is received,
    decided and seen in one and the same order. Raises `RequestError` while the account has too many
    waiting, or too much stored, and `EventAheadError` if the latest event is still to come.

    This is asked before the database reads what is sent, so that little is done for what is refused
    in a flood; what it takes it counts once more.
    """
    ((row,),) = session.together(entry_query(log_id, requests))
    check_entered(row, requests)


def entry_query(log_id: bytes, requests: Sequence[Request]) -> NamedQuery:
    """Return the query by which a session enters, for `check_entered` to look at its row.

    `enter` does both; it is sent with other queries to save a round trip.
    """
    return "log.enter_inbox", _entering(log_id, requests)


def beginning(log_id: bytes, requests: Sequence[Request]) -> NamedQuery:
    """Return the query by which a transaction with a key begins and enters at once.

    What it returns stands in the session's `key`, for `check_entered`. It waits for one surface
    alone: while a transaction waited with others in hand, all who want those would wait for it.
    """
    return "log.begin_entering", _entering(log_id, requests)


def _entering(log_id: bytes, requests: Sequence[Request]) -> dict[str, object]:
    return {
        "log_id": log_id,
        "locks": array(_locks(log_id, requests)),
        "are_owners": all(right.is_surface_owners for right in _counted(requests)),
    }


def check_entered(row: Row, requests: Sequence[Request]) -> None:
    """Raise as `enter` does, by the row of its query; `SurfacesBusyError` if it has not entered."""
    if row.now_ms is None:
        raise SurfacesBusyError
    counted = _counted(requests)
    if counted:
        _check_room(row, len(counted))
    times_ms = [
        request.time_ms for request in requests if isinstance(request, ProductEvent | Arrival)
    ]
    ahead_ms = max(times_ms, default=0) - row.now_ms
    if ahead_ms > 0:
        raise EventAheadError(
            f"an event of {format_ms(max(times_ms))} cannot be received at "
            f"{format_ms(row.now_ms)}; correct its time, or send it again then",
            ahead_ms,
        )


def _counted(requests: Sequence[Request]) -> list[Right]:
    """Return the rights to those requests that a limit counts.

    What the log itself asks for, as the chain or the clock says, is never refused for what others
    have waiting: there is little of it, and it is what pays.
    """
    rights = [RIGHTS[type(request)] for request in requests]
    return [right for right in rights if right.sender == API]


def _check_room(row: Row, requests: int) -> None:
    """Raise RequestError unless there is room for so many more requests of the account."""
    if row.own + requests > row.most:
        raise RequestError(
            "inbox-full",
            f"{row.own} of your requests wait, and {row.waiting} of all; now you may have "
            f"{row.most} waiting, and not {requests} more; try again later",
        )
    if row.bytes + requests * BYTES_OF_ROW > row.most_bytes:
        raise RequestError(
            "storage-limit",
            f"{row.bytes} bytes are kept of what this account has sent, and {row.most_bytes} are "
            f"the most; ask those who run this service for more",
        )


def _locks(log_id: bytes, requests: Iterable[Request]) -> set[int]:
    """Return the advisory locks of the surfaces that requests are about.

    Those about none, or about a contract, wait for no lock: the chain has their order.
    """
    surfaces = {getattr(request, "surface", None) for request in requests} - {None}
    # 64 bits, as PostgreSQL's advisory locks have; two surfaces with one lock only wait more often.
    return {
        int.from_bytes(sha256(log_id + surface).digest()[:8], signed=True)
        for surface in surfaces
        if surface is not None
    }


class Taken(NamedTuple):
    """Requests as they were taken: their ids, in order, and those of them that wait since now."""

    ids: list[UUID]
    fresh: frozenset[UUID]


def submit(
    session: Session, log_id: bytes, account: str, submissions: Sequence[Submission]
) -> Taken:
    """Enter, and take requests of `account`. It raises as both do."""
    # Written before others have to wait for the surface.
    offer = _offer(log_id, account, submissions)
    enter(session, log_id, [submission.request for submission in submissions])
    return _taken(session, log_id, offer)


def take(session: Session, log_id: bytes, account: str, submissions: Sequence[Submission]) -> Taken:
    """Take requests of `account`, for which the session speaks and has entered.

    The database stamps their receipt, and takes none if one of them is not this account's to make
    by this login (`orchestrator.core.world.rights`); they are decided in this order. A request
    whose key was used before is not taken again, unless it was refused for a reason that time
    changes. Raises `RequestError`, and takes none, if a body differs from its key's first, or a
    value is out of bounds; `inbox-full` while the account has its share waiting, and
    `storage-limit` if it has too much stored.
    """
    return _taken(session, log_id, _offer(log_id, account, submissions))


def submit_last(session: Session, log_id: bytes, account: str, submission: Submission) -> Taken:
    """Submit one request of a key's account as `submit` does, and end the session's transaction."""
    offer = _offer(log_id, account, [submission])
    enter(session, log_id, [submission.request])
    return _taken_last(session, log_id, offer)


def take_last(session: Session, log_id: bytes, account: str, submission: Submission) -> Taken:
    """Take one request of a key's account as `take` does, and end the session's transaction.

    Nothing may be left to do in it.
    """
    return _taken_last(session, log_id, _offer(log_id, account, [submission]))


class _Offer(NamedTuple):
    """Requests as they are offered to the database: by their ids, those of one key apart.

    `rows` is the inside of an array in JSON.
    """

    ids: list[UUID]
    offered: dict[UUID, Submission]
    repeated: list[tuple[UUID, Submission]]
    rows: str


def _offer(log_id: bytes, account: str, submissions: Sequence[Submission]) -> _Offer:
    """Write requests as they are offered. Raises RequestError for a value that is out of bounds."""
    if len(submissions) > MAX_BULK:
        raise RequestError(
            "bulk-too-long", f"{len(submissions)} requests at once; at most {MAX_BULK}"
        )
    account = account.lower()  # an id is of the address, however its checksum is written
    offer = _Offer([], {}, [], "")
    for submission in submissions:
        _check_submission(submission)
        name = UUID(bytes=request_id(log_id, account, submission.idempotency_key))
        offer.ids.append(name)
        if name in offer.offered:
            offer.repeated.append((name, submission))
        else:
            offer.offered[name] = submission
    rows = ",".join(json_text(_submission_row(each)) for each in offer.offered.values())
    return offer._replace(rows=rows)


def _taken(session: Session, log_id: bytes, offer: _Offer) -> Taken:
    """Have the database take what is offered, and compare what it was given before."""
    taken = _take(session, log_id, offer.rows)
    # By request, the turn that had to have the same body; 0 where this is its first.
    turns = {row.request_id: row.turn - row.is_fresh for row in taken}
    repeated = [(name, each) for name, each in offer.offered.items() if turns[name]]
    # Only now: the statement above has waited for any other transaction that takes the same keys,
    # so what it did not take is stored, and can be compared. An error takes all of it back.
    if offer.repeated or repeated:
        _check_repeated(session, log_id, [*offer.repeated, *repeated], turns)
    return Taken(offer.ids, frozenset(row.request_id for row in taken if row.is_fresh))


def _taken_last(session: Session, log_id: bytes, offer: _Offer) -> Taken:
    """Have the database take one request that is offered, and end the transaction."""
    ((name, submission),) = offer.offered.items()
    asked = {"log_id": log_id, "retryable": list(RETRYABLE), "offered": offer.rows}
    with _refusals(submission.idempotency_key):
        (row,) = session.conclude(*trace_query(), ("log.submit_one", asked))[-1]
    return Taken(offer.ids, frozenset([name] if row.is_fresh else []))


def _take(session: Session, log_id: bytes, rows: str) -> list[Row]:
    """Have the database take requests. Raises RequestError if it finds no room for them."""
    asked = {"log_id": log_id, "retryable": list(RETRYABLE), "offered": f"[{rows}]"}
    with _refusals():
        return session.together(*trace_query(), ("log.submit", asked))[-1]


@contextmanager
def _refusals(idempotency_key: str = "") -> Iterator[None]:
    """Raise RequestError for what the database refuses to take."""
    try:
        yield
    except DatabaseError as error:
        # There was room a moment ago: another request of the account has it.
        if error.sqlstate == NO_PLACE:
            raise RequestError(
                "inbox-full", "as many of your requests wait as may now; try again later"
            ) from None
        if error.sqlstate == ACCOUNT_FULL:
            raise RequestError(
                "storage-limit",
                "with these, more is kept of what this account has sent than may be; ask those who "
                "run this service for more",
            ) from None
        if error.sqlstate == OTHER_REQUEST:
            raise _conflict(idempotency_key) from None
        raise


def _conflict(idempotency_key: str) -> RequestError:
    return RequestError(
        "idempotency-conflict",
        f"idempotency key {idempotency_key!r} was used for another request; send the same body, or "
        f"use a new key",
    )


def _check_submission(submission: Submission) -> None:
    key, request, body, salt = submission
    if not (1 <= len(key) <= _MAX_KEY_CHARS and key.isascii() and key.isprintable()):
        raise RequestError(
            "idempotency-key",
            f"an idempotency key has 1 to {_MAX_KEY_CHARS} printable ASCII characters: {key!r:.60}",
        )
    if len(body) > MAX_BODY_BYTES:
        raise RequestError(
            "body-too-long", f"a body of {len(body)} bytes; at most {MAX_BODY_BYTES} are taken"
        )
    if salt and len(salt) != len(ZERO_WORD):
        raise RequestError("salt-length", f"a salt has 32 bytes, not {len(salt)}")
    if salt and getattr(request, "commitment", None) != commitment(salt, body):
        raise RequestError("commitment-mismatch", "the request does not commit to its salted body")


def _submission_row(submission: Submission) -> dict[str, Any]:
    """Return a submission as the database takes it: one JSON object, bytes in hex.

    It makes the request's id from its own account, and a commitment from salt and body.
    """
    key, request, body, salt = submission
    kind, document = encode_request(request)
    row = {"idempotency_key": key, "kind": kind, "body": document}
    if salt:
        return row | {"salt": salt.hex(), "private": body.hex()}
    return row | {"body_hash": commitment(salt, body).hex()}


def _check_repeated(
    session: Session,
    log_id: bytes,
    repeated: Sequence[tuple[UUID, Submission]],
    turns: Mapping[UUID, int],
) -> None:
    """Raise RequestError for a body that is not the one of its key at that turn.

    A salted body is compared by the salt of that turn: a new salt makes another commitment. Once
    that salt is erased, no body is the same.
    """
    names = list({name for name, _ in repeated})
    earlier = {
        row.request_id: row
        for row in session.all(
            "log.submitted_before",
            log_id=log_id,
            request_ids=names,
            turns=array(max(turns[name], 1) for name in names),
        )
    }
    for name, submission in repeated:
        row = earlier.get(name)
        if row is None or commitment(row.salt or b"", submission.body) != row.body_hash:
            raise _conflict(submission.idempotency_key)


def results_of(session: Session, log_id: bytes, request_ids: Sequence[UUID]) -> dict[UUID, Result]:
    """Return the fates of those of these requests that are the session's account's."""
    rows = session.all("log.results", log_id=log_id, request_ids=list(request_ids[:MAX_BULK]))
    return {row.request_id: Result(*row) for row in rows}


def pseudonyms_for(
    session: Session,
    log_id: bytes,
    surface: bytes,
    external_ids: Sequence[str],
    new_pseudonyms: Sequence[bytes],
) -> dict[str, bytes]:
    """Return the pseudonyms of many identities, each offered 32 random bytes of its own.

    Raises `RequestError` for an id that is out of bounds, or if there is no such surface.
    """
    if len(external_ids) > MAX_BULK:
        raise RequestError(
            "bulk-too-long", f"{len(external_ids)} leads at once; at most {MAX_BULK}"
        )
    for external_id in external_ids:
        _check_external_id("lead", external_id)
    offered = dict(zip(external_ids, new_pseudonyms, strict=True))
    rows = session.all(
        "log.assign_pseudonyms",
        log_id=log_id,
        surface=surface,
        external_ids=list(offered),
        fresh=list(offered.values()),
    )
    # The database assigns none on a surface that is not in the log.
    if len(rows) != len(external_ids):
        raise RequestError("surface-unknown", f"surface {to_hex(surface)} has published no policy")
    return {row.external_id: row.lead for row in rows}


def own_pseudonyms_for(
    session: Session, log_id: bytes, offered: Mapping[bytes, Mapping[str, bytes]]
) -> list[list[Row]]:
    """Return the pseudonyms of a few identities as `pseudonyms_for`, in one round trip.

    `offered` has the random bytes by surface and identity. There are rows for each surface, with
    its owner in each; none if there is no such surface.
    """
    for external_id in {each for fresh in offered.values() for each in fresh}:
        _check_external_id("lead", external_id)
    return session.together(
        *(
            (
                "log.own_pseudonyms",
                {
                    "log_id": log_id,
                    "surface": surface,
                    "external_ids": list(fresh),
                    "fresh": list(fresh.values()),
                },
            )
            for surface, fresh in offered.items()
        )
    )


class OwnOrder(NamedTuple):
    """An order as the surface's owner names it: by the lead's pseudonym and an id of its own."""

    lead: bytes
    external_id: str


def order_words_for(
    session: Session,
    log_id: bytes,
    surface: bytes,
    orders: Sequence[OwnOrder],
    new_words: Sequence[bytes],
) -> dict[OwnOrder, bytes]:
    """Return the words by which the log knows orders, each offered 32 random bytes of its own.

    The session speaks for the surface's owner.
    """
    if len(orders) > MAX_BULK:
        raise RequestError("bulk-too-long", f"{len(orders)} orders at once; at most {MAX_BULK}")
    for order in orders:
        _check_external_id("order", order.external_id)
    named: dict[str, Any] = {
        "log_id": log_id,
        "surface": surface,
        "leads": [order.lead for order in orders],
        "external_ids": [order.external_id for order in orders],
    }
    # Two statements: the second sees what another transaction named while the first waited for it.
    session.run("log.name_orders", **named, fresh=list(new_words))
    rows = session.all("log.order_words", **named)
    return {OwnOrder(row.lead, row.external_id): row.order_word for row in rows}


def _check_external_id(what: str, external_id: str) -> None:
    try:
        normal = own_id(external_id)
    except ValueError as error:
        raise RequestError(f"{what}-id", f"the id of the {what} {error}") from None
    if normal != external_id:
        raise RequestError(
            f"{what}-id",
            f"the id of the {what} must be in the form NFC, unlike {escaped(external_id)}",
        )


def pseudonym_of(session: Session, log_id: bytes, surface: bytes, external_id: str) -> bytes | None:
    """Return the pseudonym of a lead, or None; the session speaks for the surface's owner."""
    row = session.one("log.identity", log_id=log_id, surface=surface, external_id=external_id)
    return None if row is None else row.lead


def forget_waiting(session: Session, log_id: bytes, surface: bytes, ref: str) -> bytes | None:
    """Return the lead that waited by a code alone, which waits no more; None if there was none.

    The session speaks for the surface's owner.
    """
    row = session.one("log.forget_waiting", log_id=log_id, surface=surface, name=ref)
    return None if row is None else row.lead


def erase(session: Session, log_id: bytes, surface: bytes, lead: bytes) -> int:
    """Remove the identity of a lead and the bodies about it. Return how many rows were removed.

    The session speaks for the surface's owner. Entries stay, and stay provable: without the salt,
    no body can be shown to be the one that an entry commits to.
    """
    which = {"log_id": log_id, "surface": surface, "lead": lead}
    queries = (
        "log.erase_payloads",
        "log.erase_results",
        "log.erase_orders",
        "log.erase_identities",
    )
    return sum(session.run(query, **which) for query in queries)
