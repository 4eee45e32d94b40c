"""An owner's beginning in a sandbox: a surface of its own, and test money for its budgets."""

import json
import sys
from pathlib import Path

from orchestrator.client.accounts import OwnerClient, wallet
from orchestrator.client.deals import served_pins
from orchestrator.core.common.errors import DomainError
from orchestrator.core.common.units import format_amount
from orchestrator.storage.local.files import read_key

ALLOWANCE_UNITS = 200_000_000  # the most that the escrow may take, whatever is signed


def main(url: str, name: str, key_file: str, documents: str) -> None:
    told = json.loads(Path(documents).read_text())
    with OwnerClient(url, wallet(read_key(Path(key_file))), "owner") as owner:
        owner.sign_in()
        pins = served_pins(owner)
        token = pins.tokens[0]
        surface = owner.open_surface(name, told["policy"], wait_s=10)
        owner.publish_settings(surface, told["settings"] | {"token": token.address}, wait_s=10)
        print("surface", surface)
        given = int(owner.post("/v1/faucet", {})["units"])  # a sandbox alone has one
        print("given", format_amount(given, token.decimals), token.symbol)
        print("next, with the URL of the chain:")
        print(f"cast send {token.address} 'approve(address,uint256)' {pins.escrow}", end=" ")
        print(f'{ALLOWANCE_UNITS} --private-key "$(cat {key_file})" --rpc-url')


if len(sys.argv) != 5:
    sys.exit("usage: owner_open.py URL NAME KEY_FILE DOCUMENTS")
try:
    main(*sys.argv[1:])
except (DomainError, OSError, ValueError) as error:
    sys.exit(f"owner_open: {error}")
