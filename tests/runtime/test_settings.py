"""Settings come from the environment alone; each one that cannot be right is refused."""

import os
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import NoReturn

import pytest

from orchestrator.core.common.errors import InputError
from orchestrator.runtime import settings
from orchestrator.runtime.settings import (
    MAX_FINAL_DEPTH,
    MAX_SETTLE_EVERY_S,
    NAMES,
    MetricsAddress,
    Settings,
    read_settings,
    read_site,
)
from orchestrator.storage.database import NO_URLS, DatabaseUrls
from tests.support.servers import server_folder

DATABASE_URL = "postgresql://{}:secret@host/db"
DATABASES = {
    f"TALLYSTICK_{name}_DATABASE_URL": DATABASE_URL.format(name)
    for name in ("SEQUENCER", "WORKER", "API", "REGISTRAR", "SCHEMA")
}
RPC_URL = "https://node.example/secret"


@pytest.fixture
def open_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be at home in a folder that all may enter."""
    with server_folder() as folder:
        monkeypatch.setenv("HOME", str(folder))
        yield folder


def test_root_with_a_closed_home_lives_where_postgres_can_enter(
    open_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = open_home / ".tallystick"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert read_settings({}).home == usual
    open_home.chmod(0o700)
    assert read_settings({}).home == Path("/var/lib/tallystick")
    # PostgreSQL runs elsewhere, or as ourselves.
    assert read_settings(DATABASES).home == usual
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert read_settings({}).home == usual


@pytest.mark.usefixtures("open_home")
def test_an_empty_environment_is_a_local_deployment() -> None:
    assert read_settings({"PATH": "/bin"}) == Settings(
        home=Path.home() / ".tallystick",
        databases=NO_URLS,
        rpc_url=None,
        site=None,
        keys=Path.home() / ".tallystick/keys",
        key_file=None,
        host="127.0.0.1",
        port=8700,
        public_url="http://127.0.0.1:8700",
        settle_every_s=60,
        limits=None,
        trusted_proxies=(),
        metrics=MetricsAddress("127.0.0.1", 8701, True),
    )


def test_every_variable_has_its_setting() -> None:
    environment = {
        "TALLYSTICK_HOME": "/srv/tallystick",
        **DATABASES,
        "TALLYSTICK_RPC_URL": RPC_URL,
        "TALLYSTICK_FINAL_DEPTH": "64",
        "TALLYSTICK_SITE": "site.json",
        "TALLYSTICK_KEYS": "keys",
        "TALLYSTICK_KEY_FILE": "key",
        "TALLYSTICK_LISTEN": "0.0.0.0:80",
        "TALLYSTICK_METRICS": "10.0.0.1:9000",
        "TALLYSTICK_PUBLIC_URL": "https://log.example",
        "TALLYSTICK_ORIGINS": "https://app.example, http://localhost:3000",
        "TALLYSTICK_SETTLE_EVERY_S": "3600",
        "TALLYSTICK_LIMITS": "limits.json",
        "TALLYSTICK_TRUSTED_PROXIES": "10.0.0.0/8, fd00::1",
        "TALLYSTICK_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "TALLYSTICK_CLIENT_NETWORKS": "192.168.7.0/24",
        "TALLYSTICK_MARK": "signed/publisher.mark",
        "TALLYSTICK_REPLAY": "kept/verifier.replay",
        "TALLYSTICK_ANVIL": "/usr/bin/anvil",
    }
    assert set(environment) == set(NAMES)
    assert read_settings(environment) == Settings(
        home=Path("/srv/tallystick"),
        databases=DatabaseUrls(
            *map(DATABASE_URL.format, ("SEQUENCER", "WORKER", "API", "REGISTRAR", "SCHEMA"))
        ),
        rpc_url=RPC_URL,
        site=Path("site.json"),
        keys=Path("keys"),
        marked=Path("signed/publisher.mark"),
        kept=Path("kept/verifier.replay"),
        key_file=Path("key"),
        host="0.0.0.0",  # noqa: S104 - it is only read
        port=80,
        public_url="https://log.example",
        settle_every_s=3600,
        limits=Path("limits.json"),
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::1/128")),
        webhook_networks=(ip_network("127.0.0.0/8"),),
        origins=("https://app.example", "http://localhost:3000"),
        final_depth=64,
        metrics=MetricsAddress("10.0.0.1", 9000, False),
        client_networks=(ip_network("192.168.7.0/24"),),
    )


def test_an_empty_variable_counts_as_unset() -> None:
    assert read_settings(dict.fromkeys(NAMES, "")) == read_settings({})


def test_keys_are_in_the_home_and_the_public_url_is_where_it_listens() -> None:
    read = read_settings({"TALLYSTICK_HOME": "/srv", "TALLYSTICK_LISTEN": "log.example:99"})
    assert read.keys == Path("/srv/keys")
    assert read.public_url == "http://log.example:99"


def test_urls_with_passwords_are_not_shown() -> None:
    shown = repr(read_settings({**DATABASES, "TALLYSTICK_RPC_URL": RPC_URL}))
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("TALLYSTICK_HOUSE", "/srv", "setting-unknown"),
        ("TALLYSTICK_HOUSE", "", "setting-unknown"),
        ("TALLYSTICK_ORIGINS", "*", "setting-origins"),
        ("TALLYSTICK_ORIGINS", "app.example", "setting-origins"),
        ("TALLYSTICK_ORIGINS", "https://app.example/", "setting-origins"),
        ("TALLYSTICK_LISTEN", "localhost", "setting-listen"),
        ("TALLYSTICK_LISTEN", ":8700", "setting-listen"),
        ("TALLYSTICK_LISTEN", "[::1]:8700", "setting-listen"),
        ("TALLYSTICK_LISTEN", "localhost:65536", "setting-listen"),
        ("TALLYSTICK_LISTEN", "localhost:8700 ", "setting-listen"),
        ("TALLYSTICK_SETTLE_EVERY_S", "0", "setting-settle"),
        ("TALLYSTICK_SETTLE_EVERY_S", "-1", "setting-settle"),
        ("TALLYSTICK_SETTLE_EVERY_S", "1.5", "setting-settle"),
        ("TALLYSTICK_SETTLE_EVERY_S", str(MAX_SETTLE_EVERY_S + 1), "setting-settle"),
        ("TALLYSTICK_FINAL_DEPTH", "-1", "setting-final-depth"),
        ("TALLYSTICK_FINAL_DEPTH", "deep", "setting-final-depth"),
        ("TALLYSTICK_FINAL_DEPTH", str(MAX_FINAL_DEPTH + 1), "setting-final-depth"),
        ("TALLYSTICK_FINAL_DEPTH", "1" * 5_000, "setting-final-depth"),
        ("TALLYSTICK_SITE", "site.json", "setting-site"),
        ("TALLYSTICK_TRUSTED_PROXIES", "everyone", "setting-proxies"),
        ("TALLYSTICK_TRUSTED_PROXIES", "10.0.0.1/8", "setting-proxies"),
        ("TALLYSTICK_WEBHOOK_NETWORKS", "localhost", "setting-webhooks"),
        ("TALLYSTICK_CLIENT_NETWORKS", "home", "setting-clients"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(name: str, value: str, code: str) -> None:
    with pytest.raises(InputError) as refused:
        read_settings({name: value})
    assert refused.value.code == code
    assert name in refused.value.message


def test_a_user_without_a_home_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom systemd makes may have none: not where its module for names is not installed."""

    def unknown(_: int) -> NoReturn:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(InputError, match="TALLYSTICK_HOME") as refused:
        read_settings({})
    assert refused.value.code == "setting-home"
    assert read_settings({"TALLYSTICK_HOME": "/srv"}).home == Path("/srv")


def test_the_bounds_themselves_are_taken() -> None:
    longest = read_settings({"TALLYSTICK_SETTLE_EVERY_S": str(MAX_SETTLE_EVERY_S)})
    assert longest.settle_every_s == MAX_SETTLE_EVERY_S
    assert read_settings({"TALLYSTICK_LISTEN": "localhost:65535"}).port == 65_535
    for depth in (0, MAX_FINAL_DEPTH):
        assert read_settings({"TALLYSTICK_FINAL_DEPTH": str(depth)}).final_depth == depth


def test_every_setting_is_documented() -> None:
    guide = Path(__file__).parents[2].joinpath("docs/operating.md").read_text()
    for name in NAMES:
        assert f"| {name} |" in (settings.__doc__ or "")
        assert f"| `{name}` |" in guide


def test_a_site_file_that_is_garbled_is_named(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    for text in ("", "{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(InputError, match=f"{path}: ") as refused:
            read_site(path)
        assert refused.value.code == "site-malformed"


def test_metrics_are_told_on_loopback_unless_a_setting_says_otherwise() -> None:
    assert read_settings({"TALLYSTICK_METRICS": "off"}).metrics is None
    for wrong in ("on", "8701", "127.0.0.1:99999"):
        with pytest.raises(InputError, match="TALLYSTICK_METRICS must be host:port") as refused:
            read_settings({"TALLYSTICK_METRICS": wrong})
        assert refused.value.code == "setting-metrics"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "s"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "True"}, False),
    ],
)
def test_traces_are_told_where_a_collector_is_named(
    environment: dict[str, str], expected: bool
) -> None:
    assert read_settings(environment).traces is expected


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
    ],
)
def test_a_way_of_traces_that_is_not_offered_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match="http/protobuf"):
        read_settings(environment)
