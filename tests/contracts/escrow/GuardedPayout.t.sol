// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileGuardedFixture} from "../support/HostileGuardedFixture.sol";
import {HostileToken} from "../support/HostileToken.sol";
import {Splitter} from "../support/Splitter.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Claim, ProvenReversal} from "contracts/evidence/EvidenceTypes.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Payments out of guarded contracts, by release, settlement, ruling, close and refund, with
/// hostile tokens and payees: a failure becomes a credit, and stops no other payment.
contract GuardedPayoutTest is HostileGuardedFixture {
    uint256 private constant NET = PRICE * 975 / 1000;
    uint256 private constant FEE = PRICE * 25 / 1000;

    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _guarded();
        id = _open(terms);
        _stateFinal(terms, PRICE, 0);
    }

    // ------------------------------------------------------------ release

    function test_release_paid() public {
        HostileToken.Mode[3] memory modes = [
            HostileToken.Mode.Honest,
            HostileToken.Mode.ReturnsNothing,
            HostileToken.Mode.ReturnsBomb
        ];
        for (uint256 i = 0; i < modes.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            hostile.setMode(modes[i]);
            escrow.release(_t(id));
            _assertPaid(NET, 0);
            vm.revertToState(snapshot);
        }
    }

    function test_release_credited() public {
        HostileToken.Mode[3] memory modes =
            [HostileToken.Mode.ReturnsFalse, HostileToken.Mode.Paused, HostileToken.Mode.BurnsGas];
        for (uint256 i = 0; i < modes.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            hostile.setMode(modes[i]);
            _expectCredited(NET, FEE);
            escrow.release(_t(id));
            _assertPaid(0, NET);
            vm.revertToState(snapshot);
        }
    }

    /// A credited amount is paid: it is not owed once more, and the payee takes it elsewhere.
    function test_release_credited_thePayeeIsBlocked() public {
        hostile.setBlocked(payee, true);
        _expectCredited(NET, FEE);
        escrow.release(_t(id));
        _assertPaid(0, NET);
        assertEq(lens.owed(_t(id)), 0);
        escrow.release(_t(id));
        _assertPaid(0, NET);
        hostile.setBlocked(payee, false);
        assertEq(_release(id), 0);
        _withdraw(payee, stranger);
        assertEq(token.balanceOf(stranger), NET);
        _withdraw(feeRecipient, feeRecipient);
        assertEq(token.balanceOf(address(escrow)), BUDGET - PRICE);
    }

    /// It is undone, and can be tried again.
    function test_release_revertIf_theTokenTakesMore() public {
        hostile.setMode(HostileToken.Mode.TakesMore);
        vm.expectRevert(
            abi.encodeWithSelector(
                Vault.TokenTookTooMuch.selector,
                address(token),
                BUDGET - NET,
                BUDGET - NET - NET / 100
            )
        );
        escrow.release(_t(id));
        hostile.setMode(HostileToken.Mode.ReturnsTwo); // it pays and denies it
        vm.expectRevert(
            abi.encodeWithSelector(
                Vault.TokenTookTooMuch.selector, address(token), BUDGET, BUDGET - NET
            )
        );
        escrow.release(_t(id));
        hostile.setMode(HostileToken.Mode.Honest);
        assertEq(_release(id), PRICE);
        _assertPaid(NET, 0);
    }

    /// A caller cannot turn a payout into a credit by bringing little gas.
    function testFuzz_release_littleGasCreditsNobody(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 50_000, 900_000);
        try escrow.release{gas: gasLimit}(_t(id)) {
            _assertPaid(NET, 0);
        } catch {
            assertEq(lens.paidOf(_t(id)), 0);
            assertEq(escrow.creditOf(address(token), payee), 0);
            assertEq(token.balanceOf(payee), 0);
        }
    }

    /// A credit empties the rate cap's bucket as a payment does.
    function test_release_creditsCountInTheCap() public {
        (terms.rateCap, terms.ratePeriod, terms.salt) = (2 * PRICE, 1 days, "cap");
        terms.opensAt = uint64(block.timestamp);
        bytes32 capped = _open(terms);
        _stateFinal(terms, 3 * PRICE, 0);
        hostile.setBlocked(payee, true);
        assertEq(_release(capped), PRICE);
        hostile.setBlocked(payee, false);
        assertEq(_release(capped), 0);
        skip(1 days);
        assertEq(_release(capped), PRICE);
        assertEq(token.balanceOf(payee), NET);
        assertEq(escrow.creditOf(address(token), payee), NET);
    }

    // ------------------------------------------------------------ settle, rule, close, refund

    function test_settle_credited() public {
        hostile.setBlocked(payee, true);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 2 * PRICE, 0)));
        _expectCredited(NET, FEE);
        _settle(batch);
        _assertPaid(0, NET);
    }

    /// I10: beside a plain contract of another payee, which is paid.
    function test_settle_onlyTheBlockedOneFails() public {
        Terms memory plain = _terms();
        (plain.payee, plain.opensAt) = (stranger, uint64(block.timestamp));
        bytes32 plainId = _open(plain);
        hostile.setBlocked(payee, true);
        _settle(
            _batch(
                _groupOf(terms), _list(_settlement(id, PRICE, 0), _settlement(plainId, PRICE, 0))
            )
        );
        _assertPaidTo(payee, 0, NET);
        assertEq(token.balanceOf(stranger), NET);
        assertEq(escrow.creditOf(address(token), feeRecipient), 2 * FEE);
    }

    function test_rule_credited() public {
        _state(terms, 2 * PRICE, 0); // pays the first
        _dispute(owner.addr, id);
        hostile.setMode(HostileToken.Mode.Paused);
        _rule(id, 2 * PRICE);
        assertEq(lens.paidOf(_t(id)), 2 * PRICE);
        _assertPaidTo(payee, NET, NET);
    }

    /// Both sides blocked: both are credited, and it is closed all the same.
    function test_close_credited() public {
        hostile.setBlocked(payee, true);
        hostile.setBlocked(owner.addr, true);
        _close(id, 2 * PRICE);
        _assertPaidTo(payee, 0, 2 * NET);
        assertEq(escrow.creditOf(address(token), owner.addr), BUDGET - 2 * PRICE);
        assertEq(lens.statusOf(_t(id)), "closed");
        _withdraw(owner.addr, stranger);
        _withdraw(payee, stranger);
        assertEq(token.balanceOf(address(escrow)), 2 * FEE);
    }

    function test_close_revertIf_theTokenTakesMore() public {
        hostile.setMode(HostileToken.Mode.TakesMore);
        _expectNext(abi.encodeWithSelector(Vault.TokenTookTooMuch.selector));
        _close(id, PRICE);
        assertNotEq(lens.statusOf(_t(id)), "closed");
    }

    function test_refund_credited() public {
        vm.warp(_t3(terms) + 1);
        hostile.setBlocked(owner.addr, true);
        vm.expectEmit(address(escrow));
        emit Payments.Refunded(id, owner.addr, BUDGET - PRICE);
        vm.expectEmit(address(escrow));
        emit Vault.Credited(id, owner.addr, BUDGET - PRICE);
        escrow.refund(_t(id));
        assertEq(escrow.creditOf(address(token), owner.addr), BUDGET - PRICE);
        assertEq(_release(id), PRICE);
    }

    // ------------------------------------------------------------ payees that are contracts

    function test_aSplitterPassesItOn() public {
        (address first, address second) = (makeAddr("first"), makeAddr("second"));
        terms.payee = address(new Splitter(first, second));
        (terms.opensAt, terms.salt) = (uint64(block.timestamp), "split");
        id = _open(terms);
        _stateFinal(terms, PRICE, 0);
        hostile.setHook(terms.payee, abi.encodeCall(Splitter.split, ()));
        assertEq(_release(id), PRICE);
        assertEq(token.balanceOf(first), NET / 2);
        assertEq(token.balanceOf(second), NET - NET / 2);
        assertEq(escrow.creditOf(address(token), terms.payee), 0);
    }

    /// A token that gives something back in the middle of a payout makes no account poorer.
    function test_aDonorHarmsNobody() public {
        hostile.setHook(address(hostile), abi.encodeCall(hostile.mint, (address(escrow), 7)));
        escrow.release(_t(id));
        _assertPaid(NET, 0);
        _close(id, 2 * PRICE);
        _assertPaidTo(payee, 2 * NET, 0);
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET - 2 * PRICE);
        assertEq(token.balanceOf(address(escrow)), 2 * FEE + 3 * 7);
    }

    /// The payee calls back, from within a release, into every function that changes anything; none
    /// answers.
    function test_aPayeeCannotReenter() public {
        bytes[] memory calls = _calls();
        for (uint256 i = 0; i < calls.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            hostile.setHook(address(this), abi.encodeCall(this.onTransfer, (calls[i])));
            escrow.release(_t(id));
            assertEq(answered, abi.encodeWithSelector(Vault.ReentrantCall.selector));
            _assertPaid(NET, 0);
            vm.revertToState(snapshot);
        }
    }

    bytes private answered;

    function onTransfer(bytes calldata data) external {
        (, answered) = address(escrow).call(data);
    }

    function _calls() private view returns (bytes[] memory calls) {
        calls = new bytes[](12);
        calls[0] = abi.encodeCall(escrow.open, (terms, _allowance(), "", ""));
        calls[1] = abi.encodeCall(escrow.revoke, (id));
        calls[2] = abi.encodeCall(
            escrow.settle, (_groupOf(terms), 1, 0, "", new uint256[](0), new bytes32[](0), "")
        );
        calls[3] = abi.encodeCall(escrow.release, (_t(id)));
        calls[4] = abi.encodeCall(escrow.dispute, (_t(id), 1));
        calls[5] = abi.encodeCall(escrow.rule, (_t(id), 1, 0));
        calls[6] = abi.encodeCall(escrow.disputeClaims, (_t(id)));
        calls[7] = abi.encodeCall(escrow.ruleClaims, (_t(id), 0));
        calls[8] = abi.encodeCall(escrow.close, (_t(id), 0, START, "", ""));
        calls[9] = abi.encodeCall(escrow.refund, (_t(id)));
        calls[10] = abi.encodeCall(escrow.withdraw, (address(token), stranger, 1));
        calls[11] =
            abi.encodeCall(escrow.withdrawFor, (payee, address(token), stranger, 1, START, ""));
    }

    /// Nor does Evidence, while it is called back itself.
    function test_evidenceCannotReenter() public {
        Claim memory claim;
        ProvenReversal memory reversal;
        bytes[4] memory calls = [
            abi.encodeCall(escrow.retire, (_t(id), "sum")),
            abi.encodeCall(escrow.fileClaim, (_t(id), "ann", claim)),
            abi.encodeCall(escrow.lowerClaim, (_t(id), "ann", 0, "answered")),
            abi.encodeCall(escrow.recordReversal, (_t(id), reversal))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            vm.etch(address(evidence), address(new Caller()).code);
            hostile.setHook(
                address(evidence), abi.encodeCall(Caller.call, (address(escrow), calls[i]))
            );
            escrow.release(_t(id));
            assertEq(
                Caller(address(evidence)).answered(),
                abi.encodeWithSelector(Vault.ReentrantCall.selector)
            );
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ helpers

    function _expectCredited(uint256 net, uint256 fee) private {
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, net, fee);
        vm.expectEmit(address(escrow));
        emit Vault.Credited(id, payee, net);
    }

    function _assertPaid(uint256 received, uint256 credited) private view {
        assertEq(lens.paidOf(_t(id)), PRICE);
        _assertPaidTo(payee, received, credited);
        assertEq(escrow.creditOf(address(token), feeRecipient), FEE);
    }

    function _assertPaidTo(address account, uint256 received, uint256 credited) private view {
        assertEq(token.balanceOf(account), received);
        assertEq(escrow.creditOf(address(token), account), credited);
    }
}

/// Calls for the test, and keeps the answer.
contract Caller {
    bytes public answered;

    function call(address target, bytes calldata data) external {
        (, answered) = target.call(data);
    }
}
