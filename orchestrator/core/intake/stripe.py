"""Stripe's events: payments and refunds, with amounts in the smallest unit of their currency.

The shapes relied on (Stripe's API reference and its pages on webhooks and currencies):

* An event has `id`, `type`, `created` (whole seconds), `livemode`, and under `data` the `object` it
  is about, and in `previous_attributes` what the change replaced.
* `charge.succeeded` has `amount`, `currency`, `customer`, `metadata`, `payment_intent`;
  `payment_intent.succeeded` has `amount_received`; `invoice.paid` has `amount_paid` and, by API
  versions before 2025-03-31, `payment_intent` or `charge`.
* `charge.refunded` comes for each refund, whole or in part. Its charge has `amount_refunded`, all
  that was given back so far: the part of this event is that less the one before, which
  `previous_attributes` has. So events may be lost, doubled or come in any order, and each still
  says its own part.
* `refund.created` has the `amount` of one refund. It has no customer: its lead must be in its
  `metadata`. It counts if its `status` is `succeeded`.

A payment and its refunds have their order in common: the payment intent or, without one, the
charge. An event is known by what it is about, since Stripe may write two events about one thing.
"""

from collections.abc import Mapping

from orchestrator.core.common.errors import shown
from orchestrator.core.intake.currency import Currencies
from orchestrator.core.intake.found import FoundEvent, IntakeError, SkippedError
from orchestrator.core.intake.mapping import FieldPaths, MappedEvent, SourceMapping, own_order
from orchestrator.core.intake.payload import text_of, value_at

_TIME = (("created",),)
_AMOUNTS = {
    "charge.succeeded": "amount",
    "payment_intent.succeeded": "amount_received",
    "invoice.paid": "amount_paid",
    "checkout.session.completed": "amount_total",
    "refund.created": "amount",
}


def stripe_event(
    mapping: SourceMapping, currencies: Currencies, payload: Mapping[str, object]
) -> FoundEvent:
    """Return the event that Stripe tells of. Raises `SkippedError` or `IntakeError`."""
    kind, about = payload.get("type"), value_at(payload, ("data", "object"))
    if not isinstance(kind, str) or not isinstance(about, Mapping):
        raise IntakeError(
            "event-missing",
            "it is no event of Stripe: it needs type and data.object, as /v1/events has them",
        )
    mapped = mapping.mapped(kind)
    if payload.get("livemode") is False and not mapping.takes_tests:
        raise SkippedError("test-mode", kind)
    key = text_of(about.get("id"))
    if key is None:
        raise IntakeError("id-missing", "data.object has no id")
    row = {**about, "created": payload.get("created")}
    amount, part = _amount(kind, about, payload)
    found = mapping.read(
        MappedEvent(mapped.event, _FREE._replace(lead=mapping.defaults.lead)),
        row,
        currencies,
        row_id=f"{kind}:{key}{part}",
    )
    units = None
    if amount is not None:
        currency = about.get("currency")
        if currency is None:
            raise IntakeError("currency-missing", "currency-missing: data.object has no currency")
        units = mapping.amount_units(amount, currency, currencies, found.time_ns)
    return found._replace(value_units=units, order=_order(kind, about, amount))


_FREE = FieldPaths((), _TIME, (), (), (), ())


def _amount(
    kind: str, about: Mapping[str, object], payload: Mapping[str, object]
) -> tuple[object, str]:
    """Return the amount of an event, None for none, and what tells it from others of its object."""
    if kind == "charge.refunded":
        return _refunded(about, payload)
    if kind == "refund.created" and about.get("status") != "succeeded":
        raise SkippedError("refund-unfinished", kind)
    name = _AMOUNTS.get(kind)
    if name is None:
        return None, f":{text_of(payload.get('id')) or ''}"
    if name not in about:
        raise IntakeError("value-missing", f"data.object of a {kind} has no {name}")
    return about[name], ""


def _refunded(about: Mapping[str, object], payload: Mapping[str, object]) -> tuple[object, str]:
    """Return the part that one event of a charge gave back, and how much was given back by then."""
    total = about.get("amount_refunded")
    before = value_at(payload, ("data", "previous_attributes", "amount_refunded"))
    if type(total) is not int or total < 0:
        raise IntakeError(
            "value-missing", f"amount_refunded must be a whole number, not {shown(total)}"
        )
    if before is None:
        # All of it at once is the whole charge, however it was told.
        if total != about.get("amount"):
            raise IntakeError(
                "refund-part-unknown",
                "refund-part-unknown: previous_attributes has no amount_refunded, so the part that "
                "this event gave back cannot be told from those before it; export the events, not "
                "the charges",
            )
        return None, f":{total}"
    if type(before) is not int or not 0 <= before < total:
        raise IntakeError(
            "value-invalid",
            f"amount_refunded went from {shown(before)} to {total}: no refund does that",
        )
    return total - before, f":{total}"


def _order(kind: str, about: Mapping[str, object], amount: object) -> str:
    """Return what a payment and its refunds have in common."""
    own = about.get("id") if kind.startswith(("charge.", "payment_intent.")) else None
    order = text_of(about.get("payment_intent")) or text_of(about.get("charge")) or text_of(own)
    if order is None and kind in _AMOUNTS and amount:
        raise IntakeError(
            "order-missing",
            f"order-missing: this {kind} names no payment that a refund could be about; map "
            f"charge.succeeded, or payment_intent.succeeded, in its place",
        )
    return "" if order is None else own_order(order)
