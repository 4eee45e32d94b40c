"""Disputes: the words by which the log tells of them, and which rulings an operator has lost.

A party disputes what a pending statement makes payable, or the sum of the claims; the arbiter rules
on either. The escrow decides what comes of it; the log only repeats what the chain says.
"""

OWNER, OPERATOR = "owner", "operator"
RAISED, KEPT, LOWERED = "raised", "kept", "lowered"
_CLAIMS_BY, _CLAIMS = "claims by ", "claims "

# A ruling on claims raises none of them: their sum is the most that it can leave.
DISPUTE_LABELS = (OWNER, OPERATOR, _CLAIMS_BY + OWNER, _CLAIMS_BY + OPERATOR)
RULING_LABELS = (RAISED, KEPT, LOWERED, _CLAIMS + KEPT, _CLAIMS + LOWERED)


def dispute_label(*, by_owner: bool, of_claims: bool) -> str:
    """Return the label of a dispute: the side that disputes, and whether it is about claims."""
    side = OWNER if by_owner else OPERATOR
    return _CLAIMS_BY + side if of_claims else side


def ruling_label(stated_units: int, ruled_units: int, *, of_claims: bool) -> str:
    """Return the label of a ruling: what it did with the amount that was stated, or claimed."""
    did = KEPT
    if ruled_units != stated_units:
        did = RAISED if ruled_units > stated_units else LOWERED
    return _CLAIMS + did if of_claims else did


def is_by_owner(label: str) -> bool:
    """Return whether a dispute with this label is the owner's."""
    return label.removeprefix(_CLAIMS_BY) == OWNER


def is_about_claims(label: str) -> bool:
    """Return whether a dispute or ruling with this label is about claims."""
    return label.startswith(_CLAIMS)


def is_lost(label: str) -> bool:
    """Return whether the operator has lost a ruling with this label: less is owed than was said."""
    return label.removeprefix(_CLAIMS) == LOWERED
