"""What a deployment is told from outside, read once from the environment.

| variable | meaning, and what holds without it |
|---|---|
| TALLYSTICK_HOME | folder of a local deployment: servers' data and keys; `~/.tallystick` |
| TALLYSTICK_DATABASE_URL | PostgreSQL 16 or later, as a user who may create roles; our own |
| TALLYSTICK_RPC_URL | an EVM node; a local chain of our own, with our contracts |
| TALLYSTICK_SITE | JSON file: the contracts and the log; goes with TALLYSTICK_RPC_URL |
| TALLYSTICK_KEYS | folder with `publisher`, `verifier`, `relayer`: hex keys; made in HOME |
| TALLYSTICK_KEY_FILE | file with the hex key of a person who acts on a contract; none |
| TALLYSTICK_LISTEN | host:port of the API; `127.0.0.1:8700` |
| TALLYSTICK_PUBLIC_URL | where wallets are told the API is; `http://` and LISTEN |
| TALLYSTICK_SETTLE_EVERY_S | seconds between settlements; 60 |
| TALLYSTICK_ANVIL | path of anvil; looked for on PATH |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.errors import InputError
from orchestrator.core.units import DAY_S

NAMES = (
    "TALLYSTICK_HOME",
    "TALLYSTICK_DATABASE_URL",
    "TALLYSTICK_RPC_URL",
    "TALLYSTICK_SITE",
    "TALLYSTICK_KEYS",
    "TALLYSTICK_KEY_FILE",
    "TALLYSTICK_LISTEN",
    "TALLYSTICK_PUBLIC_URL",
    "TALLYSTICK_SETTLE_EVERY_S",
    "TALLYSTICK_ANVIL",
)
_LISTEN = re.compile(r"([0-9A-Za-z.\-]+):([0-9]{1,5})")
MAX_SETTLE_EVERY_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Settings:
    """Read it with `read`. URLs may hold passwords and are left out of the representation."""

    home: Path
    database_url: str | None = field(repr=False)
    rpc_url: str | None = field(repr=False)
    site: Path | None
    keys: Path
    key_file: Path | None
    host: str
    port: int
    public_url: str
    settle_every_s: int


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in an environment; raises `InputError` for one that cannot be what it should."""
    unknown = sorted(
        name for name in environment if name.startswith("TALLYSTICK_") and name not in NAMES
    )
    if unknown:
        raise InputError(
            "setting-unknown", f"{unknown[0]} is no setting; there are {', '.join(NAMES)}"
        )
    given = {name: environment[name] for name in NAMES if environment.get(name)}
    home = Path(given.get("TALLYSTICK_HOME", "~/.tallystick")).expanduser().absolute()
    listen = given.get("TALLYSTICK_LISTEN", "127.0.0.1:8700")
    match = _LISTEN.fullmatch(listen)
    if match is None or not int(match[2]) < 65_536:
        raise InputError(
            "setting-listen",
            f"TALLYSTICK_LISTEN must be host:port, such as 127.0.0.1:8700, not {listen!r}",
        )
    every = given.get("TALLYSTICK_SETTLE_EVERY_S", "60")
    if not every.isdecimal() or not 1 <= int(every) <= MAX_SETTLE_EVERY_S:
        raise InputError(
            "setting-settle",
            f"TALLYSTICK_SETTLE_EVERY_S must be from 1 to {MAX_SETTLE_EVERY_S}, not {every!r}",
        )
    rpc_url, site = given.get("TALLYSTICK_RPC_URL"), given.get("TALLYSTICK_SITE")
    if site is not None and rpc_url is None:
        raise InputError(
            "setting-site", "TALLYSTICK_SITE goes with TALLYSTICK_RPC_URL: the node that it is on"
        )
    return Settings(
        home=home,
        database_url=given.get("TALLYSTICK_DATABASE_URL"),
        rpc_url=rpc_url,
        site=Path(site) if site else None,
        keys=Path(given["TALLYSTICK_KEYS"]) if "TALLYSTICK_KEYS" in given else home / "keys",
        key_file=Path(given["TALLYSTICK_KEY_FILE"]) if "TALLYSTICK_KEY_FILE" in given else None,
        host=match[1],
        port=int(match[2]),
        public_url=given.get("TALLYSTICK_PUBLIC_URL", f"http://{listen}"),
        settle_every_s=int(every),
    )
