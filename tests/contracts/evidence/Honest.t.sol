// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceFixture} from "../support/EvidenceFixture.sol";
import {Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Logs that are written by the rules, whatever happens in them, and strangers that show whatever
/// they like: nothing is disproved. The rules of attribution are written down here once more,
/// plainly and over the whole history.
/// forge-config: default.fuzz.runs = 32
/// forge-config: deep.fuzz.runs = 300
contract HonestTest is EvidenceFixture {
    uint256 private constant STEPS = 18;
    uint256 private constant TRIES = 24; //  a kind and a contract
    uint8 private constant FIRST = 0;

    bytes32[2] private contracts = [RIVAL, MINE]; // in the order of opening
    bytes32[6] private kinds =
        [bytes32("duplicate"), "transition", "touch", "sum", "reversal", "clock"];
    mapping(bytes32 id => mapping(bytes32 lead => bool)) private counted;
    mapping(bytes32 id => uint256 position) private openedAt;
    mapping(uint256 transition => Opening) private openings;
    mapping(uint256 outcome => bool) private isReversed;
    mapping(bytes32 id => uint256[]) private told; // what may be accused
    uint256[] private touches;
    uint256[] private paid;
    uint256 private reversed;
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
            uint256 what = _roll(8);
            // What the product reports may have happened a while ago.
            uint256 happenedS = nowS - _roll(nowS < 8 hours ? nowS : 8 hours);
            if (what < 4) touches.push(_write(_touchEntry(what < 2 ? ann : bob, lead, nowS)));
            else if (what < 7) _enterState(lead, happenedS);
            else _takeBack(lead, _write(_refundEntry(lead, happenedS)));
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

    function _enterState(bytes32 lead, uint256 happenedS) private {
        uint256 transition = _write(_transitionEntry(lead, happenedS));
        openings[transition] = opening;
        (bytes32 id, uint256 touch) = _winner(lead, _ms(happenedS));
        if (id == 0) return;
        counted[id][lead] = true;
        Entry memory entry;
        uint256 sum = outcomes[id].sum - reversals[id].sum;
        Terms memory terms = _termsOf(id);
        if (sum + terms.unitPrice + 5000 * uint256(terms.revenueShareBps) / 10_000 > terms.budget) {
            Running memory before = outcomes[id];
            entry = _outcomeEntry(id, transition, touch);
            outcomes[id] = before;
            entry.kind = "outcome.over";
            entry.payload = _link(transition, touch, 0, 0, 0);
            told[id].push(_write(entry));
            return;
        }
        uint256 outcome = _outcome(id, transition, touch);
        paid.push(outcome);
        told[id].push(outcome);
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
            if (!terms.repeatable && counted[contracts[i]][lead]) continue;
            uint256 own = _ownTouch(terms, lead, timeMs);
            if (own == 0) continue;
            if (timeMs - entries[own].timeMs > terms.attributionWindow * 1000) continue;
            bool isBetter = terms.attribution == FIRST ? own < touch : own > touch;
            if (touch == 0 || isBetter) (id, touch) = (contracts[i], own);
        }
    }

    /// The operator's first or last counting touch; zero if there is none.
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
            own = touches[i];
            if (terms.attribution == FIRST) return own;
        }
    }

    /// The lead's last outcome that stands, if its time is not over.
    function _takeBack(bytes32 lead, uint256 happened) private {
        for (uint256 i = paid.length; i != 0; --i) {
            Entry memory outcome = entries[paid[i - 1]];
            if (outcome.subject != lead || isReversed[paid[i - 1]]) continue;
            uint256 until = outcome.timeMs + _termsOf(outcome.actor).holdbackPeriod * 1000;
            if (entries[happened].timeMs > until) return;
            isReversed[paid[i - 1]] = true;
            told[outcome.actor].push(_reversal(outcome.actor, paid[i - 1], happened));
            ++reversed;
            return;
        }
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
            for (uint256 j = 0; j < 2 * touches.length; ++j) {
                Exhibit[] memory shown = _beaten(log, paid[i], touches[j / 2], j % 2 == 0);
                if (_isDisproved(size, "touch_order", shown)) ++lies;
                if (_isDisproved(size, "rival", shown)) ++lies;
            }
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
        Opening memory first = openings[_transitionOf(accused)];
        try evidence.disprove(escrow, id, kind, size, shown, _otherThan(id), first) {
            return true;
        } catch {
            return false;
        }
    }

    /// One to four entries, the second often one that the accused entry names.
    function _some(Exhibit[] memory log, uint256 accused) private returns (Exhibit[] memory shown) {
        shown = new Exhibit[](1 + _roll(4));
        for (uint256 i = 0; i < shown.length; ++i) {
            shown[i] = log[_roll(log.length)];
        }
        shown[0] = log[accused];
        uint256 payload = uint256(entries[accused].payload);
        uint256 named = payload >> (216 - 40 * _roll(3)) & type(uint40).max;
        if (shown.length > 1 && named < log.length && _roll(3) != 0) shown[1] = log[named];
    }

    /// The outcome, a touch that may beat it, the other contract's opening, and what else may be
    /// needed: the touch before, or the transition.
    function _beaten(Exhibit[] memory log, uint256 outcome, uint256 touch, bool withBefore)
        private
        view
        returns (Exhibit[] memory shown)
    {
        shown = new Exhibit[](4);
        shown[0] = log[outcome];
        shown[1] = log[touch];
        shown[2] = log[openedAt[_otherThan(entries[outcome].actor)]];
        uint256 before = entries[touch].value; // 1 + position
        shown[3] = log[withBefore && before != 0 ? before - 1 : _transitionOf(outcome)];
    }

    /// As if the verifier had been silent: the operators claim what the log gives them, and strangers
    /// try to have the claims dropped. Returns how many they got.
    function _tryClaims() private returns (uint256 dropped) {
        uint64 size = _size();
        Exhibit[] memory log = _wholeLog();
        for (uint256 i = 0; i < paid.length; ++i) {
            bytes32 key = _claim(size, log, paid[i]);
            for (uint256 j = 0; j < 2 * touches.length; ++j) {
                Exhibit[] memory shown = _beaten(log, paid[i], touches[j / 2], j % 2 == 0);
                if (_isRefuted(size, key, "touch_order", shown)) ++dropped;
                if (_isRefuted(size, key, "rival", shown)) ++dropped;
            }
            dropped += _tryGifts(size, key, log, paid[i]);
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
        key = evidence.claim(escrow, outcome.actor, size, log[_transitionOf(position)], log[touch]);
        assertEq(escrow.claimOf(outcome.actor, key).amount, outcome.value);
    }

    /// By the same exhibits without the outcome.
    function _isRefuted(uint64 size, bytes32 key, bytes32 kind, Exhibit[] memory shown)
        private
        returns (bool)
    {
        uint256 outcome = shown[0].position;
        bytes32 id = entries[outcome].actor;
        Exhibit[] memory tail = new Exhibit[](3);
        (tail[0], tail[1], tail[2]) = (shown[1], shown[2], shown[3]);
        opening = openings[_transitionOf(outcome)];
        return _isDropped(id, size, key, kind, tail);
    }

    function _isDropped(bytes32 id, uint64 size, bytes32 key, bytes32 kind, Exhibit[] memory shown)
        private
        returns (bool)
    {
        try evidence.refute(escrow, id, key, kind, size, shown, _otherThan(id)) {
            return true;
        } catch {
            return false;
        }
    }

    function _otherThan(bytes32 id) private pure returns (bytes32) {
        return id == MINE ? RIVAL : MINE;
    }

    function _transitionOf(uint256 outcome) private view returns (uint256) {
        return uint256(entries[outcome].payload) >> 216;
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

    /// So that the test above is about something: there are outcomes and reversals, and where one
    /// entry of them is bent, the same tries find it.
    function test_honest_theSameTriesFindLies() public {
        vm.pauseGasMetering();
        (uint256 outcomesSeen, uint256 reversalsSeen, uint256 lies) = (0, 0, 0);
        for (uint256 seed = 0; seed < 24; ++seed) {
            uint256 snapshot = vm.snapshotState();
            _live(seed);
            (uint256 outcomes_, uint256 reversals_) = (paid.length, reversed);
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
        assertGt(lies, 12, "lies");
    }
}
