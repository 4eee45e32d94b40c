// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../terms/Terms.sol";
import {ClaimsCase, Position} from "./ContractRecord.sol";
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
    error NotPending(uint256 index, uint256 pendingIndex);
    error AlreadyDisputed(address party);
    error DisputeTooLate(uint256 until, uint256 nowS);
    error NotDisputed();
    error PayableOutOfRange(uint256 payableAmount, uint256 least, uint256 most);

    /// Puts a statement up for challenge. Returns the rule that it breaks, if any.
    function put(
        Position storage position,
        Terms memory terms,
        uint256 floor,
        uint256 index,
        uint256 earned,
        uint256 reversed
    ) external returns (bytes32 reason) {
        if (position.pendingIndex != 0) return "pending";
        if (index <= floor) return "already_settled";
        if (earned - reversed > terms.budget) return "over_budget";
        if (earned < position.earned) return "earned_fell";
        if (reversed < position.reversed) return "reversed_fell";
        uint256 endsAt = uint256(terms.deadline) + terms.grace;
        if (block.timestamp > endsAt) {
            // Outcomes are stated by then. What is taken back within the holdback period may follow.
            bool onlyReverses = earned == position.earned && reversed > position.reversed;
            if (!onlyReverses || block.timestamp > endsAt + terms.holdbackPeriod) return "ended";
        }

        position.pendingEarned = earned.toUint80();
        position.pendingReversed = reversed.toUint80();
        position.pendingIndex = index.toUint40();
        position.resolvesAt = (block.timestamp + terms.challengePeriod).toUint40();
        return 0;
    }

    /// Makes the pending statement the final one, as of `since`. Returns what it makes payable.
    function finalize(Position storage position, uint256 since, uint256 budget)
        external
        returns (uint256 net)
    {
        net = position.pendingNet(budget);
        (position.earned, position.reversed) = (position.pendingEarned, position.pendingReversed);
        _discard(position);
        position.finals.push(since.toUint48(), position.everOf(position.earned).toUint208());
    }

    /// Puts the pending statement, which is the entry at `index`, before the arbiter.
    function dispute(Position storage position, Terms memory terms, uint256 index, bool byOwner)
        external
        returns (uint40 resolvesAt)
    {
        if (terms.arbiter == address(0)) revert NoArbiter();
        _requirePending(position, index);
        if (byOwner ? position.ownerDisputed : position.operatorDisputed) {
            revert AlreadyDisputed(msg.sender);
        }
        uint256 until = position.resolvesAt;
        if (position.hasDispute()) until -= terms.arbitrationPeriod;
        if (block.timestamp > until) revert DisputeTooLate(until, block.timestamp);

        if (byOwner) position.ownerDisputed = true;
        else position.operatorDisputed = true;
        resolvesAt = (until + terms.arbitrationPeriod).toUint40();
        position.resolvesAt = resolvesAt;
    }

    /// The arbiter says what the disputed statement makes payable: not less than the last final
    /// one, unless the statement itself says less, and not more than the budget and the claims
    /// leave.
    function rule(Position storage position, uint256 budget, uint256 index, uint256 payableAmount)
        external
    {
        _requirePending(position, index);
        if (!position.hasDispute()) revert NotDisputed();
        uint256 least = Math.min(position.net(budget), position.pendingNet(budget));
        uint256 most = budget - position.claimable();
        if (payableAmount < least || payableAmount > most) {
            revert PayableOutOfRange(payableAmount, least, most);
        }
        uint256 before = position.grossOf(position.earned);
        position.adjust =
            _difference(payableAmount, position.pendingEarned, position.pendingReversed);
        uint256 gross = position.grossOf(position.pendingEarned);
        if (gross < before) {
            uint256 fallen = uint256(position.fallen) + before - gross;
            position.fallen = fallen.toUint88();
        }
    }

    /// The parties say what is payable, whatever was stated or claimed.
    function agree(Position storage position, uint256 payableAmount) external {
        _discard(position);
        (position.claimed, position.claimsCase) = (0, ClaimsCase.Ruled);
        position.adjust = _difference(payableAmount, position.earned, position.reversed);
    }

    /// The pending statement is void.
    function discard(Position storage position) external {
        _discard(position);
    }

    /// So that nobody's word about one statement is taken for the next.
    function _requirePending(Position storage position, uint256 index) private view {
        if (position.pendingIndex == 0 || position.pendingIndex != index) {
            revert NotPending(index, position.pendingIndex);
        }
    }

    function _discard(Position storage position) private {
        (position.pendingEarned, position.pendingReversed) = (0, 0);
        (position.pendingIndex, position.resolvesAt) = (0, 0);
        (position.ownerDisputed, position.operatorDisputed) = (false, false);
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
