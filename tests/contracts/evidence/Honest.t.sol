// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceFixture} from "../support/EvidenceFixture.sol";
import {EventOpening, Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Logs that are written by the rules, whatever happens in them, and strangers that show whatever
/// they like: nothing is disproved. The rules of attribution are written down here once more,
/// plainly and over the whole history.
/// forge-config: default.fuzz.runs = 8
/// forge-config: deep.fuzz.runs = 300
contract HonestTest is EvidenceFixture {
    /// A transition that may be taken back, as the rules have it.
    struct Purchase {
        uint256 position;
        bytes32 order;
        uint256 outcome; // position; zero: it paid no contract
        uint256 last; //    position of the event that took back from it last
        uint256 units; //   of its value, taken back
    }

    uint256 private constant STEPS = 20;
    uint256 private constant TRIES = 24; //  a kind and a contract
    uint256 private constant MOST = 16; //   exhibits
    uint8 private constant FIRST = 0;

    bytes32[2] private contracts = [RIVAL, MINE]; // in the order of opening
    bytes32[7] private kinds =
        [bytes32("duplicate"), "transition", "touch", "cause", "sum", "reversal", "clock"];
    mapping(bytes32 id => mapping(bytes32 lead => bool)) private hasCounted;
    mapping(bytes32 id => uint256 position) private openedAt;
    mapping(bytes32 id => uint256[]) private told; // what may be accused
    uint256[] private causes; // codes and requests
    uint256[] private touches;
    uint256[] private paid;
    uint256[] private counting; // outcomes, paid or over
    uint256[] private events;
    uint256[] private reversed; // reversals
    Purchase[] private purchases;
    uint256 private dice;

    function _roll(uint256 sides) private returns (uint256) {
        dice = uint256(keccak256(abi.encode(dice)));
        return dice % sides;
    }

    // ------------------------------------------------------------ an honest log

    function _live(uint256 seed) private {
        dice = seed;
        _openDeals();
        uint256 nowS = 1;
        for (uint256 i = 0; i < STEPS; ++i) {
            nowS += _roll(18 hours);
            bytes32 lead = _roll(4) == 0 ? OTHER_LEAD : LEAD;
            uint256 what = _roll(12);
            // What the product reports may have happened a while ago.
            uint256 happenedS = nowS - _roll(nowS < 8 hours ? nowS : 8 hours);
            if (what < 4) touches.push(_write(_touchEntry(what < 2 ? ann : bob, lead, nowS)));
            else if (what < 6) _report(lead, happenedS, nowS);
            else if (what < 9) _enterState(lead, happenedS);
            else if (what < 10) _takeBackLatest(lead, happenedS);
            else _takeBackFromOrder(happenedS);
        }
        for (uint256 i = 0; i < contracts.length; ++i) {
            told[contracts[i]].push(_state(contracts[i]));
        }
    }

    function _openDeals() private {
        Terms memory mine = _terms();
        mine.attribution = uint8(_roll(2));
        mine.repeatable = _roll(2) == 0;
        mine.revenueShareBps = _roll(2) == 0 ? 0 : 333;
        mine.attributionWindow = uint64(1 + _roll(4 days));
        mine.holdbackPeriod = uint64(_roll(6 days));
        mine.budget = PRICE * (1 + _roll(4)) + 3000;
        Terms memory rival = abi.decode(abi.encode(mine), (Terms)); // a copy
        rival.operator = _roll(4) == 0 ? ann : bob;
        rival.repeatable = _roll(2) == 0;
        rival.opensAt += uint64(_roll(3 days));
        rival.deadline = uint64(START + 4 days + _roll(10 days));
        rival.attributionWindow = uint64(1 + _roll(4 days));
        openedAt[RIVAL] = _openContract(RIVAL, rival);
        openedAt[MINE] = _openContract(MINE, mine);
        told[RIVAL].push(openedAt[RIVAL]);
        told[MINE].push(openedAt[MINE]);
    }

    /// Writes a code or a request, or a touch by one.
    function _report(bytes32 lead, uint256 happenedS, uint256 nowS) private {
        if (causes.length == 0 || _roll(4) == 0) {
            address operator = _roll(2) == 0 ? ann : bob;
            Entry memory entry =
                _roll(2) == 0 ? _codeEntry(operator, nowS) : _requestEntry(operator, lead, nowS);
            causes.push(_write(entry));
            return;
        }
        uint256 place = _roll(causes.length);
        uint256 cause = causes[place];
        Entry memory from = entries[cause];
        uint256 fromS = (from.timeMs - _ms(0)) / 1000;
        bool isRequest = from.kind == "action.requested";
        if (!isRequest && (_roll(4) == 0 || happenedS > fromS + CODE_S)) {
            _write(_codeEndEntry(cause, nowS)); // nothing comes by it any more
            causes[place] = causes[causes.length - 1];
            causes.pop();
            return;
        }
        // A click comes after its code, and an action has the time of its request.
        uint256 atS = isRequest || happenedS < fromS ? fromS : happenedS;
        touches.push(_write(_reportedEntry(cause, isRequest ? from.subject : lead, atS, nowS)));
    }

    function _enterState(bytes32 lead, uint256 happenedS) private {
        bytes32 order = _roll(2) == 0 ? NO_ORDER : keccak256(abi.encode("order", dice));
        uint256 value = [uint256(5000), 5000, 7, 0][_roll(4)];
        uint256 transition = _write(_purchaseEntry(lead, happenedS, value, order));
        Purchase storage purchase = purchases.push();
        (purchase.position, purchase.order) = (transition, order);
        (bytes32 id, uint256 touch) = _winner(lead, _ms(happenedS));
        if (id == 0) return;
        counting.push(transition + 1);
        hasCounted[id][lead] = true;
        Entry memory entry;
        uint256 sum = outcomes[id].sum - reversals[id].sum;
        Terms memory terms = _termsOf(id);
        uint256 amount = terms.unitPrice + value * uint256(terms.revenueShareBps) / 10_000;
        if (sum + amount > terms.budget) {
            Running memory before = outcomes[id];
            entry = _outcomeEntry(id, transition, touch);
            outcomes[id] = before;
            entry.kind = "outcome.over";
            entry.payload = _link(transition, touch, 0, 0, 0);
            told[id].push(_write(entry));
            return;
        }
        purchase.outcome = _outcome(id, transition, touch);
        paid.push(purchase.outcome);
        told[id].push(purchase.outcome);
    }

    /// Returns the contract that the outcome belongs to, of all contracts that may count the lead
    /// (protocol, section 4).
    function _winner(bytes32 lead, uint256 timeMs)
        private
        view
        returns (bytes32 id, uint256 touch)
    {
        for (uint256 i = 0; i < contracts.length; ++i) {
            Terms memory terms = _termsOf(contracts[i]);
            if (timeMs < terms.opensAt * 1000 || timeMs > terms.deadline * 1000) continue;
            if (!terms.repeatable && hasCounted[contracts[i]][lead]) continue;
            uint256 own = _ownTouch(terms, lead, timeMs);
            if (own == 0) continue;
            if (timeMs - entries[own].timeMs > terms.attributionWindow * 1000) continue;
            bool isBetter = terms.attribution == FIRST ? own < touch : own > touch;
            if (touch == 0 || isBetter) (id, touch) = (contracts[i], own);
        }
    }

    /// The operator's first touch that counts, or the last that qualifies; zero if there is none.
    function _ownTouch(Terms memory terms, bytes32 lead, uint256 timeMs)
        private
        view
        returns (uint256 own)
    {
        for (uint256 i = 0; i < touches.length; ++i) {
            Entry memory entry = entries[touches[i]];
            bool counts = entry.actor == _word(terms.operator) && entry.subject == lead
                && terms.opensAt * 1000 <= entry.timeMs && entry.timeMs <= timeMs;
            if (!counts) continue;
            if (terms.attribution == FIRST) return touches[i];
            if (timeMs - entry.timeMs <= terms.attributionWindow * 1000) own = touches[i];
        }
    }

    /// All that is left of the lead's latest outcome of which something is left, if its time is not
    /// over.
    function _takeBackLatest(bytes32 lead, uint256 happenedS) private {
        for (uint256 i = purchases.length; i != 0; --i) {
            Purchase storage purchase = purchases[i - 1];
            if (purchase.outcome == 0 || entries[purchase.position].subject != lead) continue;
            uint256 left = entries[purchase.outcome].value - _lost(purchase);
            if (left == 0) continue;
            _takeBack(purchase, lead, happenedS, NO_ORDER, 0);
            return;
        }
        Entry memory entry = _eventEntry(lead, happenedS);
        EventOpening memory nothing;
        entry.payload = _commitEvent(entry, nothing);
        events.push(_write(entry));
    }

    /// Some of an order, or all of it that is left.
    function _takeBackFromOrder(uint256 happenedS) private {
        if (purchases.length == 0) return;
        Purchase storage purchase = purchases[_roll(purchases.length)];
        if (purchase.order == NO_ORDER) return;
        bytes32 lead = entries[purchase.position].subject;
        uint256 units = [uint256(0), 3, 1777, 6000][_roll(4)];
        _takeBack(purchase, lead, happenedS, purchase.order, units);
    }

    function _takeBack(
        Purchase storage purchase,
        bytes32 lead,
        uint256 happenedS,
        bytes32 order,
        uint256 units
    ) private {
        Entry memory entry = _eventEntry(lead, happenedS);
        entry.value = units;
        EventOpening memory said;
        said.order = order;
        bool isLate = purchase.outcome != 0 && entry.timeMs > _untilMs(purchase.outcome);
        uint256 before = _lost(purchase);
        if (!isLate) {
            uint256 value = entries[purchase.position].value;
            (said.purchase, said.previous) = (purchase.position, purchase.last);
            said.refundedBefore = purchase.units;
            said.whole = units == 0 ? 1 : 0;
            said.refundedAfter =
                units == 0 || purchase.units + units > value ? value : purchase.units + units;
        }
        entry.payload = _commitEvent(entry, said);
        uint256 happened = _write(entry);
        events.push(happened);
        if (isLate) return;
        (purchase.last, purchase.units) = (happened, said.refundedAfter);
        if (purchase.outcome == 0 || _lost(purchase) == before) return;

        bytes32 id = entries[purchase.outcome].actor;
        Entry memory reversal = _reversalEntry(id, purchase.outcome, happened);
        assertEq(reversal.value, _lost(purchase) - before, "the log book writes something else");
        reversed.push(_write(reversal));
        told[id].push(reversed[reversed.length - 1]);
    }

    /// How much of the purchase's outcome was taken back so far.
    function _lost(Purchase storage purchase) private view returns (uint256) {
        if (purchase.outcome == 0 || purchase.last == 0) return 0;
        return _share(purchase.outcome, purchase.position, purchase.units);
    }

    function _share(uint256 outcome, uint256 transition, uint256 units)
        private
        view
        returns (uint256)
    {
        if (units >= entries[transition].value) return entries[outcome].value;
        return units * _termsOf(entries[outcome].actor).revenueShareBps / 10_000;
    }

    function _untilMs(uint256 outcome) private view returns (uint256) {
        return
            entries[outcome].timeMs + 1000
                * uint256(_termsOf(entries[outcome].actor).holdbackPeriod);
    }

    // ------------------------------------------------------------ whatever is shown

    /// Returns how many of the tries disproved something.
    function _tryEverything() private returns (uint256 lies) {
        uint64 size = _size();
        Exhibit[] memory log = _wholeLog();
        for (uint256 i = 0; i < contracts.length; ++i) {
            for (uint256 k = 0; k < kinds.length; ++k) {
                for (uint256 j = 0; j < TRIES; ++j) {
                    uint256 accused = told[contracts[i]][_roll(told[contracts[i]].length)];
                    if (_isDisproved(size, kinds[k], _some(log, accused))) ++lies;
                }
            }
        }
        for (uint256 i = 0; i < paid.length; ++i) {
            for (uint256 j = 0; j < touches.length; ++j) {
                Exhibit[] memory shown = _beaten(log, paid[i], touches[j]);
                if (_isDisproved(size, "touch_order", shown)) ++lies;
                if (_isDisproved(size, "rival", shown)) ++lies;
            }
        }
        for (uint256 i = 0; i < reversed.length; ++i) {
            lies += _tryReversal(size, log, reversed[i]);
        }
    }

    /// A reversal with its event and any other entry, its outcome and transition, and all reversals
    /// before it.
    function _tryReversal(uint64 size, Exhibit[] memory log, uint256 reversal)
        private
        returns (uint256 lies)
    {
        uint256 payload = uint256(entries[reversal].payload);
        uint256 happened = payload >> 176 & type(uint40).max;
        for (uint256 i = 0; i < log.length; ++i) {
            uint256[] memory shown = _show(reversal, happened, i);
            if (_isDisproved(size, "reversal", _pick(log, shown))) ++lies;
            if (entries[i].kind != "outcome") continue;
            if (_isDisproved(size, "reversal", _pick(log, _show(shown, _targetOf(i))))) ++lies;
            uint256 prev = payload >> 136 & type(uint40).max;
            while (prev != 0 && shown.length < MOST) {
                shown = _show(shown, prev);
                prev = uint256(entries[prev].payload) >> 136 & type(uint40).max;
                if (_isDisproved(size, "reversal", _pick(log, shown))) ++lies;
            }
        }
    }

    function _pick(Exhibit[] memory log, uint256[] memory positions)
        private
        pure
        returns (Exhibit[] memory shown)
    {
        shown = new Exhibit[](positions.length);
        for (uint256 i = 0; i < positions.length; ++i) {
            shown[i] = log[positions[i]];
        }
    }

    function _isDisproved(uint64 size, bytes32 kind, Exhibit[] memory shown)
        private
        returns (bool)
    {
        uint256 accused = shown[0].position;
        bytes32 kind_ = entries[accused].kind;
        bytes32 id = kind_ == "settlement" || kind_ == "contract.opened"
            ? entries[accused].subject
            : entries[accused].actor;
        try evidence.disprove(escrow, _t(id), kind, size, shown, _rivals(_otherThan(id))) {
            return true;
        } catch {
            return false;
        }
    }

    /// One to five entries, the second often one that the accused entry names.
    function _some(Exhibit[] memory log, uint256 accused) private returns (Exhibit[] memory shown) {
        shown = new Exhibit[](1 + _roll(5));
        for (uint256 i = 0; i < shown.length; ++i) {
            shown[i] = log[_roll(log.length)];
        }
        shown[0] = log[accused];
        uint256 payload = uint256(entries[accused].payload);
        uint256 named = payload >> (216 - 40 * _roll(3)) & type(uint40).max;
        if (shown.length > 1 && named < log.length && _roll(3) != 0) shown[1] = log[named];
    }

    /// The outcome, a touch that may beat it, the other contract's opening, and what else is needed:
    /// the transition and those before it, and the touches before.
    function _beaten(Exhibit[] memory log, uint256 outcome, uint256 touch)
        private
        view
        returns (Exhibit[] memory)
    {
        bytes32 rival = _otherThan(entries[outcome].actor);
        uint256[] memory shown = _show(outcome, touch, openedAt[rival]);
        uint256 entered = _targetOf(outcome);
        while (!_termsOf(rival).repeatable && shown.length < MOST - 1) {
            shown = _show(shown, entered);
            uint256 by = _transitionOpening(entered).counted;
            if (by <= openedAt[rival]) break;
            shown = _show(shown, by);
            entered = by - 1;
        }
        uint256 follows = entries[touch].value; // 1 + position
        while (_termsOf(rival).attribution == FIRST && follows != 0 && shown.length < MOST) {
            shown = _show(shown, follows - 1);
            follows = entries[follows - 1].value;
        }
        return _pick(log, shown);
    }

    /// As if the verifier had been silent: the operators claim what the log gives them, and strangers
    /// try to have the claims dropped. Returns how many they got.
    function _tryClaims() private returns (uint256 dropped) {
        uint64 size = _size();
        Exhibit[] memory log = _wholeLog();
        for (uint256 i = 0; i < paid.length; ++i) {
            bytes32 key = _claim(size, log, paid[i]);
            for (uint256 j = 0; j < touches.length; ++j) {
                Exhibit[] memory shown = _beaten(log, paid[i], touches[j]);
                if (_isRefuted(size, key, "touch_order", shown)) ++dropped;
                if (_isRefuted(size, key, "rival", shown)) ++dropped;
            }
            dropped += _tryVisits(size, key, log, paid[i]);
            dropped += _tryGifts(size, key, log, paid[i]);
        }
    }

    /// Tries `earlier` with all that was counted for any contract, and all touches.
    function _tryVisits(uint64 size, bytes32 key, Exhibit[] memory log, uint256 outcome)
        private
        returns (uint256 dropped)
    {
        bytes32 id = entries[outcome].actor;
        for (uint256 i = 0; i < counting.length; ++i) {
            for (uint256 j = 0; j < touches.length; ++j) {
                uint256 entered = _targetOf(counting[i]);
                uint256[] memory shown = _show(counting[i], entered, touches[j], openedAt[id]);
                if (_isDropped(id, size, key, "earlier", _pick(log, shown))) ++dropped;
            }
        }
    }

    /// As if the verifier had been silent, and the operators claimed every later visit of a lead that
    /// counts once: each is refuted by the first. Returns how many there were.
    function _tryLaterVisits() private returns (uint256 claimed) {
        uint64 size = _size();
        Exhibit[] memory log = _wholeLog();
        for (uint256 i = 0; i < counting.length; ++i) {
            Entry memory outcome = entries[counting[i]];
            if (_termsOf(outcome.actor).repeatable) continue;
            uint256 named = uint256(outcome.payload) >> 176 & type(uint40).max;
            uint256[] memory shown =
                _show(counting[i], _targetOf(counting[i]), named, openedAt[outcome.actor]);
            for (uint256 j = 0; j < purchases.length; ++j) {
                uint256 later = purchases[j].position;
                if (later < counting[i] || entries[later].subject != outcome.subject) continue;
                for (uint256 k = 0; k < touches.length; ++k) {
                    if (!_isClaimed(outcome.actor, size, log[later], log[touches[k]])) continue;
                    bool isDropped = _isDropped(
                        outcome.actor, size, outcome.subject, "earlier", _pick(log, shown)
                    );
                    assertTrue(isDropped, "a later visit is paid");
                    ++claimed;
                }
            }
        }
    }

    function _isClaimed(bytes32 id, uint64 size, Exhibit memory transition, Exhibit memory touch)
        private
        returns (bool)
    {
        vm.prank(_termsOf(id).operator);
        try evidence.claim(escrow, _t(id), size, transition, touch) {
            return true;
        } catch {
            return false;
        }
    }

    /// Tries `taken` when all that the other contract was given is final. Returns how many were
    /// dropped.
    function _tryGifts(uint64 size, bytes32 key, Exhibit[] memory log, uint256 outcome)
        private
        returns (uint256 dropped)
    {
        bytes32 id = entries[outcome].actor;
        escrow.state(id, 0, 0);
        escrow.state(_otherThan(id), size - 1, size - 1);
        Exhibit[] memory shown = new Exhibit[](3);
        shown[2] = log[openedAt[_otherThan(id)]];
        for (uint256 i = 0; i < log.length; ++i) {
            shown[0] = log[i];
            uint256 named = uint256(entries[i].payload) >> 176 & type(uint40).max;
            shown[1] = log[named < log.length ? named : i];
            if (_isDropped(id, size, key, "taken", shown)) ++dropped;
        }
    }

    /// Files a claim of what this outcome would have paid.
    function _claim(uint64 size, Exhibit[] memory log, uint256 position)
        private
        returns (bytes32 key)
    {
        Entry memory outcome = entries[position];
        uint256 touch = uint256(outcome.payload) >> 176 & type(uint40).max;
        vm.prank(_termsOf(outcome.actor).operator);
        key = evidence.claim(escrow, _t(outcome.actor), size, log[_targetOf(position)], log[touch]);
        assertEq(escrow.claimOf(outcome.actor, key).amount, outcome.value);
    }

    /// By the same exhibits without the outcome.
    function _isRefuted(uint64 size, bytes32 key, bytes32 kind, Exhibit[] memory shown)
        private
        returns (bool)
    {
        uint256 outcome = shown[0].position;
        bytes32 id = entries[outcome].actor;
        Exhibit[] memory tail = new Exhibit[](shown.length - 1);
        for (uint256 i = 0; i < tail.length; ++i) {
            tail[i] = shown[i + 1];
        }
        return _isDropped(id, size, key, kind, tail);
    }

    /// What events take back of outcomes, shown as it comes: of a claim that is filed for the same, and
    /// to the escrow. Neither ever takes more than the reversals do.
    function _tryEvents() private {
        uint64 size = _size();
        Exhibit[] memory log = _wholeLog();
        for (uint256 i = 0; i < purchases.length; ++i) {
            Purchase storage purchase = purchases[i];
            if (purchase.outcome == 0) continue;
            bytes32 id = entries[purchase.outcome].actor;
            escrow.state(id, size, purchase.outcome);
            bytes32 key = _claim(size, log, purchase.outcome);
            for (uint256 j = 0; j < events.length; ++j) {
                uint256[] memory shown = _show(events[j], purchase.position);
                _isDropped(id, size, key, "reversed", _pick(log, shown));
                shown = _show(purchase.outcome, events[j], purchase.position);
                try evidence.proveReversal(escrow, _t(id), size, _pick(log, shown)) {} catch {}
            }
            assertEq(escrow.reversedOf(id, purchase.outcome), _lost(purchase), "proven");
            uint256 left = entries[purchase.outcome].value - _lost(purchase);
            assertEq(escrow.claimOf(id, key).amount, left, "claimed");
        }
    }

    function _isDropped(bytes32 id, uint64 size, bytes32 key, bytes32 kind, Exhibit[] memory shown)
        private
        returns (bool)
    {
        try evidence.refute(escrow, _t(id), key, kind, size, shown, _rivals(_otherThan(id))) {
            return true;
        } catch {
            return false;
        }
    }

    function _otherThan(bytes32 id) private pure returns (bytes32) {
        return id == MINE ? RIVAL : MINE;
    }

    function _wholeLog() private view returns (Exhibit[] memory) {
        uint256[] memory all = new uint256[](entries.length);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = i;
        }
        return _exhibits(all);
    }

    // ------------------------------------------------------------ tests

    function testFuzz_honest_nothingIsDisproved(uint256 seed) public {
        vm.pauseGasMetering();
        _live(seed);
        assertEq(_tryEverything(), 0, "an honest entry was disproved");
    }

    function testFuzz_honest_noClaimIsDroppedThatIsOwed(uint256 seed) public {
        vm.pauseGasMetering();
        _live(seed);
        assertEq(_tryClaims(), 0, "what is owed was refuted");
    }

    function testFuzz_honest_noLaterVisitOfALeadIsPaidThatCountsOnce(uint256 seed) public {
        vm.pauseGasMetering();
        _live(seed);
        _tryLaterVisits();
    }

    function testFuzz_honest_eventsTakeBackWhatTheReversalsDo(uint256 seed) public {
        vm.pauseGasMetering();
        _live(seed);
        _tryEvents();
    }

    /// So that the test above is about something: there are outcomes and reversals, and where one
    /// entry of them is bent, the same tries find it.
    function test_honest_theSameTriesFindLies() public {
        vm.pauseGasMetering();
        (uint256 outcomesSeen, uint256 reversalsSeen, uint256 laterSeen, uint256 lies) =
            (0, 0, 0, 0);
        for (uint256 seed = 0; seed < 24; ++seed) {
            uint256 snapshot = vm.snapshotState();
            _live(seed);
            (uint256 outcomes_, uint256 reversals_) = (paid.length, reversed.length);
            uint256 honest = vm.snapshotState();
            laterSeen += _tryLaterVisits();
            vm.revertToState(honest); // also what is anchored
            uint256 found;
            if (outcomes_ != 0) {
                uint256 bent = paid[_roll(outcomes_)];
                entries[bent].timeMs += 1;
                _rebuild();
                found = _tryEverything();
            }
            vm.revertToState(snapshot);
            outcomesSeen += outcomes_;
            reversalsSeen += reversals_;
            if (found != 0) ++lies;
        }
        assertGt(outcomesSeen, 30, "outcomes");
        assertGt(reversalsSeen, 3, "reversals");
        assertGt(laterSeen, 12, "later visits");
        assertGt(lies, 12, "lies");
    }
}
