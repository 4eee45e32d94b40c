// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ProvenReversal} from "../evidence/EvidenceTypes.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {DelayRule} from "./Ledger.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// @title Statements of guarded contracts
/// @notice Keeps the life of a statement that does not count at once: it is put up for challenge,
/// may be disputed and ruled on, and becomes final or void.
/// @dev A part of the escrow with an address of its own, because the code of one contract is
/// limited.
///
/// Roles: the escrow calls by delegatecall, and has checked its caller. A direct call of any
/// account is harmless: it works on the library's own storage, which is empty.
///
/// Assumptions: amounts fit 80 bits and times 40, by the terms rules. Callers finalize a matured
/// statement before they call `dispute`, `rule` or `discard`.
///
/// Liveness: a statement that is neither disproved nor disputed becomes final by the clock alone.
///
/// Limits: the library moves no tokens, checks no signatures and emits no events.
library Statements {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;
    using SafeCast for int256;

    error NoArbiter();
    error NotPending(uint256 position, uint256 pendingPosition);
    error AlreadyDisputed(address party);
    error DisputeTooLate(uint256 until, uint256 nowS);
    error NotDisputed();
    error AlreadyRecorded(uint64 happened);
    error MoreThanOutcome(uint64 outcome, uint256 amount, uint256 value);
    error NotHeld(uint64 outcome, uint256 sum, uint256 matured);
    error PayableOutOfRange(uint256 payableAmount, uint256 least, uint256 most);

    /// Puts a statement up for challenge, unless it breaks a rule.
    /// @param record The record of the contract.
    /// @param delays Its delay rule.
    /// @param budget Its budget, which is whole until T2.
    /// @param endsAt T2.
    /// @param lastFinal The position of its last final statement.
    /// @param position The position of the new statement.
    /// @param earned The cumulative earned amount that it states. The caller has checked that it is
    /// at least `reversed` and fits 80 bits.
    /// @param reversed The cumulative reversed amount that it states.
    /// @return reason The rule that the statement breaks, in ASCII; zero if it breaks none.
    function propose(
        GuardedRecord storage record,
        DelayRule delays,
        uint256 budget,
        uint256 endsAt,
        uint256 lastFinal,
        uint256 position,
        uint256 earned,
        uint256 reversed
    ) external returns (bytes32 reason) {
        if (record.pendingPosition != 0) return "pending";
        if (position <= lastFinal) return "already_settled";
        // It would not be known any more which of the events that were shown it states itself.
        bool isProven = record.proven != 0;
        if (isProven && position < record.provenUntil) return "stale";
        if (block.timestamp <= endsAt && earned - reversed > budget) return "over_budget";
        if (earned < record.earned) return "earned_fell";
        if (reversed < record.reversed) return "reversed_fell";
        if (block.timestamp > endsAt) {
            // After T2 a statement may only add reversals, within the holdback period: outcomes
            // that are not stated by then can be claimed.
            bool onlyReverses = earned == record.earned && reversed > record.reversed;
            bool isLate = block.timestamp > endsAt + delays.holdbackPeriod();
            if (!onlyReverses || isLate) return "ended";
        }

        if (isProven) record.provenAbovePending = 0; // it states all events that were shown
        record.pendingEarned = earned.toUint80();
        record.pendingReversed = reversed.toUint80();
        record.pendingPosition = position.toUint40();
        record.resolvesAt = (block.timestamp + delays.challengePeriod()).toUint40();
        return 0;
    }

    /// Makes the pending statement the final one.
    /// @param record The record of the contract.
    /// @param since The second since which it is final.
    /// @param budget The budget of the contract.
    /// @param holdsBack True if something is held back of what it earns.
    /// @return net The amount that it makes payable.
    function finalize(GuardedRecord storage record, uint256 since, uint256 budget, bool holdsBack)
        external
        returns (uint256 net)
    {
        net = record.pendingNet(budget); // before the pending totals are gone
        (record.earned, record.reversed) = (record.pendingEarned, record.pendingReversed);
        if (record.proven != 0) record.proven = record.provenAbovePending;
        _discard(record);
        if (holdsBack) {
            record.grossHistory
                .push(since.toUint48(), record.cumulativeGross(record.earned).toUint208());
        }
    }

    /// Puts the pending statement before the arbiter.
    /// @param record The record of the contract.
    /// @param arbiter The arbiter; zero if there is none.
    /// @param arbitrationPeriod The arbiter's time.
    /// @param position The position of the pending statement.
    /// @param byOwner True for a dispute by the owner, false for one by the operator.
    /// @return resolvesAt The last second of the arbiter.
    function dispute(
        GuardedRecord storage record,
        address arbiter,
        uint256 arbitrationPeriod,
        uint256 position,
        bool byOwner
    ) external returns (uint40 resolvesAt) {
        if (arbiter == address(0)) revert NoArbiter();
        _requirePending(record, position);
        if (byOwner ? record.ownerDisputed : record.operatorDisputed) {
            revert AlreadyDisputed(msg.sender);
        }
        // The second party has the same challenge period as the first, and does not prolong
        // arbitration.
        uint256 until = record.resolvesAt;
        if (record.isDisputed()) until -= arbitrationPeriod;
        if (block.timestamp > until) revert DisputeTooLate(until, block.timestamp);

        if (byOwner) record.ownerDisputed = true;
        else record.operatorDisputed = true;
        resolvesAt = (until + arbitrationPeriod).toUint40();
        record.resolvesAt = resolvesAt;
    }

    /// Sets the amount that the disputed statement makes payable. It must be at least the last
    /// final net, or the statement's own net where that is less, and at most the budget without the
    /// claims.
    /// @param record The record of the contract.
    /// @param budget The budget of the contract.
    /// @param position The position of the pending statement.
    /// @param payableAmount The amount.
    function rule(
        GuardedRecord storage record,
        uint256 budget,
        uint256 position,
        uint256 payableAmount
    ) external {
        _requirePending(record, position);
        if (!record.isDisputed()) revert NotDisputed();
        uint256 least = Math.min(record.net(budget), record.pendingNet(budget));
        uint256 most = budget - record.payableClaims();
        if (payableAmount < least || payableAmount > most) {
            revert PayableOutOfRange(payableAmount, least, most);
        }
        // The history of the gross must not fall (see GuardedRecordLibrary.recentGross). A ruling
        // that lowers the gross is made up for by the sum of all such reductions.
        uint256 before = record.grossOf(record.earned);
        uint256 reversed = record.pendingReversedInForce();
        int256 adjustment = payableAmount.toInt256() - uint256(record.pendingEarned).toInt256()
            + reversed.toInt256();
        (record.adjustment, record.isAdjusted) = (adjustment.toInt88(), true);
        uint256 gross = record.grossOf(record.pendingEarned);
        if (gross < before) {
            uint256 rulingReductions = uint256(record.rulingReductions) + before - gross;
            record.rulingReductions = rulingReductions.toUint88();
        }
    }

    /// Adds what an event above the last final statement takes back of an outcome on or below it,
    /// while the outcome's money is held back. Events may come in any order, each once.
    /// @param record The record of the contract.
    /// @param delays Its delay rule.
    /// @param reversal What the event takes back.
    function recordReversal(
        GuardedRecord storage record,
        DelayRule delays,
        ProvenReversal calldata reversal
    ) external {
        (uint64 happened, uint64 outcome) = (reversal.happened, reversal.outcome);
        if (record.isShown[happened]) revert AlreadyRecorded(happened);
        // Whatever events say, an outcome is taken back once.
        uint256 taken = record.takenBack[outcome] + reversal.amount;
        if (taken > reversal.value) revert MoreThanOutcome(outcome, taken, reversal.value);
        // Else the word of owner and publisher alone would take what is the payee's for good.
        uint256 upTo = record.highestGross(reversal.sum);
        uint256 matured = delays.holdbackBps() == 0
            ? upTo
            : record.oldGross(delays.holdbackPeriod() + delays.lateness());
        if (upTo <= matured) revert NotHeld(outcome, upTo, matured);

        record.isShown[happened] = true;
        record.takenBack[outcome] = taken;
        record.proven = (reversal.amount + record.proven).toUint80();
        // One below the pending statement is stated by that.
        if (record.pendingPosition != 0 && happened > record.pendingPosition) {
            record.provenAbovePending = (reversal.amount + record.provenAbovePending).toUint80();
        }
        if (happened > record.provenUntil) record.provenUntil = uint256(happened).toUint40();
    }

    /// Makes the pending statement void.
    /// @param record The record of the contract.
    function discard(GuardedRecord storage record) external {
        _discard(record);
    }

    /// Reverts unless the statement at `position` is pending. Callers name the statement, so a
    /// dispute or ruling of one statement cannot hit the next.
    function _requirePending(GuardedRecord storage record, uint256 position) private view {
        if (record.pendingPosition == 0 || record.pendingPosition != position) {
            revert NotPending(position, record.pendingPosition);
        }
    }

    /// Clears the pending statement, its disputes, and what events were proven to take back of it.
    function _discard(GuardedRecord storage record) private {
        (record.pendingEarned, record.pendingReversed) = (0, 0);
        (record.pendingPosition, record.resolvesAt) = (0, 0);
        (record.ownerDisputed, record.operatorDisputed) = (false, false);
        if (record.proven != 0) record.provenAbovePending = 0;
    }
}
