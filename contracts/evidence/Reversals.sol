// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry} from "../log/MerkleLog.sol";
import {Terms} from "../terms/Terms.sol";
import {AttributedOutcome, Attribution} from "./Attribution.sol";
import {EventOpening, Exhibit} from "./EvidenceTypes.sol";
import {Exhibits} from "./Exhibits.sol";
import {OutcomePayload, Payloads} from "./Payloads.sol";
import {Totals} from "./Totals.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Reversals of a contract in the log
/// @notice Finds what is false in a reversal, and reads from an event what it takes back.
/// @dev A product event names the transition that it takes back from, its purchase: by the order's
/// word if it has one, and otherwise the lead's latest of which something is left. Its opening says
/// how much of the purchase's value was taken back before it and is afterwards. A reversal takes
/// the same part of the outcome, so many small ones take what one large one would.
///
/// Assumptions: the caller has checked that all exhibits, at least one, are in the log.
///
/// Limits: entries and openings are the publisher's, and may hold any value. Nothing here
/// overflows, whatever they hold.
library Reversals {
    using Attribution for Terms;
    using Exhibits for Exhibit;
    using Exhibits for Exhibit[];
    using Payloads for bytes32;

    error EventDoesNotReverse(uint64 position);

    /// Returns true if the first exhibit, a reversal, is false.
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
                || Totals.contradictsItself(payload, position, reversal.value);
        }
        // One entry may be named in several roles; the reversal must be true in each.
        Exhibit calldata other = exhibits[1];
        return (other.position == payload.target
                && _isReversedOutcomeFalse(contractId, terms, reversal, other.read()))
            || (other.position == payload.cause
                && _isEventFalse(terms, reversal, payload, exhibits))
            || (other.position < position && _isByTheSameEvent(payload, other.read()))
            || Totals.breaksChain(
            contractId, "outcome.reversed", payload, position, reversal.value, other
        );
    }

    /// Returns how much of an outcome of `amount` is taken back by the product event at `index` and
    /// all events before it. Reverts unless it takes back from the outcome's transition (see
    /// _takingBack).
    function amountTakenBack(
        Terms memory terms,
        AttributedOutcome memory attributed,
        uint256 amount,
        Exhibit[] calldata exhibits,
        uint256 index
    ) internal pure returns (uint256) {
        (EventOpening calldata said, uint256 value) =
            _takingBack(terms, attributed, exhibits, index);
        return _atMost(terms, amount, value, said.refundedAfter);
    }

    /// Returns how much of an outcome of `amount` the product event at `index` takes back by itself.
    /// Reverts if that is nothing, and unless it takes back from the outcome's transition (see
    /// _takingBack).
    function amountByEvent(
        Terms memory terms,
        AttributedOutcome memory attributed,
        uint256 amount,
        Exhibit[] calldata exhibits,
        uint256 index
    ) internal pure returns (uint256) {
        (EventOpening calldata said, uint256 value) =
            _takingBack(terms, attributed, exhibits, index);
        // Nothing was taken back before the first event, not even of a purchase without a value.
        uint256 before = said.previous == 0 ? 0 : _atMost(terms, amount, value, said.refundedBefore);
        uint256 afterwards = _atMost(terms, amount, value, said.refundedAfter);
        if (afterwards <= before) revert EventDoesNotReverse(exhibits[index].position);
        return afterwards - before;
    }

    /// Returns what is taken back of the outcome by this much of its transition's value. It is no more
    /// than the outcome, though that may have been stated too low.
    function _atMost(Terms memory terms, uint256 amount, uint256 value, uint256 refunded)
        private
        pure
        returns (uint256)
    {
        return Math.min(amount, terms.takenBack(amount, value, refunded));
    }

    /// Returns the opening of the event at `index`, and the value of the transition that it takes back
    /// from. The transition is the next exhibit, opened if the event has an order. It need not be shown
    /// if the event has none and is the first to take back from it, for then it takes all. Reverts
    /// unless the event takes back from the outcome's transition, in time, was received in time, and
    /// says what a replay accepts.
    function _takingBack(
        Terms memory terms,
        AttributedOutcome memory attributed,
        Exhibit[] calldata exhibits,
        uint256 index
    ) private pure returns (EventOpening calldata said, uint256 value) {
        Exhibit calldata exhibit = exhibits.exhibitAt(index);
        Entry calldata happened = exhibit.read();
        if (
            !_isEventOf(terms, attributed.lead, happened)
                || !terms.isReversible(attributed.timeMs, happened.timeMs)
        ) revert EventDoesNotReverse(exhibit.position);
        said = exhibit.eventOpening();
        if (
            said.purchase != attributed.transition || _contradictsItself(said, exhibit.position)
                || !terms.isReportedInTime(happened.timeMs, said.receivedMs)
        ) revert EventDoesNotReverse(exhibit.position);
        if (said.order == 0 && said.previous == 0) return (said, said.refundedAfter);

        Exhibit calldata purchase = exhibits.exhibitAt(index + 1);
        value = purchase.readAt(said.purchase).value;
        if (_isPurchaseFalse(terms, attributed.lead, terms.outcome, happened.value, said, purchase))
        {
            revert EventDoesNotReverse(exhibit.position);
        }
        // Without its opening its order is unknown.
        if (said.order != 0) purchase.transitionOpening();
    }

    // ------------------------------------------------------------ a reversal's facts

    /// Returns true if another reversal, of whichever contract, is by the same event: an event takes
    /// back from one transition.
    function _isByTheSameEvent(OutcomePayload memory payload, Entry calldata earlier)
        private
        pure
        returns (bool)
    {
        return earlier.kind == "outcome.reversed"
            && earlier.payload.decodeOutcome().cause == payload.cause;
    }

    /// Returns true if the reversal does not fit the outcome that it names, or is too late for it.
    function _isReversedOutcomeFalse(
        bytes32 contractId,
        Terms memory terms,
        Entry calldata reversal,
        Entry calldata outcome
    ) private pure returns (bool) {
        return !Exhibits.isEntryOf(outcome, contractId, "outcome")
            || outcome.subject != reversal.subject || outcome.label != reversal.label
            || reversal.value > outcome.value
            || !terms.isReversible(outcome.timeMs, reversal.timeMs);
    }

    /// Returns true if the reversal does not fit the event that it names, the second exhibit; or, by
    /// the event's opening, the exhibits behind it.
    function _isEventFalse(
        Terms memory terms,
        Entry calldata reversal,
        OutcomePayload memory payload,
        Exhibit[] calldata exhibits
    ) private pure returns (bool) {
        Exhibit calldata exhibit = exhibits[1];
        Entry calldata happened = exhibit.read();
        if (!_isEventOf(terms, reversal.subject, happened) || happened.timeMs != reversal.timeMs) {
            return true;
        }
        if (exhibits.length == 2 && !exhibit.hasOpening()) return false;

        EventOpening calldata said = exhibit.eventOpening();
        if (exhibits.length == 2) return _contradictsItself(said, exhibit.position);
        Exhibit calldata other = exhibits[2];
        return (other.position == payload.target
                && _isAmountFalse(terms, reversal.value, said, exhibits))
            || (other.position == said.purchase
                && _isPurchaseFalse(
                terms, reversal.subject, reversal.label, happened.value, said, other
            )) || _isPreviousFalse(said, exhibit.position, other)
            || (said.order == 0 && _skipsLaterOutcome(reversal, payload, exhibits));
    }

    /// Returns true if the entry is a product event of the lead in the contract's surface.
    function _isEventOf(Terms memory terms, bytes32 lead, Entry calldata entry)
        private
        pure
        returns (bool)
    {
        return entry.kind == "product.event" && entry.surface == terms.surface
            && entry.actor == Attribution.asActor(terms.owner) && entry.subject == lead;
    }

    // ------------------------------------------------------------ an event's opening

    /// Returns true if an opening that takes something back is false whatever else the log holds.
    function _contradictsItself(EventOpening calldata said, uint256 position)
        private
        pure
        returns (bool)
    {
        return said.purchase == 0 || said.purchase >= position || said.previous >= position
            || said.whole > 1 || (said.order == 0 && said.whole == 0)
            || (said.previous == 0 ? said.refundedBefore != 0 : said.previous <= said.purchase)
            || said.refundedAfter < said.refundedBefore;
    }

    /// Returns true if the event takes back from another transition than that of the reversed
    /// outcome, the third exhibit; or, if the transition is shown behind it, another amount.
    function _isAmountFalse(
        Terms memory terms,
        uint256 amount,
        EventOpening calldata said,
        Exhibit[] calldata exhibits
    ) private pure returns (bool) {
        Entry calldata outcome = exhibits[2].read();
        if (outcome.payload.decodeOutcome().target != said.purchase) return true;
        if (exhibits.length == 3) return false;

        uint256 value = exhibits[3].readAt(said.purchase).value;
        // Nothing was taken back before the first event, not even of a purchase without a value.
        uint256 before =
            said.previous == 0 ? 0 : terms.takenBack(outcome.value, value, said.refundedBefore);
        uint256 afterwards = terms.takenBack(outcome.value, value, said.refundedAfter);
        return afterwards < before || afterwards - before != amount;
    }

    /// Returns true if the exhibit, which the event names as its purchase, is none of this lead and
    /// state, is of another order, or has another value than the event's amounts make of it.
    function _isPurchaseFalse(
        Terms memory terms,
        bytes32 lead,
        bytes32 state,
        uint256 value,
        EventOpening calldata said,
        Exhibit calldata purchase
    ) private pure returns (bool) {
        Entry calldata entered = purchase.read();
        if (
            entered.kind != "lead.transition" || entered.surface != terms.surface
                || entered.actor != Attribution.asActor(terms.owner) || entered.subject != lead
                || entered.label != state
        ) return true;
        if (
            said.order != 0 && purchase.hasOpening()
                && purchase.transitionOpening().order != said.order
        ) return true;
        if (said.refundedBefore > entered.value) return true;
        uint256 left = entered.value - said.refundedBefore;
        bool isAll = said.whole == 1 || value >= left;
        return said.refundedAfter != (isAll ? entered.value : said.refundedBefore + value);
    }

    /// Returns true if the exhibit is the event that took back from the purchase before, and does
    /// not lead to this one; or an event that took back from it and was skipped.
    function _isPreviousFalse(EventOpening calldata said, uint256 position, Exhibit calldata other)
        private
        pure
        returns (bool)
    {
        bool isEvent = other.read().kind == "product.event";
        if (said.previous == 0 || other.position != said.previous) {
            return isEvent && other.hasOpening() && said.previous < other.position
                && other.position < position && other.eventOpening().purchase == said.purchase;
        }
        if (!isEvent) return true;
        EventOpening calldata before = other.eventOpening();
        return before.purchase != said.purchase || before.refundedAfter != said.refundedBefore;
    }

    /// Returns true if the third exhibit is a later outcome of the lead, of which something was
    /// left when the event should have taken it back. Reversals of the contract between the two must
    /// be shown, the last first.
    function _skipsLaterOutcome(
        Entry calldata reversal,
        OutcomePayload memory payload,
        Exhibit[] calldata exhibits
    ) private pure returns (bool) {
        Entry calldata outcome = exhibits[2].read();
        uint256 position = exhibits[2].position;
        if (
            !Exhibits.isEntryOf(outcome, reversal.actor, "outcome")
                || outcome.subject != reversal.subject || outcome.label != reversal.label
                || position <= payload.target || position >= payload.cause
        ) return false;
        uint256 left = outcome.value;
        uint256 prev = payload.prev;
        for (uint256 i = 3; i < exhibits.length; ++i) {
            Entry calldata between = exhibits[i].read();
            if (
                exhibits[i].position != prev
                    || !Exhibits.isEntryOf(between, reversal.actor, "outcome.reversed")
            ) return false;
            OutcomePayload memory said = between.payload.decodeOutcome();
            if (said.target == position) {
                if (between.value >= left) return false;
                left -= between.value;
            }
            prev = said.prev;
        }
        return prev < position;
    }
}
