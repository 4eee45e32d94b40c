"""The registrar: it decides sign-ins, and is the only part that mints a wallet's key.

It does not run on the API's machine and believes nothing that the API says of a sign-in: message,
nonce, audience, scopes and signature are all checked here. It decides what needs no chain first, so
that a wallet whose contract answers slowly keeps others waiting for one answer at most.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.core.account.sign_in import (
    MOST_KEYS,
    Audience,
    SignIn,
    is_signed_by_key,
    message_digest,
    read_message,
)
from orchestrator.core.common.errors import ChainError, SignInError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.resource import Resource
from orchestrator.storage.database import (
    Connection,
    Database,
    DatabaseError,
    Row,
    Session,
)
from orchestrator.storage.sql.sqlstates import ACCOUNT_FULL, RULE_BROKEN

# (address, digest, signature) → True if the wallet at that address accepts it.
SignatureCheck = Callable[[str, bytes, bytes], bool]

MAX_KEY_MS = 30 * DAY_MS
# A sign-in that waited longer is no longer answered to anyone, and is not granted.
PATIENCE_MS = 15_000
# How long a refusal can be read.
KEPT_MS = 60_000
MAX_AT_ONCE = 100
MAX_ROUNDS = 100
# How long a thread waits for a sign-in before it looks whether it shall stop.
_ATTEND_S = 0.2


class Registrar(Resource):
    """The decisions on sign-ins to one service. Use it with `with`.

    `speed` is how many seconds of the database's clock one of real time has.
    """

    def __init__(
        self,
        database: Database,
        audience: Audience,
        is_signed_by_wallet: SignatureCheck,
        speed: int = 1,
    ) -> None:
        self._database = database
        self._audience = audience
        self._is_signed_by_wallet = is_signed_by_wallet
        # People wait by real time, whatever the speed of the database's clock.
        self._patience_ms, self._kept_ms = PATIENCE_MS * speed, KEPT_MS * speed
        self._notices: Connection | None = None

    def attend(self, wait_s: float) -> int:
        """Decide what waits, after waiting this long at most for a sign-in; return how many."""
        if self._notices is None:
            notices = self._database.connect()
            try:
                notices.listen("sign_ins")
            except BaseException:
                notices.close()
                raise
            self._notices = notices
            # What came before it listened is waiting already.
            return self.decide_waiting()
        try:
            self._notices.wait_for_notice(wait_s)
        except BaseException:
            self.close()
            raise
        return self.decide_waiting()

    def decide_waiting(self) -> int:
        """Decide the sign-ins that wait; return how many."""
        decided = 0
        with self._database.transaction() as session:
            session.run("registrar.sweep", kept_ms=self._kept_ms)
        for _ in range(MAX_ROUNDS):
            with self._database.transaction() as session:
                rows = session.all(
                    "registrar.waiting", patience_ms=self._patience_ms, limit=MAX_AT_ONCE
                )
            if not rows:
                break
            undecided = [row for row in rows if not self._decide_by_key(row)]
            decided += len(rows) - len(undecided)
            if undecided:
                self._decide_by_wallet(undecided[0])
                decided += 1
        return decided

    def close(self) -> None:
        """Stop listening; `attend` begins anew."""
        notices, self._notices = self._notices, None
        if notices is not None:
            notices.close()

    def _decide_by_key(self, row: Row) -> bool:
        """Decide a sign-in unless its signature is for a contract to judge; return if it was."""
        try:
            asked = read_message(self._audience, row.message, row.now_ms)
        except SignInError as error:
            self._refuse(row, error)
            return True
        if not is_signed_by_key(asked.address, row.message, row.signature):
            return False
        self._grant(row, asked)
        return True

    def _decide_by_wallet(self, row: Row) -> None:
        asked = read_message(self._audience, row.message, row.now_ms)
        digest = message_digest(row.message)
        try:
            is_signed = self._is_signed_by_wallet(asked.address, digest, row.signature)
        except ChainError:
            # Its cause is ours to know, and an answer now is better than one that comes too late.
            error = SignInError(
                "wallet-unasked", "the chain cannot be asked about this wallet just now; try again"
            )
            self._refuse(row, error)
            return
        if is_signed:
            self._grant(row, asked)
            return
        error = SignInError(
            "signature-invalid",
            f"neither the key of {asked.address} made the signature "
            f"{to_hex(row.signature[:8])}…, nor does a contract there accept it",
        )
        self._refuse(row, error)

    def _grant(self, row: Row, asked: SignIn) -> None:
        """Use up the nonce, and mint the key, in one transaction."""
        account = asked.address.lower()
        try:
            with self._database.transaction() as session:
                if not session.run("registrar.take", secret_hash=row.secret_hash):
                    return  # another registrar was faster
                _use_nonce(session, asked)
                session.run("registrar.add_account", account=account)
                _mint(session, row, asked)
        except SignInError as error:
            self._refuse(row, error)
        except DatabaseError as error:
            if error.sqlstate == ACCOUNT_FULL:
                refusal = SignInError(
                    "keys-too-many",
                    f"{asked.address} has {MOST_KEYS} live delegates; revoke one of them first",
                )
            elif (error.sqlstate or "").startswith(RULE_BROKEN):
                # The API asks for none such; one that does must not hold up all others.
                refusal = SignInError(
                    "key-impossible", "there can be no key like the one asked for"
                )
            else:
                raise
            self._refuse(row, refusal)

    def _refuse(self, row: Row, error: SignInError) -> None:
        with self._database.transaction() as session:
            session.run(
                "registrar.refuse",
                secret_hash=row.secret_hash,
                code=error.code,
                detail=error.message,
            )


def _mint(session: Session, row: Row, asked: SignIn) -> None:
    """Mint the wallet's key or, where the message names a client, a delegate's for that client.

    The delegate's parent has a secret that no one knows: the hash is drawn, and of nothing.
    """
    hashes = [row.secret_hash]
    if asked.client is not None:
        hashes.insert(0, secrets.token_bytes(32))
    parent = None
    for secret_hash in hashes:
        key = secrets.token_bytes(32)
        session.run(
            "registrar.mint",
            key=key,
            parent=parent,
            account=asked.address.lower(),
            secret_hash=secret_hash,
            name=row.name,
            scopes=list(asked.scopes),
            expires_ms=row.expires_ms,
            most_ms=MAX_KEY_MS,
        )
        parent = key


def _use_nonce(session: Session, asked: SignIn) -> None:
    used = session.one("registrar.use_nonce", nonce=asked.nonce, until_ms=asked.expires_ms)
    if used is None:
        raise SignInError(
            "nonce-unknown",
            "the nonce is not ours, was used before, or expires before the message does",
        )


@contextmanager
def registrar_thread(registrar: Registrar) -> Iterator[None]:
    """Have a registrar decide sign-ins from a thread until the block ends.

    What it fails with is raised at the end of the block.
    """
    stop, failures = threading.Event(), list[Exception]()

    def attend() -> None:
        try:
            while not stop.is_set():
                registrar.attend(_ATTEND_S)
        except Exception as error:  # noqa: BLE001 - raised when the block ends
            failures.append(error)

    thread = threading.Thread(target=attend, name="registrar")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]
