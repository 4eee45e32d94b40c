// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceFixture} from "../support/EvidenceFixture.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Kinds touch_order and rival: whose touch was better.
contract RivalTest is EvidenceFixture {
    uint8 private constant FIRST = 0;
    uint8 private constant LAST = 1;
    uint256 private constant OPENED = 1; // RIVAL's opening is the first entry after the genesis

    /// Every lead may count often, so that no opening of the transition is needed.
    function _repeatable(uint8 attribution) private view returns (Terms memory terms) {
        terms = _terms();
        terms.repeatable = true;
        terms.attribution = attribution;
    }

    /// An outcome of MINE by this touch.
    function _paid(uint256 transition, uint256 touch) private returns (uint256 outcome) {
        outcome = _outcome(MINE, transition, touch);
        _state(MINE);
    }

    function _fails(bytes4 selector, uint256 a, uint256 b) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a, b);
    }

    function _fails(bytes4 selector, uint256 a) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a);
    }

    // ------------------------------------------------------------ the operator's own touches

    function test_touchOrder_firstTouch() public {
        _openBoth(_repeatable(FIRST));
        uint256 first = _touch(ann, 100);
        uint256 second = _touch(ann, 100);
        uint256 transition = _transition(200);
        uint256 lie = _paid(transition, second);
        uint256 truth = _paid(transition, first);
        _refuses(
            _fails(Evidence.TouchDoesNotBeat.selector, second, first),
            "touch_order",
            _show(truth, second)
        );
        _refuses(
            _fails(Evidence.TouchDoesNotBeat.selector, first, first),
            "touch_order",
            _show(truth, first)
        );
        _proves("touch_order", _show(lie, first));
    }

    function test_touchOrder_lastTouch() public {
        _openBoth(_repeatable(LAST));
        uint256 first = _touch(ann, 100);
        uint256 second = _touch(ann, 100);
        uint256 transition = _transition(200);
        uint256 lie = _paid(transition, first);
        uint256 truth = _paid(transition, second);
        _refuses(
            _fails(Evidence.TouchDoesNotBeat.selector, first, second),
            "touch_order",
            _show(truth, first)
        );
        _proves("touch_order", _show(lie, second));
    }

    /// The first touch is what counts even where its window has passed: then nothing is owed.
    function test_touchOrder_firstTouchThatIsTooOld() public {
        _openBoth(_repeatable(FIRST));
        uint256 first = _touch(ann, 0);
        uint256 second = _touch(ann, 5 days);
        uint256 lie = _paid(_transition(8 days), second);
        _proves("touch_order", _show(lie, first));
    }

    /// Of touches that others report, a later one may be too old: an earlier one then wins.
    function test_touchOrder_lastTouchThatQualifies() public {
        _openBoth(_repeatable(LAST));
        uint256 code = _write(_codeEntry(ann, 0));
        uint256 young = _touch(ann, 5 days);
        uint256 old = _write(_reportedEntry(code, LEAD, 1 hours, 5 days));
        uint256 transition = _transition(8 days);
        uint256 truth = _paid(transition, young);
        uint256 lie = _paid(transition, old);
        _refuses(
            _fails(Evidence.TouchDoesNotQualify.selector, old), "touch_order", _show(truth, old)
        );
        _refuses(
            _fails(Evidence.TouchDoesNotBeat.selector, young, old), "touch_order", _show(lie, young)
        );
        _proves("touch", _show(lie, old));
    }

    /// Both kinds count alike, and the log's order decides, whatever the times are.
    function test_touchOrder_reportedTouchesCountAlike() public {
        for (uint8 model = FIRST; model <= LAST; ++model) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_repeatable(model));
            uint256 code = _write(_codeEntry(ann, 0));
            uint256 own = _touch(ann, 100);
            uint256 click = _write(_reportedEntry(code, LEAD, 50, 100));
            uint256 transition = _transition(200);
            (uint256 first, uint256 second) = model == FIRST ? (own, click) : (click, own);
            uint256 truth = _paid(transition, first);
            uint256 lie = _paid(transition, second);
            _refuses(
                _fails(Evidence.TouchDoesNotBeat.selector, second, first),
                "touch_order",
                _show(truth, second)
            );
            _proves("touch_order", _show(lie, first));
            vm.revertToState(snapshot);
        }
    }

    function test_touchOrder_onlyCountingTouches() public {
        for (uint256 i = 0; i < 7; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _repeatable(FIRST);
            terms.opensAt = START + 50;
            _openBoth(terms);
            Entry memory other = _touchEntry(ann, LEAD, 60);
            if (i == 0) other.actor = _word(bob);
            if (i == 1) other.subject = OTHER_LEAD;
            if (i == 2) other.surface = "other";
            if (i == 3) other.kind = "lead.registered";
            if (i == 4) other.timeMs = _ms(50) - 1;
            if (i == 5) other.timeMs = _ms(200) + 1;
            uint256 earlier = _write(other);
            uint256 outcome = _paid(_transition(200), _touch(ann, 100));
            if (i == 6) {
                _proves("touch_order", _show(outcome, earlier));
            } else {
                _refuses(
                    _fails(Evidence.TouchDoesNotCount.selector, earlier),
                    "touch_order",
                    _show(outcome, earlier)
                );
            }
            vm.revertToState(snapshot);
        }
    }

    function test_touchOrder_onlyTouchesBelowTheTransition() public {
        _openBoth(_repeatable(LAST));
        uint256 touch = _touch(ann, 100);
        uint256 transition = _transition(200);
        uint256 late = _touch(ann, 150); // a late event: its time lies before entries below it
        uint256 outcome = _paid(transition, touch);
        _refuses(
            _fails(Evidence.TouchDoesNotQualify.selector, late), "touch_order", _show(outcome, late)
        );
    }

    // ------------------------------------------------------------ a rival's touch

    function test_rival_lastTouch() public {
        _openBoth(_repeatable(LAST));
        uint256 mine = _touch(ann, 100);
        uint256 his = _touch(bob, 100);
        uint256 lie = _paid(_transition(200), mine);
        _proves("rival", _show(lie, his, OPENED));
    }

    function test_rival_firstTouch() public {
        _openBoth(_repeatable(FIRST));
        uint256 his = _touch(bob, 100);
        uint256 mine = _touch(ann, 100);
        uint256 lie = _paid(_transition(200), mine);
        _proves("rival", _show(lie, his, OPENED));
    }

    function test_rival_theWinnerIsNotBeaten() public {
        for (uint8 model = FIRST; model <= LAST; ++model) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_repeatable(model));
            uint256 a = _touch(model == FIRST ? ann : bob, 100);
            uint256 b = _touch(model == FIRST ? bob : ann, 100);
            (uint256 mine, uint256 his) = model == FIRST ? (a, b) : (b, a);
            uint256 outcome = _paid(_transition(200), mine);
            _refuses(
                _fails(Evidence.TouchDoesNotBeat.selector, his, mine),
                "rival",
                _show(outcome, his, OPENED)
            );
            vm.revertToState(snapshot);
        }
    }

    function test_rival_ofTwoContractsWithOneTouchTheOneOpenedFirst() public {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            uint256 opened = OPENED;
            // forge-lint: disable-next-line(unsafe-typecast)
            Terms memory terms = _repeatable(uint8(i % 2));
            if (i < 2) {
                _openBoth(terms, terms);
            } else {
                _openContract(MINE, terms);
                opened = _openContract(RIVAL, terms);
            }
            uint256 touch = _touch(ann, 100);
            uint256 outcome = _paid(_transition(200), touch);
            if (i < 2) {
                _proves("rival", _show(outcome, touch, opened));
            } else {
                _refuses(
                    _fails(Evidence.TouchDoesNotBeat.selector, touch, touch),
                    "rival",
                    _show(outcome, touch, opened)
                );
            }
            vm.revertToState(snapshot);
        }
    }

    function test_rival_mustShareTheDeal() public {
        for (uint256 i = 0; i < 9; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory rival = _repeatable(LAST);
            rival.operator = bob;
            if (i == 0) rival.owner = stranger;
            if (i == 1) rival.logId = "other";
            if (i == 2) rival.surface = "other";
            if (i == 3) rival.outcome = "trial";
            if (i == 4) rival.policy = "other";
            if (i == 5) rival.attribution = FIRST;
            if (i == 6) rival.opensAt = START + 201;
            if (i == 7) rival.deadline = START + 199;
            _openBoth(_repeatable(LAST), rival);
            uint256 mine = _touch(ann, 100);
            uint256 his = _touch(bob, 100);
            uint256 outcome = _paid(_transition(200), mine);
            if (i == 8) {
                _proves("rival", _show(outcome, his, OPENED));
            } else {
                _refuses(
                    abi.encodeWithSelector(Evidence.NotARival.selector, RIVAL),
                    "rival",
                    _show(outcome, his, OPENED)
                );
            }
            vm.revertToState(snapshot);
        }
    }

    function test_rival_mustBeInTheEscrow() public {
        _openContract(MINE, _repeatable(LAST));
        uint256 mine = _touch(ann, 100);
        uint256 his = _touch(bob, 100);
        uint256 outcome = _paid(_transition(200), mine);
        bytes memory reason = abi.encodeWithSelector(Evidence.RivalCount.selector, 0);
        _refuses(reason, "rival", _show(outcome, his, OPENED)); // nothing is known of it
        Terms memory rival = _repeatable(LAST);
        (rival.operator, rival.salt) = (bob, RIVAL);
        Terms[] memory rivals = new Terms[](2);
        (rivals[0], rivals[1]) = (rival, rival);
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(_show(outcome, his, OPENED));
        vm.expectRevert(abi.encodeWithSelector(Evidence.RivalCount.selector, 2));
        evidence.disprove(escrow, _t(MINE), "rival", size, shown, rivals);
        _remember(RIVAL, rival);
        reason = abi.encodeWithSignature("UnknownContract(bytes32)", RIVAL);
        _refuses(reason, "rival", _show(outcome, his, OPENED));
    }

    /// A sham contract that was opened when the transition was known changes nothing.
    function test_rival_mustHaveBeenKnownToTheLog() public {
        Terms memory terms = _repeatable(LAST);
        uint256 own = _openContract(MINE, terms);
        uint256 mine = _touch(ann, 100);
        uint256 his = _touch(bob, 100);
        uint256 transition = _transition(200);
        terms.operator = bob;
        uint256 opened = _openContract(RIVAL, terms);
        uint256 outcome = _paid(transition, mine);
        uint256[3] memory shown = [opened, own, his];
        for (uint256 i = 0; i < 3; ++i) {
            _refuses(
                abi.encodeWithSelector(Evidence.UnknownToLog.selector, RIVAL, shown[i]),
                "rival",
                _show(outcome, his, shown[i])
            );
        }
        bytes memory reason = _fails(Exhibits.MissingExhibit.selector, 2);
        _refuses(reason, "rival", _show(outcome, his));
        // Nor if an outcome names the opening as its transition.
        Entry memory entry = entries[outcome];
        entry.payload = _link(opened, mine, 0, 1, PRICE);
        outcome = _write(entry);
        escrow.state(MINE, outcome, 0);
        reason = abi.encodeWithSelector(Evidence.UnknownToLog.selector, RIVAL, opened);
        _refuses(reason, "rival", _show(outcome, his, opened));
    }

    function test_rival_closedBeforeTheTransition() public {
        _openBoth(_repeatable(LAST));
        uint256 mine = _touch(ann, 100);
        uint256 his = _touch(bob, 100);
        Entry memory transition = _transitionEntry(LEAD, 200);
        transition.timeMs += 1;
        uint256 outcome = _paid(_write(transition), mine);
        escrow.close(RIVAL, START + 200);
        _refuses(
            abi.encodeWithSelector(Evidence.RivalClosed.selector, RIVAL, START + 200),
            "rival",
            _show(outcome, his, OPENED)
        );
        escrow.close(RIVAL, START + 201);
        _proves("rival", _show(outcome, his, OPENED));
    }

    function test_rival_closedInTheVerySecond() public {
        _openBoth(_repeatable(LAST));
        uint256 mine = _touch(ann, 100);
        uint256 his = _touch(bob, 100);
        uint256 outcome = _paid(_transition(200), mine);
        escrow.close(RIVAL, START + 200);
        _proves("rival", _show(outcome, his, OPENED));
    }

    function test_rival_touchMustQualifyForTheRival() public {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory rival = _repeatable(LAST);
            rival.operator = bob;
            if (i == 0) rival.attributionWindow = 99;
            if (i == 1) rival.attributionWindow = 100;
            if (i == 2) rival.opensAt = START + 101;
            if (i == 3) rival.opensAt = START + 100;
            _openBoth(_repeatable(LAST), rival);
            uint256 mine = _touch(ann, 100);
            uint256 his = _touch(bob, 100);
            uint256 outcome = _paid(_transition(200), mine);
            if (i % 2 == 1) {
                _proves("rival", _show(outcome, his, OPENED));
            } else {
                _refuses(
                    _fails(Evidence.TouchDoesNotQualify.selector, his),
                    "rival",
                    _show(outcome, his, OPENED)
                );
            }
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ a rival that counts a lead once

    function _onceOnly(uint8 attribution) private view returns (Terms memory terms) {
        terms = _terms();
        terms.attribution = attribution;
    }

    function test_rival_onceOnly_beatsWhereTheLeadIsNew() public {
        _openBoth(_onceOnly(LAST));
        uint256 mine = _touch(ann, 100);
        uint256 his = _touch(bob, 100);
        uint256 transition = _transition(200);
        uint256 outcome = _paid(transition, mine);
        bytes memory reason = _fails(Exhibits.MissingExhibit.selector, 3);
        _refuses(reason, "rival", _show(outcome, his, OPENED));
        reason = _fails(Exhibits.WrongExhibit.selector, transition, mine);
        _refuses(reason, "rival", _show(outcome, his, OPENED, mine));
        bytes memory opening = openings[entries[transition].payload];
        delete openings[entries[transition].payload];
        reason = abi.encodeWithSelector(Exhibits.OpeningLength.selector, transition, 192, 0);
        _refuses(reason, "rival", _show(outcome, his, OPENED, transition));
        openings[entries[transition].payload] = bytes.concat(opening, bytes32(0));
        reason = _fails(Exhibits.WrongOpening.selector, transition);
        _refuses(reason, "rival", _show(outcome, his, OPENED, transition));
        openings[entries[transition].payload] = opening;
        _proves("rival", _show(outcome, his, OPENED, transition));
    }

    /// Whatever a transition commits to: only six words are its opening.
    function test_rival_onceOnly_anOpeningOfAnotherLengthIsNone() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_onceOnly(LAST));
            uint256 mine = _touch(ann, 100);
            uint256 his = _touch(bob, 100);
            Entry memory entered = _transitionEntry(LEAD, 200);
            bytes memory words = i == 0
                ? bytes.concat(openings[entered.payload], bytes32(0))
                : abi.encode("trial", uint256(0), _ms(200));
            entered.payload = _commit(words);
            uint256 transition = _write(entered);
            uint256 outcome = _paid(transition, mine);
            bytes memory reason = abi.encodeWithSelector(
                Exhibits.OpeningLength.selector, transition, 192, words.length
            );
            _refuses(reason, "rival", _show(outcome, his, OPENED, transition));
            vm.revertToState(snapshot);
        }
    }

    /// Whoever else counted the lead before, and whether anyone did: it is the rival's turn.
    function test_rival_onceOnly_beatsWhereTheLeadReturns() public {
        for (uint256 visits = 0; visits <= 6; ++visits) {
            uint256 snapshot = vm.snapshotState();
            (uint256 outcome, uint256[] memory shown) = _returning(visits);
            if (visits != 0) {
                uint256 last = shown[shown.length - 1];
                bytes memory reason = _fails(Exhibits.MissingExhibit.selector, shown.length - 1);
                _refuses(reason, "rival", _firstOf(shown, shown.length - 1));
                shown[shown.length - 1] = outcome;
                reason = _fails(Exhibits.WrongExhibit.selector, last, outcome);
                _refuses(reason, "rival", shown);
                shown[shown.length - 1] = last;
            }
            _proves("rival", shown);
            vm.revertToState(snapshot);
        }
    }

    /// The lead came so many times before, by others' touches, and then by bob's, which was not paid.
    function _returning(uint256 visits) private returns (uint256 outcome, uint256[] memory shown) {
        _openBoth(_onceOnly(LAST));
        bytes32 third = keccak256("third");
        Terms memory terms = _onceOnly(LAST);
        (terms.operator, terms.repeatable) = (stranger, true);
        _openContract(third, terms);
        uint256[] memory tail = new uint256[](0);
        for (uint256 i = 0; i < visits; ++i) {
            uint256 touch = _touch(stranger, 10 * i);
            uint256 entered = _transition(10 * i);
            uint256 over = _outcome(third, entered, touch);
            (uint256[] memory list, uint256 j) = (new uint256[](2 + tail.length), 0);
            (list[0], list[1]) = (over, entered);
            for (; j < tail.length; ++j) {
                list[2 + j] = tail[j];
            }
            tail = list;
        }
        _transition(90); // nobody's: the log's word on it is not needed
        uint256 mine = _touch(ann, 100);
        uint256 his = _touch(bob, 100);
        uint256 transition = _transition(200);
        outcome = _paid(transition, mine);
        shown = _show(outcome, his, OPENED, transition);
        for (uint256 i = 0; i < tail.length; ++i) {
            shown = _show(shown, tail[i]);
        }
    }

    function _firstOf(uint256[] memory list, uint256 count)
        private
        pure
        returns (uint256[] memory first)
    {
        first = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            first[i] = list[i];
        }
    }

    /// Each visit that another counted takes two exhibits more.
    function test_rival_onceOnly_undecidedAfterMoreVisitsThanCanBeShown() public {
        (, uint256[] memory shown) = _returning(7);
        bytes memory reason = _fails(Evidence.ExhibitCount.selector, 18, 16);
        _refuses(reason, "rival", shown);
        reason = _fails(Exhibits.MissingExhibit.selector, 16);
        _refuses(reason, "rival", _firstOf(shown, 16));
    }

    /// The rival counted the lead before, last of all or earlier.
    function test_rival_onceOnly_notWhereItHasCountedTheLead() public {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_onceOnly(LAST));
            uint256 mine = _touch(ann, 100);
            uint256 his = _touch(bob, 100);
            Entry memory first = _outcomeEntry(RIVAL, _transition(200), his);
            if (i % 2 == 1) first.kind = "outcome.over";
            uint256 counted_ = _write(first);
            uint256[] memory before = new uint256[](0);
            if (i > 1) {
                uint256 entered = _transition(250);
                before = _show(_outcome(MINE, entered, mine), entered);
            }
            uint256 again = _transition(300);
            uint256[] memory shown = _show(_paid(again, mine), his, OPENED, again);
            if (i > 1) shown = _show(_show(shown, before[0]), before[1]);
            _refuses(
                _fails(Evidence.RivalHasCounted.selector, counted_), "rival", _show(shown, counted_)
            );
            vm.revertToState(snapshot);
        }
    }

    /// What the log counted before the rival opened is no matter.
    function test_rival_onceOnly_beatsWhereTheLeadWasCountedBeforeItOpened() public {
        Terms memory terms = _onceOnly(LAST);
        _openContract(MINE, terms);
        uint256 mine = _touch(ann, 100);
        _outcome(MINE, _transition(200), mine);
        terms.operator = bob;
        uint256 opened = _openContract(RIVAL, terms);
        uint256 his = _touch(bob, 300);
        uint256 again = _transition(400);
        _proves("rival", _show(_paid(again, mine), his, opened, again));
    }

    /// An opening that names no entry that could have counted the lead is false, and so is an outcome
    /// that no transition stands below: they shield nobody.
    function test_rival_onceOnly_aFalseOpeningShieldsNobody() public {
        for (uint256 i = 0; i < 9; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_onceOnly(LAST));
            uint256 mine = _touch(ann, 100);
            Entry memory entry = _outcomeEntry(MINE, _transition(150), mine);
            if (i == 2) entry.kind = "outcome.refused";
            if (i == 3) entry.subject = OTHER_LEAD;
            if (i == 4) entry.label = "trial";
            if (i == 5) entry.surface = "other";
            if (i == 6) entry.kind = "touch";
            if (i == 7) _touch(stranger, 150);
            uint256 said = _write(entry);
            uint256 his = _touch(bob, 200);
            uint256 again = book.size();
            if (i == 0) said = again;
            if (i == 1) said = again + 1;
            if (i == 8) said = type(uint256).max;
            counted[_visit(LEAD, "paid")] = said;
            _transition(300);
            uint256[] memory shown = _show(_paid(again, mine), his, OPENED, again);
            if (i > 1 && i < 8) shown = _show(shown, said);
            if (i == 7) shown = _show(shown, said - 1);
            _proves("rival", shown);
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ whether it was the rival's first

    /// By first touch, with a window shorter than the time since the rival opened.
    function _short() private view returns (Terms memory terms) {
        terms = _repeatable(FIRST);
        terms.attributionWindow = 1 days;
    }

    function test_rival_first_thereWasNoneBefore() public {
        _openBoth(_short());
        uint256 his = _touch(bob, 5 days);
        uint256 mine = _touch(ann, 5 days);
        uint256 outcome = _paid(_transition(5 days + 100), mine);
        _proves("rival", _show(outcome, his, OPENED));
    }

    /// Its own first touch has expired, so the rival is out and mine has won.
    function test_rival_first_anotherMayHaveExpired() public {
        _openBoth(_short());
        uint256 expired = _touch(bob, 1 days);
        uint256 his = _touch(bob, 5 days);
        uint256 mine = _touch(ann, 5 days);
        uint256 outcome = _paid(_transition(5 days + 100), mine);
        bytes memory reason = _fails(Exhibits.MissingExhibit.selector, 3);
        _refuses(reason, "rival", _show(outcome, his, OPENED));
        reason = _fails(Evidence.RivalTouchedBefore.selector, expired);
        _refuses(reason, "rival", _show(outcome, his, OPENED, expired));
        reason = _fails(Exhibits.WrongExhibit.selector, expired, OPENED);
        _refuses(reason, "rival", _show(outcome, his, OPENED, OPENED));
    }

    /// Each older touch that was reported takes an exhibit.
    function test_rival_first_undecidedBehindMoreReportsThanCanBeShown() public {
        for (uint256 reports = 13; reports <= 14; ++reports) {
            uint256 snapshot = vm.snapshotState();
            Terms memory rival = _short();
            (rival.operator, rival.opensAt) = (bob, START + 2 days);
            _openBoth(_short(), rival);
            uint256 code = _write(_codeEntry(bob, 0));
            uint256[] memory older = new uint256[](reports);
            for (uint256 i = reports; i != 0; --i) {
                older[i - 1] = _write(_reportedEntry(code, LEAD, 1 days, 5 days));
            }
            uint256 his = _touch(bob, 5 days);
            uint256 mine = _touch(ann, 5 days);
            uint256[] memory shown = _show(_paid(_transition(5 days + 100), mine), his, OPENED);
            for (uint256 i = 0; i < reports; ++i) {
                shown = _show(shown, older[i]);
            }
            if (reports == 13) {
                _proves("rival", shown);
            } else {
                _refuses(_fails(Evidence.ExhibitCount.selector, 17, 16), "rival", shown);
            }
            vm.revertToState(snapshot);
        }
    }

    /// Times go back along touches that others report, so all of these are shown: one that counts is
    /// refused, older and later ones do not count, and one whose time is the log's own ends it if it
    /// is older.
    function test_rival_first_throughWhatWasReported() public {
        for (uint256 i = 0; i < 6; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory rival = _short();
            (rival.operator, rival.opensAt) = (bob, START + 2 days);
            _openBoth(_short(), rival);
            uint256 code = _write(_codeEntry(bob, 0));
            if (i != 1) _write(_touchEntry(bob, LEAD, i == 2 ? 3 days : 1 days));
            uint256 oldest = book.size() - 1;
            uint256 counting = _write(_reportedEntry(code, LEAD, i == 3 ? 2 days : 1 days, 5 days));
            uint256 late = _write(_touchEntry(bob, LEAD, 5 days + 200)); // later than the transition
            uint256 his = _write(_reportedEntry(code, LEAD, 5 days, 5 days + 200));
            uint256 mine = _touch(ann, 5 days + 200);
            Entry memory last = entries[mine];
            last.timeMs = _ms(5 days + 100);
            entries[mine] = last; // as if it were his
            _rebuild();
            uint256[] memory shown =
                _show(_paid(_transition(5 days + 100), mine), his, OPENED, late);
            if (i == 4) {
                _refuses(_fails(Exhibits.MissingExhibit.selector, 4), "rival", shown);
            }
            shown = _show(shown, counting);
            if (i == 1) {
                _proves("rival", shown); // it follows on no other
            } else if (i == 3) {
                _refuses(_fails(Evidence.RivalTouchedBefore.selector, counting), "rival", shown);
            } else {
                _refuses(_fails(Exhibits.MissingExhibit.selector, 5), "rival", shown);
                shown = _show(shown, oldest);
                if (i == 2) {
                    bytes memory reason = _fails(Evidence.RivalTouchedBefore.selector, oldest);
                    _refuses(reason, "rival", shown);
                } else {
                    _proves("rival", shown);
                }
            }
            vm.revertToState(snapshot);
        }
    }

    function test_rival_first_theOneBeforeIsOlderThanTheRival() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory rival = _short();
            rival.operator = bob;
            rival.opensAt = START + 2 days;
            _openBoth(_short(), rival);
            _touch(bob, 1 days); // is not asked for: it is older still
            Entry memory before = _touchEntry(bob, LEAD, 2 days);
            before.timeMs -= 1 - i;
            uint256 old = _write(before);
            uint256 his = _touch(bob, 5 days);
            uint256 mine = _touch(ann, 5 days);
            uint256 outcome = _paid(_transition(5 days + 100), mine);
            if (i == 0) {
                _proves("rival", _show(outcome, his, OPENED, old));
            } else {
                _refuses(
                    _fails(Evidence.RivalTouchedBefore.selector, old),
                    "rival",
                    _show(outcome, his, OPENED, old)
                );
            }
            vm.revertToState(snapshot);
        }
    }

    /// An entry below the rival's opening in the log is older than its opening.
    function test_rival_first_theOneBeforeStandsBelowItsOpening() public {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openContract(MINE, _short());
            if (i != 2) _touch(bob, 1 days);
            if (i == 3) _write(_touchEntry(bob, OTHER_LEAD, 1 days));
            Terms memory rival = _short();
            rival.operator = bob;
            rival.opensAt = START + 2 days;
            uint256 opened = _openContract(RIVAL, rival);
            entries.pop();
            // The log may learn of it only after it has begun.
            Entry memory entry = _transitionEntry(LEAD, 2 days);
            (entry.kind, entry.subject) = ("contract.opened", RIVAL);
            if (i == 0 || i == 3) entry.timeMs -= 1;
            entries.push(entry);
            _rebuild();
            if (i == 2) _touch(bob, 3 days);
            uint256 his = _touch(bob, 5 days);
            uint256 mine = _touch(ann, 5 days);
            uint256 outcome = _paid(_transition(5 days + 100), mine);
            if (i == 0 || i == 3) {
                _proves("rival", _show(outcome, his, opened));
            } else {
                bytes memory reason = _fails(Exhibits.MissingExhibit.selector, 3);
                _refuses(reason, "rival", _show(outcome, his, opened));
            }
            vm.revertToState(snapshot);
        }
    }

    /// Whatever counts for the rival is young enough, so the first of it is; which, is no matter.
    function test_rival_first_everythingSinceItOpenedQualifies() public {
        Terms memory terms = _repeatable(FIRST);
        terms.attributionWindow = 5 days;
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(terms);
            _touch(bob, 1 days);
            uint256 his = _touch(bob, 2 days);
            uint256 mine = _touch(ann, 2 days);
            Entry memory transition = _transitionEntry(LEAD, 5 days);
            transition.timeMs = transition.timeMs + i - 1;
            uint256 outcome = _paid(_write(transition), mine);
            if (i < 2) {
                _proves("rival", _show(outcome, his, OPENED));
            } else {
                bytes memory reason = _fails(Exhibits.MissingExhibit.selector, 3);
                _refuses(reason, "rival", _show(outcome, his, OPENED));
            }
            vm.revertToState(snapshot);
        }
    }

    /// Of a rival that counts a lead once, both are shown: that it had not, and that its touch was the
    /// first.
    function test_rival_first_ofARivalThatCountsALeadOnce() public {
        Terms memory rival = _onceOnly(FIRST);
        rival.attributionWindow = 1 days;
        rival.operator = bob;
        rival.opensAt = START + 2 days;
        _openBoth(_short(), rival);
        uint256 old = _touch(bob, 1 days);
        uint256 his = _touch(bob, 5 days);
        uint256 mine = _touch(ann, 5 days);
        uint256 transition = _transition(5 days + 100);
        uint256 outcome = _paid(transition, mine);
        bytes memory reason = _fails(Exhibits.MissingExhibit.selector, 4);
        _refuses(reason, "rival", _show(outcome, his, OPENED, transition));
        reason = _fails(Exhibits.WrongExhibit.selector, transition, old);
        _refuses(reason, "rival", _show(outcome, his, OPENED, old));
        _proves("rival", _show(_show(outcome, his, OPENED, transition), old));
    }

    /// A touch's word on the one before it is the publisher's. If it names nothing below itself, or
    /// no touch of the rival's on that lead, it hides no theft.
    function test_rival_first_aFalseTouchValueShieldsNobody() public {
        for (uint256 i = 0; i < 5; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_short());
            uint256 other = _write(_touchEntry(i == 3 ? ann : bob, OTHER_LEAD, 4 days));
            Entry memory his = _touchEntry(bob, LEAD, 5 days);
            uint256 position = book.size();
            if (i == 0) his.value = type(uint256).max;
            if (i == 1) his.value = 1 + position; // itself
            if (i == 2) his.value = 1 + 2; // an opening
            if (i > 2) his.value = 1 + other;
            _write(his);
            uint256 mine = _touch(ann, 5 days);
            uint256 outcome = _paid(_transition(5 days + 100), mine);
            if (i < 2) _proves("rival", _show(outcome, position, OPENED));
            if (i == 2) _proves("rival", _show(outcome, position, OPENED, 2));
            if (i > 2) _proves("rival", _show(outcome, position, OPENED, other));
            vm.revertToState(snapshot);
        }
    }

    /// By last touch it makes no difference what the touch follows on.
    function test_rival_lastTouch_whateverItFollowsOn() public {
        Terms memory terms = _repeatable(LAST);
        terms.attributionWindow = 1 days;
        _openBoth(terms);
        _touch(bob, 1 days);
        uint256 mine = _touch(ann, 5 days);
        uint256 his = _touch(bob, 5 days);
        uint256 outcome = _paid(_transition(5 days + 100), mine);
        _proves("rival", _show(outcome, his, OPENED));
    }
}
