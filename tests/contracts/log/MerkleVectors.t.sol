// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleHarness} from "../support/MerkleHarness.sol";
import {MerkleLog} from "contracts/log/MerkleLog.sol";
import {Test} from "forge-std/Test.sol";

/// The byte vectors that Python reads too: both sides mean the same tree.
contract MerkleVectorsTest is Test {
    struct Consistency {
        bytes32 new_root;
        uint256 new_size;
        bytes32 old_root;
        uint256 old_size;
        bytes32[] proof;
    }

    struct InvalidConsistency {
        bytes32 new_root;
        uint256 new_size;
        bytes32 old_root;
        uint256 old_size;
        bytes32[] proof;
        string reason;
    }

    struct Inclusion {
        uint256 position;
        bytes32[] proof;
        bytes32 root;
        uint256 size;
    }

    struct InvalidInclusion {
        uint256 position;
        bytes32[] proof;
        string reason;
        bytes32 root;
        uint256 shown;
        uint256 size;
    }

    struct Run {
        uint256 count;
        uint256 first;
        bytes32[] proof;
        bytes32 root;
        uint256 size;
    }

    struct InvalidRun {
        uint256 first;
        bytes32[] proof;
        string reason;
        bytes32 root;
        uint256 shown_count;
        uint256 shown_first;
        uint256 size;
    }

    struct EntryVector {
        bytes data;
        bytes32 leaf_hash;
    }

    string private constant CONSISTENCY =
        "C(bytes32 new_root,uint256 new_size,bytes32 old_root,uint256 old_size,bytes32[] proof)";
    string private constant RUN =
        "R(uint256 count,uint256 first,bytes32[] proof,bytes32 root,uint256 size)";

    MerkleHarness private harness = new MerkleHarness();
    string private json = vm.readFile("tests/vectors/merkle.json");
    bytes[] private leaves = vm.parseJsonBytesArray(json, ".leaf_data");

    function test_entriesHashToTheirLeafHashes() public view {
        string memory entries = vm.readFile("tests/vectors/entries.json");
        bytes memory found =
            vm.parseJsonTypeArray(entries, ".entries", "E(bytes data,bytes32 leaf_hash)");
        EntryVector[] memory vectors = abi.decode(found, (EntryVector[]));
        assertGt(vectors.length, 16);
        for (uint256 i = 0; i < vectors.length; ++i) {
            assertEq(vectors[i].data.length, MerkleLog.ENTRY_BYTES);
            assertEq(harness.leafHash(vectors[i].data), vectors[i].leaf_hash);
        }
        bytes32[] memory hashes = vm.parseJsonBytes32Array(json, ".leaf_hashes");
        for (uint256 i = 0; i < leaves.length; ++i) {
            assertEq(harness.leafHash(leaves[i]), hashes[i]);
        }
    }

    function test_inclusion() public view {
        bytes memory found = vm.parseJsonTypeArray(
            json, ".inclusion", "I(uint256 position,bytes32[] proof,bytes32 root,uint256 size)"
        );
        Inclusion[] memory vectors = abi.decode(found, (Inclusion[]));
        assertGt(vectors.length, 50);
        for (uint256 i = 0; i < vectors.length; ++i) {
            Inclusion memory v = vectors[i];
            harness.verifyInclusion(leaves[v.position], v.position, v.size, v.proof, v.root);
            harness.verifyRun(leaves[v.position], v.position, v.size, v.proof, v.root);
        }
    }

    function test_runs() public view {
        Run[] memory vectors = abi.decode(vm.parseJsonTypeArray(json, ".runs", RUN), (Run[]));
        assertGt(vectors.length, 200);
        for (uint256 i = 0; i < vectors.length; ++i) {
            Run memory v = vectors[i];
            harness.verifyRun(_leaves(v.first, v.count), v.first, v.size, v.proof, v.root);
        }
    }

    function test_consistency() public view {
        bytes memory found = vm.parseJsonTypeArray(json, ".consistency", CONSISTENCY);
        Consistency[] memory vectors = abi.decode(found, (Consistency[]));
        assertGt(vectors.length, 50);
        for (uint256 i = 0; i < vectors.length; ++i) {
            Consistency memory v = vectors[i];
            harness.verifyConsistency(v.old_size, v.old_root, v.new_size, v.new_root, v.proof);
        }
    }

    /// Trees of up to 2^40 - 1 equal leaves.
    function test_largestTrees() public view {
        bytes memory found = vm.parseJsonTypeArray(json, ".uniform_runs", RUN);
        Run[] memory runs = abi.decode(found, (Run[]));
        for (uint256 i = 0; i < runs.length; ++i) {
            Run memory v = runs[i];
            bytes memory entries;
            for (uint256 k = 0; k < v.count; ++k) {
                entries = bytes.concat(entries, leaves[0]);
            }
            harness.verifyRun(entries, v.first, v.size, v.proof, v.root);
        }
        found = vm.parseJsonTypeArray(json, ".uniform_consistency", CONSISTENCY);
        Consistency[] memory growths = abi.decode(found, (Consistency[]));
        assertGt(runs.length * growths.length, 0);
        for (uint256 i = 0; i < growths.length; ++i) {
            Consistency memory v = growths[i];
            harness.verifyConsistency(v.old_size, v.old_root, v.new_size, v.new_root, v.proof);
        }
    }

    function test_invalidInclusion() public {
        bytes memory found = vm.parseJsonTypeArray(
            json,
            ".invalid_inclusion",
            "I(uint256 position,bytes32[] proof,string reason,bytes32 root,uint256 shown,uint256 size)"
        );
        InvalidInclusion[] memory vectors = abi.decode(found, (InvalidInclusion[]));
        assertGt(vectors.length, 10);
        for (uint256 i = 0; i < vectors.length; ++i) {
            InvalidInclusion memory v = vectors[i];
            vm.expectPartialRevert(_selector(v.reason));
            harness.verifyInclusion(leaves[v.shown], v.position, v.size, v.proof, v.root);
            vm.expectPartialRevert(_selector(v.reason));
            harness.verifyRun(leaves[v.shown], v.position, v.size, v.proof, v.root);
        }
    }

    function test_invalidRuns() public {
        bytes memory found = vm.parseJsonTypeArray(
            json,
            ".invalid_runs",
            "R(uint256 first,bytes32[] proof,string reason,bytes32 root,uint256 shown_count,uint256 shown_first,uint256 size)"
        );
        InvalidRun[] memory vectors = abi.decode(found, (InvalidRun[]));
        assertGt(vectors.length, 10);
        for (uint256 i = 0; i < vectors.length; ++i) {
            InvalidRun memory v = vectors[i];
            bytes memory entries = _leaves(v.shown_first, v.shown_count);
            vm.expectPartialRevert(_selector(v.reason));
            harness.verifyRun(entries, v.first, v.size, v.proof, v.root);
        }
    }

    function test_invalidConsistency() public {
        bytes memory found = vm.parseJsonTypeArray(
            json,
            ".invalid_consistency",
            "C(bytes32 new_root,uint256 new_size,bytes32 old_root,uint256 old_size,bytes32[] proof,string reason)"
        );
        InvalidConsistency[] memory vectors = abi.decode(found, (InvalidConsistency[]));
        assertGt(vectors.length, 10);
        for (uint256 i = 0; i < vectors.length; ++i) {
            InvalidConsistency memory v = vectors[i];
            vm.expectPartialRevert(_selector(v.reason));
            harness.verifyConsistency(v.old_size, v.old_root, v.new_size, v.new_root, v.proof);
        }
    }

    function _leaves(uint256 first, uint256 count) private view returns (bytes memory entries) {
        for (uint256 i = 0; i < count; ++i) {
            entries = bytes.concat(entries, leaves[first + i]);
        }
    }

    /// The contract's error for Python's word.
    function _selector(string memory reason) private pure returns (bytes4) {
        bytes32 hash = keccak256(bytes(reason));
        if (hash == keccak256("root-mismatch")) return MerkleLog.RootMismatch.selector;
        if (hash == keccak256("proof-too-short")) return MerkleLog.ProofTooShort.selector;
        if (hash == keccak256("proof-too-long")) return MerkleLog.ProofTooLong.selector;
        if (hash == keccak256("size-shrinks")) return MerkleLog.SizeDoesNotGrow.selector;
        if (hash == keccak256("size-range")) return MerkleLog.SizeTooLarge.selector;
        if (hash == keccak256("run-range")) return MerkleLog.RunOutsideTree.selector;
        if (hash == keccak256("run-empty")) return MerkleLog.RunOutsideTree.selector;
        revert(reason);
    }
}
