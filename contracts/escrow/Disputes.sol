// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim, ProvenReversal} from "../evidence/EvidenceTypes.sol";
import {IEvidenceTarget} from "../interfaces/IEvidenceTarget.sol";
import {Terms} from "../terms/Terms.sol";
import {Claims} from "./Claims.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {DelayRule, Ledger, RETIRED} from "./Ledger.sol";
import {Payments} from "./Payments.sol";
import {SettlementRules} from "./SettlementRules.sol";
import {Statements} from "./Statements.sol";
import {Times} from "./Times.sol";

/// @title Disputes of statements and claims
/// @notice Takes what the parties dispute and their arbiter rules, and what Evidence has found proven
/// by the log: disproofs, reversals, claims and their refutations.
/// @dev A part of OutcomeEscrow, which says what all parts assume and promise.
abstract contract Disputes is Payments {
    using SettlementRules for Terms;
    using Times for Terms;

    /// The contract from which disproofs and claims are taken. It decides by the log alone.
    address public immutable evidence;

    /// Emitted when a party has disputed the pending statement. The arbiter has until `resolvesAt`.
    event Disputed(bytes32 indexed contractId, address indexed party, uint64 resolvesAt);
    /// Emitted when the arbiter has set the payable amount of the disputed statement.
    event Ruled(bytes32 indexed contractId, uint256 payableAmount);
    /// Emitted when the contract's verifier is retired: it has signed an entry that the log
    /// refutes. `kind` is ASCII (see Evidence.disprove).
    event Disproved(bytes32 indexed contractId, bytes32 kind);
    /// Emitted when a claim is filed. `transition` and `touch` are positions.
    event Claimed(
        bytes32 indexed contractId,
        bytes32 indexed key,
        bytes32 lead,
        uint64 transition,
        uint64 touch,
        uint64 timeMs,
        uint256 amount
    );
    /// Emitted when the log has refuted a claim and `left` remains of it; `kind` is ASCII (see
    /// Evidence.refute).
    event ClaimLowered(bytes32 indexed contractId, bytes32 indexed key, uint256 left, bytes32 kind);
    /// Emitted when it is proven what an event takes back of an outcome (see ProvenReversal).
    event ReversalRecorded(
        bytes32 indexed contractId,
        uint64 happened,
        uint64 outcome,
        uint256 value,
        uint256 sum,
        uint256 amount
    );
    /// Emitted when a party has disputed the sum of the claims.
    event ClaimsDisputed(bytes32 indexed contractId, address indexed party);
    /// Emitted when the arbiter has set the most that is paid of the claims.
    event ClaimsRuled(bytes32 indexed contractId, uint256 amount);

    error NotEvidence(address caller);
    error NotAParty(bytes32 contractId, address caller);
    error NotArbiter(bytes32 contractId, address caller);
    error AlreadyRetired(bytes32 contractId);

    /// @dev Refuses all callers but the Evidence of this escrow.
    modifier onlyEvidence() {
        _requireEvidence();
        _;
    }

    constructor(address evidence_) {
        if (evidence_.code.length == 0) revert NotAContract(evidence_);
        evidence = evidence_;
    }

    // ------------------------------------------------------------ dispute, ruling, disproof

    /// Puts the pending statement before the arbiter, by the owner or the operator, each once and
    /// within the challenge period.
    /// @param terms The terms of the contract.
    /// @param position The position of the pending statement.
    function dispute(Terms calldata terms, uint64 position) external nonReentrant {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());
        bool byOwner = _requireParty(contractId, terms);
        uint40 resolvesAt =
            Statements.dispute(record, terms.arbiter, terms.arbitrationPeriod, position, byOwner);
        emit Disputed(contractId, msg.sender, resolvesAt);
    }

    /// Sets the payable amount of the disputed statement, by the arbiter, until it resolves. The
    /// ruling adjusts all later statements by the same sum.
    /// @param terms The terms of the contract.
    /// @param position The position of the pending statement.
    /// @param payableAmount The amount, within the bounds of Statements.rule.
    function rule(Terms calldata terms, uint64 position, uint256 payableAmount)
        external
        nonReentrant
    {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        if (msg.sender != terms.arbiter) revert NotArbiter(contractId, msg.sender);
        DelayRule delays = terms.delayRule();
        _finalizeMatured(contractId, ledger, record, delays);
        Statements.rule(record, ledger.balance.budget(), position, payableAmount);
        emit Ruled(contractId, payableAmount);
        _finalize(contractId, ledger, record, delays, block.timestamp);
        _payReleasable(contractId, terms, ledger, record);
    }

    /// @inheritdoc IEvidenceTarget
    function retire(Terms calldata terms, bytes32 kind) external onlyEvidence nonReentrant {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _findOpen(terms);
        if (ledger.balance.has(RETIRED)) revert AlreadyRetired(contractId);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());

        Statements.discard(record);
        ledger.balance = ledger.balance.withFlag(RETIRED);
        emit Disproved(contractId, kind);
    }

    /// @inheritdoc IEvidenceTarget
    function recordReversal(Terms calldata terms, ProvenReversal calldata reversal)
        external
        onlyEvidence
        nonReentrant
    {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _findOpen(terms);
        DelayRule delays = terms.delayRule();
        _finalizeMatured(contractId, ledger, record, delays);
        Statements.recordReversal(record, delays, reversal);
        emit ReversalRecorded(
            contractId,
            reversal.happened,
            reversal.outcome,
            reversal.value,
            reversal.sum,
            reversal.amount
        );
    }

    // ------------------------------------------------------------ claims

    /// @inheritdoc IEvidenceTarget
    function fileClaim(Terms calldata terms, bytes32 key, Claim calldata claim)
        external
        onlyEvidence
        nonReentrant
    {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _findOpen(terms);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());
        Claims.file(
            record,
            _claims[contractId],
            terms.statementsUntil(),
            terms.claimsUntil(),
            ledger.balance.budget(),
            key,
            claim
        );
        emit Claimed(
            contractId, key, claim.lead, claim.transition, claim.touch, claim.timeMs, claim.amount
        );
    }

    /// @inheritdoc IEvidenceTarget
    function lowerClaim(Terms calldata terms, bytes32 key, uint256 left, bytes32 kind)
        external
        onlyEvidence
        nonReentrant
    {
        (bytes32 contractId,, GuardedRecord storage record) = _findOpen(terms);
        Claims.lower(
            record, _claims[contractId], terms.statementsUntil(), terms.refutableUntil(), key, left
        );
        emit ClaimLowered(contractId, key, left, kind);
    }

    /// Puts the sum of all claims before the arbiter, by the owner or the operator, after T3 and
    /// until T4.
    /// @param terms The terms of the contract.
    function disputeClaims(Terms calldata terms) external nonReentrant {
        (bytes32 contractId,, GuardedRecord storage record) = _findOpen(terms);
        _requireParty(contractId, terms);
        Claims.dispute(record, terms.claimsUntil(), terms.refutableUntil());
        emit ClaimsDisputed(contractId, msg.sender);
    }

    /// Sets the most that is paid of the disputed claims, by the arbiter, until T4. Claims that are
    /// refuted later still reduce their sum.
    /// @param terms The terms of the contract.
    /// @param amount The amount, at most the sum of the claims.
    function ruleClaims(Terms calldata terms, uint256 amount) external nonReentrant {
        (bytes32 contractId,, GuardedRecord storage record) = _findOpen(terms);
        if (msg.sender != terms.arbiter) revert NotArbiter(contractId, msg.sender);
        Claims.rule(record, terms.claimsUntil(), terms.refutableUntil(), amount);
        emit ClaimsRuled(contractId, amount);
    }

    // ------------------------------------------------------------ inside

    function _requireEvidence() private view {
        if (msg.sender != evidence) revert NotEvidence(msg.sender);
    }

    /// Returns true if the caller is the owner, and false if it is the operator. Reverts for any
    /// other.
    function _requireParty(bytes32 contractId, Terms calldata terms) private view returns (bool) {
        if (msg.sender == terms.owner) return true;
        if (msg.sender == terms.operator) return false;
        revert NotAParty(contractId, msg.sender);
    }
}
