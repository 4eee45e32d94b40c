// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../terms/Terms.sol";
import {DelayRule} from "./Ledger.sol";
import {OutcomeEscrow} from "./OutcomeEscrow.sol";
import {PayableAmounts, SNAPSHOT_WORDS, Snapshot} from "./PayableAmounts.sol";
import {Release} from "./Release.sol";
import {SettlementRules} from "./SettlementRules.sol";
import {Times} from "./Times.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Lens on the escrow
/// @notice Tells people and explorers what a contract owes, when it can be released, and where it
/// stands. It computes by the functions by which the escrow pays, from one snapshot of the escrow.
/// @dev Roles: any account reads. Nothing that moves money reads this contract.
///
/// Assumptions: the escrow is what it seems; it is fixed at construction.
///
/// Limits: an answer holds in the block in which it is given. Each function but statusOf reverts for
/// terms that were not opened.
contract EscrowLens {
    using SettlementRules for Terms;
    using Times for Terms;

    /// The escrow that this contract reads.
    OutcomeEscrow public immutable escrow;

    error NotAContract(address account);

    constructor(OutcomeEscrow escrow_) {
        if (address(escrow_).code.length == 0) revert NotAContract(address(escrow_));
        escrow = escrow_;
    }

    /// Returns what the escrow holds of a contract now.
    /// @param terms The terms of the contract.
    /// @return snapshot The snapshot.
    function snapshotOf(Terms calldata terms) public view returns (Snapshot memory snapshot) {
        uint256[SNAPSHOT_WORDS] memory words = escrow.snapshotOf(terms);
        assembly ("memory-safe") {
            snapshot := words // both are so many words in memory
        }
    }

    /// Returns the amount that the contract has paid so far, fees included.
    /// @param terms The terms of the contract.
    /// @return The amount in base units.
    function paidOf(Terms calldata terms) external view returns (uint256) {
        return snapshotOf(terms).paid;
    }

    /// Returns the final payable amount without claims.
    /// @param terms The terms of the contract.
    /// @return The amount in base units.
    function netOf(Terms calldata terms) external view returns (uint256) {
        return snapshotOf(terms).net;
    }

    /// Returns the final payable amount that is not yet paid, with what is held back.
    /// @param terms The terms of the contract.
    /// @return The amount in base units.
    function owed(Terms calldata terms) external view returns (uint256) {
        Snapshot memory snapshot = snapshotOf(terms);
        return _payableTotal(terms, snapshot) - snapshot.paid;
    }

    /// Returns the amount that `release` would pay now.
    /// @param terms The terms of the contract.
    /// @return The amount in base units, fees included.
    function releasable(Terms calldata terms) external view returns (uint256) {
        Snapshot memory snapshot = snapshotOf(terms);
        return PayableAmounts.releasable(
            _payableTotal(terms, snapshot),
            snapshot.held,
            snapshot.paid,
            terms.delayRule(),
            snapshot.capLevel
        );
    }

    /// Returns the time by which all that is owed now can be released. If nothing is owed, it is
    /// the time at which the pending statement becomes final or the claims payable.
    ///
    /// Under a rate cap the time holds for a caller that releases amounts as they become due, and
    /// then once in every rate period: an empty bucket leaks nothing. Each release on the way may
    /// leave a unit for later, by rounding.
    /// @param terms The terms of the contract.
    /// @return time UTC seconds; zero if there is nothing to wait for.
    function releasableAt(Terms calldata terms) external view returns (uint256 time) {
        Snapshot memory snapshot = snapshotOf(terms);
        uint256 amount = _payableTotal(terms, snapshot) - snapshot.paid;
        if (amount == 0) {
            if (snapshot.pendingPosition != 0) return snapshot.resolvesAt + 1;
            uint256 until = terms.refutableUntil();
            return snapshot.claims != 0 && block.timestamp <= until ? until + 1 : 0;
        }

        time = block.timestamp;
        uint256 held = Math.min(amount, snapshot.held);
        if (held != 0) time = snapshot.finalSince + terms.holdbackPeriod + terms.lateness;
        if (terms.rateCap != 0) {
            // The part that is not held back goes into the bucket at once, and leaks until the held
            // part comes. Then the bucket must leak what exceeds its size.
            uint256 half = terms.rateCap / 2;
            uint256 level = amount - held + snapshot.capLevel;
            uint256 elapsed = time - block.timestamp;
            level = Release.levelAfter(level, elapsed, terms.rateCap, terms.ratePeriod) + held;
            if (level > half) time += Math.ceilDiv((level - half) * terms.ratePeriod, half);
        }
    }

    /// Returns the most that the contract can have paid in the end. It is not refunded.
    /// @param terms The terms of the contract.
    /// @return The amount in base units.
    function reservedOf(Terms calldata terms) external view returns (uint256) {
        return _reserved(terms, snapshotOf(terms));
    }

    /// Returns the status. It is derived from the stored facts and the clock:
    ///
    ///   not opened ............................................ unknown
    ///   closed by both parties ................................ closed      (for good)
    ///   the whole budget is paid .............................. paid_out
    ///   now < opensAt ......................................... scheduled
    ///   now <= deadline ....................................... open
    ///   now <= T2 ............................................. settling
    ///   now <= T3 ............................................. claimable
    ///   now <= T4 ............................................. refutable
    ///   later
    ///       something can be refunded ......................... refundable
    ///       something is owed ................................. releasing
    ///       else .............................................. refunded
    /// @param terms The terms of the contract.
    /// @return The status in ASCII.
    function statusOf(Terms calldata terms) external view returns (bytes32) {
        if (escrow.openingNumberOf(escrow.contractIdOf(terms)) == 0) return "unknown";
        Snapshot memory snapshot = snapshotOf(terms);
        if (snapshot.isClosed) return "closed";
        if (snapshot.paid == terms.budget) return "paid_out";
        if (block.timestamp < terms.opensAt) return "scheduled";
        if (block.timestamp <= terms.deadline) return "open";
        if (block.timestamp <= terms.statementsUntil()) return "settling";
        if (block.timestamp <= terms.claimsUntil()) return "claimable";
        if (block.timestamp <= terms.refutableUntil()) return "refutable";
        uint256 kept = _reserved(terms, snapshot);
        if (kept < snapshot.budget) return "refundable";
        if (kept > snapshot.paid) return "releasing";
        return "refunded";
    }

    // ------------------------------------------------------------ inside

    /// Returns the final payable amount, with claims after T4.
    function _payableTotal(Terms calldata terms, Snapshot memory snapshot)
        private
        view
        returns (uint256)
    {
        uint256 claims = block.timestamp > terms.refutableUntil() ? snapshot.claims : 0;
        return PayableAmounts.payableTotal(snapshot.net, claims, snapshot.paid, snapshot.budget);
    }

    /// Returns the most that the contract can have paid in the end.
    function _reserved(Terms calldata terms, Snapshot memory snapshot)
        private
        pure
        returns (uint256)
    {
        bool isPending = snapshot.pendingPosition != 0;
        return PayableAmounts.reserved(
            snapshot.isClosed || (isPending && terms.arbiter != address(0)),
            Math.max(snapshot.net, snapshot.pendingNet),
            snapshot.claims,
            snapshot.paid,
            snapshot.budget
        );
    }
}
