// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {Openings} from "contracts/escrow/Openings.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// The parties end the contract: the amount that they agree on is paid, whatever was stated, and
/// the rest goes back. Consent is tested in Consent.t.sol.
contract CloseTest is GuardedFixture {
    uint256 private constant LEFT = 9 * BUDGET; // what the owner has besides

    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _claimable();
        id = _open(terms);
    }

    // ------------------------------------------------------------ what is paid

    function test_whatTheyAgreeOnIsPaidAndTheRestGoesBack() public {
        uint64 position = _stateFinal(terms, 5 * PRICE, 0);
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, position, 5 * PRICE, START + CHALLENGE);
        vm.expectEmit(address(escrow));
        emit OutcomeEscrow.Closed(id, 7 * PRICE + 1);
        uint256 fee = (7 * PRICE + 1) * 25 / 1000;
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, 7 * PRICE + 1 - fee, fee);
        vm.expectEmit(address(escrow));
        emit Payments.Refunded(id, owner.addr, BUDGET - 7 * PRICE - 1);
        _close(id, 7 * PRICE + 1);

        _assertClosed(7 * PRICE + 1);
        assertEq(escrow.closedAtOf(id), START + CHALLENGE + 1);
        assertEq(_lastFinal(id), position);
        assertEq(_lastSigned(id), position);
    }

    function test_nothingOrAll() public {
        uint256 snapshot = vm.snapshotState();
        vm.recordLogs();
        _close(id, 0);
        assertEq(vm.getRecordedLogs().length, 3, "Closed, Refunded and the token's Transfer");
        _assertClosed(0);
        vm.revertToState(snapshot);
        vm.recordLogs();
        _close(id, BUDGET);
        assertEq(vm.getRecordedLogs().length, 3, "Closed, Paid and the token's Transfer");
        _assertClosed(BUDGET);
        assertEq(lens.statusOf(_t(id)), "closed", "paid_out as it is");
    }

    /// Less than is final, but never less than is paid.
    function test_theRangeIsFromWhatIsPaidToTheBudget() public {
        _stateFinal(terms, 5 * PRICE, 0);
        _release(id);
        _stateFinal(terms, 9 * PRICE, 0);
        _expectOutOfRange(5 * PRICE - 1, 5 * PRICE, BUDGET);
        _expectOutOfRange(BUDGET + 1, 5 * PRICE, BUDGET);
        _expectOutOfRange(type(uint256).max, 5 * PRICE, BUDGET);
        _close(id, 5 * PRICE);
        _assertClosed(5 * PRICE);
    }

    /// After a refund there is only what it has left.
    function test_afterARefund() public {
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t3(terms) + 1);
        escrow.refund(_t(id));
        _expectOutOfRange(5 * PRICE + 1, 0, 5 * PRICE);
        _close(id, 4 * PRICE);
        _assertClosed(4 * PRICE);
    }

    function test_aPlainContract() public {
        Terms memory plain = _terms();
        bytes32 plainId = _open(plain);
        _settleTotals(plain, 3 * PRICE, 0);
        _expectNext(
            abi.encodeWithSelector(
                OutcomeEscrow.PayableOutOfRange.selector, 3 * PRICE - 1, 3 * PRICE, BUDGET
            )
        );
        _close(plainId, 3 * PRICE - 1);
        _close(plainId, 5 * PRICE);
        assertEq(lens.paidOf(_t(plainId)), 5 * PRICE);
        assertEq(lens.netOf(_t(plainId)), 5 * PRICE);
        assertEq(lens.owed(_t(plainId)), 0);
        assertEq(token.balanceOf(payee), 5 * PRICE * 975 / 1000);
        assertEq(token.balanceOf(owner.addr), LEFT - 5 * PRICE, "the other one is open");
        assertEq(lens.statusOf(_t(plainId)), "closed");
        _refused(plain, 6 * PRICE, 0, "closed");
    }

    /// Fees are on all that was paid, before and by the close.
    function testFuzz_everyUnitGoesSomewhere(uint256 first, uint256 agreed, uint16 feeBps) public {
        (terms.feeBps, terms.revenueShareBps) = (uint16(bound(feeBps, 0, 10_000)), 1);
        terms.salt = "fuzz";
        id = _open(terms);
        first = bound(first, 0, BUDGET);
        agreed = bound(agreed, first, BUDGET);
        _stateFinal(terms, first, 0);
        _release(id);
        uint256 before = token.balanceOf(owner.addr);
        _close(id, agreed);
        uint256 fee = agreed * terms.feeBps / 10_000;
        assertEq(lens.paidOf(_t(id)), agreed);
        assertEq(escrow.creditOf(address(token), feeRecipient), fee);
        assertEq(token.balanceOf(payee), agreed - fee);
        assertEq(token.balanceOf(owner.addr) - before, BUDGET - agreed);
        assertEq(_heldFor(), BUDGET, "the other contract");
    }

    // ------------------------------------------------------------ what it ends

    function test_aRipeStatementIsFinalBeforeTheClose() public {
        uint64 position = _stateFinal(terms, 5 * PRICE, 0);
        assertEq(_lastFinal(id), position);
        _close(id, PRICE);
        assertEq(_lastFinal(id), position);
        assertEq(_lastSigned(id), position);
        _assertClosed(PRICE);
    }

    function test_aPendingStatementIsDropped() public {
        uint64 first = _stateFinal(terms, 2 * PRICE, 0);
        _state(terms, 5 * PRICE, PRICE);
        _dispute(owner.addr, id);
        _dispute(operator.addr, id);
        _close(id, 3 * PRICE);
        assertEq(_pending(id).position, 0);
        assertFalse(_pending(id).ownerDisputed || _pending(id).operatorDisputed);
        assertEq(_lastSigned(id), first);
        skip(CHALLENGE + ARBITRATION + 1);
        assertEq(_release(id), 0);
        assertEq(_lastFinal(id), first);
        _assertClosed(3 * PRICE);
        vm.expectRevert(_notPending(lastStated, 0));
        _rule(id, BUDGET);
        vm.expectRevert(_notPending(lastStated, 0));
        _dispute(owner.addr, id);
    }

    function test_claimsAreDropped() public {
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t3(terms) + 1);
        vm.prank(owner.addr);
        escrow.disputeClaims(_t(id));
        _close(id, PRICE);
        bytes memory closed = abi.encodeWithSelector(Ledgers.AlreadyClosed.selector, id);
        vm.prank(arbiter.addr);
        vm.expectRevert(closed);
        escrow.ruleClaims(_t(id), 0);
        vm.prank(owner.addr);
        vm.expectRevert(closed);
        escrow.disputeClaims(_t(id));
        assertEq(lens.snapshotOf(_t(id)).claims, 0);
        assertEq(lens.reservedOf(_t(id)), PRICE);
        assertEq(lens.releasableAt(_t(id)), 0);
        vm.prank(address(evidence));
        vm.expectRevert(closed);
        escrow.lowerClaim(_t(id), bytes32(uint256(1)), 0, "answered");
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), 0);
        _assertClosed(PRICE);
    }

    function test_nothingIsStatedAfterwards() public {
        _stateFinal(terms, 2 * PRICE, 0);
        _close(id, 2 * PRICE);
        _refused(terms, 3 * PRICE, 0, "closed");
        _refused(terms, 2 * PRICE, PRICE, "closed");
        vm.warp(_t2(terms) + 1);
        _refused(terms, 2 * PRICE, PRICE, "closed");
    }

    function test_nothingIsRefundedTwice() public {
        _close(id, PRICE);
        vm.expectPartialRevert(OutcomeEscrow.RefundTooEarly.selector);
        escrow.refund(_t(id));
        vm.warp(_t3(terms) + 1);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
        _assertClosed(PRICE);
    }

    /// A ruling has lowered the net; the agreement replaces it, and is not added to it.
    function test_itReplacesARuling() public {
        _state(terms, 9 * PRICE, 0);
        _dispute(owner.addr, id);
        _rule(id, 4 * PRICE);
        _stateFinal(terms, 10 * PRICE, 0);
        assertEq(lens.netOf(_t(id)), 5 * PRICE);
        _close(id, 6 * PRICE);
        _assertClosed(6 * PRICE);
    }

    /// Also of a retired verifier's contract.
    function test_afterTheVerifierIsRetired() public {
        _state(terms, 9 * PRICE, 0);
        _retire(id);
        _close(id, 6 * PRICE);
        _assertClosed(6 * PRICE);
        assertTrue(_isRetired(id));
        _refused(terms, 9 * PRICE, 0, "closed");
    }

    // ------------------------------------------------------------ holdback and cap

    /// They agree, so nothing is left to be taken back.
    function test_nothingIsHeldBackAnyMore() public {
        (terms.holdbackBps, terms.holdbackPeriod, terms.salt) = (10_000, 30 days, "held");
        id = _open(terms);
        _stateFinal(terms, 5 * PRICE, 0);
        assertEq(_release(id), 0);
        _close(id, 5 * PRICE);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        assertEq(lens.releasableAt(_t(id)), 0);
    }

    function test_theCapStillSlowsItDown() public {
        (terms.rateCap, terms.ratePeriod, terms.salt) = (2 * PRICE, 1 days, "cap");
        id = _open(terms);
        uint256 before = token.balanceOf(owner.addr);
        _close(id, 3 * PRICE);
        assertEq(token.balanceOf(owner.addr) - before, BUDGET - 3 * PRICE, "at once");
        assertEq(lens.paidOf(_t(id)), PRICE);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
        assertEq(lens.owed(_t(id)), 2 * PRICE);
        assertEq(lens.releasableAt(_t(id)), START + 2 days);
        assertEq(lens.statusOf(_t(id)), "closed");
        skip(1 days);
        assertEq(_release(id), PRICE);
        skip(1 days);
        assertEq(_release(id), PRICE);
        assertEq(lens.owed(_t(id)), 0);
        vm.warp(_t3(terms) + 1);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
        assertEq(_heldFor(), BUDGET, "the other contract");
    }

    // ------------------------------------------------------------ room for others

    function test_aClosedExclusiveOneMakesRoomAtOnce() public {
        bytes32 first = _openExclusive("first");
        _close(first, 0);
        bytes32 second = _openExclusive("second");
        _expectOccupied("third");
        _close(second, 0);
        _openExclusive("third");
    }

    /// If the contract is not the only one, another may still be open.
    function test_aClosedOneAmongOthersMakesNone() public {
        (terms.outcome, terms.salt) = ("shared", "a");
        bytes32 first = _open(terms);
        terms.salt = "b";
        _open(terms);
        _close(first, 0);
        terms.exclusive = true;
        bytes32 outcomeId =
            keccak256(abi.encode(terms.owner, terms.logId, terms.surface, terms.outcome));
        (bytes memory a, bytes memory b) = _consents(terms);
        vm.expectRevert(
            abi.encodeWithSelector(Openings.OutcomeOccupied.selector, outcomeId, terms.deadline)
        );
        escrow.open(terms, _allowance(), a, b);
    }

    /// After its deadline the place belongs to another contract, and its close does not take it
    /// away.
    function test_aLateCloseMakesNoRoom() public {
        bytes32 first = _openExclusive("first");
        vm.warp(terms.deadline + 1);
        (terms.opensAt, terms.deadline) = (terms.deadline + 1, terms.deadline + 14 days);
        _openExclusive("second");
        _close(first, 0);
        _expectOccupied("third");
    }

    function test_closedInItsLastSecond() public {
        bytes32 first = _openExclusive("first");
        vm.warp(terms.deadline);
        _close(first, 0);
        (terms.opensAt, terms.deadline) = (terms.deadline, terms.deadline + 14 days);
        _openExclusive("second");
    }

    // ------------------------------------------------------------ helpers

    /// It is over: so much is paid, and the rest is the owner's.
    function _assertClosed(uint256 payableAmount) private view {
        uint256 fee = payableAmount * FEE_BPS / 10_000;
        assertEq(lens.statusOf(_t(id)), "closed");
        assertEq(lens.paidOf(_t(id)), payableAmount);
        assertEq(lens.netOf(_t(id)), payableAmount);
        assertEq(lens.owed(_t(id)), 0);
        assertEq(lens.releasableAt(_t(id)), 0);
        assertEq(token.balanceOf(payee), payableAmount - fee);
        assertEq(escrow.creditOf(address(token), feeRecipient), fee);
        assertEq(token.balanceOf(owner.addr), LEFT + BUDGET - payableAmount);
        assertEq(_heldFor(), 0);
    }

    function _expectOutOfRange(uint256 payableAmount, uint256 least, uint256 most) private {
        _expectNext(
            abi.encodeWithSelector(
                OutcomeEscrow.PayableOutOfRange.selector, payableAmount, least, most
            )
        );
        _close(id, payableAmount);
    }

    function _openExclusive(bytes32 salt) private returns (bytes32) {
        (terms.outcome, terms.exclusive, terms.salt) = ("exclusive", true, salt);
        return _open(terms);
    }

    function _expectOccupied(bytes32 salt) private {
        (terms.outcome, terms.exclusive, terms.salt) = ("exclusive", true, salt);
        (bytes memory a, bytes memory b) = _consents(terms);
        vm.expectPartialRevert(Openings.OutcomeOccupied.selector);
        escrow.open(terms, _allowance(), a, b);
    }
}
