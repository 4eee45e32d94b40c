"""The settings of a sandbox, as a process beside it is given them."""

import json
from pathlib import Path

from orchestrator.runtime.stack import Keys
from orchestrator.simulation.sandbox import Sandbox, key_of
from orchestrator.storage.database import DatabaseUrls


def environment_of(sandbox: Sandbox, urls: DatabaseUrls, folder: Path) -> dict[str, str]:
    """Write site and keys to a folder, and return the variables that name them."""
    keys, site = folder / "keys", folder / "site.json"
    keys.mkdir()
    for name in Keys._fields:
        (keys / name).touch(mode=0o600)
        (keys / name).write_text(key_of(name).hex() + "\n")
    site.write_text(json.dumps(sandbox.stack.site.to_json()))
    return {
        "TALLYSTICK_HOME": str(folder),
        "TALLYSTICK_KEYS": str(keys),
        "TALLYSTICK_RPC_URL": sandbox.rpc_url,
        "TALLYSTICK_SITE": str(site),
        "TALLYSTICK_SEQUENCER_DATABASE_URL": urls.sequencer or "",
        "TALLYSTICK_WORKER_DATABASE_URL": urls.worker or "",
    }
