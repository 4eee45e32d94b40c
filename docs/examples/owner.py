"""An owner's integration: it accepts proposals within its bounds, and reports what happened."""

import sys
from pathlib import Path

from orchestrator.client.accounts import EventReport, OwnerClient, wallet
from orchestrator.client.deals import accept, proposed_terms, served_pins
from orchestrator.client.log_server import find_surface
from orchestrator.core.common.errors import DomainError
from orchestrator.storage.local.files import read_key

MOST_PRICE_UNITS, MOST_BUDGET_UNITS = 10_000_000, 100_000_000


def main(url: str, name: str, key_file: str, *events: str) -> None:
    with OwnerClient(url, wallet(read_key(Path(key_file))), "owner") as owner:
        owner.sign_in()
        pins, surface = served_pins(owner), find_surface(owner, name)
        for proposal in list(owner.pages(f"/v1/surfaces/{surface}/proposals", "proposals")):
            terms = proposed_terms(owner, pins, proposal["contract_id"])
            is_ours = proposal["status"] == "proposed" and terms.owner == owner.address
            is_cheap = terms.unit_price_units <= MOST_PRICE_UNITS and not terms.revenue_share_bps
            if is_ours and is_cheap and terms.budget_units <= MOST_BUDGET_UNITS:
                print("accepted", accept(owner, pins, terms).contract)
        for event in events:  # LEAD:EVENT[:TIME_MS], as your product would tell it
            lead, what, time_ms = (*event.split(":"), str(owner.get("/v1/clock")["time_ms"]))[:3]
            report = EventReport(f"{lead}-{what}", lead, what, "", int(time_ms))
            print(lead, what, owner.report_event(surface, report, wait_s=10)["status"])


if len(sys.argv) < 4:
    sys.exit("usage: owner.py URL SURFACE KEY_FILE [LEAD:EVENT[:TIME_MS]...]")
try:
    main(*sys.argv[1:])
except (DomainError, OSError) as error:
    sys.exit(f"owner: {error}")
