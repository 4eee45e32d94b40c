"""A signing command's work: find and check the deployment, explain a plan, ask, and send it.

A contract's id is a digest that binds its chain and its escrow, so a server that names another
deployment cannot make a command speak of another contract.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import typer
from rich.console import Console

from orchestrator.actions.contract_state import ContractState, read_contract_state
from orchestrator.actions.escrow import Consent, describe_closing
from orchestrator.actions.fork import checkpoint_from_json
from orchestrator.actions.payout.split import check_agreement, describe_agreement
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.deployment import Chain, SignedCheckpoint, find_deployment
from orchestrator.chain.wallet import Quote, Sent, TransactionSender, format_ether, quote
from orchestrator.cli.output import NO_KEY, Progress, documented, printable
from orchestrator.client.http import Client
from orchestrator.client.log_server import served_deployment
from orchestrator.core.common.errors import ChainError, EscrowError, InputError, TermsError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_S, format_second
from orchestrator.core.deals.split import Agreement
from orchestrator.core.deals.terms import Terms, address_of, close_digest, sign_digest
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.core.resource import ResourceGroup
from orchestrator.storage.local import files
from orchestrator.verify.log_copy import LogCopy, pages_of

_DIGEST = re.compile(r"0x[0-9a-fA-F]{64}")
MAX_CLOCK_S = 900  # how far a node's block may be from our own clock where its time is signed
# Failures of one transaction alone. After any other the next would fail too, or come too soon.
_OWN_FAILURES = ("would-revert", "gas-too-much", "call-reverted")


T = TypeVar("T")


class Endpoints(NamedTuple):
    """A node, a server of the log, and the escrow with its lens; None: where the server says."""

    rpc_url: str
    api: str
    escrow: str | None = None
    lens: str | None = None


class RunOptions(NamedTuple):
    """The options of one run. `key_file` is None only where nothing is signed."""

    key_file: Path | None
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False
    progress: bool | None = None


class CommandSession(ResourceGroup):
    """A deployment, found and checked, and a server of its log. Use it with `with`.

    Where the escrow is named, the server is asked only for the log.
    """

    def __init__(self, endpoints: Endpoints, *, progress: bool | None = None) -> None:
        super().__init__()
        self._progress = progress
        with self._opening():
            self.client = self._exits.enter_context(Client(endpoints.api))
            if endpoints.escrow is None:
                deployment, _ = served_deployment(self.client)
            else:
                deployment = find_deployment(endpoints.rpc_url, endpoints.escrow, endpoints.lens)
            self.chain = self._exits.enter_context(Chain(endpoints.rpc_url, deployment))
            self.chain.check()

    def integration_address(self, name: str, named: str | None) -> str:
        """Return the address that was named for a contract beside the escrow, or the served one.

        Raises InputError `NAME-unknown` if there is neither.
        """
        address: str | None = named or getattr(self.chain.addresses, name)
        if address is None:
            raise InputError(f"{name}-unknown", f"name the contract: give --{name} ADDRESS")
        return address

    def read_contract(self, contract_id: bytes) -> ContractState:
        """Return the state of a contract in the latest block."""
        return read_contract_state(self.chain, contract_id)

    @contextmanager
    def open_log_copy(self, state: ContractState | None = None) -> Iterator[LogCopy]:
        """Copy the log that this contract names; without a contract, the server's own."""
        if state is None:
            # A server that names another log than its own is found out by the log's root.
            _, log_id = served_deployment(self.client)
            names = None
        else:
            log_id, names = state.terms.log_id, [state.contract_id]
        told = Progress("entries copied", self._progress)
        with LogCopy(pages_of(self.client), self.chain, log_id, names, told) as log_copy:
            yield log_copy


# --- Files ----------------------------------------------------------------------------------------


def read_signing_key(options: RunOptions) -> bytes | None:
    """Return the private key of these options; None for a dry run without a key.

    Raises InputError `key-missing` where something is to be signed, and others for a file that
    holds no key or that other users may read.
    """
    if options.key_file is not None:
        return files.read_key(options.key_file)
    if options.dry_run:
        return None
    raise InputError("key-missing", f"{NO_KEY}; or look with --dry-run")


def read_consent(path: Path) -> Consent:
    """Return the other party's consent from a file that `close --sign` wrote.

    Raises InputError `consent-malformed` for anything else.
    """
    return _read_document(path, "consent-malformed", Consent.from_json)


def read_checkpoint(path: Path) -> SignedCheckpoint:
    """Return a signed checkpoint from a file with a server's answer.

    Raises InputError `checkpoint-malformed` for anything else.
    """
    return _read_document(path, "checkpoint-malformed", checkpoint_from_json)


def read_agreement(path: Path) -> Agreement:
    """Return an agreement on a split from a file that `split propose` or `split sign` wrote.

    Raises InputError `agreement-malformed` for anything else.
    """
    return _read_document(path, "agreement-malformed", Agreement.from_json)


def _read_document(path: Path, code: str, read: Callable[[Any], T]) -> T:
    """Return what `read` makes of a file of JSON. Its errors of this code get the file's name."""
    try:
        return read(json.loads(files.read_text(path)))
    except (ValueError, RecursionError):
        raise InputError(code, f"{path}: is not readable as JSON") from None
    except InputError as error:
        if error.code != code:
            raise
        raise InputError(error.code, f"{path}: {error.message}") from None


def read_signed(text: str) -> bytes | Terms | Consent:
    """Return what was signed: a digest as typed, or what the file of this name holds.

    That is a consent of `close --sign`, terms, or a proposal with its terms. Raises InputError
    `signed-malformed` for anything else.
    """
    if _DIGEST.fullmatch(text):
        return from_hex(text)
    path = Path(text)
    try:
        document = json.loads(files.read_text(path))
    except (ValueError, RecursionError):
        raise InputError("signed-malformed", f"{path}: is not readable as JSON") from None
    try:
        match document:
            case {"payable_units": _}:
                return Consent.from_json(document)
            case {"terms": terms}:
                return Terms.from_json(terms)
            case _:
                return Terms.from_json(document)
    except (InputError, TermsError) as error:
        raise InputError("signed-malformed", f"{path}: {error.message}") from None


def signing_account(options: RunOptions) -> str:
    """Return the account of the key of these options.

    Raises InputError `account-missing` where there is no key.
    """
    key = read_signing_key(options)
    if key is None:
        raise InputError("account-missing", "there is no key to tell the account: give --account")
    return address_of(key)


# --- Explaining, asking, sending ------------------------------------------------------------------


class Printer:
    """A writer to stdout for people, or to stderr where stdout is for one JSON document.

    Servers, nodes and tokens have a part in its lines: none of them steers a terminal.
    """

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self._stderr = Console(stderr=True)
        self._console = self._stderr if options.as_json else Console()

    def print_line(self, line: str, style: str = "") -> None:
        self._console.print(
            printable(line), style=style, markup=False, highlight=False, soft_wrap=True
        )

    def print_aside(self, line: str) -> None:
        """Print a line on stderr, in any mode: progress, or what surrounds the output proper."""
        self._stderr.print(
            printable(line), style="dim", markup=False, highlight=False, soft_wrap=True
        )

    def print_json(self, document: object) -> None:
        """Print the document if the command was asked for one."""
        if self._options.as_json:
            typer.echo(json.dumps(document))

    def confirm(self, question: str) -> bool:
        """Ask, and return whether the person said yes; no answer is no."""
        if self._options.yes:
            return True
        try:
            is_confirmed = typer.confirm(question, err=True)  # stdout may go to a file
        except typer.Abort:
            is_confirmed = False
        if not is_confirmed:
            self.print_aside("nothing was signed")
        return is_confirmed


class PricedTransaction(NamedTuple):
    """A planned transaction, its price if it can be sent, and its result once it was."""

    planned: PlannedTransaction
    price: Quote | None = None
    sent: Sent | None = None
    failure: ChainError | EscrowError | None = None

    def to_json(self) -> dict[str, object]:
        call = self.planned.call
        document: dict[str, object] = {
            "title": self.planned.title,
            "lines": self.planned.lines,
            "by": self.planned.by,
            "to": call.to,
            "data": to_hex(call.data),
            **self.planned.facts,
        }
        if self.price is not None:
            document |= {
                "gas": self.price.gas,
                "likely_wei": str(self.price.likely_wei),
                "most_wei": str(self.price.most_wei),
            }
        if self.sent is not None:
            document |= {**self.sent._asdict(), "tx_hash": to_hex(self.sent.tx_hash)}
        if self.failure is not None:
            document["failure"] = self.failure.message
        return document


def execute_plan(
    endpoints: Endpoints, options: RunOptions, make_plan: Callable[[CommandSession], Plan]
) -> bool:
    """Make a plan, explain it, ask, and send its transactions.

    Returns True if it was done, or only explained where no more was wanted; False if the person
    said no. A transaction that would fail is left out, and one that fails does not stop the others.
    Raises `EscrowError` if there is nothing to do, or not now, `ChainError` if not all of it was
    done.
    """
    key = read_signing_key(options)
    printer = Printer(options)
    with CommandSession(endpoints, progress=options.progress) as session:
        chain = session.chain
        sender = None if key is None else TransactionSender(chain, key)
        plan = make_plan(session)
        for line in plan.lines:
            printer.print_line(line)
        if plan.obstacle is not None:
            for planned in plan.transactions:
                printer.print_line(f"{planned.title}: not now")
            _print_plan_json(printer, plan, [PricedTransaction(one) for one in plan.transactions])
            raise documented(plan.obstacle)
        steps = [_explain(printer, chain, planned, sender) for planned in plan.transactions]
        count = sum(step.failure is None for step in steps)
        if count and sender is not None and not options.dry_run:
            which = "this transaction" if count == 1 else f"these {count} transactions"
            if not printer.confirm(f"Sign and send {which} from {sender.address}?"):
                return False
            steps = _send(printer, chain, sender, steps)
        _print_plan_json(printer, plan, steps)
        try:
            _check_all_done(steps)
        except ChainError as error:
            raise documented(error) from None
        return True


def _print_plan_json(printer: Printer, plan: Plan, steps: Sequence[PricedTransaction]) -> None:
    """Print a plan and what became of its transactions, for programs."""
    document: dict[str, object] = {"looked": plan.lines, **plan.facts}
    document["transactions"] = [step.to_json() for step in steps]
    document["sent"] = any(step.sent for step in steps)
    if plan.obstacle is not None:
        document["error"] = {"code": plan.obstacle.code, "message": plan.obstacle.message}
    printer.print_json(document)


def _check_all_done(steps: Sequence[PricedTransaction]) -> None:
    """Raise ChainError for transactions that were to be sent and failed.

    A person who has something to do and cannot must not get the exit code of having nothing to do.
    """
    failures = [step.failure for step in steps if step.failure is not None]
    is_sent = any(step.sent for step in steps)
    if not failures or (not is_sent and len(failures) < len(steps)):
        return  # all is done, or some of it can be and was only explained
    worst = next((error for error in failures if isinstance(error, ChainError)), failures[0])
    if len(steps) > 1:
        summary = f"{len(failures)} of {len(steps)} transactions were not done: {worst.message}"
        raise ChainError("not-all-done" if is_sent else worst.code, summary)
    raise ChainError(worst.code, worst.message)


def _send(
    printer: Printer, chain: Chain, sender: TransactionSender, steps: Sequence[PricedTransaction]
) -> list[PricedTransaction]:
    """Send what can be sent, one after the other, and print what became of each."""
    results: list[PricedTransaction] = []
    stop: ChainError | EscrowError | None = None
    for step in steps:
        planned, price = step.planned, step.price
        if price is None or stop is not None:
            results.append(step._replace(failure=step.failure or stop))
            continue
        try:
            if any(result.sent or result.failure for result in results):
                # Time has passed: another sender may have done the same meanwhile.
                quote(chain, sender.address, planned.call)
            sent = sender.send(planned.call, price, printer.print_aside)
        except (ChainError, EscrowError) as error:
            printer.print_line(f"not done: {planned.title}: {error.message}", "red")
            stop = None if error.code in _OWN_FAILURES else error
            results.append(step._replace(failure=error))
            continue
        where = f"in block {sent.block_number}, with {sent.gas_used:,} gas"
        printer.print_line(f"done: {planned.title}, {where}", "green")
        results.append(step._replace(sent=sent))
    return results


def _explain(
    printer: Printer, chain: Chain, planned: PlannedTransaction, sender: TransactionSender | None
) -> PricedTransaction:
    """Print what a transaction does and costs. Raises InputError if this key may not send it."""
    if sender is not None:
        _check_party(sender.address, planned.by, planned.title)
    printer.print_line(planned.title, "bold")
    for line in planned.lines:
        printer.print_line(f"  {line}")
    printer.print_line(f"  who can send it: {' or '.join(planned.by) or 'anyone'}")
    # Without a key the price is asked for a party that could send it, or for any address at all.
    by = sender.address if sender is not None else (*planned.by, ZERO_ADDRESS)[0]
    try:
        price = quote(chain, by, planned.call)
    except (ChainError, EscrowError) as error:
        if error.code not in _OWN_FAILURES:
            raise
        printer.print_line(f"  it cannot be sent: {error.message}", "red")
        return PricedTransaction(planned, failure=error)
    printer.print_line(
        f"  gas: {price.gas:,}, which costs {format_ether(price.likely_wei)} at the price of now, "
        f"at most {format_ether(price.most_wei)}; what it does not use is not paid"
    )
    return PricedTransaction(planned, price)


def _check_party(address: str, parties: Sequence[str], action: str) -> None:
    """Raise InputError unless this address is one of the parties; without parties, anyone may."""
    if parties and address not in parties:
        raise InputError(
            "key-of-another", f"only {' or '.join(parties)} can {action}; the key is of {address}"
        )


# --- Signing a consent ----------------------------------------------------------------------------


def local_time_s() -> int:
    """Return the UTC second by this machine's clock."""
    return int(time.time())


def _check_node_clock(chain: Chain, block_s: int) -> None:
    """Raise ChainError `clock-differs` if the node's time is far from this machine's."""
    now_s = local_time_s()
    if abs(block_s - now_s) > MAX_CLOCK_S:
        raise ChainError(
            "clock-differs",
            f"by {chain.node.name} it is {format_second(block_s)}, by our own clock "
            f"{format_second(now_s)}; a false time can make a signature good for ever; ask "
            f"another node, or set the clock",
        )


def sign_consent(
    endpoints: Endpoints, options: RunOptions, contract_id: bytes, amount: str, days: int
) -> bool:
    """Explain what ending a contract at this amount does, ask, and print a signature for it.

    Returns False if the person said no. Raises ChainError `clock-differs` for a node whose time
    would make the signature good for longer than was asked.
    """
    key = read_signing_key(options)
    printer = Printer(options)
    with CommandSession(endpoints) as session:
        state = session.read_contract(contract_id)
        _check_node_clock(session.chain, state.now_s)
        units, expires_at_s = state.parse_amount(amount), state.now_s + days * DAY_S
        if key is not None:
            parties = (state.terms.owner, state.terms.operator)
            _check_party(address_of(key), parties, "agree to it")
        for line in describe_closing(state, units, expires_at_s):
            printer.print_aside(line)
        printer.print_aside(
            "it happens when the other party sends this signature; until then `tallystick revoke` "
            "takes it back"
        )
        if key is None or options.dry_run:
            return True
        if not printer.confirm(f"Sign this as {address_of(key)}?"):
            return False
        digest = close_digest(
            session.chain.escrow_domain, address_of(key), contract_id, units, expires_at_s
        )
    signature = sign_digest(digest, key)
    consent = Consent(contract_id, units, expires_at_s, address_of(key), signature)
    # Without --json as well: the document is what the command is run for.
    typer.echo(json.dumps(consent.to_json()))
    return True


def sign_agreement(endpoints: Endpoints, options: RunOptions, path: Path) -> bool:
    """Explain the agreement on a split in a file, ask, and print it with a payee's signature.

    Returns False if the person said no.
    """
    key, agreement = read_signing_key(options), read_agreement(path)
    printer = Printer(options)
    with CommandSession(endpoints) as session:
        check_agreement(session.chain, agreement)
    for line in describe_agreement(agreement):
        printer.print_aside(line)
    if key is None or options.dry_run:
        return True
    payee = address_of(key)
    if not printer.confirm(f"Sign this as {payee}?"):
        return False
    # Without --json as well: the document is what the command is run for.
    typer.echo(json.dumps(agreement.signed_by(key).to_json()))
    return True
