// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceFixture} from "../support/EvidenceFixture.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibit, ReportedTouchOpening} from "contracts/evidence/EvidenceTypes.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {Entry, MerkleLog} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Kinds duplicate, transition and touch: an outcome against the entries it names, and the form of
/// the exhibits.
contract OutcomeTest is EvidenceFixture {
    uint256 private touch;
    uint256 private transition;

    function _begin(Terms memory terms) private {
        _openBoth(terms);
        touch = _touch(ann, 100);
        transition = _transition(200);
    }

    /// Writes this outcome in the place of the honest one; the verifier signs it.
    function _lie(Entry memory entry) private returns (uint256 position) {
        position = _write(entry);
        _state(MINE);
    }

    function _honest() private returns (Entry memory) {
        return _outcomeEntry(MINE, transition, touch);
    }

    // ------------------------------------------------------------ what may be shown

    function test_aTrueOutcomeContradictsNothing() public {
        _begin(_terms());
        uint256 outcome = _lie(_honest());
        _provesNothing("transition", _show(outcome));
        _provesNothing("transition", _show(outcome, transition));
        _provesNothing("touch", _show(outcome, touch));
        _provesNothing("sum", _show(outcome));
    }

    function test_onlyWhatTheVerifierSignedIsAccused() public {
        _begin(_terms());
        _state(MINE);
        uint256 lastSigned = escrow.lastSignedPosition(MINE);
        Entry memory entry = _honest();
        entry.value = PRICE + 1;
        uint256 outcome = _write(entry);
        bytes memory reason =
            abi.encodeWithSelector(Evidence.NotVouchedFor.selector, outcome, lastSigned);
        _refuses(reason, "transition", _show(outcome));
        _state(MINE);
        _proves("transition", _show(outcome));
    }

    function test_onlyTheContractsOwnEntriesAreAccused() public {
        _begin(_terms());
        uint256 outcome = _outcome(RIVAL, transition, touch);
        _state(MINE);
        bytes memory reason = abi.encodeWithSelector(
            Exhibits.NotOfContract.selector, outcome, MINE, bytes32("outcome")
        );
        _refuses(reason, "touch", _show(outcome, touch));
        _refuses(reason, "sum", _show(outcome));
        reason = abi.encodeWithSelector(
            Exhibits.NotOfContract.selector, touch, MINE, bytes32("outcome.reversed")
        );
        _refuses(reason, "reversal", _show(touch));
    }

    function test_anUnknownKindIsRefused() public {
        _begin(_terms());
        uint256 outcome = _lie(_honest());
        bytes32[4] memory kinds = [bytes32("answered"), "taken", "touching", "z"];
        for (uint256 i = 0; i < kinds.length; ++i) {
            bytes memory reason = abi.encodeWithSelector(Evidence.UnknownKind.selector, kinds[i]);
            _refuses(reason, kinds[i], _show(outcome, touch));
        }
    }

    function test_exhibitsAreOneToSixteen() public {
        _begin(_terms());
        uint256 outcome = _lie(_honest());
        bytes memory reason = abi.encodeWithSelector(Evidence.ExhibitCount.selector, 0, 16);
        _refuses(reason, "transition", new uint256[](0));
        reason = abi.encodeWithSelector(Evidence.ExhibitCount.selector, 17, 16);
        _refuses(reason, "transition", new uint256[](17));
        _provesNothing("transition", _many(outcome, 16));
        reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 1);
        _refuses(reason, "duplicate", _show(outcome));
        _refuses(reason, "touch", _show(outcome));
        _refuses(reason, "touch_order", _show(outcome));
        _refuses(reason, "rival", _show(outcome));
    }

    /// The outcome, and its transition again and again.
    function _many(uint256 outcome, uint256 count) private view returns (uint256[] memory shown) {
        shown = new uint256[](count);
        for (uint256 i = 1; i < count; ++i) {
            shown[i] = transition;
        }
        shown[0] = outcome;
    }

    function test_anOpeningIsWhatItsEntryCommitsTo() public {
        _begin(_terms());
        uint256 outcome = _lie(_honest());
        bytes32 payload = entries[transition].payload;
        bytes memory opening = openings[payload];
        bytes[3] memory others =
            [bytes.concat(opening, hex"00"), bytes("x"), abi.encodePacked(payload)];
        bytes memory reason = abi.encodeWithSelector(Exhibits.WrongOpening.selector, transition);
        for (uint256 i = 0; i < 3; ++i) {
            openings[payload] = others[i];
            _refuses(reason, "transition", _show(outcome, transition));
        }
        openings[entries[outcome].payload] = "x"; // which commits to nothing
        reason = abi.encodeWithSelector(Exhibits.WrongOpening.selector, outcome);
        _refuses(reason, "transition", _show(outcome));
    }

    function test_theNamedEntryMustBeShown() public {
        _begin(_terms());
        uint256 outcome = _lie(_honest());
        bytes memory reason =
            abi.encodeWithSelector(Exhibits.WrongExhibit.selector, transition, touch);
        _refuses(reason, "transition", _show(outcome, touch));
        reason = abi.encodeWithSelector(Exhibits.WrongExhibit.selector, touch, transition);
        _refuses(reason, "touch", _show(outcome, transition));
    }

    function test_everyExhibitIsCheckedAgainstTheAnchoredRoot() public {
        _begin(_terms());
        uint256 outcome = _lie(_honest());
        uint64 size = _size();
        Entry memory forged = entries[touch];
        forged.timeMs = _ms(0) - 1;
        for (uint256 place = 0; place < 2; ++place) {
            Exhibit[] memory shown = _exhibits(_show(outcome, touch));
            shown[place].entry = abi.encode(forged);
            vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
            evidence.disprove(escrow, _t(MINE), "touch", size, shown, _rivals(RIVAL));

            shown[place].entry = bytes.concat(abi.encode(forged), bytes1(0));
            vm.expectRevert(abi.encodeWithSelector(MerkleLog.EntriesNotWhole.selector, 257));
            evidence.disprove(escrow, _t(MINE), "touch", size, shown, _rivals(RIVAL));
        }
        Exhibit[] memory honest = _exhibits(_show(outcome, touch));
        vm.expectRevert(abi.encodeWithSelector(Evidence.NotAnchored.selector, logId, size + 1));
        evidence.disprove(escrow, _t(MINE), "touch", size + 1, honest, _rivals(RIVAL));
    }

    // ------------------------------------------------------------ duplicate

    function test_duplicate_sameTransition() public {
        Terms memory terms = _terms();
        terms.repeatable = true;
        _begin(terms);
        uint256 first = _outcome(MINE, transition, touch);
        uint256 again = _outcome(MINE, transition, touch);
        _state(MINE);
        _provesNothing("duplicate", _show(first, again));
        _provesNothing("duplicate", _show(again, again));
        _proves("duplicate", _show(again, first));
    }

    function test_duplicate_sameLead() public {
        _begin(_terms());
        uint256 first = _outcome(MINE, transition, touch);
        uint256 again = _outcome(MINE, _transition(300), touch);
        _state(MINE);
        _proves("duplicate", _show(again, first));
    }

    function test_duplicate_sameLeadThatWasOverTheBudget() public {
        _begin(_terms());
        Entry memory over = _honest();
        over.kind = "outcome.over";
        over.payload = _link(transition, touch, 0, 0, 0);
        uint256 first = _write(over);
        delete outcomes[MINE];
        uint256 again = _outcome(MINE, _transition(300), touch);
        _state(MINE);
        _proves("duplicate", _show(again, first));
    }

    function test_duplicate_oneTransitionPaidByTwoContracts() public {
        _begin(_terms());
        uint256 first = _outcome(RIVAL, transition, _touch(bob, 150));
        uint256 again = _outcome(MINE, transition, touch);
        _state(MINE);
        _proves("duplicate", _show(again, first));
    }

    function test_duplicate_notARepeatableContractsSecondTransition() public {
        Terms memory terms = _terms();
        terms.repeatable = true;
        _begin(terms);
        uint256 first = _outcome(MINE, transition, touch);
        uint256 again = _outcome(MINE, _transition(300), touch);
        _state(MINE);
        _provesNothing("duplicate", _show(again, first));
    }

    function test_duplicate_notAnotherLead_contract_orRefusal() public {
        _begin(_terms());
        uint256 first = _outcome(MINE, transition, touch);
        uint256 other = _outcome(RIVAL, _transition(300), touch);
        Entry memory refused = _outcomeEntry(MINE, transition, touch);
        refused.kind = "outcome.refused";
        uint256 no = _write(refused);
        uint256 elsewhere = _write(_transitionEntry(OTHER_LEAD, 400));
        uint256 again = _outcome(MINE, elsewhere, touch);
        _state(MINE);
        _provesNothing("duplicate", _show(again, first));
        _provesNothing("duplicate", _show(again, other));
        _provesNothing("duplicate", _show(again, no));
        _provesNothing("duplicate", _show(again, transition));
    }

    // ------------------------------------------------------------ transition

    function test_transition_whatTheTermsAloneExclude() public {
        _begin(_terms());
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 10; ++i) {
            Entry memory entry = _honest();
            uint256 position = entries.length;
            if (i == 0) entry.surface = "other";
            if (i == 1) entry.label = "trial";
            if (i == 2) entry.timeMs = _ms(0) - 1;
            if (i == 3) entry.timeMs = _ms(14 days) + 1;
            if (i == 4) entry.value = PRICE + 1;
            if (i == 5) entry.payload |= bytes32(uint256(1));
            if (i == 6) entry.payload = _link(position, touch, 0, 1, PRICE);
            if (i == 7) entry.payload = _link(transition, transition, 0, 1, PRICE);
            if (i == 8) entry.payload = _link(0, 0, 0, 1, PRICE);
            if (i == 9) entry.payload |= bytes32(uint256(1 << 15));
            _proves("transition", _show(_lie(entry)));
            vm.revertToState(snapshot);
        }
    }

    function test_transition_theLastMomentsStillCount() public {
        Terms memory terms = _terms();
        terms.repeatable = true;
        _openBoth(terms);
        touch = _touch(ann, 0);
        uint256 first = _outcome(MINE, _transition(0), touch);
        uint256 late = _touch(ann, 14 days);
        uint256 last = _outcome(MINE, _transition(14 days), late);
        _state(MINE);
        _provesNothing("transition", _show(first));
        _provesNothing("transition", _show(last));
        _provesNothing("touch", _show(first, touch));
    }

    function test_transition_whatItNamesIsNoSuchTransition() public {
        _begin(_terms());
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 8; ++i) {
            Entry memory named = _transitionEntry(LEAD, 300);
            if (i == 0) named.kind = "lead.refused";
            if (i == 1) named.surface = "other";
            if (i == 2) named.actor = _word(bob);
            if (i == 3) named.subject = OTHER_LEAD;
            if (i == 4) named.label = "trial";
            if (i == 5) named.timeMs += 1;
            if (i == 6) named.kind = "product.event";
            if (i == 7) named.timeMs = type(uint256).max;
            transition = _write(named);
            Entry memory entry = _honest();
            (entry.subject, entry.timeMs) = (LEAD, _ms(300));
            uint256 outcome = _lie(entry);
            _provesNothing("transition", _show(outcome));
            _proves("transition", _show(outcome, transition));
            vm.revertToState(snapshot);
        }
    }

    function test_transition_theRevenueShareIsRoundedDown() public {
        Terms memory terms = _terms();
        terms.revenueShareBps = 3333;
        _openBoth(terms);
        touch = _touch(ann, 100);
        transition = _transition(200); // value 5000: 1666.5
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 4; ++i) {
            Entry memory entry = _honest();
            assertEq(entry.value, PRICE + 1666);
            if (i == 1) entry.value += 1;
            if (i == 2) entry.value -= 1;
            if (i == 3) entry.value = 1666;
            uint256 outcome = _lie(entry);
            if (i == 0) _provesNothing("transition", _show(outcome, transition));
            else _proves("transition", _show(outcome, transition));
            vm.revertToState(snapshot);
        }
    }

    function test_transition_theShareMayBeMoreThanTheUnitPrice() public {
        for (uint256 unitPrice = 0; unitPrice <= 1000; unitPrice += 1000) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            (terms.unitPrice, terms.revenueShareBps) = (unitPrice, 3333);
            _openBoth(terms);
            touch = _touch(ann, 100);
            transition = _transition(200); // value 5000: 1666.5
            Entry memory entry = _honest();
            entry.value = unitPrice + 1666;
            _provesNothing("transition", _show(_lie(entry), transition));
            vm.revertToState(snapshot);
        }
    }

    function test_transition_noValueIsTooLargeToJudge() public {
        Terms memory terms = _terms();
        terms.revenueShareBps = 10_000;
        _openBoth(terms);
        touch = _touch(ann, 100);
        Entry memory huge = _transitionEntry(LEAD, 200);
        huge.value = type(uint256).max;
        transition = _write(huge);
        entries[transition].value = 0; // for the fixture's arithmetic
        Entry memory entry = _honest();
        entries[transition].value = type(uint256).max;
        _proves("transition", _show(_lie(entry), transition));
    }

    // ------------------------------------------------------------ touch

    function test_touch_whatItNamesIsNoSuchTouch() public {
        _openBoth(_terms());
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 8; ++i) {
            Entry memory named = _touchEntry(ann, LEAD, 8 days);
            if (i == 0) named.kind = "lead.registered";
            if (i == 1) named.surface = "other";
            if (i == 2) named.actor = _word(bob);
            if (i == 3) named.subject = OTHER_LEAD;
            if (i == 4) named.timeMs = _ms(0) - 1;
            if (i == 5) named.timeMs = _ms(9 days) + 1;
            if (i == 6) named.timeMs = _ms(2 days) - 1;
            if (i == 7) named.timeMs = type(uint256).max;
            touch = _write(named);
            transition = _transition(9 days);
            _proves("touch", _show(_lie(_honest()), touch));
            vm.revertToState(snapshot);
        }
    }

    function test_touch_theLastMomentsStillCount() public {
        Terms memory terms = _terms();
        terms.repeatable = true;
        _openBoth(terms);
        uint256[3] memory times = [uint256(0), 1 days, 1 days + 5];
        uint256[3] memory entered = [uint256(7 days), 8 days, 1 days + 5];
        for (uint256 i = 0; i < 3; ++i) {
            touch = _touch(ann, times[i]);
            uint256 outcome = _outcome(MINE, _transition(entered[i]), touch);
            _state(MINE);
            _provesNothing("touch", _show(outcome, touch));
        }
    }

    function test_touch_isBelowTheTransition() public {
        _openBoth(_terms());
        transition = _transition(200);
        touch = _touch(ann, 100);
        uint256 outcome = _lie(_honest());
        _proves("touch", _show(outcome, touch));
    }

    function test_touch_theGenesisIsNoTouch() public {
        _begin(_terms());
        touch = 0;
        _proves("touch", _show(_lie(_honest()), 0));
    }

    function test_touch_mayBeReported() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            uint256 code = _write(_codeEntry(ann, 50));
            _touch(bob, 500);
            // A click is of the time at which it happened, which may lie before entries below.
            Entry memory click = _reportedEntry(code, LEAD, 150, 500);
            if (i == 1) click.timeMs = _ms(0) - 1;
            if (i == 2) click.timeMs = _ms(200) + 1;
            touch = _write(click);
            transition = _transition(200);
            uint256 outcome = _lie(_honest());
            _provesNothing("clock", _show(touch, touch - 1));
            if (i == 0) _provesNothing("touch", _show(outcome, touch));
            else _proves("touch", _show(outcome, touch));
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ cause

    function test_cause_ofATrueReport() public {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            uint256 cause = _write(i < 2 ? _codeEntry(ann, 100) : _requestEntry(ann, LEAD, 100));
            // At once, and received at once; or later.
            touch = _write(
                _reportedEntry(cause, LEAD, i == 1 ? 150 : 100, i == 1 ? 150 : 100 + 50 * i)
            );
            transition = _transition(200);
            uint256 outcome = _lie(_honest());
            bytes memory reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 2);
            _refuses(reason, "cause", _show(outcome, touch));
            reason = abi.encodeWithSelector(Exhibits.WrongExhibit.selector, cause, transition);
            _refuses(reason, "cause", _show(outcome, touch, transition));
            reason = abi.encodeWithSelector(Exhibits.WrongExhibit.selector, touch, transition);
            _refuses(reason, "cause", _show(outcome, transition));
            _provesNothing("cause", _show(outcome, touch, cause));
            vm.revertToState(snapshot);
        }
    }

    function test_cause_notOfATouchThatTheLogRecorded() public {
        _begin(_terms());
        _provesNothing("cause", _show(_lie(_honest()), touch));
    }

    function test_cause_ofAReportThatContradictsItself() public {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            uint256 code = _write(_codeEntry(ann, 100));
            Entry memory click = _reportedEntry(code, LEAD, 150, 150);
            uint256 cause = code;
            if (i == 0) cause = book.size();
            if (i == 1) cause = type(uint256).max;
            if (i == 2) click.timeMs += 1; // later than it was received
            click.payload =
                _commit(abi.encode(ReportedTouchOpening(cause, _ms(150), REQUEST, COMMITMENT)));
            touch = _write(click);
            transition = _transition(200);
            uint256 outcome = _lie(_honest());
            if (i == 3) {
                delete openings[click.payload];
                bytes memory reason =
                    abi.encodeWithSelector(Exhibits.OpeningLength.selector, touch, 128, 0);
                _refuses(reason, "cause", _show(outcome, touch));
            } else {
                _proves("cause", _show(outcome, touch));
            }
            vm.revertToState(snapshot);
        }
    }

    function test_cause_ofAReportThatItsCauseDoesNotBear() public {
        for (uint256 i = 0; i < 14; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            bool isClick = i < 7;
            Entry memory entry = isClick ? _codeEntry(ann, 100) : _requestEntry(ann, LEAD, 100);
            uint256 cause = _write(entry);
            Entry memory touched = _reportedEntry(cause, LEAD, 100, 150);
            if (i % 7 == 0) entry.actor = _word(bob);
            if (i % 7 == 1) entry.surface = "other";
            if (i % 7 == 2) entry.kind = "touch";
            if (i % 7 == 3) entry.timeMs += 1;
            if (i % 7 == 4) touched.label = "email";
            if (i == 5) entry.kind = "action.requested"; // of another subject
            if (i == 6) entry.timeMs -= 1; // a click comes after its code
            if (i == 12) entry.subject = OTHER_LEAD;
            if (i == 13) entry.timeMs -= 1; // an answer has the time of its request
            entries[cause] = entry;
            touch = _write(touched);
            transition = _transition(200);
            uint256 outcome = _lie(_honest());
            _rebuild();
            if (i == 6) _provesNothing("cause", _show(outcome, touch, cause));
            else _proves("cause", _show(outcome, touch, cause));
            vm.revertToState(snapshot);
        }
    }

    function test_cause_ofAClickWhoseCodeHadExpired() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            Entry memory issued = _codeEntry(ann, 100);
            uint256 code = _write(issued);
            // The last of its time is in time.
            Entry memory click = _reportedEntry(code, LEAD, 100 + CODE_S, 200 + CODE_S);
            if (i > 0) click.timeMs += 1;
            touch = _write(click);
            transition = _transition(300 + CODE_S);
            uint256 outcome = _lie(_honest());
            if (i == 0) _provesNothing("cause", _show(outcome, touch, code));
            if (i == 1) _proves("cause", _show(outcome, touch, code));
            if (i == 2) {
                delete openings[issued.payload];
                bytes memory reason =
                    abi.encodeWithSelector(Exhibits.OpeningLength.selector, code, 128, 0);
                _refuses(reason, "cause", _show(outcome, touch, code));
            }
            vm.revertToState(snapshot);
        }
    }

    function test_cause_ofAClickWhoseCodeHadEnded() public {
        for (uint256 i = 0; i < 6; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            uint256 code = _write(_codeEntry(ann, 100));
            Entry memory ended = _codeEndEntry(code, 150);
            if (i == 1) ended.subject = "another code";
            if (i == 2) ended.surface = "other";
            if (i == 3) ended.kind = "code.issued";
            uint256 end = _write(ended);
            // It happened before the end, but came to the log behind it.
            touch = _write(_reportedEntry(code, LEAD, 120, 160));
            if (i == 4) end = _write(ended);
            transition = _transition(200);
            uint256 outcome = _lie(_honest());
            if (i == 0) _proves("cause", _show(outcome, touch, code, end));
            else if (i < 5) _provesNothing("cause", _show(outcome, touch, code, end));
            else _provesNothing("cause", _show(outcome, touch, code, code));
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ over, and where it stands

    /// An outcome that was over answers claims, so it is accused like one that is paid.
    function test_over_isAccusedLikeAPaidOutcome() public {
        bytes32[5] memory kinds =
            [bytes32("duplicate"), "transition", "transition", "touch", "touch_order"];
        for (uint256 i = 0; i < kinds.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _begin(_terms());
            uint256 first = _outcome(RIVAL, transition, touch);
            if (i != 0) transition = _transition(300);
            uint256 other = _touch(bob, 250);
            uint256 later = i == 4 ? _touch(ann, 250) : touch;
            if (i > 2) transition = _transition(400);
            Entry memory over = _honest();
            over.kind = "outcome.over";
            over.payload = _link(transition, i == 3 ? other : touch, 0, 0, 0);
            if (i == 1) over.value += 1;
            if (i == 2) over.subject = OTHER_LEAD;
            delete outcomes[MINE];
            uint256 position = _lie(over);
            if (i == 0) _proves(kinds[i], _show(position, first));
            if (i == 1) _proves(kinds[i], _show(position));
            if (i == 2) _proves(kinds[i], _show(position, transition));
            if (i == 3) _proves(kinds[i], _show(position, other));
            if (i == 4) _proves(kinds[i], _show(position, later));
            vm.revertToState(snapshot);
        }
    }

    /// A publisher that writes an outcome later than the log gives it chooses by what came in
    /// between.
    function test_transition_directlyBelowItsOutcome() public {
        _begin(_terms());
        _touch(bob, 250);
        uint256 late = _lie(_honest());
        _proves("transition", _show(late));
    }

    function test_transition_belowTheContractsOpening() public {
        _openContract(RIVAL, _terms());
        touch = _touch(ann, 100);
        transition = _transition(200);
        _openInEscrow(MINE, _terms());
        uint256 early = _write(_honest());
        uint256 opened = _openContract(MINE, _terms());
        uint256 outcome = _outcome(MINE, _transition(300), touch);
        _refuses(
            abi.encodeWithSelector(Evidence.NotVouchedFor.selector, opened, 0),
            "transition",
            _show(opened, early)
        );
        _state(MINE);
        _provesNothing("transition", _show(opened, outcome));
        _provesNothing("transition", _show(opened, touch));
        _provesNothing("transition", _show(1, early)); // another's opening
        bytes memory reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 1);
        _refuses(reason, "transition", _show(opened));
        _proves("transition", _show(opened, early));
    }

    // ------------------------------------------------------------ clock

    function test_clock_theLogsOwnTimesDoNotGoBack() public {
        _begin(_terms());
        uint256 same = _touch(bob, 100);
        Entry memory old = _touchEntry(bob, LEAD, 100);
        old.timeMs -= 1;
        uint256 lie = _write(old);
        uint256 statement = _state(MINE);
        _provesNothing("clock", _show(same, touch));
        _provesNothing("clock", _show(touch, lie));
        _provesNothing("clock", _show(statement, same));
        _provesNothing("clock", _show(lie, transition)); // the product's time
        bytes memory reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 1);
        _refuses(reason, "clock", _show(lie));
        _proves("clock", _show(lie, touch));
    }

    /// The author of the entry makes no difference: the verifier has signed above it.
    function test_clock_openingsAndStatementsToo() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _begin(_terms());
            Entry memory lie = entries[i + 1]; // an opening
            if (i == 1) lie = _settlementEntry(RIVAL);
            lie.timeMs = _ms(99);
            uint256 position = _write(lie);
            _refuses(
                abi.encodeWithSelector(Evidence.NotVouchedFor.selector, position, 0),
                "clock",
                _show(position, touch)
            );
            _state(MINE);
            _proves("clock", _show(position, touch));
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ who is accused

    /// Position 0 is the log's genesis, and no statement: a verifier that signed nothing vouches
    /// for nothing.
    function test_whoSignedNothingIsNotAccusedOfTheFirstEntry() public {
        _begin(_terms());
        (entries[0].kind, entries[0].actor) = ("outcome", MINE);
        _rebuild();
        _refuses(
            abi.encodeWithSelector(Evidence.NotVouchedFor.selector, 0, 0), "transition", _show(0)
        );
        escrow.state(MINE, 1, 1);
        _proves("transition", _show(0));
    }

    function test_noContractIsAccusedOfItsNeighboursOutcome() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _begin(_terms());
            Entry memory other = _honest();
            other.actor = bytes32(i == 0 ? uint256(MINE) - 1 : uint256(MINE) + 1);
            other.value += 1;
            uint256 position = _lie(other);
            bytes memory reason = abi.encodeWithSelector(
                Exhibits.NotOfContract.selector, position, MINE, bytes32("outcome")
            );
            _refuses(reason, "transition", _show(position));
            vm.revertToState(snapshot);
        }
    }
}
