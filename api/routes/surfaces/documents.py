"""The documents of a surface, its policy and its settings, as the description shows them."""

from typing import Annotated, Any

from pydantic import Field

from api.http.fields import NAME_PATTERN
from orchestrator.core.common.document import MAX_DOCUMENT_BYTES
from orchestrator.core.common.units import DAY_S
from orchestrator.core.intake.currency import MAX_CURRENCIES
from orchestrator.core.intake.mapping import SOURCES
from orchestrator.core.surface import policy, surface_settings
from orchestrator.core.surface.forecast import MAX_HORIZON_DAYS, MAX_QUESTIONS

# For readers of the description alone: orchestrator/core/surface/policy.py decides what a policy
# is, and bounds its steps and its size as no schema can.
_NAME_SCHEMA = {"type": "string", "pattern": NAME_PATTERN}

_DIGITS_SCHEMA = {"type": "string", "pattern": r"^[0-9]{1,18}$"}


def _whole_schema(least: int, most: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, _DIGITS_SCHEMA]}


# --- Policies -------------------------------------------------------------------------------------


_POLICY_EXAMPLE = {
    "initial": "new",
    "states": ["new", "signed_up", "activated", "subscribed"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "signed_up", "motion": "acquisition"},
        {"on": "activate", "from": ["signed_up"], "to": "activated", "motion": "activation"},
        {"on": "subscribe", "from": ["activated"], "to": "subscribed", "motion": "conversion"},
    ],
    "reversals": [{"on": "refund", "of": "subscribed"}],
    "events": {"Subscription Started": "subscribe"},
    "attribution": "last_touch",
    "lateness_s": DAY_S,
    "touches_per_lead": 10,
}
_POLICY_SCHEMA = {
    "required": ["initial", "states", "transitions", "attribution", "touches_per_lead"],
    "properties": {
        "initial": _NAME_SCHEMA,
        "states": {
            "type": "array",
            "items": _NAME_SCHEMA,
            "minItems": 1,
            "maxItems": policy.MAX_STATES,
        },
        "transitions": {
            "type": "array",
            "maxItems": policy.MAX_TRANSITIONS,
            "items": {
                "type": "object",
                "required": ["on", "from", "to", "motion"],
                "properties": {
                    "on": _NAME_SCHEMA,
                    "from": {"type": "array", "items": _NAME_SCHEMA, "minItems": 1},
                    "to": _NAME_SCHEMA,
                    "motion": {"enum": ["acquisition", "activation", "conversion", "expansion"]},
                },
            },
        },
        "reversals": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "required": ["on", "of"],
                "properties": {"on": _NAME_SCHEMA, "of": _NAME_SCHEMA},
            },
        },
        "attribution": {"enum": ["first_touch", "last_touch"]},
        "lateness_s": _whole_schema(policy.MIN_LATENESS_S, policy.MAX_LATENESS_S),
        "events": {
            "type": ["object", "null"],
            "description": "By the product's own name of an event, the short name that transitions "
            "and reversals are on. Events that the policy names itself need none.",
            "maxProperties": policy.MAX_EVENTS,
            "additionalProperties": _NAME_SCHEMA,
        },
        "touches_per_lead": _whole_schema(1, policy.MAX_TOUCHES_PER_LEAD),
    },
    "additionalProperties": False,
}

PolicyDocument = Annotated[
    dict[str, Any],
    Field(
        description="The rules of a surface, which terms pin: its lead lifecycle, its attribution. "
        f"At most {policy.MAX_STEPS} steps, counting each state that a transition starts from, and "
        f"{MAX_DOCUMENT_BYTES} bytes of canonical JSON.",
        json_schema_extra=_POLICY_SCHEMA,
        examples=[_POLICY_EXAMPLE],
    ),
]


# --- Settings -------------------------------------------------------------------------------------


SETTINGS_EXAMPLE = {
    "token": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "actions": {"email": {"level": 1}, "call": {"level": 2}},
    "levels": [
        {"leads_a_day": 50},
        {
            "leads_a_day": 500,
            "outcomes": 20,
            "units": "100000000",
            "age_s": 30 * DAY_S,
            "reversed_bps": 500,
            "keep_reversed_bps": 1000,
            "disputes_lost": 0,
        },
    ],
}
# orchestrator/core/surface/surface_settings.py decides what settings are.
_RESULTS_SCHEMA = {
    "outcomes": _whole_schema(1, surface_settings.MAX_OUTCOMES),
    "units": {"type": ["string", "integer"]},
    "age_s": _whole_schema(0, surface_settings.MAX_PERIOD_S),
    "reversed_bps": _whole_schema(0, 10_000),
    "keep_reversed_bps": _whole_schema(0, 10_000),
    "disputes_lost": _whole_schema(0, surface_settings.MAX_OUTCOMES),
}

_PERIOD_SCHEMA = _whole_schema(0, surface_settings.MAX_PERIOD_S)

_LEADS_A_DAY_SCHEMA = _whole_schema(1, surface_settings.MAX_LEADS_A_DAY)

_SETTINGS_SCHEMA = {
    "required": ["token", "actions", "levels"],
    "properties": {
        "token": {
            "type": "string",
            "pattern": "^0x[0-9a-fA-F]{40}$",
            "description": "The token in which results are counted: outcomes of contracts that pay "
            "in it are evidence.",
        },
        "actions": {
            "type": "object",
            "description": "What operators may do, each from a level on; level 0 touches nothing.",
            "maxProperties": surface_settings.MAX_ACTIONS,
            "additionalProperties": {
                "type": "object",
                "required": ["level"],
                "properties": {
                    "level": _whole_schema(1, surface_settings.MAX_LEVEL),
                    "by": {
                        "enum": [*surface_settings.CARRIERS],
                        "description": "Who carries it out. What the surface carries out is "
                        "requested of it; the rest stands with that alone.",
                    },
                    "expires_s": _whole_schema(1, surface_settings.MAX_EXPIRY_S),
                    "parameters": {
                        "type": "object",
                        "description": "A JSON schema of an object: type, properties, required, "
                        "items, enum, bounds of lengths and numbers, title and description.",
                    },
                    "returns": {
                        "type": "array",
                        "maxItems": surface_settings.MAX_RETURNS,
                        "items": _NAME_SCHEMA,
                    },
                },
                "additionalProperties": False,
            },
        },
        "open_actions": {
            "type": "object",
            "description": "The most actions that are open at one time: of an operator for a lead, "
            "of an operator, of all.",
            "properties": {
                name: _whole_schema(1, most) for name, most in surface_settings.MAX_OPEN.items()
            },
            "additionalProperties": False,
        },
        "levels": {
            "type": "array",
            "description": "What each level from 1 on allows and, from 2 on, the results that earn "
            "it.",
            "minItems": 1,
            "maxItems": surface_settings.MAX_LEVEL,
            "items": {
                "type": "object",
                "required": ["leads_a_day"],
                "properties": {"leads_a_day": _LEADS_A_DAY_SCHEMA, **_RESULTS_SCHEMA},
                "additionalProperties": False,
            },
        },
        "currencies": {
            "type": ["object", "null"],
            "description": "By currency, the tokens that one unit of it is worth: decimal text, or "
            "a list of rates with the day from which each holds.",
            "maxProperties": MAX_CURRENCIES,
        },
        "sources": {
            "type": ["object", "null"],
            "description": "By source (segment, stripe, posthog, csv), which of its events is "
            "which of the policy's, and where their fields are.",
            "maxProperties": len(SOURCES),
            "additionalProperties": {"type": "object", "required": ["events"]},
        },
        "ripening_s": _PERIOD_SCHEMA,
        "bucket_s": _PERIOD_SCHEMA,
        "pause_s": _PERIOD_SCHEMA,
        "pool": {
            "type": ["object", "null"],
            "description": "What all operators share whose level comes from forecasts alone.",
            "required": ["places", "leads_a_day", "touches_a_day", "lasts_s"],
            "properties": {
                "places": _whole_schema(1, surface_settings.MAX_PLACES),
                "leads_a_day": _LEADS_A_DAY_SCHEMA,
                "touches_a_day": _LEADS_A_DAY_SCHEMA,
                "lasts_s": _PERIOD_SCHEMA,
            },
            "additionalProperties": False,
        },
        "codes": {
            "type": ["object", "null"],
            "description": "The codes that operators are given from a level on: how often and how "
            "long each can be used, how many a day, and the fields that come with one.",
            "required": ["level", "max_uses", "expires_s", "a_day"],
            "properties": {
                "level": _whole_schema(1, surface_settings.MAX_LEVEL),
                "max_uses": _whole_schema(1, surface_settings.MAX_CODE_USES),
                "expires_s": _whole_schema(1, surface_settings.MAX_CODE_PERIOD_S),
                "a_day": _whole_schema(1, surface_settings.MAX_CODES_A_DAY),
                "fields": {"type": "object", "required": ["properties"]},
            },
            "additionalProperties": False,
        },
        "deals": {
            "type": ["object", "null"],
            "description": "The terms that drafts and offers have where they say nothing: the "
            "attribution window, how long a contract is open, for how long how much is held back, "
            "how long a statement can be challenged.",
            "properties": {
                "window_s": _PERIOD_SCHEMA,
                "lasts_s": _PERIOD_SCHEMA,
                "hold_s": _PERIOD_SCHEMA,
                "hold_bps": _whole_schema(0, 10_000),
                "challenge_s": _PERIOD_SCHEMA,
            },
            "additionalProperties": False,
        },
        "forecasts": {
            "type": ["object", "null"],
            "description": "The questions that operators may forecast, and what earns level 1.",
            "required": ["questions"],
            "properties": {
                "questions": {
                    "type": "array",
                    "maxItems": MAX_QUESTIONS,
                    "items": {
                        "type": "object",
                        "required": ["from", "to", "horizon_days"],
                        "properties": {
                            "from": _NAME_SCHEMA,
                            "to": _NAME_SCHEMA,
                            "horizon_days": _whole_schema(1, MAX_HORIZON_DAYS),
                        },
                        "additionalProperties": False,
                    },
                },
                "min_counted": _whole_schema(1, 1_000),
                "min_leads": _whole_schema(30, 10_000),
                "skill_bps": _whole_schema(1, 10_000),
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}

SettingsDocument = Annotated[
    dict[str, Any],
    Field(
        description="What a surface's owner changes freely: the actions it offers, what each trust "
        f"level allows, what earns it. At most {MAX_DOCUMENT_BYTES} bytes of canonical JSON.",
        json_schema_extra=_SETTINGS_SCHEMA,
        examples=[SETTINGS_EXAMPLE],
    ),
]
