// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Statements} from "contracts/escrow/Statements.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// What Evidence has proven to be taken back of a final outcome comes off what is payable, whether
/// the verifier states it or not, and once.
contract ReversalTest is GuardedFixture {
    uint64 private constant FIRST = 11; // positions of outcomes
    uint64 private constant SECOND = 12;

    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _guarded();
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 30 days);
        id = _open(terms);
    }

    /// A verifier that stops signing cancels no holdback.
    function test_aSilentVerifierKeepsNoReversalBack() public {
        _stateFinal(terms, 2 * PRICE, 0);
        assertEq(_release(id), 0, "all of it is held back");
        vm.expectEmit(address(escrow));
        emit OutcomeEscrow.ReversalRecorded(id, FIRST, PRICE);
        _record(FIRST, PRICE);
        assertEq(lens.netOf(_t(id)), PRICE);
        assertEq(lens.owed(_t(id)), PRICE);
        skip(32 days);
        assertEq(_release(id), PRICE);
    }

    function test_amountsOnlyRise() public {
        _stateFinal(terms, 2 * PRICE, 0);
        _record(FIRST, 3);
        _expectRecorded(FIRST, 3);
        _record(FIRST, 3);
        _expectRecorded(FIRST, 3);
        _record(FIRST, 2);
        _expectRecorded(SECOND, 0);
        _record(SECOND, 0);
        _record(FIRST, 7);
        assertEq(lens.netOf(_t(id)), 2 * PRICE - 7);
        _record(SECOND, 5);
        assertEq(lens.netOf(_t(id)), 2 * PRICE - 12);
        _record(SECOND, PRICE);
        _record(FIRST, PRICE);
        assertEq(lens.netOf(_t(id)), 0);
    }

    /// Whatever comes first, statement or proof, and whatever of it comes twice: what is subtracted
    /// is the larger of the two.
    function testFuzz_nothingIsSubtractedTwice(uint256 stated, uint256 proven, bool provenFirst)
        public
    {
        (stated, proven) = (PRICE * bound(stated, 0, 5), bound(proven, 1, 5 * PRICE));
        _stateFinal(terms, 5 * PRICE, 0);
        if (provenFirst) _record(FIRST, proven);
        _stateFinal(terms, 5 * PRICE, stated);
        if (!provenFirst) _record(FIRST, proven);
        uint256 most = stated < proven ? proven : stated;
        assertEq(lens.netOf(_t(id)), 5 * PRICE - most);
        assertEq(lens.owed(_t(id)), 5 * PRICE - most);
        // the same as a pending statement
        _state(terms, 6 * PRICE, stated);
        assertEq(lens.netOf(_t(id)), 5 * PRICE - most);
        skip(CHALLENGE + 1);
        assertEq(lens.netOf(_t(id)), 6 * PRICE - most);
        skip(32 days);
        assertEq(_release(id), 6 * PRICE - most);
    }

    /// While a statement is pending, it comes off that as well as off the final one; and the event
    /// of the final statement says so.
    function test_whileAStatementIsPending() public {
        _stateFinal(terms, 2 * PRICE, 0);
        uint64 position = _state(terms, 3 * PRICE, 0);
        _record(FIRST, PRICE);
        assertEq(lens.netOf(_t(id)), PRICE);
        skip(CHALLENGE + 1);
        assertEq(lens.netOf(_t(id)), 2 * PRICE);
        vm.expectEmit(address(escrow));
        emit OutcomeEscrow.Final(id, position, 2 * PRICE, uint64(block.timestamp) - 1);
        _record(SECOND, PRICE);
        assertEq(lens.netOf(_t(id)), PRICE);
    }

    function test_whenTheVerifierIsRetired() public {
        _stateFinal(terms, 2 * PRICE, 0);
        _retire(id);
        _record(FIRST, PRICE);
        skip(32 days);
        assertEq(_release(id), PRICE);
        vm.warp(_t2(terms) + 1);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET - PRICE);
    }

    /// What was paid stays paid, and is set off against what comes later.
    function test_whatWasPaidIsSetOff() public {
        (terms.holdbackBps, terms.salt) = (0, "paid");
        id = _open(terms);
        _stateFinal(terms, 2 * PRICE, 0);
        assertEq(_release(id), 2 * PRICE);
        _record(FIRST, PRICE);
        assertEq(lens.owed(_t(id)), 0);
        _stateFinal(terms, 4 * PRICE, 0);
        assertEq(_release(id), PRICE);
    }

    /// The part that is held back covers it first.
    function test_itComesOffWhatIsHeld() public {
        (terms.holdbackBps, terms.salt) = (5000, "half");
        id = _open(terms);
        _stateFinal(terms, 2 * PRICE, 0);
        assertEq(_release(id), PRICE);
        _record(FIRST, PRICE);
        assertEq(_release(id), 0);
        skip(32 days);
        assertEq(_release(id), 0);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    // ------------------------------------------------------------ with rulings and closings

    /// A ruling sets a sum in which what was proven before is counted. Later statements of the same
    /// reversals change nothing, and more that is proven comes off.
    function test_aRulingCountsWhatWasProven() public {
        _stateFinal(terms, 3 * PRICE, 0);
        _record(FIRST, PRICE);
        _state(terms, 4 * PRICE, 0);
        _dispute(operator.addr, id);
        _rule(id, 7 * PRICE / 2);
        assertEq(lens.netOf(_t(id)), 7 * PRICE / 2);
        _stateFinal(terms, 4 * PRICE, PRICE);
        assertEq(lens.netOf(_t(id)), 7 * PRICE / 2);
        _record(SECOND, PRICE);
        assertEq(lens.netOf(_t(id)), 5 * PRICE / 2);
    }

    /// A ruling may go down to the net that proofs leave.
    function test_aRulingMayFollowAProof() public {
        _stateFinal(terms, 3 * PRICE, 0);
        _record(FIRST, PRICE);
        _state(terms, 3 * PRICE, 0);
        _dispute(owner.addr, id);
        vm.expectPartialRevert(Statements.PayableOutOfRange.selector);
        vm.prank(arbiter.addr);
        escrow.rule(_t(id), lastStated, 2 * PRICE - 1);
        _rule(id, 2 * PRICE);
        assertEq(lens.netOf(_t(id)), 2 * PRICE);
    }

    function test_aClosingIsForGood() public {
        _stateFinal(terms, 3 * PRICE, 0);
        _record(FIRST, 2 * PRICE);
        _close(id, 5 * PRICE / 2);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE / 2);
        assertEq(lens.netOf(_t(id)), 5 * PRICE / 2);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.AlreadyClosed.selector, id));
        _record(SECOND, PRICE);
    }

    // ------------------------------------------------------------ with claims and refunds

    /// What is freed goes back to the owner, or can be claimed.
    function test_itFreesTheBudget() public {
        terms = _claimable();
        (terms.budget, terms.salt) = (2 * PRICE, "claims");
        id = _open(terms);
        _stateFinal(terms, 2 * PRICE, 0);
        _record(FIRST, PRICE);
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        vm.warp(_t3(terms) + 1);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
        _record(SECOND, PRICE);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr), 9 * BUDGET - PRICE);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), PRICE);
    }

    // ------------------------------------------------------------ refused

    function test_revertIf_anybodyElseRecords() public {
        address[5] memory others =
            [owner.addr, operator.addr, arbiter.addr, verifier.addr, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NotEvidence.selector, others[i]));
            vm.prank(others[i]);
            escrow.recordReversal(_t(id), FIRST, PRICE);
        }
    }

    /// A plain contract has paid for good.
    function test_revertIf_plain() public {
        terms = _terms();
        id = _open(terms);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NotGuarded.selector, id));
        _record(FIRST, PRICE);
    }

    function test_revertIf_unknown() public {
        id = "unknown";
        bytes32 unknown = escrow.contractIdOf(_t(id));
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.UnknownContract.selector, unknown));
        _record(FIRST, PRICE);
    }

    function test_revertIf_moreThanAmountsMayBe() public {
        _record(FIRST, type(uint80).max);
        assertEq(lens.netOf(_t(id)), 0);
        vm.expectPartialRevert(SafeCast.SafeCastOverflowedUintDowncast.selector);
        _record(SECOND, 1);
        vm.expectRevert();
        _record(SECOND, type(uint256).max);
    }

    // ------------------------------------------------------------ helpers

    /// As Evidence does once it has judged.
    function _record(uint64 outcome, uint256 amount) private {
        vm.prank(address(evidence));
        escrow.recordReversal(_t(id), outcome, amount);
    }

    function _expectRecorded(uint64 outcome, uint256 amount) private {
        vm.expectRevert(
            abi.encodeWithSelector(Statements.AlreadyRecorded.selector, outcome, amount)
        );
    }
}
