// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lies} from "../support/Lies.sol";
import {Openings} from "contracts/escrow/Openings.sol";
import {Statements} from "contracts/escrow/Statements.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {EventOpening, Exhibit, TransitionOpening} from "contracts/evidence/EvidenceTypes.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Cases that no log entry can show, and what happens instead. Every case of
/// docs/security/undecidable.md has its test here: first that a stranger with the whole log can do
/// nothing, then what bounds the damage.
contract UndecidableTest is Lies {
    address private arbiter = makeAddr("arbiter");
    uint256 private stated; // position of my contract's last statement

    // ------------------------------------------------------------ the deal, and who says what

    /// With a challenge, and an arbiter that knows what the log does not.
    function _judged() private view returns (Terms memory terms) {
        terms = _terms();
        terms.arbiter = arbiter;
        terms.challengePeriod = 1 days;
        terms.arbitrationPeriod = 1 days;
        terms.grace = 4 days;
    }

    function _outcomeByLog() private returns (uint256) {
        uint256 touch = _touch(operator.addr, 100);
        return _outcome(mine, _transition(200), touch);
    }

    /// The party disputes my contract's last statement, and the arbiter decides.
    function _assertRuled(address party, uint256 payableAmount) private {
        vm.prank(party);
        escrow.dispute(_t(mine), uint64(stated));
        vm.prank(arbiter);
        escrow.rule(_t(mine), uint64(stated), payableAmount);
        assertEq(lens.paidOf(_t(mine)), payableAmount);
    }

    /// The owner disputes the claims on my contract as late as it may, and the arbiter decides.
    function _assertClaimsRuled(uint256 payableAmount) private {
        Terms memory terms = _t(mine);
        vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod);
        vm.prank(owner.addr);
        escrow.disputeClaims(_t(mine));
        vm.prank(arbiter);
        escrow.ruleClaims(_t(mine), payableAmount);
        skip(1);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), payableAmount);
    }

    /// The owner gets back all but this much.
    function _assertRefunded(uint256 paid) private {
        Terms memory terms = _t(mine);
        vm.warp(terms.deadline + terms.grace + terms.claimPeriod + 1);
        uint256 before = token.balanceOf(owner.addr);
        escrow.refund(_t(mine));
        assertEq(token.balanceOf(owner.addr) - before, terms.budget - paid);
        assertEq(lens.paidOf(_t(mine)), paid);
    }

    // ------------------------------------------------------------ whatever is shown

    function _kinds() private pure returns (bytes32[9] memory) {
        return [
            bytes32("duplicate"),
            "transition",
            "touch",
            "cause",
            "touch_order",
            "rival",
            "sum",
            "reversal",
            "clock"
        ];
    }

    /// No kind, shown by any one or two entries of the log, or as rivals, reports and refunds are,
    /// holds.
    function _assertNothingShows() private {
        stated = book.size() - 1;
        for (uint256 i = 0; i < entries.length; ++i) {
            this.searchFrom(i);
        }
    }

    /// With this entry first. It is a call of its own, so that its memory is free again behind it.
    function searchFrom(uint256 i) external {
        uint256 count = entries.length;
        uint256[] memory all = new uint256[](count);
        for (uint256 j = 0; j < count; ++j) {
            all[j] = base + j;
        }
        Exhibit[] memory log = _exhibits(all);
        bytes32[9] memory kinds = _kinds();
        for (uint256 k = 0; k < kinds.length; ++k) {
            _assertIdle(kinds[k], _some(log, i));
            for (uint256 j = 0; j < count; ++j) {
                _assertIdle(kinds[k], _some(log, i, j));
            }
        }
        for (uint256 j = 0; j < count; ++j) {
            for (uint256 k = 0; k < count; ++k) {
                _assertIdleWith(log, i, j, k);
            }
        }
    }

    /// Only what could be accused is shown first.
    function _assertIdleWith(Exhibit[] memory log, uint256 i, uint256 j, uint256 k) private {
        if (_isPaid(i)) {
            _assertIdle("rival", _some(log, i, j, rivalOpened - base, k));
            _assertIdle("cause", _some(log, i, j, k));
        }
        if (entries[i].kind == "outcome.reversed") {
            _assertIdle("reversal", _some(log, i, j, k));
            if (!_isPaid(k)) return;
            uint256 transition = _targetOf(base + k) - base;
            _assertIdle("reversal", _some(log, i, j, k, transition));
        }
    }

    function _assertIdle(bytes32 kind, Exhibit[] memory shown) private {
        uint64 size = uint64(book.size());
        vm.prank(stranger);
        try evidence.disprove(escrow, _t(mine), kind, size, shown, _rivals(rival)) {
            assertTrue(false, "the log shows it");
        } catch {}
    }

    function _some(Exhibit[] memory log, uint256 i) private pure returns (Exhibit[] memory shown) {
        shown = new Exhibit[](1);
        shown[0] = log[i];
    }

    function _some(Exhibit[] memory log, uint256 i, uint256 j)
        private
        pure
        returns (Exhibit[] memory shown)
    {
        shown = new Exhibit[](2);
        (shown[0], shown[1]) = (log[i], log[j]);
    }

    function _isPaid(uint256 i) private view returns (bool) {
        bytes32 kind = entries[i].kind;
        return kind == "outcome" || kind == "outcome.over";
    }

    function _some(Exhibit[] memory log, uint256 i, uint256 j, uint256 k)
        private
        pure
        returns (Exhibit[] memory shown)
    {
        shown = new Exhibit[](3);
        (shown[0], shown[1], shown[2]) = (log[i], log[j], log[k]);
    }

    function _some(Exhibit[] memory log, uint256 i, uint256 j, uint256 k, uint256 l)
        private
        pure
        returns (Exhibit[] memory shown)
    {
        shown = new Exhibit[](4);
        (shown[0], shown[1], shown[2], shown[3]) = (log[i], log[j], log[k], log[l]);
    }

    /// The search above does find what there is to find.
    function test_undecidable_theSearchFindsALie() public {
        _begin(_judged());
        (bytes32 kind,) = _lie(2);
        assertEq(kind, "touch");
        vm.expectRevert("the log shows it");
        this.search();
    }

    function search() external {
        _assertNothingShows();
    }

    // ------------------------------------------------------------ lies that fit together

    /// Publisher, verifier and operator invent a lead, its touch and its transition. An arbiter can
    /// ask for the requests that the entries commit to.
    function test_undecidable_aLeadThatDoesNotExist_isForTheArbiter() public {
        _begin(_judged());
        _outcomeByLog();
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, 0);
        _assertRefunded(0);
    }

    /// Without a challenge the budget is all that they can take.
    function test_undecidable_aLeadThatDoesNotExist_costsAPlainContractItsBudgetAtMost() public {
        _begin(_terms());
        uint256 affordable = BUDGET / PRICE;
        Entry memory statement = _settlementEntry(mine);
        statement.value = (affordable + 1) * PRICE;
        statement.payload = bytes32((affordable + 1) * PRICE << 176);
        _state(statement);
        assertEq(lens.paidOf(_t(mine)), 0, "over the budget");

        statement.value = affordable * PRICE;
        statement.payload = bytes32(affordable * PRICE << 176);
        _state(statement);
        assertEq(lens.paidOf(_t(mine)), BUDGET);
        _state(statement);
        assertEq(lens.paidOf(_t(mine)), BUDGET);
    }

    /// And with a rate cap, half the cap at a time: there is time to close or to go to court.
    function test_undecidable_aLeadThatDoesNotExist_isPaidSlowlyUnderARateCap() public {
        Terms memory terms = _terms();
        (terms.rateCap, terms.ratePeriod) = (4 * PRICE, 1 days);
        _begin(terms);
        outcomes[mine].sum = BUDGET;
        _state();
        assertEq(lens.paidOf(_t(mine)), 2 * PRICE);
        vm.warp(START + 12 hours);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 3 * PRICE);
    }

    /// The policy may forbid the step from "lost" to the outcome's state: no entry says so that a
    /// contract could read.
    function test_undecidable_aTransitionAgainstThePolicy() public {
        _begin(_judged());
        uint256 touch = _touch(operator.addr, 100);
        Entry memory entered = _transitionEntry(LEAD, 200);
        entered.payload = _commit(
            abi.encode(TransitionOpening("lost", 0, _ms(200), NO_ORDER, REQUEST, COMMITMENT))
        );
        _outcome(mine, _write(entered), touch);
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, 0);
    }

    function test_undecidable_onePersonUnderTwoPseudonyms() public {
        _begin(_judged());
        _outcomeByLog();
        uint256 touch = _write(_touchEntry(operator.addr, OTHER_LEAD, 300));
        _outcome(mine, _write(_transitionEntry(OTHER_LEAD, 400)), touch);
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, PRICE);
    }

    /// After the end publisher and operator need no verifier: they claim outcomes that they
    /// invented.
    function test_undecidable_aClaimOfInventedEntries() public {
        Terms memory terms = _judged();
        terms.claimPeriod = 5 days;
        _begin(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        vm.warp(terms.deadline + terms.grace + 1);
        _fileClaim(transition, touch);

        uint256 snapshot = vm.snapshotState();
        _assertClaimsRuled(0);
        vm.revertToState(snapshot);

        vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod + 1);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE, "who disputes nothing pays");
    }

    /// Once all there is has been stated, and is final.
    function _claim(uint256 transition, uint256 touch) private returns (bytes32) {
        _state();
        Terms memory terms = _t(mine);
        vm.warp(terms.deadline + terms.grace + 1);
        escrow.release(_t(mine));
        return _fileClaim(transition, touch);
    }

    /// No kind drops it, whichever entry is shown first, with another contract and two entries more.
    function _assertClaimStands(bytes32 key, bytes32 other, uint256 second, uint256 third) private {
        bytes32[6] memory kinds =
            [bytes32("answered"), "taken", "reversed", "cause", "touch_order", "rival"];
        for (uint256 k = 0; k < kinds.length; ++k) {
            for (uint256 i = base; i < book.size(); ++i) {
                _assertNotRefuted(key, kinds[k], _exhibits(_show(i, second, third)), other);
            }
        }
        for (uint256 i = base; i < book.size(); ++i) {
            Exhibit[] memory shown = _exhibits(_show(i, second, third, mineOpened));
            _assertNotRefuted(key, "earlier", shown, other);
        }
    }

    function _assertNotRefuted(bytes32 key, bytes32 kind, Exhibit[] memory shown, bytes32 other)
        private
    {
        uint64 size = uint64(book.size());
        try evidence.refute(escrow, _t(mine), key, kind, size, shown, _rivals(other)) {
            assertTrue(false, "the log shows it");
        } catch {}
    }

    /// The log hears of my contract, which the escrow opened before.
    function _hearOfOpening(Terms memory terms, uint256 at) private {
        Entry memory entry;
        (entry.kind, entry.surface, entry.actor) =
        ("contract.opened", terms.surface, _word(terms.owner));
        (entry.subject, entry.label, entry.value) = (mine, terms.outcome, terms.budget);
        entry.timeMs = _ms(at);
        mineOpened = _write(entry);
    }

    /// Terms under a policy that is not in force compete for nothing. If another contract got the
    /// transition, that shows; if none did, no entry shows that no later one brings it back.
    function test_undecidable_aClaimUnderAPolicyThatIsNotInForce() public {
        Terms memory terms = _judged();
        (terms.claimPeriod, terms.policy) = (5 days, "an older policy");
        _begin(terms);
        Entry memory published;
        (published.kind, published.surface) = ("policy.published", terms.surface);
        (published.actor, published.subject) = (_word(terms.owner), _terms().policy);
        (published.label, published.value, published.timeMs) = ("v2", 2, _ms(1));
        _write(published);
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        _assertClaimStands(_claim(transition, touch), rival, rivalOpened, transition);
        _assertClaimsRuled(0);
    }

    /// The log hears of a contract when its opening is final; transitions that happen meanwhile it
    /// gives to no contract. If that refuted claims, the writer of the log could keep openings
    /// back.
    function test_undecidable_aClaimFromBeforeTheLogKnewTheContract() public {
        Terms memory terms = _judged();
        terms.claimPeriod = 5 days;
        mine = _contractId(terms);
        _open(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        _hearOfOpening(terms, 300);
        _assertClaimStands(_claim(transition, touch), mine, touch, transition);
        vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod + 1);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE, "it happened while the contract was open");
    }

    /// An outcome that is not in the log used up no lead: perhaps the contract's policy was not in
    /// force then. So publisher and operator together have the later, larger visit claimed.
    function test_undecidable_aFirstVisitThatTheLogDoesNotCount() public {
        Terms memory terms = _judged();
        (terms.claimPeriod, terms.revenueShareBps) = (5 days, 1000);
        _begin(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 first = _transition(200);
        Entry memory larger = _transitionEntry(LEAD, 300);
        larger.value = 50 * PRICE;
        uint256 later = _write(larger);
        bytes32 key = _claim(later, touch);
        _assertClaimStands(key, mine, first, touch);
        assertEq(escrow.claimOf(mine, key).amount, 6 * PRICE);
        _assertClaimsRuled(PRICE);
    }

    /// The publisher gives a visit of a rival's to the contract. Then the later one, which the contract
    /// won, is refuted by that, and the first by the rival; no verifier that replays the log signs any
    /// of it. The publisher could as well have invented a refund of what is owed.
    function test_undecidable_anEarlierVisitThatWasARivals() public {
        Terms memory terms = _judged();
        terms.claimPeriod = 5 days;
        _begin(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 his = _touch(bob.addr, 150);
        uint256 first = _transition(200);
        uint256 counted = _outcome(mine, first, touch);
        uint256 last = _touch(operator.addr, 250);
        uint256 later = _transition(300);
        uint256 refund = _refundOf(later);
        vm.warp(terms.deadline + terms.grace + 1);
        uint256 snapshot = vm.snapshotState();
        _refute(_fileClaim(later, last), "earlier", _show(counted, first, touch, mineOpened));
        vm.revertToState(snapshot);
        _refute(_fileClaim(first, touch), "rival", _show(his, rivalOpened, first));
        vm.revertToState(snapshot);
        _refute(_fileClaim(later, last), "reversed", _show(refund));
    }

    /// A refund that the publisher has invented, of a visit that the log gives to no contract.
    function _refundOf(uint256 transition) private returns (uint256) {
        Entry memory refund = _eventEntry(LEAD, 300);
        EventOpening memory said;
        (said.purchase, said.whole) = (transition, 1);
        said.refundedAfter = entries[transition - base].value;
        refund.payload = _commitEvent(refund, said);
        return _write(refund);
    }

    function _refute(bytes32 key, bytes32 kind, uint256[] memory positions) private {
        uint64 size = uint64(book.size());
        Exhibit[] memory shown = _exhibits(positions);
        vm.prank(stranger);
        evidence.refute(escrow, _t(mine), key, kind, size, shown, _rivals(rival));
        assertTrue(escrow.claimOf(mine, key).dropped);
    }

    // ------------------------------------------------------------ what is missing

    /// The publisher anchors entries and shows them to no reader. Of a lie all see the statement
    /// alone.
    function test_undecidable_entriesThatNobodySees() public {
        _begin(_judged());
        _lie(0);
        stated = book.size() - 1;
        bytes32[9] memory kinds = _kinds();
        for (uint256 i = 0; i < kinds.length; ++i) {
            _assertIdle(kinds[i], _exhibits(_show(stated)));
        }
        _assertRuled(owner.addr, 0);
    }

    /// Bob's touch came last and was never written down: it is bob's receipt against the log.
    function test_undecidable_aTouchThatIsMissing() public {
        _begin(_judged());
        _outcomeByLog();
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, 0);
    }

    /// A transition that is missing cannot be claimed: exhibits are entries of the log. The arbiter
    /// can add it to the next statement, and without one the budget goes back.
    function test_undecidable_aTransitionThatIsMissing() public {
        Terms memory terms = _judged();
        terms.claimPeriod = 5 days;
        _begin(terms);
        uint256 touch = _touch(operator.addr, 100);
        _state();
        _assertNothingShows();
        uint256 snapshot = vm.snapshotState();
        _assertRuled(operator.addr, PRICE);
        vm.revertToState(snapshot);

        vm.warp(terms.deadline + terms.grace + 1);
        Exhibit memory shown = _exhibit(touch);
        Exhibit memory invented = _exhibit(touch);
        invented.entry = abi.encode(_transitionEntry(LEAD, 200));
        uint64 size = uint64(book.size());
        vm.prank(operator.addr);
        vm.expectRevert();
        evidence.claim(escrow, _t(mine), size, invented, shown);
        _assertRefunded(0);
    }

    /// The log has the refund and no reversal, and the verifier signs a statement above both: entries
    /// show what is there, and no disproof what is not. A refund is proven where no final statement
    /// stands above it.
    function test_undecidable_aReversalThatIsMissing() public {
        Terms memory terms = _judged();
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 4 days);
        _begin(terms);
        _outcomeByLog();
        _refund(300);
        _state();
        _assertNothingShows();
        uint256 snapshot = vm.snapshotState();
        _assertRuled(owner.addr, 0);
        vm.revertToState(snapshot);

        // No party disputed. A held-back amount can still be taken back by a later statement.
        vm.warp(START + 1 days + 1);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 0);
        vm.expectPartialRevert(Evidence.AlreadyStated.selector);
        this.proveReversal(rivalOpened + 4, rivalOpened + 5);
        _reversal(mine, rivalOpened + 4, rivalOpened + 5);
        _state();
        vm.warp(START + 10 days);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 0);
    }

    /// Where no statement follows, the refund is enough to take what is held.
    function test_undecidable_aReversalThatIsMissing_andSoIsTheVerifier() public {
        Terms memory terms = _judged();
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 4 days);
        _begin(terms);
        uint256 outcome = _outcomeByLog();
        _state();
        vm.warp(START + 1 days + 1);
        uint256 refund = _refund(1 days);
        _publish();
        _proveReversal(outcome, refund);
        vm.warp(START + 10 days);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 0);
    }

    function proveReversal(uint256 outcome, uint256 refund) external {
        _proveReversal(outcome, refund);
    }

    function _proveReversal(uint256 outcome, uint256 refund) private {
        Exhibit[] memory shown = _exhibits(_show(outcome, refund));
        uint64 size = uint64(book.size());
        vm.prank(stranger);
        evidence.proveReversal(escrow, _t(mine), size, shown);
    }

    /// The customer was given the money back, and the product's report of it is not written down.
    function test_undecidable_aRefundThatIsMissing() public {
        Terms memory terms = _judged();
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 4 days);
        _begin(terms);
        _outcomeByLog();
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, 0);
    }

    /// The same, once the statement is final: no statement is pending that could be disputed, and what
    /// was held back is paid.
    function test_undecidable_aRefundThatIsMissing_ofWhatIsFinal() public {
        Terms memory terms = _judged();
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 4 days);
        _begin(terms);
        uint256 outcome = _outcomeByLog();
        _state();
        vm.warp(START + 1 days + 1);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 0, "all is held back");
        uint256 snapshot = vm.snapshotState();
        _assertNothingShows();
        vm.prank(owner.addr);
        vm.expectPartialRevert(Statements.NotPending.selector);
        escrow.dispute(_t(mine), uint64(stated));
        vm.warp(START + 1 days + terms.holdbackPeriod + terms.lateness);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE);
        vm.revertToState(snapshot);

        // Written down, it is shown by anyone, and nothing is paid.
        uint256 refund = _refund(1 days);
        _publish();
        _proveReversal(outcome, refund);
        vm.warp(START + 1 days + terms.holdbackPeriod + terms.lateness);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 0);
    }

    /// The owner's product reports a refund that it never made: what a contract holds back is as good
    /// as its owner's word, until it is paid.
    function test_undecidable_aRefundThatWasNeverMade() public {
        Terms memory terms = _judged();
        (terms.holdbackBps, terms.holdbackPeriod) = (5000, 4 days);
        _begin(terms);
        uint256 outcome = _outcomeByLog();
        _state();
        vm.warp(START + 1 days + 1);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE / 2, "what is not held back is paid");
        uint256 refund = _refund(1 days);
        _publish();
        uint256 snapshot = vm.snapshotState();
        _proveReversal(outcome, refund);
        vm.warp(START + 10 days);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE / 2);
        vm.revertToState(snapshot);

        // Of an outcome that is held back no more it takes nothing, however it is dated.
        vm.warp(START + 1 days + terms.holdbackPeriod + terms.lateness);
        vm.expectPartialRevert(Statements.NotHeld.selector);
        this.proveReversal(outcome, refund);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE);
    }

    /// A refund without an order of a purchase that paid nobody takes nothing back, and so refutes no
    /// claim of it.
    function test_undecidable_aRefundOfAPurchaseThatPaidNobody() public {
        Terms memory terms = _judged();
        (terms.claimPeriod, terms.holdbackPeriod) = (5 days, 4 days);
        mine = _contractId(terms);
        _open(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        uint256 refund = _refund(300);
        assertEq(_eventOpening(refund).purchase, 0, "the log paid nobody for it");
        _hearOfOpening(terms, 400);
        _assertClaimStands(_claim(transition, touch), mine, transition, touch);
        vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod);
        vm.prank(owner.addr);
        escrow.disputeClaims(_t(mine));
        vm.prank(arbiter);
        escrow.ruleClaims(_t(mine), 0);
        vm.warp(terms.deadline + 30 days);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 0);
    }

    /// With an order the events of a purchase that paid nobody count up, and a claim is judged by what
    /// the one in time says was refunded in all: also by those that came too late before it.
    function test_undecidable_lateRefundsOfAPurchaseThatPaidNobody() public {
        Terms memory terms = _judged();
        (terms.claimPeriod, terms.holdbackPeriod, terms.revenueShareBps) = (5 days, 1 days, 1000);
        mine = _contractId(terms);
        _open(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _write(_purchaseEntry(LEAD, 200, 5000, "order"));
        _write(_orderRefundEntry(transition, 3 days, 1000)); // too late
        uint256 refund = _write(_orderRefundEntry(transition, 300, 100)); // reported after it
        bytes32 key = _claim(transition, touch);
        Exhibit[] memory shown = _exhibits(_show(refund, transition));
        uint64 size = uint64(book.size());
        evidence.refute(escrow, _t(mine), key, "reversed", size, shown, _rivals(0));
        assertEq(escrow.claimOf(mine, key).amount, PRICE + 500 - 110);
    }

    /// What an event takes back stands in its opening. A publisher that keeps that to itself keeps
    /// the proof that it took too much.
    function test_undecidable_anOpeningThatIsKeptBack_ofARefund() public {
        _begin(_judged());
        (bytes32 kind, uint256[] memory shown) = _lie(10);
        assertEq(kind, "reversal");
        delete openings[entries[shown[1] - base].payload];
        _assertNothingShows();
        vm.expectPartialRevert(Exhibits.OpeningLength.selector);
        this.disprove("reversal", shown);
        _assertRuled(operator.addr, 2 * PRICE);
    }

    /// An event without an order takes back the lead's latest outcome. Where that is another
    /// contract's, no entry shows that it was not taken back before.
    function test_undecidable_aRefundThatTookBackAnother() public {
        Terms memory terms = _judged();
        terms.repeatable = true;
        _begin(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 first = _outcome(mine, _transition(400), touch);
        uint256 his = _touch(bob.addr, 300);
        uint256 latest = _outcome(rival, _transition(400), his);
        Entry memory refund = _refundEntry(LEAD, 400);
        EventOpening memory said = abi.decode(openings[refund.payload], (EventOpening));
        assertEq(said.purchase, _targetOf(latest));
        said.purchase = _targetOf(first);
        refund.payload = _commitEvent(refund, said);
        _reversal(mine, first, _write(refund));
        _state();
        _assertNothingShows();
        _assertRuled(operator.addr, PRICE);
    }

    // ------------------------------------------------------------ what others report

    /// Publisher and operator invent a click, or count one more than the code's terms allow: the
    /// code bears it.
    function test_undecidable_aClickThatDidNotHappen() public {
        _begin(_judged());
        Entry memory issued = _codeEntry(operator.addr, 50);
        issued.value = 1; // use
        uint256 code = _write(issued);
        _write(_reportedEntry(code, OTHER_LEAD, 60, 60));
        uint256 click = _write(_reportedEntry(code, LEAD, 100, 150));
        _outcome(mine, _transition(200), click);
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, 0);
    }

    /// An action was asked for, and said to be carried out though it was not.
    function test_undecidable_anActionThatNobodyCarriedOut() public {
        _begin(_judged());
        uint256 request = _write(_requestEntry(operator.addr, LEAD, 100));
        uint256 answer = _write(_reportedEntry(request, LEAD, 100, 150));
        _outcome(mine, _transition(200), answer);
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, 0);
    }

    /// The verifier says "refused" without a reason. Its word refutes a claim, so the
    /// operator must dispute the statement above it.
    function test_undecidable_anOutcomeThatIsRefusedWithoutAReason() public {
        Terms memory terms = _judged();
        terms.claimPeriod = 5 days;
        _begin(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        Entry memory answer = _outcomeEntry(mine, transition, touch);
        answer.kind = "outcome.refused";
        answer.payload = _link(transition, touch, 0, 0, 0);
        delete outcomes[mine];
        uint256 position = _write(answer);
        _state();
        _assertNothingShows();

        uint256 disputed = vm.snapshotState();
        _assertRuled(operator.addr, PRICE);
        vm.revertToState(disputed);

        vm.warp(terms.deadline + terms.grace + 1);
        escrow.release(_t(mine));
        (Exhibit memory a, Exhibit memory b) = (_exhibit(transition), _exhibit(touch));
        uint64 size = uint64(book.size());
        vm.prank(operator.addr);
        bytes32 key = evidence.claim(escrow, _t(mine), size, a, b);
        Exhibit[] memory shown = _exhibits(_show(position));
        evidence.refute(escrow, _t(mine), key, "answered", size, shown, _rivals(rival));
        assertTrue(escrow.claimOf(mine, key).dropped);
    }

    /// A rival that counts a lead once is shown by what the transition commits to. A publisher that
    /// keeps that to itself keeps the proof; a rival that counts it again needs none.
    function test_undecidable_anOpeningThatIsKeptBack() public {
        _begin(_judged());
        (, uint256[] memory shown) = _lie(4);
        delete openings[entries[shown[3] - base].payload];
        _assertNothingShows();
        vm.expectPartialRevert(Exhibits.OpeningLength.selector);
        this.disprove("rival", shown);
        _assertRuled(owner.addr, 0);
    }

    function test_undecidable_anOpeningThatIsKeptBack_isNotNeededWhereALeadMayReturn() public {
        Terms memory terms = _judged();
        terms.repeatable = true;
        _begin(terms);
        (, uint256[] memory shown) = _lie(4);
        delete openings[entries[shown[3] - base].payload];
        this.disprove("rival", shown);
        assertTrue(_isRetired(mine));
    }

    function disprove(bytes32 kind, uint256[] memory shown) external {
        _disprove(kind, shown);
    }

    // ------------------------------------------------------------ order and time

    /// Bob's touch came in after the operator's, and the publisher wrote it first: the log's order
    /// is the only one there is.
    function test_undecidable_theOrderInTheInbox() public {
        _begin(_judged());
        _touch(bob.addr, 100);
        _outcomeByLog();
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, 0);
    }

    /// It happened an hour after the deadline, and is said to have happened at it. Beyond the
    /// lateness that the policy allows, a replay refuses it; within, no replay can tell.
    function test_undecidable_aTimeWithinTheLateness() public {
        _begin(_judged());
        uint256 touch = _touch(operator.addr, 13 days);
        _outcome(mine, _transition(14 days), touch);
        _state();
        _assertNothingShows();
        _assertRuled(owner.addr, 0);
    }

    /// With the time it had, the log alone shows it.
    function test_undecidable_aTimeThatIsSaidAsItWas() public {
        _begin(_judged());
        uint256 touch = _touch(operator.addr, 13 days);
        uint256 outcome = _outcome(mine, _transition(14 days + 1 hours), touch);
        _state();
        _disprove("transition", _show(outcome));
        assertTrue(_isRetired(mine));
    }

    // ------------------------------------------------------------ sham rivals

    /// The owner opens the same deal with a friend, whose touches then come last. To the log it is
    /// a rival like any other: a verifier that pays the operator all the same is retired.
    function test_undecidable_aShamRival_takesTheOutcome() public {
        _begin(_judged());
        (, uint256[] memory shown) = _lie(4);
        _disprove("rival", shown);
        assertTrue(_isRetired(mine));
    }

    /// An exclusive contract has no rivals.
    function test_undecidable_aShamRival_isNotOpenedBesideAnExclusiveContract() public {
        Terms memory terms = _judged();
        terms.exclusive = true;
        mine = _enter(terms, operator);
        terms.exclusive = false;
        terms.operator = bob.addr;
        bytes memory byOwner = _sign(owner, _ownerConsent(terms, 0));
        bytes memory byBob = _sign(bob, _operatorConsent(terms));
        vm.expectPartialRevert(Openings.OutcomeOccupied.selector);
        escrow.open(terms, _allowance(), byOwner, byBob);
    }

    // ------------------------------------------------------------ too late

    /// A plain contract has paid before anyone can show anything: see EndToEnd for each kind.
    function test_undecidable_aPlainContractHasPaid() public {
        _begin(_terms());
        (bytes32 kind, uint256[] memory shown) = _lie(3);
        _disprove(kind, shown);
        assertEq(lens.paidOf(_t(mine)), PRICE);
        _assertRefunded(PRICE);
    }
}
