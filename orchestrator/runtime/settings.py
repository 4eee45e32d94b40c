"""The settings of a deployment, read once from the environment.

| variable | meaning; its default |
|---|---|
| TALLYSTICK_HOME | folder of a local deployment: data and keys; `default_home`, `~/.tallystick` |
| TALLYSTICK_SEQUENCER_DATABASE_URL | PostgreSQL 16 or later, for the sequencer; our own |
| TALLYSTICK_WORKER_DATABASE_URL | the same database, for the pipeline |
| TALLYSTICK_API_DATABASE_URL | the same database, for the API |
| TALLYSTICK_REGISTRAR_DATABASE_URL | the same database, for the registrar |
| TALLYSTICK_SCHEMA_DATABASE_URL | the same database, as the owner of the schema; `migrate` alone |
| TALLYSTICK_RPC_URL | EVM nodes, with commas between; a local chain with our contracts |
| TALLYSTICK_FINAL_DEPTH | blocks below the latest that count as final; what the nodes call final |
| TALLYSTICK_SITE | JSON file: the contracts and the log; goes with TALLYSTICK_RPC_URL |
| TALLYSTICK_KEYS | folder with `publisher`, `verifier`, `relayer`: hex keys; made in HOME |
| TALLYSTICK_MARK | file of what was signed last, in no back-up; `publisher.mark` in KEYS |
| TALLYSTICK_REPLAY | file in which the verifier's replay is kept; `verifier.replay` in KEYS |
| TALLYSTICK_KEY_FILE | file with the hex key of a person who acts on a contract; none |
| TALLYSTICK_LISTEN | host:port of the API; `127.0.0.1:8700` |
| TALLYSTICK_METRICS | host:port of health and metrics, or `off`; `127.0.0.1:8701`, if it is free |
| TALLYSTICK_PUBLIC_URL | the API's URL as wallets are shown it; `http://` and LISTEN |
| TALLYSTICK_ORIGINS | origins of web pages that may send keys, with commas between; none |
| TALLYSTICK_SETTLE_EVERY_S | seconds between settlements; 60 |
| TALLYSTICK_LIMITS | JSON file: limits that differ from their defaults; none |
| TALLYSTICK_TRUSTED_PROXIES | networks whose word on a client's address counts; none |
| TALLYSTICK_WEBHOOK_NETWORKS | closed networks that webhooks may reach, by plain http too; none |
| TALLYSTICK_CLIENT_NETWORKS | closed networks where OAuth clients' documents may be read; none |
| TALLYSTICK_ANVIL | path of anvil; looked for on PATH |

Traces are set by OpenTelemetry's variables, of which OTEL_EXPORTER_OTLP_ENDPOINT turns them on.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple

from orchestrator.core.common.errors import InputError
from orchestrator.core.common.limits import Limits, read_limits
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.site import Site
from orchestrator.storage.database import DatabaseUrls
from orchestrator.storage.local.files import closed_folder, read_text

NAMES = (
    "TALLYSTICK_HOME",
    "TALLYSTICK_SEQUENCER_DATABASE_URL",
    "TALLYSTICK_WORKER_DATABASE_URL",
    "TALLYSTICK_API_DATABASE_URL",
    "TALLYSTICK_REGISTRAR_DATABASE_URL",
    "TALLYSTICK_SCHEMA_DATABASE_URL",
    "TALLYSTICK_RPC_URL",
    "TALLYSTICK_FINAL_DEPTH",
    "TALLYSTICK_SITE",
    "TALLYSTICK_KEYS",
    "TALLYSTICK_MARK",
    "TALLYSTICK_REPLAY",
    "TALLYSTICK_KEY_FILE",
    "TALLYSTICK_LISTEN",
    "TALLYSTICK_METRICS",
    "TALLYSTICK_PUBLIC_URL",
    "TALLYSTICK_ORIGINS",
    "TALLYSTICK_SETTLE_EVERY_S",
    "TALLYSTICK_LIMITS",
    "TALLYSTICK_TRUSTED_PROXIES",
    "TALLYSTICK_WEBHOOK_NETWORKS",
    "TALLYSTICK_CLIENT_NETWORKS",
    "TALLYSTICK_ANVIL",
)
# Either says where spans go.
_COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_LISTEN = re.compile(r"([0-9A-Za-z.\-]+):([0-9]{1,5})")
_ORIGIN = re.compile(r"https?://[0-9a-z.\-]+(:[0-9]{1,5})?")
MAX_SETTLE_EVERY_S = 7 * DAY_S
MAX_FINAL_DEPTH = 100_000


class MetricsAddress(NamedTuple):
    """The address at which a process tells how it is; without the default one it goes on."""

    host: str
    port: int
    is_default: bool


METRICS = MetricsAddress("127.0.0.1", 8701, is_default=True)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process. URLs may hold passwords, so `repr` leaves them out."""

    home: Path
    databases: DatabaseUrls
    rpc_url: str | None = field(repr=False)
    site: Path | None
    keys: Path
    key_file: Path | None
    host: str
    port: int
    public_url: str
    settle_every_s: int
    limits: Path | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    origins: tuple[str, ...] = ()
    final_depth: int | None = None
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    metrics: MetricsAddress | None = METRICS
    client_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    marked: Path | None = None
    kept: Path | None = None
    traces: bool = False

    @property
    def mark(self) -> Path:
        """The file of what was signed last."""
        return self.marked or self.keys / "publisher.mark"

    @property
    def replay(self) -> Path:
        """The file where the verifier's replay is kept."""
        return self.kept or self.keys / "verifier.replay"


def default_home(name: str) -> Path:
    """Return the folder of this name in our home: `~/.NAME`.

    It is `/var/lib/NAME` for root whose home is closed to others: PostgreSQL, which does not run as
    root, could not enter.
    """
    home = Path("~").expanduser()
    if os.geteuid() == 0 and closed_folder(home) is not None:
        return Path("/var/lib") / name
    return home / f".{name}"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings in an environment; an empty variable counts as unset.

    Raises InputError for an unknown name and for a value that is out of its range.
    """
    # A misspelt name would leave the default in force without a sign of it.
    unknown = sorted(
        name for name in environment if name.startswith("TALLYSTICK_") and name not in NAMES
    )
    if unknown:
        raise InputError(
            "setting-unknown", f"{unknown[0]} is no setting; there are {', '.join(NAMES)}"
        )
    values = {name: environment[name] for name in NAMES if environment.get(name)}
    # PostgreSQL of our own must enter it; who names another keeps it where it always was.
    is_own = not any(name.endswith("_DATABASE_URL") for name in values)
    try:
        named = values.get("TALLYSTICK_HOME") or ("" if is_own else "~/.tallystick")
        home = Path(named).expanduser().absolute() if named else default_home("tallystick")
    except RuntimeError:
        raise InputError("setting-home", "this user has no home: set TALLYSTICK_HOME") from None
    listen = values.get("TALLYSTICK_LISTEN", "127.0.0.1:8700")
    host, port = _address("TALLYSTICK_LISTEN", listen)
    every = values.get("TALLYSTICK_SETTLE_EVERY_S", "60")
    if not every.isdecimal() or not 1 <= int(every) <= MAX_SETTLE_EVERY_S:
        raise InputError(
            "setting-settle",
            f"TALLYSTICK_SETTLE_EVERY_S must be from 1 to {MAX_SETTLE_EVERY_S}, not {every!r}",
        )
    rpc_url, site = values.get("TALLYSTICK_RPC_URL"), values.get("TALLYSTICK_SITE")
    if site is not None and rpc_url is None:
        raise InputError(
            "setting-site", "TALLYSTICK_SITE goes with TALLYSTICK_RPC_URL: the node that it is on"
        )
    return Settings(
        home=home,
        databases=DatabaseUrls(
            *(
                values.get(f"TALLYSTICK_{name}_DATABASE_URL")
                for name in ("SEQUENCER", "WORKER", "API", "REGISTRAR", "SCHEMA")
            )
        ),
        rpc_url=rpc_url,
        site=Path(site) if site else None,
        keys=Path(values["TALLYSTICK_KEYS"]) if "TALLYSTICK_KEYS" in values else home / "keys",
        key_file=Path(values["TALLYSTICK_KEY_FILE"]) if "TALLYSTICK_KEY_FILE" in values else None,
        host=host,
        port=port,
        public_url=values.get("TALLYSTICK_PUBLIC_URL", f"http://{listen}"),
        settle_every_s=int(every),
        limits=Path(values["TALLYSTICK_LIMITS"]) if "TALLYSTICK_LIMITS" in values else None,
        trusted_proxies=_networks(values, "TALLYSTICK_TRUSTED_PROXIES", "setting-proxies"),
        webhook_networks=_networks(values, "TALLYSTICK_WEBHOOK_NETWORKS", "setting-webhooks"),
        client_networks=_networks(values, "TALLYSTICK_CLIENT_NETWORKS", "setting-clients"),
        origins=_origins(values.get("TALLYSTICK_ORIGINS", "")),
        final_depth=_final_depth(values.get("TALLYSTICK_FINAL_DEPTH")),
        metrics=_metrics(values.get("TALLYSTICK_METRICS")),
        marked=Path(values["TALLYSTICK_MARK"]) if "TALLYSTICK_MARK" in values else None,
        kept=Path(values["TALLYSTICK_REPLAY"]) if "TALLYSTICK_REPLAY" in values else None,
        traces=_has_traces(environment),
    )


def _has_traces(environment: Mapping[str, str]) -> bool:
    """Return whether spans go to a collector, by the variables that OpenTelemetry defines.

    Raises InputError for an exporter or a protocol that is not offered.
    """
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    has_collector = any(environment.get(name) for name in _COLLECTORS)
    exporter = environment.get("OTEL_TRACES_EXPORTER") or ("otlp" if has_collector else "none")
    if is_off or exporter == "none":
        return False
    protocol = "http/protobuf"
    for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        protocol = environment.get(name) or protocol
    if exporter != "otlp" or protocol != "http/protobuf":
        raise InputError(
            "setting-traces",
            f"traces are sent by OTEL_TRACES_EXPORTER=otlp in http/protobuf, or not at all (none); "
            f"not by {exporter!r} in {protocol!r}",
        )
    return True


def _final_depth(text: str | None) -> int | None:
    """Return the depth below which blocks count as final. Raises InputError for what is none."""
    if text is None:
        return None
    if not text.isdecimal() or int(text[:9]) > MAX_FINAL_DEPTH:
        raise InputError(
            "setting-final-depth",
            f"TALLYSTICK_FINAL_DEPTH must be from 0 to {MAX_FINAL_DEPTH} blocks, not {text!r}",
        )
    return int(text)


def _address(name: str, text: str) -> tuple[str, int]:
    """Return the host and port of a setting. Raises InputError."""
    match = _LISTEN.fullmatch(text)
    if match is None or not int(match[2]) < 65_536:
        code = f"setting-{name.removeprefix('TALLYSTICK_').lower()}"
        raise InputError(code, f"{name} must be host:port, such as 127.0.0.1:8700, not {text!r}")
    return match[1], int(match[2])


def _metrics(text: str | None) -> MetricsAddress | None:
    """Return where to tell how the process is; None for nowhere. Raises InputError."""
    if text is None:
        return METRICS
    if text == "off":
        return None
    return MetricsAddress(*_address("TALLYSTICK_METRICS", text), is_default=False)


def _origins(text: str) -> tuple[str, ...]:
    """Return the origins in a list. Raises InputError for what is none."""
    origins = tuple(each.strip() for each in text.split(",")) if text else ()
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise InputError(
                "setting-origins",
                f"TALLYSTICK_ORIGINS lists origins such as https://app.example, not {origin!r}",
            )
    return origins


def read_site(path: Path) -> Site:
    """Return the site that a file describes. Raises InputError that names the file."""
    text = read_text(path)
    try:
        return Site.from_json(json.loads(text))
    except (ValueError, InputError) as error:
        raise InputError("site-malformed", f"{path}: {error}") from None


def read_limits_file(path: Path | None) -> Limits:
    """Return the limits with those that a file changes. Raises InputError that names the file."""
    if path is None:
        return Limits()
    try:
        return read_limits(json.loads(read_text(path)))
    except (ValueError, InputError) as error:
        raise InputError("limits-malformed", f"{path}: {error}") from None


def _networks(
    values: Mapping[str, str], name: str, code: str
) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of a list with commas. Raises InputError."""
    parts = values.get(name, "").split(",")
    try:
        return tuple(ip_network(part.strip()) for part in parts if part.strip())
    except ValueError as error:
        raise InputError(
            code, f"{name} must be networks such as 10.0.0.0/8,fd00::1, and {error}"
        ) from None
