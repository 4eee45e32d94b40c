// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleHarness} from "../support/MerkleHarness.sol";
import {TestTree} from "../support/TestTree.sol";
import {MerkleLog} from "contracts/log/MerkleLog.sol";
import {Test} from "forge-std/Test.sol";

contract MerkleLogTest is Test {
    uint256 private constant LEAVES = 33;
    uint256 private constant LIMIT = 1 << 40;

    MerkleHarness private harness = new MerkleHarness();
    TestTree private tree = new TestTree(0);

    function setUp() public {
        for (uint256 i = 0; i < LEAVES; ++i) {
            tree.append(_entry(i));
        }
    }

    // ------------------------------------------------------------ hashes

    function testFuzz_leafHash(bytes calldata entry) public view {
        assertEq(harness.leafHash(entry), sha256(abi.encodePacked(hex"00", entry)));
    }

    // ------------------------------------------------------------ everything true holds

    function test_everyEntryOfEverySmallTreeIsIncluded() public view {
        for (uint256 size = 1; size <= LEAVES; ++size) {
            for (uint256 i = 0; i < size; ++i) {
                bytes32[] memory proof = tree.inclusionProof(i, size);
                harness.verifyInclusion(_entry(i), i, size, proof, tree.root(size));
                assertEq(proof, tree.runProof(i, 1, size), "a run of one is an inclusion path");
            }
        }
    }

    function test_everyRunOfEverySmallTreeIsIncluded() public view {
        for (uint256 size = 1; size <= 17; ++size) {
            for (uint256 first = 0; first < size; ++first) {
                for (uint256 count = 1; count <= size - first; ++count) {
                    bytes32[] memory proof = tree.runProof(first, count, size);
                    uint256 counted = harness.verifyRun(
                        _entries(first, count), first, size, proof, tree.root(size)
                    );
                    assertEq(counted, count);
                }
            }
        }
    }

    function test_aRunHoldsWhateverLayInMemoryBefore() public view {
        for (uint256 count = 1; count < 5; ++count) {
            bytes32[] memory proof = tree.runProof(1, count, 7);
            harness.verifyRunAgain(_entries(1, count), 1, 7, proof, tree.root(7));
        }
    }

    function test_everySmallTreeExtendsEverySmallerOne() public view {
        for (uint256 size = 1; size <= LEAVES; ++size) {
            for (uint256 old = 0; old < size; ++old) {
                bytes32[] memory proof = tree.consistencyProof(old, size);
                harness.verifyConsistency(old, tree.root(old), size, tree.root(size), proof);
            }
        }
    }

    /// forge-config: deep.fuzz.runs = 500
    function testFuzz_runsOfLargeTrees(uint256 filler, uint256 count, uint256 behind) public {
        filler = bound(filler, 0, LIMIT - 41);
        count = bound(count, 1, 20);
        behind = bound(behind, 0, 20);
        TestTree large = new TestTree(filler);
        for (uint256 i = 0; i < count + behind; ++i) {
            large.append(_entry(i));
        }
        uint256 size = large.size();
        bytes32[] memory proof = large.runProof(filler, count, size);
        harness.verifyRun(_entries(0, count), filler, size, proof, large.root(size));
    }

    /// forge-config: deep.fuzz.runs = 500
    function testFuzz_largeTreesExtend(uint256 filler, uint256 old, uint256 more) public {
        filler = bound(filler, 1, LIMIT - 41);
        more = bound(more, 1, 20);
        TestTree large = new TestTree(filler);
        for (uint256 i = 0; i < more; ++i) {
            large.append(_entry(i));
        }
        uint256 size = large.size();
        old = bound(old, 0, size - 1);
        bytes32[] memory proof = large.consistencyProof(old, size);
        harness.verifyConsistency(old, large.root(old), size, large.root(size), proof);
    }

    // ------------------------------------------------------------ nothing false does

    function testFuzz_anyChangeToARunIsRefused(
        uint256 size,
        uint256 first,
        uint256 count,
        uint256 change
    ) public {
        size = bound(size, 1, LEAVES);
        first = bound(first, 0, size - 1);
        count = bound(count, 1, size - first);
        bytes memory entries = _entries(first, count);
        bytes32[] memory proof = tree.runProof(first, count, size);
        bytes32 root = tree.root(size);

        uint256 kind = change % 5;
        if (kind == 0) {
            entries[(change >> 8) % entries.length] ^= bytes1(uint8(1 << (change >> 200) % 8));
        } else if (kind == 1) {
            root ^= bytes32(1 << (change >> 8) % 256);
        } else if (kind == 2) {
            proof = _lengthen(proof, root);
        } else if (kind == 3) {
            if (proof.length == 0) return;
            assembly ("memory-safe") {
                mstore(proof, sub(mload(proof), 1))
            }
        } else {
            if (proof.length == 0) return;
            proof[(change >> 8) % proof.length] ^= bytes32(1 << (change >> 16) % 256);
        }
        vm.expectRevert();
        harness.verifyRun(entries, first, size, proof, root);
    }

    function testFuzz_anotherPlaceIsRefused(uint256 size, uint256 position, uint256 wrong) public {
        size = bound(size, 2, LEAVES);
        position = bound(position, 0, size - 1);
        wrong = bound(wrong, 0, size - 1);
        vm.assume(wrong != position);
        bytes32[] memory proof = tree.inclusionProof(position, size);
        bytes32 root = tree.root(size);
        vm.expectRevert();
        harness.verifyInclusion(_entry(position), wrong, size, proof, root);
        vm.expectRevert();
        harness.verifyRun(_entry(position), wrong, size, proof, root);
    }

    function testFuzz_anyChangeToAConsistencyProofIsRefused(
        uint256 size,
        uint256 old,
        uint256 change
    ) public {
        size = bound(size, 2, LEAVES);
        old = bound(old, 1, size - 1);
        bytes32[] memory proof = tree.consistencyProof(old, size);
        bytes32 oldRoot = tree.root(old);
        bytes32 newRoot = tree.root(size);
        uint256 kind = change % 5;
        if (kind == 0) {
            oldRoot ^= bytes32(1 << (change >> 8) % 256);
        } else if (kind == 1) {
            newRoot ^= bytes32(1 << (change >> 8) % 256);
        } else if (kind == 2) {
            proof = _lengthen(proof, newRoot);
        } else if (kind == 3) {
            assembly {
                mstore(proof, sub(mload(proof), 1))
            }
        } else {
            proof[(change >> 8) % proof.length] ^= bytes32(1 << (change >> 16) % 256);
        }
        vm.expectRevert();
        harness.verifyConsistency(old, oldRoot, size, newRoot, proof);
    }

    /// An interior node is no entry: 64 bytes are no leaf here, and a leaf never hashes like a
    /// node.
    function test_anInteriorNodeIsNoEntry() public {
        bytes memory node =
            abi.encodePacked(harness.leafHash(_entry(0)), harness.leafHash(_entry(1)));
        bytes32 root = tree.root(2);
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.EntriesNotWhole.selector, 64));
        harness.verifyInclusion(node, 0, 1, new bytes32[](0), root);
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.EntriesNotWhole.selector, 64));
        harness.verifyRun(node, 0, 1, new bytes32[](0), root);
    }

    function test_aLongerEntryIsNone() public {
        bytes memory entry = bytes.concat(_entry(0), hex"00");
        bytes32[] memory path = tree.inclusionProof(0, LEAVES);
        bytes32 root = tree.root(LEAVES);
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.EntriesNotWhole.selector, 257));
        harness.verifyInclusion(entry, 0, LEAVES, path, root);
    }

    /// Polygon's Plasma bridge: one leaf, many encodings of its place. Every other position is
    /// refused, outside the tree and with any bit above it set, too.
    function test_anEntryHasOnePlace() public {
        for (uint256 size = 1; size <= 11; ++size) {
            bytes32 root = tree.root(size);
            for (uint256 i = 0; i < size; ++i) {
                bytes32[] memory proof = tree.inclusionProof(i, size);
                for (uint256 j = 0; j < 40; ++j) {
                    try harness.verifyInclusion(_entry(i), j, size, proof, root) {
                        assertEq(i, j);
                    } catch {
                        assertNotEq(i, j);
                    }
                }
                for (uint256 bit = 4; bit < 256; bit += 7) {
                    vm.expectPartialRevert(MerkleLog.RunOutsideTree.selector);
                    harness.verifyInclusion(_entry(i), i | 1 << bit, size, proof, root);
                }
            }
        }
    }

    /// OpenZeppelin's GHSA-wprv-93r4-jj2p: a run of nothing, with the root itself for its proof.
    function test_nothingIsNoRun() public {
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = tree.root(8);
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.RunOutsideTree.selector, 0, 0, 8));
        harness.verifyRun("", 0, 8, proof, proof[0]);
    }

    /// CVE-2017-12842 in a run: the two nodes below the root for a tree of two leaves.
    function test_twoInteriorNodesAreNoRun() public {
        bytes memory nodes = abi.encodePacked(_half(0), _half(4));
        bytes32 root = tree.root(8);
        assertEq(sha256(abi.encodePacked(hex"01", nodes)), root);
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.EntriesNotWhole.selector, 64));
        harness.verifyRun(nodes, 0, 2, new bytes32[](0), root);
    }

    /// The root of the entries [first, first + 4).
    function _half(uint256 first) private returns (bytes32) {
        TestTree half = new TestTree(0);
        for (uint256 i = first; i < first + 4; ++i) {
            half.append(_entry(i));
        }
        return half.root(4);
    }

    /// polytope-labs/solidity-merkle-trees#57: a forged entry rides along with true ones.
    function test_noEntryRidesAlong() public {
        bytes32 root = tree.root(11);
        for (uint256 first = 0; first < 10; ++first) {
            for (uint256 count = 1; first + count <= 10; ++count) {
                bytes memory run = _entries(first, count);
                bytes32[] memory proof = tree.runProof(first, count, 11);
                harness.verifyRun(run, first, 11, proof, root);
                vm.expectRevert();
                harness.verifyRun(bytes.concat(run, _entry(99)), first, 11, proof, root);
            }
        }
    }

    /// CVE-2012-2459: the odd last leaf, doubled, is another tree.
    function test_aDoubledLastLeafIsAnotherTree() public {
        TestTree doubled = new TestTree(0);
        for (uint256 i = 0; i < 11; ++i) {
            doubled.append(_entry(i));
        }
        doubled.append(_entry(10));
        bytes32 root = tree.root(11);
        assertNotEq(doubled.root(12), root);
        bytes32[] memory path = doubled.inclusionProof(11, 12);
        vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
        harness.verifyInclusion(_entry(10), 11, 12, path, root);
    }

    /// transparency-dev/merkle#140 and #236: anything follows on the empty tree, and only on it.
    function test_anythingFollowsOnNothingAlone() public {
        harness.verifyConsistency(0, 0, 5, "anything", new bytes32[](0));
        for (uint256 old = 1; old < 5; ++old) {
            bytes32 oldRoot = tree.root(old);
            vm.expectRevert();
            harness.verifyConsistency(old, oldRoot, 5, "anything", new bytes32[](0));
        }
        bytes32 five = tree.root(5);
        vm.expectPartialRevert(MerkleLog.SizeDoesNotGrow.selector);
        harness.verifyConsistency(5, five, 5, five, new bytes32[](0));
        vm.expectPartialRevert(MerkleLog.SizeDoesNotGrow.selector);
        harness.verifyConsistency(5, five, 0, 0, new bytes32[](0));
    }

    /// google/certificate-transparency-rfcs#100, the limit: one consistency proof holds for several
    /// new sizes, for a root does not fix its size. What was anchored before keeps its one place
    /// under a misstated size all the same.
    function test_limit_aConsistencyProofHoldsForSeveralSizes() public {
        uint256 misstated;
        for (uint256 old = 1; old < 11; ++old) {
            for (uint256 size = old + 1; size <= 11; ++size) {
                bytes32[] memory proof = tree.consistencyProof(old, size);
                (bytes32 oldRoot, bytes32 root) = (tree.root(old), tree.root(size));
                for (uint256 wrong = old + 1; wrong <= 40; ++wrong) {
                    if (wrong == size) continue;
                    try harness.verifyConsistency(old, oldRoot, wrong, root, proof) {
                        ++misstated;
                    } catch {
                        continue;
                    }
                    for (uint256 i = 0; i < old; ++i) {
                        _expectOnePlace(i, wrong, tree.inclusionProof(i, size), root);
                    }
                }
            }
        }
        assertGt(misstated, 0);
    }

    /// Under this root and size no other position is proven by this path.
    function _expectOnePlace(uint256 i, uint256 size, bytes32[] memory path, bytes32 root)
        private
        view
    {
        for (uint256 j = 0; j < size; ++j) {
            try harness.verifyInclusion(_entry(i), j, size, path, root) {
                assertEq(j, i, "an anchored entry moved");
            } catch {}
        }
    }

    // ------------------------------------------------------------ bounds come first

    function test_revertIf_theSizeIsTooLarge() public {
        bytes memory revertData =
            abi.encodeWithSelector(MerkleLog.SizeTooLarge.selector, LIMIT, LIMIT);
        vm.expectRevert(revertData);
        harness.verifyRun(_entry(0), 0, LIMIT, new bytes32[](0), 0);
        vm.expectRevert(
            abi.encodeWithSelector(MerkleLog.SizeTooLarge.selector, (1 << 255) + 1, LIMIT)
        );
        harness.verifyRun(_entry(0), 0, (1 << 255) + 1, new bytes32[](0), 0);
        vm.expectRevert(revertData);
        harness.verifyInclusion(_entry(0), 0, LIMIT, new bytes32[](0), 0);
        vm.expectRevert(revertData);
        harness.verifyConsistency(1, 0, LIMIT, 0, new bytes32[](0));
    }

    function test_revertIf_theRunIsNotInTheTree() public {
        _expectOutside(0, 1, 0);
        _expectOutside(5, 1, 5);
        _expectOutside(3, 3, 5);
        _expectOutside(0, 0, 5);
        _expectOutside(type(uint256).max, 2, 5);
        bytes memory revertData =
            abi.encodeWithSelector(MerkleLog.RunOutsideTree.selector, type(uint256).max, 1, 5);
        vm.expectRevert(revertData);
        harness.verifyInclusion(_entry(0), type(uint256).max, 5, new bytes32[](0), 0);
    }

    function test_revertIf_theSizeDoesNotGrow() public {
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.SizeDoesNotGrow.selector, 5, 5));
        harness.verifyConsistency(5, 0, 5, 0, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.SizeDoesNotGrow.selector, 0, 0));
        harness.verifyConsistency(0, 0, 0, 0, new bytes32[](0));
        vm.expectRevert(
            abi.encodeWithSelector(MerkleLog.SizeDoesNotGrow.selector, type(uint256).max, 5)
        );
        harness.verifyConsistency(type(uint256).max, 0, 5, 0, new bytes32[](0));
    }

    function test_revertIf_theProofHasTheWrongLength() public {
        bytes32[] memory proof = tree.consistencyProof(3, 7);
        bytes32 oldRoot = tree.root(3);
        bytes32 newRoot = tree.root(7);
        bytes32[] memory longer = _lengthen(proof, 0);
        vm.expectRevert(
            abi.encodeWithSelector(MerkleLog.ProofTooLong.selector, proof.length + 1, proof.length)
        );
        harness.verifyConsistency(3, oldRoot, 7, newRoot, longer);
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.ProofTooShort.selector, 0));
        harness.verifyConsistency(3, oldRoot, 7, newRoot, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.ProofTooLong.selector, 1, 0));
        harness.verifyConsistency(0, 0, 7, newRoot, new bytes32[](1));
    }

    function test_revertIf_theOldRootIsAnother() public {
        bytes32[] memory proof = tree.consistencyProof(3, 7);
        bytes32 oldRoot = tree.root(3);
        bytes32 newRoot = tree.root(7);
        vm.expectRevert(
            abi.encodeWithSelector(MerkleLog.RootMismatch.selector, bytes32("another"), oldRoot)
        );
        harness.verifyConsistency(3, "another", 7, newRoot, proof);
        vm.expectRevert(
            abi.encodeWithSelector(MerkleLog.RootMismatch.selector, bytes32("another"), newRoot)
        );
        harness.verifyConsistency(3, oldRoot, 7, "another", proof);
    }

    /// A precompile that runs out of gas must not leave a hash behind.
    function testFuzz_tooLittleGasNeverVerifiesSomethingFalse(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 1000, 200_000);
        bytes memory entries = _entries(3, 20);
        entries[0] ^= 0x01;
        bytes32[] memory proof = tree.runProof(3, 20, LEAVES);
        bytes memory call =
            abi.encodeCall(harness.verifyRun, (entries, 3, LEAVES, proof, tree.root(LEAVES)));
        (bool success,) = address(harness).call{gas: gasLimit}(call);
        assertFalse(success);
    }

    /// A hash that failed ends the call: nothing is compared with what lay in memory before.
    function test_revertIf_aHashFails() public {
        bytes32[] memory proof = tree.runProof(3, 20, LEAVES);
        bytes32 root = tree.root(LEAVES);
        bytes memory entries = _entries(3, 20);
        bytes32[] memory path = tree.inclusionProof(3, LEAVES);
        bytes memory entry = _entry(3);
        vm.mockCallRevert(address(2), bytes(hex"00"), "leaves fail");
        vm.expectRevert(bytes(""));
        harness.verifyRun(entries, 3, LEAVES, proof, root);
        vm.clearMockedCalls();
        vm.mockCallRevert(address(2), bytes(hex"01"), "nodes fail");
        vm.expectRevert(bytes(""));
        harness.verifyRun(entries, 3, LEAVES, proof, root);
        vm.expectRevert(bytes(""));
        harness.verifyInclusion(entry, 3, LEAVES, path, root);
        vm.clearMockedCalls();
        harness.verifyInclusion(entry, 3, LEAVES, path, root);
        harness.verifyRun(entries, 3, LEAVES, proof, root);
    }

    /// From seven leaves the first hash is of a left sibling, from eight of a right one.
    function test_revertIf_aHashOfAConsistencyProofFails() public {
        bytes32 root = tree.root(LEAVES);
        for (uint256 old = 7; old <= 8; ++old) {
            bytes32 oldRoot = tree.root(old);
            bytes32[] memory proof = tree.consistencyProof(old, LEAVES);
            vm.mockCallRevert(address(2), bytes(hex"01"), "nodes fail");
            vm.expectRevert(bytes(""));
            harness.verifyConsistency(old, oldRoot, LEAVES, root, proof);
            vm.clearMockedCalls();
            harness.verifyConsistency(old, oldRoot, LEAVES, root, proof);
        }
    }

    // ------------------------------------------------------------ helpers

    function _expectOutside(uint256 first, uint256 count, uint256 size) private {
        vm.expectRevert(
            abi.encodeWithSelector(MerkleLog.RunOutsideTree.selector, first, count, size)
        );
        harness.verifyRun(_entries(0, count), first, size, new bytes32[](0), 0);
    }

    function _entry(uint256 i) private pure returns (bytes memory) {
        return abi.encode("entry", i, i, i, i, i);
    }

    function _entries(uint256 first, uint256 count) private pure returns (bytes memory all) {
        for (uint256 i = 0; i < count; ++i) {
            all = bytes.concat(all, _entry(first + i));
        }
    }

    function _lengthen(bytes32[] memory list, bytes32 item)
        private
        pure
        returns (bytes32[] memory longer)
    {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = item;
    }
}
