// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileFixture} from "../support/HostileFixture.sol";
import {HostileToken} from "../support/HostileToken.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Terms} from "contracts/terms/Terms.sol";

contract RefundTest is HostileFixture {
    Terms private terms;
    bytes32 private id;
    uint64 private endsAt;

    function setUp() public override {
        super.setUp();
        terms = _terms();
        id = _open(terms);
        endsAt = terms.deadline + terms.grace;
    }

    function test_refund() public {
        _settleTotals(terms, 3 * PRICE, 0);
        uint256 before = token.balanceOf(owner.addr);
        vm.warp(endsAt + 1);
        vm.expectEmit(address(escrow));
        emit Payments.Refunded(id, owner.addr, BUDGET - 3 * PRICE);
        vm.prank(stranger);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr), before + BUDGET - 3 * PRICE);
        assertEq(token.balanceOf(address(escrow)), escrow.creditOf(address(token), feeRecipient));
        assertEq(lens.paidOf(_t(id)), 3 * PRICE);
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    function test_allOfItIfNothingWasEarned() public {
        uint256 before = token.balanceOf(owner.addr);
        vm.warp(endsAt + 1);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr), before + BUDGET);
        assertEq(token.balanceOf(address(escrow)), 0);
    }

    function test_revertIf_beforeTheEnd() public {
        vm.warp(endsAt);
        vm.expectRevert(
            abi.encodeWithSelector(OutcomeEscrow.RefundTooEarly.selector, id, endsAt, endsAt)
        );
        escrow.refund(_t(id));
    }

    function test_revertIf_nothingIsLeft() public {
        vm.warp(endsAt + 1);
        escrow.refund(_t(id));
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
    }

    function test_revertIf_allIsPaid() public {
        _settleTotals(terms, BUDGET, 0);
        vm.warp(endsAt + 1);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
    }

    function test_revertIf_unknown() public {
        bytes32 unknown = escrow.contractIdOf(_t("?"));
        vm.expectRevert(abi.encodeWithSelector(Ledgers.UnknownContract.selector, unknown));
        escrow.refund(_t("?"));
    }

    /// Settlement and refund exclude each other, to the second.
    function testFuzz_neverBoth(uint64 time) public {
        vm.warp(bound(time, terms.opensAt, endsAt + 30 days));
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        _settle(batch);
        bool settled = lens.paidOf(_t(id)) == PRICE;
        try escrow.refund(_t(id)) {
            assertFalse(settled);
        } catch {
            assertTrue(settled);
        }
    }

    // ------------------------------------------------------------ I9: nothing stops it

    function test_aBlockedOwnerIsCredited() public {
        vm.warp(endsAt + 1);
        hostile.setBlocked(owner.addr, true);
        vm.expectEmit(address(escrow));
        emit Payments.Refunded(id, owner.addr, BUDGET);
        vm.expectEmit(address(escrow));
        emit Vault.Credited(id, owner.addr, BUDGET);
        escrow.refund(_t(id));
        assertEq(escrow.creditOf(address(token), owner.addr), BUDGET);
        _withdraw(owner.addr, stranger);
        assertEq(token.balanceOf(stranger), BUDGET);
    }

    function test_aPausedTokenDelaysIt() public {
        vm.warp(endsAt + 1);
        hostile.setMode(HostileToken.Mode.Paused);
        escrow.refund(_t(id));
        hostile.setMode(HostileToken.Mode.Honest);
        _withdraw(owner.addr, stranger);
        assertEq(token.balanceOf(stranger), BUDGET);
    }

    /// A token that has shrunk the escrow's balance and lies about transfers: what it does not hold
    /// is owed.
    function test_whatATokenHasTakenAwayIsCredited() public {
        vm.warp(endsAt + 1);
        deal(address(token), address(escrow), BUDGET - 1);
        hostile.setMode(HostileToken.Mode.Lies);
        vm.expectEmit(address(escrow));
        emit Vault.Credited(id, owner.addr, BUDGET);
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "refunded");

        deal(address(token), address(escrow), BUDGET);
        hostile.setMode(HostileToken.Mode.Honest);
        _withdraw(owner.addr, stranger);
        assertEq(token.balanceOf(stranger), BUDGET);
    }

    function test_revertIf_theTokenTakesMore() public {
        vm.warp(endsAt + 1);
        terms.salt = "second";
        terms.opensAt = endsAt + 1;
        terms.deadline = endsAt + 1;
        _open(terms);
        hostile.setMode(HostileToken.Mode.TakesMore);
        vm.expectPartialRevert(Vault.TokenTookTooMuch.selector);
        escrow.refund(_t(id));
    }
}
