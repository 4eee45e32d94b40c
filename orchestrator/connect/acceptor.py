"""An owner's acceptance by its own rules: each proposal is judged, counted, and then signed.

A budget is noted in the owner's file before its signature leaves the machine.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.client.log_server import reading
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.acceptance import AcceptanceRules, reasons_against
from orchestrator.core.deals.mandate import signed_budget
from orchestrator.core.deals.terms import (
    Domain,
    Terms,
    contract_id,
    owner_consent_digest,
    sign_digest,
)
from orchestrator.storage.local.signed_budgets import add_budget, open_ledger


def accept_covered(
    client: Any, key: bytes, rules: AcceptanceRules, ledger: Path, now_s: int
) -> Iterator[dict[str, str]]:
    """Sign every open proposal that the rules cover; yield what was done with each."""
    for proposal in list(client.pages("/v1/proposals", "proposals")):
        found = accept_one(client, key, rules, ledger, now_s, proposal)
        if found is not None:
            yield found


def accept_one(
    client: Any,
    key: bytes,
    rules: AcceptanceRules,
    ledger: Path,
    now_s: int,
    proposal: Mapping[str, Any],
) -> dict[str, str] | None:
    """Sign a proposal if the rules cover it; return what was done, None if it is not open to us."""
    domain = Domain("Tallystick OutcomeEscrow", "1", rules.chain_id, rules.escrow)
    with reading(client, "what a proposal is"):
        terms, offer = Terms.from_json(proposal["terms"]), proposal["offer"]
        if not (offer is None or isinstance(offer, str)):
            raise TypeError(offer)
        status = proposal["status"]
    if status != "proposed" or terms.owner != client.address:
        return None
    # Our own digest, of the terms that we judge: the server's word for either counts nothing.
    name = to_hex(contract_id(terms, domain))
    level = _level_of(client, terms)
    with open_ledger(ledger) as (earlier, file):
        reasons = reasons_against(
            rules,
            terms,
            offer,
            level,
            # What was signed for these very terms is counted already, and signed once more.
            [one for one in earlier if one.contract_id != name],
            now_s,
        )
        if not reasons and all(one.contract_id != name for one in earlier):
            add_budget(file, signed_budget(name, terms, now_s))
    if reasons:
        return {"contract_id": name, "said": f"not signed: {'; '.join(reasons)}"}
    signature = sign_digest(owner_consent_digest(terms, domain), key)
    try:
        client.accept(name, to_hex(signature))
    except ServerError as error:
        return {"contract_id": name, "said": f"signed, and not taken: {error.message}"}
    return {"contract_id": name, "said": f"signed, for {terms.budget_units} base units"}


def _level_of(client: Any, terms: Terms) -> int:
    """Return the level that an operator has now: 0 while it is suspended.

    What was lost stands in the log only from the operator's next act on; nothing is signed for it.
    """
    try:
        path = f"/v1/surfaces/{to_hex(terms.surface)}/operators/{terms.operator}"
        found = client.get(path)
    except ServerError:
        return 0
    with reading(client, "which level an operator has"):
        return 0 if found["is_suspended"] else min(int(found["level"]), int(found["due_level"]))
