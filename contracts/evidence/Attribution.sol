// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry} from "../log/MerkleLog.sol";
import {Terms} from "../terms/Terms.sol";

/// @dev The transition of an outcome entry or of a claim, with the touch to which it is attributed.
struct AttributedOutcome {
    bytes32 lead;
    uint256 transition; // position
    uint256 touch; //      position
    uint256 timeMs; //     time of the transition
}

/// @title Rules of attribution and price
/// @notice Tells which transitions and which touches count for a contract, and the amount of an
/// outcome. The orchestrator's core has the same rules.
/// @dev Limits: entries are the publisher's, and may hold any value. Nothing here overflows,
/// whatever they hold.
library Attribution {
    uint8 internal constant FIRST_TOUCH = 0;
    uint256 private constant BPS = 10_000;

    /// Returns an address as log entries hold it.
    function asActor(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    /// Converts seconds, the unit of terms, to milliseconds, the unit of the log.
    function toMs(uint256 timeS) internal pure returns (uint256) {
        return timeS * 1000;
    }

    /// Returns true if a transition at this time can count for the contract.
    function covers(Terms memory terms, uint256 timeMs) internal pure returns (bool) {
        return toMs(terms.opensAt) <= timeMs && timeMs <= toMs(terms.deadline);
    }

    /// Returns true if the entry is a transition that can count for the contract.
    function isOutcomeTransition(Terms memory terms, Entry calldata entry)
        internal
        pure
        returns (bool)
    {
        return entry.kind == "lead.transition" && entry.surface == terms.surface
            && entry.actor == asActor(terms.owner) && entry.label == terms.outcome
            && covers(terms, entry.timeMs);
    }

    /// Returns true if the entry is a touch, recorded as it was made or reported afterwards.
    function isTouch(Entry calldata entry) internal pure returns (bool) {
        return entry.kind == "touch" || entry.kind == "touch.reported";
    }

    /// Returns true if the entry is a touch of the contract's operator on this lead.
    function isOwnTouch(Terms memory terms, bytes32 lead, Entry calldata entry)
        internal
        pure
        returns (bool)
    {
        return isTouch(entry) && entry.surface == terms.surface
            && entry.actor == asActor(terms.operator) && entry.subject == lead;
    }

    /// Returns true if the entry at `position` is a touch that counts for the contract and this
    /// transition.
    function isCountingTouch(
        Terms memory terms,
        AttributedOutcome memory attributed,
        uint256 position,
        Entry calldata entry
    ) internal pure returns (bool) {
        return isOwnTouch(terms, attributed.lead, entry) && position < attributed.transition
            && toMs(terms.opensAt) <= entry.timeMs && entry.timeMs <= attributed.timeMs;
    }

    /// Returns true if the touch counts and the attribution window still covers it.
    function isQualifyingTouch(
        Terms memory terms,
        AttributedOutcome memory attributed,
        uint256 position,
        Entry calldata entry
    ) internal pure returns (bool) {
        // The subtraction comes second: a touch that counts is not later than the transition.
        return isCountingTouch(terms, attributed, position, entry)
            && attributed.timeMs - entry.timeMs <= toMs(terms.attributionWindow);
    }

    /// Returns true if `amount` is the amount that the contract pays for a transition of this
    /// value.
    function isAmountDue(Terms memory terms, uint256 value, uint256 amount)
        internal
        pure
        returns (bool)
    {
        // Not amount == unitPrice + share: a hostile value would overflow the sum.
        return amount >= terms.unitPrice && amount - terms.unitPrice == revenueShare(terms, value);
    }

    /// Returns how much of an outcome of this amount is taken back once `refunded` units of its
    /// transition's value are. The unit price goes with the whole value.
    function takenBack(Terms memory terms, uint256 amount, uint256 value, uint256 refunded)
        internal
        pure
        returns (uint256)
    {
        return refunded >= value ? amount : revenueShare(terms, refunded);
    }

    /// Returns true if an event at this time can still take back from an outcome.
    function isReversible(Terms memory terms, uint256 outcomeMs, uint256 eventMs)
        internal
        pure
        returns (bool)
    {
        // The event may be earlier than the outcome: events are reported late. Compared before the
        // subtraction, which then cannot underflow.
        return eventMs <= outcomeMs || eventMs - outcomeMs <= toMs(terms.holdbackPeriod);
    }

    /// Returns true if an event at this time was received neither before it nor too late.
    function isReportedInTime(Terms memory terms, uint256 eventMs, uint256 receivedMs)
        internal
        pure
        returns (bool)
    {
        return eventMs <= receivedMs && receivedMs - eventMs <= toMs(terms.lateness);
    }

    /// Returns floor(value * revenueShareBps / 10^4), which does not exceed the value.
    function revenueShare(Terms memory terms, uint256 value) internal pure returns (uint256) {
        uint256 bps = terms.revenueShareBps;
        // Divided first: value * bps may have more than 256 bits.
        return value / BPS * bps + value % BPS * bps / BPS;
    }
}
