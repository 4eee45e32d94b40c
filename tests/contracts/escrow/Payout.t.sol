// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileFixture} from "../support/HostileFixture.sol";
import {HostileToken} from "../support/HostileToken.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Payments on their way out, with hostile tokens and payees.
contract PayoutTest is HostileFixture {
    Terms private terms;
    bytes32 private id;
    uint256 private constant NET = PRICE * 975 / 1000;
    uint256 private constant FEE = PRICE * 25 / 1000;

    function setUp() public override {
        super.setUp();
        terms = _terms();
        id = _open(terms);
    }

    function test_aTokenMayReturnNothing() public {
        hostile.setMode(HostileToken.Mode.ReturnsNothing);
        _expectPaid(NET);
    }

    function test_aTokenMayGiveThePayeeLess() public {
        hostile.setMode(HostileToken.Mode.TakesFee);
        _expectPaid(NET - NET / 100);
    }

    function test_aTokenMayReturnTooMuch() public {
        hostile.setMode(HostileToken.Mode.ReturnsBomb);
        _expectPaid(NET);
    }

    /// It says yes and moves nothing: the payee's loss, and no other party's.
    function test_aLieCostsOnlyThePayee() public {
        hostile.setMode(HostileToken.Mode.Lies);
        _expectPaid(0);
        assertEq(hostile.balanceOf(address(escrow)), BUDGET);
    }

    function test_credited_theTokenReturnsFalse() public {
        hostile.setMode(HostileToken.Mode.ReturnsFalse);
        _expectCredited();
    }

    function test_credited_theTokenIsPaused() public {
        hostile.setMode(HostileToken.Mode.Paused);
        _expectCredited();
    }

    function test_credited_thePayeeIsBlocked() public {
        hostile.setBlocked(payee, true);
        _expectCredited();
    }

    function test_credited_theTokenBurnsItsGas() public {
        hostile.setMode(HostileToken.Mode.BurnsGas);
        uint256 before = gasleft();
        _expectCredited();
        assertLt(before - gasleft(), 1_000_000, "no more than its share");
    }

    /// It holds less than it should and would say that it has sent all: the same credit, while
    /// payees that can still be paid are paid.
    function test_credited_theTokenHasTakenItAway() public {
        terms.salt = "second";
        Entry memory second = _settlement(_open(terms), PRICE, 0);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0), second));
        deal(address(token), address(escrow), NET);
        hostile.setMode(HostileToken.Mode.Lies);
        vm.expectEmit(address(escrow));
        emit Vault.Credited(second.subject, payee, NET);
        _settle(batch);
        assertEq(escrow.creditOf(address(token), payee), NET);
        assertEq(escrow.creditOf(address(token), feeRecipient), 2 * FEE);
        assertEq(lens.paidOf(_t(id)), PRICE);
        assertEq(lens.paidOf(_t(second.subject)), PRICE);
    }

    function test_creditsAddUp() public {
        hostile.setBlocked(payee, true);
        _settleTotals(terms, PRICE, 0);
        _settleTotals(terms, 2 * PRICE, 0);
        assertEq(escrow.creditOf(address(token), payee), 2 * NET);
        hostile.setBlocked(payee, false);
        _withdraw(payee, payee);
        assertEq(hostile.balanceOf(payee), 2 * NET);
        assertEq(escrow.creditOf(address(token), payee), 0);
    }

    /// A credit is an amount that was not sent. A token that moved the money and then answers with
    /// nonsense would be paid twice, so the balance is checked, and all of it is undone.
    function test_revertIf_theTokenPaysAndDeniesIt() public {
        hostile.setMode(HostileToken.Mode.ReturnsTwo);
        _expectTookTooMuch(BUDGET, BUDGET - NET);
        hostile.setMode(HostileToken.Mode.ReturnsShort);
        _expectTookTooMuch(BUDGET, BUDGET - NET);
    }

    function test_revertIf_theTokenTakesMore() public {
        hostile.setMode(HostileToken.Mode.TakesMore);
        _expectTookTooMuch(BUDGET - NET, BUDGET - NET - NET / 100);
    }

    function test_theEscrowMayGetTokensMeanwhile() public {
        hostile.setHook(address(hostile), abi.encodeCall(hostile.mint, (address(escrow), 7)));
        _expectPaid(NET);
        assertEq(hostile.balanceOf(address(escrow)), BUDGET - NET + 7);
    }

    /// I10: the blocked one alone gets no transfer.
    function test_ofManyPayeesOnlyTheBlockedOneFails() public {
        Entry[] memory entries = new Entry[](5);
        for (uint256 i = 0; i < 5; ++i) {
            terms.payee = makeAddr(vm.toString(i));
            entries[i] = _settlement(_open(terms), PRICE, 0);
        }
        hostile.setBlocked(makeAddr("2"), true);
        _settle(_batch(_groupOf(terms), entries));
        for (uint256 i = 0; i < 5; ++i) {
            address account = makeAddr(vm.toString(i));
            assertEq(hostile.balanceOf(account), i == 2 ? 0 : NET);
            assertEq(escrow.creditOf(address(token), account), i == 2 ? NET : 0);
            assertEq(lens.paidOf(_t(entries[i].subject)), PRICE);
        }
        assertEq(escrow.creditOf(address(token), feeRecipient), 5 * FEE);
    }

    /// A caller cannot turn a payout into a credit by bringing little gas: it is paid, or all of it
    /// reverts.
    function testFuzz_littleGasCreditsNobody(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 50_000, 700_000);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        try escrow.settle{gas: gasLimit}(
            batch.group,
            batch.size,
            batch.first,
            batch.entries,
            batch.rules,
            batch.proof,
            batch.signature
        ) {
            assertEq(hostile.balanceOf(payee), NET);
        } catch {
            assertEq(lens.paidOf(_t(id)), 0);
        }
        assertEq(escrow.creditOf(address(token), payee), 0);
    }

    function test_revertIf_thereIsTooLittleGas() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        vm.expectPartialRevert(Vault.TooLittleGas.selector);
        escrow.settle{gas: 300_000}(
            batch.group,
            batch.size,
            batch.first,
            batch.entries,
            batch.rules,
            batch.proof,
            batch.signature
        );
    }

    /// The gas floor holds: a token that burns all its gas leaves enough to record the credit.
    function testFuzz_theFloorSufficesToRecordAFailure(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 300_000, 500_000);
        hostile.setMode(HostileToken.Mode.BurnsGas);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        try escrow.settle{gas: gasLimit}(
            batch.group,
            batch.size,
            batch.first,
            batch.entries,
            batch.rules,
            batch.proof,
            batch.signature
        ) {
            assertEq(escrow.creditOf(address(token), payee), NET);
        } catch (bytes memory revertData) {
            assertEq(bytes4(revertData), Vault.TooLittleGas.selector);
        }
    }

    /// The payee calls back into every function that changes anything; none answers.
    function test_aPayeeCannotReenter() public {
        terms.salt = "second";
        (bytes memory a, bytes memory b) = _consents(terms);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        bytes[] memory calls = new bytes[](5);
        calls[0] = abi.encodeCall(escrow.open, (terms, _allowance(), a, b));
        calls[1] = abi.encodeCall(
            escrow.settle,
            (
                batch.group,
                batch.size,
                batch.first,
                batch.entries,
                batch.rules,
                batch.proof,
                batch.signature
            )
        );
        calls[2] = abi.encodeCall(escrow.refund, (_t(id)));
        calls[3] = abi.encodeCall(escrow.withdraw, (address(token), stranger, 1));
        calls[4] =
            abi.encodeCall(escrow.withdrawFor, (payee, address(token), stranger, 1, START, ""));
        for (uint256 i = 0; i < calls.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            hostile.setHook(address(escrow), calls[i]);
            vm.expectCall(address(escrow), calls[i]);
            _settle(batch);
            assertFalse(hostile.hookResult());
            assertEq(hostile.balanceOf(payee), NET);
            vm.revertToState(snapshot);
        }
        (bool success, bytes memory answer) =
            address(this).call(abi.encodeCall(this.reenterDirectly, ()));
        assertTrue(success);
        assertEq(bytes4(abi.decode(answer, (bytes))), Vault.ReentrantCall.selector);
    }

    bytes private answered;

    /// The error that the guard answers with, seen from inside a transfer.
    function reenterDirectly() external returns (bytes memory) {
        hostile.setHook(address(this), abi.encodeCall(this.onTransfer, ()));
        _settle(_batch(_groupOf(terms), _list(_settlement(id, PRICE, 0))));
        return answered;
    }

    function onTransfer() external {
        (, answered) = address(escrow).call(abi.encodeCall(escrow.refund, (_t(id))));
    }

    // ------------------------------------------------------------ helpers

    function _expectPaid(uint256 received) private {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, NET, FEE);
        _settle(batch);
        assertEq(hostile.balanceOf(payee), received);
        assertEq(escrow.creditOf(address(token), payee), 0);
        assertEq(escrow.creditOf(address(token), feeRecipient), FEE);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    function _expectCredited() private {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, NET, FEE);
        vm.expectEmit(address(escrow));
        emit Vault.Credited(id, payee, NET);
        _settle(batch);
        assertEq(hostile.balanceOf(payee), 0);
        assertEq(escrow.creditOf(address(token), payee), NET);
        assertEq(escrow.creditOf(address(token), feeRecipient), FEE);
        assertEq(lens.paidOf(_t(id)), PRICE);
        assertEq(hostile.balanceOf(address(escrow)), BUDGET);
    }

    function _expectTookTooMuch(uint256 expected, uint256 found) private {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        vm.expectRevert(
            abi.encodeWithSelector(Vault.TokenTookTooMuch.selector, address(token), expected, found)
        );
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), 0);
    }
}
