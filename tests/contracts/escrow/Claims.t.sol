// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Claims} from "contracts/escrow/Claims.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {Statements} from "contracts/escrow/Statements.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Claim} from "contracts/evidence/EvidenceTypes.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Claims of outcomes that the verifier did not sign: proven by the operator and refuted by
/// strangers, through the real Evidence. Their payment is tested in ClaimsPaid.t.sol.
contract ClaimsTest is GuardedFixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _claimable();
        id = _open(terms);
    }

    // ------------------------------------------------------------ filing

    function test_aClaimIsKept() public {
        vm.warp(_t2(terms) + 1);
        Written memory touch = _touch("ann", START + 100);
        Written memory transition = _transition("ann", START + 200);
        _anchored();
        vm.expectEmit(address(escrow));
        emit Disputes.Claimed(
            id, "ann", "ann", transition.position, touch.position, (START + 200) * 1000, PRICE
        );
        bytes32 key = _claim(id, transition, touch);
        assertEq(key, "ann");
        Claim memory claim = escrow.claimOf(id, key);
        assertEq(claim.lead, "ann");
        assertEq(claim.amount, PRICE);
        assertEq(claim.transition, transition.position);
        assertEq(claim.touch, touch.position);
        assertEq(claim.timeMs, (START + 200) * 1000);
        assertFalse(claim.dropped);
        // Nothing is payable yet.
        assertEq(lens.netOf(_t(id)), 0);
        assertEq(lens.owed(_t(id)), 0);
        assertEq(_release(id), 0);
        assertEq(lens.statusOf(_t(id)), "claimable");
    }

    function test_fromT2ToT3() public {
        Written memory touch = _touch("ann", START + 100);
        Written memory transition = _transition("ann", START + 200);
        vm.warp(_t2(terms));
        _expectNotOpen();
        _claim(id, transition, touch);
        vm.warp(_t3(terms) + 1);
        _expectNotOpen();
        _claim(id, transition, touch);
        vm.warp(_t3(terms));
        _claim(id, transition, touch);
    }

    function test_fromTheFirstSecond() public {
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
    }

    function _expectNotOpen() private {
        _expectNext(
            abi.encodeWithSelector(
                Claims.ClaimsNotOpen.selector, _t2(terms), _t3(terms), block.timestamp
            )
        );
    }

    function test_revertIf_thereAreNoClaimsInTheTerms() public {
        Terms memory guarded = _guarded();
        guarded.salt = "none";
        _open(guarded);
        vm.warp(_t2(guarded) + 1);
        Written memory touch = _touch("ann", START + 100);
        Written memory transition = _transition("ann", START + 200);
        bytes32 other = _contractId(guarded);
        _expectNext(abi.encodeWithSelector(Claims.ClaimsNotOpen.selector));
        _claim(other, transition, touch);
    }

    function test_revertIf_claimedAlready() public {
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        Written memory touch = _touch("ann", START + 300);
        Written memory transition = _transition("ann", START + 400);
        _expectNext(abi.encodeWithSelector(Claims.AlreadyClaimed.selector, bytes32("ann")));
        _claim(id, transition, touch);
    }

    /// A repeatable contract is claimed by transition, and each of them once.
    function test_revertIf_aTransitionIsClaimedTwice() public {
        (terms.repeatable, terms.salt) = (true, "repeat");
        id = _open(terms);
        vm.warp(_t2(terms) + 1);
        Written memory touch = _touch("ann", START + 100);
        Written memory first = _transition("ann", START + 200);
        Written memory second = _transition("ann", START + 300);
        assertEq(_claim(id, first, touch), bytes32(uint256(first.position)));
        assertEq(_claim(id, second, touch), bytes32(uint256(second.position)));
        _expectNext(abi.encodeWithSelector(Claims.AlreadyClaimed.selector, uint256(first.position)));
        _claim(id, first, touch);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 2 * PRICE);
    }

    /// A refuted claim does not come back.
    function test_revertIf_itWasRefuted() public {
        (Written memory touch, Written memory transition) = _answered("outcome.refused");
        _claim(id, transition, touch);
        _refute(id, "ann", "answered", _lastAnswer);
        _expectNext(abi.encodeWithSelector(Claims.AlreadyClaimed.selector, bytes32("ann")));
        _claim(id, transition, touch);
    }

    /// A pseudonym of zero is one like any other.
    function test_aLeadMayBeZero() public {
        vm.warp(_t2(terms) + 1);
        Written memory touch = _touch(0, START + 100);
        Written memory transition = _transition(0, START + 200);
        _claim(id, transition, touch);
        _expectNext(abi.encodeWithSelector(Claims.AlreadyClaimed.selector, bytes32(0)));
        _claim(id, transition, touch);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), PRICE);
    }

    function test_revertIf_overTheBudget() public {
        _stateFinal(terms, BUDGET - 2 * PRICE, 0);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 2);
        Written memory touch = _touch("ann", START + 100);
        Written memory transition = _transition("ann", START + 200);
        _expectNext(abi.encodeWithSelector(Claims.ClaimOverBudget.selector, PRICE, 0));
        _claim(id, transition, touch);
    }

    /// An amount that the arbiter has ruled counts against the budget too.
    function test_revertIf_overWhatARulingLeaves() public {
        _state(terms, PRICE, 0);
        _dispute(operator.addr, id);
        _rule(id, BUDGET - PRICE / 2);
        vm.warp(_t2(terms) + 1);
        Written memory touch = _touch("ann", START + 100);
        Written memory transition = _transition("ann", START + 200);
        _expectNext(abi.encodeWithSelector(Claims.ClaimOverBudget.selector, PRICE, PRICE / 2));
        _claim(id, transition, touch);
    }

    /// A dropped claim makes room for another.
    function test_aRefutedClaimMakesRoom() public {
        (terms.unitPrice, terms.budget, terms.salt) = (PRICE, PRICE, "one");
        id = _open(terms);
        (Written memory touch, Written memory transition) = _answered("outcome.refused");
        _claim(id, transition, touch);
        _refute(id, "ann", "answered", _lastAnswer);
        _claimLead(terms, "bob");
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), PRICE);
        assertEq(lens.statusOf(_t(id)), "paid_out");
    }

    function test_revertIf_aStatementThatEarnsIsPending() public {
        vm.warp(_t2(terms));
        _state(terms, PRICE, 0);
        skip(CHALLENGE);
        Written memory touch = _touch("ann", START + 100);
        Written memory transition = _transition("ann", START + 200);
        _expectNext(
            abi.encodeWithSelector(Claims.StatementPending.selector, _t2(terms) + CHALLENGE)
        );
        _claim(id, transition, touch);
        skip(1);
        _claim(id, transition, touch);
        assertEq(lens.netOf(_t(id)), PRICE);
    }

    /// A verifier does not keep the operator from claiming by stating nothing new, or by taking
    /// back.
    function test_aStatementThatOnlyTakesBackDoesNotStopClaims() public {
        (terms.holdbackPeriod, terms.salt) = (20 days, "back");
        id = _open(terms);
        _stateFinal(terms, 2 * PRICE, 0);
        vm.warp(_t2(terms));
        _state(terms, 2 * PRICE, 0);
        skip(1);
        _claimLead(terms, "ann");
        skip(CHALLENGE);
        _state(terms, 2 * PRICE, PRICE);
        _claimLead(terms, "bob");
        skip(CHALLENGE + 1);
        assertEq(lens.netOf(_t(id)), PRICE);
        vm.warp(_t4(terms) + 1);
        _release(id);
        assertEq(lens.paidOf(_t(id)), 3 * PRICE);
    }

    function test_revertIf_closed() public {
        vm.warp(_t2(terms) + 1);
        _close(id, 0);
        Written memory touch = _touch("ann", START + 100);
        Written memory transition = _transition("ann", START + 200);
        _expectNext(abi.encodeWithSelector(Ledgers.AlreadyClosed.selector, id));
        _claim(id, transition, touch);
    }

    function test_revertIf_anybodyElseFilesOrDrops() public {
        vm.warp(_t2(terms) + 1);
        Claim memory claim = Claim("ann", uint80(PRICE), 9, 8, 7, false);
        address[4] memory others = [owner.addr, operator.addr, arbiter.addr, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(Disputes.NotEvidence.selector, others[i]));
            escrow.fileClaim(_t(id), "ann", claim);
            vm.expectRevert(abi.encodeWithSelector(Disputes.NotEvidence.selector, others[i]));
            escrow.lowerClaim(_t(id), "ann", 0, "answered");
            vm.stopPrank();
        }
    }

    /// A retired verifier answers nothing any more; what it left out is claimed.
    function test_afterTheVerifierIsRetired() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        _settle(batch);
        _disprove(id, batch);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 3 * PRICE);
    }

    // ------------------------------------------------------------ refuting

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

    function test_anAnswerRefutes() public {
        (Written memory touch, Written memory transition) = _answered("outcome.refused");
        _claim(id, transition, touch);
        vm.warp(_t4(terms));
        vm.expectEmit(address(escrow));
        emit Disputes.ClaimLowered(id, "ann", 0, "answered");
        _refute(id, "ann", "answered", _lastAnswer);
        assertTrue(escrow.claimOf(id, "ann").dropped);
        skip(1);
        assertEq(_release(id), 0);
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    /// What is left of a claim is paid; the sum follows, before a ruling as after it.
    function test_aClaimIsLowered() public {
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 2);
        bytes32 key = bytes32(uint256(1));
        vm.expectEmit(address(escrow));
        emit Disputes.ClaimLowered(id, key, 5e6, "reversed");
        _lower(key, 5e6);
        assertEq(escrow.claimOf(id, key).amount, 5e6);
        assertFalse(escrow.claimOf(id, key).dropped);
        _expectNotLower(key, 5e6, 5e6);
        _expectNotLower(key, 5e6 + 1, 5e6);
        _expectNotLower(key, type(uint256).max, 5e6);
        _lower(key, 1);
        vm.warp(_t4(terms));
        _lower(key, 0);
        assertEq(escrow.claimOf(id, key).amount, 0);
        assertTrue(escrow.claimOf(id, key).dropped);
        vm.expectRevert(abi.encodeWithSelector(Claims.NoClaim.selector, key));
        _lower(key, 0);
        skip(1);
        assertEq(_release(id), PRICE);
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    /// What a lowered claim gives up can be claimed by another.
    function test_aLoweredClaimMakesRoom() public {
        (terms.unitPrice, terms.budget, terms.salt) = (PRICE, 3 * PRICE / 2, "one");
        id = _open(terms);
        vm.warp(_t2(terms) + 1);
        bytes32 key = _claimLead(terms, "ann");
        _lower(key, PRICE / 2);
        _claimLead(terms, "bob");
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 3 * PRICE / 2);
    }

    function _lower(bytes32 key, uint256 left) private {
        vm.prank(address(evidence));
        escrow.lowerClaim(_t(id), key, left, "reversed");
    }

    function _expectNotLower(bytes32 key, uint256 left, uint256 amount) private {
        vm.expectRevert(abi.encodeWithSelector(Claims.NotLower.selector, key, left, amount));
        _lower(key, left);
    }

    /// Claims are not held back, so they wait as long as an event can take their outcomes back: the
    /// last of the contract's outcomes can be reversed until then.
    function test_claimsWaitForReversals() public {
        (terms.holdbackBps, terms.holdbackPeriod, terms.salt) = (10_000, 60 days, "held");
        id = _open(terms);
        uint256 until = uint256(terms.deadline) + terms.lateness + 61 days;
        assertEq(_t4(terms), until);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 2);
        vm.warp(_t3(terms) + CLAIMS + 1);
        assertEq(lens.statusOf(_t(id)), "refutable");
        assertEq(_release(id), 0);
        vm.warp(until);
        assertEq(lens.statusOf(_t(id)), "refutable");
        assertEq(lens.releasableAt(_t(id)), until + 1);
        assertEq(_release(id), 0);
        _lower(bytes32(uint256(1)), 0);
        skip(1);
        vm.expectRevert(
            abi.encodeWithSelector(Claims.ClaimsNotOpen.selector, _t2(terms), until, until + 1)
        );
        _lower(bytes32(uint256(2)), 0);
        assertEq(_release(id), PRICE);
    }

    /// A dispute and its ruling have the same time.
    function test_claimsAreDisputedAndRuledWhileTheyWait() public {
        (terms.holdbackPeriod, terms.salt) = (60 days, "held");
        id = _open(terms);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 2);
        vm.warp(_t4(terms));
        assertGt(_t4(terms), _t3(terms) + CLAIMS);
        vm.prank(owner.addr);
        escrow.disputeClaims(_t(id));
        vm.prank(arbiter.addr);
        escrow.ruleClaims(_t(id), PRICE);
        skip(1);
        assertEq(_release(id), PRICE);
    }

    function test_revertIf_refutedAfterT4() public {
        (Written memory touch, Written memory transition) = _answered("outcome.refused");
        _claim(id, transition, touch);
        vm.warp(_t4(terms) + 1);
        _expectNext(
            abi.encodeWithSelector(
                Claims.ClaimsNotOpen.selector, _t2(terms), _t4(terms), _t4(terms) + 1
            )
        );
        _refute(id, "ann", "answered", _lastAnswer);
        assertEq(_release(id), PRICE);
    }

    function test_revertIf_refutedTwice() public {
        (Written memory touch, Written memory transition) = _answered("outcome");
        _claim(id, transition, touch);
        _refute(id, "ann", "answered", _lastAnswer);
        _expectNext(abi.encodeWithSelector(Evidence.NoClaim.selector, id, bytes32("ann")));
        _refute(id, "ann", "answered", _lastAnswer);
        vm.prank(address(evidence));
        vm.expectRevert(abi.encodeWithSelector(Claims.NoClaim.selector, bytes32("ann")));
        escrow.lowerClaim(_t(id), "ann", 0, "answered");
    }

    function test_revertIf_thereIsNothingToDrop() public {
        vm.warp(_t2(terms) + 1);
        vm.prank(address(evidence));
        vm.expectRevert(abi.encodeWithSelector(Claims.NoClaim.selector, bytes32("ann")));
        escrow.lowerClaim(_t(id), "ann", 0, "answered");
    }

    /// The verifier's answers count below its last final statement, which becomes final without a
    /// call.
    function test_anAnswerBelowARipeStatementCounts() public {
        Written memory touch = _touch("ann", START + 100);
        Written memory transition = _transition("ann", START + 200);
        _lastAnswer = _answer("outcome.over", id, "ann", transition);
        vm.warp(_t2(terms));
        _state(terms, 0, 0);
        skip(1);
        _claim(id, transition, touch);
        skip(CHALLENGE - 1);
        _expectNext(abi.encodeWithSelector(Evidence.NotAnswered.selector, _lastAnswer.position));
        _refute(id, "ann", "answered", _lastAnswer);
        skip(1);
        _refute(id, "ann", "answered", _lastAnswer);
    }

    /// The operator's own later touch: it should have been named.
    function test_aBetterTouchRefutes() public {
        Written memory touch = _touch("ann", START + 100);
        Written memory later = _touch("ann", START + 150);
        Written memory transition = _transition("ann", START + 200);
        vm.warp(_t2(terms) + 1);
        _claim(id, transition, touch);
        _refute(id, "ann", "touch_order", later);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 0);
    }
}
