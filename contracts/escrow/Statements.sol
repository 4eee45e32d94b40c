// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

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
    error AlreadyRecorded(uint64 outcome, uint256 amount);
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
        int256 adjustment = payableAmount.toInt256()
            - record.balanceOf(record.pendingEarned, record.pendingReversed);
        (record.adjustment, record.isAdjusted) = (adjustment.toInt88(), true);
        uint256 gross = record.grossOf(record.pendingEarned);
        if (gross < before) {
            uint256 rulingReductions = uint256(record.rulingReductions) + before - gross;
            record.rulingReductions = rulingReductions.toUint88();
        }
    }

    /// Keeps what was proven to be taken back of an outcome, in all so far.
    /// @param record The record of the contract.
    /// @param outcome The position of the outcome.
    /// @param amount The amount, more than what is kept already.
    function recordReversal(GuardedRecord storage record, uint64 outcome, uint256 amount) external {
        uint256 before = record.reversals[outcome];
        if (amount <= before) revert AlreadyRecorded(outcome, before);

        record.reversals[outcome] = amount;
        record.provenReversed = (record.provenReversed + (amount - before)).toUint80();
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

    function _discard(GuardedRecord storage record) private {
        (record.pendingEarned, record.pendingReversed) = (0, 0);
        (record.pendingPosition, record.resolvesAt) = (0, 0);
        (record.ownerDisputed, record.operatorDisputed) = (false, false);
    }
}
