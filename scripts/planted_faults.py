"""Plants faults in a copy of the contracts, one by one, and sees each break its invariant.

An invariant that holds is worth something only if it can break. Every fault is one exact edit of
one contract, and its named test must fail with it; without any, all of these tests must pass.
`.venv/bin/python scripts/planted_faults.py [PART_OF_A_NAME...]`; needs `forge` on the PATH or in
node_modules/.bin. tests/contracts/invariant/README.md describes the invariants.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ESCROW = "contracts/OutcomeEscrow.sol"
EVENT_LOG = "contracts/EventLog.sol"
MERKLE = "contracts/libraries/MerkleLog.sol"
TIMEOUT_S = 900


class Fault(NamedTuple):
    """An edit of one file, by its exact text, and the test that it must break."""

    what: str
    test: str
    file: str
    old: str
    new: str


FAULTS = (
    Fault(
        "a withdrawal keeps the credit",
        "invariant_I1_solvent",
        ESCROW,
        "_credits[token][account] = 0;",
        "",
    ),
    Fault(
        "fees are taken and credited to nobody",
        "invariant_I2_nothingIsLost",
        ESCROW,
        "if (flows.fees != 0) _credits[group.token][group.feeRecipient] += flows.fees;",
        "",
    ),
    Fault(
        "a refund can be taken again",
        "invariant_I3_noContractSpendsAnothersMoney",
        ESCROW,
        "ledger.balance = held.refunded();",
        "ledger.balance = held;",
    ),
    Fault(
        "older statements are taken after newer ones",
        "invariant_I3_noContractSpendsAnothersMoney",
        ESCROW,
        'if (index <= balance.floor()) return "already_settled";',
        "",
    ),
    Fault(
        "each statement pays its whole total",
        "invariant_I4_anOutcomePaysOnce",
        ESCROW,
        "uint256 paid = balance.paid();",
        "uint256 paid = 0;",
    ),
    Fault(
        "the price is not checked",
        "invariant_I5_payeeTokenAndPriceAreTheSignedOnes",
        ESCROW,
        "if (unit != 0) {",
        "if (false) {",
    ),
    Fault(
        "the budget is not checked",
        "invariant_I5_payeeTokenAndPriceAreTheSignedOnes",
        ESCROW,
        'if (net > balance.budget()) return "over_budget";',
        "",
    ),
    Fault(
        "the caller is paid",
        "invariant_I5_payeeTokenAndPriceAreTheSignedOnes",
        ESCROW,
        "_pay(group, entry.subject, deal.payee(), paid, net, flows);",
        "_pay(group, entry.subject, msg.sender, paid, net, flows);",
    ),
    Fault(
        "the verifier's signature is not checked",
        "invariant_I7_onlyAVerifiedAnchoredStatementPays",
        ESCROW,
        "_requireSigned(_hashTypedDataV4(structHash), group.verifier, signature);",
        "",
    ),
    Fault(
        "entries need not be in the anchored tree",
        "invariant_I7_onlyAVerifiedAnchoredStatementPays",
        MERKLE,
        "if (computed != root) revert RootMismatch(root, computed);",
        "",
    ),
    Fault(
        "a refund does not wait for the end",
        "invariant_I8_onlyLegalStatusChanges",
        ESCROW,
        "if (block.timestamp <= held.endsAt()) {",
        "if (block.timestamp == 0) {",
    ),
    Fault(
        "a transfer that fails stops the refund",
        "invariant_I9_nothingStopsARefund",
        ESCROW,
        "else _credit(contractId, terms.token, terms.owner, amount);",
        "else revert TransferFailed(terms.token, terms.owner, amount);",
    ),
    Fault(
        "a payee that cannot be paid stops the batch",
        "invariant_I10_aBlockedPayeeFailsAlone",
        ESCROW,
        "else _credit(contractId, group.token, payee, amount);",
        "else revert TransferFailed(group.token, payee, amount);",
    ),
    Fault(
        "transfers get too little gas",
        "invariant_I10_aBlockedPayeeFailsAlone",
        ESCROW,
        "TRANSFER_GAS = 200_000;",
        "TRANSFER_GAS = 2_000;",
    ),
    Fault(
        "fees are rounded payment by payment",
        "invariant_I11_splittingChangesNoFee",
        ESCROW,
        "net * group.feeBps / BPS - paid * group.feeBps / BPS",
        "(net - paid) * group.feeBps / BPS",
    ),
    Fault(
        "a new root overwrites the last",
        "invariant_I12_sizesGrowAndRootsStay",
        EVENT_LOG,
        "_roots[logId][size] = root;",
        "_roots[logId][size] = _roots[logId][lastSize] = root;",
    ),
    Fault(
        "no consistency proof is needed",
        "invariant_I13_onlyExtensionsAreAccepted",
        EVENT_LOG,
        "MerkleLog.verifyConsistency(lastSize, _roots[logId][lastSize], size, root, proof);",
        "if (size <= lastSize) revert ZeroRoot();",
    ),
    Fault(
        "a consistency proof need not start from the last root",
        "invariant_I13_onlyExtensionsAreAccepted",
        MERKLE,
        "if (oldHash != oldRoot) revert RootMismatch(oldRoot, oldHash);",
        "",
    ),
    Fault(
        "a hand-over voids the old key at once",
        "invariant_L1_whatThePublisherSignedCanBeAnchored",
        EVENT_LOG,
        "block.timestamp <= log.previousUntil ? log.previous : address(0)",
        "address(0)",
    ),
    Fault(
        "settlements end a day early",
        "invariant_L1_aValidSettlementSucceeds",
        ESCROW,
        'if (block.timestamp > endsAt) return "ended";',
        'if (block.timestamp > endsAt - 1 days) return "ended";',
    ),
    Fault(
        "a refund always reverts",
        "invariant_L1_everythingComesOut",
        ESCROW,
        "if (amount == 0) revert NothingToRefund(contractId);",
        "revert NothingToRefund(contractId);",
    ),
)


def copy_sources(to: Path) -> None:
    """What forge needs for the invariants alone, so that each fault compiles quickly."""
    for name in ("contracts", "tests/contracts/helpers", "tests/contracts/mocks"):
        shutil.copytree(ROOT / name, to / name)
    shutil.copytree(ROOT / "tests/contracts/invariant", to / "tests/contracts/invariant")
    shutil.copy(ROOT / "foundry.toml", to)
    for name in ("node_modules", "scripts", ".venv"):
        (to / name).symlink_to(ROOT / name)


def failed_tests(folder: Path, match: str) -> set[str] | None:
    """The matching tests that fail in this folder; None if they could not be run at all."""
    environment = os.environ | {
        "PATH": f"{ROOT / 'node_modules/.bin'}:{os.environ['PATH']}",
        "FOUNDRY_PROFILE": "default",
        "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
    }
    done = subprocess.run(
        ["forge", "test", "--match-test", match],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if "Suite result:" not in done.stdout:
        print(done.stdout[-2000:], done.stderr[-2000:], sep="\n", file=sys.stderr)
        return None
    names = {fault.test for fault in FAULTS}
    failing = done.stdout.partition("Failing tests:")[2]
    if bool(failing) != (done.returncode != 0):
        raise SystemExit("forge's summary and its exit code disagree")
    return {name for name in names if f" {name}()" in failing}


def plant(fault: Fault, folder: Path) -> None:
    path = folder / fault.file
    source = path.read_text()
    if source.count(fault.old) != 1:
        raise SystemExit(f"{fault.file} no longer has, just once: {fault.old}")
    path.write_text(source.replace(fault.old, fault.new))


def main() -> int:
    wanted = [
        fault
        for fault in FAULTS
        if not sys.argv[1:] or any(part in fault.what + fault.test for part in sys.argv[1:])
    ]
    unseen = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_sources(folder)
        if failed_tests(folder, "^invariant_") != set():
            print("the invariants do not hold without any fault", file=sys.stderr)
            return 1
        for fault in wanted:
            original = (folder / fault.file).read_text()
            plant(fault, folder)
            failed = failed_tests(folder, f"^{fault.test}")
            (folder / fault.file).write_text(original)
            seen = failed == {fault.test}
            unseen += not seen
            print(f"{'seen' if seen else 'NOT SEEN'}: {fault.what} ({fault.test})", flush=True)
    print(f"{len(wanted) - unseen} passed, {unseen} failed")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
