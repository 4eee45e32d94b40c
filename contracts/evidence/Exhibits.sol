// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {Exhibit} from "./EvidenceTypes.sol";

/// @title Access to exhibits
/// @notice Checks that exhibits are in the log, and reads their entries.
/// @dev Assumptions: callers check every exhibit with `requireInTree` before they read any.
library Exhibits {
    error MissingExhibit(uint256 index);
    error WrongExhibit(uint256 expectedPosition, uint64 shownPosition);
    error NotOfContract(uint64 position, bytes32 contractId, bytes32 expectedKind);

    /// Reverts unless the exhibit is in the tree (size, root).
    function requireInTree(Exhibit calldata exhibit, uint256 size, bytes32 root) internal view {
        MerkleLog.verifyInclusion(exhibit.entry, exhibit.position, size, exhibit.proof, root);
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
}
