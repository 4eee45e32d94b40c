"""The core against the vector files, which forge reads too; scripts/vectors writes them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from eth_account import Account
from eth_account.messages import encode_typed_data

from orchestrator.core.common.errors import EntryError, ProofError, TermsError
from orchestrator.core.deals.terms import (
    CHECKPOINT_TYPE,
    CLOSE_TYPE,
    FUNDINGS,
    OPERATOR_CONSENT_TYPE,
    OWNER_CONSENT_TYPE,
    TERMS_TYPE,
    VERIFIED_TYPE,
    WITHDRAWAL_TYPE,
    Domain,
    Terms,
    checkpoint_digest,
    close_digest,
    contract_id,
    operator_consent_digest,
    operator_consent_typed_data,
    owner_consent_digest,
    owner_consent_typed_data,
    recover,
    sign_digest,
    terms_hash,
    verified_digest,
    withdrawal_digest,
)
from orchestrator.core.entries import kinds
from orchestrator.core.entries.kinds import KINDS
from orchestrator.core.log import merkle
from orchestrator.core.log.entry import (
    ZERO_ADDRESS,
    Entry,
    OutcomeFacts,
    ReversalFacts,
    SettlementFacts,
    pack_outcome,
    pack_reversal,
    pack_settlement,
)
from orchestrator.core.log.opening import encode_opening, payload_of, read_opening

FOLDER = Path(__file__).resolve().parent
EVIDENCE = json.loads((FOLDER / "evidence.json").read_text())
ENTRIES = json.loads((FOLDER / "entries.json").read_text())
MERKLE = json.loads((FOLDER / "merkle.json").read_text())
SIGNATURES = json.loads((FOLDER / "signatures.json").read_text())

LEAF_HASHES = [merkle.leaf_hash(bytes.fromhex(data[2:])) for data in MERKLE["leaf_data"]]


def unhex(text: str) -> bytes:
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])


def number(value: int | str) -> int:
    return value if isinstance(value, int) else int.from_bytes(unhex(value))


def unhexes(texts: list[str]) -> list[bytes]:
    return [unhex(text) for text in texts]


def test_there_is_an_entry_of_every_kind() -> None:
    assert {row["kind"] for row in ENTRIES["entries"]} == set(kinds.KINDS)


@pytest.mark.parametrize("row", ENTRIES["entries"], ids=lambda row: row["kind"])
def test_entries(row: dict[str, Any]) -> None:
    data = unhex(row["data"])
    entry = Entry(
        kind=row["kind"],
        surface=unhex(row["surface"]),
        actor=unhex(row["actor"]),
        subject=unhex(row["subject"]),
        label=row["label"],
        value=number(row["value"]),
        time_ms=row["time_ms"],
        payload=unhex(row["payload"]),
    )
    assert kinds.encode(entry) == data
    assert kinds.decode(data) == entry
    assert merkle.leaf_hash(data) == unhex(row["leaf_hash"])
    words = ["kind_word", "surface", "actor", "subject", "label_word", "value"]
    assert data[:192] == b"".join(unhex(row[name]) for name in words)
    assert data[192:224] == row["time_ms"].to_bytes(32)
    assert data[224:] == unhex(row["payload"])


@pytest.mark.parametrize("row", ENTRIES["invalid"])
def test_bytes_that_are_no_entry(row: dict[str, str]) -> None:
    with pytest.raises(EntryError) as caught:
        kinds.decode(unhex(row["data"]))
    assert caught.value.code == row["reason"]


@pytest.mark.parametrize(
    ("table", "pack", "names"),
    [
        ("outcome_payloads", pack_outcome, OutcomeFacts._fields),
        ("reversal_payloads", pack_reversal, ReversalFacts._fields),
        ("settlement_payloads", pack_settlement, SettlementFacts._fields),
    ],
)
def test_packed_payloads(table: str, pack: Any, names: tuple[str, ...]) -> None:
    for row in ENTRIES[table]:
        assert pack(*(number(row[name]) for name in names)) == unhex(row["payload"])


def test_openings() -> None:
    tried = set()
    for row in ENTRIES["openings"]:
        opened = KINDS[row["kind"]].opening
        assert opened is not None
        opening = read_opening(opened, row["opening"])
        assert encode_opening(opening) == unhex(row["words"])
        assert payload_of(opening) == unhex(row["payload"])
        tried.add(opened)
    assert tried == {kind.opening for kind in KINDS.values() if kind.opening}


def test_roots_of_sizes_up_to_thirty_three() -> None:
    assert unhexes(MERKLE["leaf_hashes"]) == LEAF_HASHES
    tree = merkle.CompactRange()
    roots = [tree.root()]
    for leaf in LEAF_HASHES:
        tree.append(leaf)
        roots.append(tree.root())
    assert unhexes(MERKLE["roots"]) == roots
    assert len(roots) == 34


def verify_inclusion(row: dict[str, Any], shown: int) -> None:
    proof, root = unhexes(row["proof"]), unhex(row["root"])
    merkle.verify_inclusion(LEAF_HASHES[shown], row["position"], row["size"], proof, root)


def verify_run(row: dict[str, Any], leaves: list[bytes]) -> None:
    proof, root = unhexes(row["proof"]), unhex(row["root"])
    merkle.verify_run(leaves, row["first"], row["size"], proof, root)


def verify_consistency(row: dict[str, Any]) -> None:
    merkle.verify_consistency(
        row["old_size"],
        unhex(row["old_root"]),
        row["new_size"],
        unhex(row["new_root"]),
        unhexes(row["proof"]),
    )


def test_proofs_hold() -> None:
    for row in MERKLE["inclusion"]:
        verify_inclusion(row, row["position"])
    for row in MERKLE["runs"]:
        verify_run(row, LEAF_HASHES[row["first"] : row["first"] + row["count"]])
    for row in MERKLE["uniform_runs"]:
        verify_run(row, [LEAF_HASHES[0]] * row["count"])
    for row in MERKLE["consistency"] + MERKLE["uniform_consistency"]:
        verify_consistency(row)


def reason_of(row: dict[str, Any], verify: Any, *arguments: Any) -> None:
    with pytest.raises(ProofError) as caught:
        verify(row, *arguments)
    assert caught.value.code == row["reason"], row


def test_invalid_proofs_are_refused_for_their_reason() -> None:
    for row in MERKLE["invalid_inclusion"]:
        reason_of(row, verify_inclusion, row["shown"])
    for row in MERKLE["invalid_consistency"]:
        reason_of(row, verify_consistency)
    for row in MERKLE["invalid_runs"]:
        first, count = row["shown_first"], row["shown_count"]
        reason_of(row, verify_run, LEAF_HASHES[first : first + count])


def domain_of(row: dict[str, Any]) -> Domain:
    return Domain(row["name"], row["version"], row["chain_id"], row["verifying_contract"])


ESCROW = domain_of(SIGNATURES["escrow_domain"])
EVENT_LOG = domain_of(SIGNATURES["event_log_domain"])
SIGNERS = {row["name"]: row for row in SIGNATURES["signers"]}


def test_signers_have_their_addresses() -> None:
    for row in SIGNERS.values():
        assert Account.from_key(row["private_key"]).address == row["address"]


@pytest.mark.parametrize("row", SIGNATURES["terms"], ids=lambda row: row["name"])
def test_terms(row: dict[str, Any]) -> None:
    terms = Terms.from_json(row["terms"])
    assert contract_id(terms, ESCROW) == unhex(row["contract_id"])
    assert terms_hash(terms) == unhex(row["struct_hash"])
    assert row["type"] == TERMS_TYPE
    assert [one["funding"] for one in row["owner_consents"]] == list(FUNDINGS)
    for path, consent in enumerate(row["owner_consents"]):
        funding = consent["funding"]
        assert consent["type"] == OWNER_CONSENT_TYPE
        assert consent["path"] == path
        digest = owner_consent_digest(terms, ESCROW, funding)
        check_consent(digest, consent, owner_consent_typed_data(terms, ESCROW, funding), "owner")
    consent = row["operator_consent"]
    assert consent["type"] == OPERATOR_CONSENT_TYPE
    digest = operator_consent_digest(terms, ESCROW)
    check_consent(digest, consent, operator_consent_typed_data(terms, ESCROW), "operator")


def check_consent(digest: bytes, row: dict[str, Any], typed: dict[str, Any], party: str) -> None:
    """Check a consent's digest and signature, and that wallets make the same of typed data."""
    assert digest == unhex(row["digest"])
    signable = encode_typed_data(full_message=typed)
    assert signable.header == unhex(SIGNATURES["escrow_domain"]["separator"])
    assert signable.body == unhex(row["struct_hash"])
    signature, signer = unhex(row["signature"]), SIGNERS[party]
    assert sign_digest(digest, unhex(signer["private_key"])) == signature
    assert recover(digest, signature) == signer["address"]
    assert Account.recover_message(signable, signature=signature) == signer["address"]
    assert Account.sign_message(signable, signer["private_key"]).signature == signature


def test_no_two_fields_of_the_full_terms_are_alike() -> None:
    """Exchanging two of them cannot go unnoticed."""
    terms = next(row["terms"] for row in SIGNATURES["terms"] if row["name"] == "full")
    values = [value for value in terms.values() if not isinstance(value, bool)]
    assert len(set(values)) == len(values) == 30
    assert terms["repeatable"] != terms["exclusive"]
    assert all(value not in (0, "0", ZERO_ADDRESS) for value in values)


def test_verified_and_checkpoint() -> None:
    row = SIGNATURES["verified"]
    digest = verified_digest(
        ESCROW,
        unhex(row["log_id"]),
        row["size"],
        unhex(row["root"]),
        row["first"],
        row["count"],
    )
    assert digest == unhex(row["digest"])
    assert row["type"] == VERIFIED_TYPE
    assert recover(digest, unhex(row["signature"])) == SIGNERS["verifier"]["address"]

    row = SIGNATURES["checkpoint"]
    digest = checkpoint_digest(EVENT_LOG, unhex(row["log_id"]), row["size"], unhex(row["root"]))
    assert digest == unhex(row["digest"])
    assert row["type"] == CHECKPOINT_TYPE
    assert recover(digest, unhex(row["signature"])) == SIGNERS["publisher"]["address"]


def test_closes() -> None:
    for row in SIGNATURES["closes"]:
        contract, payable = unhex(row["contract_id"]), number(row["payable_amount"])
        digest = close_digest(ESCROW, row["party"], contract, payable, row["expires_at"])
        assert digest == unhex(row["digest"])
        assert row["type"] == CLOSE_TYPE
        assert recover(digest, unhex(row["signature"])) == row["party"]
    assert len({row["digest"] for row in SIGNATURES["closes"]}) == 2


def test_withdrawal() -> None:
    row = SIGNATURES["withdrawal"]
    accounts = row["account"], row["token"], row["to"]
    amount = number(row["amount"])
    digest = withdrawal_digest(ESCROW, *accounts, amount, row["nonce"], row["expires_at"])
    assert digest == unhex(row["digest"])
    assert row["type"] == WITHDRAWAL_TYPE
    assert recover(digest, unhex(row["signature"])) == row["account"]


@pytest.mark.parametrize("row", SIGNATURES["invalid_signatures"], ids=lambda row: row["reason"])
def test_invalid_signatures(row: dict[str, str]) -> None:
    with pytest.raises(TermsError) as caught:
        recover(unhex(row["digest"]), unhex(row["signature"]))
    assert caught.value.code == row["reason"]


def names_in(value: object) -> set[str]:
    """Return the names of all members in a document."""
    if isinstance(value, dict):
        return {*value}.union(*(names_in(each) for each in value.values()))
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_the_page_names_every_member_and_reason_of_a_file(file: Path) -> None:
    page = (FOLDER / "README.md").read_text()
    intro, *sections = page.split("\n## ")
    text = intro + next(one for one in sections if one.startswith(f"{file.name}\n"))
    document = json.loads(file.read_text())
    # What stands in terms and openings is described elsewhere.
    for table, member in (("terms", "terms"), ("openings", "opening")):
        for row in document.get(table, []):
            row[member] = None
    lists = [rows for rows in document.values() if isinstance(rows, list)]
    reasons = {row["reason"] for rows in lists for row in rows if "reason" in row}
    assert names_in(document) | reasons <= set(re.findall(r"`([\w-]+)`", text))


def test_the_page_about_evidence_names_every_kind_and_error() -> None:
    page = (FOLDER.parents[1] / "docs/evidence.md").read_text()
    tables = ("claims", "disproofs", "refutations", "reversals")
    rows = [row for table in tables for row in EVIDENCE[table]]
    assert f"has {len(rows)} cases" in page
    said = {row["error"] for row in rows} | {row["kind"] for row in rows if "kind" in row}
    assert said - {"", "nonsense"} <= set(re.findall(r"`(\w+)`", page))


def test_the_ids_of_evidence_are_of_its_domain() -> None:
    types = [member.split(" ")[0] for member in TERMS_TYPE[len("Terms(") : -1].split(",")]
    domain = Domain(**EVIDENCE["escrow_domain"])
    for row in EVIDENCE["contracts"]:
        terms = Terms.from_abi(abi_decode(types, unhex(row["terms"])))
        assert contract_id(terms, domain) == unhex(row["contract_id"])
