// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "./Fixture.sol";
import {LogBook} from "./LogBook.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {EventOpening, Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A verifier and a publisher that write a lie of each kind together and settle it in the real
/// escrow, and the entries that show it.
abstract contract Lies is Fixture, LogBook {
    uint256 internal constant KINDS = 13;

    Account internal bob = makeAccount("bob");
    Evidence internal evidence;
    bytes32 internal mine;
    bytes32 internal rival;
    uint256 internal rivalOpened; // positions
    uint256 internal mineOpened;

    function setUp() public virtual override {
        super.setUp();
        evidence = Evidence(escrow.evidence());
        (book, base) = (tree, tree.size());
    }

    /// Before a statement is anchored.
    function _beforeAnchor() internal virtual {}

    function _deal() internal view override returns (Terms memory) {
        return _terms();
    }

    function _termsOf(bytes32 id) internal view override returns (Terms memory) {
        return _t(id);
    }

    /// A contract of the operator, and before it the same deal with bob.
    function _begin(Terms memory terms) internal {
        Terms memory his = abi.decode(abi.encode(terms), (Terms)); // a copy
        his.operator = bob.addr;
        rivalOpened = book.size();
        rival = _enter(his, bob);
        mineOpened = book.size();
        mine = _enter(terms, operator);
    }

    function _enter(Terms memory terms, Account memory party) internal returns (bytes32 id) {
        id = _contractId(terms);
        _remember(id, terms);
        bytes memory a = _sign(owner, _ownerConsent(terms, 0));
        bytes memory b = _sign(party, _operatorConsent(terms));
        escrow.open(terms, _allowance(), a, b);
        Entry memory entry;
        entry.kind = "contract.opened";
        entry.surface = terms.surface;
        entry.actor = _word(terms.owner);
        entry.subject = id;
        entry.label = terms.outcome;
        entry.value = terms.budget;
        entry.timeMs = _ms(0);
        _write(entry);
    }

    /// The verifier's statement on all there is of my contract, all the way to the escrow.
    function _state() internal returns (uint256 position) {
        return _state(_settlementEntry(mine));
    }

    function _state(Entry memory statement) internal returns (uint256 position) {
        position = _write(statement);
        _settleAt(position);
    }

    /// Settles by the statement that was written at this position.
    function _settleAt(uint256 position) internal {
        Entry memory statement = entries[position - base];
        Batch memory batch;
        batch.group = _groupOf(_t(mine));
        batch.first = uint64(position);
        batch.entries = abi.encode(statement);
        batch.rules = _rulesOf(_list(statement));
        _beforeAnchor();
        batch.size = _publish();
        batch.proof = tree.runProof(position, 1, batch.size);
        batch.signature = _sign(verifier, _verifiedDigest(batch));
        _settle(batch);
    }

    /// Files the operator's claim, in the log as it is anchored by now.
    function _fileClaim(uint256 transition, uint256 touch) internal returns (bytes32) {
        (uint64 anchored,,) = eventLog.latest(logId);
        uint64 size = anchored == tree.size() ? anchored : _publish();
        (Exhibit memory a, Exhibit memory b) = (_exhibit(transition), _exhibit(touch));
        vm.prank(operator.addr);
        return evidence.claim(escrow, _t(mine), size, a, b);
    }

    /// Writes the lie of this kind and has it settled. Returns the entries that show it.
    function _lie(uint256 number) internal returns (bytes32 kind, uint256[] memory shown) {
        if (number == 0) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 first = _outcome(mine, _transition(200), touch);
            uint256 again = _outcome(mine, _transition(300), touch);
            (kind, shown) = ("duplicate", _show(again, first));
        } else if (number == 1) {
            uint256 touch = _touch(operator.addr, 100);
            Entry memory entered = _transitionEntry(LEAD, 200);
            entered.label = "trial";
            uint256 transition = _write(entered);
            uint256 outcome = _outcome(mine, transition, touch);
            (kind, shown) = ("transition", _show(outcome, transition));
        } else if (number == 2) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 outcome = _outcome(mine, _transition(7 days + 101), touch);
            (kind, shown) = ("touch", _show(outcome, touch));
        } else if (number == 3) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 last = _touch(operator.addr, 200);
            uint256 outcome = _outcome(mine, _transition(300), touch);
            (kind, shown) = ("touch_order", _show(outcome, last));
        } else if (number == 4) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 his = _touch(bob.addr, 200);
            uint256 transition = _transition(300);
            uint256 outcome = _outcome(mine, transition, touch);
            (kind, shown) = ("rival", _show(outcome, his, rivalOpened, transition));
        } else if (number == 5) {
            uint256 outcome = _outcome(mine, _transition(300), _touch(operator.addr, 100));
            outcomes[mine].sum *= 10;
            (kind, shown) = ("sum", _show(_state(), outcome));
            return (kind, shown);
        } else if (number == 6) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 taken = _outcome(mine, _transition(200), touch);
            touch = _write(_touchEntry(operator.addr, OTHER_LEAD, 250));
            _outcome(mine, _write(_transitionEntry(OTHER_LEAD, 300)), touch);
            uint256 reversal = _reversal(mine, taken, _refund(13 days));
            (kind, shown) = ("reversal", _show(reversal, taken));
        } else if (number == 7) {
            uint256 touch = _touch(operator.addr, 100);
            uint256 old = _write(_touchEntry(bob.addr, OTHER_LEAD, 99));
            _outcome(mine, _transition(200), touch);
            (kind, shown) = ("clock", _show(old, touch));
        } else if (number == 8) {
            // The click happened before its code was issued.
            uint256 code = _write(_codeEntry(operator.addr, 100));
            uint256 click = _write(_reportedEntry(code, LEAD, 50, 200));
            uint256 outcome = _outcome(mine, _transition(300), click);
            (kind, shown) = ("cause", _show(outcome, click, code));
        } else if (number == 9) {
            // The transition is said to be of a lead that was counted before.
            uint256 touch = _touch(operator.addr, 100);
            uint256 his = _touch(bob.addr, 200);
            counted[_visit(LEAD, _t(mine).outcome)] = touch;
            uint256 transition = _transition(300);
            uint256 outcome = _outcome(mine, transition, touch);
            (kind, shown) = ("rival", _show(_show(outcome, his, rivalOpened, transition), touch));
        } else if (number < 12) {
            (kind, shown) = _lieAboutARefund(number == 10);
        } else {
            // One is paid, and the other, for which there is room as well, is not.
            uint256 touch = _touch(operator.addr, 100);
            _outcome(mine, _transition(200), touch);
            touch = _write(_touchEntry(operator.addr, OTHER_LEAD, 250));
            uint256 transition = _write(_transitionEntry(OTHER_LEAD, 300));
            Running memory before = outcomes[mine];
            Entry memory over = _outcomeEntry(mine, transition, touch);
            outcomes[mine] = before;
            over.kind = "outcome.over";
            over.payload = _link(transition, touch, 0, 0, 0);
            uint256 position = _write(over);
            (kind, shown) = ("sum", _show(_state(), position));
            return (kind, shown);
        }
        _state();
    }

    /// A part of an order was given back, and all of it is taken back; or of another order.
    function _lieAboutARefund(bool isTooMuch)
        private
        returns (bytes32 kind, uint256[] memory shown)
    {
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _write(_purchaseEntry(LEAD, 200, 5000, "order"));
        uint256 taken = _outcome(mine, transition, touch);
        touch = _write(_touchEntry(operator.addr, OTHER_LEAD, 250));
        _outcome(mine, _write(_transitionEntry(OTHER_LEAD, 300)), touch);

        Entry memory refund = _orderRefundEntry(transition, 200, isTooMuch ? 1000 : 0);
        EventOpening memory said = abi.decode(openings[refund.payload], (EventOpening));
        if (!isTooMuch) said.order = "another";
        refund.payload = _commitEvent(refund, said);
        uint256 happened = _write(refund);
        delete openings[refund.payload]; // so that the log book takes all
        uint256 reversal = _reversal(mine, taken, happened);
        _commitEvent(refund, said);
        return isTooMuch
            ? (bytes32("reversal"), _show(reversal, happened, taken, transition))
            : (bytes32("reversal"), _show(reversal, happened, transition));
    }

    function _disprove(bytes32 kind, uint256[] memory positions) internal {
        uint64 size = uint64(tree.size());
        Exhibit[] memory shown = _exhibits(positions);
        vm.prank(stranger);
        evidence.disprove(escrow, _t(mine), kind, size, shown, _rivals(rival));
    }
}
