// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HeavyToken} from "../support/HeavyToken.sol";
import {HostileFixture} from "../support/HostileFixture.sol";
import {HostileToken} from "../support/HostileToken.sol";
import {Wallet} from "../support/Wallet.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {Terms} from "contracts/terms/Terms.sol";

contract WithdrawTest is HostileFixture {
    uint256 private constant FEE = PRICE * 25 / 1000;
    uint64 private constant EXPIRES = START + 1 hours;

    Account private holder = makeAccount("holder");
    address private to = makeAddr("another address");

    /// The fee recipient is the holder of a credit.
    function setUp() public override {
        super.setUp();
        feeRecipient = holder.addr;
        Terms memory terms = _terms();
        _open(terms);
        _settleTotals(terms, PRICE, 0);
        assertEq(escrow.creditOf(address(token), holder.addr), FEE);
    }

    function test_withdraw() public {
        vm.expectEmit(address(escrow));
        emit Vault.Withdrawn(address(token), holder.addr, to, FEE);
        vm.prank(holder.addr);
        escrow.withdraw(address(token), to, FEE);
        assertEq(token.balanceOf(to), FEE);
        assertEq(escrow.creditOf(address(token), holder.addr), 0);
    }

    /// In any parts, down to the last unit.
    function testFuzz_inParts(uint256 first) public {
        first = bound(first, 1, FEE - 1);
        vm.startPrank(holder.addr);
        escrow.withdraw(address(token), to, first);
        assertEq(escrow.creditOf(address(token), holder.addr), FEE - first);
        vm.expectRevert(_tooSmall(holder.addr, FEE - first + 1, FEE - first));
        escrow.withdraw(address(token), to, FEE - first + 1);
        escrow.withdraw(address(token), to, FEE - first);
        assertEq(token.balanceOf(to), FEE);
        assertEq(escrow.creditOf(address(token), holder.addr), 0);
    }

    function test_revertIf_theCreditIsTooSmall() public {
        vm.expectRevert(_tooSmall(stranger, 1, 0));
        vm.prank(stranger);
        escrow.withdraw(address(token), to, 1);
        vm.startPrank(holder.addr);
        vm.expectRevert(_tooSmall(holder.addr, type(uint256).max, FEE));
        escrow.withdraw(address(token), to, type(uint256).max);
        escrow.withdraw(address(token), to, FEE);
        vm.expectRevert(_tooSmall(holder.addr, FEE, 0));
        escrow.withdraw(address(token), to, FEE);
    }

    function test_revertIf_nothingIsWithdrawn() public {
        vm.expectRevert(Vault.ZeroAmount.selector);
        vm.prank(holder.addr);
        escrow.withdraw(address(token), to, 0);
    }

    function _tooSmall(address account, uint256 amount, uint256 credit)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            Vault.CreditTooSmall.selector, address(token), account, amount, credit
        );
    }

    function test_revertIf_theReceiverCannotBeMeant() public {
        vm.startPrank(holder.addr);
        vm.expectRevert(abi.encodeWithSelector(Vault.InvalidRecipient.selector, address(0)));
        escrow.withdraw(address(token), address(0), FEE);
        vm.expectRevert(abi.encodeWithSelector(Vault.InvalidRecipient.selector, address(escrow)));
        escrow.withdraw(address(token), address(escrow), FEE);
    }

    /// A failed withdrawal keeps the credit.
    function test_revertIf_theTransferFails() public {
        hostile.setBlocked(to, true);
        vm.startPrank(holder.addr);
        vm.expectRevert(
            abi.encodeWithSelector(Vault.TransferFailed.selector, address(token), to, FEE)
        );
        escrow.withdraw(address(token), to, FEE);
        hostile.setMode(HostileToken.Mode.TakesMore);
        vm.expectPartialRevert(Vault.TokenTookTooMuch.selector);
        escrow.withdraw(address(token), stranger, FEE);
        hostile.setMode(HostileToken.Mode.Honest);
        escrow.withdraw(address(token), stranger, FEE);
        assertEq(token.balanceOf(stranger), FEE);
    }

    /// If a token has shrunk the escrow's balance, no transfer of more than is there is tried: its
    /// "sent" would be a lie.
    function test_revertIf_theTokenHasTakenItAway() public {
        deal(address(token), address(escrow), FEE - 1);
        hostile.setMode(HostileToken.Mode.Lies);
        vm.expectRevert(
            abi.encodeWithSelector(Vault.TransferFailed.selector, address(token), to, FEE)
        );
        vm.prank(holder.addr);
        escrow.withdraw(address(token), to, FEE);
        assertEq(escrow.creditOf(address(token), holder.addr), FEE);
    }

    /// One unit that is missing locks that unit alone.
    function test_whatIsThereCanBeWithdrawn() public {
        deal(address(token), address(escrow), FEE - 1);
        vm.startPrank(holder.addr);
        vm.expectPartialRevert(Vault.TransferFailed.selector);
        escrow.withdraw(address(token), to, FEE);
        escrow.withdraw(address(token), to, FEE - 1);
        assertEq(token.balanceOf(to), FEE - 1);
        assertEq(escrow.creditOf(address(token), holder.addr), 1);
    }

    /// A transfer that costs more than a payout may: payouts and refunds become credits, and their
    /// holders withdraw them with gas of their own.
    function test_aHeavyTokenLocksNoCredit() public {
        HeavyToken heavy = new HeavyToken();
        token = heavy;
        escrow = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), _list(address(token))
        );
        lens = new EscrowLens(escrow);
        _fund(owner.addr, BUDGET);
        Terms memory terms = _terms();
        bytes32 id = _open(terms);
        heavy.setCost(250_000);
        _settleTotals(terms, PRICE, 0);
        vm.warp(terms.deadline + terms.grace + 1);
        escrow.refund(_t(id));

        address[3] memory holders = [payee, feeRecipient, owner.addr];
        uint256[3] memory amounts = [PRICE - FEE, FEE, BUDGET - PRICE];
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(escrow.creditOf(address(token), holders[i]), amounts[i]);
            vm.expectPartialRevert(Vault.TransferFailed.selector);
            vm.prank(holders[i]);
            escrow.withdraw{gas: 200_000}(address(token), to, amounts[i]);
            vm.prank(holders[i]);
            escrow.withdraw{gas: 500_000}(address(token), to, amounts[i]);
        }
        assertEq(token.balanceOf(to), BUDGET);
    }

    // ------------------------------------------------------------ by signature

    function test_anyoneBringsTheSignature() public {
        bytes memory signature = _sign(holder, _withdrawalDigest(0));
        vm.warp(EXPIRES);
        vm.prank(stranger);
        escrow.withdrawFor(holder.addr, address(token), to, FEE, EXPIRES, signature);
        assertEq(token.balanceOf(to), FEE);
        assertEq(escrow.nonces(holder.addr), 1);
    }

    function test_aWalletSigns() public {
        Wallet wallet = new Wallet(holder.addr);
        feeRecipient = address(wallet);
        Terms memory terms = _terms();
        _open(terms);
        _settleTotals(terms, PRICE, 0);
        bytes memory message =
            abi.encode(address(wallet), address(token), to, FEE, uint256(0), EXPIRES);
        bytes32 structHash = vm.eip712HashStruct(WITHDRAWAL_TYPE, message);
        bytes memory signature = _sign(holder, _digest(address(escrow), structHash));
        escrow.withdrawFor(address(wallet), address(token), to, FEE, EXPIRES, signature);
        assertEq(token.balanceOf(to), FEE);
    }

    function test_revertIf_usedTwice() public {
        bytes memory signature = _sign(holder, _withdrawalDigest(0));
        escrow.withdrawFor(holder.addr, address(token), to, FEE, EXPIRES, signature);
        _settleTotals(_terms(), 2 * PRICE, 0);
        _expectNotSigned(1, to, EXPIRES, signature);
        assertEq(escrow.creditOf(address(token), holder.addr), FEE);
    }

    function test_revertIf_expired() public {
        bytes memory signature = _sign(holder, _withdrawalDigest(0));
        vm.warp(EXPIRES + 1);
        vm.expectRevert(
            abi.encodeWithSelector(Vault.WithdrawalExpired.selector, EXPIRES, EXPIRES + 1)
        );
        escrow.withdrawFor(holder.addr, address(token), to, FEE, EXPIRES, signature);
    }

    function test_revertIf_somethingElseWasSigned() public {
        bytes memory signature = _sign(holder, _withdrawalDigest(0));
        _expectNotSigned(0, stranger, EXPIRES, signature);
        _expectNotSigned(0, to, EXPIRES + 1, signature);
        _expectNotSigned(0, to, EXPIRES, _sign(operator, _withdrawalDigest(0)));
        _expectNotSigned(0, to, EXPIRES, _sign(holder, _withdrawalDigest(1)));
        _expectNotSigned(0, to, EXPIRES, "");
        vm.expectPartialRevert(Vault.NotSigned.selector);
        escrow.withdrawFor(holder.addr, address(token), to, FEE - 1, EXPIRES, signature);
        vm.expectPartialRevert(Vault.NotSigned.selector);
        escrow.withdrawFor(payee, address(token), to, FEE, EXPIRES, signature);
        vm.expectPartialRevert(Vault.NotSigned.selector);
        escrow.withdrawFor(holder.addr, stranger, to, FEE, EXPIRES, signature);
    }

    /// A transfer that fails today uses up no signature.
    function test_aFailureUsesNoNonce() public {
        bytes memory signature = _sign(holder, _withdrawalDigest(0));
        hostile.setMode(HostileToken.Mode.Paused);
        vm.expectPartialRevert(Vault.TransferFailed.selector);
        escrow.withdrawFor(holder.addr, address(token), to, FEE, EXPIRES, signature);
        hostile.setMode(HostileToken.Mode.Honest);
        escrow.withdrawFor(holder.addr, address(token), to, FEE, EXPIRES, signature);
        assertEq(token.balanceOf(to), FEE);
    }

    function _withdrawalDigest(uint256 nonce) private view returns (bytes32) {
        return _withdrawalDigest(nonce, to, EXPIRES);
    }

    function _withdrawalDigest(uint256 nonce, address to_, uint64 expiresAt)
        private
        view
        returns (bytes32)
    {
        bytes memory message = abi.encode(holder.addr, address(token), to_, FEE, nonce, expiresAt);
        return _digest(address(escrow), vm.eip712HashStruct(WITHDRAWAL_TYPE, message));
    }

    function _expectNotSigned(uint256 nonce, address to_, uint64 expiresAt, bytes memory signature)
        private
    {
        bytes32 digest = _withdrawalDigest(nonce, to_, expiresAt);
        vm.expectRevert(abi.encodeWithSelector(Vault.NotSigned.selector, digest, holder.addr));
        escrow.withdrawFor(holder.addr, address(token), to_, FEE, expiresAt, signature);
    }
}
