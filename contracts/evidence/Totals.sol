// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry} from "../log/MerkleLog.sol";
import {Terms} from "../terms/Terms.sol";
import {Attribution} from "./Attribution.sol";
import {Exhibit} from "./EvidenceTypes.sol";
import {Exhibits} from "./Exhibits.sol";
import {Link, Payloads, Statement} from "./Payloads.sol";

/// @title Whether a contract's books in the log are false
/// @notice A contract's outcomes form a chain, each with the index of the one before, its number
/// and the sum so far; so do its reversals; a settlement names the last of both. The first exhibit
/// is the accused entry, the second what contradicts it. If it stands alone, it must contradict
/// itself or the terms. Nothing here can overflow, whatever the entries say.
library Totals {
    using Exhibits for Exhibit;
    using Exhibits for Exhibit[];
    using Payloads for bytes32;

    function isSumFalse(bytes32 contractId, Terms memory terms, Exhibit[] calldata exhibits)
        internal
        pure
        returns (bool)
    {
        bytes32 kind = exhibits[0].read().kind;
        if (kind == "settlement") return _isStatementFalse(contractId, terms, exhibits);
        if (kind == "outcome.reversed") return _isPastBudget(contractId, terms, exhibits);

        Entry calldata outcome = exhibits.accused(contractId, "outcome");
        Link memory link = outcome.payload.link();
        uint256 index = exhibits[0].index;
        if (exhibits.length == 1) return _startsFalse(link, index, outcome.value);
        if (_breaksChain(contractId, "outcome", link, index, outcome.value, exhibits[1])) {
            return true;
        }
        return link.sum >= outcome.value
            && _hadRoom(contractId, terms, link.sum - outcome.value, exhibits);
    }

    function _isStatementFalse(bytes32 contractId, Terms memory terms, Exhibit[] calldata exhibits)
        private
        pure
        returns (bool)
    {
        Entry calldata settlement = exhibits[0].read();
        uint256 index = exhibits[0].index;
        if (
            settlement.subject != contractId || settlement.actor != Attribution.word(terms.verifier)
        ) revert Exhibits.NotOfContract(exhibits[0].index, contractId, "settlement");

        Statement memory said = settlement.payload.statement();
        if (exhibits.length == 1) {
            return said.lastOutcome >= index || said.lastReversal >= index
                || (said.lastOutcome == 0 && said.earned != 0)
                || (said.lastReversal == 0 && said.reversed != 0);
        }
        if (_hadRoom(contractId, terms, said.earned, exhibits)) return true;
        Exhibit calldata other = exhibits[1];
        return _isTotalFalse(contractId, "outcome", said.lastOutcome, said.earned, index, other)
            || _isTotalFalse(
            contractId, "outcome.reversed", said.lastReversal, said.reversed, index, other
        );
    }

    /// Whether an outcome below the accused entry was said to be over and fits into the budget. Before
    /// it no more was earned than `earned`, which is said above it, and no less reversed than the
    /// reversal says that is shown below it, if one is.
    function _hadRoom(
        bytes32 contractId,
        Terms memory terms,
        uint256 earned,
        Exhibit[] calldata exhibits
    ) private pure returns (bool) {
        Exhibit calldata over = exhibits[1];
        if (
            !Exhibits.isOf(over.read(), contractId, "outcome.over")
                || over.index >= exhibits[0].index
        ) return false;
        uint256 budget = terms.budget;
        if (exhibits.length > 2) {
            Entry calldata reversal = exhibits[2].read();
            if (
                !Exhibits.isOf(reversal, contractId, "outcome.reversed")
                    || exhibits[2].index >= over.index
            ) return false;
            budget += reversal.payload.link().sum; // each has 80 bits
        }
        uint256 value = over.read().value;
        // What would not have fitted into a sum of 80 bits was over too.
        return earned <= budget && value <= budget - earned && earned + value <= type(uint80).max;
    }

    /// What was reversed until an outcome is no more than what was before a later reversal; an
    /// outcome that exceeds the budget by more was over, and not to be paid.
    function _isPastBudget(bytes32 contractId, Terms memory terms, Exhibit[] calldata exhibits)
        private
        pure
        returns (bool)
    {
        Entry calldata reversal = exhibits.accused(contractId, "outcome.reversed");
        Exhibit calldata exhibit = exhibits.pick(1);
        Entry calldata outcome = exhibit.read();
        if (!Exhibits.isOf(outcome, contractId, "outcome") || exhibit.index >= exhibits[0].index) {
            return false;
        }
        uint256 reversed = reversal.payload.link().sum;
        if (reversed < reversal.value) return true; // a part of the sum exceeds it
        return outcome.payload.link().sum > terms.budget + (reversed - reversal.value);
    }

    function isReversalFalse(bytes32 contractId, Terms memory terms, Exhibit[] calldata exhibits)
        internal
        pure
        returns (bool)
    {
        Entry calldata reversal = exhibits.accused(contractId, "outcome.reversed");
        Link memory link = reversal.payload.link();
        uint256 index = exhibits[0].index;
        if (exhibits.length == 1) {
            return reversal.surface != terms.surface || link.padding != 0
                || link.target >= link.cause || link.cause >= index
                || _startsFalse(link, index, reversal.value);
        }
        // One entry may be named in several roles; each must be true.
        Exhibit calldata other = exhibits[1];
        return (other.index == link.target
                && _isTakenFalse(contractId, terms, reversal, other.read()))
            || (other.index == link.cause && _isEventFalse(terms, reversal, other.read()))
            || (other.index < index && _isDoneBefore(contractId, reversal, link, other.read()))
            || _skipsLater(contractId, reversal, link, exhibits)
            || _breaksChain(contractId, "outcome.reversed", link, index, reversal.value, other);
    }

    /// Whether an earlier reversal is of the same outcome, or by the same event in the same state:
    /// an event takes back one outcome of each state, whosever it is.
    function _isDoneBefore(
        bytes32 contractId,
        Entry calldata reversal,
        Link memory link,
        Entry calldata earlier
    ) private pure returns (bool) {
        if (earlier.kind != "outcome.reversed") return false;
        Link memory said = earlier.payload.link();
        return (earlier.actor == contractId && said.target == link.target)
            || (earlier.label == reversal.label && said.cause == link.cause);
    }

    /// Whether the second exhibit is a later outcome of the lead, which the event should have taken
    /// back: no reversal of the contract stands between the two, or those that do are shown, the
    /// last first, and took back others.
    function _skipsLater(
        bytes32 contractId,
        Entry calldata reversal,
        Link memory link,
        Exhibit[] calldata exhibits
    ) private pure returns (bool) {
        Entry calldata outcome = exhibits[1].read();
        uint256 index = exhibits[1].index;
        if (
            !Exhibits.isOf(outcome, contractId, "outcome") || outcome.subject != reversal.subject
                || outcome.label != reversal.label || index <= link.target || index >= link.cause
        ) return false;
        uint256 prev = link.prev;
        for (uint256 i = 2; i < exhibits.length; ++i) {
            Entry calldata between = exhibits[i].read();
            Link memory said = between.payload.link();
            if (
                exhibits[i].index != prev || said.target == index
                    || !Exhibits.isOf(between, contractId, "outcome.reversed")
            ) return false;
            prev = said.prev;
        }
        return prev < index;
    }

    /// Whether the reversal takes back something else than it says, or too late.
    function _isTakenFalse(
        bytes32 contractId,
        Terms memory terms,
        Entry calldata reversal,
        Entry calldata outcome
    ) private pure returns (bool) {
        // An event may well be reported after one that happened later.
        bool isLate = reversal.timeMs > outcome.timeMs
            && reversal.timeMs - outcome.timeMs > Attribution.ms(terms.holdbackPeriod);
        return isLate || !Exhibits.isOf(outcome, contractId, "outcome")
            || outcome.subject != reversal.subject || outcome.label != reversal.label
            || outcome.value != reversal.value;
    }

    function _isEventFalse(Terms memory terms, Entry calldata reversal, Entry calldata happened)
        private
        pure
        returns (bool)
    {
        return happened.kind != "product.event" || happened.surface != terms.surface
            || happened.actor != Attribution.word(terms.owner)
            || happened.subject != reversal.subject || happened.timeMs != reversal.timeMs;
    }

    /// Whether an entry's running count and sum are false whatever stands before it.
    function _startsFalse(Link memory link, uint256 index, uint256 value)
        private
        pure
        returns (bool)
    {
        return link.prev >= index || (link.prev == 0 && (link.n != 1 || link.sum != value));
    }

    /// Whether `other` is named as the one before and does not lead to this one, or was skipped.
    function _breaksChain(
        bytes32 contractId,
        bytes32 kind,
        Link memory link,
        uint256 index,
        uint256 value,
        Exhibit calldata other
    ) private pure returns (bool) {
        Entry calldata entry = other.read();
        bool isSame = Exhibits.isOf(entry, contractId, kind);
        if (link.prev == 0 || other.index != link.prev) {
            return isSame && link.prev < other.index && other.index < index;
        }
        Link memory before = entry.payload.link();
        return !isSame || link.n != before.n + 1 || link.sum < before.sum
            || link.sum - before.sum != value;
    }

    /// Whether `other` is named as the last of its kind and has another sum, or was skipped.
    function _isTotalFalse(
        bytes32 contractId,
        bytes32 kind,
        uint256 last,
        uint256 total,
        uint256 index,
        Exhibit calldata other
    ) private pure returns (bool) {
        Entry calldata entry = other.read();
        bool isSame = Exhibits.isOf(entry, contractId, kind);
        if (last == 0 || other.index != last) {
            return isSame && last < other.index && other.index < index;
        }
        return !isSame || entry.payload.link().sum != total;
    }
}
