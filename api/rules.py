"""Rules that operations may break: by status the codes of their errors, in families.

A route names its families where it is declared, beside the statuses; what every operation, or every
one with a key or a body, can answer is added when the API is described. So the description lists
for each operation the codes that it can answer and no others.
"""

from collections.abc import Mapping

from orchestrator.core.deals.terms import SET_BY_SURFACE

Rules = Mapping[int, frozenset[str]]


def rules(status: int, codes: str) -> Rules:
    """Return rules of one status, their codes separated by spaces."""
    return {status: frozenset(codes.split())}


def joined(*families: Rules) -> Rules:
    """Return families as one."""
    found: dict[int, frozenset[str]] = {}
    for family in families:
        for status, codes in family.items():
            found[status] = found.get(status, frozenset()) | codes
    return found


# --- Of every operation, or of those of one sort --------------------------------------------------

EVERY = joined(
    rules(400, "header-doubled length-malformed"),
    rules(413, "body-too-large"),
    rules(422, "query-invalid"),
    rules(429, "rate-limited connections-many"),
    rules(500, "internal"),
    rules(503, "unavailable"),
)
WITH_FIELDS = rules(422, "invalid")
WITH_BODY = rules(415, "media-type")
WITH_JSON = rules(400, "json-malformed")
WITH_LINES = joined(rules(413, "lines-too-many"), rules(422, "line-invalid lines-missing"))
WITH_KEY = joined(
    rules(401, "key-missing key-malformed key-unknown key-revoked key-expired"),
    rules(403, "scope-missing"),
    rules(429, "too-many-at-once"),
)
WITH_SURFACE = rules(403, "surface-forbidden")
PUBLIC_READ = joined(rules(429, "reads-busy"), rules(503, "reads-busy"))
# What a status that a route declares stands for by itself.
BY_STATUS = {404: rules(404, "not-found")}
# Of more than a few operations, by their sort alone.
COMMON = joined(
    *(EVERY, WITH_FIELDS, WITH_BODY, WITH_JSON, WITH_LINES, WITH_KEY, WITH_SURFACE, PUBLIC_READ),
    *BY_STATUS.values(),
)


# --- Documents ------------------------------------------------------------------------------------

DOCUMENT = rules(
    422,
    "choice-unknown key-missing key-unknown list-too-long name-invalid not-a-list not-a-table "
    "number-invalid",
)
POLICY = joined(
    DOCUMENT,
    rules(
        422,
        "actions-moved event-ambiguous event-twice event-unknown from-empty lateness-zero "
        "policy-too-long reversal-twice state-twice state-unknown states-empty steps-too-many "
        "transition-ambiguous",
    ),
)
QUALIFICATION = rules(422, "fields-count fields-enum fields-open")
MAPPING = rules(
    422,
    "currency-malformed currency-unknown day-invalid event-twice flag-invalid path-invalid "
    "rate-invalid rates-empty rates-unordered source-twice value-invalid zone-invalid",
)
SETTINGS = joined(
    DOCUMENT,
    QUALIFICATION,
    MAPPING,
    rules(422, "schema-invalid schema-too-deep schema-too-long text-invalid"),
    rules(
        422,
        "action-level-zero action-reserved amount-invalid codes-level-zero levels-empty "
        "question-twice settings-too-long thresholds-crossed token-malformed",
    ),
)
TERMS = rules(
    422,
    "amount-range arbiter-zero bps-range budget-zero claim-period-short deadline-before-opening "
    "escrow-as-payee fee-recipient-zero field-malformed grace-short opens-in-past "
    "owner-is-operator party-zero price-zero rate-cap-small rate-period-zero times-range",
)
# Texts in terms are 31 bytes of ASCII.
TERMS_WORDS = rules(422, "label-not-ascii label-too-long")
_READ_IN_A_DEAL = (
    "agent-id arbiter arbitration budget challenge claims closes-at closes-in grace hold "
    "hold-share opens-at opens-in payee price rate-cap rate-period share window"
)
DEAL = joined(
    DOCUMENT,
    TERMS,
    TERMS_WORDS,
    rules(
        422,
        "at-most-of-share budget-missing deal-twice flag-invalid from-unknown outcome-unknown "
        "text-missing token-unknown",
    ),
    rules(422, " ".join(f"{key}-malformed" for key in _READ_IN_A_DEAL.split())),
)
SIGNATURE = rules(
    422,
    "signature-high-s signature-invalid signature-length signature-range signature-v",
)
PROPOSED = joined(
    TERMS,
    TERMS_WORDS,
    SIGNATURE,
    rules(422, "outcome-unknown token-unknown"),
    rules(422, " ".join(f"{name.replace('_', '-')}-differs" for name in SET_BY_SURFACE)),
)


# --- Requests to the log --------------------------------------------------------------------------

# Of every request that the log takes.
TAKEN = joined(
    rules(403, "storage-limit"),
    rules(404, "surface-unknown"),
    rules(409, "idempotency-conflict"),
    rules(503, "inbox-full"),
)
OWNERS = rules(403, "not-the-owner")
PUBLISHED = rules(409, "policy-drops-state policy-in-force surface-taken")
EVENT = joined(
    OWNERS,
    rules(422, "event-ahead event-late fields-invalid"),
    rules(
        409, "lead-id order-id order-ambiguous order-limit order-taken order-unknown ref-unusable"
    ),
    rules(409, "lead-elsewhere"),
)
SOURCE_EVENT = joined(
    EVENT,
    rules(409, "settings-missing source-unmapped"),
    rules(413, "lines-too-many"),
    rules(
        422,
        "batch-too-long currency-invalid currency-missing currency-unknown event-invalid "
        "event-missing id-invalid id-missing lead-invalid lead-missing name-invalid "
        "order-invalid order-missing payload-invalid rate-missing refund-part-unknown time-invalid "
        "time-missing value-invalid value-missing value-negative",
    ),
)
SIGNED = joined(
    rules(401, "signature-malformed signature-missing signature-wrong"), rules(503, "undecided")
)
# Of an act that a level allows.
ACT = rules(409, "level-too-low operator-suspended settings-missing")
# Of a request that names a lease.
LEASED = rules(409, "lease-lost")
TOUCHED = joined(
    ACT,
    rules(403, "action-unknown"),
    rules(404, "lead-unknown"),
    rules(409, "action-by-another action-unknown lead-elsewhere lead-limit lead-unknown"),
    rules(409, "pool-limit touch-limit"),
)
ANSWERED = joined(
    OWNERS, rules(409, "action-closed action-expired action-taken"), rules(422, "result-unlisted")
)
ENDED = joined(rules(404, "code-unknown"), rules(409, "code-ended"))


# --- Deals and sign-in ----------------------------------------------------------------------------

# Of a proposal that answers another, or takes an offer.
BOUND = rules(
    409,
    "answer-accepted answer-unknown answered-already budget-unused level-too-low offer-budget "
    "offer-differs offer-ended offer-taken offer-unknown offer-waiting operator-suspended "
    "versions-too-many",
)
SIGN_IN = joined(
    rules(
        401,
        "chain-id-differs domain-differs message-early message-expired message-of-client "
        "keys-too-many nonce-unknown signature-invalid uri-differs",
    ),
    rules(422, "message-malformed scopes-unknown statement-differs"),
    rules(503, "registrar-silent sign-ins-full wallet-unasked"),
)


# --- Reads ----------------------------------------------------------------------------------------

WHY = rules(404, "contract-unknown entry-unknown lead-unknown policy-unknown surface-unknown")
PROOF = joined(
    rules(404, "checkpoint-unknown"),
    rules(422, "run-range size-range size-shrinks"),
)
