// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../terms/Terms.sol";
import {Position} from "./ContractRecord.sol";
import {Balance, CLOSED, Config, GUARDED} from "./Ledger.sol";
import {Release} from "./Release.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// What a contract owes, when it can be released, and what must stay reserved for it. A part of the
/// escrow with an address of its own, because one contract's code is limited.
///
/// It assumes that the escrow calls, and has checked who called it. Called directly it works on an
/// empty storage of its own.
library PayableAmounts {
    /// What `release` would pay now, and how full the rate cap's bucket is without it.
    function releasable(Position storage record, Terms memory terms, Balance balance, Config config)
        external
        view
        returns (uint256 amount, uint256 level)
    {
        uint256 released =
            _payable(record, terms, balance, config) - _heldBack(record, terms, balance, config);
        if (released <= balance.paid()) return (0, 0);
        amount = released - balance.paid();
        if (terms.rateCap != 0) {
            level = _level(record, terms);
            amount = Math.min(amount, terms.rateCap / 2 - level);
        }
    }

    /// When, at the latest, all that is owed now can have been released; if nothing is, when the
    /// pending statement becomes final or the claims payable; zero if there is nothing to wait for.
    /// Under a rate cap this is for those who release what comes due at once, and then in every rate
    /// period: a bucket that is empty leaks nothing. Each release that pays on the way may leave a
    /// unit for later.
    function releasableAt(
        Position storage record,
        Terms memory terms,
        Balance balance,
        Config config
    ) external view returns (uint256 time) {
        uint256 amount = _payable(record, terms, balance, config) - balance.paid();
        if (amount == 0) {
            if (record.isPending()) return uint256(record.resolvesAt) + 1;
            uint256 until = _refutableUntil(terms);
            return record.payableClaims() != 0 && block.timestamp <= until ? until + 1 : 0;
        }

        time = block.timestamp;
        uint256 held = Math.min(amount, _heldBack(record, terms, balance, config));
        if (held != 0) time = record.finalSince() + terms.holdbackPeriod + terms.lateness;
        if (terms.rateCap != 0) {
            // What is not held back goes into the bucket as it leaks, until the rest comes; then the
            // bucket must leak what does not fit into it.
            uint256 half = terms.rateCap / 2;
            uint256 level = amount - held + _level(record, terms);
            uint256 elapsed = time - block.timestamp;
            level = Release.levelAfter(level, elapsed, terms.rateCap, terms.ratePeriod) + held;
            if (level > half) time += Math.ceilDiv((level - half) * terms.ratePeriod, half);
        }
    }

    /// What is payable for good and not yet paid, with what is held back.
    function owed(Position storage record, Terms memory terms, Balance balance, Config config)
        external
        view
        returns (uint256)
    {
        return _payable(record, terms, balance, config) - balance.paid();
    }

    /// What is payable for good, claims apart.
    function net(Position storage record, Balance balance, Config config)
        external
        view
        returns (uint256)
    {
        return _net(record, balance, config);
    }

    /// The most that can still have been paid when everything is done.
    function reserved(Position storage record, Terms memory terms, Balance balance)
        external
        view
        returns (uint256)
    {
        return _reserved(record, terms, balance);
    }

    /// See OutcomeEscrow.statusOf.
    function status(Position storage record, Terms memory terms, Balance balance, Config config)
        external
        view
        returns (bytes32)
    {
        if (config.has(CLOSED)) return "closed";
        if (balance.paid() == terms.budget) return "paid_out";
        if (block.timestamp < terms.opensAt) return "scheduled";
        if (block.timestamp <= terms.deadline) return "open";
        uint256 end = uint256(terms.deadline) + terms.grace;
        if (block.timestamp <= end) return "settling";
        if (block.timestamp <= end + terms.claimPeriod) return "claimable";
        if (block.timestamp <= end + 2 * uint256(terms.claimPeriod)) return "refutable";
        uint256 kept = _reserved(record, terms, balance);
        if (kept < balance.budget()) return "refundable";
        if (kept > balance.paid()) return "releasing";
        return "refunded";
    }

    // ------------------------------------------------------------ inside

    /// What is payable for good, with claims once they are; never less than what is paid.
    function _payable(Position storage record, Terms memory terms, Balance balance, Config config)
        private
        view
        returns (uint256)
    {
        uint256 sum = _net(record, balance, config);
        if (block.timestamp > _refutableUntil(terms)) {
            sum = Math.min(balance.budget(), sum + record.payableClaims());
        }
        return Math.max(sum, balance.paid());
    }

    /// T4.
    function _refutableUntil(Terms memory terms) private pure returns (uint256) {
        return uint256(terms.deadline) + terms.grace + 2 * uint256(terms.claimPeriod);
    }

    function _net(Position storage record, Balance balance, Config config)
        private
        view
        returns (uint256)
    {
        // A plain contract has paid what is payable.
        if (!config.has(GUARDED) && !config.has(CLOSED)) return balance.paid();
        return record.net(balance.budget());
    }

    /// The holdback share of what has not been final for long enough to be safe from reversals.
    function _heldBack(Position storage record, Terms memory terms, Balance balance, Config config)
        private
        view
        returns (uint256)
    {
        if (terms.holdbackBps == 0 || config.has(CLOSED)) return 0;
        uint256 young = record.recentGross(uint256(terms.holdbackPeriod) + terms.lateness);
        return Release.heldBack(record.net(balance.budget()), young, terms.holdbackBps);
    }

    function _level(Position storage record, Terms memory terms) private view returns (uint256) {
        return Release.levelAfter(
            record.capLevel, block.timestamp - record.capUpdatedAt, terms.rateCap, terms.ratePeriod
        );
    }

    function _reserved(Position storage record, Terms memory terms, Balance balance)
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
