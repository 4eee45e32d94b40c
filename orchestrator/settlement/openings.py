"""Opening the contracts that both parties have signed, as far as this deployment pays for it.

An opening costs gas, and accounts are free: without a limit two of them could have us open without
end. So a contract's budget must be worth an opening, and an owner has a number of them a day. And
an opening that would fail is not sent: the owner's funds are looked at first. Each contract has a
row, which its parties see in the proposal:

- *due*: it has none yet, or its `next_ms` has come. It is looked at.
- *put off*: a limit forbids it, which `waits_for` names. The parties may open it themselves.
- *short*: the owner lacks what `reason` says. It was tried, and is tried again.
- *under way*: `intent_key` names its transaction. Nothing is done until that has a fate.
- *failed*: the escrow refused it for a `reason`. It is tried again, after twice as long each time.
- *given up*: it has failed too often, and has neither a transaction nor a next time.

What is opened, by us or by others, has expired, or is of a policy that is not in force any more, is
not looked at, whatever its row says.
"""

from collections.abc import Callable
from typing import NamedTuple

from orchestrator.chain.deployment import Chain
from orchestrator.chain.relayer import Relayer
from orchestrator.core.account.wallet_signature import bare_signature
from orchestrator.core.common.errors import TermsError
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.deals.site import Funds, Sponsorship
from orchestrator.core.deals.terms import Terms
from orchestrator.storage.allowances import spend
from orchestrator.storage.database import Database, Row, Session

# The most proposals that are looked at in one step.
PAGE = 100
# Limits are settings: an opening that they forbid is looked at again after this time.
LOOK_AGAIN_MS = DAY_MS
# An opening that fails is tried again after a minute, then after twice as long each time, six hours
# at most; and so often at most.
FIRST_WAIT_MS = 60_000
LONGEST_WAIT_MS = 6 * 3_600_000
MOST_ASKED = 200
# Funds that are short cost a look, and no transaction: they are looked at more often.
LONGEST_LOOK_MS = 600_000


class _Hindrance(NamedTuple):
    """The reason not to open a contract now, and the time until it is looked at again."""

    waits_for: str | None
    reason: str | None
    wait_ms: int


class Openings:
    """The openings of one log's contracts in one escrow."""

    def __init__(
        self,
        database: Database,
        log_id: bytes,
        chain: Chain,
        relayer: Relayer,
        now_ms: Callable[[], int],
        sponsorship: Sponsorship,
    ) -> None:
        self._database = database
        self._log_id = log_id
        self._chain = chain
        self._relayer = relayer
        self._now_ms = now_ms
        self._sponsorship = sponsorship

    def ask(self, account: str) -> int:
        """Ask the chain for the openings that we pay, which `account` counts; return how many."""
        now_ms = self._now_ms()
        with self._database.transaction(account) as session:
            self._note_failed(session, now_ms)
            rows = session.all("pipeline.accepted", log_id=self._log_id, now_ms=now_ms, limit=PAGE)
        contracts = [(row, terms) for row in rows if (terms := self._read(account, row))]
        # The chain is asked, so no transaction is held open across it.
        funds = self._funds_for([terms for _, terms in contracts])
        asked = 0
        with self._database.transaction(account) as session:
            for row, terms in contracts:
                hindrance = self._hindrance(session, account, row, terms, funds)
                if hindrance is None:
                    self._ask_for(session, row, terms)
                    asked += 1
                else:
                    self._note(
                        session,
                        row,
                        tries=row.tries + (hindrance.waits_for is None),
                        waits_for=hindrance.waits_for,
                        reason=hindrance.reason,
                        next_ms=now_ms + hindrance.wait_ms,
                    )
        return asked

    def _read(self, account: str, row: Row) -> Terms | None:
        """Return the terms of an opening; what is none, the API has not taken, and is given up."""
        try:
            return Terms.from_json(row.terms)
        except TermsError as error:
            with self._database.transaction(account) as session:
                self._note(session, row, tries=row.tries + 1, reason=error.message)
            return None

    def _note_failed(self, session: Session, now_ms: int) -> None:
        """Note which openings failed, why, and when they are tried again."""
        for row in session.all(
            "pipeline.failed_openings",
            log_id=self._log_id,
            chain_id=self._chain.addresses.chain_id,
            sender=self._relayer.sender.lower(),
            limit=PAGE,
        ):
            is_last = row.asked >= MOST_ASKED
            self._note(
                session,
                row,
                reason=row.reason or "the transaction reverted",
                next_ms=None if is_last else now_ms + _wait_ms(row.asked - 1, LONGEST_WAIT_MS),
            )

    def _funds_for(self, all_terms: list[Terms]) -> dict[tuple[str, str], Funds]:
        """Return the owners' funds in the tokens of the openings that we pay."""
        holders = {
            (terms.token, terms.owner)
            for terms in all_terms
            if self._sponsorship.pays_opening(terms)
        }
        return {holder: self._chain.funds_of(*holder) for holder in sorted(holders)}

    def _hindrance(
        self,
        session: Session,
        account: str,
        row: Row,
        terms: Terms,
        funds: dict[tuple[str, str], Funds],
    ) -> _Hindrance | None:
        """Return what keeps us from opening a contract; if it is nothing, its opening is counted.

        Each try is counted, for each may cost gas. One that could only fail is not.
        """
        if not self._sponsorship.pays_opening(terms):
            return _Hindrance("opening_tokens", None, LOOK_AGAIN_MS)
        token = next(one for one in self._sponsorship.site.tokens if one.address == terms.token)
        escrow = self._chain.addresses.escrow
        had = funds[terms.token, terms.owner]
        shortage = had.shortage(terms.budget_units, terms.owner, token, escrow)
        if shortage is not None:
            return _Hindrance(None, shortage, _wait_ms(row.tries, LONGEST_LOOK_MS))
        # What was counted for the owner is not given back if all have too many: it waits anyway.
        for spender, rate in ((row.owner, "openings"), (account, "openings-of-all")):
            (spent,) = spend(session, spender, self._sponsorship.limits, {rate: 1})
            if spent.wait_us:
                limit = f"{rate.replace('-', '_')}_a_day"
                return _Hindrance(limit, None, spent.wait_us // 1000 + 1)
        return None

    def _ask_for(self, session: Session, row: Row, terms: Terms) -> None:
        """Ask the chain for an opening, under a key of its own for each time."""
        key = f"open:{row.contract_id.hex()}:{row.asked}"
        call = self._chain.open(
            terms, bare_signature(row.owner_signature), bare_signature(row.operator_signature)
        )
        self._relayer.request(session, key, call)
        self._note(session, row, tries=row.tries + 1, asked=row.asked + 1, intent_key=key)

    def _note(self, session: Session, row: Row, **state: object) -> None:
        """Keep the state of an opening; what is not named is as it was, or none."""
        session.run(
            "pipeline.note_opening",
            log_id=self._log_id,
            contract_id=row.contract_id,
            **{
                "tries": row.tries,
                "asked": row.asked,
                "intent_key": None,
                "waits_for": None,
                "reason": None,
                "next_ms": None,
            }
            | state,
        )


def _wait_ms(tries: int, most_ms: int) -> int:
    """Return the time to the next try, after so many that came to nothing before this one."""
    return int(min(FIRST_WAIT_MS << min(tries, 20), most_ms))
