"""Qualification: what an owner must say of a lead that comes by a code, as a small JSON schema.

The fields are personal: they are kept apart, where they can be erased, and the log has a salted
commitment to them alone. The schema is a part of JSON Schema in which checking takes linear time
and nothing refers elsewhere: one object of texts, whole numbers and truths, each bounded.
"""

from collections.abc import Mapping

from orchestrator.core.common.document import (
    check_keys,
    read_choice,
    read_integer,
    read_list,
    read_name,
    read_table,
)
from orchestrator.core.common.errors import DocumentError

MAX_FIELDS = 16
MAX_TEXT_CHARS = 256
MAX_CHOICES = 32
MAX_NUMBER = 2**53 - 1
_KEYS = {
    "string": {"minLength", "maxLength", "enum"},
    "integer": {"minimum", "maximum"},
    "boolean": set[str](),
}


def parse_fields(value: object) -> dict[str, object]:
    """Read the schema of the fields that come with a code; it is returned in one form.

    Raises `DocumentError` for a keyword that is not taken, and for bounds that are too wide.
    """
    table = read_table(value, "codes: fields")
    check_keys(table, {"properties"}, {"type", "required", "additionalProperties"}, "codes: fields")
    read_choice(table.get("type", "object"), ("object",), "codes: fields: type")
    if table.get("additionalProperties", False) not in (False, "false"):
        raise DocumentError(
            "fields-open", "codes: fields: additionalProperties must be false, so that all is named"
        )
    properties = read_table(table["properties"], "codes: fields: properties")
    if not 1 <= len(properties) <= MAX_FIELDS:
        raise DocumentError(
            "fields-count", f"codes: fields has {len(properties)} properties, not 1 to {MAX_FIELDS}"
        )
    found = {
        read_name(name, "a field"): _field(name, one) for name, one in sorted(properties.items())
    }
    required = sorted(
        {
            read_choice(name, tuple(found), "codes: fields: required")
            for name in read_list(table.get("required", ()), "codes: fields: required", MAX_FIELDS)
        }
    )
    return {
        "type": "object",
        "properties": found,
        "required": required,
        "additionalProperties": False,
    }


def _field(name: str, value: object) -> dict[str, object]:
    where = f"codes: fields: {name}"
    table: Mapping[str, object] = read_table(value, where)
    if "type" not in table:
        raise DocumentError("key-missing", f"{where} lacks 'type'")
    kind = read_choice(table["type"], tuple(_KEYS), f"{where}: type")
    check_keys(table, {"type"}, _KEYS[kind], where)
    found: dict[str, object] = {"type": kind}
    if kind == "string":
        most = read_integer(
            table.get("maxLength", MAX_TEXT_CHARS), f"{where}: maxLength", 1, MAX_TEXT_CHARS
        )
        least = read_integer(table.get("minLength", 0), f"{where}: minLength", 0, most)
        found |= {"minLength": least, "maxLength": most}
        if "enum" in table:
            found["enum"] = _choices(table["enum"], where)
    if kind == "integer":
        least = read_integer(table.get("minimum", 0), f"{where}: minimum", 0, MAX_NUMBER)
        most = read_integer(
            table.get("maximum", MAX_NUMBER), f"{where}: maximum", least, MAX_NUMBER
        )
        found |= {"minimum": least, "maximum": most}
    return found


def _choices(value: object, where: str) -> list[str]:
    items = read_list(value, f"{where}: enum", MAX_CHOICES)
    texts = [item for item in items if isinstance(item, str) and len(item) <= MAX_TEXT_CHARS]
    if not texts or len(texts) != len(items) or len(set(texts)) != len(texts):
        raise DocumentError(
            "fields-enum",
            f"{where}: enum must be different texts of at most {MAX_TEXT_CHARS} characters",
        )
    return texts
