// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../helpers/Fixture.sol";
import {HostileFixture} from "../helpers/HostileFixture.sol";
import {HostileToken} from "../mocks/HostileToken.sol";
import {Wallet} from "../mocks/Wallet.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {EventLog} from "contracts/EventLog.sol";
import {Evidence} from "contracts/Evidence.sol";
import {OutcomeEscrow} from "contracts/OutcomeEscrow.sol";
import {Vault} from "contracts/Vault.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {Terms} from "contracts/libraries/Terms.sol";
import {TermsRules} from "contracts/libraries/TermsRules.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";

contract OpenTest is Fixture {
    uint256 private constant LIMIT = type(uint80).max;

    // ------------------------------------------------------------ it opens

    function test_open() public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        uint256 before = token.balanceOf(owner.addr);
        vm.expectEmit(address(escrow));
        emit OutcomeEscrow.Opened(id, owner.addr, operator.addr, logId, terms.surface);
        assertEq(_open(terms), id);

        assertEq(token.balanceOf(address(escrow)), BUDGET);
        assertEq(token.balanceOf(owner.addr), before - BUDGET);
        assertEq(abi.encode(escrow.termsOf(id)), abi.encode(terms));
        assertEq(escrow.paidOf(id), 0);
        assertEq(escrow.floorOf(id), 0);
        assertEq(escrow.statusOf(id), "open");
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
        assertEq(abi.encode(escrow.termsOf(id)), abi.encode(terms));
        assertEq(token.balanceOf(address(escrow)), terms.budget);
    }

    function test_theOwnerMayCallWithoutASignature() public {
        Terms memory terms = _terms();
        bytes memory operatorSignature = _sign(operator, _contractId(terms));
        vm.prank(owner.addr);
        escrow.open(terms, "", operatorSignature);
    }

    function test_walletsMayBeParties() public {
        Wallet ownerWallet = new Wallet(owner.addr);
        Wallet operatorWallet = new Wallet(operator.addr);
        Terms memory terms = _terms();
        (terms.owner, terms.operator) = (address(ownerWallet), address(operatorWallet));
        _fund(address(ownerWallet), BUDGET);
        _open(terms);
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
        _expectRefused(terms, abi.encodeWithSelector(OutcomeEscrow.AlreadyOpen.selector, id));
    }

    function test_revertIf_theOwnerDidNotSign() public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        bytes memory signature = _sign(operator, id);
        bytes memory revertData = abi.encodeWithSelector(Vault.NotSigned.selector, id, owner.addr);
        vm.expectRevert(revertData);
        escrow.open(terms, signature, signature);
        vm.expectRevert(revertData);
        escrow.open(terms, "", signature);
        vm.expectRevert(revertData);
        vm.prank(owner.addr); // a wrong signature is not forgiven
        escrow.open(terms, signature, signature);
    }

    function test_revertIf_theOperatorDidNotSign() public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        bytes memory signature = _sign(owner, id);
        bytes memory revertData =
            abi.encodeWithSelector(Vault.NotSigned.selector, id, operator.addr);
        vm.expectRevert(revertData);
        escrow.open(terms, signature, signature);
        vm.expectRevert(revertData);
        vm.prank(operator.addr);
        escrow.open(terms, signature, "");
    }

    /// Signatures for one chain, escrow or deal are none for another.
    function test_revertIf_somethingElseWasSigned() public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        bytes memory ownerSignature = _sign(owner, id);
        bytes memory operatorSignature = _sign(operator, id);
        terms.unitPrice += 1;
        vm.expectPartialRevert(Vault.NotSigned.selector);
        escrow.open(terms, ownerSignature, operatorSignature);
        terms.unitPrice -= 1;

        vm.chainId(1);
        vm.expectPartialRevert(Vault.NotSigned.selector);
        escrow.open(terms, ownerSignature, operatorSignature);
        vm.chainId(31337);
        OutcomeEscrow second = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), _list(address(token))
        );
        vm.expectPartialRevert(Vault.NotSigned.selector);
        second.open(terms, ownerSignature, operatorSignature);
        escrow.open(terms, ownerSignature, operatorSignature);
    }

    /// Each of the 32 words is signed: with any one changed, the signatures are void.
    function testFuzz_theSignaturesBindEveryWord(uint256 word, uint8 change) public {
        Terms memory terms = _terms();
        bytes32 id = _contractId(terms);
        bytes memory call =
            abi.encodeCall(escrow.open, (terms, _sign(owner, id), _sign(operator, id)));
        uint256 lastByte = 4 + bound(word, 0, 31) * 32 + 31;
        vm.assume(change != 0);
        call[lastByte] ^= bytes1(change);
        (bool success,) = address(escrow).call(call);
        assertFalse(success);
        call[lastByte] ^= bytes1(change);
        (success,) = address(escrow).call(call);
        assertTrue(success);
    }

    // ------------------------------------------------------------ parties

    function test_revertIf_aPartyIsZero() public {
        Terms memory terms = _terms();
        terms.owner = address(0);
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.ZeroOwner.selector));
        terms = _terms();
        terms.operator = address(0);
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.ZeroOperator.selector));
        terms = _terms();
        terms.payee = address(0);
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.ZeroPayee.selector));
        terms = _terms();
        terms.verifier = address(0);
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.ZeroVerifier.selector));
        terms = _terms();
        terms.feeRecipient = address(0);
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.ZeroFeeRecipient.selector, FEE_BPS));
    }

    function test_revertIf_ownerIsOperator() public {
        Terms memory terms = _terms();
        terms.operator = owner.addr;
        _expectRefused(
            terms, abi.encodeWithSelector(TermsRules.OwnerIsOperator.selector, owner.addr)
        );
    }

    function test_revertIf_theEscrowIsPaid() public {
        Terms memory terms = _terms();
        terms.payee = address(escrow);
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.EscrowAsPayee.selector));
        terms = _terms();
        terms.feeRecipient = address(escrow);
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.EscrowAsFeeRecipient.selector));
    }

    function test_revertIf_theTokenIsNotAllowed() public {
        Terms memory terms = _terms();
        terms.token = address(new TestStablecoin());
        _expectRefused(
            terms, abi.encodeWithSelector(OutcomeEscrow.TokenNotAllowed.selector, terms.token)
        );
    }

    function test_revertIf_theLogIsUnknown() public {
        Terms memory terms = _terms();
        terms.logId = "?";
        _expectRefused(
            terms, abi.encodeWithSelector(OutcomeEscrow.UnknownLog.selector, terms.logId)
        );
    }

    function test_revertIf_theAttributionIsUnknown() public {
        Terms memory terms = _terms();
        terms.attribution = 2;
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.UnknownAttribution.selector, 2));
    }

    // ------------------------------------------------------------ times

    function test_revertIf_itOpensInThePast() public {
        Terms memory terms = _terms();
        vm.warp(START + 1);
        _expectRefused(
            terms, abi.encodeWithSelector(TermsRules.OpensInThePast.selector, START, START + 1)
        );
    }

    function test_revertIf_theDeadlineIsBeforeTheOpening() public {
        Terms memory terms = _terms();
        terms.deadline = terms.opensAt - 1;
        _expectRefused(
            terms,
            abi.encodeWithSelector(
                TermsRules.DeadlineBeforeOpening.selector, terms.opensAt, terms.deadline
            )
        );
    }

    /// Each of the times alone, at its largest, and all of them together.
    function test_revertIf_theTimesAreTooLarge() public {
        uint64 max = type(uint64).max;
        for (uint256 i = 0; i < 9; ++i) {
            Terms memory terms = _terms();
            if (i == 0) terms.deadline = max;
            if (i == 1) terms.attributionWindow = max;
            if (i == 2) terms.lateness = max;
            if (i == 3) terms.grace = max;
            if (i == 4) (terms.claimPeriod, terms.arbiter) = (max, stranger);
            if (i == 5) terms.challengePeriod = max;
            if (i == 6) terms.arbitrationPeriod = max;
            if (i == 7) terms.holdbackPeriod = max;
            if (i == 8) terms.ratePeriod = max;
            _expectRefusedFor(terms, TermsRules.TimesTooLarge.selector);
        }
        Terms memory longest = _terms();
        longest.grace =
            uint64((1 << 40) - longest.deadline - longest.attributionWindow - longest.lateness);
        _expectRefused(
            longest,
            abi.encodeWithSelector(TermsRules.TimesTooLarge.selector, 1 << 40, type(uint40).max)
        );
    }

    // ------------------------------------------------------------ amounts

    function test_revertIf_anAmountIsTooLarge() public {
        bytes memory revertData =
            abi.encodeWithSelector(TermsRules.AmountTooLarge.selector, LIMIT + 1, LIMIT);
        Terms memory terms = _terms();
        terms.unitPrice = LIMIT + 1;
        _expectRefused(terms, revertData);
        terms = _terms();
        terms.budget = LIMIT + 1;
        _expectRefused(terms, revertData);
        terms = _terms();
        terms.rateCap = LIMIT + 1;
        _expectRefused(terms, revertData);
    }

    function test_revertIf_aShareIsTooLarge() public {
        bytes memory revertData =
            abi.encodeWithSelector(TermsRules.BpsTooLarge.selector, 10_001, 10_000);
        Terms memory terms = _terms();
        terms.revenueShareBps = 10_001;
        _expectRefused(terms, revertData);
        terms = _terms();
        terms.holdbackBps = 10_001;
        _expectRefused(terms, revertData);
        terms = _terms();
        terms.feeBps = 10_001;
        _expectRefused(terms, revertData);
    }

    function test_revertIf_thereIsNoPrice() public {
        Terms memory terms = _terms();
        terms.unitPrice = 0;
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.ZeroPrice.selector));
    }

    function test_revertIf_thereIsNoBudget() public {
        Terms memory terms = _terms();
        terms.budget = 0;
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.ZeroBudget.selector));
    }

    function test_revertIf_claimsHaveNoArbiter() public {
        Terms memory terms = _terms();
        terms.claimPeriod = 10 days;
        _expectRefused(
            terms, abi.encodeWithSelector(TermsRules.ClaimsNeedArbiter.selector, 10 days)
        );
    }

    function test_revertIf_theGraceLeavesNoTimeForADispute() public {
        Terms memory terms = _terms();
        terms.challengePeriod = 1 days;
        terms.arbitrationPeriod = 2 days;
        terms.grace = 4 days - 1;
        _expectRefused(
            terms, abi.encodeWithSelector(TermsRules.GraceTooShort.selector, 4 days - 1, 4 days)
        );
        terms.grace = 4 days;
        _open(terms);
    }

    function test_revertIf_theClaimPeriodLeavesNoTimeForADispute() public {
        Terms memory terms = _terms();
        terms.arbiter = stranger;
        terms.challengePeriod = 1 days;
        terms.arbitrationPeriod = 1 days;
        terms.claimPeriod = 5 days - 1;
        _expectRefused(
            terms,
            abi.encodeWithSelector(TermsRules.ClaimPeriodTooShort.selector, 5 days - 1, 5 days)
        );
        terms.claimPeriod = 5 days;
        _open(terms);
    }

    function test_revertIf_theRateCapCannotBeHalved() public {
        Terms memory terms = _terms();
        (terms.rateCap, terms.ratePeriod) = (1, 1 days);
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.RateCapTooSmall.selector, 1, 2));
        terms.rateCap = 2;
        _open(terms);
    }

    function test_revertIf_theRateCapHasNoPeriod() public {
        Terms memory terms = _terms();
        terms.rateCap = 2;
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.ZeroRatePeriod.selector, 2));
    }

    function test_revertIf_thereIsNoIdentityRegistry() public {
        Terms memory terms = _terms();
        terms.agentIdPlusOne = 1;
        _expectRefused(terms, abi.encodeWithSelector(OutcomeEscrow.NoIdentityRegistry.selector, 0));
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
            terms, abi.encodeWithSelector(OutcomeEscrow.OutcomeOccupied.selector, outcomeId, until)
        );
    }

    function _expectRefused(Terms memory terms, bytes memory revertData) private {
        bytes32 id = _contractId(terms);
        bytes memory ownerSignature = _sign(owner, id);
        bytes memory operatorSignature = _sign(operator, id);
        vm.expectRevert(revertData);
        escrow.open(terms, ownerSignature, operatorSignature);
    }

    function _expectRefusedFor(Terms memory terms, bytes4 selector) private {
        bytes32 id = _contractId(terms);
        bytes memory ownerSignature = _sign(owner, id);
        bytes memory operatorSignature = _sign(operator, id);
        vm.expectPartialRevert(selector);
        escrow.open(terms, ownerSignature, operatorSignature);
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
            abi.encodeWithSelector(Vault.ReceivedWrongAmount.selector, BUDGET, BUDGET * 99 / 100)
        );
        hostile.setMode(HostileToken.Mode.Lies);
        _expectRevert(abi.encodeWithSelector(Vault.ReceivedWrongAmount.selector, BUDGET, 0));
    }

    function test_revertIf_theEscrowGetsMore() public {
        hostile.setHook(address(hostile), abi.encodeCall(hostile.mint, (address(escrow), 1)));
        _expectRevert(
            abi.encodeWithSelector(Vault.ReceivedWrongAmount.selector, BUDGET, BUDGET + 1)
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
        bytes memory call =
            abi.encodeCall(escrow.open, (terms, _sign(owner, id), _sign(operator, id)));
        hostile.setHook(address(escrow), call);
        vm.expectCall(address(escrow), call);
        _open(_terms());
        assertFalse(hostile.hookResult());
        assertEq(escrow.statusOf(id), "unknown");
        hostile.setHook(address(0), "");
        _open(terms);
    }

    function _expectRevert(bytes memory revertData) private {
        bytes32 id = _contractId(_terms());
        bytes memory ownerSignature = _sign(owner, id);
        bytes memory operatorSignature = _sign(operator, id);
        if (revertData.length == 0) vm.expectRevert();
        else vm.expectRevert(revertData);
        escrow.open(_terms(), ownerSignature, operatorSignature);
        assertEq(escrow.statusOf(id), "unknown");
    }
}

contract ConstructorTest is Fixture {
    function test_theTokensAreAllowed() public {
        address[] memory tokens = new address[](2);
        (tokens[0], tokens[1]) = (address(token), address(new TestStablecoin()));
        escrow = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), tokens
        );
        assertTrue(escrow.isAllowed(tokens[0]));
        assertTrue(escrow.isAllowed(tokens[1]));
        assertFalse(escrow.isAllowed(stranger));
        assertEq(address(escrow.eventLog()), address(eventLog));
    }

    function test_theDomainIsItsOwn() public view {
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address home,,
        ) = escrow.eip712Domain();
        assertEq(fields, hex"0f");
        assertEq(name, "Tallystick OutcomeEscrow");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(home, address(escrow));
    }

    function test_revertIf_thereIsNoToken() public {
        address evidence = address(escrow.evidence());
        vm.expectRevert(Vault.NoTokens.selector);
        new OutcomeEscrow(eventLog, evidence, IIdentityRegistry(address(0)), new address[](0));
    }

    function test_revertIf_anAddressHasNoCode() public {
        address evidence = address(escrow.evidence());
        IIdentityRegistry none = IIdentityRegistry(address(0));
        vm.expectRevert(abi.encodeWithSelector(Vault.NotAContract.selector, stranger));
        new OutcomeEscrow(eventLog, evidence, none, _list(stranger));
        vm.expectRevert(abi.encodeWithSelector(Vault.NotAContract.selector, stranger));
        new OutcomeEscrow(EventLog(stranger), evidence, none, _list(address(token)));
        vm.expectRevert(abi.encodeWithSelector(Vault.NotAContract.selector, stranger));
        new OutcomeEscrow(eventLog, stranger, none, _list(address(token)));
        vm.expectRevert(abi.encodeWithSelector(Vault.NotAContract.selector, stranger));
        new OutcomeEscrow(eventLog, evidence, IIdentityRegistry(stranger), _list(address(token)));
    }
}
