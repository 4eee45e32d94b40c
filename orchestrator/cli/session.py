"""Where a person's wish becomes a transaction: the right escrow, the right key, a price, a yes.

A contract's id is a digest that binds its chain and its escrow, so a server that names another
deployment cannot make a command speak of another contract.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import typer
from rich.console import Console

from orchestrator.actions.contract_state import ContractState, read_contract_state
from orchestrator.actions.escrow import Consent, describe_closing
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.deployment import Chain, find_deployment
from orchestrator.chain.wallet import Quote, Sender, Sent, format_ether, quote
from orchestrator.client.http import Client
from orchestrator.client.log_server import served_deployment
from orchestrator.core.entry import ZERO_ADDRESS
from orchestrator.core.errors import (
    ChainError,
    EscrowError,
    InputError,
)
from orchestrator.core.terms import address_of, close_digest, sign_digest
from orchestrator.core.units import DAY_S, format_second
from orchestrator.storage import files
from orchestrator.verify.log_copy import LogCopy, pages_of

MAX_CLOCK_S = 900  # how far a node's block may be from our own clock where its time is signed
# One transaction's own failure; after any other the next would fail as well, or come too soon.
_OWN_FAILURES = ("would-revert", "gas-too-much", "call-reverted")


class Endpoints(NamedTuple):
    """A node, a server of the log, and the escrow; None: where the server says."""

    rpc_url: str
    api: str
    escrow: str | None = None


class RunOptions(NamedTuple):
    """How a command is run. `key_file` is None only where nothing is signed."""

    key_file: Path | None
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False


class CommandSession:
    """A deployment, found and checked, and a server of its log. Use it with `with`.

    Where the escrow is named, the server is asked only for the log.
    """

    def __init__(self, where: Endpoints) -> None:
        self._exits = ExitStack()
        try:
            self._client = self._exits.enter_context(Client(where.api))
            if where.escrow is None:
                deployment, _ = served_deployment(self._client)
            else:
                deployment = find_deployment(where.rpc_url, where.escrow)
            self.chain = self._exits.enter_context(Chain(where.rpc_url, deployment))
            self.chain.check()
        except BaseException:
            self._exits.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def client(self) -> Client:
        """The server of the log."""
        return self._client

    def beside(self, name: str, named: str | None) -> str:
        """Where the contract of this name is that goes with the deployment: as named, or served."""
        at: str | None = named or getattr(self.chain.addresses, name)
        if at is None:
            raise InputError(f"{name}-unknown", f"name the contract: give --{name} ADDRESS")
        return at

    def read(self, contract_id: bytes) -> ContractState:
        """How this contract stands in the latest block."""
        return read_contract_state(self.chain, contract_id)

    @contextmanager
    def casebook(self, found: ContractState | None = None) -> Iterator[LogCopy]:
        """The log that this contract names; without one, the server's own."""
        if found is None:
            _, log_id = served_deployment(self._client)
            asked = None
        else:
            log_id, asked = found.terms.log_id, found.contract_id
        with LogCopy(pages_of(self._client), self.chain, log_id, asked) as book:
            yield book


# --- What was given -------------------------------------------------------------------------------


def read_key(path: Path | None) -> bytes:
    """The private key in a file that only its owner may read. Raises InputError."""
    if path is None:
        raise InputError(
            "key-missing",
            "there is no key to sign with: give --key-file or set TALLYSTICK_KEY_FILE, or look "
            "with --dry-run",
        )
    return files.read_key(path)


def read_consent(path: Path) -> Consent:
    """The other party's consent in a file that `close --sign` wrote. Raises InputError."""
    try:
        return Consent.from_json(json.loads(files.read_text(path)))
    except (ValueError, RecursionError):
        raise InputError("consent-malformed", f"{path}: is not readable as JSON") from None
    except InputError as error:
        if error.code != "consent-malformed":
            raise
        raise InputError(error.code, f"{path}: {error.message}") from None


# --- Explaining, asking, sending ------------------------------------------------------------------


class Printer:
    """Tells a person on stdout, or on stderr where stdout is for one JSON document."""

    def __init__(self, how: RunOptions) -> None:
        self._how = how
        self._aside = Console(stderr=True)
        self._console = self._aside if how.as_json else Console()

    def say(self, line: str, style: str = "") -> None:
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def aside(self, line: str) -> None:
        """What goes on meanwhile, on stderr."""
        self._aside.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)

    def document(self, document: object) -> None:
        if self._how.as_json:
            typer.echo(json.dumps(document))

    def agrees(self, question: str) -> bool:
        """Whether the person says yes; no answer is no."""
        if self._how.yes:
            return True
        try:
            said = typer.confirm(question, err=True)  # stdout may go to a file
        except typer.Abort:
            said = False
        if not said:
            self.aside("nothing was signed")
        return said


def act(where: Endpoints, how: RunOptions, find: Callable[[CommandSession], Plan]) -> bool:
    """Find out what can be done, explain it, ask, and send it.

    Returns whether it was done, or only explained where no more was wanted; False if the person
    said no. What would fail is left out, and one that fails does not stop the others. Raises
    `EscrowError` if there is nothing to do, or not now, `ChainError` if not all of it was done.
    """
    key = None if how.dry_run and how.key_file is None else read_key(how.key_file)
    tell = Printer(how)
    with CommandSession(where) as desk:
        sender = None if key is None else Sender(desk.chain, key)
        brief = find(desk)
        head: dict[str, object] = {"looked": brief.lines, **brief.facts}
        for line in brief.lines:
            tell.say(line)
        if brief.obstacle is not None:
            for deed in brief.transactions:
                tell.say(f"{deed.title}: not now")
            planned = [_planned(deed) for deed in brief.transactions]
            tell.document(head | {"transactions": planned, "sent": False})
            raise brief.obstacle
        steps = [_explain(tell, desk.chain, deed, sender) for deed in brief.transactions]
        ready = [step for step in steps if step.failure is None]
        if ready and sender is not None and not how.dry_run:
            count = len(ready)
            what = "this transaction" if count == 1 else f"these {count} transactions"
            if not tell.agrees(f"Sign and send {what} from {sender.address}?"):
                return False
            steps = _send(tell, desk.chain, sender, steps)
        is_sent = any(step.sent for step in steps)
        planned = [_planned(*step) for step in steps]
        tell.document(head | {"transactions": planned, "sent": is_sent})
        _check_all(steps, is_sent=is_sent)
        return True


class PricedTransaction(NamedTuple):
    """A deed with its price, and what became of it."""

    deed: PlannedTransaction
    price: Quote | None = None
    sent: Sent | None = None
    failure: ChainError | EscrowError | None = None


def _check_all(steps: list[PricedTransaction], *, is_sent: bool) -> None:
    """Raise ChainError for what was to be done and was not: that is no quiet hour."""
    left = [step.failure for step in steps if step.failure is not None]
    if not left or (not is_sent and len(left) < len(steps)):
        return  # all is done, or some of it can be and was only explained
    worst = next((error for error in left if isinstance(error, ChainError)), left[0])
    if len(steps) > 1:
        said = f"{len(left)} of {len(steps)} transactions were not done: {worst.message}"
        raise ChainError("not-all-done" if is_sent else worst.code, said)
    raise ChainError(worst.code, worst.message)


def _send(
    tell: Printer, chain: Chain, sender: Sender, steps: list[PricedTransaction]
) -> list[PricedTransaction]:
    """Send what can be sent, one after the other, and say of each what became of it."""
    done: list[PricedTransaction] = []
    stop: ChainError | EscrowError | None = None
    for step in steps:
        deed, price = step.deed, step.price
        if price is None or stop is not None:
            done.append(step._replace(failure=step.failure or stop))
            continue
        try:
            if any(one.sent or one.failure for one in done):
                quote(chain, sender.address, deed.call)  # time has passed: somebody may have come
            sent = sender.send(deed.call, price, tell.aside)
        except (ChainError, EscrowError) as error:
            tell.say(f"not done: {deed.title}: {error.message}", "red")
            stop = None if error.code in _OWN_FAILURES else error
            done.append(step._replace(failure=error))
            continue
        said = f"in block {sent.block_number}, with {sent.gas_used:,} gas"
        tell.say(f"done: {deed.title}, {said}", "green")
        done.append(step._replace(sent=sent))
    return done


def _explain(
    tell: Printer, chain: Chain, deed: PlannedTransaction, sender: Sender | None
) -> PricedTransaction:
    """Say what a transaction does and costs. Raises InputError if it is not this key's to send."""
    if sender is not None and deed.by and sender.address not in deed.by:
        raise InputError(
            "key-of-another",
            f"only {' or '.join(deed.by)} can {deed.title}; the key is of {sender.address}",
        )
    tell.say(deed.title, "bold")
    for line in deed.lines:
        tell.say(f"  {line}")
    tell.say(f"  who can send it: {' or '.join(deed.by) or 'anyone'}")
    by = sender.address if sender is not None else (*deed.by, ZERO_ADDRESS)[0]
    try:
        price = quote(chain, by, deed.call)
    except (ChainError, EscrowError) as error:
        if error.code not in _OWN_FAILURES:
            raise
        tell.say(f"  it cannot be sent: {error.message}", "red")
        return PricedTransaction(deed, failure=error)
    tell.say(
        f"  gas: {price.gas:,}, which costs {format_ether(price.likely_wei)} at the price of now, "
        f"at most {format_ether(price.most_wei)}; what it does not use is not paid"
    )
    return PricedTransaction(deed, price)


def _planned(
    deed: PlannedTransaction,
    price: Quote | None = None,
    sent: Sent | None = None,
    failure: ChainError | EscrowError | None = None,
) -> dict[str, object]:
    planned: dict[str, object] = {
        "title": deed.title,
        "lines": deed.lines,
        "by": deed.by,
        "to": deed.call.to,
        "data": f"0x{deed.call.data.hex()}",
        **deed.facts,
    }
    if price is not None:
        planned |= {
            "gas": price.gas,
            "likely_wei": str(price.likely_wei),
            "most_wei": str(price.most_wei),
        }
    if sent is not None:
        planned |= {**sent._asdict(), "tx_hash": f"0x{sent.tx_hash.hex()}"}
    if failure is not None:
        planned["failure"] = failure.message
    return planned


def our_clock() -> int:
    """UTC seconds by this machine."""
    return int(time.time())


def _check_clock(chain: Chain, block_s: int) -> None:
    if abs(block_s - our_clock()) > MAX_CLOCK_S:
        raise ChainError(
            "clock-differs",
            f"by {chain.node.name} it is {format_second(block_s)}, by our own clock "
            f"{format_second(our_clock())}; a false time can make a signature good for ever; ask "
            f"another node, or set the clock",
        )


def sign_consent(
    where: Endpoints, how: RunOptions, contract_id: bytes, amount: str, days: int
) -> bool:
    """Explain what ending a contract at this amount does, ask, and print a signature for it.

    Returns False if the person said no. Raises ChainError `clock-differs` for a node whose time
    would make the signature good for longer than was asked.
    """
    key = None if how.dry_run and how.key_file is None else read_key(how.key_file)
    tell = Printer(how)
    with CommandSession(where) as desk:
        found = desk.read(contract_id)
        _check_clock(desk.chain, found.now_s)
        units, expires_at_s = found.parse_amount(amount), found.now_s + days * DAY_S
        parties = (found.terms.owner, found.terms.operator)
        if key is not None and address_of(key) not in parties:
            raise InputError(
                "key-of-another",
                f"only {' or '.join(parties)} can agree to it; the key is of {address_of(key)}",
            )
        for line in describe_closing(found, units, expires_at_s):
            tell.aside(line)
        tell.aside("it happens when the other party sends this signature; it cannot be taken back")
        if key is None or how.dry_run:
            return True
        if not tell.agrees(f"Sign this as {address_of(key)}?"):
            return False
        digest = close_digest(desk.chain.escrow_domain, contract_id, units, expires_at_s)
    signature = sign_digest(digest, key)
    consent = Consent(contract_id, units, expires_at_s, address_of(key), signature)
    typer.echo(json.dumps(consent.to_json()))
    return True
