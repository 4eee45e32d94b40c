// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceFixture} from "../support/EvidenceFixture.sol";
import {EvidenceTargetDouble} from "../support/EvidenceTargetDouble.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {EventOpening, Exhibit, TransitionOpening} from "contracts/evidence/EvidenceTypes.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {Reversals} from "contracts/evidence/Reversals.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Kind reversal: what an event takes back, of which outcome, and how much; and reversals that
/// anyone proves.
contract ReversalsTest is EvidenceFixture {
    uint256 private constant BPS = 3333;
    uint256 private constant VALUE = 5000;

    uint256 private touch;
    uint256[3] private paid; // outcomes; the first is of an order, and so is the last
    uint256[5] private events;
    uint256[5] private taken; // reversals, one by each event

    function _deal_(uint256 unitPrice, uint256 bps) private view returns (Terms memory terms) {
        terms = _terms();
        terms.repeatable = true;
        // forge-lint: disable-next-line(unsafe-typecast)
        (terms.unitPrice, terms.revenueShareBps) = (unitPrice, uint16(bps));
    }

    /// Three outcomes. The first is taken back in parts, by its order, around the other two, which go
    /// as a whole.
    function _history() private {
        _openBoth(_deal_(PRICE, BPS));
        touch = _touch(ann, 100);
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 order = i == 1 ? NO_ORDER : bytes32(i + 1);
            uint256 transition = _write(_purchaseEntry(LEAD, 200 + i, VALUE, order));
            paid[i] = _outcome(MINE, transition, touch);
        }
        _takeBack(0, 0, _write(_orderRefundEntry(_targetOf(paid[0]), 300, 1000)));
        _takeBack(1, 2, _refund(301));
        _takeBack(2, 0, _write(_orderRefundEntry(_targetOf(paid[0]), 302, 2001)));
        _takeBack(3, 1, _refund(303));
        _takeBack(4, 0, _write(_orderRefundEntry(_targetOf(paid[0]), 304, 0)));
        _state(MINE);
    }

    function _takeBack(uint256 number, uint256 outcome, uint256 happened) private {
        events[number] = happened;
        taken[number] = _reversal(MINE, paid[outcome], happened);
    }

    function _bend(uint256 position, Entry memory entry) private {
        entries[position] = entry;
        _rebuild();
    }

    /// The event says this instead.
    function _bendEvent(uint256 position, EventOpening memory said) private {
        Entry memory entry = entries[position];
        entry.payload = _commitEvent(entry, said);
        _bend(position, entry);
    }

    /// The reversal with another amount, and all sums above it as if it were true.
    function _bendAmount(uint256 number, uint256 amount) private {
        uint256 was = entries[taken[number]].value;
        entries[taken[number]].value = amount;
        for (uint256 i = number; i < taken.length; ++i) {
            uint256 payload = uint256(entries[taken[i]].payload);
            entries[taken[i]].payload = bytes32(payload + (amount << 16) - (was << 16));
        }
        _rebuild();
    }

    function _with(uint256 position, uint256 target, uint256 prev, uint256 n, uint256 sum)
        private
        view
        returns (Entry memory entry)
    {
        entry = entries[position];
        entry.payload = _link(target, position - 1, prev, n, sum);
    }

    /// The reversal, its event, its outcome and the transition of that.
    function _four(uint256 number) private view returns (uint256[] memory) {
        uint256 outcome = uint256(entries[taken[number]].payload) >> 216;
        return _show(taken[number], events[number], outcome, _targetOf(outcome));
    }

    // ------------------------------------------------------------ honest reversals

    function test_reversal_takesTheSharesOfWhatIsTakenBack() public {
        _history();
        uint256 whole = PRICE + VALUE * BPS / 10_000;
        uint256[5] memory expected =
            [1000 * BPS / 10_000, whole, 3001 * BPS / 10_000 - 333, whole, whole - 1000];
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(entries[taken[i]].value, expected[i]);
        }
        assertEq(expected[2], 667, "not 666, which is the share of 2001 alone");
    }

    /// Whatever is shown with a reversal, or with its event.
    function test_reversal_trueOnesContradictNothing() public {
        _history();
        uint256 count = entries.length;
        for (uint256 i = 0; i < 5; ++i) {
            _provesNothing("reversal", _show(taken[i]));
            _provesNothing("reversal", _four(i));
            for (uint256 j = 0; j < count; ++j) {
                _provesNothing("reversal", _show(taken[i], j));
                _provesNothing("reversal", _show(taken[i], events[i], j));
            }
        }
    }

    /// A purchase without a value is taken back once, with the unit price.
    function test_reversal_ofAPurchaseWithoutAValue() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_deal_(PRICE, BPS));
            touch = _touch(ann, 100);
            paid[0] = _outcome(MINE, _write(_purchaseEntry(LEAD, 200, 0, "order")), touch);
            for (uint256 j = 0; j <= i; ++j) {
                _takeBack(j, 0, _write(_orderRefundEntry(_targetOf(paid[0]), 300, 0)));
            }
            _state(MINE);
            assertEq(entries[taken[0]].value, PRICE);
            _provesNothing("reversal", _four(0));
            if (i == 1) {
                entries[taken[1]].value = PRICE; // again
                _rebuild();
                _proves("reversal", _four(1));
            }
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ the reversal alone

    function test_reversal_thatContradictsItself() public {
        _history();
        uint256 reversal = taken[0];
        (uint256 outcome, uint256 sum) = (paid[0], entries[reversal].value);
        Entry[10] memory lies;
        for (uint256 i = 0; i < lies.length; ++i) {
            lies[i] = entries[reversal];
        }
        lies[0].payload = _link(reversal - 1, reversal - 1, 0, 1, sum);
        lies[1].payload = _link(type(uint40).max, reversal - 1, 0, 1, sum);
        lies[2].payload = _link(outcome, reversal, 0, 1, sum);
        lies[3].payload = _link(outcome, reversal - 1, reversal, 1, sum);
        lies[4].payload = _link(outcome, reversal - 1, 0, 2, sum);
        lies[5].payload = _link(outcome, reversal - 1, 0, 1, sum - 1);
        lies[6].payload |= bytes32(uint256(1));
        lies[7].payload |= bytes32(uint256(1 << 15));
        lies[8].surface = "other";
        lies[9].value = 1;
        for (uint256 i = 0; i < lies.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _bend(reversal, lies[i]);
            _proves("reversal", _show(reversal));
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ its outcome, and its event

    function test_reversal_againstItsOutcome() public {
        _history();
        for (uint256 i = 0; i < 7; ++i) {
            uint256 snapshot = vm.snapshotState();
            Entry memory outcome = entries[paid[2]];
            if (i == 0) outcome.kind = "outcome.over";
            if (i == 1) outcome.actor = RIVAL;
            if (i == 2) outcome.subject = OTHER_LEAD;
            if (i == 3) outcome.label = "trial";
            if (i == 4) outcome.value -= 1; // less than is taken back
            if (i == 5) outcome.timeMs = 0;
            if (i == 6) outcome.value += 1;
            _bend(paid[2], outcome);
            if (i == 6) _provesNothing("reversal", _show(taken[1], paid[2]));
            else _proves("reversal", _show(taken[1], paid[2]));
            vm.revertToState(snapshot);
        }
    }

    function test_reversal_withinTheHoldbackPeriod() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_terms());
            uint256 outcome = _outcome(MINE, _transition(3 days), _touch(ann, 100));
            Entry memory refund = _refundEntry(LEAD, 5 days);
            if (i == 1) refund.timeMs += 1;
            if (i == 2) refund.timeMs = _ms(2 days); // happened before, reported after
            uint256 reversal = _reversal(MINE, outcome, _write(refund));
            _state(MINE);
            if (i == 1) _proves("reversal", _show(reversal, outcome));
            else _provesNothing("reversal", _show(reversal, outcome));
            vm.revertToState(snapshot);
        }
    }

    function test_reversal_againstItsEvent() public {
        _history();
        for (uint256 i = 0; i < 7; ++i) {
            uint256 snapshot = vm.snapshotState();
            Entry memory refund = entries[events[0]];
            if (i == 0) refund.kind = "lead.transition";
            if (i == 1) refund.actor = MINE;
            if (i == 2) refund.subject = OTHER_LEAD;
            if (i == 3) refund.surface = "other";
            if (i == 4) refund.timeMs += 1;
            if (i == 5) refund.kind = "lead.refused";
            if (i == 6) refund.timeMs -= 1;
            _bend(events[0], refund);
            _proves("reversal", _show(taken[0], events[0]));
            vm.revertToState(snapshot);
        }
        // Without its opening a true one proves nothing, either.
        delete openings[entries[events[0]].payload];
        _provesNothing("reversal", _show(taken[0], events[0]));
    }

    function test_reversal_oneEventTakesBackOnce() public {
        _openBoth(_deal_(PRICE, BPS));
        touch = _touch(ann, 100);
        paid[0] = _outcome(MINE, _transition(200), touch);
        paid[1] = _outcome(MINE, _transition(201), touch);
        _takeBack(0, 1, _refund(300));
        uint256 again = _reversal(MINE, paid[0], events[0]);
        _state(MINE);
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 3; ++i) {
            if (i == 0) entries[taken[0]].actor = RIVAL;
            if (i == 1) entries[taken[0]].label = "trial"; // an event has an entry for each state
            if (i == 2) entries[taken[0]].kind = "outcome"; // no reversal
            uint256 value = entries[again].value;
            entries[again].payload = _link(paid[0], events[0], 0, 1, value); // the first
            _rebuild();
            if (i == 2) _provesNothing("reversal", _show(again, taken[0]));
            else _proves("reversal", _show(again, taken[0]));
            vm.revertToState(snapshot);
        }
        _provesNothing("reversal", _show(taken[0], again));
        _proves("reversal", _show(again, taken[0]));
    }

    // ------------------------------------------------------------ what the event says

    function test_reversal_byAnEventThatContradictsItself() public {
        _history();
        uint256 happened = events[4];
        for (uint256 i = 0; i < 10; ++i) {
            uint256 snapshot = vm.snapshotState();
            EventOpening memory said = _eventOpening(happened);
            if (i == 0) said.purchase = 0;
            if (i == 1) said.purchase = happened;
            if (i == 2) said.purchase = type(uint256).max;
            if (i == 3) said.previous = happened;
            if (i == 4) said.previous = said.purchase;
            if (i == 5) said.previous = 0; // with something taken back before
            if (i == 6) said.whole = 2;
            if (i == 7) said.refundedAfter = said.refundedBefore - 1;
            if (i == 8) (said.order, said.whole) = (NO_ORDER, 0);
            if (i == 9) said.refundedBefore = type(uint256).max;
            _bendEvent(happened, said);
            _proves("reversal", _show(taken[4], happened));
            vm.revertToState(snapshot);
        }
    }

    function test_reversal_ofAnotherTransitionThanTheEvents() public {
        _history();
        EventOpening memory said = _eventOpening(events[1]);
        said.purchase = _targetOf(paid[1]);
        _bendEvent(events[1], said);
        _provesNothing("reversal", _show(taken[1], events[1]));
        uint256 snapshot = vm.snapshotState();
        _proves("reversal", _show(taken[1], events[1], paid[2]));
        vm.revertToState(snapshot);
        said = _eventOpening(events[3]); // which takes back from an earlier one
        said.purchase = _targetOf(paid[2]);
        _bendEvent(events[3], said);
        _proves("reversal", _show(taken[3], events[3], paid[1]));
    }

    /// The share of what is taken back, rounded over all of it, and the whole amount at the end.
    function test_reversal_ofAnotherAmount() public {
        _history();
        for (uint256 number = 0; number < 5; ++number) {
            for (uint256 i = 0; i < 2; ++i) {
                uint256 snapshot = vm.snapshotState();
                uint256 amount = entries[taken[number]].value;
                _bendAmount(number, i == 0 ? amount - 1 : amount + 1);
                uint256[] memory shown = _four(number);
                if (number % 2 == 0) _provesNothing("reversal", _show(taken[number], shown[2]));
                _proves("reversal", shown);
                vm.revertToState(snapshot);
            }
        }
    }

    /// An event that gives less back than was given back before takes no amount back.
    function test_reversal_ofLessThanNothing() public {
        _history();
        EventOpening memory said = _eventOpening(events[2]);
        said.refundedAfter = said.refundedBefore - 100;
        _bendEvent(events[2], said);
        _proves("reversal", _four(2));
    }

    function test_reversal_ofAPurchaseThatIsNone() public {
        _history();
        uint256 purchase = _targetOf(paid[0]);
        for (uint256 i = 0; i < 6; ++i) {
            uint256 snapshot = vm.snapshotState();
            Entry memory entered = entries[purchase];
            if (i == 0) entered.kind = "lead.refused";
            if (i == 1) entered.surface = "other";
            if (i == 2) entered.actor = MINE;
            if (i == 3) entered.subject = OTHER_LEAD;
            if (i == 4) entered.label = "trial";
            if (i == 5) {
                TransitionOpening memory opened = _transitionOpening(purchase);
                opened.order = "another";
                entered.payload = _commit(abi.encode(opened));
            }
            _bend(purchase, entered);
            _proves("reversal", _show(taken[0], events[0], purchase));
            vm.revertToState(snapshot);
        }
        // Its order is in the opening alone, and an event without one is of any.
        delete openings[entries[purchase].payload];
        _provesNothing("reversal", _show(taken[0], events[0], purchase));
        _provesNothing("reversal", _show(taken[1], events[1], _targetOf(paid[2])));
    }

    function test_reversal_byAnEventWhoseAmountsDoNotAddUp() public {
        _history();
        for (uint256 i = 0; i < 10; ++i) {
            uint256 snapshot = vm.snapshotState();
            uint256 number = i < 7 ? i / 2 : 4;
            uint256 happened = events[number];
            EventOpening memory said = _eventOpening(happened);
            if (i < 7) {
                if (i % 2 == 0) said.refundedAfter -= 1;
                if (i % 2 == 1) said.refundedAfter += 1;
            }
            if (i == 7) said.whole = 0; // of no value: it takes nothing
            if (i == 8) said.refundedAfter = type(uint256).max;
            if (i == 9) said.refundedBefore = VALUE + 1;
            if (i == 9) said.refundedAfter = VALUE + 1;
            _bendEvent(happened, said);
            _proves("reversal", _show(taken[number], happened, said.purchase));
            vm.revertToState(snapshot);
        }
    }

    /// More than is left is all that is left, with or without the word `whole`.
    function test_reversal_ofMoreThanIsLeft() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            _history();
            Entry memory refund = entries[events[4]];
            refund.value = i == 0 ? 1999 : i == 1 ? 5000 : type(uint256).max;
            EventOpening memory said = _eventOpening(events[4]);
            for (said.whole = 0; said.whole < 2; ++said.whole) {
                refund.payload = _commitEvent(refund, said);
                _bend(events[4], refund);
                _provesNothing("reversal", _show(taken[4], events[4], said.purchase));
                _provesNothing("reversal", _four(4));
            }
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ the event before

    function test_reversal_byAnEventThatDoesNotFollowOnTheOneItNames() public {
        _history();
        for (uint256 i = 0; i < 6; ++i) {
            uint256 snapshot = vm.snapshotState();
            EventOpening memory said = _eventOpening(events[2]);
            uint256 shown = events[0];
            if (i == 0) said.refundedBefore -= 1;
            if (i == 1) said.refundedBefore += 1;
            if (i == 2) said.previous = shown = events[1]; // of another purchase
            if (i == 3) said.previous = shown = taken[0]; // no event
            if (i == 4) (said.previous, said.refundedBefore) = (0, 0); // skips it
            if (i == 5) said.previous = shown - 1; // likewise
            _bendEvent(events[2], said);
            _provesNothing("reversal", _show(taken[2], events[2]));
            _proves("reversal", _show(taken[2], events[2], shown));
            vm.revertToState(snapshot);
        }
        _provesNothing("reversal", _show(taken[2], events[2], events[4])); // above it
        _provesNothing("reversal", _show(taken[4], events[4], events[0])); // below the one before
        delete openings[entries[events[0]].payload];
        _refuses(
            abi.encodeWithSelector(Exhibits.OpeningLength.selector, events[0], 288, 0),
            "reversal",
            _show(taken[2], events[2], events[0])
        );
    }

    // ------------------------------------------------------------ the lead's latest

    /// An event without an order takes back the latest outcome of which something is left.
    function test_reversal_passesOverALaterOutcome() public {
        _history();
        uint256 refund = events[3];
        // It takes from the first instead, of which an order has given back a part.
        uint256 first = _targetOf(paid[0]);
        EventOpening memory said = EventOpening(0, NO_ORDER, first, events[2], 3001, VALUE, 1, 0, 0);
        Entry memory reversal = entries[taken[3]];
        uint256 payload = uint256(reversal.payload);
        reversal.payload = bytes32(payload << 40 >> 40 | paid[0] << 216);
        entries[taken[3]] = reversal;
        _bendEvent(refund, said);
        uint256[] memory shown = _show(taken[3], refund, paid[1]);
        _provesNothing("reversal", shown);
        shown = _show(shown, taken[2]);
        _provesNothing("reversal", shown);
        _provesNothing("reversal", _show(taken[3], refund, paid[1], taken[1]));
        shown = _show(shown, taken[1]);
        _provesNothing("reversal", shown);
        _provesNothing("reversal", _show(shown, taken[1]));
        shown = _show(shown, taken[0]);
        // A chain with a gap shows nothing.
        _provesNothing("reversal", _show(_show(taken[3], refund, paid[2], taken[2]), taken[0]));
        // The latest was taken back as a whole; the one before stands.
        uint256[] memory latest =
            _show(_show(_show(taken[3], refund, paid[2], taken[2]), taken[1]), taken[0]);
        _provesNothing("reversal", latest);
        uint256 before = vm.snapshotState();
        entries[taken[1]].value += 1; // or as more than a whole
        _rebuild();
        _provesNothing("reversal", latest);
        vm.revertToState(before);
        _provesNothing(
            "reversal", _show(_show(_show(taken[3], refund, paid[2]), taken[2]), taken[1])
        );
        uint256 snapshot = vm.snapshotState();
        // By its order an event takes back what it names.
        said.order = bytes32(uint256(1));
        _bendEvent(refund, said);
        _provesNothing("reversal", shown);
        vm.revertToState(snapshot);
        _proves("reversal", shown);
    }

    /// What was taken back of an earlier one leaves the later one whole.
    function test_reversal_passesOverALaterOutcomeThanOneThatWasTakenBack() public {
        _openBoth(_deal_(PRICE, BPS));
        touch = _touch(ann, 100);
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 order = i == 0 ? bytes32("order") : NO_ORDER;
            paid[i] = _outcome(MINE, _write(_purchaseEntry(LEAD, 200 + i, VALUE, order)), touch);
        }
        _takeBack(0, 0, _write(_orderRefundEntry(_targetOf(paid[0]), 300, 0)));
        EventOpening memory said;
        (said.purchase, said.refundedAfter, said.whole) = (_targetOf(paid[1]), VALUE, 1);
        Entry memory entry = _refundEntry(LEAD, 301);
        entry.payload = _commitEvent(entry, said);
        _takeBack(1, 1, _write(entry));
        _state(MINE);
        _proves("reversal", _show(taken[1], events[1], paid[2], taken[0]));
    }

    /// The first reversal of a contract is by the latest outcome: the outcome itself and an earlier one
    /// are none that it passes over.
    function test_reversal_ofTheLatestPassesOverNone() public {
        _openBoth(_deal_(PRICE, BPS));
        touch = _touch(ann, 100);
        paid[0] = _outcome(MINE, _transition(200), touch);
        paid[1] = _outcome(MINE, _transition(201), touch);
        _takeBack(0, 1, _refund(300));
        _state(MINE);
        _provesNothing("reversal", _show(taken[0], events[0], paid[1]));
        _provesNothing("reversal", _show(taken[0], events[0], paid[0]));
    }

    /// A part of it is enough.
    function test_reversal_passesOverALaterOutcomeOfWhichAPartIsLeft() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_deal_(0, 10_000));
            touch = _touch(ann, 100);
            paid[0] = _outcome(MINE, _write(_purchaseEntry(LEAD, 200, VALUE, "a")), touch);
            paid[1] = _outcome(MINE, _write(_purchaseEntry(LEAD, 201, VALUE, "b")), touch);
            _takeBack(0, 1, _write(_orderRefundEntry(_targetOf(paid[1]), 300, VALUE - 1)));
            if (i == 1) _takeBack(1, 1, _write(_orderRefundEntry(_targetOf(paid[1]), 301, 1)));
            uint256 refund = book.size();
            EventOpening memory said;
            (said.purchase, said.refundedAfter, said.whole) = (_targetOf(paid[0]), VALUE, 1);
            Entry memory entry = _refundEntry(LEAD, 302);
            entry.payload = _commitEvent(entry, said);
            _write(entry);
            uint256 reversal = _reversal(MINE, paid[0], refund);
            _state(MINE);
            uint256[] memory shown = _show(reversal, refund, paid[1]);
            if (i == 1) shown = _show(shown, taken[1]);
            shown = _show(shown, taken[0]);
            if (i == 0) _proves("reversal", shown);
            else _provesNothing("reversal", shown);
            vm.revertToState(snapshot);
        }
    }

    /// Every reversal since takes an exhibit.
    function test_reversal_passesOverALaterOutcome_undecidedAfterMoreReversals() public {
        for (uint256 since = 13; since <= 14; ++since) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_deal_(0, 10_000));
            touch = _touch(ann, 100);
            paid[0] = _outcome(MINE, _write(_purchaseEntry(LEAD, 200, VALUE, NO_ORDER)), touch);
            paid[1] = _outcome(MINE, _write(_purchaseEntry(LEAD, 201, VALUE, "b")), touch);
            uint256[] memory older = new uint256[](since);
            for (uint256 i = since; i != 0; --i) {
                uint256 part = _write(_orderRefundEntry(_targetOf(paid[1]), 300, 1));
                older[i - 1] = _reversal(MINE, paid[1], part);
            }
            EventOpening memory said;
            (said.purchase, said.refundedAfter, said.whole) = (_targetOf(paid[0]), VALUE, 1);
            Entry memory entry = _refundEntry(LEAD, 302);
            entry.payload = _commitEvent(entry, said);
            uint256 refund = _write(entry);
            uint256[] memory shown = _show(_reversal(MINE, paid[0], refund), refund, paid[1]);
            _state(MINE);
            for (uint256 i = 0; i < since; ++i) {
                shown = _show(shown, older[i]);
            }
            bytes memory reason = abi.encodeWithSelector(Evidence.ExhibitCount.selector, 17, 16);
            if (since == 13) _proves("reversal", shown);
            else _refuses(reason, "reversal", shown);
            vm.revertToState(snapshot);
        }
    }

    /// An outcome that was paid only after the event could not be taken back by it; nor one of
    /// another contract, lead or state.
    function test_reversal_passesOverNoOther() public {
        for (uint256 i = 0; i < 5; ++i) {
            uint256 snapshot = vm.snapshotState();
            _openBoth(_deal_(PRICE, 0));
            touch = _touch(ann, 100);
            paid[0] = _outcome(MINE, _transition(200), touch);
            uint256 refund = i == 0 ? _refund(300) : 0;
            Entry memory other = _outcomeEntry(MINE, _transition(201), touch);
            if (i == 1) other.actor = RIVAL;
            if (i == 2) other.subject = OTHER_LEAD;
            if (i == 3) other.label = "trial";
            uint256 later = _write(other);
            if (i != 0) {
                Entry memory entry = _refundEntry(LEAD, 300);
                EventOpening memory said;
                (said.purchase, said.refundedAfter, said.whole) = (_targetOf(paid[0]), VALUE, 1);
                entry.payload = _commitEvent(entry, said);
                refund = _write(entry);
            }
            uint256 reversal = _reversal(MINE, paid[0], refund);
            _state(MINE);
            if (i < 4) _provesNothing("reversal", _show(reversal, refund, later));
            else _proves("reversal", _show(reversal, refund, later));
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ the chain of reversals

    function test_reversal_followsOnTheOneBefore() public {
        _history();
        uint256 reversal = taken[1];
        (uint256 before, uint256 value) = (entries[taken[0]].value, entries[reversal].value);
        Entry[5] memory lies = [
            _with(reversal, paid[2], taken[0], 1, before + value),
            _with(reversal, paid[2], taken[0], 2, before + value - 1),
            _with(reversal, paid[2], taken[0], 2, 0),
            // One entry in two roles, of which it fills one.
            _with(reversal, paid[2], paid[2], 2, before + value),
            _with(reversal, paid[2], events[1], 2, before + value)
        ];
        uint256[5] memory shown = [taken[0], taken[0], taken[0], paid[2], events[1]];
        for (uint256 i = 0; i < lies.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _bend(reversal, lies[i]);
            _provesNothing("reversal", _show(reversal));
            _proves("reversal", _show(reversal, shown[i]));
            vm.revertToState(snapshot);
        }
    }

    function test_reversal_skipsNone() public {
        _history();
        _bend(taken[1], _with(taken[1], paid[2], 0, 1, entries[taken[1]].value));
        _provesNothing("reversal", _show(taken[1]));
        _proves("reversal", _show(taken[1], taken[0]));
    }

    // ------------------------------------------------------------ proving a reversal

    function _prove(uint256[] memory positions) private {
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(positions);
        vm.prank(stranger);
        evidence.proveReversal(escrow, _t(MINE), size, shown);
    }

    function _refusesToProve(bytes memory reason, uint256[] memory positions) private {
        uint256 snapshot = vm.snapshotState();
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(positions);
        vm.expectRevert(reason);
        evidence.proveReversal(escrow, _t(MINE), size, shown);
        vm.revertToStateAndDelete(snapshot);
    }

    /// As in _history, and the outcomes alone are final.
    function _provable() private {
        _history();
        escrow.state(MINE, paid[2], paid[2]);
    }

    function _assertProven(uint256 outcome, uint256 number, uint256 amount) private view {
        (uint256 happened, uint256 target, uint256 value, uint256 sum, uint256 recorded) =
            escrow.reversalOf(MINE, events[number]);
        assertEq(happened, events[number]);
        assertEq(target, paid[outcome]);
        assertEq(value, PRICE + 1666);
        assertEq(sum, (outcome + 1) * (PRICE + 1666));
        assertEq(recorded, amount);
    }

    /// As the reversals have it, and without them, in any order.
    function test_proveReversal_tellsWhatEachEventTakesBack() public {
        _provable();
        uint256 purchase = _targetOf(paid[0]);
        bytes memory reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 1);
        _refusesToProve(reason, _show(paid[0]));
        reason = abi.encodeWithSelector(Exhibits.MissingExhibit.selector, 2);
        _refusesToProve(reason, _show(paid[0], events[0]));
        _refusesToProve(reason, _show(paid[0], events[4]));
        reason = abi.encodeWithSelector(Exhibits.WrongExhibit.selector, purchase, paid[0]);
        _refusesToProve(reason, _show(paid[0], events[0], paid[0]));
        _prove(_show(paid[0], events[4], purchase));
        _assertProven(0, 4, PRICE + 1666 - 1000);
        _prove(_show(paid[0], events[0], purchase));
        _assertProven(0, 0, 333);
        _prove(_show(paid[0], events[2], purchase));
        _assertProven(0, 2, 667);
        reason = abi.encodeWithSelector(EvidenceTargetDouble.AlreadyRecorded.selector, events[0]);
        _refusesToProve(reason, _show(paid[0], events[0], purchase));
        _prove(_show(paid[2], events[1]));
        _assertProven(2, 1, PRICE + 1666);
        for (uint256 i = 0; i < 5; ++i) {
            if (i == 3) continue; // not shown
            (,,,, uint256 amount) = escrow.reversalOf(MINE, events[i]);
            assertEq(amount, entries[taken[i]].value);
        }
    }

    /// With the last part of the value goes all that is left, whatever the words are.
    function test_proveReversal_ofTheWholeValueInParts() public {
        _provable();
        uint256 purchase = _targetOf(paid[0]);
        EventOpening memory said = _eventOpening(events[4]);
        said.whole = 0;
        entries[events[4]].value = VALUE - said.refundedBefore;
        _bendEvent(events[4], said);
        _prove(_show(paid[0], events[4], purchase));
        _assertProven(0, 4, PRICE + 1666 - 1000);
    }

    /// Not more than was paid, though the outcome was stated too low.
    function test_proveReversal_takesNoMoreThanTheOutcome() public {
        _provable();
        entries[paid[0]].value = 100;
        _rebuild();
        uint256 purchase = _targetOf(paid[0]);
        bytes memory reason =
            abi.encodeWithSelector(Reversals.EventDoesNotReverse.selector, events[2]);
        _refusesToProve(reason, _show(paid[0], events[2], purchase));
        _prove(_show(paid[0], events[0], purchase));
        assertEq(escrow.reversedOf(MINE, paid[0]), 100);
    }

    /// A purchase of no value is taken back once; then its events take nothing.
    function test_proveReversal_ofAPurchaseWithoutAValue() public {
        _openBoth(_deal_(PRICE, BPS));
        touch = _touch(ann, 100);
        uint256 purchase = _write(_purchaseEntry(LEAD, 200, 0, "order"));
        uint256 outcome = _outcome(MINE, purchase, touch);
        _state(MINE);
        uint256 first = _write(_orderRefundEntry(purchase, 300, 0));
        uint256 second = _write(_orderRefundEntry(purchase, 301, 0));
        _prove(_show(outcome, first, purchase));
        assertEq(escrow.reversedOf(MINE, outcome), PRICE);
        bytes memory reason = abi.encodeWithSelector(Reversals.EventDoesNotReverse.selector, second);
        _refusesToProve(reason, _show(outcome, second, purchase));
    }

    function test_proveReversal_onlyOfAnOutcomeThatIsFinal() public {
        _provable();
        bytes memory reason;
        for (uint256 last = 0; last < 2; ++last) {
            escrow.state(MINE, taken[4], last * (paid[2] - 1));
            reason =
                abi.encodeWithSelector(Evidence.NotSettled.selector, paid[2], last * (paid[2] - 1));
            _refusesToProve(reason, _show(paid[2], events[1]));
        }
        escrow.state(MINE, taken[4], paid[2]);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            if (i == 0) entries[paid[2]].kind = "outcome.over";
            if (i == 1) entries[paid[2]].actor = RIVAL;
            _rebuild();
            reason = abi.encodeWithSelector(
                Exhibits.NotOfContract.selector, paid[2], MINE, bytes32("outcome")
            );
            _refusesToProve(reason, _show(paid[2], events[1]));
            vm.revertToState(snapshot);
        }
        _prove(_show(paid[2], events[1]));
    }

    /// The last final statement states all that happened below it.
    function test_proveReversal_onlyByAnEventAboveTheLastFinalStatement() public {
        _provable();
        for (uint256 i = 0; i < 2; ++i) {
            uint256 last = i == 0 ? events[1] : taken[4];
            escrow.state(MINE, taken[4], last);
            _refusesToProve(
                abi.encodeWithSelector(Evidence.AlreadyStated.selector, events[1], last),
                _show(paid[2], events[1])
            );
        }
        escrow.state(MINE, taken[4], events[1] - 1);
        _prove(_show(paid[2], events[1]));
    }

    function test_proveReversal_onlyByAnEventThatTakesBackFromIt() public {
        _provable();
        uint256 happened = events[1];
        bytes memory reason =
            abi.encodeWithSelector(Reversals.EventDoesNotReverse.selector, happened);
        for (uint256 i = 0; i < 9; ++i) {
            uint256 snapshot = vm.snapshotState();
            Entry memory refund = entries[happened];
            EventOpening memory said = _eventOpening(happened);
            if (i == 0) refund.kind = "lead.transition";
            if (i == 1) refund.surface = "other";
            if (i == 2) refund.actor = MINE;
            if (i == 3) refund.subject = OTHER_LEAD;
            // Two days after the outcome is the last moment.
            if (i == 4) refund.timeMs = _ms(202 + 2 days) + 1;
            if (i == 5) refund.timeMs = type(uint256).max;
            if (i == 6) said.purchase = _targetOf(paid[1]);
            if (i == 7) said.purchase = 0;
            if (i == 8) refund.timeMs = _ms(202 + 2 days);
            refund.payload = _commitEvent(refund, said);
            _bend(happened, refund);
            if (i == 8) _prove(_show(paid[2], happened));
            else _refusesToProve(reason, _show(paid[2], happened));
            vm.revertToState(snapshot);
        }
        // Nor does it take back from an outcome of an earlier transition.
        _refusesToProve(reason, _show(paid[0], happened));
        // Nor by one below the transition.
        EventOpening memory before = _eventOpening(happened);
        Entry memory early = entries[touch];
        (early.kind, early.actor) = ("product.event", _word(owner));
        early.payload = _commitEvent(early, before);
        escrow.state(MINE, paid[2], paid[2]);
        _bend(touch, early);
        reason = abi.encodeWithSelector(Evidence.AlreadyStated.selector, touch, paid[2]);
        _refusesToProve(reason, _show(paid[2], touch));
        // What it takes back stands in its opening.
        delete openings[entries[happened].payload];
        reason = abi.encodeWithSelector(Exhibits.OpeningLength.selector, happened, 288, 0);
        _refusesToProve(reason, _show(paid[2], happened));
    }

    /// An event that no replay accepts proves nothing, though a publisher writes it: one that was
    /// received before it happened, or too late, or that contradicts itself.
    function test_proveReversal_onlyByAnEventThatAReplayAccepts() public {
        _provable();
        uint256 happened = events[1];
        uint256 timeMs = entries[happened].timeMs;
        bytes memory reason =
            abi.encodeWithSelector(Reversals.EventDoesNotReverse.selector, happened);
        for (uint256 i = 0; i < 12; ++i) {
            uint256 snapshot = vm.snapshotState();
            EventOpening memory said = _eventOpening(happened);
            said.receivedMs = timeMs;
            if (i == 11) said.receivedMs = 2 * timeMs;
            if (i == 0) said.receivedMs = timeMs - 1;
            if (i == 1) said.receivedMs = timeMs + 1000 * _terms().lateness + 1;
            if (i == 2) said.receivedMs = type(uint256).max;
            if (i == 3) said.whole = 0;
            if (i == 4) said.whole = 2;
            if (i == 5) said.refundedBefore = 1;
            if (i == 6) said.previous = happened;
            if (i == 7) said.previous = said.purchase;
            if (i == 8) (said.refundedBefore, said.refundedAfter) = (VALUE, VALUE - 1);
            // an order that the purchase does not have
            if (i == 9) said.order = "another";
            if (i == 10) said.receivedMs = timeMs + 1000 * _terms().lateness;
            entries[happened].payload = _commit(abi.encode(said));
            _rebuild();
            uint256[] memory shown = _show(paid[2], happened, _targetOf(paid[2]));
            if (i == 10) _prove(shown);
            else _refusesToProve(reason, shown);
            vm.revertToState(snapshot);
        }
    }

    /// One without an order takes what an order has left, and needs no opening of the purchase.
    function test_proveReversal_withoutAnOrderBehindOneWithAnOrder() public {
        _openBoth(_deal_(PRICE, BPS));
        touch = _touch(ann, 100);
        uint256 purchase = _write(_purchaseEntry(LEAD, 200, VALUE, "order"));
        paid[0] = _outcome(MINE, purchase, touch);
        _state(MINE);
        _write(_orderRefundEntry(purchase, 300, 1000));
        events[0] = _refund(301);
        delete openings[entries[purchase].payload];
        _prove(_show(paid[0], events[0], purchase));
        assertEq(escrow.reversedOf(MINE, paid[0]), entries[paid[0]].value - 333);
    }

    /// One with an order only from the purchase of that order, of which it takes back what it says.
    function test_proveReversal_onlyByAnEventOfThePurchasesOrder() public {
        _provable();
        uint256 happened = events[2];
        uint256 purchase = _targetOf(paid[0]);
        bytes memory reason =
            abi.encodeWithSelector(Reversals.EventDoesNotReverse.selector, happened);
        for (uint256 i = 0; i < 8; ++i) {
            uint256 snapshot = vm.snapshotState();
            EventOpening memory said = _eventOpening(happened);
            Entry memory entered = entries[purchase];
            if (i == 0) said.order = "another";
            if (i == 1) said.refundedAfter += 1;
            if (i == 2) entries[happened].value -= 1;
            if (i == 3) said.whole = 1;
            if (i == 4) entered.subject = OTHER_LEAD;
            if (i == 5) entered.label = "trial";
            if (i == 6) entered.actor = _word(bob);
            if (i == 7) entered.kind = "lead.refused";
            entries[purchase] = entered;
            _bendEvent(happened, said);
            _refusesToProve(reason, _show(paid[0], happened, purchase));
            vm.revertToState(snapshot);
        }
        // Its order stands in its opening.
        delete openings[entries[purchase].payload];
        reason = abi.encodeWithSelector(Exhibits.OpeningLength.selector, purchase, 192, 0);
        _refusesToProve(reason, _show(paid[0], happened, purchase));
    }
}
