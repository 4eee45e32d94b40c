// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Statements} from "contracts/escrow/Statements.sol";
import {ProvenReversal} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// What Evidence has proven to be taken back of a final outcome comes off what is payable, whether
/// the verifier states it or not, once, and only while the outcome's money is held back.
contract ReversalTest is GuardedFixture {
    uint64 private constant FIRST = 1; // positions of outcomes
    uint64 private constant SECOND = 2;
    uint64 private constant HOLDBACK = 6 days;

    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _guarded();
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, HOLDBACK);
        terms.revenueShareBps = 1000; // so that amounts are no multiples of the price
        id = _open(terms);
        _happens();
        _happens(); // so that statements stand above the outcomes
    }

    /// A verifier that stops signing cancels no holdback.
    function test_aSilentVerifierKeepsNoReversalBack() public {
        _stateFinal(terms, 2 * PRICE, 0);
        assertEq(_release(id), 0, "all of it is held back");
        uint64 happened = _happens();
        vm.expectEmit(address(escrow));
        emit Disputes.ReversalRecorded(id, happened, FIRST, PRICE, PRICE, PRICE);
        _record(happened, FIRST, PRICE);
        assertEq(lens.netOf(_t(id)), PRICE);
        assertEq(lens.owed(_t(id)), PRICE);
        skip(32 days);
        assertEq(_release(id), PRICE);
    }

    /// In any order; and of an outcome no more than there is, however many events say so.
    function test_eachEventCountsOnce() public {
        _stateFinal(terms, 2 * PRICE, 0);
        (uint64 early, uint64 late, uint64 last) = (_happens(), _happens(), _happens());
        _record(late, FIRST, 3);
        _expectRecorded(late);
        _record(late, FIRST, 3);
        _expectRecorded(late);
        _record(late, FIRST, 9);
        _record(early, FIRST, 4);
        assertEq(lens.netOf(_t(id)), 2 * PRICE - 7);
        _record(last, SECOND, 5);
        assertEq(lens.netOf(_t(id)), 2 * PRICE - 12);
        last = _happens();
        vm.expectRevert(
            abi.encodeWithSelector(Statements.MoreThanOutcome.selector, FIRST, PRICE + 1, PRICE)
        );
        _record(last, FIRST, PRICE - 6);
        _record(last, FIRST, PRICE - 7);
        _record(_happens(), SECOND, PRICE - 5);
        assertEq(lens.netOf(_t(id)), 0);
    }

    /// Not even where a statement has taken over what was proven before.
    function test_anOutcomeIsTakenBackOnce() public {
        _stateFinal(terms, 2 * PRICE, 0);
        _record(_happens(), FIRST, PRICE);
        _stateFinal(terms, 2 * PRICE, PRICE);
        uint64 again = _happens();
        vm.expectPartialRevert(Statements.MoreThanOutcome.selector);
        _record(again, FIRST, 1);
        assertEq(lens.netOf(_t(id)), PRICE);
    }

    // ------------------------------------------------------------ with statements

    /// What was reversed after the last statement counts, however much that had stated before.
    function test_whatWasStatedHidesNothing() public {
        _stateFinal(terms, 4 * PRICE, 2 * PRICE);
        _record(_happens(), FIRST, PRICE);
        assertEq(lens.netOf(_t(id)), PRICE);
        _stateFinal(terms, 4 * PRICE, 3 * PRICE);
        assertEq(lens.netOf(_t(id)), PRICE);
    }

    /// One below the pending statement is stated by that; one above it is not.
    function test_whileAStatementIsPending() public {
        _stateFinal(terms, 4 * PRICE, 0);
        uint64 below = _happens();
        uint64 position = _state(terms, 5 * PRICE, PRICE);
        uint64 above = _happens();
        _record(above, SECOND, PRICE / 2);
        _record(below, FIRST, PRICE);
        assertEq(lens.netOf(_t(id)), 5 * PRICE / 2);
        assertEq(lens.snapshotOf(_t(id)).pendingNet, 7 * PRICE / 2);
        skip(CHALLENGE + 1);
        assertEq(lens.netOf(_t(id)), 7 * PRICE / 2);
        uint64 later = _happens();
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, position, 7 * PRICE / 2, uint64(block.timestamp) - 1);
        _record(later, SECOND, PRICE / 2);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
        _stateFinal(terms, 5 * PRICE, 2 * PRICE);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
    }

    /// A statement that is void states nothing.
    function test_whenTheVerifierIsRetired() public {
        _stateFinal(terms, 3 * PRICE, 0);
        uint64 below = _happens();
        _state(terms, 3 * PRICE, PRICE);
        _record(below, FIRST, PRICE);
        _record(_happens(), SECOND, 1);
        _retire(id);
        assertEq(lens.netOf(_t(id)), 2 * PRICE - 1);
        _record(_happens(), SECOND, PRICE - 1);
        skip(31 days);
        assertEq(_release(id), PRICE);
        vm.warp(_t2(terms) + 31 days);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET - PRICE);
    }

    /// Of a statement below an event that was shown it is not known whether it states that. A newer
    /// one states all.
    function test_aStatementBelowAnEventIsStale() public {
        _stateFinal(terms, 3 * PRICE, 0);
        Batch memory early = _signed(3 * PRICE, 0);
        uint64 first = _happens();
        Batch memory between = _signed(3 * PRICE, PRICE);
        uint64 second = _happens();
        Batch memory late = _signed(4 * PRICE, 2 * PRICE);
        _record(second, SECOND, PRICE);
        _record(first, FIRST, PRICE); // an earlier one, shown later
        assertEq(_settleForReason(early), "stale");
        assertEq(_settleForReason(between), "stale");
        assertEq(lens.netOf(_t(id)), PRICE);
        assertEq(_settleForReason(late), 0);
        assertEq(lens.snapshotOf(_t(id)).pendingNet, 2 * PRICE);
        skip(CHALLENGE + 1);
        assertEq(lens.netOf(_t(id)), 2 * PRICE);
        // From then on nothing is proven, and nothing stale.
        assertEq(_settleForReason(early), "already_settled");
        _stateFinal(terms, 5 * PRICE, 2 * PRICE);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
    }

    /// Who brings a statement before the next checkpoint is anchored, is not too late.
    function test_aStatementThatIsPendingGrowsNotStale() public {
        _stateFinal(terms, 3 * PRICE, 0);
        _state(terms, 4 * PRICE, 0);
        _record(_happens(), FIRST, PRICE);
        skip(CHALLENGE + 1);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
    }

    function _signed(uint256 earned, uint256 reversed) private returns (Batch memory) {
        return _batch(_groupOf(terms), _list(_settlement(id, earned, reversed)));
    }

    // ------------------------------------------------------------ statements and proofs at random

    struct Paid {
        uint64 position;
        uint256 sum; // with those before it
        uint256 left;
    }

    struct Event {
        uint64 position;
        uint256 outcome; // its number
        uint256 amount;
        bool shown;
    }

    Paid[] private paid;
    Event[] private events;
    Batch[] private batches; // signed statements of what the log had when they were written

    /// Whatever comes first, statement or proof, and whatever of it comes twice: never is more taken
    /// back than the log has, and all of it once all events above the last final statement are
    /// shown.
    function testFuzz_nothingIsSubtractedTwice(uint256 seed) public {
        terms.challengePeriod = 1 hours;
        terms.salt = "fuzz";
        id = _open(terms);
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _step(seed % 8, seed >> 8);
            _assertExact();
        }
        for (uint256 i = 0; i < events.length; ++i) {
            if (_isProvable(events[i])) _show(events[i]);
        }
        assertEq(_assertExact(), 0, "all is taken back that the log has");
    }

    function _step(uint256 how, uint256 seed) private {
        if (how == 0) {
            uint256 sum = paid.length == 0 ? 0 : paid[paid.length - 1].sum;
            if (paid.length < 9) paid.push(Paid(_happens(), sum + PRICE, PRICE));
        } else if (how < 3 && paid.length != 0) {
            Paid storage one = paid[seed % paid.length];
            uint256 amount = (seed >> 8) % 3 == 0 ? one.left : (seed >> 16) % (one.left + 1);
            if (amount == 0) return;
            one.left -= amount;
            events.push(Event(_happens(), seed % paid.length, amount, false));
        } else if (how < 5 && events.length != 0) {
            Event storage one = events[seed % events.length];
            if (_isProvable(one)) _show(one);
        } else if (how == 5) {
            (uint256 earned, uint256 reversed) = _totalsBelow(type(uint256).max);
            batches.push(_signed(earned, reversed));
        } else if (how == 6 && batches.length != 0) {
            _bring(batches[seed % 3 == 0 ? (seed >> 8) % batches.length : batches.length - 1]);
        } else {
            skip(seed % 50 minutes);
        }
    }

    function _totalsBelow(uint256 position)
        private
        view
        returns (uint256 earned, uint256 reversed)
    {
        for (uint256 i = 0; i < paid.length; ++i) {
            if (paid[i].position < position) {
                earned = paid[i].sum;
            }
        }
        for (uint256 i = 0; i < events.length; ++i) {
            if (events[i].position < position) reversed += events[i].amount;
        }
    }

    /// As Evidence has it.
    function _isProvable(Event storage one) private view returns (bool) {
        uint256 last = _lastFinal(id);
        return !one.shown && one.position > last && paid[one.outcome].position <= last;
    }

    function _show(Event storage one) private {
        Paid storage outcome = paid[one.outcome];
        _record(ProvenReversal(one.position, outcome.position, PRICE, outcome.sum, one.amount));
        one.shown = true;
    }

    function _bring(Batch memory batch) private {
        bytes32 expected;
        if (batch.first <= _lastFinal(id)) expected = "already_settled";
        else if (lens.snapshotOf(_t(id)).pendingPosition != 0) expected = "pending";
        else if (_provenAbove(batch.first) != 0) expected = "stale";
        assertEq(_settleForReason(batch), expected);
    }

    function _provenAbove(uint256 position) private view returns (uint256 sum) {
        for (uint256 i = 0; i < events.length; ++i) {
            if (events[i].shown && events[i].position > position) sum += events[i].amount;
        }
    }

    /// Returns what is not taken back yet of what the log has taken back of final outcomes.
    function _assertExact() private view returns (uint256 missing) {
        uint256 last = _lastFinal(id);
        (uint256 earned, uint256 reversed) = _totalsBelow(last);
        uint256 inForce = reversed + _provenAbove(last);
        assertEq(lens.netOf(_t(id)), earned - inForce);
        uint256 pending = lens.snapshotOf(_t(id)).pendingPosition;
        if (pending != 0) {
            (uint256 more, uint256 taken) = _totalsBelow(pending);
            uint256 net = lens.snapshotOf(_t(id)).pendingNet;
            assertEq(net, more - taken - _provenAbove(pending));
        }
        uint256 truth;
        for (uint256 i = 0; i < events.length; ++i) {
            if (paid[events[i].outcome].position <= last) truth += events[i].amount;
        }
        assertLe(inForce, truth);
        return truth - inForce;
    }

    // ------------------------------------------------------------ what is held

    /// Of outcomes whose money is held back no more, nothing: neither the word of the owner nor of the
    /// publisher takes what is the payee's for good.
    function test_onlyWhileTheOutcomeIsYoung() public {
        _stateFinal(terms, PRICE, 0);
        uint256 since = block.timestamp - 1;
        skip(5 days);
        _stateFinal(terms, 2 * PRICE, 0);
        vm.warp(since + HOLDBACK + terms.lateness - 1);
        uint256 snapshot = vm.snapshotState();
        _record(_happens(), FIRST, PRICE);
        vm.revertToState(snapshot);

        vm.warp(since + HOLDBACK + terms.lateness);
        uint64 happened = _happens();
        vm.expectRevert(abi.encodeWithSelector(Statements.NotHeld.selector, FIRST, PRICE, PRICE));
        _record(happened, FIRST, PRICE);
        _record(happened, SECOND, PRICE);
        skip(30 days);
        happened = _happens();
        // It is older than what is old now by another outcome.
        vm.expectRevert(
            abi.encodeWithSelector(Statements.NotHeld.selector, FIRST, PRICE, 2 * PRICE)
        );
        _record(happened, FIRST, PRICE);
        assertEq(_release(id), PRICE);
    }

    /// With invented events the publisher alone takes no more than what is young.
    function test_manyEventsTakeNoMoreThanWhatIsYoung() public {
        _stateFinal(terms, PRICE, 0);
        skip(HOLDBACK + terms.lateness);
        _stateFinal(terms, 2 * PRICE, 0);
        for (uint64 outcome = FIRST; outcome <= SECOND; ++outcome) {
            for (uint256 i = 0; i < 3; ++i) {
                uint64 happened = _happens();
                bytes4 reason = outcome == FIRST
                    ? Statements.NotHeld.selector
                    : Statements.MoreThanOutcome.selector;
                if (outcome == FIRST || i != 0) vm.expectPartialRevert(reason);
                _record(happened, outcome, PRICE);
            }
        }
        assertEq(lens.paidOf(_t(id)), PRICE, "what was old is paid");
        assertEq(lens.netOf(_t(id)), PRICE);
        skip(HOLDBACK + terms.lateness);
        assertEq(_release(id), 0);
    }

    /// Nothing is held, or what was paid is paid for good.
    function test_revertIf_nothingIsHeldBack() public {
        for (uint256 i = 0; i < 2; ++i) {
            terms = i == 0 ? _terms() : _guarded();
            terms.salt = bytes32(i + 100);
            id = _open(terms);
            _stateFinal(terms, 2 * PRICE, 0);
            uint64 happened = _happens();
            vm.expectRevert(
                abi.encodeWithSelector(Statements.NotHeld.selector, SECOND, 2 * PRICE, 2 * PRICE)
            );
            _record(happened, SECOND, PRICE);
        }
    }

    /// What a ruling added or took off makes outcomes look older or younger: it is the owner who
    /// may be wrong.
    function test_rulingsMakeNoOutcomeLookOld() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _state(terms, 2 * PRICE, 0);
            _dispute(owner.addr, id);
            _rule(id, i == 0 ? 4 * PRICE : PRICE / 2);
            skip(HOLDBACK);
            // The third outcome is young, whatever was ruled on those before.
            _stateFinal(terms, 3 * PRICE, 0);
            skip(terms.lateness);
            _record(ProvenReversal(_happens(), 3, PRICE, 3 * PRICE, PRICE));
            assertEq(lens.netOf(_t(id)), i == 0 ? 4 * PRICE : PRICE / 2);
            vm.revertToState(snapshot);
        }
    }

    /// The part that is held back covers it first.
    function test_itComesOffWhatIsHeld() public {
        (terms.holdbackBps, terms.salt) = (5000, "half");
        id = _open(terms);
        _stateFinal(terms, 2 * PRICE, 0);
        assertEq(_release(id), PRICE);
        _record(_happens(), FIRST, PRICE);
        assertEq(_release(id), 0);
        skip(32 days);
        assertEq(_release(id), 0);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    /// What was paid stays paid, and is set off against what comes later.
    function test_whatWasPaidIsSetOff() public {
        (terms.holdbackBps, terms.salt) = (1, "paid");
        id = _open(terms);
        _stateFinal(terms, 2 * PRICE, 0);
        uint256 released = _release(id);
        assertEq(released, 2 * PRICE - 2 * PRICE / 10_000);
        _record(_happens(), FIRST, PRICE);
        assertEq(lens.owed(_t(id)), 0);
        _stateFinal(terms, 4 * PRICE, PRICE);
        skip(32 days);
        assertEq(_release(id), 3 * PRICE - released);
    }

    // ------------------------------------------------------------ with rulings and closings

    /// A ruling sets a sum in which what was proven before is counted. Later statements of the same
    /// reversals change nothing, and more that is proven comes off.
    function test_aRulingCountsWhatWasProven() public {
        _stateFinal(terms, 3 * PRICE, 0);
        uint64 below = _happens();
        _state(terms, 4 * PRICE, PRICE);
        _record(below, FIRST, PRICE);
        _record(_happens(), SECOND, PRICE / 2);
        _dispute(operator.addr, id);
        _rule(id, 3 * PRICE);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
        _stateFinal(terms, 4 * PRICE, 3 * PRICE / 2);
        assertEq(lens.netOf(_t(id)), 3 * PRICE);
        _record(_happens(), SECOND, PRICE / 2);
        assertEq(lens.netOf(_t(id)), 5 * PRICE / 2);
    }

    /// Owner and publisher can show more to be taken back than was earned. It leaves no more than what
    /// is final, though a ruling had added to that.
    function test_moreIsTakenBackThanWasEarned() public {
        _state(terms, 2 * PRICE, 2 * PRICE);
        _dispute(operator.addr, id);
        _rule(id, PRICE);
        assertEq(lens.reservedOf(_t(id)), PRICE);
        _record(_happens(), FIRST, PRICE);
        assertEq(lens.netOf(_t(id)), 0);
        assertEq(lens.reservedOf(_t(id)), 0);
        vm.warp(_t2(terms) + 31 days);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET, "all of it");
    }

    /// A ruling may go down to the net that proofs leave.
    function test_aRulingMayFollowAProof() public {
        _stateFinal(terms, 3 * PRICE, 0);
        _state(terms, 3 * PRICE, 0);
        _record(_happens(), FIRST, PRICE);
        _dispute(owner.addr, id);
        vm.expectPartialRevert(Statements.PayableOutOfRange.selector);
        vm.prank(arbiter.addr);
        escrow.rule(_t(id), lastStated, 2 * PRICE - 1);
        _rule(id, 2 * PRICE);
        assertEq(lens.netOf(_t(id)), 2 * PRICE);
    }

    function test_aClosingIsForGood() public {
        _stateFinal(terms, 3 * PRICE, 0);
        uint64 happened = _happens();
        _state(terms, 3 * PRICE, 0);
        _record(happened, FIRST, PRICE);
        _close(id, 5 * PRICE / 2);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE / 2);
        assertEq(lens.netOf(_t(id)), 5 * PRICE / 2);
        happened = _happens();
        vm.expectRevert(abi.encodeWithSelector(Ledgers.AlreadyClosed.selector, id));
        _record(happened, SECOND, PRICE);
    }

    // ------------------------------------------------------------ with claims and refunds

    /// What is freed goes back to the owner, or can be claimed.
    function test_itFreesTheBudget() public {
        terms = _claimable();
        (terms.budget, terms.salt) = (2 * PRICE, "claims");
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 30 days);
        id = _open(terms);
        _stateFinal(terms, 2 * PRICE, 0);
        _record(_happens(), FIRST, PRICE);
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        vm.warp(_t3(terms) + 1);
        vm.expectRevert(abi.encodeWithSelector(OutcomeEscrow.NothingToRefund.selector, id));
        escrow.refund(_t(id));
        _record(_happens(), SECOND, PRICE);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr), 9 * BUDGET - PRICE);
        vm.warp(_t4(terms) + 1);
        assertEq(_release(id), PRICE);
    }

    /// An event of the last moment can be shown before a claim of its outcome is paid.
    function test_claimsAreRefutedForADayAfterTheLastEvent() public {
        terms = _claimable();
        (terms.holdbackPeriod, terms.salt) = (60 days, "claims");
        id = _open(terms);
        uint64 last = terms.deadline + terms.lateness + terms.holdbackPeriod;
        vm.warp(_t2(terms) + 1);
        bytes32 key = _claimLead(terms, "ann");
        vm.warp(last + 1 days);
        assertEq(lens.statusOf(_t(id)), bytes32("refutable"));
        uint256 snapshot = vm.snapshotState();
        vm.prank(address(evidence));
        escrow.lowerClaim(_t(id), key, 1, "reversed");
        vm.revertToState(snapshot);
        skip(1);
        assertEq(_release(id), PRICE);
    }

    // ------------------------------------------------------------ refused

    function test_revertIf_anybodyElseRecords() public {
        address[5] memory others =
            [owner.addr, operator.addr, arbiter.addr, verifier.addr, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Disputes.NotEvidence.selector, others[i]));
            vm.prank(others[i]);
            escrow.recordReversal(_t(id), _of(9, FIRST, PRICE));
        }
    }

    function test_revertIf_unknown() public {
        id = "unknown";
        bytes32 unknown = escrow.contractIdOf(_t(id));
        vm.expectRevert(abi.encodeWithSelector(Ledgers.UnknownContract.selector, unknown));
        _record(9, FIRST, PRICE);
    }

    function test_revertIf_moreThanAmountsMayBe() public {
        uint256 most = type(uint80).max;
        _record(ProvenReversal(9, FIRST, most, most, most));
        assertEq(lens.netOf(_t(id)), 0);
        vm.expectPartialRevert(SafeCast.SafeCastOverflowedUintDowncast.selector);
        _record(10, SECOND, 1);
        vm.expectRevert();
        _record(11, SECOND, type(uint256).max);
    }

    // ------------------------------------------------------------ helpers

    /// The log grows by an entry.
    function _happens() private returns (uint64) {
        Entry memory entry;
        entry.kind = "product.event";
        return _write(entry).position;
    }

    /// By an event of one of the first two outcomes.
    function _of(uint64 happened, uint64 outcome, uint256 amount)
        private
        pure
        returns (ProvenReversal memory)
    {
        return ProvenReversal(happened, outcome, PRICE, outcome * PRICE, amount);
    }

    function _record(uint64 happened, uint64 outcome, uint256 amount) private {
        _record(_of(happened, outcome, amount));
    }

    /// As Evidence does once it has judged.
    function _record(ProvenReversal memory reversal) private {
        vm.prank(address(evidence));
        escrow.recordReversal(_t(id), reversal);
    }

    function _expectRecorded(uint64 happened) private {
        vm.expectRevert(abi.encodeWithSelector(Statements.AlreadyRecorded.selector, happened));
    }
}
