// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Claims} from "contracts/escrow/Claims.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Statements} from "contracts/escrow/Statements.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Claim} from "contracts/evidence/EvidenceTypes.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Claims that stand: disputed, ruled on and paid. Filing and refuting are tested in Claims.t.sol.
contract ClaimsPaidTest is GuardedFixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _claimable();
        id = _open(terms);
    }

    // ------------------------------------------------------------ paying

    function test_claimsArePaidAfterT4() public {
        uint64 position = _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        assertEq(_release(id), 5 * PRICE);
        assertEq(lens.releasableAt(_t(id)), _t4(terms) + 1);
        vm.warp(_t4(terms));
        assertEq(_release(id), 0);
        assertEq(lens.owed(_t(id)), 0);
        assertEq(lens.statusOf(_t(id)), "refutable");
        skip(1);
        assertEq(lens.owed(_t(id)), 3 * PRICE);
        assertEq(lens.netOf(_t(id)), 5 * PRICE, "claims apart");
        assertEq(lens.releasableAt(_t(id)), block.timestamp);
        uint256 before = token.balanceOf(payee);
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, 3 * PRICE * 975 / 1000, 3 * PRICE * 25 / 1000);
        escrow.release(_t(id));
        assertEq(token.balanceOf(payee) - before, 3 * PRICE * 975 / 1000);
        assertEq(lens.paidOf(_t(id)), 8 * PRICE);
        assertEq(lens.owed(_t(id)), 0);
        assertEq(_release(id), 0);
        assertEq(lens.releasableAt(_t(id)), 0, "nothing to wait for");
    }

    /// An amount that was paid and then reversed is set off against claims.
    function test_claimsAreNettedWithWhatWasPaidTooMuch() public {
        _stateFinal(terms, 5 * PRICE, 0);
        _release(id);
        _stateFinal(terms, 5 * PRICE, 4 * PRICE);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 6);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 2 * PRICE);
        assertEq(lens.paidOf(_t(id)), 7 * PRICE);
    }

    function test_theRateCapHoldsForClaimsToo() public {
        (terms.rateCap, terms.ratePeriod, terms.salt) = (2 * PRICE, 1 days, "cap");
        id = _open(terms);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), PRICE);
        assertEq(lens.releasableAt(_t(id)), block.timestamp + 2 days);
        skip(1 days - 1);
        assertEq(_release(id), PRICE * 86_399 / 86_400);
        skip(1 days);
        assertEq(_release(id), PRICE);
        skip(2);
        _release(id);
        assertEq(lens.paidOf(_t(id)), 3 * PRICE);
    }

    /// Claims have waited long enough.
    function test_claimsAreNotHeldBack() public {
        (terms.holdbackBps, terms.holdbackPeriod, terms.salt) = (10_000, 60 days, "held");
        id = _open(terms);
        vm.warp(_t2(terms));
        _state(terms, 2 * PRICE, 0);
        skip(CHALLENGE + 1);
        _claimLead(terms, "ann");
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), PRICE);
        vm.warp(_t2(terms) + CHALLENGE + 61 days);
        assertEq(_release(id), 2 * PRICE);
    }

    /// With all of the budget claimed all of it is paid, and not a unit more.
    function test_allOfTheBudgetCanBeClaimed() public {
        (terms.budget, terms.salt) = (4 * PRICE, "all");
        id = _open(terms);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 4);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 4 * PRICE);
        assertEq(lens.statusOf(_t(id)), "paid_out");
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
    }

    // ------------------------------------------------------------ dispute

    function test_disputedFromT3ToT4() public {
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        // Days before T3, and in its second.
        _expectNotInSecondHalf();
        _disputeClaims(owner.addr);
        vm.warp(_t3(terms));
        _expectNotInSecondHalf();
        _disputeClaims(owner.addr);
        vm.warp(_t4(terms) + 1);
        _expectNotInSecondHalf();
        _disputeClaims(owner.addr);
        vm.warp(_t4(terms));
        vm.expectEmit(address(escrow));
        emit Disputes.ClaimsDisputed(id, owner.addr);
        _disputeClaims(owner.addr);
    }

    function test_disputedFromTheFirstSecondByTheOperatorToo() public {
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        vm.warp(_t3(terms) + 1);
        _disputeClaims(operator.addr);
        vm.expectRevert(Claims.ClaimsAlreadyDisputed.selector);
        _disputeClaims(owner.addr);
    }

    function test_revertIf_aStrangerDisputesClaims() public {
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        vm.warp(_t3(terms) + 1);
        address[3] memory others = [arbiter.addr, verifier.addr, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Disputes.NotAParty.selector, id, others[i]));
            _disputeClaims(others[i]);
        }
    }

    function test_revertIf_thereAreNoClaims() public {
        vm.warp(_t3(terms) + 1);
        vm.expectRevert(Claims.NoClaims.selector);
        _disputeClaims(owner.addr);
        vm.expectRevert(Claims.ClaimsNotDisputed.selector);
        _ruleClaims(0);
    }

    function test_aSilentArbiterLetsThemStand() public {
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 2);
        vm.warp(_t3(terms) + 1);
        _disputeClaims(owner.addr);
        vm.warp(_t4(terms) + 1);
        vm.expectPartialRevert(Claims.ClaimsNotOpen.selector);
        _ruleClaims(0);
        assertEq(_release(id), 2 * PRICE);
    }

    function test_aRulingOnClaims() public {
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t3(terms) + 1);
        _disputeClaims(owner.addr);
        vm.expectRevert(
            abi.encodeWithSelector(Claims.MoreThanClaimed.selector, 3 * PRICE + 1, 3 * PRICE)
        );
        _ruleClaims(3 * PRICE + 1);
        vm.warp(_t4(terms));
        vm.expectEmit(address(escrow));
        emit Disputes.ClaimsRuled(id, PRICE + 1);
        _ruleClaims(PRICE + 1);
        vm.expectRevert(Claims.ClaimsNotDisputed.selector);
        _ruleClaims(0);
        vm.expectRevert(Claims.ClaimsAlreadyDisputed.selector);
        _disputeClaims(operator.addr);
        skip(1);
        _release(id);
        assertEq(lens.paidOf(_t(id)), 6 * PRICE + 1);
        escrow.refund(_t(id));
        assertEq(_heldFor(), 0);
    }

    function test_aRulingOfAllOrNothing() public {
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t3(terms) + 1);
        _disputeClaims(operator.addr);
        uint256 snapshot = vm.snapshotState();
        _ruleClaims(3 * PRICE);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 3 * PRICE);
        vm.revertToState(snapshot);
        _ruleClaims(0);
        escrow.refund(_t(id));
        assertEq(_heldFor(), 0);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 0);
    }

    function test_revertIf_anybodyElseRulesOnClaims() public {
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        vm.warp(_t3(terms) + 1);
        _disputeClaims(owner.addr);
        address[3] memory others = [owner.addr, operator.addr, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(Disputes.NotArbiter.selector, id, others[i]));
            escrow.ruleClaims(_t(id), 0);
        }
    }

    function test_revertIf_ruledWithoutADispute() public {
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        vm.warp(_t3(terms) + 1);
        vm.expectRevert(Claims.ClaimsNotDisputed.selector);
        _ruleClaims(0);
    }

    /// A ruling is the most that is paid of claims; what the log refutes comes off their sum before it
    /// and after it.
    function test_refutedBeforeAndAfterARuling() public {
        (Written memory touch, Written memory transition) = _answered("outcome.refused");
        _claim(id, transition, touch);
        _claimLead(terms, "bob");
        vm.warp(_t3(terms) + 1);
        _disputeClaims(owner.addr);
        uint256 snapshot = vm.snapshotState();
        _refute(id, "ann", "answered", _lastAnswer);
        vm.expectRevert(abi.encodeWithSelector(Claims.MoreThanClaimed.selector, PRICE + 1, PRICE));
        _ruleClaims(PRICE + 1);
        _ruleClaims(PRICE);
        vm.revertToState(snapshot);
        _ruleClaims(2 * PRICE);
        vm.warp(_t4(terms));
        _refute(id, "ann", "answered", _lastAnswer);
        skip(1);
        assertEq(_release(id), PRICE, "less than ruled");
        vm.revertToState(snapshot);
        _ruleClaims(PRICE / 2);
        _refute(id, "ann", "answered", _lastAnswer);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), PRICE / 2, "as ruled");
    }

    /// Operator and arbiter leave strangers the time until T4, however early they have a ruling.
    function test_anEarlyRulingShutsOutNoRefutation() public {
        Written[] memory touches = new Written[](5);
        Written[] memory transitions = new Written[](5);
        Written[] memory answers = new Written[](5);
        for (uint256 i = 0; i < 5; ++i) {
            touches[i] = _touch(bytes32(i + 1), START + 100);
            transitions[i] = _transition(bytes32(i + 1), START + 200);
            answers[i] = _answer("outcome", id, bytes32(i + 1), transitions[i]);
        }
        _stateFinal(terms, 5 * PRICE, 0);
        _release(id);
        vm.warp(_t3(terms));
        bytes32[] memory keys = new bytes32[](5);
        for (uint256 i = 0; i < 5; ++i) {
            keys[i] = _claim(id, transitions[i], touches[i]);
        }
        skip(1);
        _disputeClaims(operator.addr);
        _ruleClaims(5 * PRICE);
        vm.warp(_t4(terms));
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(lens.releasableAt(_t(id)), block.timestamp + 1);
            _refute(id, keys[i], "answered", answers[i]);
        }
        assertEq(lens.releasableAt(_t(id)), 0, "nothing to wait for");
        skip(1);
        assertEq(_release(id), 0);
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "refunded");
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
    }

    /// The ruled amount, and not the claimed one, is reserved and kept from a ruling on a
    /// statement.
    function test_whatARulingTookOffIsFree() public {
        (terms.holdbackPeriod, terms.salt) = (20 days, "free");
        id = _open(terms);
        _stateFinal(terms, 10 * PRICE, 0);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t3(terms) + 1);
        _disputeClaims(owner.addr);
        _ruleClaims(PRICE);
        escrow.refund(_t(id));
        assertEq(_heldFor(), BUDGET + 11 * PRICE, "the other contract, and what may be paid");
        _state(terms, 10 * PRICE, PRICE);
        _dispute(operator.addr, id);
        vm.expectRevert(
            abi.encodeWithSelector(
                Statements.PayableOutOfRange.selector, 10 * PRICE + 1, 9 * PRICE, 10 * PRICE
            )
        );
        _rule(id, 10 * PRICE + 1);
        _rule(id, 10 * PRICE);
        vm.warp(_t4(terms) + 1);
        _release(id);
        assertEq(lens.paidOf(_t(id)), 11 * PRICE);
    }

    function test_allRefutedWhileDisputed() public {
        (Written memory touch, Written memory transition) = _answered("outcome.refused");
        _claim(id, transition, touch);
        vm.warp(_t3(terms) + 1);
        _disputeClaims(owner.addr);
        _refute(id, "ann", "answered", _lastAnswer);
        escrow.refund(_t(id));
        assertEq(_heldFor(), 0);
        _ruleClaims(0);
        vm.warp(_t4(terms) + 1);
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    // ------------------------------------------------------------ beside statements

    /// A ruling on a statement leaves the claims as they are.
    function test_aRulingLeavesRoomForClaims() public {
        (terms.holdbackPeriod, terms.salt) = (20 days, "room");
        id = _open(terms);
        _stateFinal(terms, 10 * PRICE, 0);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        _state(terms, 10 * PRICE, PRICE);
        _dispute(operator.addr, id);
        uint256 most = BUDGET - 3 * PRICE;
        vm.expectRevert(
            abi.encodeWithSelector(Statements.PayableOutOfRange.selector, most + 1, 9 * PRICE, most)
        );
        _rule(id, most + 1);
        _rule(id, most);
        vm.warp(_t4(terms) + 1);
        _release(id);
        assertEq(lens.paidOf(_t(id)), BUDGET);
        assertEq(lens.statusOf(_t(id)), "paid_out");
    }

    /// A reversal that is stated meanwhile leaves the claims whole.
    function test_aReversalLeavesClaimsWhole() public {
        (terms.holdbackPeriod, terms.holdbackBps, terms.salt) = (20 days, 10_000, "back");
        id = _open(terms);
        vm.warp(_t2(terms) - CHALLENGE);
        _stateFinal(terms, 10 * PRICE, 0);
        _claimLeads(terms, 3);
        vm.warp(_t3(terms) + 1);
        _state(terms, 10 * PRICE, 4 * PRICE);
        vm.warp(_t4(terms) + 1);
        assertEq(lens.netOf(_t(id)), 6 * PRICE);
        escrow.refund(_t(id));
        assertEq(_heldFor(), 9 * PRICE + BUDGET, "the other contract, and what may be paid");
        vm.warp(_t4(terms) + 30 days);
        _release(id);
        assertEq(lens.paidOf(_t(id)), 9 * PRICE);
        assertEq(_heldFor(), BUDGET);
    }

    // ------------------------------------------------------------ helpers

    function _disputeClaims(address by) private {
        vm.prank(by);
        escrow.disputeClaims(_t(id));
    }

    function _ruleClaims(uint256 amount) private {
        vm.prank(arbiter.addr);
        escrow.ruleClaims(_t(id), amount);
    }

    function _expectNotInSecondHalf() private {
        vm.expectRevert(
            abi.encodeWithSelector(
                Claims.ClaimsNotOpen.selector, _t3(terms), _t4(terms), block.timestamp
            )
        );
    }

    Written private _lastAnswer;

    /// The verifier has answered about ann by T2, in a statement that pays nothing.
    function _answered(bytes32 kind)
        private
        returns (Written memory touch, Written memory transition)
    {
        touch = _touch("ann", START + 100);
        transition = _transition("ann", START + 200);
        _lastAnswer = _answer(kind, id, "ann", transition);
        _stateFinal(terms, 0, 0);
        vm.warp(_t2(terms) + 1);
    }
}
