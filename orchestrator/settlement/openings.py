"""Opening the contracts that both parties have signed, as far as this deployment pays for it.

An opening costs gas, and accounts are free: without a limit two of them could have us open without
end. So a contract's budget must be worth an opening, and an owner has a number of them a day. What
is put off says so in its proposal, and the parties may open it themselves.
"""

from collections.abc import Callable

from orchestrator.chain.deployment import Chain
from orchestrator.chain.relayer import Relayer
from orchestrator.core.site import Sponsorship
from orchestrator.core.terms import Terms
from orchestrator.core.units import DAY_MS
from orchestrator.core.wallet_signature import bare_signature
from orchestrator.storage.allowances import spend
from orchestrator.storage.database import Database, Row, Session

# The most proposals that are looked at in one step.
PAGE = 100
# Limits are settings: an opening that they forbid is looked at again after this time.
LOOK_AGAIN_MS = DAY_MS


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
        asked, now_ms = 0, self._now_ms()
        with self._database.transaction(account) as session:
            rows = session.all(
                "pipeline.accepted",
                log_id=self._log_id,
                chain_id=self._chain.addresses.chain_id,
                limit=PAGE,
                now_ms=now_ms,
            )
            for row in rows:
                terms = Terms.from_json(row.terms)
                forbidden = self._forbidden(session, account, row.owner, terms)
                if forbidden is None:
                    self._ask_for(session, row, terms)
                    asked += 1
                else:
                    limit, wait_ms = forbidden
                    session.run(
                        "pipeline.defer_opening",
                        log_id=self._log_id,
                        contract_id=row.contract_id,
                        waits_for=limit,
                        until_ms=now_ms + wait_ms,
                    )
        return asked

    def _forbidden(
        self, session: Session, account: str, owner: str, terms: Terms
    ) -> tuple[str, int] | None:
        """Return the limit that an opening would pass, and the time until it may not, in ms.

        None if we pay for it; then it is counted.
        """
        if not self._sponsorship.pays_opening(terms):
            return "opening_tokens", LOOK_AGAIN_MS
        # What was counted for the owner is not given back if all have too many: it waits anyway.
        for spender, rate in ((owner, "openings"), (account, "openings-of-all")):
            (spent,) = spend(session, spender, self._sponsorship.limits, {rate: 1})
            if spent.wait_us:
                return f"{rate.replace('-', '_')}_a_day", spent.wait_us // 1000 + 1
        return None

    def _ask_for(self, session: Session, row: Row, terms: Terms) -> None:
        session.run("pipeline.forget_deferral", log_id=self._log_id, contract_id=row.contract_id)
        call = self._chain.open(
            terms, bare_signature(row.owner_signature), bare_signature(row.operator_signature)
        )
        self._relayer.request(session, f"open:{row.contract_id.hex()}", call)
