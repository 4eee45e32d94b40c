// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Statements} from "contracts/escrow/Statements.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A party disputes a statement; the arbiter rules, lies or is silent.
contract DisputeTest is GuardedFixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _guarded();
        terms.holdbackPeriod = 10 days; // no share is held back
        id = _open(terms);
    }

    // ------------------------------------------------------------ dispute

    function test_disputeGivesTheArbiterItsTime() public {
        _state(terms, 5 * PRICE, 0);
        vm.expectEmit(address(escrow));
        emit Disputes.Disputed(id, owner.addr, START + CHALLENGE + ARBITRATION);
        _dispute(owner.addr, id);
        Waiting memory waiting = _pending(id);
        assertTrue(waiting.ownerDisputed);
        assertFalse(waiting.operatorDisputed);
        assertEq(waiting.resolvesAt, START + CHALLENGE + ARBITRATION);
    }

    function test_eachSideOnceAndOneExtension() public {
        _state(terms, 5 * PRICE, 0);
        skip(100);
        _dispute(operator.addr, id);
        vm.expectRevert(abi.encodeWithSelector(Statements.AlreadyDisputed.selector, operator.addr));
        _dispute(operator.addr, id);
        assertFalse(_pending(id).ownerDisputed);
        assertTrue(_pending(id).operatorDisputed);

        vm.warp(START + CHALLENGE);
        vm.expectEmit(address(escrow));
        emit Disputes.Disputed(id, owner.addr, START + CHALLENGE + ARBITRATION);
        _dispute(owner.addr, id);
        assertEq(_pending(id).resolvesAt, START + CHALLENGE + ARBITRATION, "once");
        vm.expectRevert(abi.encodeWithSelector(Statements.AlreadyDisputed.selector, owner.addr));
        _dispute(owner.addr, id);
    }

    function test_theLastSecondToDispute() public {
        _state(terms, 5 * PRICE, 0);
        vm.warp(START + CHALLENGE);
        _dispute(owner.addr, id);
        assertTrue(_pending(id).ownerDisputed);
    }

    function test_revertIf_aSecondLater() public {
        _state(terms, 5 * PRICE, 0);
        vm.warp(START + CHALLENGE + 1);
        vm.expectRevert(_notPending(lastStated, 0));
        _dispute(owner.addr, id);
    }

    /// The extension is the arbiter's time, not the other side's.
    function test_revertIf_theOtherSideComesInTheArbitersTime() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        vm.warp(START + CHALLENGE + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                Statements.DisputeTooLate.selector, START + CHALLENGE, START + CHALLENGE + 1
            )
        );
        _dispute(operator.addr, id);
    }

    function test_revertIf_noPartyDisputes() public {
        _state(terms, 5 * PRICE, 0);
        address[4] memory others = [arbiter.addr, verifier.addr, payee, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Disputes.NotAParty.selector, id, others[i]));
            _dispute(others[i], id);
        }
    }

    function test_revertIf_nothingIsPending() public {
        vm.expectRevert(_notPending(lastStated, 0));
        _dispute(owner.addr, id);
        Terms memory plain = _terms();
        plain.arbiter = arbiter.addr;
        bytes32 plainId = _open(plain);
        _settleTotals(plain, PRICE, 0);
        vm.expectRevert(_notPending(lastStated, 0));
        _dispute(owner.addr, plainId);
    }

    function test_revertIf_thereIsNoArbiter() public {
        terms.arbiter = address(0);
        id = _open(terms);
        uint64 position = _state(terms, PRICE, 0);
        vm.expectRevert(Statements.NoArbiter.selector);
        _dispute(owner.addr, id);
        vm.prank(address(0));
        vm.expectRevert(Statements.NotDisputed.selector);
        escrow.rule(_t(id), position, 0);
    }

    /// An arbiter that is given no time can still rule within the challenge period.
    function test_noArbitrationPeriod() public {
        terms.arbitrationPeriod = 0;
        id = _open(terms);
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        assertEq(_pending(id).resolvesAt, START + CHALLENGE);
        vm.warp(START + CHALLENGE);
        _dispute(operator.addr, id);
        _rule(id, PRICE);
        assertEq(lens.netOf(_t(id)), PRICE);
    }

    function test_aDisputedStatementKeepsItsPlace() public {
        uint64 position = _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        vm.warp(START + CHALLENGE + ARBITRATION);
        _refused(terms, 6 * PRICE, 0, "pending");
        assertEq(_lastSigned(id), position);
        assertEq(_release(id), 0);
    }

    // ------------------------------------------------------------ a silent arbiter

    function test_aSilentArbiterLetsItStand() public {
        uint64 position = _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        _dispute(operator.addr, id);
        vm.warp(START + CHALLENGE + ARBITRATION);
        assertEq(lens.netOf(_t(id)), 0);
        assertEq(lens.releasableAt(_t(id)), START + CHALLENGE + ARBITRATION + 1);
        skip(1);
        assertEq(lens.netOf(_t(id)), 5 * PRICE);
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, position, 5 * PRICE, START + CHALLENGE + ARBITRATION);
        escrow.release(_t(id));
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
    }

    /// The next statement can be disputed again, from the start.
    function test_theNextStatementIsAnotherMatter() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        skip(CHALLENGE + ARBITRATION + 1);
        _state(terms, 6 * PRICE, 0);
        assertFalse(_pending(id).ownerDisputed);
        vm.expectRevert(Statements.NotDisputed.selector);
        _rule(id, 0);
        _dispute(owner.addr, id);
        assertEq(_pending(id).resolvesAt, block.timestamp + CHALLENGE + ARBITRATION);
    }

    // ------------------------------------------------------------ rulings

    function test_aRulingIsFinalAndPaidAtOnce() public {
        uint64 position = _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        vm.warp(START + CHALLENGE + ARBITRATION);
        vm.expectEmit(address(escrow));
        emit Disputes.Ruled(id, 2 * PRICE + 1);
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, position, 2 * PRICE + 1, uint64(block.timestamp));
        _rule(id, 2 * PRICE + 1);
        assertEq(lens.paidOf(_t(id)), 2 * PRICE + 1);
        assertEq(lens.netOf(_t(id)), 2 * PRICE + 1);
        assertEq(_lastFinal(id), position);
        assertEq(_pending(id).position, 0);
        vm.expectRevert(_notPending(position, 0));
        _rule(id, 0);
    }

    function test_revertIf_anybodyElseRules() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        address[4] memory others = [owner.addr, operator.addr, verifier.addr, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(Disputes.NotArbiter.selector, id, others[i]));
            escrow.rule(_t(id), lastStated, 0);
        }
    }

    /// A dispute or a ruling about one statement is not taken for another.
    function test_revertIf_itIsAnotherStatement() public {
        uint64 first = _state(terms, 5 * PRICE, 0);
        skip(CHALLENGE + 1);
        uint64 second = _state(terms, 6 * PRICE, 0);
        vm.prank(owner.addr);
        vm.expectRevert(_notPending(first, second));
        escrow.dispute(_t(id), first);
        vm.prank(owner.addr);
        vm.expectRevert(_notPending(second + 1, second));
        escrow.dispute(_t(id), second + 1);
        _dispute(owner.addr, id);
        vm.prank(arbiter.addr);
        vm.expectRevert(_notPending(first, second));
        escrow.rule(_t(id), first, 5 * PRICE);
        vm.prank(arbiter.addr);
        vm.expectRevert(_notPending(second + 1, second));
        escrow.rule(_t(id), second + 1, 5 * PRICE);
        vm.prank(arbiter.addr);
        vm.expectRevert(_notPending(0, second));
        escrow.rule(_t(id), 0, 5 * PRICE);
        _rule(id, 5 * PRICE);
    }

    function test_revertIf_notDisputed() public {
        vm.expectRevert(_notPending(0, 0));
        _rule(id, 0);
        _state(terms, 5 * PRICE, 0);
        vm.expectRevert(Statements.NotDisputed.selector);
        _rule(id, 0);
    }

    function test_revertIf_theArbiterLeavesItsRange() public {
        _stateFinal(terms, 3 * PRICE, 0);
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        _expectOutOfRange(3 * PRICE - 1, 3 * PRICE, BUDGET);
        _expectOutOfRange(BUDGET + 1, 3 * PRICE, BUDGET);
        _expectOutOfRange(type(uint256).max, 3 * PRICE, BUDGET);
        uint256 snapshot = vm.snapshotState();
        _rule(id, 3 * PRICE);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
        vm.revertToState(snapshot);
        _rule(id, BUDGET);
        assertEq(lens.paidOf(_t(id)), BUDGET);
        assertEq(lens.statusOf(_t(id)), "paid_out");
    }

    /// If the statement itself says less than the last final one, so may the arbiter.
    function test_theRangeOfAStatementThatTakesBack() public {
        _stateFinal(terms, 5 * PRICE, 0);
        _state(terms, 5 * PRICE, 3 * PRICE);
        _dispute(operator.addr, id);
        _expectOutOfRange(2 * PRICE - 1, 2 * PRICE, BUDGET);
        _rule(id, 4 * PRICE);
        assertEq(lens.netOf(_t(id)), 4 * PRICE);
    }

    /// A ruling never takes back what is paid.
    function test_paidStaysPaid() public {
        _stateFinal(terms, 5 * PRICE, 0);
        _release(id);
        _state(terms, 5 * PRICE, 5 * PRICE);
        _dispute(owner.addr, id);
        _rule(id, 0);
        assertEq(lens.netOf(_t(id)), 0);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        assertEq(lens.owed(_t(id)), 0);
        _stateFinal(terms, 10 * PRICE, 5 * PRICE);
        assertEq(_release(id), 0);
        _stateFinal(terms, 11 * PRICE, 5 * PRICE);
        assertEq(_release(id), PRICE);
    }

    // ------------------------------------------------------------ what a ruling changes for later

    function test_itIsCarriedOn() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        _rule(id, 2 * PRICE); // 3 less than stated
        _stateFinal(terms, 9 * PRICE, PRICE);
        assertEq(lens.netOf(_t(id)), 5 * PRICE);
        _state(terms, 9 * PRICE, PRICE);
        _dispute(operator.addr, id);
        _rule(id, 8 * PRICE); // as stated, so nothing is changed any more
        _stateFinal(terms, 10 * PRICE, PRICE);
        assertEq(lens.netOf(_t(id)), 9 * PRICE);
    }

    /// Totals go on from what was stated, not from what was ruled.
    function test_totalsAreComparedAsStated() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        _rule(id, 0);
        _refused(terms, 4 * PRICE, 0, "earned_fell");
        _state(terms, 5 * PRICE, 0);
    }

    function test_theNetIsNeverBelowNothing() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        _rule(id, 0);
        _stateFinal(terms, 5 * PRICE, 4 * PRICE);
        assertEq(lens.netOf(_t(id)), 0);
        _stateFinal(terms, 10 * PRICE, 4 * PRICE);
        assertEq(lens.netOf(_t(id)), PRICE);
    }

    function test_theNetIsNeverAboveTheBudget() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(operator.addr, id);
        _rule(id, BUDGET);
        _stateFinal(terms, 7 * PRICE, 0);
        assertEq(lens.netOf(_t(id)), BUDGET);
        assertEq(lens.owed(_t(id)), 0);
        _stateFinal(terms, 7 * PRICE, 3 * PRICE);
        assertEq(lens.netOf(_t(id)), BUDGET - PRICE);
        assertEq(lens.paidOf(_t(id)), BUDGET);
    }

    /// At the extremes of 80 bits, and for any two statements and rulings: the net is what was
    /// ruled, and moves with what is stated.
    function testFuzz_rulings(uint256[6] memory seeds) public {
        uint256 limit = type(uint80).max;
        (terms.unitPrice, terms.budget, terms.salt) = (1, bound(seeds[0], 1, limit), "fuzz");
        _fund(owner.addr, terms.budget);
        id = _open(terms);

        uint256 earned = bound(seeds[1], 0, limit);
        uint256 reversed =
            bound(seeds[2], earned > terms.budget ? earned - terms.budget : 0, earned);
        _state(terms, earned, reversed);
        _dispute(owner.addr, id);
        uint256 ruled = bound(seeds[3], 0, terms.budget);
        _rule(id, ruled);
        assertEq(lens.paidOf(_t(id)), ruled);
        int256 adjustment = int256(ruled) - int256(earned) + int256(reversed);

        earned = bound(seeds[4], earned, limit);
        uint256 least = earned > terms.budget ? earned - terms.budget : 0;
        reversed = bound(seeds[5], least > reversed ? least : reversed, limit);
        if (reversed > earned) earned = reversed;
        _stateFinal(terms, earned, reversed);
        int256 expected = int256(earned) - int256(reversed) + adjustment;
        if (expected < 0) expected = 0;
        if (expected > int256(terms.budget)) expected = int256(terms.budget);
        assertEq(lens.netOf(_t(id)), uint256(expected));
        assertEq(_release(id), uint256(expected) > ruled ? uint256(expected) - ruled : 0);
    }

    /// An amount that was reversed in time goes back to the owner, although the arbiter has lowered
    /// the net below the stated one, and a refund has lowered the budget to that net.
    function test_aReversalIsTakenAfterARulingAndARefund() public {
        terms.holdbackBps = 10_000;
        id = _open(terms);
        _state(terms, 10 * PRICE, 0);
        _dispute(owner.addr, id);
        _rule(id, 4 * PRICE);
        vm.warp(_t2(terms));
        _stateFinal(terms, 12 * PRICE, 0); // net 6, of which 2 are held back for 11 days more
        assertEq(lens.paidOf(_t(id)), 4 * PRICE);
        escrow.refund(_t(id));
        assertEq(_heldFor(), 2 * PRICE + BUDGET, "the other contract, and what may be paid");
        _state(terms, 12 * PRICE, 2 * PRICE);
        skip(CHALLENGE + 1);
        assertEq(lens.netOf(_t(id)), 4 * PRICE);
        escrow.refund(_t(id));
        skip(100 days);
        assertEq(_release(id), 0);
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    // ------------------------------------------------------------ beside everything else

    function test_aDisputedStatementCanBeDisproved() public {
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        vm.warp(START + CHALLENGE + ARBITRATION);
        _retire(id);
        assertEq(_pending(id).position, 0);
        assertFalse(_pending(id).ownerDisputed);
        vm.expectRevert(_notPending(lastStated, 0));
        _rule(id, BUDGET);
        vm.expectRevert(_notPending(lastStated, 0));
        _dispute(operator.addr, id);
        assertEq(lens.netOf(_t(id)), 0);
    }

    function test_aRulingKeepsToTheRateCap() public {
        (terms.rateCap, terms.ratePeriod) = (4 * PRICE, 1 days);
        id = _open(terms);
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        _rule(id, 5 * PRICE);
        assertEq(lens.paidOf(_t(id)), 2 * PRICE);
        assertEq(lens.owed(_t(id)), 3 * PRICE);
    }

    function test_aRulingKeepsToTheHoldback() public {
        terms.holdbackBps = 10_000;
        id = _open(terms);
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        skip(100);
        _rule(id, 4 * PRICE);
        assertEq(lens.paidOf(_t(id)), 0);
        // Final since the ruling, not since the end of the arbiter's time.
        vm.warp(START + 100 + 11 days - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 4 * PRICE);
    }

    /// While the arbiter may still raise it, all of the budget stays.
    function test_nothingIsRefundedWhileItIsDisputed() public {
        vm.warp(_t2(terms));
        _state(terms, 5 * PRICE, 0);
        _dispute(owner.addr, id);
        skip(CHALLENGE + ARBITRATION);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "releasing");
        skip(1);
        escrow.refund(_t(id));
        assertEq(_release(id), 5 * PRICE);
    }

    /// After the end a statement can only take back; a ruling on it can still raise, as far as
    /// the refund has left something.
    function test_aRulingOnALateReversal() public {
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t2(terms) + 1);
        escrow.refund(_t(id)); // all but 5
        _state(terms, 5 * PRICE, 2 * PRICE);
        _dispute(operator.addr, id);
        _expectOutOfRange(5 * PRICE + 1, 3 * PRICE, 5 * PRICE);
        _rule(id, 5 * PRICE);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    function _expectOutOfRange(uint256 payableAmount, uint256 least, uint256 most) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                Statements.PayableOutOfRange.selector, payableAmount, least, most
            )
        );
        _rule(id, payableAmount);
    }
}
