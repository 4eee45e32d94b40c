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
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {Funding, Fundings} from "contracts/escrow/Fundings.sol";
import {Openings} from "contracts/escrow/Openings.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Opened by the owner's signatures alone: the owner sends nothing, has approved nothing, and owns
/// no ether. An earlier use of its signatures by a stranger must not stop the opening, and whoever
/// brings them has no choice of how the budget is paid.
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
        lens = new EscrowLens(escrow);
        dollar.mint(owner.addr, BUDGET);
        terms = _terms();
        id = _contractId(terms);
        _remember(id, terms);
    }

    // ------------------------------------------------------------ EIP-2612

    function test_aPermitOpens() public {
        Funding memory funding = _permit(BUDGET, UNTIL);
        vm.expectEmit(address(escrow));
        emit Openings.Opened(id, owner.addr, operator.addr, terms);
        assertEq(_openBy(funding), id);
        _assertOpen();
        assertEq(dollar.allowance(owner.addr, address(escrow)), 0);
        assertEq(dollar.nonces(owner.addr), 1);
    }

    /// A stranger that sees the permit first may use it; the allowance is given then.
    function test_aPermitThatWasUsedBefore() public {
        Funding memory permit = _permit(BUDGET, UNTIL);
        vm.prank(stranger);
        dollar.permit(
            owner.addr, address(escrow), BUDGET, permit.validBefore, permit.v, permit.r, permit.s
        );
        vm.expectCall(address(dollar), abi.encodeWithSelector(IERC20Permit.permit.selector));
        _openBy(permit);
        _assertOpen();
    }

    /// An allowance is enough for an owner that has signed for a permit.
    function test_anAllowanceDoesWithoutAPermit() public {
        vm.prank(owner.addr);
        dollar.approve(address(escrow), BUDGET);
        _openBy(_permit(1, UNTIL));
        _assertOpen();
    }

    function test_revertIf_thePermitIsNoGood() public {
        _expectNoAllowance(0);
        _openBy(_permit(BUDGET - 1, UNTIL)); // signed for less, so not for this
        _expectNoAllowance(0);
        _openBy(_permit(BUDGET, START - 1)); // expired
        Funding memory permit = _permit(BUDGET, UNTIL);
        permit.s = bytes32(uint256(permit.s) ^ 1);
        _expectNoAllowance(0);
        _openBy(permit);
        assertEq(lens.statusOf(_t(id)), "unknown");
        _openBy(_permit(BUDGET, UNTIL));
        _assertOpen();
    }

    // ------------------------------------------------------------ EIP-3009

    function test_anAuthorizationOpens() public {
        assertEq(_openBy(_authorization(BUDGET, 0, UNTIL, id)), id);
        _assertOpen();
        assertTrue(dollar.authorizationState(owner.addr, id));
        assertEq(dollar.allowance(owner.addr, address(escrow)), 0);
    }

    /// Only the escrow can use the authorization, so a stranger cannot use it before.
    function test_anAuthorizationCannotBeUsedBefore() public {
        Funding memory a = _authorization(BUDGET, 0, UNTIL, id);
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
        _openBy(a);
        _assertOpen();
    }

    /// An owner that has changed its mind cancels; no allowance that it gives for something else is
    /// taken instead.
    function test_revertIf_theAuthorizationIsCancelled() public {
        Funding memory a = _authorization(BUDGET, 0, UNTIL, id);
        bytes32 digest =
            _digest(address(dollar), vm.eip712HashStruct(CANCEL_TYPE, abi.encode(owner.addr, id)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(owner.key, digest);
        dollar.cancelAuthorization(owner.addr, id, v, r, s);
        vm.prank(owner.addr);
        dollar.approve(address(escrow), BUDGET);
        _expectNext(
            abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, owner.addr, id)
        );
        _openBy(a);
        assertEq(dollar.allowance(owner.addr, address(escrow)), BUDGET);
    }

    /// Its nonce is the contract, so it opens no other.
    function test_revertIf_authorizedForAnother() public {
        _expectNext(abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector));
        _openBy(_authorization(BUDGET, 0, UNTIL, "another"));
        dollar.mint(owner.addr, BUDGET);
        Funding memory a = _authorization(BUDGET, 0, UNTIL, id);
        _openBy(a);
        terms.salt = "second";
        id = _contractId(terms);
        _expectNext(abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector));
        _openBy(a);
    }

    function test_revertIf_theAuthorizationIsNoGood() public {
        _expectNext(abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector));
        _openBy(_authorization(BUDGET - 1, 0, UNTIL, id));
        Funding memory early = _authorization(BUDGET, START + 1, UNTIL, id);
        _expectNext(
            abi.encodeWithSelector(
                ERC3009.ERC3009InvalidAuthorizationTime.selector, START + 1, UNTIL
            )
        );
        _openBy(early);
        Funding memory late = _authorization(BUDGET, 0, START, id);
        _expectNext(
            abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, 0, START)
        );
        _openBy(late);
        _openBy(_authorization(BUDGET, START - 1, START + 1, id));
        _assertOpen();
    }

    // ------------------------------------------------------------ the path is the owner's word

    /// A stranger that sees the opening by an authorization cannot spend the allowance that the
    /// owner gave for another contract, nor the other way around.
    function test_revertIf_theBringerChoosesAnotherPath() public {
        vm.prank(owner.addr);
        dollar.approve(address(escrow), BUDGET); // for something else
        Funding[3] memory fundings =
            [_allowance(), _permit(BUDGET, UNTIL), _authorization(BUDGET, 0, UNTIL, id)];
        bytes memory b = _sign(operator, _operatorConsent(terms));
        for (uint8 signed = 0; signed < 3; ++signed) {
            bytes memory a = _sign(owner, _ownerConsent(terms, signed));
            for (uint8 brought = 0; brought < 3; ++brought) {
                uint256 snapshot = vm.snapshotState();
                if (signed != brought) {
                    vm.expectRevert(_notSigned(brought));
                }
                vm.prank(stranger);
                escrow.open(terms, fundings[brought], a, b);
                vm.revertToState(snapshot);
            }
        }
    }

    function testFuzz_revertIf_thePathIsUnknown(uint8 path) public {
        Funding memory funding;
        funding.path = uint8(bound(path, 3, 255));
        vm.prank(owner.addr);
        dollar.approve(address(escrow), BUDGET);
        _expectNext(abi.encodeWithSelector(Fundings.UnknownFunding.selector, funding.path));
        _openBy(funding);
    }

    /// What the owner signed for the token is no consent to the terms.
    function test_revertIf_theTermsAreNotSigned() public {
        bytes memory b = _sign(operator, _operatorConsent(terms));
        Funding[2] memory fundings = [_permit(BUDGET, UNTIL), _authorization(BUDGET, 0, UNTIL, id)];
        for (uint8 i = 0; i < 2; ++i) {
            vm.expectRevert(_notSigned(i + 1));
            escrow.open(terms, fundings[i], "", b);
            vm.expectRevert(_notSigned(i + 1));
            escrow.open(terms, fundings[i], b, b);
        }
    }

    /// The owner may bring it itself, without a signature under the terms.
    function test_theOwnerBringsIt() public {
        bytes memory b = _sign(operator, _operatorConsent(terms));
        Funding[2] memory fundings = [_permit(BUDGET, UNTIL), _authorization(BUDGET, 0, UNTIL, id)];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            vm.prank(owner.addr);
            escrow.open(terms, fundings[i], "", b);
            _assertOpen();
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ all three ways

    /// By one way or another, a contract is opened once.
    function test_revertIf_openAlready() public {
        _openBy(_permit(BUDGET, UNTIL));
        bytes memory revertData = abi.encodeWithSelector(Openings.AlreadyOpen.selector, id);
        dollar.mint(owner.addr, BUDGET);
        Funding memory permit = _permit(BUDGET, UNTIL);
        Funding memory authorization = _authorization(BUDGET, 0, UNTIL, id);
        _expectNext(revertData);
        _openBy(permit);
        _expectNext(revertData);
        _openBy(authorization);
        _expectNext(revertData);
        _openBy(_allowance());
        assertEq(dollar.balanceOf(owner.addr), BUDGET);
    }

    /// The rules are the same.
    function test_revertIf_theTermsBreakARule() public {
        terms.budget = 0;
        _expectNext(abi.encodeWithSignature("ZeroBudget()"));
        _openBy(_permit(0, UNTIL));
        _expectNext(abi.encodeWithSignature("ZeroBudget()"));
        _openBy(_authorization(0, 0, UNTIL, id));
    }

    /// A token may take any call for a good one (as wrapped ether does), and move nothing.
    function test_revertIf_theTokenOnlySaysYes() public {
        Funding memory authorization = _authorization(BUDGET, 0, UNTIL, id);
        vm.mockCall(
            address(dollar), abi.encodeWithSelector(IERC3009.receiveWithAuthorization.selector), ""
        );
        _expectNext(abi.encodeWithSelector(Fundings.ReceivedWrongAmount.selector, BUDGET, 0));
        _openBy(authorization);
        vm.mockCall(address(dollar), abi.encodeWithSelector(IERC20Permit.permit.selector), "");
        _expectNoAllowance(0);
        _openBy(_permit(BUDGET, UNTIL));
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

    function _notSigned(uint8 path) private view returns (bytes memory) {
        return
            abi.encodeWithSelector(Vault.NotSigned.selector, _ownerConsent(terms, path), owner.addr);
    }

    /// Both sign, the owner for this path, and a stranger brings it.
    function _openBy(Funding memory funding) private returns (bytes32) {
        bytes memory a = _sign(owner, _ownerConsent(terms, funding.path));
        bytes memory b = _sign(operator, _operatorConsent(terms));
        if (_expected.length != 0) vm.expectRevert(_expected);
        delete _expected;
        vm.prank(stranger);
        return escrow.open(terms, funding, a, b);
    }

    function _permit(uint256 amount, uint256 deadline)
        private
        view
        returns (Funding memory funding)
    {
        bytes memory message = abi.encode(
            owner.addr, address(escrow), amount, dollar.nonces(owner.addr), deadline
        );
        bytes32 digest = _digest(address(dollar), vm.eip712HashStruct(PERMIT_TYPE, message));
        (funding.path, funding.validBefore) = (1, deadline);
        (funding.v, funding.r, funding.s) = vm.sign(owner.key, digest);
    }

    function _authorization(uint256 amount, uint256 from, uint256 until, bytes32 nonce)
        private
        view
        returns (Funding memory funding)
    {
        bytes memory message = abi.encode(owner.addr, address(escrow), amount, from, until, nonce);
        bytes32 digest = _digest(address(dollar), vm.eip712HashStruct(RECEIVE_TYPE, message));
        (funding.path, funding.validAfter, funding.validBefore) = (2, from, until);
        (funding.v, funding.r, funding.s) = vm.sign(owner.key, digest);
    }

    /// As after any opening: the budget lies in the escrow, and the contract settles.
    function _assertOpen() private {
        assertEq(dollar.balanceOf(address(escrow)), BUDGET);
        assertEq(dollar.balanceOf(owner.addr), 0);
        assertEq(lens.statusOf(_t(id)), "open");
        _settleTotals(terms, PRICE, 0);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }
}

/// Tokens without permits or authorizations, and such that call back.
contract OpenBySignatureWithHostileTokenTest is HostileFixture {
    Funding private permit;
    Funding private authorization;

    function setUp() public override {
        super.setUp();
        (permit.path, authorization.path) = (1, 2);
    }

    /// Then the allowance serves an owner that signed for a permit, and no other.
    function test_aTokenMayKnowNeither() public {
        Terms memory terms = _terms();
        bytes memory b = _sign(operator, _operatorConsent(terms));
        bytes memory a = _sign(owner, _ownerConsent(terms, 2));
        vm.expectRevert();
        escrow.open(terms, authorization, a, b);
        a = _sign(owner, _ownerConsent(terms, 1));
        escrow.open(terms, permit, a, b);
        assertEq(hostile.balanceOf(address(escrow)), BUDGET);
    }

    function test_revertIf_theEscrowGetsLess() public {
        Terms memory terms = _terms();
        bytes memory a = _sign(owner, _ownerConsent(terms, 1));
        bytes memory b = _sign(operator, _operatorConsent(terms));
        hostile.setMode(HostileToken.Mode.TakesFee);
        vm.expectRevert(
            abi.encodeWithSelector(Fundings.ReceivedWrongAmount.selector, BUDGET, BUDGET * 99 / 100)
        );
        escrow.open(terms, permit, a, b);
    }

    function test_revertIf_reentered() public {
        Terms memory terms = _terms();
        terms.salt = "second";
        bytes32 id = _contractId(terms);
        bytes memory a = _sign(owner, _ownerConsent(terms, 1));
        bytes memory b = _sign(operator, _operatorConsent(terms));
        bytes[2] memory calls = [
            abi.encodeCall(escrow.open, (terms, permit, a, b)), abi.encodeCall(escrow.revoke, (id))
        ];
        terms.salt = "salt";
        a = _sign(owner, _ownerConsent(terms, 1));
        b = _sign(operator, _operatorConsent(terms));
        for (uint256 i = 0; i < calls.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            hostile.setHook(address(escrow), calls[i]);
            vm.expectCall(address(escrow), calls[i]);
            escrow.open(terms, permit, a, b);
            assertFalse(hostile.hookResult());
            assertEq(lens.statusOf(_t(id)), "unknown");
            vm.revertToState(snapshot);
        }
    }
}
