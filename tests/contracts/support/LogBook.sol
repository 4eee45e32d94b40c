// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestTree} from "./TestTree.sol";
import {
    CodeOpening,
    EventOpening,
    Exhibit,
    ReportedTouchOpening,
    TransitionOpening
} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A log that is written entry by entry, honestly unless a test bends an entry before it writes it.
abstract contract LogBook {
    bytes32 internal constant LEAD = keccak256("lead x");
    bytes32 internal constant OTHER_LEAD = keccak256("lead y");
    bytes32 internal constant REQUEST = keccak256("request");
    bytes32 internal constant COMMITMENT = keccak256("commitment");
    bytes32 internal constant NO_ORDER = 0;
    bytes32 internal constant NO_KEY = 0;
    uint256 internal constant CODE_S = 5000; // a code's life
    uint256 private constant EVENT_BYTES = 9 * 32;
    uint256 private constant EPOCH = 1_800_000_000;

    /// The last state of a contract's entries of a kind, which the next one continues.
    struct Running {
        uint256 last;
        uint256 n;
        uint256 sum;
    }

    /// What was taken back from a transition, and by which event last.
    struct Refunded {
        uint256 last;
        uint256 units;
    }

    TestTree internal book;
    uint256 internal base; //    entries that the tree began with
    Entry[] internal entries; // by position, from `base` on
    mapping(bytes32 payload => bytes) internal openings;
    mapping(bytes32 => Running) internal outcomes; //  by contract
    mapping(bytes32 => Running) internal reversals; // by contract
    mapping(bytes32 => uint256) internal lastTouch; // by operator and lead: 1 + position
    mapping(bytes32 => uint256) internal counted; //   by lead and state: its last outcome's position
    mapping(uint256 => Refunded) internal refunds; //  by transition
    mapping(bytes32 => uint256[]) private paidFor; //  by lead: positions of paid outcomes
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
        bool isOwnTime = entry.kind == "touch" || entry.kind == "contract.opened"
            || entry.kind == "action.requested" || entry.kind == "code.issued";
        if (isOwnTime && entry.timeMs > clockMs) clockMs = entry.timeMs;
        entries.push(entry);
        position = book.append(abi.encode(entry));
        if (entry.kind == "outcome" || entry.kind == "outcome.over") {
            counted[_visit(entry.subject, entry.label)] = position;
        }
        if (entry.kind == "outcome") paidFor[entry.subject].push(position);
        if (entry.kind == "product.event" && openings[entry.payload].length == EVENT_BYTES) {
            EventOpening memory said = _eventOpening(position);
            if (said.purchase != 0) {
                refunds[said.purchase] = Refunded(position, said.refundedAfter);
            }
        }
    }

    function _visit(bytes32 lead, bytes32 state) internal pure returns (bytes32) {
        return keccak256(abi.encode(lead, state));
    }

    /// The payload that commits to these words.
    function _commit(bytes memory opening) internal returns (bytes32 payload) {
        payload = sha256(opening);
        openings[payload] = opening;
    }

    function _transitionOpening(uint256 position) internal view returns (TransitionOpening memory) {
        return abi.decode(openings[entries[position - base].payload], (TransitionOpening));
    }

    function _eventOpening(uint256 position) internal view returns (EventOpening memory) {
        return abi.decode(openings[entries[position - base].payload], (EventOpening));
    }

    function _targetOf(uint256 outcome) internal view returns (uint256) {
        return uint256(entries[outcome - base].payload) >> 216;
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

    /// A code of this operator, with which leads click.
    function _codeEntry(address operator, uint256 afterS) internal returns (Entry memory entry) {
        entry.kind = "code.issued";
        entry.surface = _deal().surface;
        entry.actor = _word(operator);
        entry.subject = "code";
        entry.label = "click";
        entry.value = 1000;
        entry.timeMs = _ms(afterS);
        entry.payload =
            _commit(abi.encode(CodeOpening(_ms(afterS + CODE_S), REQUEST, COMMITMENT, NO_KEY)));
    }

    /// The end of a code that was issued at a position.
    function _codeEndEntry(uint256 code, uint256 afterS)
        internal
        view
        returns (Entry memory entry)
    {
        entry = entries[code - base];
        entry.kind = "code.ended";
        entry.label = "spam";
        entry.value = 0;
        entry.timeMs = _ms(afterS);
        entry.payload = 0;
    }

    /// An action that the operator asks of the owner.
    function _requestEntry(address operator, bytes32 lead, uint256 afterS)
        internal
        view
        returns (Entry memory entry)
    {
        entry.kind = "action.requested";
        entry.surface = _deal().surface;
        entry.actor = _word(operator);
        entry.subject = lead;
        entry.label = "discount";
        entry.value = _ms(afterS + 1 days);
        entry.timeMs = _ms(afterS);
        entry.payload = keccak256("request opening");
    }

    /// A touch by a code or a request, received at this time.
    function _reportedEntry(uint256 cause, bytes32 lead, uint256 afterS, uint256 receivedS)
        internal
        returns (Entry memory entry)
    {
        Entry memory from = entries[cause - base];
        entry = _touchEntry(address(uint160(uint256(from.actor))), lead, afterS);
        entry.kind = "touch.reported";
        entry.label = from.label;
        entry.payload =
            _commit(abi.encode(ReportedTouchOpening(cause, _ms(receivedS), REQUEST, COMMITMENT)));
    }

    function _transition(uint256 afterS) internal returns (uint256) {
        return _write(_transitionEntry(LEAD, afterS));
    }

    function _transitionEntry(bytes32 lead, uint256 afterS) internal returns (Entry memory) {
        return _purchaseEntry(lead, afterS, 5000, NO_ORDER);
    }

    function _purchaseEntry(bytes32 lead, uint256 afterS, uint256 value, bytes32 order)
        internal
        returns (Entry memory entry)
    {
        entry.kind = "lead.transition";
        entry.surface = _deal().surface;
        entry.actor = _word(_deal().owner);
        entry.subject = lead;
        entry.label = _deal().outcome;
        entry.value = value;
        entry.timeMs = _ms(afterS);
        entry.payload = _commit(
            abi.encode(
                TransitionOpening(
                    "trial",
                    counted[_visit(lead, entry.label)],
                    _ms(afterS),
                    order,
                    REQUEST,
                    COMMITMENT
                )
            )
        );
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

    /// A refund without an order: it takes all that is left of the lead's latest outcome of which
    /// something is left, unless that is too old.
    function _refundEntry(bytes32 lead, uint256 afterS) internal returns (Entry memory entry) {
        entry = _eventEntry(lead, afterS);
        EventOpening memory said;
        uint256[] storage paid = paidFor[lead];
        for (uint256 i = paid.length; i != 0; --i) {
            if (_leftOf(paid[i - 1]) == 0) continue;
            Entry memory outcome = entries[paid[i - 1] - base];
            uint256 periodS = _termsOf(outcome.actor).holdbackPeriod;
            if (entry.timeMs <= outcome.timeMs + 1000 * periodS) {
                said = _takingBack(_targetOf(paid[i - 1]));
                said.refundedAfter = entries[said.purchase - base].value;
                said.whole = 1;
            }
            break;
        }
        entry.payload = _commitEvent(entry, said);
    }

    /// A refund of this much of an order; of all that is left of it for zero.
    function _orderRefundEntry(uint256 purchase, uint256 afterS, uint256 units)
        internal
        returns (Entry memory entry)
    {
        entry = _eventEntry(entries[purchase - base].subject, afterS);
        entry.value = units;
        EventOpening memory said = _takingBack(purchase);
        said.order = _transitionOpening(purchase).order;
        uint256 left = entries[purchase - base].value - said.refundedBefore;
        said.whole = units == 0 ? 1 : 0;
        said.refundedAfter = said.refundedBefore + (units == 0 || units > left ? left : units);
        entry.payload = _commitEvent(entry, said);
    }

    function _eventEntry(bytes32 lead, uint256 afterS) internal view returns (Entry memory entry) {
        entry.kind = "product.event";
        entry.surface = _deal().surface;
        entry.actor = _word(_deal().owner);
        entry.subject = lead;
        entry.label = "refund";
        entry.timeMs = _ms(afterS);
    }

    function _takingBack(uint256 purchase) private view returns (EventOpening memory said) {
        said.purchase = purchase;
        (said.previous, said.refundedBefore) = (refunds[purchase].last, refunds[purchase].units);
    }

    function _commitEvent(Entry memory entry, EventOpening memory said) internal returns (bytes32) {
        said.receivedMs = entry.timeMs;
        (said.requestHash, said.commitment) = (REQUEST, COMMITMENT);
        return _commit(abi.encode(said));
    }

    /// What events have left of an outcome.
    function _leftOf(uint256 outcome) internal view returns (uint256) {
        uint256 purchase = _targetOf(outcome);
        if (refunds[purchase].last == 0) return entries[outcome - base].value;
        return entries[outcome - base].value - _taken(outcome, refunds[purchase].units);
    }

    /// What is taken back of an outcome once so much of its transition's value is.
    function _taken(uint256 outcome, uint256 units) internal view returns (uint256) {
        Entry memory entry = entries[outcome - base];
        if (units >= entries[_targetOf(outcome) - base].value) return entry.value;
        return units * _termsOf(entry.actor).revenueShareBps / 10_000;
    }

    function _reversal(bytes32 id, uint256 outcome, uint256 happened) internal returns (uint256) {
        return _write(_reversalEntry(id, outcome, happened));
    }

    /// The reversal of what the event takes back of the outcome; of all of it where the event says
    /// nothing of it.
    function _reversalEntry(bytes32 id, uint256 outcome, uint256 happened)
        internal
        returns (Entry memory entry)
    {
        entry = abi.decode(abi.encode(entries[outcome - base]), (Entry));
        entry.kind = "outcome.reversed";
        entry.timeMs = entries[happened - base].timeMs;
        if (openings[entries[happened - base].payload].length == EVENT_BYTES) {
            EventOpening memory said = _eventOpening(happened);
            if (said.purchase == _targetOf(outcome)) {
                entry.value = _taken(outcome, said.refundedAfter);
                if (said.previous != 0) entry.value -= _taken(outcome, said.refundedBefore);
            }
        }
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
        Entry memory entry = entries[position - base];
        return Exhibit(
            uint64(position),
            abi.encode(entry),
            openings[entry.payload],
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

    function _show(uint256[] memory first, uint256 next)
        internal
        pure
        returns (uint256[] memory list)
    {
        list = new uint256[](first.length + 1);
        for (uint256 i = 0; i < first.length; ++i) {
            list[i] = first[i];
        }
        list[first.length] = next;
    }
}
