// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleLog} from "contracts/log/MerkleLog.sol";

contract MerkleHarness {
    function verifyInclusion(
        bytes calldata entry,
        uint256 position,
        uint256 size,
        bytes32[] calldata proof,
        bytes32 root
    ) external view {
        MerkleLog.verifyInclusion(entry, position, size, proof, root);
    }

    function verifyRun(
        bytes calldata entries,
        uint256 first,
        uint256 size,
        bytes32[] calldata proof,
        bytes32 root
    ) external view returns (uint256) {
        return MerkleLog.verifyRun(entries, first, size, proof, root);
    }

    /// Verifies a run in memory that has been used.
    function verifyRunAgain(
        bytes calldata entries,
        uint256 first,
        uint256 size,
        bytes32[] calldata proof,
        bytes32 root
    ) external view returns (uint256) {
        MerkleLog.verifyRun(entries, first, size, proof, root);
        return MerkleLog.verifyRun(entries, first, size, proof, root);
    }

    function verifyConsistency(
        uint256 oldSize,
        bytes32 oldRoot,
        uint256 newSize,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) external view {
        MerkleLog.verifyConsistency(oldSize, oldRoot, newSize, newRoot, proof);
    }

    function leafHash(bytes calldata entry) external pure returns (bytes32) {
        return MerkleLog.leafHash(entry);
    }
}
