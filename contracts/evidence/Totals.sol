// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry} from "../log/MerkleLog.sol";
import {Terms} from "../terms/Terms.sol";
import {Attribution} from "./Attribution.sol";
import {Exhibit} from "./EvidenceTypes.sol";
import {Exhibits} from "./Exhibits.sol";
import {OutcomePayload, Payloads, SettlementPayload} from "./Payloads.sol";

/// @title Running totals of a contract in the log
/// @notice Finds contradictions between the outcomes, the reversals and the settlements of a
/// contract.
/// @dev A contract's outcomes form a chain: each has the position of the one before, its number and
/// the sum so far. So do its reversals. A settlement names the last of both.
///
/// Assumptions: the caller has checked that all exhibits, at least one, are in the log. The first
/// exhibit is the contested entry, and the second contradicts it. A first exhibit that stands alone
/// must contradict itself or the terms.
///
/// Limits: entries are the publisher's, and may hold any value. Nothing here overflows, whatever
/// they hold: every field of a payload has at most 80 bits.
library Totals {
    using Exhibits for Exhibit;
    using Exhibits for Exhibit[];
    using Payloads for bytes32;

    /// Returns true if the first exhibit, an outcome, settlement or reversal, has a false total.
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
        if (exhibits.length == 1) return contradictsItself(payload, position, outcome.value);
        if (breaksChain(contractId, "outcome", payload, position, outcome.value, exhibits[1])) {
            return true;
        }
        return payload.sum >= outcome.value
            && _isWronglyOver(contractId, terms, payload.sum - outcome.value, exhibits);
    }

    /// Returns true if the first exhibit, a settlement, has a false total.
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

    /// Returns true if the second exhibit is an outcome that was recorded as over although it fits
    /// the budget. Before it the contract had earned at most `earned`, which an entry above it
    /// states, and had reversed at least the sum of the reversal that is shown below it, if one is
    /// shown.
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
            budget += reversal.payload.decodeOutcome().sum; // no overflow: each has 80 bits
        }
        uint256 value = over.read().value;
        // An outcome that would take the sum beyond 80 bits is rightly over.
        return earned <= budget && value <= budget - earned && earned + value <= type(uint80).max;
    }

    /// Returns true if the second exhibit is an outcome past the budget. The first, a reversal
    /// above it, bounds the sum that was reversed before the outcome. An outcome that exceeds the
    /// budget by more should have been recorded as over.
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
        if (reversed < reversal.value) return true; // the sum is less than its last part
        return outcome.payload.decodeOutcome().sum > terms.budget + (reversed - reversal.value);
    }

    /// Returns true if an entry's running count and sum are false whatever the entries before it
    /// are.
    function contradictsItself(OutcomePayload memory payload, uint256 position, uint256 value)
        internal
        pure
        returns (bool)
    {
        return
            payload.prev >= position
                || (payload.prev == 0 && (payload.n != 1 || payload.sum != value));
    }

    /// Returns true if `other` is named as the entry before and does not lead to this one, or was
    /// skipped.
    function breaksChain(
        bytes32 contractId,
        bytes32 kind,
        OutcomePayload memory payload,
        uint256 position,
        uint256 value,
        Exhibit calldata other
    ) internal pure returns (bool) {
        Entry calldata entry = other.read();
        bool isSame = Exhibits.isEntryOf(entry, contractId, kind);
        if (payload.prev == 0 || other.position != payload.prev) {
            return isSame && payload.prev < other.position && other.position < position;
        }
        OutcomePayload memory before = entry.payload.decodeOutcome();
        return !isSame || payload.n != before.n + 1 || payload.sum < before.sum
            || payload.sum - before.sum != value;
    }

    /// Returns true if `other` is named as the last of its kind and has another sum, or was
    /// skipped.
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
