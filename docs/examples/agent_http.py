"""An agent over HTTP: it proposes a contract, works once it is open, and ends when it is paid."""

import sys
from pathlib import Path

from orchestrator.client.accounts import OperatorClient, wallet
from orchestrator.client.deals import draft, propose, served_pins, wait_until
from orchestrator.client.receipts import served_receipt
from orchestrator.client.stream import Stream
from orchestrator.core.common.units import format_amount
from orchestrator.core.deals.sentences import sentences_of
from orchestrator.storage.local.files import read_key

URL, NAME, KEY_FILE = sys.argv[1:]
DEAL = {"outcome": "activated", "price": "8.00", "at_most": 5}


def main() -> None:
    with OperatorClient(URL, wallet(read_key(Path(KEY_FILE))), "agent") as agent:
        agent.sign_in()
        pins = served_pins(agent)  # keep these: a server that changes them later is another
        surface = agent.get("/v1/surfaces", name=NAME)["surfaces"][0]["surface"]
        after = agent.get("/v1/log")["size"] - 1
        soon = f"{15 * agent.get('/v1/clock')['speed']} seconds"  # time for the owner to sign
        made = draft(agent, pins, surface, DEAL | {"opens_in": soon})
        print(*sentences_of(made.terms, made.token), sep="\n")
        contract = propose(agent, pins, made.terms).contract
        print("proposed", contract, flush=True)
        earned = 0
        for found in Stream(agent, after, surface=surface, contract=contract):
            match found.record.entry.kind:
                case "contract.opened":
                    wait_until(agent, made.terms.opens_at_s)  # no touch counts before
                    leads = agent.leads(surface, "signed_up")
                    agent.touch(surface, leads, "email", occasion=contract[:20])
                    print("touched", len(leads), flush=True)
                case "outcome" if not earned:  # the first is what the first payout pays
                    earned = found.position
                    print("earned", earned, flush=True)
                case "payout":  # what is paid is anchored, so anyone can be shown it
                    served_receipt(agent, pins, earned)
                    print("paid", format_amount(found.record.entry.value))
                    return


main()
