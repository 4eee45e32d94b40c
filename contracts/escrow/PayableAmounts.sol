// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedRecord} from "./GuardedRecord.sol";
import {Balance, CLOSED, DelayRule, RETIRED} from "./Ledger.sol";
import {Release} from "./Release.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @dev What the escrow holds of one contract, read at one time, for all that only tells and pays
/// nothing (see EscrowLens). What the clock has decided by then counts as decided.
struct Snapshot {
    bytes32 contractId;
    uint256 paid;
    uint256 budget; //           less what was refunded
    uint256 lastFinal; //        position of the last final statement; zero: none
    bool isClosed;
    bool isRetired;
    uint256 net; //              final payable amount without claims
    uint256 pendingNet; //       the same if the pending statement becomes final; zero without one
    uint256 pendingEarned; //    the pending statement; zeros if there is none
    uint256 pendingReversed;
    uint256 pendingPosition;
    uint256 resolvesAt;
    bool ownerDisputed;
    bool operatorDisputed;
    uint256 held; //             what is held back of it
    uint256 finalSince; //       since when the last final statement is final, if something is held
    uint256 claims; //           what is paid of the claims after T4, if no more are refuted
    uint256 capLevel; //         level of the rate cap's bucket
}

uint256 constant SNAPSHOT_WORDS = 18;

/// @title Payable amounts
/// @notice Computes what a contract owes, when it can be released, and what stays reserved for it.
/// The escrow pays by these functions, and the lens tells by them.
/// @dev A part of the escrow with an address of its own, because the code of one contract is
/// limited.
///
/// Roles: the escrow calls by delegatecall, and has checked its caller. A direct call of any
/// account is harmless: it works on the library's own storage, which is empty.
///
/// Assumptions: amounts fit 80 bits and times 40, by the terms rules, so no sum leaves 256 bits.
///
/// Limits: the library moves no tokens. It fills the rate cap's bucket, and else only reads.
library PayableAmounts {
    using SafeCast for uint256;

    /// Returns the amount that can be paid now, and fills the rate cap's bucket by it. The caller
    /// pays it.
    /// @param record The record of the contract: a guarded one, or one that was closed. Of that the
    /// whole budget is payable, which is what the parties agreed on.
    /// @param balance Its balance.
    /// @param delays Its delay rule.
    /// @param areClaimsDue True after T4.
    /// @return amount The amount, fees included.
    function consumeReleasable(
        GuardedRecord storage record,
        Balance balance,
        DelayRule delays,
        bool areClaimsDue
    ) external returns (uint256 amount) {
        (uint256 budget, uint256 paid) = (balance.budget(), balance.paid());
        uint256 net = balance.has(CLOSED) ? budget : record.net(budget);
        uint256 total = payableTotal(net, areClaimsDue ? record.payableClaims() : 0, paid, budget);
        uint256 held = _heldBack(record, net, balance, delays);
        bool isCapped = delays.rateCap() != 0;
        uint256 level = isCapped ? _capLevel(record, delays) : 0;
        amount = releasable(total, held, paid, delays, level);
        if (amount != 0 && isCapped) {
            record.capLevel = (level + amount).toUint80();
            record.capUpdatedAt = block.timestamp.toUint40();
        }
    }

    /// Returns the most that the contract can have paid in the end. It is not refunded.
    /// @param record The record of the contract.
    /// @param balance Its balance.
    /// @param hasArbiter True if its terms name an arbiter.
    /// @return The amount.
    function reservedOf(GuardedRecord storage record, Balance balance, bool hasArbiter)
        external
        view
        returns (uint256)
    {
        return reserved(
            balance.has(CLOSED) || (record.isPending() && hasArbiter),
            record.highestNet(balance.budget()), // zero for a plain contract
            record.payableClaims(),
            balance.paid(),
            balance.budget()
        );
    }

    /// Returns what the escrow holds of a contract now.
    /// @param record The record of the contract.
    /// @param contractId The contract.
    /// @param balance Its balance.
    /// @param delays Its delay rule.
    /// @param isGuarded True unless it is plain.
    /// @return words The words of a Snapshot, in the order of its fields. The escrow hands them on
    /// as they are.
    function snapshotOf(
        GuardedRecord storage record,
        bytes32 contractId,
        Balance balance,
        DelayRule delays,
        bool isGuarded
    ) external view returns (uint256[SNAPSHOT_WORDS] memory words) {
        Snapshot memory snapshot;
        snapshot.contractId = contractId;
        (snapshot.paid, snapshot.budget) = (balance.paid(), balance.budget());
        (snapshot.isClosed, snapshot.isRetired) = (balance.has(CLOSED), balance.has(RETIRED));
        snapshot.lastFinal = record.isMatured() ? record.pendingPosition : balance.lastFinal();
        // A plain contract has no record, and has paid all that is payable.
        snapshot.net = isGuarded ? record.net(snapshot.budget) : snapshot.paid;
        if (snapshot.isClosed) snapshot.net = snapshot.budget;
        else snapshot.claims = record.payableClaims();
        if (record.isPending()) {
            snapshot.pendingNet = record.pendingNet(snapshot.budget);
            snapshot.pendingEarned = record.pendingEarned;
            snapshot.pendingReversed = record.pendingReversed;
            snapshot.pendingPosition = record.pendingPosition;
            snapshot.resolvesAt = record.resolvesAt;
            snapshot.ownerDisputed = record.ownerDisputed;
            snapshot.operatorDisputed = record.operatorDisputed;
        }
        snapshot.held = _heldBack(record, snapshot.net, balance, delays);
        if (snapshot.held != 0) snapshot.finalSince = record.finalSince();
        if (delays.rateCap() != 0) snapshot.capLevel = _capLevel(record, delays);
        assembly ("memory-safe") {
            words := snapshot // both are so many words in memory
        }
    }

    // ------------------------------------------------------------ arithmetic

    /// Returns the final payable amount, with the claims that are due by now. It is never less than
    /// the paid amount.
    function payableTotal(uint256 net, uint256 claims, uint256 paid, uint256 budget)
        internal
        pure
        returns (uint256)
    {
        return Math.max(paid, Math.min(budget, net + claims));
    }

    /// Returns what can be paid now of the payable amount: not what is held back, and no more than
    /// the rate cap's bucket takes.
    function releasable(
        uint256 total,
        uint256 held,
        uint256 paid,
        DelayRule delays,
        uint256 capLevel
    ) internal pure returns (uint256 amount) {
        uint256 released = total - held;
        // A reversal or a ruling may leave less releasable than was paid.
        if (released <= paid) return 0;
        amount = released - paid;
        uint256 cap = delays.rateCap();
        if (cap != 0) amount = Math.min(amount, cap / 2 - capLevel);
    }

    /// Returns the most that a contract can have paid in the end. That is all of the budget if it was
    /// closed, and while a ruling can come, which may make all of it payable. `highest` is the larger
    /// of the final and the pending net.
    function reserved(bool canBeAll, uint256 highest, uint256 claims, uint256 paid, uint256 budget)
        internal
        pure
        returns (uint256)
    {
        return canBeAll ? budget : payableTotal(highest, claims, paid, budget);
    }

    // ------------------------------------------------------------ inside

    /// Returns the holdback share of the gross that is not yet safe from reversals. An event may be
    /// reported `lateness` after it, so the holdback ends that much later.
    function _heldBack(GuardedRecord storage record, uint256 net, Balance balance, DelayRule delays)
        private
        view
        returns (uint256)
    {
        if (delays.holdbackBps() == 0 || balance.has(CLOSED)) return 0;
        uint256 young = record.recentGross(delays.holdbackPeriod() + delays.lateness());
        return Release.heldBack(net, young, delays.holdbackBps());
    }

    /// Returns the level of the rate cap's bucket now.
    function _capLevel(GuardedRecord storage record, DelayRule delays)
        private
        view
        returns (uint256)
    {
        uint256 elapsed = block.timestamp - record.capUpdatedAt;
        return Release.levelAfter(record.capLevel, elapsed, delays.rateCap(), delays.ratePeriod());
    }
}
