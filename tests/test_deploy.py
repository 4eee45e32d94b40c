"""The files in deploy/: each can be read, and every command, setting and number in them exists."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from api.watch import Sight
from orchestrator.cli.main import app
from orchestrator.core.health import JUDGED_PARTS, Pulse, Vitals
from orchestrator.runtime import serve, stack
from orchestrator.runtime.connections import PATIENCE, Bounds, Gate
from orchestrator.runtime.health.metrics import Metrics
from orchestrator.runtime.processes.crew import MOST_PROCESSES
from orchestrator.runtime.settings import NAMES, read_settings
from orchestrator.storage.database import Database
from orchestrator.webhooks import worker
from tests.support.health import ALL, FIGURES, OneProcess

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = sorted([*DEPLOY.rglob("*.service"), *DEPLOY.rglob("*.service.d/*.conf")])
SERVED_PARTS = tuple(stack.PARTS)
# A program in a container or a unit, whose arguments follow.
PROGRAM = "/opt/tallystick/bin/tallystick"
# What one word of a PromQL expression may be besides a name of ours and a label. Prometheus itself
# tells `up`, of each target.
PROMQL = {
    *("absent", "by", "changes", "histogram_quantile", "increase", "le", "level", "max", "min"),
    *("instance", "job", "part", "process", "rate", "status", "sum", "up"),
}


def check_arguments(arguments: list[str]) -> None:
    """Check that our command takes these arguments."""
    command = typer.main.get_command(app)
    context = typer.Context(command)
    name, *rest = arguments
    found = command.get_command(context, name)  # type: ignore[attr-defined]
    assert found is not None, name
    found.make_context(name, list(rest))
    for option, value in pairwise(rest):
        if option == "--only":
            assert value == "%i" or value in stack.PARTS


def environment_of(*names: str) -> dict[str, str]:
    """Return the variables that files of deploy/env set, each once."""
    lines = [
        line
        for name in names
        for line in (DEPLOY / f"env/{name}.env").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    found = dict(line.split("=", 1) for line in lines)
    assert len(found) == len(lines)
    return found


def assignments(unit: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the section, name and value of each line of a unit."""
    section = ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, mark, value = line.partition("=")
            assert mark, line
            assert section, line
            yield section, name, value


# --- Settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", SERVED_PARTS)
def test_a_part_is_told_all_that_it_needs(part: str) -> None:
    settings = read_settings(environment_of("common", part))
    assert settings.site is not None
    assert not settings.databases.are_unset
    serve._check_logins(settings.databases, [part])
    logins = settings.databases.only([stack.PARTS[part].login])
    assert settings.databases == logins, "it is given another's login"


def test_migrate_is_told_all_that_it_needs_and_the_owner_is_told_to_it_alone() -> None:
    settings = read_settings(environment_of("common", "schema"))
    assert settings.databases.owners
    others = [environment_of(part) for part in ("common", *SERVED_PARTS)]
    assert not any("TALLYSTICK_SCHEMA_DATABASE_URL" in each for each in others)
    names = {path.stem for path in (DEPLOY / "env").iterdir()}
    assert names == {"common", "schema", *SERVED_PARTS}


def test_parts_on_one_machine_tell_at_addresses_of_their_own() -> None:
    told = [environment_of(part)["TALLYSTICK_METRICS"] for part in SERVED_PARTS]
    assert len(set(told)) == len(told)
    assert all(each.startswith("127.0.0.1:") for each in told)


# --- systemd --------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.relative_to(DEPLOY)))
def test_a_unit_names_what_there_is(unit: Path) -> None:
    found = list(assignments(unit))
    assert {section for section, _, _ in found} <= {"Unit", "Service", "Install"}
    for _, name, value in found:
        if name == "ExecStart":
            program, *arguments = value.split()
            assert program == PROGRAM
            check_arguments(arguments)
        elif name == "Environment":
            assert value.split("=")[0] in NAMES
        elif name == "EnvironmentFile":
            file = Path(value).name
            assert file == "%i.env" or (DEPLOY / "env" / file).is_file()
        elif name == "TimeoutStopSec":
            assert int(value) >= serve.STOP_S + PATIENCE.stop_s + 10


def test_each_part_runs_as_a_user_of_its_own() -> None:
    """systemd names a dynamic user by the unit's prefix, so all of one template would be one user.

    That one could read the keys of each part in its processes' folders of /proc.
    """
    for unit in DEPLOY.rglob("*.service"):
        found = {name: value for _, name, value in assignments(unit)}
        assert found["DynamicUser"] == "yes"
        if "@" in unit.name:
            assert "%i" in found["User"]


def test_no_unit_needs_its_user_to_have_a_home() -> None:
    for unit in DEPLOY.rglob("*.service"):
        given = [value for _, name, value in assignments(unit) if name == "Environment"]
        assert any(value.startswith("TALLYSTICK_HOME=") for value in given)


def test_a_unit_has_room_for_the_threads_of_an_api_of_most_processes() -> None:
    (most,) = (
        int(value)
        for _, name, value in assignments(DEPLOY / "systemd/tallystick@.service")
        if name == "TasksMax"
    )
    # anyio runs forty at a time in each, beside those that are always there.
    assert most >= 60 * MOST_PROCESSES


def test_a_part_is_given_its_own_keys() -> None:
    for name, part in stack.PARTS.items():
        drop_in = DEPLOY / f"systemd/tallystick@{name}.service.d/keys.conf"
        given = {
            value.split(":")[0]
            for _, setting, value in (assignments(drop_in) if drop_in.exists() else ())
            if setting == "LoadCredential"
        }
        assert given == set(part.keys)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_knows_all_that_the_units_say(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "systemd", tmp_path / "units")
    for unit in (tmp_path / "units").glob("*.service"):
        # It wants to find the program.
        unit.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    names = ["tallystick-migrate.service", *(f"tallystick@{part}.service" for part in SERVED_PARTS)]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        cwd=tmp_path / "units",
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}/units:", "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "tallystick" in line]
    assert not ours, "\n".join(ours)


# --- Containers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found["services"]


def test_every_part_has_a_container_that_takes_its_arguments(
    services: dict[str, dict[str, Any]],
) -> None:
    assert services.keys() == {"database", "migrate", *stack.PARTS}
    for name, service in services.items():
        if name == "database":
            continue
        check_arguments(service["command"])
        if name != "migrate":
            assert service["command"][-2:] == ["--only", name]
        files = [DEPLOY / file for file in service["env_file"]]
        part = "schema" if name == "migrate" else name
        assert files == [DEPLOY / "env/common.env", DEPLOY / f"env/{part}.env"]
        settings = read_settings(environment_of("common", part) | service["environment"])
        mounted = [volume.split(":")[1] for volume in service["volumes"]]
        assert str(settings.site) in mounted
        keys = {Path(path).name for path in mounted if path.startswith("/run/keys/")}
        assert keys == set(stack.PARTS[name].keys if name in stack.PARTS else ())
        assert name == "api" or "ports" not in service


def test_containers_have_time_to_stop_and_files_to_open(
    services: dict[str, dict[str, Any]],
) -> None:
    for name in stack.PARTS:
        grace_s = int(services[name]["stop_grace_period"].removesuffix("s"))
        assert grace_s >= serve.STOP_S + PATIENCE.stop_s + 10
        assert services[name]["ulimits"]["nofile"]["soft"] >= 4096
        assert "/healthz" in services[name]["healthcheck"]["test"][-1]


def test_a_database_that_is_still_set_up_is_not_taken_for_ready(
    services: dict[str, dict[str, Any]],
) -> None:
    """Its image runs a first server on the Unix socket alone, and ends it before the real one."""
    assert "--host=127.0.0.1" in services["database"]["healthcheck"]["test"]


def test_what_an_operator_puts_beside_the_containers_is_in_no_commit_and_in_no_image(
    services: dict[str, dict[str, Any]],
) -> None:
    mounted = [volume for service in services.values() for volume in service.get("volumes", ())]
    own = {volume.split(":")[0].split("/")[1] for volume in mounted if volume.startswith("./")}
    ignored = (DEPLOY.parent / ".gitignore").read_text().splitlines()
    assert {f"/deploy/{name}" for name in (*own, "database-password")} <= {
        line.rstrip("/") for line in ignored
    }
    assert (DEPLOY.parent / ".dockerignore").read_text().splitlines()[0] == "*"


def test_the_image_is_made_of_files_that_there_are() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--" not in line]
    sources = [source for each in copied for source in each]
    assert sources
    assert all((DEPLOY.parent / source).exists() for source in sources)
    # The builder is given these and nothing else: no key, no password, no environment of ours.
    given = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in given if line.startswith("!")} == {*sources}
    assert 'ENTRYPOINT ["tallystick"]' in lines


# --- The database ---------------------------------------------------------------------------------


def test_the_page_says_how_many_connections_a_part_takes_at_most() -> None:
    pool = signature(Database).parameters["most_connections"].default
    page = (DEPLOY.parent / "docs/operating.md").read_text()
    # An API listens by two that are not of the pool, for its feed and its bell; a sequencer decides
    # and writes by two; a registrar listens by one.
    each = pool + 2
    webhooks = pool + 1 + worker._CONNECTIONS
    assert f"up to {each} connections for each process" in page
    assert f"and {webhooks} for `webhooks`" in page
    processes = len(SERVED_PARTS) - 1
    assert processes * each + webhooks < 60


# --- Alarms ---------------------------------------------------------------------------------------


def told_names() -> set[str]:
    """Return the names of all numbers that /metrics tells of a service that works."""
    metrics = Metrics()
    metrics.counting(lambda *_: None, Gate(Bounds(1, 1)))  # type: ignore[arg-type]
    metrics.crew = OneProcess()
    vitals = Vitals(1, 1, 0, 1, 0, {part: Pulse(0, FIGURES) for part in ALL})
    text = metrics.render(Sight(vitals, 1)).decode()
    names = re.findall(r"^# TYPE (\S+) (\w+)", text, re.MULTILINE)
    return {
        f"{name}{suffix}" for name, kind in names for suffix in ("_bucket" * (kind == "histogram"),)
    }


def check_expression(expression: str) -> None:
    """Check that an expression names only what /metrics tells, parts and words of PromQL."""
    for part in re.findall(r'part="(\w+)"', expression):
        assert part in JUDGED_PARTS
    bare = re.sub(r'"[^"]*"|\[\w+\]|\b[0-9][0-9.e]*', "", expression)
    unknown = set(re.findall(r"[a-z_]\w*", bare)) - PROMQL - told_names()
    assert not unknown, unknown


def test_alarms_name_numbers_that_are_told() -> None:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        check_expression(rule["expr"])


def test_every_alarm_is_tried() -> None:
    """Prometheus' own tool runs them where it is installed; here nothing may be left out."""
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    tried = (DEPLOY / "alerts.test.yml").read_text()
    cases = yaml.safe_load(tried)
    assert cases["rule_files"] == ["alerts.yml"]
    fired = re.findall(r'alertname="(\w+)"', tried)
    assert {*fired} == {rule["alert"] for rule in group["rules"]}
    given = {each["series"] for case in cases["tests"] for each in case["input_series"]}
    for series in given:
        check_expression(series.replace('job="node"', 'job="tallystick"'))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_finds_each_alarm_when_it_is_due() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yml"],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_answers_the_api_alone_tells_of_connections() -> None:
    """So an alarm can ask whether any process answers it."""
    assert "tallystick_connections" in told_names()
    sight = Sight(Vitals(1, 1, 0, 1, 0, {}), 1)
    assert b"tallystick_connections" not in Metrics().render(sight)


def test_the_dashboard_names_numbers_that_are_told() -> None:
    panels = json.loads((DEPLOY / "dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        for target in panel["targets"]:
            check_expression(target["expr"])


def test_a_number_that_is_not_told_is_found() -> None:
    for wrong in ("max(tallystick_moons)", 'tallystick_part_well{part="moon"}', "median(x)"):
        with pytest.raises(AssertionError):
            check_expression(wrong)
