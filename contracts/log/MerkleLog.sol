// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A log entry: eight words, 256 bytes.
struct Entry {
    bytes32 kind; //     ASCII
    bytes32 surface; //  the growth surface
    bytes32 actor; //    the party that acted
    bytes32 subject; //  the lead or contract that the entry is about
    bytes32 label; //    ASCII
    uint256 value; //    in the unit of its kind
    uint256 timeMs; //   UTC
    bytes32 payload; //  packed facts, or a commitment to the rest
}

/// @title Merkle tree of an event log: RFC 6962 hashes, RFC 9162 proofs, and the run proof
/// @notice Leaf = SHA-256(0x00 || entry), node = SHA-256(0x01 || left || right).
/// @dev Every function checks bounds before it computes, and consumes the whole proof. It hashes
/// entries itself, because a hash from a caller may be that of an interior node.
///
/// Assumptions: SHA-256 has no collisions. A proof does not bind the size of its tree, so callers
/// take size and root together, from where both are kept.
///
/// Limits: the library proves what is in a tree, not that it is true.
library MerkleLog {
    uint256 internal constant ENTRY_BYTES = 256;

    /// @dev Sizes and positions stay below this, so a position fits 40 bits.
    uint256 internal constant SIZE_LIMIT = 1 << 40;

    error SizeTooLarge(uint256 size, uint256 limit);
    error SizeDoesNotGrow(uint256 oldSize, uint256 newSize);
    error EntriesNotWhole(uint256 length);
    error RunOutsideTree(uint256 first, uint256 count, uint256 size);
    error ProofTooShort(uint256 length);
    error ProofTooLong(uint256 length, uint256 used);
    error RootMismatch(bytes32 expected, bytes32 computed);

    /// Returns the `i`th of `entries`. It does not check that there are so many: the caller has
    /// counted them.
    function entryAt(bytes calldata entries, uint256 i)
        internal
        pure
        returns (Entry calldata entry)
    {
        assembly ("memory-safe") {
            entry := add(entries.offset, mul(i, 256))
        }
    }

    /// Reverts unless the entry has this position in the tree (size, root), by RFC 9162 2.1.3.2.
    function verifyInclusion(
        bytes calldata entry,
        uint256 position,
        uint256 size,
        bytes32[] calldata proof,
        bytes32 root
    ) internal view {
        if (entry.length != ENTRY_BYTES) revert EntriesNotWhole(entry.length);
        _requireRunInTree(position, 1, size);

        _verifyPath(leafHash(entry), position, size - 1, proof, 0, root);
    }

    /// Reverts unless `entries` are the entries [first, first + count) of the tree (size, root).
    /// Returns their count.
    ///
    /// The run proof goes level by level from the leaves to the root. On each level, if the run's
    /// lowest node is a right child, its left sibling is taken from the proof; then, if its highest
    /// node is a left child with a sibling, that sibling is taken. A last node without a sibling
    /// rises unchanged. For one entry it is RFC 9162's inclusion path.
    function verifyRun(
        bytes calldata entries,
        uint256 first,
        uint256 size,
        bytes32[] calldata proof,
        bytes32 root
    ) internal view returns (uint256 count) {
        count = entries.length / ENTRY_BYTES;
        if (entries.length % ENTRY_BYTES != 0) revert EntriesNotWhole(entries.length);
        _requireRunInTree(first, count, size);

        // The level's nodes, with room for a sibling on either side of them.
        bytes32[] memory level = new bytes32[](count + 2);
        _hashLeaves(entries, level);

        uint256 low = first;
        uint256 high = first + count - 1;
        uint256 last = size - 1;
        uint256 used;
        for (; low != high; (low, high, last) = (low >> 1, high >> 1, last >> 1)) {
            uint256 begin = 1;
            uint256 end = high - low + 2;
            if (low & 1 == 1) level[--begin] = _proofNode(proof, used++);
            if (high & 1 == 0 && high < last) level[end++] = _proofNode(proof, used++);
            _hashPairs(level, begin, end);
        }
        _verifyPath(level[1], low, last, proof, used, root);
    }

    /// Reverts unless the tree (newSize, newRoot) extends the tree (oldSize, oldRoot), by RFC 9162
    /// 2.1.4.2. Every tree extends the empty one, with an empty proof.
    function verifyConsistency(
        uint256 oldSize,
        bytes32 oldRoot,
        uint256 newSize,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) internal view {
        if (newSize >= SIZE_LIMIT) revert SizeTooLarge(newSize, SIZE_LIMIT);
        if (newSize <= oldSize) revert SizeDoesNotGrow(oldSize, newSize);
        if (oldSize == 0) {
            if (proof.length != 0) revert ProofTooLong(proof.length, 0);
            return;
        }

        // Where the proof ends too early the loop hashes the calldata behind it, and the check of
        // `used` refuses that at the end (see _verifyPath).
        uint256 used;
        bytes32 oldHash;
        bytes32 newHash;
        assembly ("memory-safe") {
            let node := sub(oldSize, 1)
            let last := sub(newSize, 1)
            for {} and(node, 1) {} {
                node := shr(1, node)
                last := shr(1, last)
            }
            // The largest complete subtree that ends where the old tree ends; the whole old tree,
            // if that is complete.
            oldHash := oldRoot
            if node {
                oldHash := calldataload(proof.offset)
                used := 1
            }
            newHash := oldHash
            let input := mload(0x40)
            let left := add(input, 1)
            let right := add(input, 33)
            mstore8(input, 1)
            for {} last {
                node := shr(1, node)
                last := shr(1, last)
            } {
                let isRight := and(node, 1)
                if or(isRight, lt(node, last)) {
                    let sibling := calldataload(add(proof.offset, shl(5, used)))
                    used := add(used, 1)
                    switch isRight
                    case 1 {
                        mstore(left, sibling)
                        mstore(right, oldHash)
                        if iszero(staticcall(gas(), 2, input, 65, 0, 32)) {
                            revert(0, 0)
                        }
                        oldHash := mload(0)
                        mstore(right, newHash)
                    }
                    default {
                        mstore(left, newHash)
                        mstore(right, sibling)
                    }
                    if iszero(staticcall(gas(), 2, input, 65, 0, 32)) { revert(0, 0) }
                    newHash := mload(0)
                }
            }
        }
        if (used > proof.length) revert ProofTooShort(proof.length);
        if (oldHash != oldRoot) revert RootMismatch(oldRoot, oldHash);
        _requireRoot(newRoot, newHash, proof.length, used);
    }

    /// Returns the hash of a leaf.
    function leafHash(bytes calldata entry) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0), entry));
    }

    /// Checks the rest of a proof, from proof[used] on, for one node of a level whose highest node
    /// is `last`. Where the proof ends too early the loop hashes the calldata behind it, and the
    /// check of `used` refuses that at the end: a check in every step would cost every honest
    /// caller gas.
    function _verifyPath(
        bytes32 hash,
        uint256 node,
        uint256 last,
        bytes32[] calldata proof,
        uint256 used,
        bytes32 root
    ) private view {
        assembly ("memory-safe") {
            let input := mload(0x40)
            let children := add(input, 1)
            mstore8(input, 1)
            for {} last {
                node := shr(1, node)
                last := shr(1, last)
            } {
                let isRight := and(node, 1)
                if or(isRight, lt(node, last)) {
                    mstore(add(children, shl(5, isRight)), hash)
                    mstore(
                        add(children, shl(5, iszero(isRight))),
                        calldataload(add(proof.offset, shl(5, used)))
                    )
                    if iszero(staticcall(gas(), 2, input, 65, 0, 32)) { revert(0, 0) }
                    hash := mload(0)
                    used := add(used, 1)
                }
            }
        }
        if (used > proof.length) revert ProofTooShort(proof.length);
        _requireRoot(root, hash, proof.length, used);
    }

    /// Writes the leaf hashes of `entries` to level[1], level[2], ...
    function _hashLeaves(bytes calldata entries, bytes32[] memory level) private view {
        assembly ("memory-safe") {
            let input := mload(0x40)
            let body := add(input, 1)
            mstore8(input, 0)
            let to := add(level, 64)
            let end := add(entries.offset, entries.length)
            for { let entry := entries.offset } lt(entry, end) { entry := add(entry, 256) } {
                calldatacopy(body, entry, 256)
                if iszero(staticcall(gas(), 2, input, 257, to, 32)) { revert(0, 0) }
                to := add(to, 32)
            }
        }
    }

    /// Hashes level[begin], ... level[end - 1] in pairs to level[1], level[2], ...; an odd last one
    /// rises unchanged. It writes in place: what it writes always lies before what it still reads.
    function _hashPairs(bytes32[] memory level, uint256 begin, uint256 end) private view {
        assembly ("memory-safe") {
            let input := mload(0x40)
            let body := add(input, 1)
            mstore8(input, 1)
            let from := add(add(level, 32), shl(5, begin))
            let to := add(level, 64)
            let limit := add(add(level, 32), shl(5, end))
            for {} lt(add(from, 32), limit) { from := add(from, 64) } {
                mcopy(body, from, 64)
                if iszero(staticcall(gas(), 2, input, 65, to, 32)) { revert(0, 0) }
                to := add(to, 32)
            }
            if lt(from, limit) { mcopy(to, from, 32) }
        }
    }

    /// Returns a hash of the proof. Reverts if the proof is shorter.
    function _proofNode(bytes32[] calldata proof, uint256 i) private pure returns (bytes32) {
        if (i >= proof.length) revert ProofTooShort(proof.length);
        return proof[i];
    }

    /// Reverts unless the run is in a tree of this size. The comparisons cannot overflow, whatever
    /// the arguments are.
    function _requireRunInTree(uint256 first, uint256 count, uint256 size) private pure {
        if (size >= SIZE_LIMIT) revert SizeTooLarge(size, SIZE_LIMIT);
        if (count == 0 || first >= size || count > size - first) {
            revert RunOutsideTree(first, count, size);
        }
    }

    /// Reverts unless the whole proof is consumed and leads to the root.
    function _requireRoot(bytes32 root, bytes32 computed, uint256 length, uint256 used)
        private
        pure
    {
        if (used != length) revert ProofTooLong(length, used);
        if (computed != root) revert RootMismatch(root, computed);
    }
}
