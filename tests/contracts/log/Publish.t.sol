// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {TestTree} from "../support/TestTree.sol";
import {Wallet} from "../support/Wallet.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {MerkleLog} from "contracts/log/MerkleLog.sol";

contract PublishTest is Fixture {
    bytes32[] private none = new bytes32[](0);

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 20; ++i) {
            tree.append(abi.encode("entry", i, i, i, i, i));
        }
    }

    // ------------------------------------------------------------ by the publisher

    function testFuzz_growsBySteps(uint64[5] memory steps) public {
        uint64 size;
        for (uint256 i = 0; i < steps.length && size < 20; ++i) {
            uint64 next = size + 1 + steps[i] % (20 - size);
            bytes32 root = tree.root(next);
            bytes32[] memory proof = tree.consistencyProof(size, next);
            skip(steps[i] % 1000);
            vm.expectEmit(address(eventLog));
            emit EventLog.Published(logId, next, root);
            vm.prank(publisher.addr);
            eventLog.publish(logId, next, root, proof);

            (uint64 latestSize, bytes32 latestRoot, uint64 publishedAt) = eventLog.latest(logId);
            assertEq(latestSize, next);
            assertEq(latestRoot, root);
            assertEq(publishedAt, block.timestamp);
            if (size != 0) {
                assertEq(eventLog.rootAt(logId, size), tree.root(size), "history stays");
            }
            assertEq(eventLog.rootAt(logId, next), root);
            size = next;
        }
    }

    function test_revertIf_theCallerIsNotThePublisher() public {
        vm.expectRevert(abi.encodeWithSelector(EventLog.NotPublisher.selector, logId, stranger));
        vm.prank(stranger);
        eventLog.publish(logId, 1, "root", none);
    }

    function test_revertIf_theLogIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(EventLog.UnknownLog.selector, bytes32("?")));
        vm.prank(publisher.addr);
        eventLog.publish("?", 1, "root", none);
        vm.expectRevert(abi.encodeWithSelector(EventLog.UnknownLog.selector, bytes32("?")));
        eventLog.publish("?", 1, "root", none, "");
    }

    function test_revertIf_theRootIsZero() public {
        vm.expectRevert(EventLog.ZeroRoot.selector);
        vm.prank(publisher.addr);
        eventLog.publish(logId, 1, 0, none);
    }

    function test_revertIf_theSizeDoesNotGrow() public {
        _publishSize(10);
        _expectRevert(10, tree.root(10), none, MerkleLog.SizeDoesNotGrow.selector);
        _expectRevert(9, tree.root(9), none, MerkleLog.SizeDoesNotGrow.selector);
        _expectRevert(0, tree.root(9), none, MerkleLog.SizeDoesNotGrow.selector);
    }

    function test_revertIf_theFirstSizeIsZero() public {
        _expectRevert(0, "root", none, MerkleLog.SizeDoesNotGrow.selector);
    }

    function test_revertIf_theSizeIsTooLarge() public {
        _expectRevert(1 << 40, "root", none, MerkleLog.SizeTooLarge.selector);
        _expectRevert(type(uint64).max, "root", none, MerkleLog.SizeTooLarge.selector);
        vm.prank(publisher.addr);
        eventLog.publish(logId, (1 << 40) - 1, "root", none);
    }

    function test_revertIf_theFirstProofIsNotEmpty() public {
        _expectRevert(20, tree.root(20), new bytes32[](1), MerkleLog.ProofTooLong.selector);
    }

    /// A rewritten history: the tree of another log, with that log's own consistency proof.
    function test_revertIf_theRootIsNoExtension() public {
        _publishSize(10);
        TestTree fork = new TestTree(1);
        for (uint256 i = 0; i < 20; ++i) {
            fork.append(abi.encode("entry", i == 4 ? 99 : i, i, i, i, i));
        }
        bytes32[] memory proof = fork.consistencyProof(10, 15);
        _expectRevert(15, fork.root(15), proof, MerkleLog.RootMismatch.selector);
        _expectRevert(15, tree.root(15), proof, MerkleLog.RootMismatch.selector);
        _expectRevert(15, tree.root(15), none, MerkleLog.ProofTooShort.selector);
    }

    function testFuzz_anyOtherRootIsRefused(uint64 size, uint64 old, uint256 change) public {
        size = uint64(bound(size, 2, 20));
        old = uint64(bound(old, 1, size - 1));
        _publishSize(old);
        bytes32 root = tree.root(size) ^ bytes32(bound(change, 1, type(uint256).max));
        vm.assume(root != 0);
        _expectRevert(size, root, tree.consistencyProof(old, size), 0);
    }

    // ------------------------------------------------------------ by signature

    function test_anyonePublishesWhatThePublisherSigned() public {
        bytes32 root = tree.root(10);
        bytes memory signature = _sign(publisher, _checkpointDigest(logId, 10, root));
        vm.expectEmit(address(eventLog));
        emit EventLog.Published(logId, 10, root);
        vm.prank(stranger);
        eventLog.publish(logId, 10, root, none, signature);
        assertEq(eventLog.rootAt(logId, 10), root);
    }

    function test_aWalletPublishes() public {
        Wallet wallet = new Wallet(publisher.addr);
        logId = eventLog.register("wallet", address(wallet));
        bytes32 root = tree.root(10);
        bytes memory signature = _sign(publisher, _checkpointDigest(logId, 10, root));
        wallet.setMode(Wallet.Mode.Refuses);
        _expectNotSigned(logId, 10, root, signature);
        wallet.setMode(Wallet.Mode.Honest);
        eventLog.publish(logId, 10, root, none, signature);
        assertEq(eventLog.rootAt(logId, 10), root);
    }

    /// The signature of one log, size, root, chain or contract is none of another.
    function test_revertIf_somethingElseWasSigned() public {
        bytes32 root = tree.root(10);
        bytes memory signature = _sign(publisher, _checkpointDigest(logId, 10, root));
        _expectNotSigned(logId, 11, root, signature);
        _expectNotSigned(logId, 10, tree.root(11), signature);
        bytes32 another = eventLog.register("another", publisher.addr);
        _expectNotSigned(another, 10, root, signature);
        _expectNotSigned(logId, 10, root, _sign(operator, _checkpointDigest(logId, 10, root)));
        _expectNotSigned(logId, 10, root, "");

        vm.chainId(1);
        _expectNotSigned(logId, 10, root, signature);
        vm.chainId(31337);
        EventLog second = new EventLog();
        second.register(ORIGIN, publisher.addr);
        vm.expectPartialRevert(EventLog.NotSignedByPublisher.selector);
        second.publish(logId, 10, root, none, signature);
        eventLog.publish(logId, 10, root, none, signature);
    }

    function test_revertIf_aSignedCheckpointIsNoExtension() public {
        _publishSize(10);
        bytes memory signature = _sign(publisher, _checkpointDigest(logId, 15, "forged"));
        bytes32[] memory proof = tree.consistencyProof(10, 15);
        vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
        eventLog.publish(logId, 15, "forged", proof, signature);
    }

    function test_theDomainIsItsOwn() public view {
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address home,,
        ) = eventLog.eip712Domain();
        assertEq(fields, hex"0f");
        assertEq(name, "Tallystick EventLog");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(home, address(eventLog));
    }

    /// The limit: an EIP-7702 account is a key and a wallet, and either suffices. Who puts other
    /// code behind it, because the key has leaked, ends nothing.
    function test_limit_anEip7702PublisherStaysAKey() public {
        Account memory fresh = makeAccount("new key");
        Wallet rotated = new Wallet(fresh.addr);
        _delegate(publisher, address(rotated));
        bytes32 root = tree.root(10);
        bytes32 digest = _checkpointDigest(logId, 10, root);
        uint256 snapshot = vm.snapshotState();
        eventLog.publish(logId, 10, root, none, _sign(fresh, digest));
        vm.revertToState(snapshot);
        eventLog.publish(logId, 10, root, none, _sign(publisher, digest));
        assertEq(eventLog.rootAt(logId, 10), root, "the leaked key has anchored");

        // A contract wallet is no key, and rotates.
        logId = eventLog.register("wallet", address(rotated));
        bytes memory old = _sign(publisher, _checkpointDigest(logId, 10, root));
        _expectNotSigned(logId, 10, root, old);
    }

    /// The limit: anchors are per chain. One log id at one address, and two chains are told two
    /// histories; neither can see it, and no signature of one counts on the other.
    function test_limit_twoChainsAreToldTwoHistories() public {
        bytes memory first = _sign(publisher, _checkpointDigest(logId, 3, "history A"));
        uint256 snapshot = vm.snapshotState();
        eventLog.publish(logId, 3, "history A", none, first);
        vm.revertToState(snapshot);

        vm.chainId(42161);
        bytes memory second = _sign(publisher, _checkpointDigest(logId, 3, "history B"));
        eventLog.publish(logId, 3, "history B", none, second);
        assertEq(eventLog.rootAt(logId, 3), "history B");
        vm.expectPartialRevert(EventLog.NotSignedByPublisher.selector);
        eventLog.reportFork(logId, 3, "history A", first, "history B", "");
    }

    // ------------------------------------------------------------ reading

    function test_verifyInclusionAndRun() public {
        _publishSize(15);
        bytes memory entry = abi.encode("entry", 3, 3, 3, 3, 3); // behind the genesis entry
        bytes32[] memory proof = tree.inclusionProof(4, 15);
        eventLog.verifyInclusion(logId, 15, 4, entry, proof);
        eventLog.verifyRun(logId, 15, 4, entry, proof);
        bytes memory two = bytes.concat(entry, abi.encode("entry", 4, 4, 4, 4, 4));
        eventLog.verifyRun(logId, 15, 4, two, tree.runProof(4, 2, 15));

        vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
        eventLog.verifyInclusion(logId, 15, 5, entry, proof);
        vm.expectRevert(
            abi.encodeWithSelector(EventLog.UnknownCheckpoint.selector, logId, uint64(14))
        );
        eventLog.verifyInclusion(logId, 14, 4, entry, proof);
        vm.expectRevert(
            abi.encodeWithSelector(EventLog.UnknownCheckpoint.selector, logId, uint64(14))
        );
        eventLog.verifyRun(logId, 14, 4, entry, proof);
    }

    // ------------------------------------------------------------ helpers

    function _publishSize(uint64 size) private {
        bytes32 root = tree.root(size);
        vm.prank(publisher.addr);
        eventLog.publish(logId, size, root, none);
    }

    /// Nothing must have changed either.
    function _expectRevert(uint64 size, bytes32 root, bytes32[] memory proof, bytes4 selector)
        private
    {
        (uint64 sizeBefore, bytes32 rootBefore,) = eventLog.latest(logId);
        if (selector == 0) vm.expectRevert();
        else vm.expectPartialRevert(selector);
        vm.prank(publisher.addr);
        eventLog.publish(logId, size, root, proof);
        (uint64 sizeAfter, bytes32 rootAfter,) = eventLog.latest(logId);
        assertEq(sizeAfter, sizeBefore);
        assertEq(rootAfter, rootBefore);
    }

    function _expectNotSigned(bytes32 id, uint64 size, bytes32 root, bytes memory signature)
        private
    {
        bytes32 digest = _checkpointDigest(id, size, root);
        vm.expectRevert(abi.encodeWithSelector(EventLog.NotSignedByPublisher.selector, id, digest));
        eventLog.publish(id, size, root, none, signature);
    }
}
