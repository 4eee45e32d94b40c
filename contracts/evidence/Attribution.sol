// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry} from "../log/MerkleLog.sol";
import {Terms} from "../terms/Terms.sol";

/// Whom a transition is said to be owed to, by an outcome entry or by a claim.
struct Award {
    bytes32 lead;
    uint256 transition; // index
    uint256 touch; //      index
    uint256 timeMs; //     of the transition
}

/// @title Which transition counts, which touch counts, and what an outcome is worth
/// @notice The same words hold in the orchestrator's core and in a stranger's replay. Entries are
/// hostile: nothing here can overflow, whatever they say.
library Attribution {
    uint8 internal constant FIRST_TOUCH = 0;
    uint256 private constant BPS = 10_000;

    /// An address as the log writes it.
    function word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    /// Terms speak in seconds, the log in milliseconds.
    function ms(uint256 timeS) internal pure returns (uint256) {
        return timeS * 1000;
    }

    /// Whether a transition at this time can count for the contract.
    function covers(Terms memory terms, uint256 timeMs) internal pure returns (bool) {
        return ms(terms.opensAt) <= timeMs && timeMs <= ms(terms.deadline);
    }

    /// Whether the entry is a transition that can count for the contract.
    function enters(Terms memory terms, Entry calldata entry) internal pure returns (bool) {
        return entry.kind == "lead.transition" && entry.surface == terms.surface
            && entry.actor == word(terms.owner) && entry.label == terms.outcome
            && covers(terms, entry.timeMs);
    }

    /// Whether the entry at `index` is a touch that counts for the contract and this award.
    function counts(Terms memory terms, Award memory award, uint256 index, Entry calldata entry)
        internal
        pure
        returns (bool)
    {
        return entry.kind == "touch" && entry.surface == terms.surface
            && entry.actor == word(terms.operator) && entry.subject == award.lead
            && index < award.transition && ms(terms.opensAt) <= entry.timeMs
            && entry.timeMs <= award.timeMs;
    }

    /// Whether it counts and is also young enough.
    function qualifies(Terms memory terms, Award memory award, uint256 index, Entry calldata entry)
        internal
        pure
        returns (bool)
    {
        return counts(terms, award, index, entry)
            && award.timeMs - entry.timeMs <= ms(terms.attributionWindow);
    }

    /// Whether `amount` is what the contract pays for a transition of this value.
    function isPrice(Terms memory terms, uint256 value, uint256 amount)
        internal
        pure
        returns (bool)
    {
        return amount >= terms.unitPrice && amount - terms.unitPrice == share(terms, value);
    }

    /// floor(value * revenueShareBps / 10^4), which is no more than the value.
    function share(Terms memory terms, uint256 value) internal pure returns (uint256) {
        uint256 bps = terms.revenueShareBps;
        return value / BPS * bps + value % BPS * bps / BPS;
    }
}
