"""Qualification: the fields that a surface's settings ask for with a code, held to their schema."""

from collections.abc import Sequence

import jsonschema_rs

from api.context import Service
from api.http.bodies import ProductEvent
from api.http.problems import MAX_FAULTS, Fault, Refusal
from api.http.submissions import Item
from orchestrator.storage.database import Session


def check_qualification(
    service: Service, session: Session, surface: bytes, items: Sequence[Item[ProductEvent]]
) -> None:
    """Raise `Refusal` unless each event with a code brings the fields that the settings ask for.

    Fields that are not asked for are refused too: what is personal is not kept without a reason.
    """
    with_names = [item for item in items if item.body.ref is not None or item.body.fields]
    if not with_names:
        return
    row = session.one("api.surface_settings", log_id=service.log_id, surface=surface)
    codes = row.settings.get("codes") if row is not None and row.settings is not None else None
    schema = codes.get("fields") if codes else None
    validator = jsonschema_rs.validator_for(schema) if schema else None
    faults: list[Fault] = []
    for item in with_names:
        fields, where = item.body.fields, f"{item.place}/fields"
        if fields and (validator is None or item.body.ref is None):
            faults.append(Fault(where=where, detail="the settings ask for no fields here"))
        elif validator is not None and item.body.ref is not None:
            faults += [
                Fault(where=_pointer(where, error), detail=_rule(error))
                for error in validator.iter_errors(fields or {})
            ]
        if len(faults) >= MAX_FAULTS:
            break
    if faults:
        detail = f"{faults[0].where}: {faults[0].detail}"
        raise Refusal(422, "fields-invalid", detail, faults=faults[:MAX_FAULTS])


def _pointer(where: str, error: jsonschema_rs.ValidationError) -> str:
    return "/".join([where, *(str(part) for part in error.instance_path)])


def _rule(error: jsonschema_rs.ValidationError) -> str:
    """Return which rule of the schema is violated, without the value, which may be personal."""
    return f"does not meet {'/'.join(str(part) for part in error.schema_path)} of the settings"
