// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../terms/Terms.sol";
import {ClaimsStatus, Position} from "./ContractRecord.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// The life of a statement that does not count at once: put up for challenge, disputed, ruled on,
/// final or void. A part of the escrow with an address of its own, because one contract's code is
/// limited.
///
/// It assumes that the escrow calls, and has checked who called it. Called directly it works on an
/// empty storage of its own.
library Statements {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;
    using SafeCast for int256;

    error NoArbiter();
    error NotPending(uint256 position, uint256 pendingPosition);
    error AlreadyDisputed(address party);
    error DisputeTooLate(uint256 until, uint256 nowS);
    error NotDisputed();
    error PayableOutOfRange(uint256 payableAmount, uint256 least, uint256 most);

    /// Puts a statement up for challenge. Returns the rule that it breaks, if any.
    function put(
        Position storage record,
        Terms memory terms,
        uint256 lastFinal,
        uint256 position,
        uint256 earned,
        uint256 reversed
    ) external returns (bytes32 reason) {
        if (record.pendingPosition != 0) return "pending";
        if (position <= lastFinal) return "already_settled";
        if (earned - reversed > terms.budget) return "over_budget";
        if (earned < record.earned) return "earned_fell";
        if (reversed < record.reversed) return "reversed_fell";
        uint256 endsAt = uint256(terms.deadline) + terms.grace;
        if (block.timestamp > endsAt) {
            // Outcomes are stated by then. What is taken back within the holdback period may follow.
            bool onlyReverses = earned == record.earned && reversed > record.reversed;
            if (!onlyReverses || block.timestamp > endsAt + terms.holdbackPeriod) return "ended";
        }

        record.pendingEarned = earned.toUint80();
        record.pendingReversed = reversed.toUint80();
        record.pendingPosition = position.toUint40();
        record.resolvesAt = (block.timestamp + terms.challengePeriod).toUint40();
        return 0;
    }

    /// Makes the pending statement the final one, as of `since`. Returns what it makes payable.
    function finalize(Position storage record, uint256 since, uint256 budget)
        external
        returns (uint256 net)
    {
        net = record.pendingNet(budget);
        (record.earned, record.reversed) = (record.pendingEarned, record.pendingReversed);
        _discard(record);
        record.grossHistory
            .push(since.toUint48(), record.cumulativeGross(record.earned).toUint208());
    }

    /// Puts the pending statement, which is the entry at `position`, before the arbiter.
    function dispute(Position storage record, Terms memory terms, uint256 position, bool byOwner)
        external
        returns (uint40 resolvesAt)
    {
        if (terms.arbiter == address(0)) revert NoArbiter();
        _requirePending(record, position);
        if (byOwner ? record.ownerDisputed : record.operatorDisputed) {
            revert AlreadyDisputed(msg.sender);
        }
        uint256 until = record.resolvesAt;
        if (record.isDisputed()) until -= terms.arbitrationPeriod;
        if (block.timestamp > until) revert DisputeTooLate(until, block.timestamp);

        if (byOwner) record.ownerDisputed = true;
        else record.operatorDisputed = true;
        resolvesAt = (until + terms.arbitrationPeriod).toUint40();
        record.resolvesAt = resolvesAt;
    }

    /// The arbiter says what the disputed statement makes payable: not less than the last final
    /// one, unless the statement itself says less, and not more than the budget and the claims
    /// leave.
    function rule(Position storage record, uint256 budget, uint256 position, uint256 payableAmount)
        external
    {
        _requirePending(record, position);
        if (!record.isDisputed()) revert NotDisputed();
        uint256 least = Math.min(record.net(budget), record.pendingNet(budget));
        uint256 most = budget - record.payableClaims();
        if (payableAmount < least || payableAmount > most) {
            revert PayableOutOfRange(payableAmount, least, most);
        }
        uint256 before = record.grossOf(record.earned);
        record.adjustment = _difference(payableAmount, record.pendingEarned, record.pendingReversed);
        uint256 gross = record.grossOf(record.pendingEarned);
        if (gross < before) {
            uint256 rulingReductions = uint256(record.rulingReductions) + before - gross;
            record.rulingReductions = rulingReductions.toUint88();
        }
    }

    /// The parties say what is payable, whatever was stated or claimed.
    function agree(Position storage record, uint256 payableAmount) external {
        _discard(record);
        (record.claimed, record.claimsStatus) = (0, ClaimsStatus.Ruled);
        record.adjustment = _difference(payableAmount, record.earned, record.reversed);
    }

    /// The pending statement is void.
    function discard(Position storage record) external {
        _discard(record);
    }

    /// So that nobody's word about one statement is taken for the next.
    function _requirePending(Position storage record, uint256 position) private view {
        if (record.pendingPosition == 0 || record.pendingPosition != position) {
            revert NotPending(position, record.pendingPosition);
        }
    }

    function _discard(Position storage record) private {
        (record.pendingEarned, record.pendingReversed) = (0, 0);
        (record.pendingPosition, record.resolvesAt) = (0, 0);
        (record.ownerDisputed, record.operatorDisputed) = (false, false);
    }

    /// What a ruling adds to what was stated.
    function _difference(uint256 payableAmount, uint80 earned, uint80 reversed)
        private
        pure
        returns (int88)
    {
        int256 stated = int256(uint256(earned)) - int256(uint256(reversed));
        return (payableAmount.toInt256() - stated).toInt88();
    }
}
