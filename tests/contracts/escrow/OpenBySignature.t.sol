// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Dollar} from "../support/Dollar.sol";
import {Fixture} from "../support/Fixture.sol";
import {HostileFixture} from "../support/HostileFixture.sol";
import {HostileToken} from "../support/HostileToken.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Opened by the owner's signatures alone: the owner sends nothing, has approved nothing, and owns
/// no ether. An earlier use of its signatures by a stranger must not stop the opening.
contract OpenBySignatureTest is Fixture {
    string private constant PERMIT_TYPE =
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)";
    string private constant RECEIVE_TYPE =
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
    string private constant CANCEL_TYPE = "CancelAuthorization(address authorizer,bytes32 nonce)";
    uint256 private constant UNTIL = START + 1 hours;

    Dollar private dollar;
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        dollar = new Dollar();
        token = TestStablecoin(address(dollar));
        escrow = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), _list(address(token))
        );
        dollar.mint(owner.addr, BUDGET);
        terms = _terms();
        id = _contractId(terms);
    }

    // ------------------------------------------------------------ EIP-2612

    function test_aPermitOpens() public {
        OutcomeEscrow.Permit memory permit = _permit(BUDGET, UNTIL);
        vm.expectEmit(address(escrow));
        emit OutcomeEscrow.Opened(id, owner.addr, operator.addr, logId, terms.surface);
        assertEq(_openWithPermit(permit), id);
        _assertOpen();
        assertEq(dollar.allowance(owner.addr, address(escrow)), 0);
        assertEq(dollar.nonces(owner.addr), 1);
    }

    /// A stranger that sees the permit first may use it; the allowance is given then.
    function test_aPermitThatWasUsedBefore() public {
        OutcomeEscrow.Permit memory permit = _permit(BUDGET, UNTIL);
        vm.prank(stranger);
        dollar.permit(
            owner.addr, address(escrow), BUDGET, permit.deadline, permit.v, permit.r, permit.s
        );
        vm.expectCall(address(dollar), abi.encodeWithSelector(IERC20Permit.permit.selector));
        _openWithPermit(permit);
        _assertOpen();
    }

    /// An allowance is enough, whatever the permit says.
    function test_anAllowanceDoesWithoutAPermit() public {
        vm.prank(owner.addr);
        dollar.approve(address(escrow), BUDGET);
        _openWithPermit(_permit(1, UNTIL));
        _assertOpen();
    }

    function test_revertIf_thePermitIsNoGood() public {
        _expectNoAllowance(0);
        _openWithPermit(_permit(BUDGET - 1, UNTIL)); // signed for less, so not for this
        _expectNoAllowance(0);
        _openWithPermit(_permit(BUDGET, START - 1)); // expired
        OutcomeEscrow.Permit memory permit = _permit(BUDGET, UNTIL);
        permit.s = bytes32(uint256(permit.s) ^ 1);
        _expectNoAllowance(0);
        _openWithPermit(permit);
        assertEq(escrow.statusOf(id), "unknown");
        _openWithPermit(_permit(BUDGET, UNTIL));
        _assertOpen();
    }

    /// The permit is no consent to the terms.
    function test_revertIf_theTermsAreNotSigned() public {
        OutcomeEscrow.Permit memory permit = _permit(BUDGET, UNTIL);
        bytes memory signature = _sign(operator, id);
        bytes memory notSigned = abi.encodeWithSelector(Vault.NotSigned.selector, id, owner.addr);
        vm.startPrank(stranger);
        vm.expectRevert(notSigned);
        escrow.openWithPermit(terms, "", signature, permit);
        vm.expectRevert(notSigned);
        escrow.openWithPermit(terms, signature, signature, permit);
        OutcomeEscrow.Authorization memory authorization = _authorization(BUDGET, 0, UNTIL, id);
        vm.expectRevert(notSigned);
        escrow.openWithAuthorization(terms, "", signature, authorization);
    }

    /// The owner may bring it itself, without a signature under the terms.
    function test_theOwnerBringsIt() public {
        bytes memory signature = _sign(operator, id);
        uint256 snapshot = vm.snapshotState();
        OutcomeEscrow.Permit memory permit = _permit(BUDGET, UNTIL);
        vm.prank(owner.addr);
        escrow.openWithPermit(terms, "", signature, permit);
        _assertOpen();
        vm.revertToState(snapshot);
        OutcomeEscrow.Authorization memory authorization = _authorization(BUDGET, 0, UNTIL, id);
        vm.prank(owner.addr);
        escrow.openWithAuthorization(terms, "", signature, authorization);
        _assertOpen();
    }

    // ------------------------------------------------------------ EIP-3009

    function test_anAuthorizationOpens() public {
        assertEq(_openWithAuthorization(_authorization(BUDGET, 0, UNTIL, id)), id);
        _assertOpen();
        assertTrue(dollar.authorizationState(owner.addr, id));
        assertEq(dollar.allowance(owner.addr, address(escrow)), 0);
    }

    /// Only the escrow can use the authorization, so a stranger cannot use it before.
    function test_anAuthorizationCannotBeUsedBefore() public {
        OutcomeEscrow.Authorization memory a = _authorization(BUDGET, 0, UNTIL, id);
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(escrow))
        );
        dollar.receiveWithAuthorization(
            owner.addr, address(escrow), BUDGET, a.validAfter, a.validBefore, id, a.v, a.r, a.s
        );
        vm.prank(stranger);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        dollar.transferWithAuthorization(
            owner.addr, address(escrow), BUDGET, a.validAfter, a.validBefore, id, a.v, a.r, a.s
        );
        _openWithAuthorization(a);
        _assertOpen();
    }

    /// An owner that has changed its mind can cancel; an allowance that it gives otherwise still
    /// counts.
    function test_aCancelledAuthorization() public {
        OutcomeEscrow.Authorization memory a = _authorization(BUDGET, 0, UNTIL, id);
        bytes32 digest =
            _digest(address(dollar), vm.eip712HashStruct(CANCEL_TYPE, abi.encode(owner.addr, id)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(owner.key, digest);
        dollar.cancelAuthorization(owner.addr, id, v, r, s);
        _expectNoAllowance(0);
        _openWithAuthorization(a);
        vm.prank(owner.addr);
        dollar.approve(address(escrow), BUDGET);
        _openWithAuthorization(a);
        _assertOpen();
        assertEq(dollar.allowance(owner.addr, address(escrow)), 0);
    }

    /// Its nonce is the contract, so it opens no other.
    function test_revertIf_authorizedForAnother() public {
        _expectNoAllowance(0);
        _openWithAuthorization(_authorization(BUDGET, 0, UNTIL, "another"));
        dollar.mint(owner.addr, BUDGET);
        OutcomeEscrow.Authorization memory a = _authorization(BUDGET, 0, UNTIL, id);
        _openWithAuthorization(a);
        terms.salt = "second";
        id = _contractId(terms);
        _expectNoAllowance(0);
        _openWithAuthorization(a);
    }

    function test_revertIf_theAuthorizationIsNoGood() public {
        _expectNoAllowance(0);
        _openWithAuthorization(_authorization(BUDGET - 1, 0, UNTIL, id));
        _expectNoAllowance(0);
        _openWithAuthorization(_authorization(BUDGET, START + 1, UNTIL, id)); // too early
        _expectNoAllowance(0);
        _openWithAuthorization(_authorization(BUDGET, 0, START, id)); // too late
        _openWithAuthorization(_authorization(BUDGET, START - 1, START + 1, id));
        _assertOpen();
    }

    // ------------------------------------------------------------ all three ways

    /// By one way or another, a contract is opened once.
    function test_revertIf_openAlready() public {
        _openWithPermit(_permit(BUDGET, UNTIL));
        bytes memory revertData = abi.encodeWithSelector(OutcomeEscrow.AlreadyOpen.selector, id);
        dollar.mint(owner.addr, BUDGET);
        OutcomeEscrow.Permit memory permit = _permit(BUDGET, UNTIL);
        OutcomeEscrow.Authorization memory authorization = _authorization(BUDGET, 0, UNTIL, id);
        _expectNext(revertData);
        _openWithPermit(permit);
        _expectNext(revertData);
        _openWithAuthorization(authorization);
        assertEq(dollar.balanceOf(owner.addr), BUDGET);
    }

    /// The rules are the same.
    function test_revertIf_theTermsBreakARule() public {
        terms.budget = 0;
        _expectNext(abi.encodeWithSignature("ZeroBudget()"));
        _openWithPermit(_permit(0, UNTIL));
        _expectNext(abi.encodeWithSignature("ZeroBudget()"));
        _openWithAuthorization(_authorization(0, 0, UNTIL, id));
    }

    /// A token may take any call for a good one (as wrapped ether does), and move nothing.
    function test_revertIf_theTokenOnlySaysYes() public {
        OutcomeEscrow.Authorization memory authorization = _authorization(BUDGET, 0, UNTIL, id);
        vm.mockCall(
            address(dollar), abi.encodeWithSelector(IERC3009.receiveWithAuthorization.selector), ""
        );
        _expectNext(abi.encodeWithSelector(Vault.ReceivedWrongAmount.selector, BUDGET, 0));
        _openWithAuthorization(authorization);
        vm.mockCall(address(dollar), abi.encodeWithSelector(IERC20Permit.permit.selector), "");
        _expectNoAllowance(0);
        _openWithPermit(_permit(BUDGET, UNTIL));
    }

    // ------------------------------------------------------------ helpers

    bytes private _expected;

    function _expectNext(bytes memory revertData) private {
        _expected = revertData;
    }

    function _expectNoAllowance(uint256 allowance) private {
        _expectNext(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(escrow), allowance, BUDGET
            )
        );
    }

    function _openWithPermit(OutcomeEscrow.Permit memory permit) private returns (bytes32) {
        (bytes memory a, bytes memory b) = _bothSign();
        vm.prank(stranger);
        return escrow.openWithPermit(terms, a, b, permit);
    }

    function _openWithAuthorization(OutcomeEscrow.Authorization memory authorization)
        private
        returns (bytes32)
    {
        (bytes memory a, bytes memory b) = _bothSign();
        vm.prank(stranger);
        return escrow.openWithAuthorization(terms, a, b, authorization);
    }

    function _bothSign() private returns (bytes memory a, bytes memory b) {
        bytes32 contractId = _contractId(terms);
        (a, b) = (_sign(owner, contractId), _sign(operator, contractId));
        if (_expected.length != 0) vm.expectRevert(_expected);
        delete _expected;
    }

    function _permit(uint256 amount, uint256 deadline)
        private
        view
        returns (OutcomeEscrow.Permit memory permit)
    {
        bytes memory message = abi.encode(
            owner.addr, address(escrow), amount, dollar.nonces(owner.addr), deadline
        );
        bytes32 digest = _digest(address(dollar), vm.eip712HashStruct(PERMIT_TYPE, message));
        permit.deadline = deadline;
        (permit.v, permit.r, permit.s) = vm.sign(owner.key, digest);
    }

    function _authorization(uint256 amount, uint256 from, uint256 until, bytes32 nonce)
        private
        view
        returns (OutcomeEscrow.Authorization memory authorization)
    {
        bytes memory message = abi.encode(owner.addr, address(escrow), amount, from, until, nonce);
        bytes32 digest = _digest(address(dollar), vm.eip712HashStruct(RECEIVE_TYPE, message));
        (authorization.validAfter, authorization.validBefore) = (from, until);
        (authorization.v, authorization.r, authorization.s) = vm.sign(owner.key, digest);
    }

    /// As after any opening: the budget lies in the escrow, and the contract settles.
    function _assertOpen() private {
        assertEq(dollar.balanceOf(address(escrow)), BUDGET);
        assertEq(dollar.balanceOf(owner.addr), 0);
        assertEq(escrow.statusOf(id), "open");
        _settleTotals(terms, PRICE, 0);
        assertEq(escrow.paidOf(id), PRICE);
    }
}

/// Tokens without permits or authorizations, and such that call back.
contract OpenBySignatureWithHostileTokenTest is HostileFixture {
    OutcomeEscrow.Permit private permit;
    OutcomeEscrow.Authorization private authorization;

    function test_aTokenMayKnowNeither() public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        (bytes memory a, bytes memory b) = (_sign(owner, id), _sign(operator, id));
        uint256 snapshot = vm.snapshotState();
        escrow.openWithPermit(terms, a, b, permit);
        assertEq(hostile.balanceOf(address(escrow)), BUDGET);
        vm.revertToState(snapshot);
        escrow.openWithAuthorization(terms, a, b, authorization);
        assertEq(hostile.balanceOf(address(escrow)), BUDGET);
    }

    function test_revertIf_theEscrowGetsLess() public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        (bytes memory a, bytes memory b) = (_sign(owner, id), _sign(operator, id));
        hostile.setMode(HostileToken.Mode.TakesFee);
        bytes memory revertData =
            abi.encodeWithSelector(Vault.ReceivedWrongAmount.selector, BUDGET, BUDGET * 99 / 100);
        vm.expectRevert(revertData);
        escrow.openWithPermit(terms, a, b, permit);
        vm.expectRevert(revertData);
        escrow.openWithAuthorization(terms, a, b, authorization);
    }

    function test_revertIf_reentered() public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        (bytes memory a, bytes memory b) = (_sign(owner, id), _sign(operator, id));
        terms.salt = "second";
        id = _contractId(terms);
        (bytes memory c, bytes memory d) = (_sign(owner, id), _sign(operator, id));
        bytes[2] memory calls = [
            abi.encodeCall(escrow.openWithPermit, (terms, c, d, permit)),
            abi.encodeCall(escrow.openWithAuthorization, (terms, c, d, authorization))
        ];
        terms.salt = "salt";
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            hostile.setHook(address(escrow), calls[i % 2]);
            vm.expectCall(address(escrow), calls[i % 2]);
            if (i < 2) escrow.openWithPermit(terms, a, b, permit);
            else escrow.openWithAuthorization(terms, a, b, authorization);
            assertFalse(hostile.hookResult());
            assertEq(escrow.statusOf(id), "unknown");
            vm.revertToState(snapshot);
        }
    }
}
