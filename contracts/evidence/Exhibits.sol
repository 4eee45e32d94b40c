// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {
    CodeOpening,
    EventOpening,
    Exhibit,
    ReportedTouchOpening,
    TransitionOpening
} from "./EvidenceTypes.sol";

/// @title Access to exhibits
/// @notice Checks that exhibits are in the log, and reads their entries and openings.
/// @dev Assumptions: callers check every exhibit with `requireInTree` before they read any, and its
/// kind before they read its opening.
///
/// Limits: the publisher writes openings too, and any words of the right number are one.
library Exhibits {
    uint256 private constant TRANSITION_BYTES = 6 * 32;
    uint256 private constant EVENT_BYTES = 9 * 32;
    uint256 private constant REPORTED_TOUCH_BYTES = 4 * 32;
    uint256 private constant CODE_BYTES = 4 * 32;

    error MissingExhibit(uint256 index);
    error WrongExhibit(uint256 expectedPosition, uint64 shownPosition);
    error NotOfContract(uint64 position, bytes32 contractId, bytes32 expectedKind);
    error WrongOpening(uint64 position);
    error OpeningLength(uint64 position, uint256 expected, uint256 length);

    /// Reverts unless the exhibit is in the tree (size, root), and the opening that is shown with
    /// it, if any, is the one that it commits to.
    function requireInTree(Exhibit calldata exhibit, uint256 size, bytes32 root) internal view {
        MerkleLog.verifyInclusion(exhibit.entry, exhibit.position, size, exhibit.proof, root);
        if (hasOpening(exhibit) && sha256(exhibit.opening) != read(exhibit).payload) {
            revert WrongOpening(exhibit.position);
        }
    }

    /// Returns the exhibit at this index of the list. Reverts if the list is shorter.
    function exhibitAt(Exhibit[] calldata exhibits, uint256 index)
        internal
        pure
        returns (Exhibit calldata)
    {
        if (index >= exhibits.length) revert MissingExhibit(index);
        return exhibits[index];
    }

    /// Returns the entry of the first exhibit. Reverts unless it is of this contract and kind.
    function contested(Exhibit[] calldata exhibits, bytes32 contractId, bytes32 kind)
        internal
        pure
        returns (Entry calldata entry)
    {
        entry = read(exhibits[0]);
        if (!isEntryOf(entry, contractId, kind)) {
            revert NotOfContract(exhibits[0].position, contractId, kind);
        }
    }

    /// Returns the exhibit's entry.
    function read(Exhibit calldata exhibit) internal pure returns (Entry calldata) {
        return MerkleLog.entryAt(exhibit.entry, 0);
    }

    /// Returns the exhibit's entry. Reverts unless it has this position.
    function readAt(Exhibit calldata exhibit, uint256 position)
        internal
        pure
        returns (Entry calldata)
    {
        if (exhibit.position != position) {
            revert WrongExhibit(position, exhibit.position);
        }
        return read(exhibit);
    }

    /// Returns true if the entry is of this contract and kind. The actor of outcomes and reversals
    /// is their contract.
    function isEntryOf(Entry calldata entry, bytes32 contractId, bytes32 kind)
        internal
        pure
        returns (bool)
    {
        return entry.kind == kind && entry.actor == contractId;
    }

    // ------------------------------------------------------------ openings

    /// Returns true if the entry's opening is shown with it.
    function hasOpening(Exhibit calldata exhibit) internal pure returns (bool) {
        return exhibit.opening.length != 0;
    }

    /// Returns the opening of a transition. Reverts if it is not shown.
    function transitionOpening(Exhibit calldata exhibit)
        internal
        pure
        returns (TransitionOpening calldata opening)
    {
        bytes calldata words = _openingOf(exhibit, TRANSITION_BYTES);
        assembly ("memory-safe") {
            opening := words.offset
        }
    }

    /// Returns the opening of a product event. Reverts if it is not shown.
    function eventOpening(Exhibit calldata exhibit)
        internal
        pure
        returns (EventOpening calldata opening)
    {
        bytes calldata words = _openingOf(exhibit, EVENT_BYTES);
        assembly ("memory-safe") {
            opening := words.offset
        }
    }

    /// Returns the opening of a touch that was reported. Reverts if it is not shown.
    function reportedTouchOpening(Exhibit calldata exhibit)
        internal
        pure
        returns (ReportedTouchOpening calldata opening)
    {
        bytes calldata words = _openingOf(exhibit, REPORTED_TOUCH_BYTES);
        assembly ("memory-safe") {
            opening := words.offset
        }
    }

    /// Returns the opening of a code's issue. Reverts if it is not shown.
    function codeOpening(Exhibit calldata exhibit)
        internal
        pure
        returns (CodeOpening calldata opening)
    {
        bytes calldata words = _openingOf(exhibit, CODE_BYTES);
        assembly ("memory-safe") {
            opening := words.offset
        }
    }

    /// Returns the words of an opening. Reverts if it is not shown, or has another length.
    function _openingOf(Exhibit calldata exhibit, uint256 expected)
        private
        pure
        returns (bytes calldata words)
    {
        words = exhibit.opening;
        if (words.length != expected) {
            revert OpeningLength(exhibit.position, expected, words.length);
        }
    }
}
