// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {TestTree} from "../support/TestTree.sol";
import {Wallet} from "../support/Wallet.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

contract ForkTest is Fixture {
    uint64 private constant SIZE = 5;

    bytes32[] private none = new bytes32[](0);
    Account private next = makeAccount("next publisher");
    TestTree private other = new TestTree(0);

    function setUp() public override {
        super.setUp();
        other.append(abi.encode("another genesis", 0, 0, 0, 0, 0));
        for (uint256 i = 0; i < 9; ++i) {
            tree.append(abi.encode("entry", i, i, i, i, i));
            other.append(abi.encode("entry", i, i, i, i, i));
        }
    }

    // ------------------------------------------------------------ what is a fork

    function test_twoSignedRootsOfOneSizeForkTheLog() public {
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        (bytes memory byA, bytes memory byB) = (_signed(publisher, a), _signed(publisher, b));
        assertEq(eventLog.forkedAt(logId), 0);
        skip(7);

        vm.expectEmit(address(eventLog));
        emit EventLog.Forked(logId, SIZE, a, b);
        vm.prank(stranger);
        eventLog.reportFork(logId, SIZE, a, byA, b, byB);
        assertEq(eventLog.forkedAt(logId), START + 7);
    }

    /// An anchored root needs no signature, whoever has anchored it and whatever is brought.
    function test_anAnchoredRootAndASignedOneForkTheLog() public {
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        bytes memory byB = _signed(publisher, b);
        _anchor(SIZE, a);
        skip(100 days);
        uint256 snapshot = vm.snapshotState();
        eventLog.reportFork(logId, SIZE, a, "", b, byB);
        vm.revertToState(snapshot);
        eventLog.reportFork(logId, SIZE, b, byB, a, "junk");
        assertEq(eventLog.forkedAt(logId), block.timestamp);
    }

    /// A checkpoint that operators have seen is buried by another of its size, and the log is
    /// marked for it. What had been anchored before still pays.
    function test_buryingASignedCheckpointEndsTheLog() public {
        Terms memory terms = _terms();
        bytes32 id = _open(terms);
        Batch memory before = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        uint64 size = before.size + 1;
        _append(_settlement(id, 9 * PRICE, 0));
        bytes memory shown = _sign(publisher, _checkpointDigest(logId, size, tree.root(size)));
        bytes32 shownRoot = tree.root(size);
        bytes32[] memory proof = tree.consistencyProof(before.size, size);

        // In front of whoever tries to anchor it, the publisher anchors another entry.
        TestTree burying = _burying(before.size);
        bytes32[] memory path = burying.consistencyProof(before.size, size);
        bytes32 buryingRoot = burying.root(size);
        vm.prank(publisher.addr);
        eventLog.publish(logId, size, buryingRoot, path);
        vm.expectRevert();
        eventLog.publish(logId, size, shownRoot, proof, shown);

        vm.prank(operator.addr);
        eventLog.reportFork(logId, size, shownRoot, shown, buryingRoot, "");
        bytes32 later = "later";
        vm.expectPartialRevert(EventLog.LogForked.selector);
        vm.prank(publisher.addr);
        eventLog.publish(logId, size + 1, later, none);

        _settle(before);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE, "an anchored statement pays");
        vm.warp(terms.deadline + terms.grace + 1);
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    /// The tree that continues as the shown one up to `size`, and then with another entry.
    function _burying(uint64 size) private returns (TestTree burying) {
        burying = new TestTree(1);
        for (uint256 i = 0; i < 9; ++i) {
            burying.append(abi.encode("entry", i, i, i, i, i));
        }
        // The statement of the contract, which the fixture appends as the eleventh entry.
        burying.append(abi.encode(_settlement(_contractId(_terms()), 5 * PRICE, 0)));
        assertEq(burying.root(size), tree.root(size));
        burying.append(abi.encode("nothing was earned", 0, 0, 0, 0, 0));
    }

    // ------------------------------------------------------------ what follows

    function test_nothingIsAnchoredAfterIt_andWhatIsAnchoredStays() public {
        bytes32 three = tree.root(3);
        _anchor(3, three);
        bytes32 root = tree.root(8);
        bytes32[] memory proof = tree.consistencyProof(3, 8);
        bytes memory signature = _sign(publisher, _checkpointDigest(logId, 8, root));
        _fork();

        bytes memory reason =
            abi.encodeWithSelector(EventLog.LogForked.selector, logId, uint64(START));
        skip(1 days);
        vm.expectRevert(reason);
        vm.prank(publisher.addr);
        eventLog.publish(logId, 8, root, proof);
        vm.expectRevert(reason);
        eventLog.publish(logId, 8, root, proof, signature);

        (uint64 size, bytes32 last, uint64 publishedAt) = eventLog.latest(logId);
        assertEq(size, 3);
        assertEq(last, three);
        assertEq(publishedAt, START);
        eventLog.verifyInclusion(
            logId, 3, 2, abi.encode("entry", 1, 1, 1, 1, 1), tree.inclusionProof(2, 3)
        );
    }

    function test_itIsMarkedOnce() public {
        _fork();
        skip(1);
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        (bytes memory byA, bytes memory byB) = (_signed(publisher, a), _signed(publisher, b));
        vm.expectRevert(abi.encodeWithSelector(EventLog.LogForked.selector, logId, uint64(START)));
        eventLog.reportFork(logId, SIZE, a, byA, b, byB);
        assertEq(eventLog.forkedAt(logId), START);
    }

    function test_noHandoverEndsIt() public {
        _fork();
        _handOver(publisher, next);
        assertEq(eventLog.forkedAt(logId), START);
        vm.expectPartialRevert(EventLog.LogForked.selector);
        vm.prank(next.addr);
        eventLog.publish(logId, 1, "root", none);
    }

    function test_otherLogsOfThePublisherGoOn() public {
        bytes32 another = eventLog.register("another", publisher.addr);
        _fork();
        assertEq(eventLog.forkedAt(another), 0);
        vm.prank(publisher.addr);
        eventLog.publish(another, 1, "root", none);
    }

    // ------------------------------------------------------------ what is none

    function test_revertIf_theRootsAreTheSame() public {
        bytes32 a = tree.root(SIZE);
        bytes memory byA = _signed(publisher, a);
        vm.expectRevert(abi.encodeWithSelector(EventLog.SameRoot.selector, a));
        eventLog.reportFork(logId, SIZE, a, byA, a, byA);
    }

    /// Where nothing is anchored the stored root is zero: it is no root that anybody has stated.
    function test_revertIf_aRootIsZero() public {
        bytes32 a = tree.root(SIZE);
        bytes memory byA = _signed(publisher, a);
        vm.expectRevert(EventLog.ZeroRoot.selector);
        eventLog.reportFork(logId, SIZE, a, byA, 0, "");
        vm.expectRevert(EventLog.ZeroRoot.selector);
        eventLog.reportFork(logId, SIZE, 0, "", a, byA);
        assertEq(eventLog.forkedAt(logId), 0);
    }

    function test_revertIf_theLogIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(EventLog.UnknownLog.selector, bytes32("?")));
        eventLog.reportFork("?", 1, "a", "", "b", "");
    }

    /// A growing log is no fork: two sizes have two roots.
    function test_revertIf_theSignatureIsOfAnotherSize() public {
        (bytes32 a, bytes32 b) = (tree.root(SIZE), tree.root(SIZE + 1));
        bytes memory byA = _signed(publisher, a);
        bytes memory byB = _sign(publisher, _checkpointDigest(logId, SIZE + 1, b));
        _expectUnsigned(SIZE, a, byA, b, byB, b);
        _expectUnsigned(SIZE + 1, a, byA, b, byB, a);
        _anchor(SIZE, a);
        _expectUnsigned(SIZE, a, "", b, byB, b);
    }

    function test_revertIf_theSignatureIsNotForThisLogAndChain() public {
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        bytes32 another = eventLog.register("another", publisher.addr);
        bytes memory byA = _signed(publisher, a);
        bytes memory elsewhere = _sign(publisher, _checkpointDigest(another, SIZE, b));
        _expectUnsigned(SIZE, a, byA, b, elsewhere, b);

        vm.chainId(10001);
        elsewhere = _signed(publisher, b);
        vm.chainId(31337);
        _expectUnsigned(SIZE, a, byA, b, elsewhere, b);
    }

    /// Every pair of signers: both roots must be the publisher's.
    function testFuzz_onlyThePublisherForksItsLog(uint8 first, uint8 second, bool anchored) public {
        Account[4] memory signers = [publisher, verifier, next, makeAccount("stranger's key")];
        (uint256 one, uint256 two) = (first % 4, second % 4);
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        (bytes memory byA, bytes memory byB) = (_signed(signers[one], a), _signed(signers[two], b));
        if (anchored) _anchor(SIZE, a);
        bool isFork = (one == 0 || anchored) && two == 0;
        if (!isFork) vm.expectPartialRevert(EventLog.NotSignedByPublisher.selector);
        eventLog.reportFork(logId, SIZE, a, byA, b, byB);
        assertEq(eventLog.forkedAt(logId) != 0, isFork);
    }

    function test_aWalletThatWithdrawsItsSignatureIsNotReported() public {
        Wallet wallet = new Wallet(publisher.addr);
        logId = eventLog.register("wallet", address(wallet));
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        (bytes memory byA, bytes memory byB) = (_signed(publisher, a), _signed(publisher, b));
        wallet.setMode(Wallet.Mode.Refuses);
        _expectUnsigned(SIZE, a, byA, b, byB, a);
        wallet.setMode(Wallet.Mode.Honest);
        eventLog.reportFork(logId, SIZE, a, byA, b, byB);
        assertEq(eventLog.forkedAt(logId), START);
    }

    /// The limit: what contradicts in two sizes, only a reader of both trees can tell.
    function test_limit_twoHistoriesInTwoSizesAreNotReported() public {
        bytes32 shown = tree.root(SIZE);
        bytes memory byA = _signed(publisher, shown);
        bytes32 buried = other.root(SIZE + 1);
        _anchor(SIZE + 1, buried);
        _expectUnsigned(SIZE + 1, shown, byA, buried, "", shown);
        _expectUnsigned(SIZE, shown, byA, buried, "", buried);
    }

    // ------------------------------------------------------------ hand-over

    /// Which keys' pairs of signatures fork the log, within the old key's time and after it.
    function test_bothKeysAnswerWithinTheHandover() public {
        _handOver(publisher, next);
        vm.warp(START + 7 days);
        Account[2] memory keys = [publisher, next];
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory byA = _signed(keys[i / 2], a);
            bytes memory byB = _signed(keys[i % 2], b);
            eventLog.reportFork(logId, SIZE, a, byA, b, byB);
            assertEq(eventLog.forkedAt(logId), block.timestamp);
            vm.revertToState(snapshot);
        }
    }

    function test_afterwardsTheOldKeyForksNothing() public {
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        _anchor(SIZE, a); // its own, of old
        bytes memory byB = _signed(publisher, b);
        _handOver(publisher, next);
        vm.warp(START + 7 days + 1);
        bytes32 six = tree.root(6);
        bytes32[] memory proof = tree.consistencyProof(SIZE, 6);
        vm.prank(next.addr);
        eventLog.publish(logId, 6, six, proof);

        // Neither against its own anchor, nor against its successor's, nor beside its signature,
        // nor by two signatures of its own.
        _expectUnsigned(SIZE, a, "", b, byB, b);
        _expectUnsigned(6, six, "", "six", _signedAt(publisher, 6, "six"), "six");
        bytes memory byX = _signedAt(publisher, 7, "x");
        _expectUnsigned(7, "x", byX, "y", _signedAt(next, 7, "y"), "x");
        _expectUnsigned(7, "x", byX, "y", _signedAt(publisher, 7, "y"), "x");
        assertEq(eventLog.forkedAt(logId), 0);

        // The successor answers for itself, also against what the old key has anchored.
        eventLog.reportFork(logId, SIZE, a, "", b, _signed(next, b));
        assertEq(eventLog.forkedAt(logId), block.timestamp);
    }

    function test_aKeyToWhichTheLogReturnsAnswersForAllThatItSigned() public {
        bytes32 a = tree.root(SIZE);
        bytes memory old = _signed(publisher, a);
        _handOver(publisher, next);
        skip(8 days);
        bytes32 b = other.root(SIZE);
        vm.prank(next.addr);
        eventLog.publish(logId, SIZE, b, none);
        _expectUnsigned(SIZE, a, old, b, "", a);
        _handOver(next, publisher);
        eventLog.reportFork(logId, SIZE, a, old, b, "");
        assertEq(eventLog.forkedAt(logId), block.timestamp);
    }

    // ------------------------------------------------------------ helpers

    function _fork() private {
        (bytes32 a, bytes32 b) = (tree.root(SIZE), other.root(SIZE));
        eventLog.reportFork(logId, SIZE, a, _signed(publisher, a), b, _signed(publisher, b));
    }

    function _anchor(uint64 size, bytes32 root) private {
        vm.prank(publisher.addr);
        eventLog.publish(logId, size, root, none);
    }

    /// The signature over this root, of SIZE entries.
    function _signed(Account memory signer, bytes32 root) private view returns (bytes memory) {
        return _signedAt(signer, SIZE, root);
    }

    function _signedAt(Account memory signer, uint64 size, bytes32 root)
        private
        view
        returns (bytes memory)
    {
        return _sign(signer, _checkpointDigest(logId, size, root));
    }

    function _handOver(Account memory from, Account memory to) private {
        vm.prank(from.addr);
        eventLog.offerPublisher(logId, to.addr);
        vm.prank(to.addr);
        eventLog.acceptPublisher(logId);
    }

    function _expectUnsigned(
        uint64 size,
        bytes32 a,
        bytes memory byA,
        bytes32 b,
        bytes memory byB,
        bytes32 unsigned
    ) private {
        bytes32 digest = _checkpointDigest(logId, size, unsigned);
        vm.expectRevert(
            abi.encodeWithSelector(EventLog.NotSignedByPublisher.selector, logId, digest)
        );
        eventLog.reportFork(logId, size, a, byA, b, byB);
    }
}
