// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A share of what is final waits until no reversal can come for it.
contract HoldbackTest is GuardedFixture {
    uint64 private constant HOLDBACK = 5 days;
    uint64 private constant MATURES = HOLDBACK + 1 days; // with the lateness

    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _terms();
        (terms.holdbackBps, terms.holdbackPeriod) = (2000, HOLDBACK);
        // A share, so that any amount can be stated.
        terms.revenueShareBps = 1;
        id = _open(terms);
    }

    // ------------------------------------------------------------ to the second and the unit

    function test_aShareIsHeldBack() public {
        _state(terms, 1000, 0);
        assertEq(lens.paidOf(_t(id)), 800);
        assertEq(lens.netOf(_t(id)), 1000);
        assertEq(lens.owed(_t(id)), 200);
        assertEq(lens.releasable(_t(id)), 0);
        assertEq(lens.releasableAt(_t(id)), START + MATURES);
        vm.warp(START + MATURES - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(lens.releasableAt(_t(id)), block.timestamp);
        assertEq(_release(id), 200);
        assertEq(lens.releasableAt(_t(id)), 0);
    }

    /// In the payee's favor: less than a unit is not held back.
    function test_whatIsHeldIsRoundedDown() public {
        _state(terms, 4, 0);
        assertEq(lens.paidOf(_t(id)), 4);
        _state(terms, 5, 0);
        assertEq(lens.paidOf(_t(id)), 4);
        _state(terms, 9, 0);
        assertEq(lens.paidOf(_t(id)), 8);
        _state(terms, 10, 0);
        assertEq(lens.paidOf(_t(id)), 8);
    }

    function test_feesAreOnWhatIsPaid() public {
        _state(terms, 100e6, 0);
        assertEq(token.balanceOf(payee), 80e6 * 975 / 1000);
        assertEq(escrow.creditOf(address(token), feeRecipient), 80e6 * 25 / 1000);
        vm.warp(START + MATURES);
        escrow.release(_t(id));
        assertEq(token.balanceOf(payee), 100e6 * 975 / 1000);
        assertEq(escrow.creditOf(address(token), feeRecipient), 100e6 * 25 / 1000);
    }

    function test_allOfItCanBeHeldBack() public {
        (terms.holdbackBps, terms.salt) = (10_000, "all");
        id = _open(terms);
        _state(terms, 1000, 0);
        vm.warp(START + MATURES - 1);
        _state(terms, 1500, 0);
        assertEq(lens.paidOf(_t(id)), 0);
        skip(1);
        assertEq(_release(id), 1000);
        skip(MATURES - 2);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 500);
    }

    /// Without a holdback period the share waits for late events alone.
    function test_latenessAloneCounts() public {
        (terms.holdbackPeriod, terms.salt) = (0, "late");
        id = _open(terms);
        _state(terms, 1000, 0);
        vm.warp(START + 1 days - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 200);
    }

    function test_noTimeIsNoHoldback() public {
        (terms.holdbackPeriod, terms.lateness, terms.salt) = (0, 0, "none");
        id = _open(terms);
        _state(terms, 1000, 0);
        assertEq(lens.paidOf(_t(id)), 1000);
    }

    function test_aPeriodWithoutAShareHoldsNothing() public {
        (terms.holdbackBps, terms.salt) = (0, "none");
        id = _open(terms);
        _state(terms, 1000, 0);
        assertEq(lens.paidOf(_t(id)), 1000);
    }

    /// The terms may name a period that is longer than there has been time.
    function test_aPeriodLongerThanTimeItself() public {
        (terms.holdbackPeriod, terms.salt) = (START, "long");
        id = _open(terms);
        _state(terms, 1000, 0);
        skip(10_000 days);
        assertEq(_release(id), 0);
        assertEq(lens.releasableAt(_t(id)), 2 * uint256(START) + 1 days);
        vm.warp(2 * uint256(START) + 1 days - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 200);
    }

    // ------------------------------------------------------------ several tranches

    function test_eachTrancheMaturesByItself() public {
        _state(terms, 1000, 0);
        skip(1 days);
        _state(terms, 1600, 0);
        skip(1 days);
        _state(terms, 1700, 0);
        assertEq(lens.paidOf(_t(id)), 1360);
        vm.warp(START + MATURES - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 200);
        skip(1 days - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 120);
        assertEq(lens.releasableAt(_t(id)), START + 2 days + MATURES);
        skip(1 days);
        assertEq(_release(id), 20);
        assertEq(lens.owed(_t(id)), 0);
    }

    /// In any order of events: all is paid but the share of what is younger, and in the end all of
    /// it.
    function testFuzz_tranches(uint256[5] memory amounts, uint256[5] memory waits, uint16 bps)
        public
    {
        (terms.holdbackBps, terms.salt) = (uint16(bound(bps, 1, 10_000)), "fuzz");
        id = _open(terms);
        uint256[5] memory since;
        uint256[5] memory nets;
        uint256 net;
        for (uint256 i = 0; i < 5; ++i) {
            skip(bound(waits[i], 0, 3 days));
            net += bound(amounts[i], 0, BUDGET / 5);
            _state(terms, net, 0);
            (since[i], nets[i]) = (block.timestamp, net);
            uint256 matured;
            for (uint256 j = 0; j <= i; ++j) {
                if (since[j] + MATURES <= block.timestamp) matured = nets[j];
            }
            assertEq(lens.paidOf(_t(id)), net - (net - matured) * terms.holdbackBps / 10_000);
        }
        uint256 due = lens.releasableAt(_t(id));
        if (due != 0) {
            assertGe(due, block.timestamp);
            vm.warp(due - 1);
            _release(id);
            if ((net - nets[3]) * terms.holdbackBps >= 10_000) {
                assertGt(lens.owed(_t(id)), 0, "not earlier");
            }
            vm.warp(due);
            _release(id);
        }
        assertEq(lens.paidOf(_t(id)), net);
        assertEq(lens.owed(_t(id)), 0);
    }

    // ------------------------------------------------------------ beside the challenge period

    /// Its time runs from when it was final, not from when a call noticed it.
    function test_lazyFinalityLosesNoTime() public {
        (terms.challengePeriod, terms.salt) = (CHALLENGE, "lazy");
        id = _open(terms);
        _state(terms, 1000, 0);
        vm.warp(START + CHALLENGE + MATURES - 1);
        assertEq(lens.releasable(_t(id)), 800);
        assertEq(lens.releasableAt(_t(id)), START + CHALLENGE + MATURES);
        skip(1);
        assertEq(_release(id), 1000);
    }

    /// A statement that is noticed long after it became final: grossHistory stays in the order of
    /// time.
    function test_finalsStayInOrder() public {
        (terms.challengePeriod, terms.salt) = (CHALLENGE, "order");
        id = _open(terms);
        _state(terms, 1000, 0);
        skip(10 days); // final since START + CHALLENGE, noticed now
        _state(terms, 1500, 0);
        assertEq(lens.paidOf(_t(id)), 1000);
        skip(CHALLENGE + 1);
        assertEq(lens.releasable(_t(id)), 400);
        vm.warp(START + 10 days + CHALLENGE + MATURES - 1);
        assertEq(_release(id), 400);
        skip(1);
        assertEq(_release(id), 100);
    }

    /// A dispute keeps the only place for a statement, so what is reversed meanwhile comes too
    /// late for a holdback that is shorter than the dispute.
    function test_aBusySlotDoesNotStopMaturity() public {
        terms.challengePeriod = CHALLENGE;
        (terms.arbiter, terms.arbitrationPeriod) = (arbiter.addr, 10 days);
        (terms.grace, terms.salt) = (13 days, "busy");
        id = _open(terms);
        _stateFinal(terms, 1000, 0);
        _state(terms, 1001, 0);
        _dispute(operator.addr, id);
        _refused(terms, 1001, 1001, "pending");
        vm.warp(START + CHALLENGE + MATURES);
        assertEq(_release(id), 200);
    }

    // ------------------------------------------------------------ reversals

    /// An amount that is taken back in time was never paid.
    function test_aReversalComesOffWhatIsHeld() public {
        _state(terms, 1000, 0);
        skip(2 days);
        _state(terms, 1500, 0);
        assertEq(lens.paidOf(_t(id)), 1200);
        skip(2 days);
        _state(terms, 1500, 500);
        assertEq(lens.netOf(_t(id)), 1000);
        assertEq(lens.paidOf(_t(id)), 1200, "what is paid stays paid");
        assertEq(lens.owed(_t(id)), 0);
        skip(100 days);
        assertEq(_release(id), 0);
    }

    function test_aReversalOfAllThatIsHeld() public {
        (terms.holdbackBps, terms.salt) = (10_000, "all");
        id = _open(terms);
        _state(terms, 1000, 0);
        vm.warp(START + MATURES - 1);
        _state(terms, 1000, 1000);
        skip(100 days);
        assertEq(_release(id), 0);
        escrow.refund(_t(id));
        assertEq(lens.paidOf(_t(id)), 0);
    }

    /// Two waves of false leads: the first is taken back in time, and so would be the second. Its
    /// maturity must not pay the second, which is as young as it was.
    function test_aReversedTrancheDoesNotVouchForANewOne() public {
        (terms.holdbackBps, terms.salt) = (10_000, "waves");
        id = _open(terms);
        _state(terms, 1000, 0);
        skip(5 days);
        _state(terms, 1000, 1000);
        vm.warp(START + MATURES - 1 hours);
        _state(terms, 2000, 1000);
        vm.warp(START + MATURES);
        assertEq(_release(id), 0, "it is one hour old");
        skip(1 days);
        _state(terms, 2000, 2000);
        skip(100 days);
        assertEq(_release(id), 0);
    }

    /// Never earlier, and not much later either, whatever is reversed: nothing is paid of what has
    /// not been final for long enough, and in the end the net is.
    function testFuzz_reversalsNeverMakeMoneyOld(
        uint256[6] memory amounts,
        uint256[6] memory waits,
        uint256[6] memory backs
    ) public {
        (terms.holdbackBps, terms.salt) = (10_000, "fuzz");
        id = _open(terms);
        uint256 earned;
        uint256 reversed;
        uint256[7] memory since;
        uint256[7] memory earnedAt;
        for (uint256 i = 0; i < 6; ++i) {
            skip(bound(waits[i], 0, 3 days));
            earned += bound(amounts[i], 0, 1e6);
            reversed += bound(backs[i], 0, earned - reversed);
            _state(terms, earned, reversed);
            (since[i], earnedAt[i]) = (block.timestamp, earned);
            uint256 old;
            for (uint256 j = 0; j <= i; ++j) {
                if (since[j] + MATURES <= block.timestamp) old = earnedAt[j];
            }
            assertLe(lens.paidOf(_t(id)), old, "no more than ever got old");
            uint256 before = lens.paidOf(_t(id));
            assertEq(_release(id), 0, "settling has paid it");
            assertEq(lens.paidOf(_t(id)), before);
        }
        skip(MATURES);
        _release(id);
        assertGe(lens.paidOf(_t(id)), earned - reversed);
        assertEq(lens.owed(_t(id)), 0);
    }

    /// The time it names may be too late after a reversal, and is never too early.
    function test_releasableAtIsTheLatestAfterAReversal() public {
        (terms.holdbackBps, terms.salt) = (10_000, "at");
        id = _open(terms);
        _state(terms, 1000, 0);
        skip(2 days);
        _state(terms, 1000, 100);
        assertEq(lens.releasableAt(_t(id)), START + 2 days + MATURES);
        vm.warp(START + MATURES - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 900);
    }

    /// Rulings that meet the budget can leave less earned than had matured before: then nothing is
    /// young, and what is due is paid.
    function test_aRulingCanLowerWhatWasEarned() public {
        terms = _guarded();
        (terms.holdbackBps, terms.holdbackPeriod, terms.salt) = (5000, 1 days, "ruled");
        id = _open(terms);
        _state(terms, 10 * PRICE, 0);
        _dispute(operator.addr, id);
        _rule(id, BUDGET);
        _stateFinal(terms, BUDGET, 0); // with what the ruling added
        escrow.release(_t(id));
        skip(10 days);

        _state(terms, BUDGET, BUDGET / 2);
        _dispute(owner.addr, id);
        _rule(id, BUDGET); // and that is less now
        assertEq(lens.paidOf(_t(id)), BUDGET);
        assertEq(lens.owed(_t(id)), 0);
    }

    /// A ruling at the budget can take off what an earlier one added, and is no reason to take what
    /// comes next for old.
    function test_whatARulingTookOffDoesNotVouchForWhatComesNext() public {
        terms = _guarded();
        (terms.holdbackBps, terms.holdbackPeriod, terms.salt) = (10_000, HOLDBACK, "vouch");
        id = _open(terms);
        _state(terms, 10 * PRICE, 0);
        _dispute(operator.addr, id);
        _rule(id, BUDGET);
        _stateFinal(terms, 30 * PRICE, 0); // final at START + CHALLENGE, 40 more than was stated
        _state(terms, 30 * PRICE, 5 * PRICE);
        _dispute(owner.addr, id);
        _rule(id, BUDGET); // 25 more than was stated, 15 less than before
        _stateFinal(terms, 30 * PRICE, 25 * PRICE);
        assertEq(lens.netOf(_t(id)), 30 * PRICE);
        vm.warp(START + CHALLENGE + MATURES);
        escrow.release(_t(id));
        assertEq(lens.paidOf(_t(id)), 30 * PRICE, "as much was final in time");
        _stateFinal(terms, 45 * PRICE, 25 * PRICE);
        assertEq(_release(id), 0, "15 are new");
        assertEq(lens.owed(_t(id)), 15 * PRICE);
        uint256 due = lens.releasableAt(_t(id));
        assertEq(due, block.timestamp - 1 + MATURES);
        vm.warp(due - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 15 * PRICE);
    }

    /// Nor while what was final before the ruling is still what young amounts are told by.
    function test_whatIsEarnedSoonAfterARulingIsYoung() public {
        terms = _guarded();
        (terms.holdbackBps, terms.holdbackPeriod, terms.salt) = (10_000, HOLDBACK, "soon");
        id = _open(terms);
        _state(terms, 10 * PRICE, 0);
        _dispute(operator.addr, id);
        _rule(id, BUDGET);
        _stateFinal(terms, 30 * PRICE, 0); // final at START + CHALLENGE, 40 more than was stated
        _state(terms, 30 * PRICE, 5 * PRICE);
        _dispute(owner.addr, id);
        _rule(id, BUDGET); // 25 more than was stated, 15 less than before
        _stateFinal(terms, 45 * PRICE, 25 * PRICE);
        assertEq(lens.netOf(_t(id)), 45 * PRICE);
        vm.warp(START + CHALLENGE + MATURES);
        assertEq(_release(id), 30 * PRICE, "15 are new");
        uint256 due = lens.releasableAt(_t(id));
        vm.warp(due - 1);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 15 * PRICE);
    }

    /// Nor where the ruling takes off half of what was earned, the most that it can.
    function test_aRulingThatHalvesWhatWasEarnedMakesNothingOld() public {
        terms = _guarded();
        (terms.holdbackBps, terms.holdbackPeriod, terms.salt) = (10_000, HOLDBACK, "half");
        id = _open(terms);
        _state(terms, 0, 0);
        _dispute(operator.addr, id);
        _rule(id, BUDGET);
        uint256 due = lens.releasableAt(_t(id));
        _stateFinal(terms, BUDGET, 0); // twice the budget, with what the ruling added
        _state(terms, BUDGET, 0);
        _dispute(owner.addr, id);
        _rule(id, BUDGET); // which is what was stated
        vm.warp(due);
        assertEq(_release(id), 0, "what is new since is as much as there is");
    }

    // ------------------------------------------------------------ after the end

    /// The last outcome is reported as late as can be, while another statement holds the slot for as
    /// long as can be. There is a day to state it, and what is held back can still be taken back.
    function test_theLastOutcomeLeavesRoomForReversals() public {
        terms = _guarded();
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 20 days);
        (terms.lateness, terms.salt) = (3 days, "last");
        terms.grace = terms.lateness + CHALLENGE + ARBITRATION + 1 days;
        id = _open(terms);
        uint64 reported = terms.deadline + terms.lateness;
        vm.warp(reported);
        _state(terms, 5 * PRICE, 0);
        vm.warp(reported + CHALLENGE);
        _dispute(operator.addr, id);
        vm.warp(reported + CHALLENGE + ARBITRATION);
        _refused(terms, 6 * PRICE, 0, "pending");
        vm.warp(_t2(terms));
        _stateFinal(terms, 6 * PRICE, 0);
        vm.warp(_t2(terms) + terms.holdbackPeriod);
        _state(terms, 6 * PRICE, 6 * PRICE);
        skip(100 days);
        assertEq(_release(id), 0);
    }

    /// The same without a challenge.
    function test_anOutcomeThatIsReportedLateLeavesRoomForReversals() public {
        (terms.lateness, terms.grace, terms.salt) = (3 days, 4 days, "late");
        id = _open(terms);
        vm.warp(terms.deadline + terms.lateness);
        _state(terms, 1000, 0);
        vm.warp(_t2(terms));
        _state(terms, 1200, 0);
        vm.warp(_t2(terms) + HOLDBACK);
        _state(terms, 1200, 1200);
        skip(100 days);
        assertEq(_release(id), 0);
    }

    /// A held-back amount stays reserved; a reversal after the end frees it for the owner.
    function test_aLateReversalGoesToTheOwner() public {
        vm.warp(_t2(terms));
        _state(terms, 1000, 0);
        skip(1);
        escrow.refund(_t(id));
        assertEq(_heldFor(), 200);
        assertEq(lens.statusOf(_t(id)), "releasing");
        vm.warp(_t2(terms) + HOLDBACK);
        _state(terms, 1000, 150);
        assertEq(lens.owed(_t(id)), 50);
        assertEq(lens.statusOf(_t(id)), "refundable");
        uint256 before = token.balanceOf(owner.addr);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr) - before, 150);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "releasing");
        skip(MATURES);
        assertEq(_release(id), 50);
        assertEq(lens.statusOf(_t(id)), "refunded");
        assertEq(_heldFor(), 0);
    }

    function test_aRetiredVerifierTakesNothingBack() public {
        _state(terms, 1000, 0);
        _retire(id);
        _refused(terms, 1000, 500, "verifier_retired");
        vm.warp(START + MATURES);
        assertEq(_release(id), 200);
    }
}
