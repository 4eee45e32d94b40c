"""A deal in plain units: what two parties agree on in words, as complete terms, and back.

A short deal names an outcome, a price and a few periods. The surface and its service set a part of
the terms (the *frame*), the surface's settings or this module the rest, and every one of these
defaults is told. `deal_of` writes any terms as a complete deal, which drafts to the same terms.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from orchestrator.core.common.document import check_keys, read_name, read_table, shown_value
from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.keccak import is_checksum_address
from orchestrator.core.common.units import (
    DAY_S,
    NS_PER_S,
    format_amount,
    format_duration,
    format_percent,
    format_time,
    parse_amount,
    parse_duration_s,
    parse_percent_bps,
    parse_time_ns,
)
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Terms, check_terms
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import DealDefaults

T = TypeVar("T")

NONE = "none"
# What a complete deal says: every term that the frame leaves open, but for operator and salt.
TERM_KEYS = (
    "outcome",
    "price",
    "share",
    "budget",
    "token",
    "opens_at",
    "closes_at",
    "window",
    "repeatable",
    "exclusive",
    "hold",
    "hold_share",
    "challenge",
    "arbitration",
    "arbiter",
    "claims",
    "grace",
    "rate_cap",
    "rate_period",
    "payee",
    "agent_id",
)
# What a short deal may say instead, or besides.
_INSTEAD = {"opens_at": "opens_in", "closes_at": "closes_in", "budget": "at_most"}
SHORT_KEYS = (*TERM_KEYS, *_INSTEAD.values(), "from")
# The owner must sign, and the chain open it, before it opens: in a day both have looked.
_OPENS_IN_S = DAY_S
_LASTS_S = 30 * DAY_S
_WINDOW_S = 7 * DAY_S
_LEAST_GRACE_S = 3 * DAY_S
_ARBITRATION_S = 3 * DAY_S
_MOST_OUTCOMES = 10**12


class Frame(NamedTuple):
    """The part of terms that a surface and its service set, and what a deal there may say.

    `escrow` is the address under which the terms are signed, `usual` the settings' own defaults.
    """

    owner: str
    log_id: bytes
    surface: bytes
    policy: Policy
    verifier: str
    fee_bps: int
    fee_recipient: str
    tokens: Sequence[TokenInfo]
    escrow: str
    usual: DealDefaults = DealDefaults()


class Default(NamedTuple):
    """A term that a short deal left open, what it became, and by which rule."""

    term: str
    value: str | bool
    source: str


class Draft(NamedTuple):
    """Complete terms that no party has signed yet, with the defaults in them."""

    terms: Terms
    token: TokenInfo
    defaults: tuple[Default, ...]


class Change(NamedTuple):
    """A term that differs between two versions, in plain units."""

    term: str
    before: str | bool
    after: str | bool


# --- From a deal to terms -------------------------------------------------------------------------


def draft_terms(document: object, frame: Frame, operator: str, now_s: int, salt: bytes) -> Draft:
    """Return complete terms for a short deal, as of this second.

    Raises `DocumentError` for a deal that cannot be read, `TermsError` for terms that the escrow
    would never open.
    """
    told = _Told(document, frame)
    token, price_units, share_bps = told.token, told.units("price"), told.share("share")
    opens_at_s = told.moment_s("opens_at", now_s, now_s + _OPENS_IN_S)
    lasts_s = told.usual("closes_at", frame.usual.lasts_s, _LASTS_S)
    challenge_s = told.period_s("challenge", frame.usual.challenge_s, 0)
    arbiter = told.address("arbiter", ZERO_ADDRESS)
    has_arbiter = arbiter != ZERO_ADDRESS
    arbitration_s = told.period_s("arbitration", None, _ARBITRATION_S if has_arbiter else 0)
    hold_s = told.period_s("hold", frame.usual.hold_s, 0)
    hold_bps = told.bps("hold_share", frame.usual.hold_bps if hold_s else None, hold_s)
    rate_cap_units = told.units("rate_cap")
    lateness_s = frame.policy.lateness_s
    # The least that `check_terms` asks for where statements wait or outcomes are held.
    needed_s = lateness_s + DAY_S + (challenge_s + arbitration_s if challenge_s else 0)
    terms = Terms(
        owner=frame.owner,
        operator=operator,
        payee=told.address("payee", operator),
        token=token.address,
        verifier=frame.verifier,
        arbiter=arbiter,
        log_id=frame.log_id,
        surface=frame.surface,
        policy=frame.policy.hash,
        attribution=frame.policy.attribution,
        outcome=told.outcome(),
        repeatable=told.flag("repeatable"),
        exclusive=told.flag("exclusive"),
        unit_price_units=price_units,
        revenue_share_bps=share_bps,
        budget_units=told.budget_units(price_units, share_bps),
        opens_at_s=opens_at_s,
        deadline_s=told.moment_s("closes_at", now_s, opens_at_s + lasts_s),
        attribution_window_s=told.period_s("window", frame.usual.window_s, _WINDOW_S),
        lateness_s=lateness_s,
        grace_s=told.period_s("grace", None, max(_LEAST_GRACE_S, needed_s)),
        claim_period_s=told.period_s("claims", None, 0),
        challenge_period_s=challenge_s,
        arbitration_period_s=arbitration_s,
        holdback_bps=hold_bps,
        holdback_period_s=hold_s,
        rate_cap_units=rate_cap_units,
        rate_period_s=told.period_s("rate_period", None, DAY_S if rate_cap_units else 0),
        fee_bps=frame.fee_bps,
        fee_recipient=frame.fee_recipient,
        agent_id_plus_one=told.agent_id_plus_one(),
        salt=salt,
    )
    # The block that opens it is yet to come.
    check_terms(terms, now_s + 1, frame.escrow)
    return Draft(terms, token, told.defaults(deal_of(terms, token)))


class _Told:
    """A short deal as it was told. A reader takes one key, and notes where its default is from."""

    def __init__(self, document: object, frame: Frame) -> None:
        table = read_table(document, "the deal")
        check_keys(table, {"outcome"}, set(SHORT_KEYS), "the deal")
        # Null is not told, as a form leaves a field empty.
        self._table = {key: value for key, value in table.items() if value is not None}
        for key, other in _INSTEAD.items():
            if key in self._table and other in self._table:
                raise DocumentError(
                    "deal-twice", f"the deal has both {key!r} and {other!r}; keep one of them"
                )
        self._frame = frame
        self._by_settings: set[str] = set()
        self.token = self._token()

    def defaults(self, complete: Mapping[str, str | bool]) -> tuple[Default, ...]:
        """Return what was not told, as it became."""
        return tuple(
            Default(key, complete[key], "settings" if key in self._by_settings else "usual")
            for key in TERM_KEYS
            if key not in self._table and _INSTEAD.get(key) not in self._table
        )

    def outcome(self) -> str:
        """Return the outcome. Raises DocumentError if the policy has no way there from `from`."""
        policy, outcome = self._frame.policy, read_name(self._table["outcome"], "outcome")
        moves = [move for move in policy.transitions if move.to == outcome]
        if not moves:
            known = ", ".join(sorted({move.to for move in policy.transitions}))
            raise DocumentError(
                "outcome-unknown", f"no transition leads into {outcome!r}; outcomes are {known}"
            )
        start = self._table.get("from")
        if start is not None and not any(start in move.from_states for move in moves):
            known = ", ".join(sorted({state for move in moves for state in move.from_states}))
            raise DocumentError(
                "from-unknown",
                f"no transition leads from {shown_value(start)} into {outcome!r}; it is entered "
                f"from {known}",
            )
        return outcome

    def flag(self, key: str) -> bool:
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            raise DocumentError("flag-invalid", f"{key} must be true or false")
        return value

    def units(self, key: str) -> int:
        """Return an amount, such as `8.00` or `8.00 USDC`, in base units; 0 if it is not told."""
        return self._read(key, self._units, 0)

    def share(self, key: str) -> int:
        return self._read(key, parse_percent_bps, 0)

    def bps(self, key: str, by_settings: int | None, hold_s: int) -> int:
        usual_bps = self.usual(key, by_settings, 10_000 if hold_s else 0)
        return self._read(key, parse_percent_bps, usual_bps)

    def period_s(self, key: str, by_settings: int | None, usual_s: int) -> int:
        """Return a duration in seconds."""
        return self._read(key, parse_duration_s, self.usual(key, by_settings, usual_s))

    def moment_s(self, key: str, now_s: int, usual_s: int) -> int:
        """Return a time in seconds: told as such, or as a duration from now."""
        after_s = self._read(_INSTEAD[key], parse_duration_s, None)
        return self._read(key, _whole_second, usual_s) if after_s is None else now_s + after_s

    def usual(self, key: str, by_settings: int | None, usual: int) -> int:
        """Return the settings' default where they have one, else the usual."""
        if by_settings is None:
            return usual
        self._by_settings.add(key)
        return by_settings

    def budget_units(self, price_units: int, share_bps: int) -> int:
        """Return the budget: told as such, or as the most outcomes that are paid at the price."""
        most = self._table.get("at_most")
        if most is None and "budget" not in self._table:
            raise DocumentError(
                "budget-missing", "the deal says neither 'budget' nor 'at_most'; say one of them"
            )
        if most is None:
            return self.units("budget")
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= _MOST_OUTCOMES:
            raise DocumentError(
                "number-invalid",
                f"at_most must be a whole number of outcomes, 1 or more, not {shown_value(most)}",
            )
        if share_bps:
            raise DocumentError(
                "at-most-of-share",
                "a share of revenue has no price of one outcome: say 'budget' instead of 'at_most'",
            )
        return most * price_units

    def address(self, key: str, usual: str) -> str:
        def read(text: str) -> str:
            if text == NONE:
                return ZERO_ADDRESS
            if not is_checksum_address(text):
                raise ValueError("must be an address with its EIP-55 checksum, or 'none'")
            return text

        return self._read(key, read, usual)

    def agent_id_plus_one(self) -> int:
        def read(text: str) -> int:
            if text == NONE:
                return 0
            if not (text.isascii() and text.isdigit() and len(text) <= 77):
                raise ValueError("must be an ERC-8004 agent id as decimal text, or 'none'")
            return int(text) + 1

        return self._read("agent_id", read, 0)

    def _read(self, key: str, parse: Callable[[str], T], usual: T) -> T:
        value = self._table.get(key)
        if value is None:
            return usual
        if not isinstance(value, str):
            raise DocumentError("text-missing", f"{key} must be text, not {shown_value(value)}")
        try:
            return parse(value)
        except ValueError as error:
            raise DocumentError(f"{key.replace('_', '-')}-malformed", f"{key} {error}") from None

    def _units(self, text: str) -> int:
        return parse_amount(text.removesuffix(f" {self.token.symbol}"), self.token.decimals)

    def _token(self) -> TokenInfo:
        tokens, named = self._frame.tokens, self._table.get("token")
        if named is None:
            return tokens[0]
        found = [token for token in tokens if named in (token.symbol, token.address)]
        if len(found) != 1:
            known = ", ".join(f"{token.symbol} {token.address}" for token in tokens)
            raise DocumentError(
                "token-unknown", f"token is {shown_value(named)}; contracts here pay in {known}"
            )
        return found[0]


def _whole_second(text: str) -> int:
    second, rest = divmod(parse_time_ns(text), NS_PER_S)
    if rest:
        raise ValueError("must be a whole second")
    return second


# --- From terms to a deal -------------------------------------------------------------------------


def deal_of(terms: Terms, token: TokenInfo) -> dict[str, str | bool]:
    """Return terms as a complete deal in plain units, of which `draft_terms` makes them again."""

    def amount(units: int) -> str:
        return format_amount(units, token.decimals).replace(",", "")

    agent_id = str(terms.agent_id_plus_one - 1) if terms.agent_id_plus_one else NONE
    return {
        "outcome": terms.outcome,
        "price": amount(terms.unit_price_units),
        "share": format_percent(terms.revenue_share_bps),
        "budget": amount(terms.budget_units),
        "token": token.symbol,
        "opens_at": format_time(terms.opens_at_s * NS_PER_S),
        "closes_at": format_time(terms.deadline_s * NS_PER_S),
        "window": format_duration(terms.attribution_window_s),
        "repeatable": terms.repeatable,
        "exclusive": terms.exclusive,
        "hold": format_duration(terms.holdback_period_s),
        "hold_share": format_percent(terms.holdback_bps),
        "challenge": format_duration(terms.challenge_period_s),
        "arbitration": format_duration(terms.arbitration_period_s),
        "arbiter": NONE if terms.arbiter == ZERO_ADDRESS else terms.arbiter,
        "claims": format_duration(terms.claim_period_s),
        "grace": format_duration(terms.grace_s),
        "rate_cap": amount(terms.rate_cap_units),
        "rate_period": format_duration(terms.rate_period_s),
        "payee": terms.payee,
        "agent_id": agent_id,
    }


def changes_between(before: Terms, after: Terms, token: TokenInfo) -> list[Change]:
    """Return the terms that differ between two versions, in plain units; never the salt.

    `token` is that of `after`: amounts of another token are given in its base units.
    """
    if before.token != after.token:
        token = token._replace(decimals=0)
    old, new = _all_of(before, token), _all_of(after, token)
    return [Change(key, old[key], new[key]) for key in old if old[key] != new[key]]


def _all_of(terms: Terms, token: TokenInfo) -> dict[str, str | bool]:
    fixed = terms.to_json()
    names = ("owner", "operator", "verifier", "log_id", "surface", "policy", "attribution")
    return {
        **deal_of(terms, token),
        **{name: str(fixed[name]) for name in names},
        "token": terms.token,
        "lateness": format_duration(terms.lateness_s),
        "fee": format_percent(terms.fee_bps),
        "fee_recipient": terms.fee_recipient,
    }
