// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleHarness} from "../support/MerkleHarness.sol";
import {Proof} from "./Proof.sol";

/// For every tree of up to four leaves and every proof: a root is accepted only if
/// it extends the last one. Halmos takes SHA-256 as any function; where a proof needs that it has no
/// collisions, that is assumed of the hashes in question.
contract ConsistencyProofs is Proof {
    MerkleHarness private immutable harness = new MerkleHarness();

    /// A tree's leaf hashes.
    struct Tree {
        bytes32 a;
        bytes32 b;
        bytes32 c;
        bytes32 d;
    }

    function check_oneLeafIsExtendedByTwo(Tree memory old, Tree memory next, bytes32 p)
        external
        view
    {
        bytes32 root = _node(next.a, next.b);
        _assumeNoCollision(next.a, next.b, old.a, p);
        if (_accepted(1, old.a, 2, root, _proof(p))) assert(old.a == next.a);
    }

    function check_twoLeavesAreExtendedByThree(Tree memory old, Tree memory next, bytes32 p)
        external
        view
    {
        (bytes32 oldRoot, bytes32 left) = (_node(old.a, old.b), _node(next.a, next.b));
        bytes32 root = _node(left, next.c);
        _assumeNoCollision(left, next.c, oldRoot, p);
        _assumeNoCollision(old.a, old.b, next.a, next.b);
        if (_accepted(2, oldRoot, 3, root, _proof(p))) {
            assert(old.a == next.a);
            assert(old.b == next.b);
        }
    }

    function check_twoLeavesAreExtendedByFour(Tree memory old, Tree memory next, bytes32 p)
        external
        view
    {
        (bytes32 oldRoot, bytes32 left) = (_node(old.a, old.b), _node(next.a, next.b));
        bytes32 right = _node(next.c, next.d);
        bytes32 root = _node(left, right);
        _assumeNoCollision(left, right, oldRoot, p);
        _assumeNoCollision(old.a, old.b, next.a, next.b);
        if (_accepted(2, oldRoot, 4, root, _proof(p))) {
            assert(old.a == next.a);
            assert(old.b == next.b);
        }
    }

    function check_threeLeavesAreExtendedByFour(
        Tree memory old,
        Tree memory next,
        bytes32 p,
        bytes32 q,
        bytes32 r
    ) external view {
        (bytes32 oldLeft, bytes32 left) = (_node(old.a, old.b), _node(next.a, next.b));
        (bytes32 oldRoot, bytes32 right) = (_node(oldLeft, old.c), _node(next.c, next.d));
        bytes32 root = _node(left, right);
        bytes32 claimed = _node(p, q);
        _assumeNoCollision(oldLeft, old.c, r, p);
        _assumeNoCollision(left, right, r, claimed);
        _assumeNoCollision(next.c, next.d, p, q);
        _assumeNoCollision(old.a, old.b, next.a, next.b);
        if (_accepted(3, oldRoot, 4, root, _proof(p, q, r))) {
            assert(old.a == next.a);
            assert(old.b == next.b);
            assert(old.c == next.c);
        }
    }

    /// No proof of another length is taken, whatever the roots.
    function check_proofsOfOtherLengthsAreRefused(bytes32 oldRoot, bytes32 root, bytes32 p)
        external
        view
    {
        assert(!_accepted(1, oldRoot, 2, root, new bytes32[](0)));
        assert(!_accepted(3, oldRoot, 4, root, _proof(p)));
        assert(!_accepted(2, oldRoot, 4, root, _proof(p, p, p)));
    }

    /// The same size is no growth, and neither is a smaller one.
    function check_onlyGrowthIsAccepted(
        uint256 oldSize,
        uint256 size,
        bytes32 oldRoot,
        bytes32 root
    ) external view {
        vm.assume(size <= oldSize);
        assert(!_accepted(oldSize, oldRoot, size, root, new bytes32[](0)));
    }

    function _accepted(
        uint256 oldSize,
        bytes32 oldRoot,
        uint256 size,
        bytes32 root,
        bytes32[] memory proof
    ) private view returns (bool accepted) {
        (accepted,) = address(harness)
            .staticcall(
                abi.encodeCall(
                    MerkleHarness.verifyConsistency, (oldSize, oldRoot, size, root, proof)
                )
            );
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    function _assumeNoCollision(bytes32 a, bytes32 b, bytes32 c, bytes32 d) private pure {
        vm.assume(_node(a, b) != _node(c, d) || (a == c && b == d));
    }

    function _proof(bytes32 p) private pure returns (bytes32[] memory proof) {
        proof = new bytes32[](1);
        proof[0] = p;
    }

    function _proof(bytes32 p, bytes32 q, bytes32 r) private pure returns (bytes32[] memory proof) {
        proof = new bytes32[](3);
        (proof[0], proof[1], proof[2]) = (p, q, r);
    }
}
