// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestTree} from "./TestTree.sol";
import {Exhibit, Opening} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A log that is written entry by entry, honestly unless a test bends an entry before it writes it.
abstract contract LogBook {
    bytes32 internal constant LEAD = keccak256("lead x");
    bytes32 internal constant OTHER_LEAD = keccak256("lead y");
    bytes32 internal constant REQUEST = keccak256("request");
    bytes32 internal constant COMMITMENT = keccak256("commitment");
    uint256 private constant EPOCH = 1_800_000_000;

    /// The last state of a contract's entries of a kind, which the next one continues.
    struct Running {
        uint256 last;
        uint256 n;
        uint256 sum;
    }

    TestTree internal book;
    uint256 internal base; //    entries that the tree began with
    Entry[] internal entries; // by position, from `base` on
    Opening internal opening; // of the last transition
    mapping(bytes32 => Running) internal outcomes; //  by contract
    mapping(bytes32 => Running) internal reversals; // by contract
    mapping(bytes32 => uint256) internal lastTouch; // by operator and lead: 1 + position
    mapping(bytes32 => uint256) internal visits; //    by lead
    uint256 private clockMs; // of the latest touch or opening

    /// The terms of a contract in the escrow.
    function _termsOf(bytes32 id) internal view virtual returns (Terms memory);

    /// The deal in which touches, transitions and events are written.
    function _deal() internal view virtual returns (Terms memory);

    /// The time of an entry, seconds after START.
    function _ms(uint256 afterS) internal pure returns (uint256) {
        return (EPOCH + afterS) * 1000;
    }

    function _word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    // ------------------------------------------------------------ the log

    function _write(Entry memory entry) internal returns (uint256 position) {
        bool isOwnTime = entry.kind == "touch" || entry.kind == "contract.opened";
        if (isOwnTime && entry.timeMs > clockMs) clockMs = entry.timeMs;
        entries.push(entry);
        position = book.append(abi.encode(entry));
    }

    function _touch(address operator, uint256 afterS) internal returns (uint256) {
        return _write(_touchEntry(operator, LEAD, afterS));
    }

    function _touchEntry(address operator, bytes32 lead, uint256 afterS)
        internal
        returns (Entry memory entry)
    {
        bytes32 trail = keccak256(abi.encode(operator, lead));
        entry.kind = "touch";
        entry.surface = _deal().surface;
        entry.actor = _word(operator);
        entry.subject = lead;
        entry.label = "email";
        entry.value = lastTouch[trail];
        entry.timeMs = _ms(afterS);
        entry.payload = keccak256("touch opening");
        lastTouch[trail] = 1 + book.size();
    }

    function _transition(uint256 afterS) internal returns (uint256) {
        return _write(_transitionEntry(LEAD, afterS));
    }

    function _transitionEntry(bytes32 lead, uint256 afterS) internal returns (Entry memory entry) {
        opening = Opening("trial", ++visits[lead], _ms(afterS), REQUEST, COMMITMENT);
        entry.kind = "lead.transition";
        entry.surface = _deal().surface;
        entry.actor = _word(_deal().owner);
        entry.subject = lead;
        entry.label = _deal().outcome;
        entry.value = 5000;
        entry.timeMs = _ms(afterS);
        entry.payload = sha256(abi.encode(opening));
    }

    function _outcome(bytes32 id, uint256 transition, uint256 touch) internal returns (uint256) {
        return _write(_outcomeEntry(id, transition, touch));
    }

    /// The contract's next outcome, as its terms and the named transition give it.
    function _outcomeEntry(bytes32 id, uint256 transition, uint256 touch)
        internal
        returns (Entry memory entry)
    {
        Terms memory terms = _termsOf(id);
        entry.kind = "outcome";
        entry.surface = _deal().surface;
        entry.actor = id;
        entry.subject = entries[transition - base].subject;
        entry.label = terms.outcome;
        entry.value =
            terms.unitPrice + entries[transition - base].value * terms.revenueShareBps / 10_000;
        entry.timeMs = entries[transition - base].timeMs;
        entry.payload = _next(outcomes[id], transition, touch, entry.value);
    }

    function _refund(uint256 afterS) internal returns (uint256) {
        return _write(_refundEntry(LEAD, afterS));
    }

    function _refundEntry(bytes32 lead, uint256 afterS) internal view returns (Entry memory entry) {
        entry.kind = "product.event";
        entry.surface = _deal().surface;
        entry.actor = _word(_deal().owner);
        entry.subject = lead;
        entry.label = "refund";
        entry.timeMs = _ms(afterS);
        entry.payload = sha256(abi.encode(Opening("", 0, _ms(afterS), REQUEST, COMMITMENT)));
    }

    function _reversal(bytes32 id, uint256 outcome, uint256 happened) internal returns (uint256) {
        return _write(_reversalEntry(id, outcome, happened));
    }

    function _reversalEntry(bytes32 id, uint256 outcome, uint256 happened)
        internal
        returns (Entry memory entry)
    {
        entry = abi.decode(abi.encode(entries[outcome - base]), (Entry));
        entry.kind = "outcome.reversed";
        entry.timeMs = entries[happened - base].timeMs;
        entry.payload = _next(reversals[id], outcome, happened, entry.value);
    }

    function _next(Running storage running, uint256 target, uint256 cause, uint256 value)
        private
        returns (bytes32 payload)
    {
        running.sum += value;
        running.n += 1;
        payload = _link(target, cause, running.last, running.n, running.sum);
        running.last = book.size();
    }

    function _link(uint256 target, uint256 cause, uint256 prev, uint256 n, uint256 sum)
        internal
        pure
        returns (bytes32)
    {
        return bytes32(target << 216 | cause << 176 | prev << 136 | n << 96 | sum << 16);
    }

    function _settlementEntry(bytes32 id) internal view returns (Entry memory entry) {
        Running memory earned = outcomes[id];
        Running memory taken = reversals[id];
        entry.kind = "settlement";
        entry.surface = _deal().surface;
        entry.actor = _word(_deal().verifier);
        entry.subject = id;
        entry.label = _deal().outcome;
        entry.value = earned.sum - taken.sum;
        entry.timeMs = clockMs;
        entry.payload =
            bytes32(earned.sum << 176 | taken.sum << 96 | earned.last << 48 | taken.last);
    }

    // ------------------------------------------------------------ showing it

    function _exhibit(uint256 position) internal view returns (Exhibit memory) {
        return Exhibit(
            uint64(position),
            abi.encode(entries[position - base]),
            book.inclusionProof(position, book.size())
        );
    }

    function _exhibits(uint256[] memory positions) internal view returns (Exhibit[] memory shown) {
        shown = new Exhibit[](positions.length);
        for (uint256 i = 0; i < positions.length; ++i) {
            shown[i] = _exhibit(positions[i]);
        }
    }

    function _show(uint256 a) internal pure returns (uint256[] memory list) {
        list = new uint256[](1);
        list[0] = a;
    }

    function _show(uint256 a, uint256 b) internal pure returns (uint256[] memory list) {
        list = new uint256[](2);
        (list[0], list[1]) = (a, b);
    }

    function _show(uint256 a, uint256 b, uint256 c) internal pure returns (uint256[] memory list) {
        list = new uint256[](3);
        (list[0], list[1], list[2]) = (a, b, c);
    }

    function _show(uint256 a, uint256 b, uint256 c, uint256 d)
        internal
        pure
        returns (uint256[] memory list)
    {
        list = new uint256[](4);
        (list[0], list[1], list[2], list[3]) = (a, b, c, d);
    }
}
