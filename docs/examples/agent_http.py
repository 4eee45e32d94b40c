"""An agent over HTTP: it proposes a contract, works once it is open, and hears what it earned."""

import sys
from pathlib import Path

from orchestrator.client.accounts import OperatorClient, wallet
from orchestrator.client.deals import draft, propose, served_pins
from orchestrator.client.stream import Stream
from orchestrator.core.sentences import sentences_of
from orchestrator.storage.files import read_key

URL, SURFACE, KEY_FILE = sys.argv[1:]
DEAL = {"outcome": "activated", "price": "8.00", "at_most": 5, "opens_in": "2 minutes"}


def main() -> None:
    with OperatorClient(URL, wallet(read_key(Path(KEY_FILE))), "agent") as agent:
        agent.sign_in()
        pins = served_pins(agent)  # keep these: a server that changes them later is another
        after = agent.get("/v1/log")["size"] - 1
        made = draft(agent, pins, SURFACE, DEAL)
        print(*sentences_of(made.terms, made.token), sep="\n")
        contract = propose(agent, pins, made.terms).contract
        print("proposed", contract, flush=True)
        for found in Stream(agent, after, surface=SURFACE, contract=contract):
            match found.record.entry.kind:
                case "contract.opened":
                    leads = agent.leads(SURFACE, "signed_up")
                    agent.touch(SURFACE, leads, "email", occasion=contract[:20])
                    print("touched", len(leads), flush=True)
                case "outcome":
                    # Once it is anchored, `served_receipt` has what shows it to anyone.
                    print("earned", found.position, flush=True)
                    return


main()
