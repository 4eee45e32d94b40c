"""An owner's integration: it accepts proposals within its bounds, and reports what happened."""

import sys
from pathlib import Path

from orchestrator.client.accounts import EventReport, OwnerClient, wallet
from orchestrator.client.deals import accept, proposed_terms, served_pins
from orchestrator.storage.local.files import read_key

URL, SURFACE, KEY_FILE = sys.argv[1:4]
MOST_PRICE_UNITS, MOST_BUDGET_UNITS = 10_000_000, 100_000_000

with OwnerClient(URL, wallet(read_key(Path(KEY_FILE))), "owner") as owner:
    owner.sign_in()
    pins = served_pins(owner)
    for proposal in list(owner.pages(f"/v1/surfaces/{SURFACE}/proposals", "proposals")):
        terms = proposed_terms(owner, pins, proposal["contract_id"])
        is_ours = proposal["status"] == "proposed" and terms.owner == owner.address
        is_cheap = terms.unit_price_units <= MOST_PRICE_UNITS and not terms.revenue_share_bps
        if is_ours and is_cheap and terms.budget_units <= MOST_BUDGET_UNITS:
            print("accepted", accept(owner, pins, terms).contract)
    for line in sys.argv[4:]:  # LEAD:EVENT:TIME_MS, as your product would tell it
        lead, event, time_ms = line.split(":")
        report = EventReport(f"{lead}-{event}", lead, event, "", int(time_ms))
        print(lead, event, owner.report_event(SURFACE, report, wait_s=10)["status"])
