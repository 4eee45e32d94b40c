// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceFixture} from "../support/EvidenceFixture.sol";
import {EvidenceTargetDouble} from "../support/EvidenceTargetDouble.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Claim, EventOpening, Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {Reversals} from "contracts/evidence/Reversals.sol";
import {Entry, MerkleLog} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Claims by proof, and their refutation.
contract ClaimTest is EvidenceFixture {
    uint256 private touch;
    uint256 private transition;
    uint256 private visit; //     an earlier transition
    uint256 private countedAt; // what counted the lead for my contract then

    function _begin(Terms memory terms) private {
        _openBoth(terms);
        touch = _touch(ann, 100);
        transition = _transition(200);
    }

    function _claim() private returns (bytes32 key) {
        uint64 size = _size();
        (Exhibit memory a, Exhibit memory b) = (_exhibit(transition), _exhibit(touch));
        vm.prank(ann);
        return evidence.claim(escrow, _t(MINE), size, a, b);
    }

    function _refusesClaim(bytes memory reason) private {
        uint64 size = _size();
        (Exhibit memory a, Exhibit memory b) = (_exhibit(transition), _exhibit(touch));
        vm.prank(ann);
        vm.expectRevert(reason);
        evidence.claim(escrow, _t(MINE), size, a, b);
    }

    function _refute(bytes32 key, bytes32 kind, uint256[] memory positions) private {
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(positions);
        vm.prank(stranger);
        evidence.refute(escrow, _t(MINE), key, kind, size, shown, _rivals(RIVAL));
        assertEq(escrow.loweredFor(MINE, key), kind);
    }

    function _refusesToRefute(
        bytes memory reason,
        bytes32 key,
        bytes32 kind,
        uint256[] memory positions
    ) private {
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(positions);
        vm.expectRevert(reason);
        evidence.refute(escrow, _t(MINE), key, kind, size, shown, _rivals(RIVAL));
        assertEq(escrow.loweredFor(MINE, key), 0);
    }

    function _notAnswered(uint256 position) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Evidence.NotAnswered.selector, position);
    }

    // ------------------------------------------------------------ claiming

    function test_claim_filesWhatIsOwed() public {
        Terms memory terms = _terms();
        terms.revenueShareBps = 3333;
        _begin(terms);
        bytes32 key = _claim();
        assertEq(key, LEAD);
        Claim memory filed = escrow.claimOf(MINE, key);
        assertEq(filed.lead, LEAD);
        assertEq(filed.amount, PRICE + 1666);
        assertEq(filed.transition, transition);
        assertEq(filed.touch, touch);
        assertEq(filed.timeMs, _ms(200));
        assertFalse(filed.dropped);
    }

    function test_claim_isKeyedByTheTransitionWhereALeadCountsOften() public {
        Terms memory terms = _terms();
        terms.repeatable = true;
        _begin(terms);
        assertEq(_claim(), bytes32(transition));
    }

    function test_claim_onlyByTheOperator() public {
        _begin(_terms());
        uint64 size = _size();
        (Exhibit memory a, Exhibit memory b) = (_exhibit(transition), _exhibit(touch));
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(Evidence.NotOperator.selector, MINE, bob));
        evidence.claim(escrow, _t(MINE), size, a, b);
    }

    function test_claim_bothExhibitsAreCheckedAgainstTheAnchoredRoot() public {
        _begin(_terms());
        uint64 size = _size();
        (Exhibit memory a, Exhibit memory b) = (_exhibit(transition), _exhibit(touch));
        vm.startPrank(ann);
        vm.expectRevert(abi.encodeWithSelector(Evidence.NotAnchored.selector, logId, size + 1));
        evidence.claim(escrow, _t(MINE), size + 1, a, b);
        a.entry = b.entry;
        vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
        evidence.claim(escrow, _t(MINE), size, a, b);
        a = _exhibit(transition);
        b.entry = a.entry;
        vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
        evidence.claim(escrow, _t(MINE), size, a, b);
    }

    function test_claim_onlyOfTransitionsThatCount() public {
        for (uint256 i = 0; i < 7; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            touch = _touch(ann, 100);
            Entry memory entry = _transitionEntry(LEAD, 200);
            if (i == 0) entry.kind = "lead.refused";
            if (i == 1) entry.surface = "other";
            if (i == 2) entry.actor = _word(bob);
            if (i == 3) entry.label = "trial";
            if (i == 4) entry.timeMs = _ms(0) - 1;
            if (i == 5) entry.timeMs = _ms(14 days) + 1;
            if (i == 6) entry.timeMs = type(uint256).max;
            transition = _write(entry);
            _refusesClaim(
                abi.encodeWithSelector(Evidence.TransitionDoesNotCount.selector, transition)
            );
            vm.revertToState(snapshot);
        }
    }

    function test_claim_onlyByTouchesThatQualify() public {
        for (uint256 i = 0; i < 8; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            if (i == 0) transition = _transition(8 days);
            Entry memory entry = _touchEntry(ann, LEAD, 1 days);
            if (i == 1) entry.actor = _word(bob);
            if (i == 2) entry.subject = OTHER_LEAD;
            if (i == 3) entry.surface = "other";
            if (i == 4) entry.kind = "lead.registered";
            if (i == 5) entry.timeMs -= 1;
            if (i == 6) entry.timeMs = _ms(8 days) + 1;
            if (i == 7) entry.timeMs = _ms(0) - 1;
            touch = _write(entry);
            if (i != 0) transition = _transition(8 days);
            _refusesClaim(abi.encodeWithSelector(Evidence.TouchDoesNotQualify.selector, touch));
            vm.revertToState(snapshot);
        }
    }

    function test_claim_ofAnAmountThatNoTokenHas() public {
        uint256 limit = type(uint80).max;
        uint256[3] memory values = [limit - PRICE, limit - PRICE + 1, type(uint256).max];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            terms.revenueShareBps = 10_000;
            _openBoth(terms);
            touch = _touch(ann, 100);
            Entry memory entry = _transitionEntry(LEAD, 200);
            entry.value = values[i];
            transition = _write(entry);
            if (i == 0) {
                assertEq(escrow.claimOf(MINE, _claim()).amount, limit);
            } else {
                _refusesClaim(
                    abi.encodeWithSelector(
                        Evidence.AmountTooLarge.selector, values[i], PRICE, limit
                    )
                );
            }
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ refuting

    function test_refute_onlyAClaimThatStands() public {
        _begin(_terms());
        uint256 outcome = _outcome(MINE, transition, touch);
        _state(MINE);
        bytes memory reason = abi.encodeWithSelector(Evidence.NoClaim.selector, MINE, LEAD);
        _refusesToRefute(reason, LEAD, "answered", _show(outcome));
        _claim();
        _refute(LEAD, "answered", _show(outcome));
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(_show(outcome));
        vm.expectRevert(reason);
        evidence.refute(escrow, _t(MINE), LEAD, "answered", size, shown, _rivals(RIVAL));
    }

    function test_refute_anUnknownKindIsRefused() public {
        _begin(_terms());
        _claim();
        bytes32[4] memory kinds = [bytes32("a"), "duplicate", "sum", "z"];
        bytes memory reason;
        for (uint256 i = 0; i < kinds.length; ++i) {
            reason = abi.encodeWithSelector(Evidence.UnknownKind.selector, kinds[i]);
            _refusesToRefute(reason, LEAD, kinds[i], _show(touch));
        }
        reason = abi.encodeWithSelector(Evidence.ExhibitCount.selector, 0, 16);
        _refusesToRefute(reason, LEAD, "answered", new uint256[](0));
    }

    function test_refute_answered() public {
        bytes32[3] memory kinds = [bytes32("outcome"), "outcome.over", "outcome.refused"];
        for (uint256 i = 0; i < 6; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            terms.repeatable = i >= 3;
            _begin(terms);
            Entry memory answer = _outcomeEntry(MINE, transition, touch);
            answer.kind = kinds[i % 3];
            uint256 position = _write(answer);
            _state(MINE);
            bytes32 key = _claim();
            _refute(key, "answered", _show(position));
            vm.revertToState(snapshot);
        }
    }

    /// Once a lead: whichever of its transitions the verifier answered.
    function test_refute_answered_byTheLead() public {
        _begin(_terms());
        uint256 outcome = _outcome(MINE, transition, touch);
        _state(MINE);
        transition = _transition(300);
        _refute(_claim(), "answered", _show(outcome));
    }

    function test_refute_answered_notByAnotherTransitionOfARepeatableContract() public {
        Terms memory terms = _terms();
        terms.repeatable = true;
        _begin(terms);
        uint256 outcome = _outcome(MINE, transition, touch);
        _state(MINE);
        transition = _transition(300);
        _refusesToRefute(_notAnswered(outcome), _claim(), "answered", _show(outcome));
    }

    function test_refute_answered_onlyByTheContractBelowItsLastFinalStatement() public {
        _begin(_terms());
        uint256 other = _outcome(RIVAL, transition, touch);
        Entry memory elsewhere = _outcomeEntry(MINE, transition, touch);
        elsewhere.subject = OTHER_LEAD;
        uint256 another = _write(elsewhere);
        _state(MINE);
        uint256 late = _outcome(MINE, transition, touch);
        bytes32 key = _claim();
        uint256[5] memory shown = [other, another, late, transition, touch];
        for (uint256 i = 0; i < 5; ++i) {
            _refusesToRefute(_notAnswered(shown[i]), key, "answered", _show(shown[i]));
        }
        _state(MINE);
        _refute(key, "answered", _show(late));
    }

    function test_refute_answered_notByANeighbour() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _begin(_terms());
            Entry memory other = _outcomeEntry(MINE, transition, touch);
            other.actor = bytes32(i == 0 ? uint256(MINE) - 1 : uint256(MINE) + 1);
            uint256 position = _write(other);
            escrow.state(MINE, position, position);
            _refusesToRefute(_notAnswered(position), _claim(), "answered", _show(position));
            vm.revertToState(snapshot);
        }
    }

    /// Position 0 is no statement: nothing is final where nothing was stated.
    function test_refute_answered_notByTheFirstEntryWhereNothingIsFinal() public {
        _begin(_terms());
        (entries[0].kind, entries[0].actor, entries[0].subject) = ("outcome.refused", MINE, LEAD);
        _rebuild();
        bytes32 key = _claim();
        _refusesToRefute(_notAnswered(0), key, "answered", _show(0));
        escrow.state(MINE, 1, 1);
        _refute(key, "answered", _show(0));
    }

    // ------------------------------------------------------------ taken

    function _notTaken(uint256 position) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Evidence.NotTaken.selector, position);
    }

    function test_refute_taken_byTheRivalsFinalStatement() public {
        _openBoth(_terms());
        touch = _touch(ann, 100);
        uint256 his = _touch(bob, 150);
        transition = _transition(200);
        uint256 paid = _outcome(RIVAL, transition, his);
        bytes32 key = _claim();
        _refusesToRefute(_notTaken(paid), key, "taken", _show(paid, his, 1));
        escrow.state(RIVAL, paid, paid - 1);
        _refusesToRefute(_notTaken(paid), key, "taken", _show(paid, his, 1));
        escrow.state(RIVAL, paid, paid);
        _refusesToRefute(_notTaken(transition), key, "taken", _show(transition, his, 1));
        bytes memory reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 1);
        _refusesToRefute(reason, key, "taken", _show(paid));
        reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 2);
        _refusesToRefute(reason, key, "taken", _show(paid, his));
        reason = abi.encodeWithSelector(Exhibits.WrongExhibit.selector, his, touch);
        _refusesToRefute(reason, key, "taken", _show(paid, touch, 1));
        reason = abi.encodeWithSelector(Evidence.UnknownToLog.selector, RIVAL, 2);
        _refusesToRefute(reason, key, "taken", _show(paid, his, 2));
        _refute(key, "taken", _show(paid, his, 1));
    }

    function test_refute_taken_byTheContractsOwnFinalStatement() public {
        _openBoth(_terms());
        touch = _touch(ann, 100);
        uint256 his = _touch(bob, 150);
        transition = _transition(200);
        uint256 paid = _outcome(RIVAL, transition, his);
        bytes32 key = _claim();
        escrow.state(MINE, paid, paid - 1);
        _refusesToRefute(_notTaken(paid), key, "taken", _show(paid, his, 1));
        escrow.state(MINE, paid, paid);
        _refute(key, "taken", _show(paid, his, 1));
    }

    /// A contract under a policy that is not in force competes for nothing, so its touch need not be
    /// beaten.
    function test_refute_taken_byAContractUnderAnotherPolicy() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory rival = _terms();
            rival.operator = bob;
            if (i == 0) rival.policy = "a newer policy";
            if (i == 1) rival.attribution = 0;
            _openBoth(_terms(), rival);
            uint256 his = _touch(bob, 100);
            touch = _touch(ann, 100);
            transition = _transition(200);
            uint256 paid = _outcome(RIVAL, transition, his);
            escrow.state(RIVAL, paid, paid);
            bytes32 key = _claim();
            bytes memory reason = abi.encodeWithSelector(Evidence.NotARival.selector, RIVAL);
            _refusesToRefute(reason, key, "rival", _show(his, 1, transition));
            _refute(key, "taken", _show(paid, his, 1));
            vm.revertToState(snapshot);
        }
    }

    /// A verifier that gives it to a contract which lost, or could not have won, denies nothing.
    function test_refute_taken_onlyByATouchThatWins() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory rival = _terms();
            rival.operator = bob;
            if (i == 1) rival.attributionWindow = 10;
            if (i == 2) rival.operator = ann;
            if (i == 2) _openContract(MINE, _terms());
            _openContract(RIVAL, rival);
            if (i != 2) _openContract(MINE, _terms());
            uint256 his = _touch(bob, 100);
            touch = _touch(ann, 100);
            if (i == 1) his = _touch(bob, 150);
            if (i == 2) his = touch; // one touch, and mine was opened first
            transition = _transition(200);
            uint256 paid = _outcome(RIVAL, transition, his);
            escrow.state(RIVAL, paid, paid);
            bytes32 key = _claim();
            bytes memory reason = i == 1
                ? abi.encodeWithSelector(Evidence.TouchDoesNotQualify.selector, his)
                : abi.encodeWithSelector(Evidence.TouchDoesNotBeat.selector, his, touch);
            _refusesToRefute(reason, key, "taken", _show(paid, his, i == 2 ? 2 : 1));
            vm.revertToState(snapshot);
        }
    }

    /// Beside exclusive terms there is none of these.
    function test_refute_taken_onlyForTheSameOutcome() public {
        for (uint256 i = 0; i < 7; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory rival = _terms();
            if (i == 0) rival.owner = stranger;
            if (i == 1) rival.logId = "another log";
            if (i == 2) rival.surface = "another surface";
            if (i == 3) rival.outcome = "trial";
            if (i == 4) rival.opensAt = START + 201;
            if (i == 5) rival.deadline = START + 199;
            _openBoth(_terms(), rival);
            touch = _touch(ann, 100);
            transition = _transition(200);
            uint256 paid = _outcome(RIVAL, transition, touch);
            escrow.state(RIVAL, paid, paid);
            bytes32 key = _claim();
            bytes memory reason = abi.encodeWithSelector(Evidence.NotARival.selector, RIVAL);
            if (i == 6) {
                escrow.close(RIVAL, START + 199);
                reason = abi.encodeWithSelector(Evidence.RivalClosed.selector, RIVAL, START + 199);
            }
            _refusesToRefute(reason, key, "taken", _show(paid, touch, 1));
            vm.revertToState(snapshot);
        }
    }

    /// The publisher cannot write one when the claim is filed, nor can the contract be opened then.
    function test_refute_taken_onlyDirectlyAboveTheTransition() public {
        _openBoth(_terms());
        touch = _touch(ann, 100);
        uint256 his = _touch(bob, 150);
        transition = _transition(200);
        bytes32 key = _claim();
        uint256 own = _outcome(MINE, transition, touch);
        uint256 late = _outcome(RIVAL, transition, his);
        uint256 next = _outcome(RIVAL, _transition(300), his);
        _state(RIVAL);
        uint256[3] memory shown = [own, late, next];
        for (uint256 i = 0; i < 3; ++i) {
            _refusesToRefute(_notTaken(shown[i]), key, "taken", _show(shown[i], his, 1));
        }
    }

    function test_refute_taken_onlyByAContractThatTheLogKnew() public {
        _openContract(MINE, _terms());
        Terms memory rival = _terms();
        rival.operator = bob;
        _openInEscrow(RIVAL, rival);
        touch = _touch(ann, 100);
        uint256 his = _touch(bob, 150);
        transition = _transition(200);
        uint256 paid = _outcome(RIVAL, transition, his);
        uint256 opened = _openContract(RIVAL, rival);
        escrow.state(RIVAL, opened, opened);
        bytes32 key = _claim();
        bytes memory reason = abi.encodeWithSelector(Evidence.UnknownToLog.selector, RIVAL, opened);
        _refusesToRefute(reason, key, "taken", _show(paid, his, opened));
    }

    // ------------------------------------------------------------ earlier

    function _notEarlier(uint256 position) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Evidence.NotEarlier.selector, position);
    }

    /// A lead that my contract has counted returns, and nothing is final.
    function _return(Terms memory terms) private returns (bytes32 key) {
        _openBoth(terms);
        touch = _touch(ann, 100);
        visit = _transition(200);
        countedAt = _outcome(MINE, visit, touch);
        transition = _transition(300);
        return _claim();
    }

    function test_refute_earlier() public {
        bytes32 key = _return(_terms());
        uint256[] memory shown = _show(countedAt, visit, touch, 2);
        assertEq(escrow.lastFinalPosition(MINE), 0);
        bytes memory reason;
        for (uint256 i = 1; i < 4; ++i) {
            uint256[] memory part = new uint256[](i);
            for (uint256 j = 0; j < i; ++j) {
                part[j] = shown[j];
            }
            reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, i);
            _refusesToRefute(reason, key, "earlier", part);
        }
        _refute(key, "earlier", shown);
        assertTrue(escrow.claimOf(MINE, key).dropped);
    }

    /// The lead is used up, whatever came of the first visit.
    function test_refute_earlier_whetherPaidOverOrTakenBack() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            touch = _touch(ann, 100);
            visit = _transition(200);
            Entry memory outcome = _outcomeEntry(MINE, visit, touch);
            if (i == 0) outcome.kind = "outcome.over";
            countedAt = _write(outcome);
            if (i == 1) _reversal(MINE, countedAt, _refund(250));
            transition = _transition(300);
            _refute(_claim(), "earlier", _show(countedAt, visit, touch, 2));
            vm.revertToState(snapshot);
        }
    }

    /// By any touch by which it could be claimed, be it the one that the outcome names or not.
    function test_refute_earlier_byAnyTouchThatQualifies() public {
        _openBoth(_terms());
        uint256 old = _touch(ann, 50);
        touch = _touch(ann, 100);
        visit = _transition(200);
        countedAt = _outcome(MINE, visit, touch);
        transition = _transition(300);
        _refute(_claim(), "earlier", _show(countedAt, visit, old, 2));
    }

    function test_refute_earlier_onlyWhereALeadCountsOnce() public {
        Terms memory terms = _terms();
        terms.repeatable = true;
        bytes32 key = _return(terms);
        _refusesToRefute(_notEarlier(countedAt), key, "earlier", _show(countedAt, visit, touch, 2));
    }

    /// What is owed is no earlier than itself, nor than what came before it.
    function test_refute_earlier_notByWhatIsOwed() public {
        _openBoth(_terms());
        touch = _touch(ann, 100);
        transition = _transition(200);
        countedAt = _outcome(MINE, transition, touch);
        visit = _transition(300);
        uint256 again = _outcome(MINE, visit, touch);
        bytes32 key = _claim();
        bytes memory reason = _notEarlier(countedAt);
        _refusesToRefute(reason, key, "earlier", _show(countedAt, transition, touch, 2));
        _refusesToRefute(_notEarlier(again), key, "earlier", _show(again, visit, touch, 2));
    }

    /// No party can write it when the claim is filed.
    function test_refute_earlier_onlyDirectlyAboveTheTransition() public {
        bytes32 key = _return(_terms());
        uint256 late = _outcome(MINE, visit, touch);
        _refusesToRefute(_notEarlier(late), key, "earlier", _show(late, visit, touch, 2));
    }

    function test_refute_earlier_onlyByAnEntryThatCountsTheLeadForTheContract() public {
        for (uint256 i = 0; i < 6; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            touch = _touch(ann, 100);
            visit = _transition(200);
            Entry memory outcome = _outcomeEntry(MINE, visit, touch);
            if (i == 0) outcome.kind = "outcome.refused";
            if (i == 1) outcome.kind = "outcome.reversed";
            if (i == 2) outcome.actor = RIVAL;
            if (i == 3) outcome.actor = bytes32(uint256(MINE) - 1);
            if (i == 4) outcome.actor = bytes32(uint256(MINE) + 1);
            if (i == 5) outcome.subject = OTHER_LEAD;
            countedAt = _write(outcome);
            transition = _transition(300);
            bytes32 key = _claim();
            _refusesToRefute(
                _notEarlier(countedAt), key, "earlier", _show(countedAt, visit, touch, 2)
            );
            vm.revertToState(snapshot);
        }
    }

    /// Another lead's visit, which is shown whole, says nothing of this one.
    function test_refute_earlier_onlyByAVisitOfTheLead() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            uint256 his = _write(_touchEntry(ann, OTHER_LEAD, 100));
            visit = _write(_transitionEntry(OTHER_LEAD, 200));
            Entry memory outcome = _outcomeEntry(MINE, visit, his);
            if (i == 1) outcome.subject = LEAD;
            countedAt = _write(outcome);
            touch = _touch(ann, 250);
            transition = _transition(300);
            bytes32 key = _claim();
            _refusesToRefute(
                _notEarlier(countedAt), key, "earlier", _show(countedAt, visit, his, 2)
            );
            vm.revertToState(snapshot);
        }
    }

    /// The visit could itself be claimed: by its state, its time and its touch.
    function test_refute_earlier_onlyByAVisitThatCouldBeClaimed() public {
        for (uint256 i = 0; i < 7; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            terms.attributionWindow = 150;
            _openBoth(terms);
            uint256 his = _touch(i == 3 ? bob : ann, 49);
            Entry memory entered = _transitionEntry(LEAD, 200);
            if (i == 0) entered.label = "trial";
            if (i == 1) entered.timeMs = _ms(0) - 1;
            if (i == 2) entered.kind = "lead.refused";
            if (i == 4 || i == 6) entered.timeMs -= 1000;
            visit = _write(entered);
            countedAt = _outcome(MINE, visit, his);
            touch = _touch(ann, 200);
            transition = _transition(300);
            bytes32 key = _claim();
            bytes memory reason = i < 3
                ? abi.encodeWithSelector(Evidence.TransitionDoesNotCount.selector, visit)
                : abi.encodeWithSelector(
                    Evidence.TouchDoesNotQualify.selector, i == 4 ? touch : his
                );
            uint256[] memory shown = _show(countedAt, visit, i == 4 ? touch : his, 2);
            if (i == 6) _refute(key, "earlier", shown);
            else _refusesToRefute(reason, key, "earlier", shown);
            vm.revertToState(snapshot);
        }
    }

    /// What the log took before it knew the contract it gave to none, whatever it says.
    function test_refute_earlier_onlyByAVisitFromWhenTheLogKnewTheContract() public {
        Terms memory terms = _terms();
        _openInEscrow(MINE, terms);
        touch = _touch(ann, 100);
        visit = _transition(200);
        countedAt = _outcome(MINE, visit, touch);
        uint256 opened = _openContract(RIVAL, terms);
        entries[opened].subject = MINE;
        _rebuild();
        transition = _transition(300);
        bytes32 key = _claim();
        uint256[2] memory shown = [opened, touch];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory reason =
                abi.encodeWithSelector(Evidence.UnknownToLog.selector, MINE, shown[i]);
            _refusesToRefute(reason, key, "earlier", _show(countedAt, visit, touch, shown[i]));
        }
    }

    function test_refute_earlier_notWithAnothersOpening() public {
        bytes32 key = _return(_terms());
        bytes memory reason = abi.encodeWithSelector(Evidence.UnknownToLog.selector, MINE, 1);
        _refusesToRefute(reason, key, "earlier", _show(countedAt, visit, touch, 1));
    }

    // ------------------------------------------------------------ touch_order, rival

    function test_refute_touchOrder() public {
        _begin(_terms());
        touch = _touch(ann, 250);
        uint256 last = _touch(ann, 250);
        transition = _transition(300);
        bytes32 key = _claim();
        bytes memory reason =
            abi.encodeWithSelector(Evidence.TouchDoesNotBeat.selector, touch, touch);
        _refusesToRefute(reason, key, "touch_order", _show(touch));
        _refute(key, "touch_order", _show(last));
    }

    function test_refute_rival() public {
        _openBoth(_terms());
        touch = _touch(ann, 100);
        uint256 his = _touch(bob, 100);
        transition = _transition(200);
        bytes32 key = _claim();
        bytes memory reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 2);
        _refusesToRefute(reason, key, "rival", _show(his, 1));
        _refute(key, "rival", _show(his, 1, transition));
    }

    /// A claim shows one entry less than an outcome, so both the transition and the touch before
    /// can be shown.
    function test_refute_rival_byFirstTouchOfAContractThatCountsALeadOnce() public {
        Terms memory terms = _terms();
        terms.attribution = 0;
        terms.attributionWindow = 1 days;
        Terms memory rival = abi.decode(abi.encode(terms), (Terms)); // a copy
        (rival.operator, rival.opensAt) = (bob, START + 2 days);
        _openBoth(terms, rival);
        uint256 old = _touch(bob, 1 days);
        uint256 his = _touch(bob, 5 days);
        touch = _touch(ann, 5 days);
        transition = _transition(5 days + 100);
        bytes32 key = _claim();
        bytes memory reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 3);
        _refusesToRefute(reason, key, "rival", _show(his, 1, transition));
        _refute(key, "rival", _show(his, 1, transition, old));
    }

    // ------------------------------------------------------------ reversed, cause

    function _beginWithOrder() private returns (bytes32) {
        return _beginWithOrder("order");
    }

    function _beginWithOrder(bytes32 order) private returns (bytes32) {
        Terms memory terms = _terms();
        terms.revenueShareBps = 3333;
        _openBoth(terms);
        touch = _touch(ann, 100);
        transition = _write(_purchaseEntry(LEAD, 200, 5000, order));
        return _claim();
    }

    function test_refute_reversed_lowersTheClaimByWhatIsTakenBack() public {
        bytes32 key = _beginWithOrder();
        uint256 first = _write(_orderRefundEntry(transition, 300, 1000));
        uint256 second = _write(_orderRefundEntry(transition, 400, 2001));
        uint256 rest = _write(_orderRefundEntry(transition, 500, 0));
        bytes memory reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 1);
        _refusesToRefute(reason, key, "reversed", _show(first));
        _refusesToRefute(reason, key, "reversed", _show(rest));
        reason = abi.encodeWithSelector(Exhibits.WrongExhibit.selector, transition, touch);
        _refusesToRefute(reason, key, "reversed", _show(first, touch));
        _refute(key, "reversed", _show(first, transition));
        assertEq(escrow.claimOf(MINE, key).amount, PRICE + 1666 - 333);
        _refute(key, "reversed", _show(second, transition));
        assertEq(escrow.claimOf(MINE, key).amount, PRICE + 1666 - 1000);
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(_show(first, transition));
        vm.expectPartialRevert(EvidenceTargetDouble.NotLower.selector);
        evidence.refute(escrow, _t(MINE), key, "reversed", size, shown, _rivals(RIVAL));
        _refute(key, "reversed", _show(rest, transition));
        assertTrue(escrow.claimOf(MINE, key).dropped);
    }

    /// With the transition as without, and by parts that make up the whole.
    function test_refute_reversed_dropsWhatIsTakenBackAsAWhole() public {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            bytes32 key = _beginWithOrder(i < 2 ? NO_ORDER : bytes32("order"));
            uint256 refund = _write(_orderRefundEntry(transition, 300, i == 3 ? 5000 : 0));
            _refute(key, "reversed", i == 0 ? _show(refund) : _show(refund, transition));
            assertTrue(escrow.claimOf(MINE, key).dropped);
            vm.revertToState(snapshot);
        }
    }

    function test_refute_reversed_onlyByAnEventThatTakesBackFromIt() public {
        for (uint256 i = 0; i < 13; ++i) {
            uint256 snapshot = vm.snapshotState();
            bytes32 key = _beginWithOrder();
            Entry memory refund = _orderRefundEntry(transition, 300, 0);
            EventOpening memory said = abi.decode(openings[refund.payload], (EventOpening));
            if (i == 0) refund.kind = "lead.transition";
            if (i == 1) refund.surface = "other";
            if (i == 2) refund.actor = _word(bob);
            if (i == 3) refund.subject = OTHER_LEAD;
            if (i == 4) refund.timeMs = _ms(200 + 2 days) + 1;
            if (i == 5) said.purchase -= 1;
            if (i == 6) said.purchase = 0;
            if (i == 8) said.order = "another";
            if (i == 9) said.whole = 2;
            if (i == 7) refund.timeMs = _ms(200 + 2 days);
            refund.payload = _commitEvent(refund, said);
            if (i == 10) said.receivedMs = refund.timeMs - 1;
            if (i > 10) said.receivedMs = refund.timeMs + 1000 * _terms().lateness + 12 - i;
            if (i > 9) refund.payload = _commit(abi.encode(said));
            uint256 position = _write(refund);
            if (i == 7 || i == 12) {
                _refute(key, "reversed", _show(position, transition));
            } else {
                bytes memory reason =
                    abi.encodeWithSelector(Reversals.EventDoesNotReverse.selector, position);
                _refusesToRefute(reason, key, "reversed", _show(position, transition));
            }
            vm.revertToState(snapshot);
        }
    }

    function test_refute_cause() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            uint256 code = _write(_codeEntry(i == 1 ? bob : ann, 50));
            Entry memory click = _reportedEntry(code, LEAD, 100, 150);
            click.actor = _word(ann);
            if (i == 2) click.timeMs = _ms(150) + 1;
            touch = _write(click);
            transition = _transition(200);
            bytes32 key = _claim();
            bytes memory reason =
                abi.encodeWithSelector(Exhibits.WrongExhibit.selector, touch, code);
            _refusesToRefute(reason, key, "cause", _show(code, touch));
            reason = abi.encodeWithSelector(Evidence.NoContradiction.selector, bytes32("cause"));
            if (i == 0) _refusesToRefute(reason, key, "cause", _show(touch, code));
            if (i == 1) _refute(key, "cause", _show(touch, code));
            if (i == 2) _refute(key, "cause", _show(touch));
            vm.revertToState(snapshot);
        }
    }

    function test_refute_cause_ofACodeThatWasOver() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            uint256 code = _write(_codeEntry(ann, 50));
            uint256 end = _write(_codeEndEntry(code, 60));
            uint256 clickedS = i == 0 ? 55 : 51 + CODE_S;
            touch = _write(_reportedEntry(code, LEAD, clickedS, clickedS + 9));
            transition = _transition(clickedS + 100);
            bytes32 key = _claim();
            if (i == 0) _refute(key, "cause", _show(touch, code, end));
            else _refute(key, "cause", _show(touch, code));
            vm.revertToState(snapshot);
        }
    }

    function test_refute_cause_notOfATouchThatTheLogRecorded() public {
        _begin(_terms());
        bytes32 key = _claim();
        bytes memory reason =
            abi.encodeWithSelector(Evidence.NoContradiction.selector, bytes32("cause"));
        _refusesToRefute(reason, key, "cause", _show(touch));
    }
}
