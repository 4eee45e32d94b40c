// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// After T3 the owner gets back what can no longer become payable, at every stage: no unit that
/// still can, and in the end all of the rest. Also the status of a guarded contract by then.
contract ReserveTest is GuardedFixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _claimable();
        id = _open(terms);
    }

    function _openAs(bytes32 salt) private {
        _close(id, 0); // so that the escrow holds one contract's money
        terms.salt = salt;
        id = _open(terms);
    }

    // ------------------------------------------------------------ from T3 on

    function test_fromT3() public {
        uint64[4] memory early = [START, _t2(terms), _t2(terms) + 1, _t3(terms)];
        for (uint256 i = 0; i < early.length; ++i) {
            vm.warp(early[i]);
            vm.expectRevert(
                abi.encodeWithSelector(
                    OutcomeEscrow.RefundTooEarly.selector, id, _t3(terms), early[i]
                )
            );
            escrow.refund(_t(id));
        }
        skip(1);
        _refundKeeps(0);
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET);
    }

    function test_withoutClaimsFromT2() public {
        terms.claimPeriod = 0;
        _openAs("no claims");
        vm.warp(_t2(terms));
        vm.expectRevert(
            abi.encodeWithSelector(
                OutcomeEscrow.RefundTooEarly.selector, id, _t2(terms), _t2(terms)
            )
        );
        escrow.refund(_t(id));
        skip(1);
        _refundKeeps(0);
    }

    // ------------------------------------------------------------ statements

    function test_whatIsFinalAndNotPaidStays() public {
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t3(terms) + 1);
        _refundKeeps(5 * PRICE);
        assertEq(lens.statusOf(_t(id)), "refutable");
        assertEq(_release(id), 5 * PRICE);
        assertEq(_heldFor(), 0);
    }

    /// An amount that was paid before it was reversed is not paid back, and nothing more is kept
    /// for it.
    function test_whatWasPaidTooMuchKeepsNothing() public {
        _stateFinal(terms, 5 * PRICE, 0);
        _release(id);
        _stateFinal(terms, 5 * PRICE, 4 * PRICE);
        vm.warp(_t3(terms) + 1);
        _refundKeeps(0);
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET - 5 * PRICE);
    }

    /// An arbiter could still make all of it payable, asked or not asked yet.
    function test_allStaysWhileAnArbiterCanStillBeAsked() public {
        _lateReversal();
        _nothingToRefund();
        skip(CHALLENGE);
        _nothingToRefund();
        skip(1);
        _refundKeeps(3 * PRICE);
    }

    function test_allStaysWhileTheArbiterCanStillRule() public {
        _lateReversal();
        _dispute(operator.addr, id);
        skip(CHALLENGE + ARBITRATION);
        _nothingToRefund();
        _rule(id, 4 * PRICE);
        _refundKeeps(4 * PRICE);
    }

    /// Without one the larger of the two counts: what is final, or what is to follow.
    function test_withoutAnArbiterTheLargerOneStays() public {
        (terms.arbiter, terms.claimPeriod) = (address(0), 0);
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 30 days);
        _openAs("no arbiter");
        vm.warp(_t2(terms));
        _state(terms, 5 * PRICE, 0); // the first, so nothing is final
        skip(1);
        assertEq(lens.netOf(_t(id)), 0);
        _refundKeeps(5 * PRICE);
        skip(CHALLENGE);
        _state(terms, 5 * PRICE, 2 * PRICE);
        assertEq(_pending(id).reversed, 2 * PRICE);
        _nothingToRefund(); // 5 final, 3 to follow, 5 kept
        skip(CHALLENGE + 1);
        _refundKeeps(3 * PRICE);
        skip(40 days);
        assertEq(_release(id), 3 * PRICE);
        assertEq(_heldFor(), 0);
    }

    /// A disproved statement frees what was kept for it.
    function test_aDisprovedStatementKeepsNothing() public {
        vm.warp(_t2(terms));
        terms.claimPeriod = 0;
        (terms.opensAt, terms.deadline) = (_t2(terms), _t2(terms));
        _openAs("lie");
        vm.warp(_t2(terms));
        _state(terms, 9 * PRICE, 0);
        skip(1);
        _nothingToRefund();
        _retire(id);
        _refundKeeps(0);
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    // ------------------------------------------------------------ claims

    function test_claimsStayUntilTheyArePaid() public {
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t3(terms) + 1);
        _refundKeeps(8 * PRICE);
        _release(id);
        _nothingToRefund();
        vm.warp(_t4(terms));
        _nothingToRefund();
        assertEq(lens.statusOf(_t(id)), "refutable");
        skip(1);
        assertEq(lens.statusOf(_t(id)), "releasing");
        assertEq(_release(id), 3 * PRICE);
        assertEq(lens.statusOf(_t(id)), "refunded");
        assertEq(_heldFor(), 0);
    }

    /// A ruling on claims only lowers them, so a dispute keeps no more than they are.
    function test_disputedClaimsStayAndRuledOnesAsRuled() public {
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t3(terms) + 1);
        vm.prank(owner.addr);
        escrow.disputeClaims(_t(id));
        _refundKeeps(3 * PRICE);
        vm.prank(arbiter.addr);
        escrow.ruleClaims(_t(id), PRICE / 2);
        _refundKeeps(PRICE / 2);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), PRICE / 2);
        assertEq(_heldFor(), 0);
    }

    function test_aRefutedClaimKeepsNothing() public {
        vm.warp(_t2(terms) + 1);
        bytes32 key = _claimLead(terms, "ann");
        _claimLead(terms, "bob");
        vm.warp(_t3(terms) + 1);
        _refundKeeps(2 * PRICE);
        vm.prank(address(evidence));
        escrow.lowerClaim(_t(id), key, 0, "answered");
        _refundKeeps(PRICE);
    }

    // ------------------------------------------------------------ holdback

    function test_whatIsHeldBackStays() public {
        (terms.holdbackBps, terms.holdbackPeriod) = (2500, 30 days);
        _openAs("held");
        vm.warp(_t2(terms) - CHALLENGE);
        _stateFinal(terms, 8 * PRICE, 0);
        assertEq(_release(id), 6 * PRICE);
        vm.warp(_t3(terms) + 1);
        _refundKeeps(2 * PRICE);
        vm.warp(_t4(terms) + 1);
        assertEq(lens.statusOf(_t(id)), "releasing");
        skip(30 days);
        assertEq(_release(id), 2 * PRICE);
        assertEq(lens.statusOf(_t(id)), "refunded");
        assertEq(_heldFor(), 0);
    }

    // ------------------------------------------------------------ whatever happens

    /// However often and whenever it is refunded: what becomes payable is paid in full, and every
    /// other unit is the owner's again.
    function testFuzz_refundsTakeNothingFromThePayee(
        uint256[4] memory waits,
        uint256 earned,
        uint256 reversed,
        uint8 claims,
        uint16 bps
    ) public {
        (terms.holdbackBps, terms.holdbackPeriod) = (uint16(bound(bps, 0, 10_000)), 20 days);
        (terms.rateCap, terms.ratePeriod) = (6 * PRICE, 2 days);
        _openAs("fuzz");
        earned = bound(earned, 0, 40);
        reversed = bound(reversed, 0, earned);
        vm.warp(_t2(terms) - CHALLENGE);
        _stateFinal(terms, earned * PRICE, 0);
        claims = uint8(bound(claims, 0, 4));
        _claimLeads(terms, claims);
        vm.warp(_t3(terms) + 1);
        if (reversed != 0) _state(terms, earned * PRICE, reversed * PRICE);
        for (uint256 i = 0; i < waits.length; ++i) {
            skip(bound(waits[i], 0, 5 days));
            _tryRefund();
            if (waits[i] % 2 == 0) _release(id);
        }
        skip(30 days);
        while (lens.owed(_t(id)) != 0) {
            _tryRefund();
            _release(id);
            skip(1 days);
        }
        _tryRefund();
        uint256 paid = lens.paidOf(_t(id));
        assertGe(paid, (earned - reversed + claims) * PRICE);
        assertLe(paid, (earned + claims) * PRICE);
        assertEq(_heldFor(), 0);
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET - paid);
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    // ------------------------------------------------------------ status

    function test_statusByTheSecond() public {
        assertEq(lens.statusOf(_t(id)), "open");
        vm.warp(terms.deadline + 1);
        assertEq(lens.statusOf(_t(id)), "settling");
        vm.warp(_t2(terms));
        assertEq(lens.statusOf(_t(id)), "settling");
        skip(1);
        assertEq(lens.statusOf(_t(id)), "claimable");
        vm.warp(_t3(terms));
        assertEq(lens.statusOf(_t(id)), "claimable");
        skip(1);
        assertEq(lens.statusOf(_t(id)), "refutable");
        vm.warp(_t4(terms));
        assertEq(lens.statusOf(_t(id)), "refutable");
        skip(1);
        assertEq(lens.statusOf(_t(id)), "refundable");
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    // ------------------------------------------------------------ helpers

    /// 5 are final; within the holdback period after T3 it is stated that 2 were taken back.
    function _lateReversal() private {
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 20 days);
        _openAs("late");
        vm.warp(_t2(terms) - CHALLENGE);
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t3(terms) + 1);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 2 * PRICE)));
        assertEq(_settleForReason(batch), 0);
        lastStated = batch.first;
    }

    /// A stranger refunds all but this.
    function _refundKeeps(uint256 kept) private {
        uint256 held = _heldFor();
        uint256 before = token.balanceOf(owner.addr);
        vm.expectEmit(address(escrow));
        emit Payments.Refunded(id, owner.addr, held - kept);
        vm.prank(stranger);
        escrow.refund(_t(id));
        assertEq(_heldFor(), kept);
        assertEq(token.balanceOf(owner.addr), before + held - kept);
        _nothingToRefund();
    }

    function _nothingToRefund() private {
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
    }

    function _tryRefund() private {
        try escrow.refund(_t(id)) {}
        catch (bytes memory revertData) {
            assertEq(bytes4(revertData), OutcomeEscrow.NothingToRefund.selector);
        }
    }
}
