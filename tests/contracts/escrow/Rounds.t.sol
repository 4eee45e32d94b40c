// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RoundFixture} from "../support/RoundFixture.sol";
import {TestTree} from "../support/TestTree.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Rounds} from "contracts/escrow/Rounds.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Entry, MerkleLog} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

contract RoundsTest is RoundFixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _terms();
        id = _open(terms);
    }

    function test_oneTransactionAnchorsAndSettlesSeveralGroups() public {
        Terms memory free = _terms();
        (free.feeBps, free.feeRecipient) = (0, address(0));
        bytes32 freeId = _open(free);
        Entry memory one = _settlement(id, 5 * PRICE, 0);
        Entry memory two = _settlement(freeId, 3 * PRICE, 0);
        uint64 first = _append(one);
        _append(two);
        Rounds.Run[] memory runs = new Rounds.Run[](2);
        runs[0] = _run(terms, first, abi.encode(one));
        runs[1] = _run(free, first + 1, abi.encode(two));
        Rounds.Checkpoint memory checkpoint = _checkpoint();

        vm.expectEmit(address(eventLog));
        emit EventLog.Published(logId, checkpoint.size, checkpoint.root);
        vm.prank(stranger);
        rounds.settle(checkpoint, runs);

        assertEq(eventLog.rootAt(logId, checkpoint.size), checkpoint.root);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        assertEq(lens.paidOf(_t(freeId)), 3 * PRICE);
        assertEq(token.balanceOf(address(rounds)), 0);
    }

    /// Whoever was faster with the anchor does not stop the payouts.
    function test_aRootThatIsAnchoredAlreadyIsNotAnchoredAgain() public {
        (Rounds.Checkpoint memory checkpoint, Rounds.Run[] memory runs) = _round(5 * PRICE);
        eventLog.publish(
            logId, checkpoint.size, checkpoint.root, checkpoint.proof, checkpoint.signature
        );
        checkpoint.signature = ""; // nor is its signature needed
        rounds.settle(checkpoint, runs);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        // Bringing it all again pays nothing.
        rounds.settle(checkpoint, runs);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
    }

    function test_aRoundOfNoRunsIsAnAnchor() public {
        _append(_settlement(id, PRICE, 0));
        Rounds.Checkpoint memory checkpoint = _checkpoint();
        rounds.settle(checkpoint, new Rounds.Run[](0));
        assertEq(eventLog.rootAt(logId, checkpoint.size), checkpoint.root);
    }

    function test_aRefusedEntryStopsNoOther() public {
        Entry memory one = _settlement("unknown", PRICE, 0);
        Entry memory two = _settlement(id, 5 * PRICE, 0);
        uint64 first = _append(one);
        _append(two);
        Rounds.Run[] memory runs = new Rounds.Run[](1);
        runs[0] = _run(terms, first, bytes.concat(abi.encode(one), abi.encode(two)));
        Rounds.Checkpoint memory checkpoint = _checkpoint();
        vm.expectEmit(address(escrow));
        emit Settlements.Refused("unknown", first, "unknown_contract");
        rounds.settle(checkpoint, runs);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
    }

    // ------------------------------------------------------------ all or nothing

    function test_revertIf_thePublisherHasNotSigned() public {
        (Rounds.Checkpoint memory checkpoint, Rounds.Run[] memory runs) = _round(5 * PRICE);
        checkpoint.signature =
            _sign(verifier, _checkpointDigest(logId, checkpoint.size, checkpoint.root));
        vm.expectPartialRevert(EventLog.NotSignedByPublisher.selector);
        rounds.settle(checkpoint, runs);
    }

    function test_revertIf_theVerifierHasNotSigned() public {
        (Rounds.Checkpoint memory checkpoint, Rounds.Run[] memory runs) = _round(5 * PRICE);
        runs[0].signature = _sign(publisher, keccak256("anything"));
        vm.expectPartialRevert(Vault.NotSigned.selector);
        rounds.settle(checkpoint, runs);
        assertEq(eventLog.rootAt(logId, checkpoint.size), 0, "the anchor is undone as well");
    }

    function test_revertIf_aLaterCheckpointIsAnchored() public {
        (Rounds.Checkpoint memory checkpoint, Rounds.Run[] memory runs) = _round(5 * PRICE);
        _append(_settlement("another", PRICE, 0));
        _publish();
        vm.expectPartialRevert(MerkleLog.SizeDoesNotGrow.selector);
        rounds.settle(checkpoint, runs);
        // Under the later one the verifier signs again.
        runs[0] = _run(terms, runs[0].first, runs[0].entries);
        rounds.settle(_anchored(), runs);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
    }

    /// Of this size another root is anchored, be it larger or smaller.
    function test_revertIf_anotherRootIsAnchored() public {
        (Rounds.Checkpoint memory checkpoint,) = _round(5 * PRICE);
        rounds.settle(checkpoint, new Rounds.Run[](0));
        bytes32 anchored = checkpoint.root;
        checkpoint.root = bytes32(uint256(anchored) - 1);
        vm.expectPartialRevert(EventLog.NotSignedByPublisher.selector);
        rounds.settle(checkpoint, new Rounds.Run[](0));
        checkpoint.root = bytes32(uint256(anchored) + 1);
        vm.expectPartialRevert(EventLog.NotSignedByPublisher.selector);
        rounds.settle(checkpoint, new Rounds.Run[](0));
    }

    /// What a verifier signed before the anchor is worthless under another root of that size: after
    /// a reorganization, or where the publisher tells the chain another history.
    function test_revertIf_theVerifierSignedAnotherRoot() public {
        (Rounds.Checkpoint memory checkpoint, Rounds.Run[] memory runs) = _round(5 * PRICE);
        tree = new TestTree(0);
        for (uint256 i = 0; i + 1 < checkpoint.size; ++i) {
            tree.append(abi.encode("another history", i, i, i, i, i));
        }
        assertEq(_append(_settlement(id, 5 * PRICE, 0)), runs[0].first);
        bytes memory signed = runs[0].signature;
        checkpoint = _checkpoint();
        runs[0] = _run(terms, runs[0].first, runs[0].entries);
        bytes memory again = runs[0].signature;
        runs[0].signature = signed;
        vm.expectPartialRevert(Vault.NotSigned.selector);
        rounds.settle(checkpoint, runs);
        runs[0].signature = again; // and nothing else is wrong
        rounds.settle(checkpoint, runs);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
    }

    function test_aForkedLogIsNotAnchored_butSettles() public {
        (Rounds.Checkpoint memory before, Rounds.Run[] memory runs) = _round(5 * PRICE);
        rounds.settle(before, new Rounds.Run[](0));
        eventLog.reportFork(
            logId,
            before.size,
            before.root,
            "",
            "another",
            _sign(publisher, _checkpointDigest(logId, before.size, "another"))
        );
        rounds.settle(before, runs);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);

        (Rounds.Checkpoint memory later, Rounds.Run[] memory more) = _round(9 * PRICE);
        vm.expectPartialRevert(EventLog.LogForked.selector);
        rounds.settle(later, more);
    }

    // ------------------------------------------------------------ itself

    function test_itReadsTheEscrowsEventLog() public view {
        assertEq(address(rounds.escrow()), address(escrow));
        assertEq(address(rounds.eventLog()), address(eventLog));
    }

    function test_theEscrowIsAContract() public {
        vm.expectRevert(abi.encodeWithSelector(Rounds.NotAContract.selector, stranger));
        this.deploy(OutcomeEscrow(stranger), eventLog);
    }

    function test_theEventLogIsTheEscrows() public {
        EventLog another = new EventLog();
        vm.expectRevert(
            abi.encodeWithSelector(
                Rounds.OtherEventLog.selector, address(eventLog), address(another)
            )
        );
        this.deploy(escrow, another);
    }

    /// In a call of its own, whose revert is expected wherever forge makes contracts by a cheatcode.
    function deploy(OutcomeEscrow escrow_, EventLog eventLog_) external returns (Rounds) {
        return new Rounds(escrow_, eventLog_);
    }

    /// A new statement of this contract, and the round that settles it.
    function _round(uint256 earned)
        private
        returns (Rounds.Checkpoint memory checkpoint, Rounds.Run[] memory runs)
    {
        Entry memory entry = _settlement(id, earned, 0);
        uint64 first = _append(entry);
        checkpoint = _checkpoint();
        runs = new Rounds.Run[](1);
        runs[0] = _run(terms, first, abi.encode(entry));
    }
}
