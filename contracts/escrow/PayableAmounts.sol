// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../terms/Terms.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {Balance, CLOSED, Config, GUARDED} from "./Ledger.sol";
import {Release} from "./Release.sol";
import {Times} from "./Times.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Payable amounts
/// @notice Computes what a contract owes, when it can be released, and what stays reserved for it.
/// @dev A part of the escrow with an address of its own, because the code of one contract is
/// limited.
///
/// Roles: the escrow calls by delegatecall, and has checked its caller. A direct call of any
/// account is harmless: it works on the library's own storage, which is empty.
///
/// Assumptions: amounts fit 80 bits and times 40, by the terms rules, so no sum leaves 256 bits.
///
/// Limits: the library only reads.
library PayableAmounts {
    using Times for Terms;

    /// Returns what can be paid now.
    /// @param record The record of the contract.
    /// @param terms Its terms.
    /// @param balance Its balance.
    /// @param config Its configuration.
    /// @return amount The amount that `release` would pay.
    /// @return level The level of the rate cap's bucket before that payment.
    function releasable(
        GuardedRecord storage record,
        Terms memory terms,
        Balance balance,
        Config config
    ) external view returns (uint256 amount, uint256 level) {
        uint256 released = _payable(record, terms, balance, config)
            - _heldBack(record, terms, balance, config);
        // A reversal or a ruling may leave less releasable than was paid.
        if (released <= balance.paid()) return (0, 0);
        amount = released - balance.paid();
        if (terms.rateCap != 0) {
            level = _level(record, terms);
            amount = Math.min(amount, terms.rateCap / 2 - level);
        }
    }

    /// Returns the time by which all that is owed now can be released. See
    /// OutcomeEscrow.releasableAt.
    /// @param record The record of the contract.
    /// @param terms Its terms.
    /// @param balance Its balance.
    /// @param config Its configuration.
    /// @return time UTC seconds; zero if there is nothing to wait for.
    function releasableAt(
        GuardedRecord storage record,
        Terms memory terms,
        Balance balance,
        Config config
    ) external view returns (uint256 time) {
        uint256 amount = _payable(record, terms, balance, config) - balance.paid();
        if (amount == 0) {
            if (record.isPending()) return uint256(record.resolvesAt) + 1;
            uint256 until = terms.refutableUntil();
            return record.payableClaims() != 0 && block.timestamp <= until ? until + 1 : 0;
        }

        time = block.timestamp;
        uint256 held = Math.min(amount, _heldBack(record, terms, balance, config));
        if (held != 0) time = record.finalSince() + terms.holdbackPeriod + terms.lateness;
        if (terms.rateCap != 0) {
            // The part that is not held back goes into the bucket at once, and leaks until the held
            // part comes. Then the bucket must leak what exceeds its size.
            uint256 half = terms.rateCap / 2;
            uint256 level = amount - held + _level(record, terms);
            uint256 elapsed = time - block.timestamp;
            level = Release.levelAfter(level, elapsed, terms.rateCap, terms.ratePeriod) + held;
            if (level > half) time += Math.ceilDiv((level - half) * terms.ratePeriod, half);
        }
    }

    /// Returns the final payable amount that is not yet paid, with what is held back.
    /// @param record The record of the contract.
    /// @param terms Its terms.
    /// @param balance Its balance.
    /// @param config Its configuration.
    /// @return The amount.
    function owed(GuardedRecord storage record, Terms memory terms, Balance balance, Config config)
        external
        view
        returns (uint256)
    {
        return _payable(record, terms, balance, config) - balance.paid();
    }

    /// Returns the final payable amount without claims.
    /// @param record The record of the contract.
    /// @param balance Its balance.
    /// @param config Its configuration.
    /// @return The amount.
    function net(GuardedRecord storage record, Balance balance, Config config)
        external
        view
        returns (uint256)
    {
        return _net(record, balance, config);
    }

    /// Returns the most that the contract can have paid in the end. It is not refunded.
    /// @param record The record of the contract.
    /// @param terms Its terms.
    /// @param balance Its balance.
    /// @return The amount.
    function reserved(GuardedRecord storage record, Terms memory terms, Balance balance)
        external
        view
        returns (uint256)
    {
        return _reserved(record, terms, balance);
    }

    /// Returns the status. See OutcomeEscrow.statusOf.
    /// @param record The record of the contract.
    /// @param terms Its terms.
    /// @param balance Its balance.
    /// @param config Its configuration.
    /// @return The status in ASCII.
    function status(
        GuardedRecord storage record,
        Terms memory terms,
        Balance balance,
        Config config
    ) external view returns (bytes32) {
        if (config.has(CLOSED)) return "closed";
        if (balance.paid() == terms.budget) return "paid_out";
        if (block.timestamp < terms.opensAt) return "scheduled";
        if (block.timestamp <= terms.deadline) return "open";
        if (block.timestamp <= terms.statementsUntil()) return "settling";
        if (block.timestamp <= terms.claimsUntil()) return "claimable";
        if (block.timestamp <= terms.refutableUntil()) return "refutable";
        uint256 kept = _reserved(record, terms, balance);
        if (kept < balance.budget()) return "refundable";
        if (kept > balance.paid()) return "releasing";
        return "refunded";
    }

    // ------------------------------------------------------------ inside

    /// Returns the final payable amount, with claims after T4. It is never less than the paid
    /// amount.
    function _payable(
        GuardedRecord storage record,
        Terms memory terms,
        Balance balance,
        Config config
    ) private view returns (uint256) {
        uint256 sum = _net(record, balance, config);
        if (block.timestamp > terms.refutableUntil()) {
            sum = Math.min(balance.budget(), sum + record.payableClaims());
        }
        return Math.max(sum, balance.paid());
    }

    /// Returns the final payable amount without claims.
    function _net(GuardedRecord storage record, Balance balance, Config config)
        private
        view
        returns (uint256)
    {
        // A plain contract has no record, and has paid all that is payable. Once closed it has one.
        if (!config.has(GUARDED) && !config.has(CLOSED)) return balance.paid();
        return record.net(balance.budget());
    }

    /// Returns the holdback share of the gross that is not yet safe from reversals. An event may be
    /// reported `lateness` after it, so the holdback ends that much later.
    function _heldBack(
        GuardedRecord storage record,
        Terms memory terms,
        Balance balance,
        Config config
    ) private view returns (uint256) {
        if (terms.holdbackBps == 0 || config.has(CLOSED)) return 0;
        uint256 young = record.recentGross(uint256(terms.holdbackPeriod) + terms.lateness);
        return Release.heldBack(record.net(balance.budget()), young, terms.holdbackBps);
    }

    /// Returns the level of the rate cap's bucket now.
    function _level(GuardedRecord storage record, Terms memory terms)
        private
        view
        returns (uint256)
    {
        return Release.levelAfter(
            record.capLevel, block.timestamp - record.capUpdatedAt, terms.rateCap, terms.ratePeriod
        );
    }

    /// Returns the most that the contract can have paid in the end.
    function _reserved(GuardedRecord storage record, Terms memory terms, Balance balance)
        private
        view
        returns (uint256)
    {
        uint256 budget = balance.budget();
        // A ruling may make the whole budget payable.
        if (record.isPending() && terms.arbiter != address(0)) return budget;
        uint256 most = record.highestNet(budget) + record.payableClaims();
        return Math.min(budget, Math.max(balance.paid(), most));
    }
}
