"""The command that plants faults in a copy of the contracts and sees each break its invariant.

An invariant that holds is worth something only if it can break. Every fault is one exact edit of
one contract, and its named check must fail with it; without any, all checks must pass. A usual run
has one campaign make the checks of a whole handler; here it makes the named one alone, so that no
other can fail before it. A round of settlement keeps nothing, so its faults are shown by its own
tests.
Compiling takes longer than testing, so all faults are planted at once, each behind a switch that
an environment variable sets, and the copy is compiled once. `.venv/bin/python
scripts/assurance/planted_faults.py [PART_OF_A_NAME...]`; needs `forge` on the PATH or in
node_modules/.bin. tests/contracts/invariant/README.md describes the invariants.
"""

import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from scripts.assurance.tools import ROOT, run_tool

CONTRACTS = Path("contracts")
DISPUTES = CONTRACTS / "escrow/Disputes.sol"
PAYMENTS = CONTRACTS / "escrow/Payments.sol"
SETTLEMENTS = CONTRACTS / "escrow/Settlements.sol"
ESCROW = CONTRACTS / "escrow/OutcomeEscrow.sol"
EVENT_LOG = CONTRACTS / "log/EventLog.sol"
EVIDENCE = CONTRACTS / "evidence/Evidence.sol"
VAULT = CONTRACTS / "escrow/Vault.sol"
CLAIMS = CONTRACTS / "escrow/Claims.sol"
PAYABLE_AMOUNTS = CONTRACTS / "escrow/PayableAmounts.sol"
MERKLE = CONTRACTS / "log/MerkleLog.sol"
RECORD = CONTRACTS / "escrow/GuardedRecord.sol"
RELEASE = CONTRACTS / "escrow/Release.sol"
FUNDINGS = CONTRACTS / "escrow/Fundings.sol"
LENS = CONTRACTS / "escrow/EscrowLens.sol"
REVERSALS = CONTRACTS / "evidence/Reversals.sol"
ROUNDS = CONTRACTS / "escrow/Rounds.sol"
SETTLEMENT_RULES = CONTRACTS / "escrow/SettlementRules.sol"
TIMES = CONTRACTS / "escrow/Times.sol"
SPLIT = CONTRACTS / "payout/Split.sol"
STATEMENTS = CONTRACTS / "escrow/Statements.sol"
FIXTURE = Path("tests/contracts/support/Fixture.sol")
SUITE = Path("tests/contracts/invariant/Escrow.t.sol")
CHECKS = Path("tests/contracts/invariant/Checks.sol")
SPLIT_FIXTURE = Path("tests/contracts/support/SplitFixture.sol")
SUPPORT = (
    *("Dollar", "Fixture", "HostileToken", "RoundFixture", "SplitFixture", "TermsById", "TestTree"),
)
ROUND_TESTS = Path("tests/contracts/escrow/Rounds.t.sol")

TIMEOUT_S = 1800
SWITCH = "TALLYSTICK_PLANTED_FAULT"
WANTED = "TALLYSTICK_CHECK"

# The switch is the balance of an account without a key. It is read as if that were pure, so that
# any function can ask for it.
PLANTED = """\
// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

function planted(uint256 number) pure returns (bool) {
    return asPure(chosen)() == number;
}

function chosen() view returns (uint256) {
    return address(0xfa017).balance;
}

function asPure(function() view returns (uint256) f)
    pure
    returns (function() pure returns (uint256) g)
{
    assembly ("memory-safe") {
        g := f
    }
}
"""
PRAGMA = "pragma solidity 0.8.37;\n"
IMPORT = 'import {planted} from "contracts/Planted.sol";\n'
SHRINKING = "shrink-run-limit = 300"
SET_UP = "vm.warp(START);\n"
SPLIT_SET_UP = "splits = new Splits();\n"
SET_SWITCH = f'vm.deal(address(0xfa017), vm.envUint("{SWITCH}"));\n'
DEMAND = "try check() {}\n"
PASS_OVER = f"""\
string memory wanted = vm.envOr("{WANTED}", string(""));
bytes4 selector = bytes4(keccak256(bytes(string.concat(wanted, "()"))));
if (bytes(wanted).length != 0 && selector != check.selector) return;
"""


class Fault(NamedTuple):
    """An edit of one file, by its exact text, and the check or test that it must break.

    Both texts are statements (a semicolon ends the old one) or both are expressions; or the new one
    asks for itself whether it is `planted(?)`.
    """

    what: str
    test: str
    file: Path
    old: str
    new: str

    def switched(self, number: int) -> str:
        """Return code that does as the new text if this fault is chosen, else as the old one."""
        if "planted(?)" in self.new:
            return self.new.replace("planted(?)", f"planted({number})")
        if self.old.endswith(";"):
            return f"if (planted({number})) {{ {self.new} }} else {{ {self.old} }}"
        return f"(planted({number}) ? ({self.new}) : ({self.old}))"

    @property
    def ran(self) -> str:
        """Return the test that makes the check: a campaign, or the test itself."""
        is_check = self.test.startswith("check_")
        return CAMPAIGNS.get(self.test, "invariant_escrow") if is_check else self.test


I1 = "check_I1_solvent"
I2 = "check_I2_nothingIsLost"
I3 = "check_I3_noContractSpendsAnothersMoney"
I4 = "check_I4_anOutcomePaysOnce"
I5 = "check_I5_payeeTokenAndPriceAreTheSignedOnes"
I6 = "check_I6_noPeriodPaysMoreThanTheCap"
I7 = "check_I7_onlyWhatIsFinalPays"
I8 = "check_I8_onlyLegalStatusChanges"
I9 = "check_I9_nothingStopsARefund"
I10 = "check_I10_aBlockedPayeeFailsAlone"
I11 = "check_I11_splittingChangesNothing"
I12 = "check_I12_sizesGrowAndRootsStay"
I13 = "check_I13_onlyExtensionsAreAccepted"
I14 = "check_I14_aDisprovedVerifierNeverSettles"
I15 = "check_I15_onlyItsPublisherForksALogAndNothingFollows"
I16 = "check_I16_whatIsTakenBackComesOffOnce"
L1_ANCHOR = "check_L1_whatThePublisherSignedCanBeAnchored"
L1_SETTLE = "check_L1_aValidSettlementSucceeds"
L1_EMPTY = "check_L1_everythingComesOut"
S1 = "check_S1_whatCameIsWhatWentAndWhatIsHeld"
S2 = "check_S2_noPayeeGetsMoreThanItsPart"
S3 = "check_S3_noPayeeStopsAnother"
CAMPAIGNS = {
    **dict.fromkeys((I12, I13, I15, L1_ANCHOR), "invariant_log"),
    **dict.fromkeys((S1, S2, S3), "invariant_split"),
}
ROUND_OF_ANOTHER = "test_revertIf_thePublisherHasNotSigned"
ROUND_ANCHORED = "test_aRootThatIsAnchoredAlreadyIsNotAnchoredAgain"
ROUND_REVERTS = "test_revertIf_theVerifierHasNotSigned"

FAULTS = (
    Fault(
        "a withdrawal keeps the credit",
        I1,
        VAULT,
        "_credits[token][account] = credit - amount;",
        "",
    ),
    Fault(
        "a transfer that fails is no credit",
        I1,
        VAULT,
        "_credits[token][to] += amount;",
        "",
    ),
    Fault(
        "fees are taken and credited to no account",
        I2,
        PAYMENTS,
        "if (payouts.fees != 0) _credits[payouts.token][feeRecipient] += payouts.fees;",
        "",
    ),
    Fault(
        "a refund can be taken again",
        I3,
        ESCROW,
        "ledger.balance = balance.withBudget(reserved);",
        "",
    ),
    Fault(
        "older statements are taken after newer ones",
        I3,
        SETTLEMENTS,
        'if (position <= balance.lastFinal()) return "already_settled";',
        "",
    ),
    Fault(
        "each statement pays its whole total",
        I4,
        SETTLEMENTS,
        "if (net > paid) _pay(entry.subject, payee, paid, net, payouts);",
        "if (net > paid) _pay(entry.subject, payee, 0, net, payouts);",
    ),
    Fault(
        "one outcome is claimed twice",
        I4,
        CLAIMS,
        "if (claims[key].transition != 0) revert AlreadyClaimed(key);",
        "",
    ),
    Fault(
        "the price is not checked",
        I5,
        SETTLEMENTS,
        "earned % priceStep != 0 || reversed % priceStep != 0",
        "false",
    ),
    Fault(
        "the budget is not checked",
        I5,
        SETTLEMENTS,
        'if (net > balance.budget()) return "over_budget";',
        "",
    ),
    Fault(
        "the caller is paid",
        I5,
        SETTLEMENTS,
        "_settlePlain(ledger, balance, payeeRule.payee(), entry, position, payouts);",
        "_settlePlain(ledger, balance, msg.sender, entry, position, payouts);",
    ),
    Fault(
        "the bucket holds the whole cap",
        I6,
        PAYABLE_AMOUNTS,
        "cap / 2 - capLevel",
        "cap - capLevel",
    ),
    Fault(
        "the bucket forgets what was released",
        I6,
        PAYABLE_AMOUNTS,
        "record.capLevel = (level + amount).toUint80();",
        "",
    ),
    Fault(
        "the bucket leaks twice as fast",
        I6,
        RELEASE,
        "elapsed * (cap / 2) / period",
        "elapsed * cap / period",
    ),
    Fault(
        "the verifier's signature is not checked",
        I7,
        SETTLEMENTS,
        "_requireSigned(_hashTypedDataV4(structHash), group.verifier, signature);",
        "",
    ),
    Fault(
        "entries need not be in the anchored tree",
        I7,
        MERKLE,
        "if (computed != root) revert RootMismatch(root, computed);",
        "",
    ),
    Fault(
        "nothing waits to be challenged",
        I7,
        STATEMENTS,
        "block.timestamp + delays.challengePeriod()",
        "block.timestamp",
    ),
    Fault(
        "a stranger rules",
        I7,
        DISPUTES,
        "if (msg.sender != terms.arbiter) revert NotArbiter(contractId, msg.sender);\n"
        "        DelayRule delays",
        "if (!planted(?) && msg.sender != terms.arbiter) "
        "revert NotArbiter(contractId, msg.sender);\n        DelayRule delays",
    ),
    Fault(
        "a ruling goes below what is final",
        I7,
        STATEMENTS,
        "Math.min(record.net(budget), record.pendingNet(budget))",
        "0",
    ),
    Fault(
        "anyone stands in for the evidence",
        I7,
        DISPUTES,
        "if (msg.sender != evidence) revert NotEvidence(msg.sender);",
        "",
    ),
    Fault(
        "a disproved statement stays",
        I7,
        DISPUTES,
        "\n        Statements.discard(record);",
        "",
    ),
    Fault(
        "a refuted claim is paid",
        I7,
        CLAIMS,
        "record.claimed -= amount - kept;",
        "",
    ),
    Fault(
        "claims are paid before they can be refuted",
        I7,
        PAYMENTS,
        "block.timestamp > terms.refutableUntil()",
        "true",
    ),
    Fault(
        "nothing is held back",
        I7,
        PAYABLE_AMOUNTS,
        "total - held",
        "total",
    ),
    Fault(
        "what was taken back vouches for what comes next",
        I7,
        STATEMENTS,
        "record.cumulativeGross(record.earned)",
        "net",
    ),
    Fault(
        "a refund does not wait for the end",
        I8,
        ESCROW,
        "if (block.timestamp <= from) revert RefundTooEarly(contractId, from, block.timestamp);",
        "",
    ),
    Fault(
        "a closed contract goes on",
        I8,
        ESCROW,
        "balance.withBudget(payableAmount).withFlag(CLOSED)",
        "balance.withBudget(payableAmount)",
    ),
    Fault(
        "a transfer that fails stops the refund",
        I9,
        PAYMENTS,
        "held = _sendOrCredit(contractId, terms.token, terms.owner, amount, held);",
        "uint256 left = _sendOrCredit(contractId, terms.token, terms.owner, amount, held); "
        "if (left == held) revert TransferFailed(terms.token, terms.owner, amount); held = left;",
    ),
    Fault(
        "a refund waits until all claims are decided",
        I9,
        ESCROW,
        "uint256 from = terms.claimsUntil();",
        "uint256 from = planted(?) ? terms.refutableUntil() : terms.claimsUntil();",
    ),
    Fault(
        "a statement without an arbiter reserves the whole budget",
        I9,
        PAYABLE_AMOUNTS,
        "record.isPending() && hasArbiter",
        "record.isPending()",
    ),
    Fault(
        "a payee that cannot be paid stops the batch",
        I10,
        PAYMENTS,
        "payouts.tokenBalance =\n                "
        "_sendOrCredit(contractId, payouts.token, payee, amount, payouts.tokenBalance);",
        "uint256 left = "
        "_sendOrCredit(contractId, payouts.token, payee, amount, payouts.tokenBalance); "
        "if (left == payouts.tokenBalance) revert TransferFailed(payouts.token, payee, amount); "
        "payouts.tokenBalance = left;",
    ),
    Fault(
        "transfers get too little gas",
        I10,
        VAULT,
        "_send(token, to, amount, TRANSFER_GAS)",
        "_send(token, to, amount, 2_000)",
    ),
    Fault(
        "fees are rounded payment by payment",
        I11,
        RELEASE,
        "net * feeBps / BPS - paid * feeBps / BPS",
        "(net - paid) * feeBps / BPS",
    ),
    Fault(
        "a new root overwrites the last",
        I12,
        EVENT_LOG,
        "_roots[logId][size] = root;",
        "_roots[logId][size] = _roots[logId][lastSize] = root;",
    ),
    Fault(
        "no consistency proof is needed",
        I13,
        EVENT_LOG,
        "MerkleLog.verifyConsistency(lastSize, _roots[logId][lastSize], size, root, proof);",
        "if (size <= lastSize) revert ZeroRoot();",
    ),
    Fault(
        "a consistency proof need not start from the last root",
        I13,
        MERKLE,
        "if (oldHash != oldRoot) revert RootMismatch(oldRoot, oldHash);",
        "",
    ),
    Fault(
        "a retired verifier's word counts",
        I14,
        SETTLEMENTS,
        "balance.flags() != 0",
        "balance.has(CLOSED)",
    ),
    Fault(
        "a disproof is forgotten",
        I14,
        DISPUTES,
        "ledger.balance = ledger.balance.withFlag(RETIRED);",
        "",
    ),
    Fault(
        "any touch disproves the one that was named",
        I14,
        EVIDENCE,
        "!_isBetter(context, touch.position)",
        "false",
    ),
    Fault(
        "a fork needs no signature",
        I15,
        EVENT_LOG,
        "if (rootB != anchored) _requireSigned(log, logId, size, rootB, signatureB);",
        "",
    ),
    Fault(
        "a forked log goes on",
        I15,
        EVENT_LOG,
        "if (isForked) revert LogForked(logId, log.forkedAt);",
        "",
    ),
    Fault(
        "a hand-over voids the old key at once",
        L1_ANCHOR,
        EVENT_LOG,
        "block.timestamp <= log.previousUntil ? log.previous : address(0)",
        "address(0)",
    ),
    Fault(
        "what was proven stays beside the statement that has it",
        I16,
        STATEMENTS,
        "if (record.proven != 0) record.proven = record.provenAbovePending;",
        "",
    ),
    Fault(
        "what was stated hides what is proven",
        I16,
        RECORD,
        "uint256(self.reversed) + self.proven",
        "self.reversed > self.proven ? self.reversed : self.proven",
    ),
    Fault(
        "a pending statement forgets what was proven above it",
        I7,
        STATEMENTS,
        "record.pendingPosition != 0 && happened > record.pendingPosition",
        "false",
    ),
    Fault(
        "settlements end a day early",
        L1_SETTLE,
        SETTLEMENTS,
        "block.timestamp > balance.endsAt()",
        "block.timestamp > balance.endsAt() - 1 days",
    ),
    Fault(
        "a silent arbiter blocks all that follows",
        L1_SETTLE,
        RECORD,
        "self.pendingPosition != 0 && block.timestamp > self.resolvesAt",
        "self.pendingPosition != 0 && block.timestamp > self.resolvesAt && !self.isDisputed()",
    ),
    Fault(
        "a refund always reverts",
        L1_EMPTY,
        ESCROW,
        "reserved == balance.budget()",
        "true",
    ),
    Fault(
        "the bucket never leaks",
        L1_EMPTY,
        RELEASE,
        "leak < level ? level - leak : 0",
        "level",
    ),
    Fault(
        "a budget that came short is taken",
        I1,
        FUNDINGS,
        "if (received != amount) revert ReceivedWrongAmount(amount, received);",
        "",
    ),
    Fault(
        "claims are paid while events can take them back",
        I7,
        TIMES,
        "until > shown ? until : shown",
        "until",
    ),
    Fault(
        "the time for claims is over at once",
        I8,
        TIMES,
        "statementsUntil(terms) + terms.claimPeriod",
        "statementsUntil(terms)",
    ),
    Fault(
        "a share of revenue is held to the unit price",
        L1_SETTLE,
        SETTLEMENT_RULES,
        "terms.revenueShareBps == 0 ? terms.unitPrice : 0",
        "terms.unitPrice",
    ),
    Fault(
        "the lens forgets what is held back",
        I7,
        LENS,
        "            snapshot.held,\n",
        "            planted(?) ? 0 : snapshot.held,\n",
    ),
    Fault(
        "the lens forgets what was paid",
        I7,
        LENS,
        "_payableTotal(terms, snapshot) - snapshot.paid;\n    }",
        "_payableTotal(terms, snapshot) - (planted(?) ? 0 : snapshot.paid);\n    }",
    ),
    Fault(
        "the lens calls all that is left released",
        I8,
        LENS,
        "kept < snapshot.budget",
        "false",
    ),
    Fault(
        "half of what an event takes back comes off",
        I16,
        REVERSALS,
        "Math.min(amount, terms.takenBack(amount, value, refunded))",
        "Math.min(amount, terms.takenBack(amount, value, refunded)) / 2",
    ),
    Fault(
        "any event takes an outcome back",
        L1_SETTLE,
        REVERSALS,
        "_isEventFalse(terms, reversal, payload, exhibits)",
        "false",
    ),
    Fault(
        "a split forgets what a payee was paid",
        S1,
        SPLIT,
        "releasedTo[token][payee] += amount;",
        "",
    ),
    Fault(
        "a call from within a transfer is let in",
        S2,
        SPLIT,
        "isSent = token.trySafeTransfer(to, amount);",
        "bytes32 slot = _reentrancyGuardStorageSlot();"
        ' assembly ("memory-safe") { tstore(slot, 0) }'
        " isSent = token.trySafeTransfer(to, amount);",
    ),
    Fault(
        "what has left a split counts as more",
        S2,
        SPLIT,
        "token.balanceOf(address(this)) + released[token]",
        "token.balanceOf(address(this)) + 2 * released[token]",
    ),
    Fault(
        "a payee that cannot be paid stops the others",
        S3,
        SPLIT,
        "if (part != 0) _tryRelease(token, all[i].payee, all[i].payee, part);",
        "if (part != 0) _requireReleased(token, all[i].payee, all[i].payee);",
    ),
    Fault(
        "a round goes on without its anchor",
        ROUND_OF_ANOTHER,
        ROUNDS,
        "LowLevelCall.bubbleRevert(reason);",
        "",
    ),
    Fault(
        "a root that is anchored stops the round",
        ROUND_ANCHORED,
        ROUNDS,
        "eventLog.rootAt(checkpoint.logId, checkpoint.size) != checkpoint.root",
        "true",
    ),
    Fault(
        "a run that reverts is passed over",
        ROUND_REVERTS,
        ROUNDS,
        "LowLevelCall.bubbleRevert();",
        "",
    ),
)


def copy_sources(to: Path) -> None:
    """Copy what the invariants need and nothing else, so that they compile quickly."""
    for name in ("contracts", "tests/contracts/invariant"):
        shutil.copytree(ROOT / name, to / name)
    for file in (ROUND_TESTS, *(FIXTURE.with_name(f"{name}.sol") for name in SUPPORT)):
        (to / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, to / file)
    shutil.copy(ROOT / "foundry.toml", to)
    for name in ("node_modules", "scripts", ".venv"):
        (to / name).symlink_to(ROOT / name)


def replace_once(path: Path, old: str, new: str) -> None:
    source = path.read_text()
    if source.count(old) != 1:
        raise SystemExit(f"{path.name} no longer has, just once: {old}")
    path.write_text(source.replace(old, new))


def plant(folder: Path) -> None:
    """Plant all faults, each behind its number, and the switch."""
    (folder / CONTRACTS / "Planted.sol").write_text(PLANTED)
    for file in {fault.file for fault in FAULTS}:
        replace_once(folder / file, PRAGMA, PRAGMA + IMPORT)
    for number, fault in enumerate(FAULTS, 1):
        replace_once(folder / fault.file, fault.old, fault.switched(number))
    replace_once(folder / FIXTURE, SET_UP, SET_UP + SET_SWITCH)
    replace_once(folder / SPLIT_FIXTURE, SPLIT_SET_UP, SPLIT_SET_UP + SET_SWITCH)
    replace_once(folder / CHECKS, DEMAND, PASS_OVER + DEMAND)
    # That a sequence fails is enough here; the shortest one takes long to find.
    suite = (folder / SUITE).read_text()
    (folder / SUITE).write_text(suite.replace(SHRINKING, "shrink-run-limit = 0"))


def fails(folder: Path, test: str, number: int, profile: str, check: str = "") -> bool:
    """Tell whether a test of this folder fails with this fault (0: none), by this check alone."""
    environment = {
        "FOUNDRY_PROFILE": profile,
        "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
        "FOUNDRY_INVARIANT_FAILURE_PERSIST_DIR": str(folder / "build" / f"failures-{number}"),
        SWITCH: str(number),
        WANTED: check,
    }
    done = run_tool(["forge", "test", "--match-test", test], folder, TIMEOUT_S, **environment)
    if "Suite result:" not in done.stdout:
        raise SystemExit(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.returncode != 0


def is_seen(folder: Path, number: int) -> bool:
    """Tell whether this fault breaks its check, in the many runs of the deep profile."""
    fault = FAULTS[number - 1]
    check = fault.test if fault.ran != fault.test else ""
    seen = fails(folder, f"^{fault.ran}\\b", number, "deep", check)
    print(f"{'seen' if seen else 'NOT SEEN'}: {fault.what} ({fault.test})", flush=True)
    return seen


def main() -> int:
    wanted = [
        number
        for number, fault in enumerate(FAULTS, 1)
        if not sys.argv[1:] or any(part in fault.what + fault.test for part in sys.argv[1:])
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_sources(folder)
        plant(folder)
        tests = "|".join(sorted({fault.ran for fault in FAULTS}))
        if fails(folder, f"^({tests})\\b", 0, "default"):
            print("the tests do not pass without any fault", file=sys.stderr)
            return 1
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            seen = sum(pool.map(lambda number: is_seen(folder, number), wanted))
    print(f"{seen} passed, {len(wanted) - seen} failed")
    return 0 if seen == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
