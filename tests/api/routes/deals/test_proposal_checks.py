"""The checks of a proposal: its terms, its signatures, the room for it, the money behind it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from eth_abi.abi import encode

from orchestrator.core.account.sign_in import MAX_SIGNATURE_BYTES
from orchestrator.core.account.wallet_signature import MAGIC
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import DAY_MS, DAY_S
from orchestrator.core.deals.site import Funds
from orchestrator.core.deals.terms import (
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
)
from tests.support.api_service import (
    ESCROW,
    START_MS,
    ApiService,
    open_surface,
    problem_of,
    proposal_of,
    running_service,
    signed_digest,
    wallet,
)
from tests.support.proposals import OPERATOR, OWNER, accept, hex_id, propose, terms_of


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"owner": wallet("stranger").address}, "owner-differs"),
        ({"policy": "0x" + "99" * 32}, "policy-differs"),
        ({"log_id": "0x" + "99" * 32}, "log-id-differs"),
        ({"attribution": "first_touch"}, "attribution-differs"),
        ({"lateness_s": 7}, "lateness-s-differs"),
        ({"verifier": wallet("stranger").address}, "verifier-differs"),
        ({"fee_bps": 0}, "fee-bps-differs"),
        ({"fee_recipient": wallet("stranger").address}, "fee-recipient-differs"),
        ({"token": wallet("stranger").address}, "token-unknown"),
        ({"outcome": "delighted"}, "outcome-unknown"),
        ({"outcome": "new"}, "outcome-unknown"),
        ({"surface": "0x" + "99" * 32}, "not-found"),
        ({"opens_at_s": START_MS // 1000}, "opens-in-past"),
        ({"deadline_s": START_MS // 1000}, "deadline-before-opening"),
        ({"unit_price_units": "0"}, "price-zero"),
        ({"budget_units": str(2**80)}, "amount-range"),
        ({"payee": ESCROW.verifying_contract}, "escrow-as-payee"),
        ({"claim_period_s": 8 * DAY_S}, "arbiter-zero"),
        ({"challenge_period_s": 1, "grace_s": DAY_S}, "grace-short"),
        ({"rate_cap_units": "1"}, "rate-cap-small"),
        ({"rate_cap_units": "2"}, "rate-period-zero"),
        ({"operator": wallet("stranger").address}, "not-the-operator"),
    ],
)
def test_terms_that_could_not_be_served_are_refused(
    operator: httpx.Client, parameters: dict[str, Any], changes: dict[str, object], code: str
) -> None:
    answer = propose(operator, terms_of(parameters, 3, **changes))
    assert answer.status_code in (403, 404, 422)
    assert answer.json()["code"] == code


def test_a_signature_binds_terms_and_signer(
    service: ApiService, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    terms = terms_of(parameters, 4)
    digest = operator_consent_digest(terms, ESCROW)
    other_domain = ESCROW._replace(chain_id=1)
    body = proposal_of(terms, OPERATOR)
    for forged in (
        signed_digest(wallet("stranger"), digest),
        signed_digest(OPERATOR, operator_consent_digest(terms, other_domain)),
        signed_digest(OPERATOR, operator_consent_digest(replace(terms, salt=bytes(32)), ESCROW)),
        signed_digest(OPERATOR, owner_consent_digest(terms, ESCROW)),
        signed_digest(OPERATOR, contract_id(terms, ESCROW)),
        high_s(signed_digest(OPERATOR, digest)),
        "0x" + "00" * 65,
        "0x00",
    ):
        answer = operator.post("/v1/proposals", json=body | {"operator_signature": forged})
        assert (answer.status_code, answer.json()["code"]) == (422, "signature-invalid")
    service.accepted_signatures.add((OPERATOR.address, digest, b"\0"))
    answer = operator.post("/v1/proposals", json=body | {"operator_signature": "0x00"})
    assert answer.status_code == 201


def test_wallets_sign_as_contracts_do(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    """On chain (an empty signature), at length, and before they are deployed (ERC-6492)."""
    terms = terms_of(parameters, 50)
    offered = operator_consent_digest(terms, ESCROW)
    consent = owner_consent_digest(terms, ESCROW)
    inner = b"\7" * 8_000
    wrapped = encode(["address", "bytes", "bytes"], [OWNER.address, b"make it", inner]) + MAGIC
    accepted = service.accepted_signatures
    accepted.add((OPERATOR.address, offered, wrapped))
    body = {"terms": terms.to_json(), "operator_signature": to_hex(wrapped)}
    assert operator.post("/v1/proposals", json=body).status_code == 201
    # The escrow asks a wallet that is there, so the contract cannot be opened yet.
    accepted.add((OWNER.address, consent, b""))
    path = f"/v1/proposals/{hex_id(terms)}/accept"
    problem_of(owner.post(path, json={"owner_signature": "0x"}), 409, "wallet-undeployed")
    accepted.add((OPERATOR.address, offered, inner))
    answer = owner.post(path, json={"owner_signature": "0x"})
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    assert (reply["operator_signature"], reply["owner_signature"]) == (to_hex(wrapped), "0x")
    too_long = {"owner_signature": "0x" + "00" * (MAX_SIGNATURE_BYTES + 1)}
    problem_of(owner.post(path, json=too_long), 422, "invalid")


def test_the_owner_consents_to_pay_from_its_allowance(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, parameters: dict[str, Any]
) -> None:
    """The pipeline opens by the allowance alone, so no other way to pay is taken."""
    terms = terms_of(parameters, 30)
    propose(operator, terms)
    for digest in (
        owner_consent_digest(terms, ESCROW, "permit"),
        owner_consent_digest(terms, ESCROW, "authorization"),
        operator_consent_digest(terms, ESCROW),
        contract_id(terms, ESCROW),
    ):
        body = {"owner_signature": signed_digest(OWNER, digest)}
        answer = owner.post(f"/v1/proposals/{hex_id(terms)}/accept", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "signature-invalid")
    assert accept(owner, terms).status_code == 200


def high_s(signature: str) -> str:
    """Return the signature's twin with a high s, which the chain refuses (EIP-2)."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    data = bytes.fromhex(signature[2:])
    s = order - int.from_bytes(data[32:64])
    return "0x" + (data[:32] + s.to_bytes(32) + bytes([55 - data[64]])).hex()


# --- Limits ---------------------------------------------------------------------------------------


def test_an_operator_has_a_number_of_proposals_open(database_url: str) -> None:
    """Of all owners, and of one; what is decided or expired does not count."""
    limits = Limits(open_proposals=3, open_proposals_to_owner=2, opens_ahead_s=DAY_S)
    with running_service(database_url, limits) as service:
        operator = service.sign_in(OPERATOR, "operator")
        owner, other = (service.sign_in(wallet(name), "owner") for name in ("owner", "other"))
        mine, of_other = (
            operator.get(f"/v1/surfaces/{open_surface(each, 'contracts')}").json()["terms"]
            for each in (owner, other)
        )
        proposed = [propose(operator, terms_of(mine, n)) for n in range(2)]
        assert [answer.status_code for answer in proposed] == [201, 201]
        problem = problem_of(propose(operator, terms_of(mine, 2)), 409, "proposal-limit")
        assert "2 of your proposals to this owner are open" in str(problem["detail"])
        assert propose(operator, terms_of(mine, 1)).status_code == 201  # the same once more
        assert propose(operator, terms_of(of_other, 3)).status_code == 201
        problem_of(propose(operator, terms_of(of_other, 4)), 409, "proposal-limit")
        # Those of another operator are no matter of ours.
        assert owner.post(f"/v1/proposals/{hex_id(terms_of(mine, 0))}/decline").status_code == 200
        assert propose(operator, terms_of(of_other, 4)).status_code == 201
        with service.clock.moved_by(60_000):
            late = START_MS // 1000 + 120
            assert propose(operator, terms_of(mine, 5, opens_at_s=late)).status_code == 201
        ahead = terms_of(mine, 6, opens_at_s=START_MS // 1000 + DAY_S + 1)
        problem_of(propose(operator, ahead), 422, "opens-too-late")


def test_what_is_taken_back_fills_no_owners_list(database_url: str) -> None:
    """An owner's list shows what was taken back: that too is a place, until a day has passed."""
    with running_service(database_url, Limits(open_proposals_to_owner=2)) as service:
        operator, owner = service.sign_in(OPERATOR, "operator"), service.sign_in(OWNER, "owner")
        surface = open_surface(owner, "contracts")
        parameters = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
        for number in range(6):
            terms = terms_of(parameters, number)
            propose(operator, terms)
            operator.post(f"/v1/proposals/{hex_id(terms)}/withdraw")
        assert len(owner.get("/v1/proposals").json()["proposals"]) == 2
        problem_of(propose(operator, terms_of(parameters, 7)), 409, "proposal-limit")
        with service.clock.moved_by(DAY_MS):
            tomorrow = START_MS // 1000 + 2 * DAY_S
            assert propose(operator, terms_of(parameters, 8, opens_at_s=tomorrow)).is_success


def test_many_proposals_at_once_find_no_more_places_than_there_are(database_url: str) -> None:
    with running_service(database_url, Limits(open_proposals=3)) as service:
        operator, owner = service.sign_in(OPERATOR, "operator"), service.sign_in(OWNER, "owner")
        surface = open_surface(owner, "contracts")
        parameters = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: propose(operator, terms_of(parameters, n)), range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5


# --- Funds ----------------------------------------------------------------------------------------


def test_what_cannot_be_paid_is_not_accepted_and_the_owner_is_told_what_to_do(
    service: ApiService,
    owner: httpx.Client,
    operator: httpx.Client,
    parameters: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Contracts that were accepted before, and are not open yet, will be paid first.
    before = sum(
        int(one["terms"]["budget_units"])
        for one in owner.get("/v1/proposals", params={"limit": 1000}).json()["proposals"]
        if one["status"] == "accepted"
    )
    terms = terms_of(parameters, 60)
    propose(operator, terms)
    needed = before + terms.budget_units
    for funds, parts in (
        (Funds(needed, needed - 1), [f"approve({ESCROW.verifying_contract}, {needed})", "only"]),
        (Funds(needed - 1, needed), [f"{OWNER.address} lacks 0.000001 TUSD (1 base units)"]),
        (Funds(0, 0), ["lacks", "approve("]),
    ):
        monkeypatch.setattr(service, "funds", funds)
        problem = problem_of(accept(owner, terms), 409, "funds-short")
        assert all(part in str(problem["detail"]) for part in parts), problem
    monkeypatch.setattr(service, "funds", Funds(needed, needed))
    assert accept(owner, terms).status_code == 200
    # What is accepted counts from then on.
    another = terms_of(parameters, 61)
    propose(operator, another)
    problem_of(accept(owner, another), 409, "funds-short")
