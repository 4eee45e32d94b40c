// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A statement waits and then becomes final without a call: to the second, and in every function.
contract ChallengeTest is GuardedFixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _guarded();
        id = _open(terms);
    }

    // ------------------------------------------------------------ pending

    function test_aStatementWaits() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, PRICE)));
        vm.expectEmit(address(escrow));
        emit Settlements.Settled(id, _told(5 * PRICE, PRICE, batch.first));
        vm.expectEmit(address(escrow));
        emit Settlements.Pending(id, batch.first, START + CHALLENGE);
        _settle(batch);
        _assertPending(batch.first, 5 * PRICE, PRICE);
    }

    function test_itIsFinalOneSecondAfterItsChallengePeriod() public {
        uint64 position = _state(terms, 5 * PRICE, 0);
        vm.warp(START + CHALLENGE);
        _assertPending(position, 5 * PRICE, 0);
        assertEq(lens.releasableAt(_t(id)), START + CHALLENGE + 1);
        vm.warp(START + CHALLENGE + 1);
        _assertFinal(position, 5 * PRICE);
        assertEq(lens.owed(_t(id)), 5 * PRICE);
        assertEq(lens.releasable(_t(id)), 5 * PRICE);
        assertEq(lens.releasableAt(_t(id)), block.timestamp);
    }

    function test_releaseMakesItFinalAndPays() public {
        uint64 position = _state(terms, 5 * PRICE, 0);
        vm.warp(START + CHALLENGE);
        assertEq(_release(id), 0, "not yet");
        skip(100 days);
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, position, 5 * PRICE, START + CHALLENGE);
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, 5 * PRICE * 975 / 1000, 5 * PRICE * 25 / 1000);
        vm.prank(stranger);
        escrow.release(_t(id));
        assertEq(token.balanceOf(payee), 5 * PRICE * 975 / 1000);
        assertEq(escrow.creditOf(address(token), feeRecipient), 5 * PRICE * 25 / 1000);
        _assertFinal(position, 5 * PRICE);
        assertEq(lens.owed(_t(id)), 0);
        assertEq(lens.releasableAt(_t(id)), 0);

        vm.recordLogs();
        escrow.release(_t(id));
        assertEq(vm.getRecordedLogs().length, 0, "nothing is due, nothing happens");
    }

    function test_releaseOfAPlainContractDoesNothing() public {
        Terms memory plain = _terms();
        bytes32 plainId = _open(plain);
        _settleTotals(plain, 2 * PRICE, 0);
        vm.recordLogs();
        escrow.release(_t(plainId));
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(lens.netOf(_t(plainId)), 2 * PRICE);
        assertEq(lens.owed(_t(plainId)), 0);
        assertEq(lens.releasableAt(_t(plainId)), 0);
    }

    function test_theNextStatementMakesItFinalAndPaysIt() public {
        uint64 first = _state(terms, 5 * PRICE, 0);
        vm.warp(START + CHALLENGE + 1);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 9 * PRICE, 0)));
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, first, 5 * PRICE, START + CHALLENGE);
        vm.expectEmit(address(escrow));
        emit Settlements.Settled(id, _told(9 * PRICE, 0, batch.first));
        vm.expectEmit(address(escrow));
        emit Settlements.Pending(id, batch.first, START + 2 * CHALLENGE + 1);
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, 5 * PRICE * 975 / 1000, 5 * PRICE * 25 / 1000);
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        assertEq(_lastFinal(id), first);
        assertEq(_lastSigned(id), batch.first);
        assertEq(_pending(id).earned, 9 * PRICE);
    }

    /// A refused statement still pays what the one before it has made due.
    function test_aRefusedOnePaysWhatIsDue() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        _settle(batch);
        vm.warp(START + CHALLENGE + 1);
        assertEq(_settleForReason(batch), "already_settled");
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
    }

    function test_disputeComesTooLateForAFinalOne() public {
        _state(terms, 5 * PRICE, 0);
        vm.warp(START + CHALLENGE + 1);
        vm.expectRevert(_notPending(lastStated, 0));
        _dispute(owner.addr, id);
    }

    function test_aRulingComesTooLateForAFinalOne() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        vm.warp(START + CHALLENGE + ARBITRATION + 1);
        vm.expectRevert(_notPending(lastStated, 0));
        _rule(id, 0);
    }

    function test_aFinalOneCannotBeDisproved() public {
        uint64 position = _state(terms, 5 * PRICE, 0);
        vm.warp(START + CHALLENGE + 1);
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, position, 5 * PRICE, START + CHALLENGE);
        vm.expectEmit(address(escrow));
        emit Disputes.Disproved(id, "sum");
        _retire(id);
        _assertFinal(position, 5 * PRICE);
        assertEq(_release(id), 5 * PRICE);
    }

    function test_refundMakesItFinal() public {
        vm.warp(_t2(terms));
        uint64 position = _state(terms, 5 * PRICE, 0);
        skip(CHALLENGE + 1);
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, position, 5 * PRICE, _t2(terms) + CHALLENGE);
        vm.expectEmit(address(escrow));
        emit Payments.Refunded(id, owner.addr, BUDGET - 5 * PRICE);
        escrow.refund(_t(id));
        assertEq(_release(id), 5 * PRICE);
    }

    // ------------------------------------------------------------ one at a time

    function test_oneAtATime() public {
        Batch memory before = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        uint64 position = _state(terms, 5 * PRICE, 0);
        uint64 late = _refused(terms, 6 * PRICE, 0, "pending");
        assertEq(_settleForReason(before), "pending");
        _assertPending(position, 5 * PRICE, 0);
        vm.warp(START + CHALLENGE + 1);
        // One between is covered by now, the one above is not.
        assertEq(_settleForReason(before), "already_settled");
        assertEq(_lastFinal(id), position);
        assertLt(position, late);
        _state(terms, 6 * PRICE, 0);
    }

    function test_aReplayOfThePendingOneChangesNothing() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        assertEq(_settleForReason(batch), 0);
        skip(CHALLENGE / 2);
        assertEq(_settleForReason(batch), "pending");
        assertEq(_pending(id).resolvesAt, START + CHALLENGE, "its time does not begin anew");
    }

    function test_twoOfABatchAreOneTooMany() public {
        _settle(
            _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0), _settlement(id, 2 * PRICE, 0)))
        );
        assertEq(_pending(id).earned, PRICE);
    }

    /// Plain and guarded contracts of one group settle together, and each keeps to its own rules.
    function test_plainOnesAreNotHeldUp() public {
        Terms memory plain = _terms();
        bytes32 plainId = _open(plain);
        _settle(
            _batch(
                _groupOf(terms), _list(_settlement(id, PRICE, 0), _settlement(plainId, PRICE, 0))
            )
        );
        assertEq(lens.paidOf(_t(id)), 0);
        assertEq(lens.paidOf(_t(plainId)), PRICE);
        assertEq(_lastSigned(plainId), _lastFinal(plainId));
    }

    /// A holder of an older signed statement can bring it in the way of the last one, if the last
    /// one comes with less than a challenge period to go. So a verifier signs a statement only when
    /// none is pending or about, and brings it at once.
    function test_anOldStatementCanCrowdOutTheLast() public {
        vm.warp(_t2(terms) - CHALLENGE);
        Batch memory old = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        Batch memory last = _batch(_groupOf(terms), _list(_settlement(id, 9 * PRICE, 0)));
        _settle(old);
        assertEq(_settleForReason(last), "pending");
        skip(CHALLENGE);
        assertEq(_settleForReason(last), "pending", "T2");
        skip(1);
        assertEq(_settleForReason(last), "ended");
        assertEq(lens.netOf(_t(id)), PRICE);
    }

    // ------------------------------------------------------------ what a statement may say

    function test_totalsNeverFall() public {
        _stateFinal(terms, 5 * PRICE, 2 * PRICE);
        _refused(terms, 4 * PRICE, 2 * PRICE, "earned_fell");
        _refused(terms, 5 * PRICE, PRICE, "reversed_fell");
        _refused(terms, 6 * PRICE, PRICE, "reversed_fell");
        _state(terms, 5 * PRICE, 2 * PRICE);
    }

    function test_theStatedNetIsWithinTheBudget() public {
        _refused(terms, BUDGET + PRICE, 0, "over_budget");
        uint256 snapshot = vm.snapshotState();
        vm.warp(_t2(terms)); // and to the last second
        _refused(terms, BUDGET + PRICE, 0, "over_budget");
        vm.revertToState(snapshot);
        _stateFinal(terms, BUDGET + PRICE, PRICE);
        assertEq(_release(id), BUDGET);
        assertEq(lens.statusOf(_t(id)), "paid_out");
    }

    function test_refusedForTheSameReasonsAsPlainOnes() public {
        _refused(terms, PRICE + 1, 0, "wrong_price");
        Entry memory entry = _settlement(id, PRICE, 0);
        entry.value += PRICE;
        assertEq(_settleForReason(_batch(_groupOf(terms), _list(entry))), "wrong_value");
        entry = _settlement(id, PRICE, 0);
        entry.actor = bytes32(uint256(uint160(operator.addr)));
        assertEq(_settleForReason(_batch(_groupOf(terms), _list(entry))), "wrong_actor");
        entry = _settlement(id, PRICE, 0);
        entry.kind = "outcome";
        assertEq(_settleForReason(_batch(_groupOf(terms), _list(entry))), "not_a_settlement");
    }

    /// A payment stays paid, and is netted with later statements.
    function test_aReversalOfWhatWasPaidIsNetted() public {
        _stateFinal(terms, 5 * PRICE, 0);
        _release(id);
        _stateFinal(terms, 5 * PRICE, 2 * PRICE);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
        assertEq(lens.owed(_t(id)), 0);
        assertEq(_release(id), 0);
        _stateFinal(terms, 8 * PRICE, 2 * PRICE);
        assertEq(_release(id), PRICE);
        assertEq(lens.paidOf(_t(id)), 6 * PRICE);
    }

    // ------------------------------------------------------------ after T2

    function test_theLastSecondCounts() public {
        vm.warp(_t2(terms));
        _state(terms, PRICE, 0);
        skip(CHALLENGE + 1);
        assertEq(_release(id), PRICE);
    }

    function test_endedOneSecondLater() public {
        vm.warp(_t2(terms) + 1);
        _refused(terms, PRICE, 0, "ended");
        _refused(terms, 0, 0, "ended");
    }

    /// Without a holdback period nothing is taken back after the end.
    function test_endedForReversalsToo() public {
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t2(terms) + 1);
        _refused(terms, 5 * PRICE, PRICE, "ended");
    }

    function test_reversalsMayFollowForTheHoldbackPeriod() public {
        terms.holdbackPeriod = 10 days;
        id = _open(terms);
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t2(terms));
        _stateFinal(terms, 6 * PRICE, PRICE);
        // After T2: what was earned is what the last final statement says.
        _refused(terms, 7 * PRICE, 2 * PRICE, "ended");
        _refused(terms, 6 * PRICE, PRICE, "ended");
        _refused(terms, 5 * PRICE, 2 * PRICE, "earned_fell");
        _refused(terms, 6 * PRICE, 0, "reversed_fell");
        uint64 position = _state(terms, 6 * PRICE, 2 * PRICE);
        skip(CHALLENGE + 1);
        _assertFinal(position, 4 * PRICE);

        vm.warp(_t2(terms) + terms.holdbackPeriod);
        position = _state(terms, 6 * PRICE, 6 * PRICE);
        skip(CHALLENGE + 1);
        _assertFinal(position, 0);
        _refused(terms, 6 * PRICE, 6 * PRICE, "ended");
    }

    function test_reversalsEndOneSecondLater() public {
        terms.holdbackPeriod = 10 days;
        id = _open(terms);
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t2(terms) + terms.holdbackPeriod + 1);
        _refused(terms, 5 * PRICE, PRICE, "ended");
    }

    /// A statement that waits past T2 is the last final one for the reversals that follow.
    function test_aReversalFollowsTheStatementThatWaitedPastTheEnd() public {
        terms.holdbackPeriod = 10 days;
        id = _open(terms);
        vm.warp(_t2(terms));
        _state(terms, 5 * PRICE, 0);
        skip(CHALLENGE);
        _refused(terms, 5 * PRICE, PRICE, "pending");
        skip(1);
        _state(terms, 5 * PRICE, PRICE);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE, "paid when the next was stated");
    }

    // ------------------------------------------------------------ no challenge period

    function test_withoutAChallengePeriodItIsFinalAtOnce() public {
        terms.challengePeriod = 0;
        (terms.rateCap, terms.ratePeriod) = (8 * PRICE, 1 days);
        id = _open(terms);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        vm.expectEmit(address(escrow));
        emit Settlements.Settled(id, _told(5 * PRICE, 0, batch.first));
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, batch.first, 5 * PRICE, START);
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, 4 * PRICE * 975 / 1000, 4 * PRICE * 25 / 1000);
        _settle(batch);
        _assertFinal(batch.first, 5 * PRICE);
        assertEq(lens.owed(_t(id)), PRICE);
    }

    function test_withoutAChallengePeriodManyFollowInOneSecond() public {
        terms.challengePeriod = 0;
        terms.holdbackPeriod = 1;
        id = _open(terms);
        Entry[] memory entries = new Entry[](4);
        for (uint256 i = 0; i < 4; ++i) {
            entries[i] = _settlement(id, (i + 2) * PRICE, i * PRICE);
        }
        _settle(_batch(_groupOf(terms), entries));
        assertEq(lens.paidOf(_t(id)), 2 * PRICE);
        assertEq(lens.netOf(_t(id)), 2 * PRICE);
    }

    function test_withoutAChallengePeriodThereIsNothingToDispute() public {
        terms.challengePeriod = 0;
        terms.holdbackPeriod = 1;
        id = _open(terms);
        _state(terms, PRICE, 0);
        vm.expectRevert(_notPending(lastStated, 0));
        _dispute(owner.addr, id);
    }

    // ------------------------------------------------------------ helpers

    /// `position` waits, and nothing else has changed.
    function _assertPending(uint64 position, uint256 earned, uint256 reversed) private view {
        Waiting memory waiting = _pending(id);
        assertEq(waiting.position, position);
        assertEq(waiting.earned, earned);
        assertEq(waiting.reversed, reversed);
        assertEq(waiting.resolvesAt, START + CHALLENGE);
        assertFalse(waiting.ownerDisputed || waiting.operatorDisputed);
        assertEq(_lastSigned(id), position);
        assertEq(_lastFinal(id), 0);
        assertEq(lens.netOf(_t(id)), 0);
        assertEq(lens.owed(_t(id)), 0);
        assertEq(lens.releasable(_t(id)), 0);
        assertEq(lens.releasableAt(_t(id)), START + CHALLENGE + 1);
        assertEq(lens.paidOf(_t(id)), 0);
        assertEq(token.balanceOf(payee), 0);
    }

    /// `position` is the last final statement, and nothing waits.
    function _assertFinal(uint64 position, uint256 net) private view {
        assertEq(_pending(id).position, 0);
        assertEq(_pending(id).resolvesAt, 0);
        assertEq(_lastFinal(id), position);
        assertEq(_lastSigned(id), position);
        assertEq(lens.netOf(_t(id)), net);
    }
}
