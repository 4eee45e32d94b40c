"""The states of errors have one place in Python, and are those that the SQL raises."""

import ast
import re
from pathlib import Path

import psycopg.errors

from orchestrator.storage.sql import sqlstates

ROOT = Path(__file__).parents[3]
STATES = {name: state for name, state in vars(sqlstates).items() if re.fullmatch("[A-Z_]+", name)}
WHOLE = {state for state in STATES.values() if len(state) == 5}
# What our SQL raises and nothing in Python tells from others: a caller of ours is at fault.
UNTOLD = {
    "restrict_violation",
    "invalid_parameter_value",
    "feature_not_supported",
}
RAISED_STATE = re.compile(r"(?:ERRCODE = |RAISE SQLSTATE )'(\w+)'")


def condition(state: str) -> str:
    """Return PostgreSQL's name of a state; one of our own has none."""
    try:
        name = psycopg.errors.lookup(state).__name__
    except KeyError:
        return state
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def raised() -> set[str]:
    """Return what the SQL raises: names of conditions, and states of our own."""
    texts = [file.read_text() for file in ROOT.glob("orchestrator/storage/sql/**/*.sql")]
    found = {word for text in texts for word in RAISED_STATE.findall(text)}
    return {condition(word) if re.fullmatch("[0-9A-Z]{5}", word) else word for word in found}


def test_what_the_sql_raises_is_named_or_a_fault_of_ours() -> None:
    ours = {"ACCOUNT_FULL", "ALL_FULL", "FORBIDDEN", "NO_PLACE", "OTHER_REQUEST", "UNBOUND"}
    assert raised() == {condition(STATES[name]) for name in ours} | UNTOLD


def test_a_state_of_postgresql_has_the_name_that_is_said_of_it() -> None:
    text = Path(sqlstates.__file__).read_text()
    told = re.findall(r'^\w+ = "(\w{5})"  # (\w+)', text, re.MULTILINE)
    assert {state: name for state, name in told if state != sqlstates.UNBOUND} == {
        state: condition(state) for state in WHOLE - {sqlstates.UNBOUND}
    }


def is_state(text: str) -> bool:
    return bool(re.fullmatch("(?=.*[0-9])[0-9A-Z]{5}", text)) and (
        text in WHOLE or condition(text) != text
    )


def test_no_other_module_spells_a_state() -> None:
    spelled = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for package in ("orchestrator", "api")
        for file in ROOT.glob(f"{package}/**/*.py")
        if file != Path(sqlstates.__file__)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_state(node.value)
    ]
    assert spelled == []
