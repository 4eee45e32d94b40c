// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceFixture} from "../support/EvidenceFixture.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Kind sum: running totals, and their parts.
contract TotalsTest is EvidenceFixture {
    uint256 private touch;
    uint256[3] private paid; //  outcomes
    uint256[2] private taken; // reversals of the last two outcomes, in that order

    /// Three outcomes, of which the last two are reversed, and a statement on all of it.
    function _history() private returns (uint256 statement) {
        Terms memory terms = _terms();
        terms.repeatable = true;
        _openBoth(terms);
        touch = _touch(ann, 100);
        for (uint256 i = 0; i < 3; ++i) {
            paid[i] = _outcome(MINE, _transition(200 + i), touch);
        }
        taken[0] = _reversal(MINE, paid[2], _refund(300));
        taken[1] = _reversal(MINE, paid[1], _refund(301));
        statement = _state(MINE);
    }

    function _bend(uint256 position, Entry memory entry) private {
        entries[position] = entry;
        _rebuild();
    }

    function _fields(bytes32 payload) private pure returns (uint256[5] memory) {
        uint256 word = uint256(payload);
        return [
            word >> 216,
            word >> 176 & type(uint40).max,
            word >> 136 & type(uint40).max,
            word >> 96 & type(uint40).max,
            word >> 16 & type(uint80).max
        ];
    }

    /// The entry with one field of its payload replaced.
    function _with(uint256 position, uint256 field, uint256 value)
        private
        view
        returns (Entry memory entry)
    {
        entry = entries[position];
        uint256[5] memory f = _fields(entry.payload);
        f[field] = value;
        entry.payload = _link(f[0], f[1], f[2], f[3], f[4]);
    }

    function _statement(uint256 earned, uint256 reversed, uint256 outcome, uint256 reversal)
        private
        view
        returns (Entry memory entry)
    {
        entry = _settlementEntry(MINE);
        entry.payload = bytes32(earned << 176 | reversed << 96 | outcome << 48 | reversal);
    }

    // ------------------------------------------------------------ honest totals

    /// Every pair of entries, the genesis included.
    function test_trueTotalsContradictNothing() public {
        _history();
        uint256 count = entries.length;
        for (uint256 i = 1; i < count; ++i) {
            bytes32 kind = entries[i].kind;
            if (kind == "outcome" || kind == "settlement") _provesNothing("sum", _show(i));
            if (kind == "outcome.reversed") _provesNothing("reversal", _show(i));
            for (uint256 j = 0; j < count; ++j) {
                if (kind == "outcome" || kind == "settlement" || kind == "outcome.reversed") {
                    _provesNothing("sum", _show(i, j));
                }
                if (kind == "outcome.reversed") _provesNothing("reversal", _show(i, j));
            }
        }
    }

    // ------------------------------------------------------------ outcomes

    function test_sum_theFirstOutcomeIsTheFirst() public {
        _history();
        Entry[4] memory lies = [
            _with(paid[0], 3, 2),
            _with(paid[0], 3, 0),
            _with(paid[0], 4, PRICE + 1),
            _with(paid[0], 2, paid[0])
        ];
        for (uint256 i = 0; i < lies.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _bend(paid[0], lies[i]);
            _proves("sum", _show(paid[0]));
            vm.revertToState(snapshot);
        }
    }

    function test_sum_anOutcomeFollowsOnTheOneBefore() public {
        _history();
        Entry[5] memory lies = [
            _with(paid[1], 3, 3),
            _with(paid[1], 3, 1),
            _with(paid[1], 4, 2 * PRICE + 1),
            _with(paid[1], 4, 1),
            entries[paid[1]]
        ];
        lies[4].value = type(uint256).max;
        for (uint256 i = 0; i < lies.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _bend(paid[1], lies[i]);
            _provesNothing("sum", _show(paid[1]));
            _proves("sum", _show(paid[1], paid[0]));
            vm.revertToState(snapshot);
        }
    }

    function test_sum_theOneBeforeIsAnOutcomeOfTheContract() public {
        _history();
        uint256[3] memory named = [touch, paid[0] - 1, uint256(2)];
        for (uint256 i = 0; i < named.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _bend(paid[1], _with(paid[1], 2, named[i]));
            _proves("sum", _show(paid[1], named[i]));
            vm.revertToState(snapshot);
        }
        Entry memory foreign = entries[paid[0]];
        foreign.actor = RIVAL;
        _bend(paid[0], foreign);
        _proves("sum", _show(paid[1], paid[0]));
    }

    function test_sum_noOutcomeIsSkipped() public {
        _history();
        _bend(paid[2], _with(paid[2], 2, paid[0]));
        _proves("sum", _show(paid[2], paid[1]));
    }

    function test_sum_noOutcomeIsSkippedByBeginningAgain() public {
        _history();
        uint256 outcome = paid[2];
        entries[outcome].payload = _link(outcome - 1, touch, 0, 1, PRICE);
        _rebuild();
        _provesNothing("sum", _show(outcome));
        _proves("sum", _show(outcome, paid[0]));
    }

    // ------------------------------------------------------------ settlements

    function test_sum_aStatementThatContradictsItself() public {
        _history();
        uint256 next = entries.length;
        Entry[4] memory lies = [
            _statement(PRICE, 0, 0, 0),
            _statement(0, 1, 0, 0),
            _statement(PRICE, 0, next, 0),
            _statement(PRICE, 0, paid[0], type(uint48).max)
        ];
        for (uint256 i = 0; i < lies.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _write(lies[i]);
            escrow.state(MINE, next, next);
            _proves("sum", _show(next));
            vm.revertToState(snapshot);
        }
    }

    function test_sum_aStatementAgainstTheEntriesItNames() public {
        _history();
        uint256 next = entries.length;
        Entry[6] memory lies = [
            _statement(4 * PRICE, 2 * PRICE, paid[2], taken[1]), // earned too much
            _statement(3 * PRICE, PRICE, paid[2], taken[1]), //     reversed too little
            _statement(2 * PRICE, 2 * PRICE, paid[1], taken[1]), // an outcome skipped
            _statement(3 * PRICE, PRICE, paid[2], taken[0]), //     a reversal skipped
            _statement(3 * PRICE, 2 * PRICE, touch, taken[1]), //   no outcome
            _statement(3 * PRICE, 2 * PRICE, paid[2], paid[1]) //   no reversal
        ];
        uint256[6] memory against = [paid[2], taken[1], paid[2], taken[1], touch, paid[1]];
        for (uint256 i = 0; i < lies.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _write(lies[i]);
            escrow.state(MINE, next, next);
            _provesNothing("sum", _show(next));
            _proves("sum", _show(next, against[i]));
            vm.revertToState(snapshot);
        }
    }

    function test_sum_aStatementOfNothingSkipsSomething() public {
        _history();
        uint256 statement = _write(_statement(0, 0, 0, 0));
        escrow.state(MINE, statement, statement);
        _provesNothing("sum", _show(statement, 0));
        uint256 snapshot = vm.snapshotState();
        _proves("sum", _show(statement, paid[0]));
        vm.revertToState(snapshot);
        _proves("sum", _show(statement, taken[0]));
    }

    function test_sum_onlyOutcomesStatementsAndReversals() public {
        _history();
        (entries[touch].actor, entries[touch].subject) = (_word(verifier), MINE);
        _rebuild();
        _refuses(
            abi.encodeWithSelector(
                Exhibits.NotOfContract.selector, touch, MINE, bytes32("outcome")
            ),
            "sum",
            _show(touch)
        );
    }

    function test_sum_onlyTheVerifiersStatementOnTheContract() public {
        _history();
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            Entry memory lie = _statement(PRICE, 0, 0, 0);
            if (i == 0) lie.actor = _word(stranger);
            if (i == 1) lie.subject = RIVAL;
            uint256 statement = _write(lie);
            escrow.state(MINE, statement, statement);
            _refuses(
                abi.encodeWithSelector(
                    Exhibits.NotOfContract.selector, statement, MINE, bytes32("settlement")
                ),
                "sum",
                _show(statement)
            );
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ over the budget

    function test_sum_anOutcomePastTheBudgetIsNotHiddenByALaterReversal() public {
        for (uint256 budget = 1; budget <= 2; ++budget) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            terms.repeatable = true;
            terms.budget = budget * PRICE;
            _openBoth(terms);
            touch = _touch(ann, 100);
            uint256 first = _outcome(MINE, _transition(200), touch);
            uint256 second = _outcome(MINE, _transition(201), touch);
            uint256 reversal = _reversal(MINE, first, _refund(300));
            uint256 third = _outcome(MINE, _transition(302), touch);
            _state(MINE);
            if (budget == 1) {
                _provesNothing("sum", _show(reversal, first));
                _proves("sum", _show(reversal, second));
            } else {
                _provesNothing("sum", _show(reversal, second));
                _provesNothing("sum", _show(reversal, third));
                _provesNothing("sum", _show(reversal, touch));
            }
            vm.revertToState(snapshot);
        }
    }

    function test_sum_whatWasReversedBeforeMakesRoom() public {
        Terms memory terms = _terms();
        terms.repeatable = true;
        terms.budget = 2 * PRICE;
        _openBoth(terms);
        touch = _touch(ann, 100);
        uint256 first = _outcome(MINE, _transition(200), touch);
        uint256 second = _outcome(MINE, _transition(201), touch);
        _reversal(MINE, first, _refund(300));
        uint256 third = _outcome(MINE, _transition(302), touch);
        uint256 later = _reversal(MINE, second, _refund(400));
        _state(MINE);
        _provesNothing("sum", _show(later, third));
    }

    function test_sum_aReversalLargerThanItsSum() public {
        _history();
        entries[taken[0]].value = type(uint256).max;
        _rebuild();
        _proves("sum", _show(taken[0], paid[0]));
    }

    // ------------------------------------------------------------ over, though it fits

    /// Of three purchases, worth `first`, 1 and `last` prices, the second is said to be over. Below
    /// it there may be a reversal of the first, above it an outcome and a statement.
    function _withOver(uint256 first, bool isReversed, bool hasLast)
        private
        returns (uint256 over, uint256 reversal, uint256 last, uint256 statement)
    {
        Terms memory terms = _terms();
        terms.repeatable = true;
        terms.unitPrice = 0;
        terms.revenueShareBps = 10_000;
        terms.budget = 100;
        _openBoth(terms);
        touch = _touch(ann, 100);
        Entry memory entered = _transitionEntry(LEAD, 200);
        entered.value = first;
        paid[0] = _outcome(MINE, _write(entered), touch);
        if (isReversed) reversal = _reversal(MINE, paid[0], _refund(250));
        entered = _transitionEntry(LEAD, 300);
        entered.value = 40;
        uint256 transition = _write(entered);
        Running memory before = outcomes[MINE];
        Entry memory entry = _outcomeEntry(MINE, transition, touch);
        outcomes[MINE] = before;
        entry.kind = "outcome.over";
        entry.payload = _link(transition, touch, 0, 0, 0);
        over = _write(entry);
        if (hasLast) {
            entered = _transitionEntry(LEAD, 400);
            entered.value = 30;
            last = _outcome(MINE, _write(entered), touch);
        }
        statement = _state(MINE);
    }

    function test_sum_overThoughItFits_belowAStatement() public {
        for (uint256 first = 60; first <= 61; ++first) {
            uint256 snapshot = vm.snapshotState();
            (uint256 over,,, uint256 statement) = _withOver(first, false, false);
            _provesNothing("sum", _show(paid[0], over)); // which stands above it
            if (first == 60) _proves("sum", _show(statement, over));
            else _provesNothing("sum", _show(statement, over));
            vm.revertToState(snapshot);
        }
    }

    function test_sum_overThoughMostOfTheBudgetIsLeft() public {
        (uint256 over,,, uint256 statement) = _withOver(10, false, false);
        _proves("sum", _show(statement, over));
    }

    /// A statement sums up too much by then; the next outcome says what was earned below it.
    function test_sum_overThoughItFits_belowAnOutcome() public {
        for (uint256 first = 60; first <= 61; ++first) {
            uint256 snapshot = vm.snapshotState();
            (uint256 over,, uint256 last, uint256 statement) = _withOver(first, false, true);
            _provesNothing("sum", _show(statement, over));
            if (first == 60) _proves("sum", _show(last, over));
            else _provesNothing("sum", _show(last, over));
            vm.revertToState(snapshot);
        }
    }

    function test_sum_overThoughItFits_byAReversalBelowIt() public {
        (uint256 over, uint256 reversal, uint256 last, uint256 statement) =
            _withOver(100, true, true);
        _provesNothing("sum", _show(statement, over));
        _provesNothing("sum", _show(statement, over, over));
        _provesNothing("sum", _show(statement, over, paid[0]));
        uint256 later = _reversal(MINE, last, _refund(500));
        uint256 again = _state(MINE);
        _provesNothing("sum", _show(again, over, later));
        _proves("sum", _show(statement, over, reversal));
    }

    /// 130 are earned, 100 reversed, and the budget is 100.
    function test_sum_overThoughItFits_byAsMuchAsWasReversed() public {
        for (uint256 value = 70; value <= 71; ++value) {
            uint256 snapshot = vm.snapshotState();
            (uint256 over, uint256 reversal,, uint256 statement) = _withOver(100, true, true);
            entries[over].value = value;
            _rebuild();
            if (value == 70) _proves("sum", _show(statement, over, reversal));
            else _provesNothing("sum", _show(statement, over, reversal));
            vm.revertToState(snapshot);
        }
    }

    /// A sum has 80 bits, whatever the budget is and however much was reversed.
    function test_sum_overWhatNoSumCanHold() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            (uint256 over, uint256 reversal,, uint256 statement) = _withOver(100, true, true);
            Terms memory terms = _t(MINE);
            terms.budget = type(uint80).max;
            _openInEscrow(MINE, terms);
            entries[over].value = type(uint80).max - 130 + i;
            _rebuild();
            if (i == 0) _proves("sum", _show(statement, over, reversal));
            else _provesNothing("sum", _show(statement, over, reversal));
            vm.revertToState(snapshot);
        }
    }

    function test_sum_anotherContractsThatWasOver() public {
        (uint256 over,,, uint256 statement) = _withOver(10, false, false);
        entries[over].actor = RIVAL;
        _rebuild();
        _provesNothing("sum", _show(statement, over));
    }
}
