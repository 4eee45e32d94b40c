"""An agent over HTTP: it proposes a contract, works once it is open, and ends when it is paid."""

import sys
from pathlib import Path

from orchestrator.client.accounts import OperatorClient, summary_of, wallet
from orchestrator.client.deals import (
    draft,
    propose,
    served_cautions,
    served_pins,
    wait_for_owner,
    wait_until,
)
from orchestrator.client.log_server import find_surface
from orchestrator.client.receipts import served_receipt
from orchestrator.client.stream import Stream
from orchestrator.core.common.errors import DomainError
from orchestrator.core.common.units import format_amount
from orchestrator.core.deals.sentences import sentences_of
from orchestrator.storage.local.files import read_key

DEAL = {"outcome": "activated", "price": "8.00", "at_most": 5, "closes_in": "5 days"}
STATE, ACTION = "signed_up", "email"  # who is acted on, and how
PATIENCE_S = 600  # of your time


def main(url: str, name: str, key_file: str) -> None:
    with OperatorClient(url, wallet(read_key(Path(key_file))), "agent") as agent:
        agent.sign_in()
        pins = served_pins(agent)  # keep these: a server that changes them later is another
        surface = find_surface(agent, name)
        after = agent.get("/v1/log")["size"] - 1
        soon = f"{15 * agent.get('/v1/clock')['speed']} seconds"  # time for the owner to sign
        made = draft(agent, pins, surface, DEAL | {"opens_in": soon})
        print(*sentences_of(made.terms, made.token), sep="\n")
        for caution in served_cautions(agent, surface, DEAL | {"opens_in": soon}):
            print("look at this:", caution)
        contract = propose(agent, pins, made.terms).contract
        print("proposed", contract, flush=True)
        wait_for_owner(agent, contract)
        earned = 0
        for found in Stream(agent, after, surface=surface, contract=contract, lasts_s=PATIENCE_S):
            match found.record.entry.kind:
                case "contract.opened":
                    wait_until(agent, made.terms.opens_at_s)  # no touch counts before
                    results = agent.act(surface, agent.leads(surface, STATE), ACTION, contract[:20])
                    print("touched", summary_of(results), flush=True)
                    if not any(each["status"] == "done" for each in results):
                        break  # what was not touched earns nothing
                case "outcome" if not earned:  # the first is what the first payout pays
                    earned = found.position
                    print("earned", earned, flush=True)
                case "payout":  # what is paid is anchored, so anyone can be shown it
                    served_receipt(agent, pins, earned)
                    print("paid", format_amount(found.record.entry.value))
                    print(f"tallystick receipt {earned} --api {url} | tallystick verify -")
                    print(f"tallystick why {contract} --api {url}")
                    return
        sys.exit(f"not paid; see why: tallystick why {contract} --api {url}")


if len(sys.argv) != 4:
    sys.exit("usage: agent_http.py URL SURFACE KEY_FILE")
try:
    main(*sys.argv[1:])
except (DomainError, OSError) as error:  # each says what was wrong, and what to do
    sys.exit(f"agent_http: {error}")
