// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../helpers/Fixture.sol";
import {LogBook} from "./LogBook.sol";
import {Evidence} from "contracts/Evidence.sol";
import {OutcomeEscrow} from "contracts/OutcomeEscrow.sol";
import {Exhibit} from "contracts/libraries/Case.sol";
import {Entry} from "contracts/libraries/MerkleLog.sol";
import {Terms} from "contracts/libraries/Terms.sol";

/// A verifier and a publisher write a lie together and settle it in the real escrow; a stranger who
/// has nothing but the log shows it.
contract EndToEndTest is Fixture, LogBook {
    uint256 private constant KINDS = 7;

    Account private bob = makeAccount("bob");
    Evidence private evidence;
    bytes32 private mine;
    bytes32 private rival;

    function setUp() public override {
        super.setUp();
        evidence = Evidence(escrow.evidence());
        (book, base) = (tree, 1);
    }

    function _deal() internal view override returns (Terms memory) {
        return _terms();
    }

    function _termsOf(bytes32 id) internal view override returns (Terms memory) {
        return escrow.termsOf(id);
    }

    /// A contract of the operator, and before it the same deal with bob.
    function _begin(Terms memory terms) private {
        Terms memory his = abi.decode(abi.encode(terms), (Terms)); // a copy
        his.operator = bob.addr;
        rival = _enter(his, bob);
        mine = _enter(terms, operator);
    }

    function _enter(Terms memory terms, Account memory party) private returns (bytes32 id) {
        id = _contractId(terms);
        escrow.open(terms, _sign(owner, id), _sign(party, id));
        Entry memory entry;
        entry.kind = "contract.opened";
        entry.surface = terms.surface;
        entry.actor = _word(terms.owner);
        entry.subject = id;
        entry.label = terms.outcome;
        entry.value = terms.budget;
        entry.timeMs = _ms(0);
        _write(entry);
    }

    /// The verifier's statement on all there is of my contract, all the way to the escrow.
    function _state() private returns (uint256 index) {
        return _state(_settlementEntry(mine));
    }

    function _state(Entry memory statement) private returns (uint256 index) {
        index = _write(statement);
        Batch memory batch;
        batch.group = _groupOf(escrow.termsOf(mine));
        batch.first = uint64(index);
        batch.entries = abi.encode(statement);
        batch.size = _publish();
        batch.proof = tree.runProof(index, 1, batch.size);
        batch.signature = _sign(verifier, _verifiedDigest(batch));
        _settle(batch);
    }

    /// Writes the lie of this kind and has it settled. What shows it.
    function _lie(uint256 number) private returns (bytes32 kind, uint256[] memory shown) {
        if (number == 0) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 first = _outcome(mine, _transition(200), touch);
            uint256 again = _outcome(mine, _transition(300), touch);
            (kind, shown) = ("duplicate", _show(again, first));
        } else if (number == 1) {
            uint256 touch = _touch(operator.addr, 100);
            Entry memory entered = _transitionEntry(LEAD, 200);
            entered.label = "trial";
            uint256 transition = _write(entered);
            uint256 outcome = _outcome(mine, transition, touch);
            (kind, shown) = ("transition", _show(outcome, transition));
        } else if (number == 2) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 outcome = _outcome(mine, _transition(7 days + 101), touch);
            (kind, shown) = ("touch", _show(outcome, touch));
        } else if (number == 3) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 last = _touch(operator.addr, 200);
            uint256 outcome = _outcome(mine, _transition(300), touch);
            (kind, shown) = ("touch_order", _show(outcome, last));
        } else if (number == 4) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 his = _touch(bob.addr, 200);
            uint256 transition = _transition(300);
            uint256 outcome = _outcome(mine, transition, touch);
            (kind, shown) = ("rival", _show(outcome, his, 1, transition));
        } else if (number == 5) {
            uint256 outcome = _outcome(mine, _transition(300), _touch(operator.addr, 100));
            outcomes[mine].sum *= 10;
            (kind, shown) = ("sum", _show(_state(), outcome));
            return (kind, shown);
        } else {
            uint256 touch = _touch(operator.addr, 100);
            uint256 taken = _outcome(mine, _transition(200), touch);
            _outcome(
                mine,
                _write(_transitionEntry(OTHER_LEAD, 300)),
                _write(_touchEntry(operator.addr, OTHER_LEAD, 100))
            );
            uint256 reversal = _reversal(mine, taken, _refund(13 days));
            (kind, shown) = ("reversal", _show(reversal, taken));
        }
        _state();
    }

    function _disprove(bytes32 kind, uint256[] memory indexes) private {
        uint64 size = uint64(tree.size());
        Exhibit[] memory shown = _exhibits(indexes);
        vm.prank(stranger);
        evidence.disprove(escrow, mine, kind, size, shown, rival, opening);
    }

    /// A retired verifier's statement is not taken.
    function _assertUnheard() private {
        uint256 index = _state();
        assertLt(escrow.reachOf(mine), index);
    }

    // ------------------------------------------------------------ disproving

    function test_endToEnd_aPendingLieIsVoidAndItsVerifierRetired() public {
        for (uint256 number = 0; number < KINDS; ++number) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            terms.challengePeriod = 2 days;
            _begin(terms);
            (bytes32 kind, uint256[] memory shown) = _lie(number);
            (,, uint64 pending,,,) = escrow.pendingOf(mine);
            assertGt(pending, 0, "nothing to stop");

            vm.warp(START + 2 days - 1);
            vm.expectEmit(address(escrow));
            emit OutcomeEscrow.Disproved(mine, kind);
            _disprove(kind, shown);

            assertTrue(escrow.isRetired(mine));
            (,, pending,,,) = escrow.pendingOf(mine);
            assertEq(pending, 0);
            _assertUnheard();
            vm.warp(terms.deadline + terms.grace + 1);
            escrow.release(mine);
            assertEq(escrow.paidOf(mine), 0);
            uint256 before = token.balanceOf(owner.addr);
            escrow.refund(mine);
            assertEq(token.balanceOf(owner.addr), before + BUDGET);
            vm.revertToState(snapshot);
        }
    }

    /// What was paid at once stays paid: the proof costs the verifier the contract, and no more.
    function test_endToEnd_aPaidLieStaysPaidAndItsVerifierRetires() public {
        for (uint256 number = 0; number < KINDS; ++number) {
            uint256 snapshot = vm.snapshotState();
            _begin(_terms());
            (bytes32 kind, uint256[] memory shown) = _lie(number);
            uint256 paid = escrow.paidOf(mine);
            assertGt(paid, 0, "nothing was paid");

            _disprove(kind, shown);
            assertTrue(escrow.isRetired(mine));
            assertEq(escrow.paidOf(mine), paid);
            _assertUnheard();
            assertEq(escrow.paidOf(mine), paid);
            vm.revertToState(snapshot);
        }
    }

    function test_endToEnd_anHonestStatementStands() public {
        Terms memory terms = _terms();
        terms.challengePeriod = 2 days;
        _begin(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        uint256 outcome = _outcome(mine, transition, touch);
        uint256 statement = _state();
        bytes4 none = Evidence.NoContradiction.selector;
        bytes4 beats = Evidence.TouchDoesNotBeat.selector;
        _fails(none, "duplicate", _show(outcome, outcome));
        _fails(none, "transition", _show(outcome, transition));
        _fails(none, "touch", _show(outcome, touch));
        _fails(beats, "touch_order", _show(outcome, touch));
        bytes4 qualifies = Evidence.TouchDoesNotQualify.selector;
        _fails(qualifies, "rival", _show(outcome, touch, 1, transition));
        _fails(none, "sum", _show(statement, outcome));
        _fails(none, "sum", _show(outcome, 1));
        vm.warp(START + 3 days);
        escrow.release(mine);
        assertEq(escrow.paidOf(mine), PRICE);
    }

    function _fails(bytes4 reason, bytes32 kind, uint256[] memory indexes) private {
        uint64 size = uint64(tree.size());
        Exhibit[] memory shown = _exhibits(indexes);
        vm.expectPartialRevert(reason);
        evidence.disprove(escrow, mine, kind, size, shown, rival, opening);
    }

    function test_endToEnd_noStrangerSpeaksForTheEvidence() public {
        _begin(_terms());
        vm.expectPartialRevert(OutcomeEscrow.NotEvidence.selector);
        escrow.retire(mine, "sum");
        Evidence other = new Evidence();
        (bytes32 kind, uint256[] memory indexes) = _lie(0);
        uint64 size = uint64(tree.size());
        Exhibit[] memory shown = _exhibits(indexes);
        vm.expectPartialRevert(OutcomeEscrow.NotEvidence.selector);
        other.disprove(escrow, mine, kind, size, shown, rival, opening);
        assertFalse(escrow.isRetired(mine));
    }

    // ------------------------------------------------------------ claiming

    function _claimable() private returns (Terms memory terms) {
        terms = _terms();
        terms.arbiter = makeAddr("arbiter");
        terms.claimPeriod = 4 days;
        _begin(terms);
    }

    function _claim(uint256 transition, uint256 touch) private returns (bytes32) {
        (uint64 anchored,,) = eventLog.latest(logId);
        uint64 size = anchored == tree.size() ? anchored : _publish();
        (Exhibit memory a, Exhibit memory b) = (_exhibit(transition), _exhibit(touch));
        vm.prank(operator.addr);
        return evidence.claim(escrow, mine, size, a, b);
    }

    function _refute(bytes32 key, bytes32 kind, uint256[] memory indexes) private {
        uint64 size = uint64(tree.size());
        Exhibit[] memory shown = _exhibits(indexes);
        vm.prank(stranger);
        evidence.refute(escrow, mine, key, kind, size, shown, rival, opening);
        assertTrue(escrow.claimOf(mine, key).dropped);
    }

    function test_endToEnd_whatASilentVerifierOwesIsClaimedByProof() public {
        Terms memory terms = _claimable();
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        vm.warp(terms.deadline + terms.grace + 1);
        _claim(transition, touch);
        escrow.release(mine);
        assertEq(escrow.paidOf(mine), 0);
        vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod + 1);
        escrow.release(mine);
        assertEq(escrow.paidOf(mine), PRICE);
    }

    function test_endToEnd_aClaimThatTheLogRefutesIsNotPaid() public {
        for (uint256 number = 0; number < 3; ++number) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _claimable();
            uint256 touch = _touch(operator.addr, 100);
            uint256 better = _touch(number == 1 ? operator.addr : bob.addr, 150);
            uint256 transition = _transition(200);
            uint256[] memory shown;
            if (number == 0) {
                shown = _show(_outcome(mine, transition, touch));
                _state();
            }
            if (number == 1) shown = _show(better);
            if (number == 2) shown = _show(better, 1, transition);
            uint256 paid = escrow.paidOf(mine);

            vm.warp(terms.deadline + terms.grace + 1);
            bytes32[3] memory kinds = [bytes32("answered"), "touch_order", "rival"];
            _refute(_claim(transition, touch), kinds[number], shown);
            vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod + 1);
            escrow.release(mine);
            assertEq(escrow.paidOf(mine), paid);
            vm.revertToState(snapshot);
        }
    }
}
