// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {Exhibit} from "./EvidenceTypes.sol";

/// @title What is shown, and in which place
/// @notice That an exhibit is in the log is checked once, before it is read.
library Exhibits {
    error MissingExhibit(uint256 place);
    error WrongExhibit(uint256 expectedIndex, uint64 shownIndex);
    error NotOfContract(uint64 index, bytes32 contractId, bytes32 expectedKind);

    /// Reverts unless the exhibit is in the tree (size, root).
    function requireLogged(Exhibit calldata exhibit, uint256 size, bytes32 root) internal view {
        MerkleLog.verifyInclusion(exhibit.entry, exhibit.index, size, exhibit.proof, root);
    }

    function pick(Exhibit[] calldata exhibits, uint256 place)
        internal
        pure
        returns (Exhibit calldata)
    {
        if (place >= exhibits.length) revert MissingExhibit(place);
        return exhibits[place];
    }

    /// The first exhibit's entry, which must be such an entry of the contract.
    function accused(Exhibit[] calldata exhibits, bytes32 contractId, bytes32 kind)
        internal
        pure
        returns (Entry calldata entry)
    {
        entry = read(exhibits[0]);
        if (!isOf(entry, contractId, kind)) {
            revert NotOfContract(exhibits[0].index, contractId, kind);
        }
    }

    function read(Exhibit calldata exhibit) internal pure returns (Entry calldata) {
        return MerkleLog.entryAt(exhibit.entry, 0);
    }

    /// The exhibit's entry, which must be the one with this index.
    function readAs(Exhibit calldata exhibit, uint256 index)
        internal
        pure
        returns (Entry calldata)
    {
        if (exhibit.index != index) {
            revert WrongExhibit(index, exhibit.index);
        }
        return read(exhibit);
    }

    /// Whether it is such an entry of the contract: outcomes and reversals are by contracts.
    function isOf(Entry calldata entry, bytes32 contractId, bytes32 kind)
        internal
        pure
        returns (bool)
    {
        return entry.kind == kind && entry.actor == contractId;
    }
}
