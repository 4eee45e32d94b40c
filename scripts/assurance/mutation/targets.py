"""The files that assurance/mutation mutates, with the tests of each."""

from typing import NamedTuple


class Target(NamedTuple):
    """A file to mutate and the tests that must notice; `roots`, what is compiled, as FILE:NAME.

    Every contract that holds some of the file's code is a root, be it a test.
    """

    file: str
    tests: tuple[str, ...]
    roots: tuple[str, ...]


CLAIMS = "contracts/escrow/Claims.sol:Claims"
PAYABLE_AMOUNTS = "contracts/escrow/PayableAmounts.sol:PayableAmounts"
ESCROW = "contracts/escrow/OutcomeEscrow.sol:OutcomeEscrow"
ESCROW_LENS = "contracts/escrow/EscrowLens.sol:EscrowLens"
EVENT_LOG = "contracts/log/EventLog.sol:EventLog"
EVIDENCE = "contracts/evidence/Evidence.sol:Evidence"
FUNDINGS = "contracts/escrow/Fundings.sol:Fundings"
JOB_EVALUATOR = "contracts/integrations/JobEvaluator.sol:JobEvaluator"
JOB_EVALUATORS = "contracts/integrations/JobEvaluator.sol:JobEvaluators"
SPLIT = "contracts/payout/Split.sol:Split"
SPLITS = "contracts/payout/Split.sol:Splits"
STATEMENTS = "contracts/escrow/Statements.sol:Statements"
TERMS_RULES = "contracts/terms/TermsRules.sol:TermsRules"


def _of_escrow(*names: str) -> tuple[str, ...]:
    return tuple(f"escrow/{name}.t.sol" for name in names)


def _part(name: str) -> Target:
    tests = ("escrow", "terms/OpenRules.t.sol")
    return Target(f"contracts/escrow/{name}.sol", tests, (ESCROW,))


def _test_of(folder: str, library: str) -> str:
    return f"tests/contracts/{folder}/{library}.t.sol:{library}Test"


EVIDENCE_TESTS = tuple(
    f"evidence/{name}.t.sol" for name in ("Outcome", "Claim", "Reversals", "Rival", "Totals")
)
LENS_TESTS = _of_escrow(
    "Challenge",
    "ClaimsPaid",
    "Claims",
    "Close",
    "EscrowLens",
    "Holdback",
    "RateCap",
    "Reserve",
    "Status",
)
RULES_TESTS = ("terms/TermsRules.t.sol", "terms/OpenRules.t.sol", "escrow/Agent.t.sol")
TERMS_TESTS = (
    "log/Publish.t.sol",
    "terms/Terms.t.sol",
    *_of_escrow("Open", "Settle", "Close", "Withdraw"),
)

TARGETS = {
    "EventLog": Target("contracts/log/EventLog.sol", ("log",), (EVENT_LOG,)),
    "MerkleLog": Target(
        "contracts/log/MerkleLog.sol",
        ("log/MerkleLog.t.sol", "log/MerkleVectors.t.sol"),
        (_test_of("log", "MerkleLog"), _test_of("log", "MerkleVectors")),
    ),
    "Ledger": Target(
        "contracts/escrow/Ledger.sol", ("escrow/Ledger.t.sol",), (_test_of("escrow", "Ledger"),)
    ),
    "Release": Target(
        "contracts/escrow/Release.sol", ("escrow/Release.t.sol",), (_test_of("escrow", "Release"),)
    ),
    "Evidence": Target("contracts/evidence/Evidence.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Totals": Target("contracts/evidence/Totals.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Reversals": Target("contracts/evidence/Reversals.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Attribution": Target("contracts/evidence/Attribution.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Feedback": Target(
        "contracts/integrations/Feedback.sol",
        ("integrations/Feedback.t.sol",),
        ("contracts/integrations/Feedback.sol:Feedback",),
    ),
    "Statements": Target(
        "contracts/escrow/Statements.sol",
        ("escrow",),
        (STATEMENTS,),
    ),
    "Claims": Target(
        "contracts/escrow/Claims.sol",
        ("escrow",),
        (CLAIMS,),
    ),
    "PayableAmounts": Target(
        "contracts/escrow/PayableAmounts.sol",
        ("escrow",),
        (PAYABLE_AMOUNTS, ESCROW_LENS),
    ),
    "EscrowLens": Target("contracts/escrow/EscrowLens.sol", LENS_TESTS, (ESCROW_LENS,)),
    "SettlementRules": Target(
        "contracts/escrow/SettlementRules.sol",
        ("escrow/SettlementRules.t.sol",),
        (ESCROW, ESCROW_LENS, _test_of("escrow", "SettlementRules")),
    ),
    "Times": Target(
        "contracts/escrow/Times.sol",
        _of_escrow("Claims", "ClaimsPaid", "Open", "Refund", "Status"),
        (ESCROW, ESCROW_LENS),
    ),
    "Fundings": Target(
        "contracts/escrow/Fundings.sol", _of_escrow("Open", "OpenBySignature"), (FUNDINGS,)
    ),
    "GuardedRecord": Target(
        "contracts/escrow/GuardedRecord.sol",
        ("escrow",),
        (CLAIMS, PAYABLE_AMOUNTS, ESCROW, STATEMENTS),
    ),
    "OutcomeEscrow": _part("OutcomeEscrow"),
    "Ledgers": _part("Ledgers"),
    "Payments": _part("Payments"),
    "Openings": _part("Openings"),
    "Settlements": _part("Settlements"),
    "Disputes": _part("Disputes"),
    "Vault": _part("Vault"),
    "Exhibits": Target("contracts/evidence/Exhibits.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Payloads": Target("contracts/evidence/Payloads.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Terms": Target("contracts/terms/Terms.sol", TERMS_TESTS, (ESCROW, EVENT_LOG)),
    "TermsRules": Target(
        "contracts/terms/TermsRules.sol",
        RULES_TESTS,
        (TERMS_RULES,),
    ),
    "Signatures": Target(
        "contracts/escrow/Signatures.sol",
        ("escrow/Signatures.t.sol",),
        (_test_of("escrow", "Signatures"),),
    ),
    "Rounds": Target(
        "contracts/escrow/Rounds.sol",
        ("escrow/Rounds.t.sol",),
        ("contracts/escrow/Rounds.sol:Rounds",),
    ),
    "Shares": Target("contracts/payout/Shares.sol", ("payout",), (SPLIT, SPLITS)),
    "Split": Target("contracts/payout/Split.sol", ("payout",), (SPLIT, SPLITS)),
    "JobEvaluator": Target(
        "contracts/integrations/JobEvaluator.sol",
        ("integrations/JobEvaluator.t.sol", "integrations/Hostile.t.sol"),
        (JOB_EVALUATOR, JOB_EVALUATORS),
    ),
}
