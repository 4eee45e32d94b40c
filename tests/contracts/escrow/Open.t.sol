// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {HostileFixture} from "../support/HostileFixture.sol";
import {HostileToken} from "../support/HostileToken.sol";
import {Wallet} from "../support/Wallet.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Fundings} from "contracts/escrow/Fundings.sol";
import {Openings} from "contracts/escrow/Openings.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {Terms} from "contracts/terms/Terms.sol";

contract OpenTest is Fixture {
    uint256 private constant LIMIT = type(uint80).max;

    // ------------------------------------------------------------ it opens

    function test_open() public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        uint256 before = token.balanceOf(owner.addr);
        // An allowance needs no permit, so none is tried.
        vm.expectCall(address(token), abi.encodePacked(IERC20Permit.permit.selector), 0);
        vm.expectEmit(address(escrow));
        emit Openings.Opened(id, owner.addr, operator.addr, terms);
        assertEq(_open(terms), id);

        assertEq(token.balanceOf(address(escrow)), BUDGET);
        assertEq(token.balanceOf(owner.addr), before - BUDGET);
        assertEq(abi.encode(_t(id)), abi.encode(terms));
        assertEq(lens.paidOf(_t(id)), 0);
        assertEq(_lastFinal(id), 0);
        assertEq(lens.statusOf(_t(id)), "open");
    }

    function testFuzz_open(Terms memory terms) public {
        terms.owner = owner.addr;
        terms.operator = operator.addr;
        terms.token = address(token);
        terms.logId = logId;
        terms.attribution = uint8(bound(terms.attribution, 0, 1));
        terms.budget = bound(terms.budget, 1, LIMIT);
        terms.unitPrice = bound(terms.unitPrice, 1, LIMIT);
        terms.revenueShareBps = uint16(bound(terms.revenueShareBps, 0, 10_000));
        terms.feeBps = uint16(bound(terms.feeBps, 0, 10_000));
        terms.opensAt = uint64(bound(terms.opensAt, START, START + 365 days));
        terms.deadline = uint64(bound(terms.deadline, terms.opensAt, START + 730 days));
        terms.grace = uint64(bound(terms.grace, 0, 1 << 39));
        terms.attributionWindow = uint64(bound(terms.attributionWindow, 0, 1 << 37));
        terms.lateness = uint64(bound(terms.lateness, 0, 1 << 37));
        vm.assume(terms.payee != address(0) && terms.payee != address(escrow));
        vm.assume(terms.verifier != address(0));
        vm.assume(terms.feeRecipient != address(0) && terms.feeRecipient != address(escrow));
        (terms.arbiter, terms.claimPeriod, terms.challengePeriod) = (address(0), 0, 0);
        (terms.arbitrationPeriod, terms.holdbackBps, terms.holdbackPeriod) = (0, 0, 0);
        (terms.rateCap, terms.ratePeriod, terms.agentIdPlusOne) = (0, 0, 0);
        _fund(owner.addr, terms.budget);

        bytes32 id = _open(terms);
        assertEq(abi.encode(_t(id)), abi.encode(terms));
        assertEq(token.balanceOf(address(escrow)), terms.budget);
    }

    function test_theOwnerMayCallWithoutASignature() public {
        Terms memory terms = _terms();
        bytes memory signature = _sign(operator, _operatorConsent(terms));
        vm.prank(owner.addr);
        escrow.open(terms, _allowance(), "", signature);
    }

    function test_theOperatorMayCallWithoutASignature() public {
        Terms memory terms = _terms();
        bytes memory signature = _sign(owner, _ownerConsent(terms, 0));
        vm.prank(operator.addr);
        escrow.open(terms, _allowance(), signature, "");
    }

    function test_walletsMayBeParties() public {
        Wallet ownerWallet = new Wallet(owner.addr);
        Wallet operatorWallet = new Wallet(operator.addr);
        Terms memory terms = _terms();
        (terms.owner, terms.operator) = (address(ownerWallet), address(operatorWallet));
        _fund(address(ownerWallet), BUDGET);
        _open(terms);
    }

    /// EIP-7702: accounts that have delegated to code, which here accepts no signer, are still
    /// keys.
    function test_delegatedAccountsMayBeParties() public {
        address code = address(new Wallet(stranger));
        _delegate(owner, code);
        _delegate(operator, code);
        _delegate(verifier, code);
        bytes32 id = _open(_terms());
        _settleTotals(_terms(), PRICE, 0);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    /// Or their code says who signs for them.
    function test_theCodeOfADelegatedAccountSigns() public {
        Account memory session = makeAccount("session key");
        Terms memory terms = _terms();
        bytes32 digest = _ownerConsent(terms, 0);
        bytes memory a = _sign(session, digest);
        (, bytes memory b) = _consents(terms);
        vm.expectRevert(abi.encodeWithSelector(Vault.NotSigned.selector, digest, owner.addr));
        escrow.open(terms, _allowance(), a, b);
        _delegate(owner, address(new Wallet(session.addr)));
        bytes32 id = escrow.open(terms, _allowance(), a, b);
        assertEq(lens.statusOf(_t(id)), "open");
    }

    function test_feesMayBeNobodys() public {
        Terms memory terms = _terms();
        (terms.feeBps, terms.feeRecipient) = (0, address(0));
        _open(terms);
    }

    function test_aRevenueShareNeedsNoUnitPrice() public {
        Terms memory terms = _terms();
        (terms.unitPrice, terms.revenueShareBps) = (0, 1);
        _open(terms);
    }

    function test_limitsAreIncluded() public {
        Terms memory terms = _terms();
        terms.deadline = terms.opensAt;
        terms.unitPrice = LIMIT;
        terms.budget = LIMIT;
        (terms.revenueShareBps, terms.feeBps, terms.attribution) = (10_000, 10_000, 0);
        terms.grace =
            uint64((1 << 40) - 1 - terms.deadline - terms.attributionWindow - terms.lateness);
        _fund(owner.addr, LIMIT);
        _open(terms);
    }

    // ------------------------------------------------------------ signatures

    function test_revertIf_openAlready() public {
        Terms memory terms = _terms();
        bytes32 id = _open(terms);
        _expectRefused(terms, abi.encodeWithSelector(Openings.AlreadyOpen.selector, id));
    }

    function test_revertIf_theOwnerDidNotSign() public {
        Terms memory terms = _terms();
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes memory revertData =
            abi.encodeWithSelector(Vault.NotSigned.selector, _ownerConsent(terms, 0), owner.addr);
        bytes[4] memory wrong = [
            b, // the operator's
            bytes(""),
            _sign(owner, _operatorConsent(terms)), // the owner's word as the operator
            _sign(owner, _contractId(terms)) // the bare id
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(revertData);
            escrow.open(terms, _allowance(), wrong[i], b);
        }
        vm.expectRevert(revertData);
        vm.prank(owner.addr); // a wrong signature is not forgiven
        escrow.open(terms, _allowance(), b, b);
        escrow.open(terms, _allowance(), a, b);
    }

    function test_revertIf_theOperatorDidNotSign() public {
        Terms memory terms = _terms();
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes memory revertData = abi.encodeWithSelector(
            Vault.NotSigned.selector, _operatorConsent(terms), operator.addr
        );
        bytes[4] memory wrong = [
            a, // the owner's
            bytes(""),
            _sign(operator, _ownerConsent(terms, 0)), // the operator's word as the owner
            _sign(operator, _contractId(terms)) // the bare id
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(revertData);
            escrow.open(terms, _allowance(), a, wrong[i]);
        }
        vm.expectRevert(revertData);
        vm.prank(operator.addr);
        escrow.open(terms, _allowance(), a, a);
        escrow.open(terms, _allowance(), a, b);
    }

    /// Signatures for one chain, escrow or deal are none for another.
    function test_revertIf_somethingElseWasSigned() public {
        Terms memory terms = _terms();
        (bytes memory a, bytes memory b) = _consents(terms);
        terms.unitPrice += 1;
        vm.expectPartialRevert(Vault.NotSigned.selector);
        escrow.open(terms, _allowance(), a, b);
        terms.unitPrice -= 1;

        vm.chainId(1);
        vm.expectPartialRevert(Vault.NotSigned.selector);
        escrow.open(terms, _allowance(), a, b);
        vm.chainId(31337);
        OutcomeEscrow second = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), _list(address(token))
        );
        vm.expectPartialRevert(Vault.NotSigned.selector);
        second.open(terms, _allowance(), a, b);
        escrow.open(terms, _allowance(), a, b);
    }

    /// Each of the 32 words is signed, and so is the path by which the budget is paid: with any one
    /// changed, the signatures are void.
    function testFuzz_theSignaturesBindEveryWord(uint256 word, uint8 change) public {
        Terms memory terms = _terms();
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes memory call = abi.encodeCall(escrow.open, (terms, _allowance(), a, b));
        uint256 lastByte = 4 + bound(word, 0, 32) * 32 + 31;
        vm.assume(change != 0);
        call[lastByte] ^= bytes1(change);
        (bool success,) = address(escrow).call(call);
        assertFalse(success);
        call[lastByte] ^= bytes1(change);
        (success,) = address(escrow).call(call);
        assertTrue(success);
    }

    // ------------------------------------------------------------ exclusive

    function test_contractsForTheSameOutcomeMayOverlap() public {
        Terms memory terms = _terms();
        _open(terms);
        terms.salt = "second";
        _open(terms);
    }

    function test_revertIf_anExclusiveOneWouldHaveARival() public {
        Terms memory terms = _terms();
        _open(terms);
        terms.salt = "second";
        terms.exclusive = true;
        _expectOccupied(terms, terms.deadline);

        vm.warp(terms.deadline); // counts to the last second
        terms.opensAt = terms.deadline;
        (uint64 first, uint64 second) = (terms.deadline, terms.deadline + 14 days);
        terms.deadline = second;
        _expectOccupied(terms, first);
        vm.warp(first + 1);
        terms.opensAt = first + 1;
        _open(terms);
    }

    function test_revertIf_anExclusiveOneIsOpen() public {
        Terms memory terms = _terms();
        terms.exclusive = true;
        _open(terms);
        terms.salt = "second";
        _expectOccupied(terms, terms.deadline);
        terms.exclusive = false;
        _expectOccupied(terms, terms.deadline);

        uint64 first = terms.deadline;
        vm.warp(first + 1);
        terms.opensAt = first + 1;
        terms.deadline = first + 14 days;
        _open(terms);
    }

    /// A short contract must not end the reservation of a long one.
    function test_theLastOfSeveralCounts() public {
        Terms memory terms = _terms();
        uint64 last = terms.deadline;
        _open(terms);
        terms.salt = "short";
        terms.deadline = START + 1 days;
        _open(terms);
        terms.exclusive = true;
        _expectOccupied(terms, last);
    }

    function test_anotherOutcomeSurfaceLogOrOwnerIsNoRival() public {
        Terms memory terms = _terms();
        terms.exclusive = true;
        _open(terms);
        terms.outcome = "converted";
        _open(terms);
        terms.surface = "another";
        _open(terms);
        terms.logId = eventLog.register("another", publisher.addr);
        _open(terms);
        Account memory first = owner;
        owner = makeAccount("another owner");
        _fund(owner.addr, BUDGET);
        terms = _terms();
        terms.exclusive = true;
        _open(terms);
        assertNotEq(first.addr, owner.addr);
    }

    // ------------------------------------------------------------ money

    function test_revertIf_theOwnerHasNotApproved() public {
        vm.prank(owner.addr);
        token.approve(address(escrow), BUDGET - 1);
        _expectRefused(
            _terms(),
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector,
                address(escrow),
                BUDGET - 1,
                BUDGET
            )
        );
    }

    function test_aPermitServesAsApproval() public {
        Account memory poor = makeAccount("poor owner");
        owner = poor;
        token.mint(poor.addr, BUDGET);
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                poor.addr,
                address(escrow),
                BUDGET,
                0,
                START
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(poor.key, _digest(address(token), structHash));
        token.permit(poor.addr, address(escrow), BUDGET, START, v, r, s);
        _open(_terms());
    }

    // ------------------------------------------------------------ helpers

    function _expectOccupied(Terms memory terms, uint64 until) private {
        bytes32 outcomeId =
            keccak256(abi.encode(terms.owner, terms.logId, terms.surface, terms.outcome));
        _expectRefused(
            terms, abi.encodeWithSelector(Openings.OutcomeOccupied.selector, outcomeId, until)
        );
    }

    function _expectRefused(Terms memory terms, bytes memory revertData) private {
        (bytes memory a, bytes memory b) = _consents(terms);
        vm.expectRevert(revertData);
        escrow.open(terms, _allowance(), a, b);
    }
}

contract OpenWithHostileTokenTest is HostileFixture {
    function test_aTokenMayReturnNothing() public {
        hostile.setMode(HostileToken.Mode.ReturnsNothing);
        _open(_terms());
        assertEq(hostile.balanceOf(address(escrow)), BUDGET);
    }

    function test_revertIf_theEscrowGetsLess() public {
        hostile.setMode(HostileToken.Mode.TakesFee);
        _expectRevert(
            abi.encodeWithSelector(Fundings.ReceivedWrongAmount.selector, BUDGET, BUDGET * 99 / 100)
        );
        hostile.setMode(HostileToken.Mode.Lies);
        _expectRevert(abi.encodeWithSelector(Fundings.ReceivedWrongAmount.selector, BUDGET, 0));
    }

    /// While the budget comes, the token takes away what was there.
    function test_revertIf_theEscrowHasLessThanBefore() public {
        hostile.mint(address(escrow), 3 * BUDGET);
        hostile.setHook(address(this), abi.encodeCall(this.takeAway, ()));
        _expectRevert(abi.encodeWithSelector(Fundings.ReceivedWrongAmount.selector, BUDGET, 0));
    }

    function takeAway() external {
        deal(address(token), address(escrow), BUDGET);
    }

    function test_revertIf_theEscrowGetsMore() public {
        hostile.setHook(address(hostile), abi.encodeCall(hostile.mint, (address(escrow), 1)));
        _expectRevert(
            abi.encodeWithSelector(Fundings.ReceivedWrongAmount.selector, BUDGET, BUDGET + 1)
        );
    }

    function test_revertIf_theTokenRefuses() public {
        hostile.setMode(HostileToken.Mode.ReturnsFalse);
        _expectRevert("");
        hostile.setMode(HostileToken.Mode.Paused);
        _expectRevert(abi.encodeWithSelector(HostileToken.IsPaused.selector));
        hostile.setMode(HostileToken.Mode.Honest);
        hostile.setBlocked(owner.addr, true);
        _expectRevert(abi.encodeWithSelector(HostileToken.Blocked.selector, owner.addr));
    }

    /// The token calls back into every function that changes anything; none answers.
    function test_revertIf_reentered() public {
        Terms memory terms = _terms();
        terms.salt = "second";
        bytes32 id = _contractId(terms);
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes memory call = abi.encodeCall(escrow.open, (terms, _allowance(), a, b));
        hostile.setHook(address(escrow), call);
        vm.expectCall(address(escrow), call);
        _open(_terms());
        assertFalse(hostile.hookResult());
        assertEq(lens.statusOf(_t(id)), "unknown");
        hostile.setHook(address(0), "");
        _open(terms);
    }

    function _expectRevert(bytes memory revertData) private {
        (bytes memory a, bytes memory b) = _consents(_terms());
        if (revertData.length == 0) vm.expectRevert();
        else vm.expectRevert(revertData);
        escrow.open(_terms(), _allowance(), a, b);
        assertEq(lens.statusOf(_terms()), "unknown");
    }
}
