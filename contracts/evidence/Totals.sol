// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry} from "../log/MerkleLog.sol";
import {Terms} from "../terms/Terms.sol";
import {Attribution} from "./Attribution.sol";
import {Exhibit} from "./EvidenceTypes.sol";
import {Exhibits} from "./Exhibits.sol";
import {OutcomePayload, Payloads, SettlementPayload} from "./Payloads.sol";

/// @title Whether a contract's books in the log are false
/// @notice A contract's outcomes form a chain, each with the position of the one before, its number
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

        Entry calldata outcome = exhibits.contested(contractId, "outcome");
        OutcomePayload memory payload = outcome.payload.decodeOutcome();
        uint256 position = exhibits[0].position;
        if (exhibits.length == 1) return _contradictsItself(payload, position, outcome.value);
        if (_breaksChain(contractId, "outcome", payload, position, outcome.value, exhibits[1])) {
            return true;
        }
        return payload.sum >= outcome.value
            && _isWronglyOver(contractId, terms, payload.sum - outcome.value, exhibits);
    }

    function _isStatementFalse(bytes32 contractId, Terms memory terms, Exhibit[] calldata exhibits)
        private
        pure
        returns (bool)
    {
        Entry calldata settlement = exhibits[0].read();
        uint256 position = exhibits[0].position;
        if (
            settlement.subject != contractId
                || settlement.actor != Attribution.asActor(terms.verifier)
        ) revert Exhibits.NotOfContract(exhibits[0].position, contractId, "settlement");

        SettlementPayload memory said = settlement.payload.decodeSettlement();
        if (exhibits.length == 1) {
            return said.lastOutcome >= position || said.lastReversal >= position
                || (said.lastOutcome == 0 && said.earned != 0)
                || (said.lastReversal == 0 && said.reversed != 0);
        }
        if (_isWronglyOver(contractId, terms, said.earned, exhibits)) return true;
        Exhibit calldata other = exhibits[1];
        return _isTotalFalse(contractId, "outcome", said.lastOutcome, said.earned, position, other)
            || _isTotalFalse(
            contractId, "outcome.reversed", said.lastReversal, said.reversed, position, other
        );
    }

    /// Whether an outcome below the accused entry was said to be over and fits into the budget. Before
    /// it no more was earned than `earned`, which is said above it, and no less reversed than the
    /// reversal says that is shown below it, if one is.
    function _isWronglyOver(
        bytes32 contractId,
        Terms memory terms,
        uint256 earned,
        Exhibit[] calldata exhibits
    ) private pure returns (bool) {
        Exhibit calldata over = exhibits[1];
        if (
            !Exhibits.isEntryOf(over.read(), contractId, "outcome.over")
                || over.position >= exhibits[0].position
        ) return false;
        uint256 budget = terms.budget;
        if (exhibits.length > 2) {
            Entry calldata reversal = exhibits[2].read();
            if (
                !Exhibits.isEntryOf(reversal, contractId, "outcome.reversed")
                    || exhibits[2].position >= over.position
            ) return false;
            budget += reversal.payload.decodeOutcome().sum; // each has 80 bits
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
        Entry calldata reversal = exhibits.contested(contractId, "outcome.reversed");
        Exhibit calldata exhibit = exhibits.exhibitAt(1);
        Entry calldata outcome = exhibit.read();
        if (
            !Exhibits.isEntryOf(outcome, contractId, "outcome")
                || exhibit.position >= exhibits[0].position
        ) {
            return false;
        }
        uint256 reversed = reversal.payload.decodeOutcome().sum;
        if (reversed < reversal.value) return true; // a part of the sum exceeds it
        return outcome.payload.decodeOutcome().sum > terms.budget + (reversed - reversal.value);
    }

    function isReversalFalse(bytes32 contractId, Terms memory terms, Exhibit[] calldata exhibits)
        internal
        pure
        returns (bool)
    {
        Entry calldata reversal = exhibits.contested(contractId, "outcome.reversed");
        OutcomePayload memory payload = reversal.payload.decodeOutcome();
        uint256 position = exhibits[0].position;
        if (exhibits.length == 1) {
            return reversal.surface != terms.surface || payload.padding != 0
                || payload.target >= payload.cause || payload.cause >= position
                || _contradictsItself(payload, position, reversal.value);
        }
        // One entry may be named in several roles; each must be true.
        Exhibit calldata other = exhibits[1];
        return (other.position == payload.target
                && _isReversedOutcomeFalse(contractId, terms, reversal, other.read()))
            || (other.position == payload.cause && _isCauseFalse(terms, reversal, other.read()))
            || (other.position < position
                && _isRepeated(contractId, reversal, payload, other.read()))
            || _skipsLaterOutcome(contractId, reversal, payload, exhibits)
            || _breaksChain(
            contractId, "outcome.reversed", payload, position, reversal.value, other
        );
    }

    /// Whether an earlier reversal is of the same outcome, or by the same event in the same state:
    /// an event takes back one outcome of each state, whosever it is.
    function _isRepeated(
        bytes32 contractId,
        Entry calldata reversal,
        OutcomePayload memory payload,
        Entry calldata earlier
    ) private pure returns (bool) {
        if (earlier.kind != "outcome.reversed") return false;
        OutcomePayload memory said = earlier.payload.decodeOutcome();
        return (earlier.actor == contractId && said.target == payload.target)
            || (earlier.label == reversal.label && said.cause == payload.cause);
    }

    /// Whether the second exhibit is a later outcome of the lead, which the event should have taken
    /// back: no reversal of the contract stands between the two, or those that do are shown, the
    /// last first, and took back others.
    function _skipsLaterOutcome(
        bytes32 contractId,
        Entry calldata reversal,
        OutcomePayload memory payload,
        Exhibit[] calldata exhibits
    ) private pure returns (bool) {
        Entry calldata outcome = exhibits[1].read();
        uint256 position = exhibits[1].position;
        if (
            !Exhibits.isEntryOf(outcome, contractId, "outcome")
                || outcome.subject != reversal.subject || outcome.label != reversal.label
                || position <= payload.target || position >= payload.cause
        ) return false;
        uint256 prev = payload.prev;
        for (uint256 i = 2; i < exhibits.length; ++i) {
            Entry calldata between = exhibits[i].read();
            OutcomePayload memory said = between.payload.decodeOutcome();
            if (
                exhibits[i].position != prev || said.target == position
                    || !Exhibits.isEntryOf(between, contractId, "outcome.reversed")
            ) return false;
            prev = said.prev;
        }
        return prev < position;
    }

    /// Whether the reversal takes back something else than it says, or too late.
    function _isReversedOutcomeFalse(
        bytes32 contractId,
        Terms memory terms,
        Entry calldata reversal,
        Entry calldata outcome
    ) private pure returns (bool) {
        // An event may well be reported after one that happened later.
        bool isLate = reversal.timeMs > outcome.timeMs
            && reversal.timeMs - outcome.timeMs > Attribution.toMs(terms.holdbackPeriod);
        return isLate || !Exhibits.isEntryOf(outcome, contractId, "outcome")
            || outcome.subject != reversal.subject || outcome.label != reversal.label
            || outcome.value != reversal.value;
    }

    function _isCauseFalse(Terms memory terms, Entry calldata reversal, Entry calldata happened)
        private
        pure
        returns (bool)
    {
        return happened.kind != "product.event" || happened.surface != terms.surface
            || happened.actor != Attribution.asActor(terms.owner)
            || happened.subject != reversal.subject || happened.timeMs != reversal.timeMs;
    }

    /// Whether an entry's running count and sum are false whatever stands before it.
    function _contradictsItself(OutcomePayload memory payload, uint256 position, uint256 value)
        private
        pure
        returns (bool)
    {
        return
            payload.prev >= position
                || (payload.prev == 0 && (payload.n != 1 || payload.sum != value));
    }

    /// Whether `other` is named as the one before and does not lead to this one, or was skipped.
    function _breaksChain(
        bytes32 contractId,
        bytes32 kind,
        OutcomePayload memory payload,
        uint256 position,
        uint256 value,
        Exhibit calldata other
    ) private pure returns (bool) {
        Entry calldata entry = other.read();
        bool isSame = Exhibits.isEntryOf(entry, contractId, kind);
        if (payload.prev == 0 || other.position != payload.prev) {
            return isSame && payload.prev < other.position && other.position < position;
        }
        OutcomePayload memory before = entry.payload.decodeOutcome();
        return !isSame || payload.n != before.n + 1 || payload.sum < before.sum
            || payload.sum - before.sum != value;
    }

    /// Whether `other` is named as the last of its kind and has another sum, or was skipped.
    function _isTotalFalse(
        bytes32 contractId,
        bytes32 kind,
        uint256 last,
        uint256 total,
        uint256 position,
        Exhibit calldata other
    ) private pure returns (bool) {
        Entry calldata entry = other.read();
        bool isSame = Exhibits.isEntryOf(entry, contractId, kind);
        if (last == 0 || other.position != last) {
            return isSame && last < other.position && other.position < position;
        }
        return !isSame || entry.payload.decodeOutcome().sum != total;
    }
}
