// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {Openings} from "contracts/escrow/Openings.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {TermsRules} from "contracts/terms/TermsRules.sol";

/// One test for each rule that terms must keep to, each with its own error.
contract OpenRulesTest is Fixture {
    uint256 private constant LIMIT = type(uint80).max;

    // ------------------------------------------------------------ what is accepted

    /// What is the last that a rule allows, and what is far from its border.
    function test_onABorderAndFarFromIt() public {
        _fund(owner.addr, LIMIT);
        for (uint256 i = 0; i < 11; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            if (i == 0) (terms.feeBps, terms.feeRecipient) = (0, address(0));
            if (i == 1) terms.attribution = 0;
            if (i == 2) terms.opensAt = START + 7 days;
            if (i == 3) terms.deadline = terms.opensAt;
            if (i == 4) {
                terms.grace =
                    type(uint40).max - terms.deadline - terms.attributionWindow - terms.lateness;
            }
            if (i == 5) (terms.holdbackPeriod, terms.grace) = (1, 50 days);
            if (i == 6) (terms.claimPeriod, terms.arbiter) = (50 days, stranger);
            if (i == 7) terms.budget = LIMIT;
            if (i == 8) terms.unitPrice = LIMIT;
            if (i == 9) terms.feeBps = 10_000;
            if (i == 10) terms.revenueShareBps = 10_000;
            assertEq(_open(terms), _contractId(terms));
            vm.revertToState(snapshot);
        }
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
            terms, abi.encodeWithSelector(Openings.TokenNotAllowed.selector, terms.token)
        );
    }

    function test_revertIf_theLogIsUnknown() public {
        Terms memory terms = _terms();
        terms.logId = "?";
        _expectRefused(terms, abi.encodeWithSelector(Openings.UnknownLog.selector, terms.logId));
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

    /// The grace has time for the last report, after a dispute of what was stated before it.
    function test_revertIf_theGraceLeavesNoTimeForADispute() public {
        Terms memory terms = _terms();
        terms.challengePeriod = 1 days;
        terms.arbitrationPeriod = 2 days;
        _expectGraceOf(terms, 5 days);
        (terms.lateness, terms.salt) = (0, "in time");
        _expectGraceOf(terms, 4 days);
        (terms.lateness, terms.salt) = (10 days, "late");
        _expectGraceOf(terms, 14 days);
    }

    /// Nothing is disputed then, but an outcome that is reported late would end all reversals.
    function test_revertIf_theGraceOfAHoldbackIsShorterThanTheLateness() public {
        Terms memory terms = _terms();
        (terms.holdbackPeriod, terms.arbitrationPeriod) = (1, 2 days);
        _expectGraceOf(terms, 2 days);
        (terms.lateness, terms.salt) = (0, "in time");
        _expectGraceOf(terms, 1 days);
    }

    /// An amount that is paid at once is never disputed, nor taken back.
    function test_withoutAChallengeOrAHoldbackPeriodNoGraceIsNeeded() public {
        Terms memory terms = _terms();
        (terms.arbitrationPeriod, terms.grace) = (2 days, 0);
        _open(terms);
        (terms.rateCap, terms.ratePeriod, terms.salt) = (2, 1, "cap");
        _open(terms);
    }

    function _expectGraceOf(Terms memory terms, uint64 least) private {
        terms.grace = least - 1;
        _expectRefused(
            terms, abi.encodeWithSelector(TermsRules.GraceTooShort.selector, least - 1, least)
        );
        terms.grace = least;
        _open(terms);
    }

    function test_revertIf_theClaimPeriodLeavesNoTimeForADispute() public {
        Terms memory terms = _terms();
        terms.arbiter = stranger;
        terms.challengePeriod = 1 days;
        terms.arbitrationPeriod = 1 days;
        terms.grace = 4 days;
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
        _expectRefused(terms, abi.encodeWithSelector(TermsRules.NoIdentityRegistry.selector, 0));
    }

    // ------------------------------------------------------------ helpers

    function _expectRefused(Terms memory terms, bytes memory revertData) private {
        (bytes memory a, bytes memory b) = _consents(terms);
        vm.expectRevert(revertData);
        escrow.open(terms, _allowance(), a, b);
    }

    function _expectRefusedFor(Terms memory terms, bytes4 selector) private {
        (bytes memory a, bytes memory b) = _consents(terms);
        vm.expectPartialRevert(selector);
        escrow.open(terms, _allowance(), a, b);
    }
}
