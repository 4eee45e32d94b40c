// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestTree} from "../helpers/TestTree.sol";
import {CasesDouble} from "./CasesDouble.sol";
import {EventLog} from "contracts/EventLog.sol";
import {Evidence} from "contracts/Evidence.sol";
import {Exhibit, Opening} from "contracts/libraries/Case.sol";
import {Entry} from "contracts/libraries/MerkleLog.sol";
import {Terms} from "contracts/libraries/Terms.sol";
import {Test} from "forge-std/Test.sol";

/// A log that is written entry by entry, honestly unless a test bends an entry before it writes it,
/// and two contracts of one owner that compete: `mine` of ann, `rival` of bob.
abstract contract EvidenceFixture is Test {
    uint64 internal constant START = 1_800_000_000;
    uint256 internal constant PRICE = 8e6;
    bytes32 internal constant LEAD = "lead x";
    bytes32 internal constant OTHER_LEAD = "lead y";
    bytes32 internal constant MINE = keccak256("mine");
    bytes32 internal constant RIVAL = keccak256("rival");

    /// What a contract's next entry of a kind continues.
    struct Running {
        uint256 last;
        uint256 n;
        uint256 sum;
    }

    address internal owner = makeAddr("owner");
    address internal ann = makeAddr("ann");
    address internal bob = makeAddr("bob");
    address internal verifier = makeAddr("verifier");
    address internal publisher = makeAddr("publisher");
    address internal stranger = makeAddr("stranger");

    EventLog internal eventLog;
    TestTree internal tree;
    CasesDouble internal escrow;
    Evidence internal evidence;
    bytes32 internal logId;

    Entry[] internal entries; // by index
    Opening internal opening; // of the last transition
    mapping(bytes32 => Running) internal outcomes; //  by contract
    mapping(bytes32 => Running) internal reversals; // by contract
    mapping(bytes32 => uint256) internal lastTouch; // by operator and lead: 1 + index
    mapping(bytes32 => uint256) internal visits; // by lead

    function setUp() public virtual {
        vm.warp(START);
        eventLog = new EventLog();
        tree = new TestTree(0);
        escrow = new CasesDouble(eventLog);
        evidence = new Evidence();
        logId = eventLog.register("tallystick.example/evidence", publisher);
        Entry memory genesis;
        genesis.kind = "genesis";
        _write(genesis);
    }

    // ------------------------------------------------------------ the deal

    function _terms() internal view returns (Terms memory terms) {
        terms.owner = owner;
        terms.operator = ann;
        terms.verifier = verifier;
        terms.logId = logId;
        terms.surface = "surface";
        terms.policy = "policy";
        terms.attribution = 1;
        terms.outcome = "paid";
        terms.unitPrice = PRICE;
        terms.budget = 100 * PRICE;
        terms.opensAt = START;
        terms.deadline = START + 14 days;
        terms.attributionWindow = 7 days;
        terms.lateness = 1 days;
        terms.grace = 3 days;
        terms.holdbackPeriod = 2 days;
    }

    function _openBoth(Terms memory mine, Terms memory rival) internal {
        _openContract(RIVAL, rival);
        _openContract(MINE, mine);
    }

    /// `mine`, and the same deal with bob, which was opened first.
    function _openBoth(Terms memory mine) internal {
        Terms memory rival = abi.decode(abi.encode(mine), (Terms)); // a copy
        rival.operator = bob;
        _openBoth(mine, rival);
    }

    /// In the escrow, and then in the log.
    function _openContract(bytes32 id, Terms memory terms) internal returns (uint256) {
        escrow.open(id, terms);
        Entry memory entry;
        entry.kind = "contract.opened";
        entry.surface = terms.surface;
        entry.actor = _word(terms.owner);
        entry.subject = id;
        entry.label = terms.outcome;
        entry.value = terms.budget;
        entry.timeMs = _ms(0);
        return _write(entry);
    }

    /// The time of an entry, seconds after START.
    function _ms(uint256 afterS) internal pure returns (uint256) {
        return (START + afterS) * 1000;
    }

    function _word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    // ------------------------------------------------------------ the log

    function _write(Entry memory entry) internal returns (uint256 index) {
        entries.push(entry);
        index = tree.append(abi.encode(entry));
    }

    /// The log as if it had been written with `entries` as they are now.
    function _rebuild() internal {
        tree = new TestTree(0);
        for (uint256 i = 0; i < entries.length; ++i) {
            tree.append(abi.encode(entries[i]));
        }
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
        entry.surface = "surface";
        entry.actor = _word(operator);
        entry.subject = lead;
        entry.label = "email";
        entry.value = lastTouch[trail];
        entry.timeMs = _ms(afterS);
        entry.payload = keccak256("touch opening");
        lastTouch[trail] = 1 + entries.length;
    }

    function _transition(uint256 afterS) internal returns (uint256) {
        return _write(_transitionEntry(LEAD, afterS));
    }

    function _transitionEntry(bytes32 lead, uint256 afterS) internal returns (Entry memory entry) {
        opening = Opening("trial", ++visits[lead], _ms(afterS), "request", "commitment");
        entry.kind = "lead.transition";
        entry.surface = "surface";
        entry.actor = _word(owner);
        entry.subject = lead;
        entry.label = "paid";
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
        Terms memory terms = escrow.termsOf(id);
        entry.kind = "outcome";
        entry.surface = "surface";
        entry.actor = id;
        entry.subject = entries[transition].subject;
        entry.label = terms.outcome;
        entry.value = terms.unitPrice + entries[transition].value * terms.revenueShareBps / 10_000;
        entry.timeMs = entries[transition].timeMs;
        entry.payload = _next(outcomes[id], transition, touch, entry.value);
    }

    function _refund(uint256 afterS) internal returns (uint256) {
        return _write(_refundEntry(LEAD, afterS));
    }

    function _refundEntry(bytes32 lead, uint256 afterS) internal view returns (Entry memory entry) {
        entry.kind = "product.event";
        entry.surface = "surface";
        entry.actor = _word(owner);
        entry.subject = lead;
        entry.label = "refund";
        entry.timeMs = _ms(afterS);
        entry.payload = sha256(abi.encode(Opening("", 0, _ms(afterS), "request", "commitment")));
    }

    function _reversal(bytes32 id, uint256 outcome, uint256 happened) internal returns (uint256) {
        return _write(_reversalEntry(id, outcome, happened));
    }

    function _reversalEntry(bytes32 id, uint256 outcome, uint256 happened)
        internal
        returns (Entry memory entry)
    {
        entry = abi.decode(abi.encode(entries[outcome]), (Entry));
        entry.kind = "outcome.reversed";
        entry.timeMs = entries[happened].timeMs;
        entry.payload = _next(reversals[id], outcome, happened, entry.value);
    }

    function _next(Running storage running, uint256 target, uint256 cause, uint256 value)
        private
        returns (bytes32 payload)
    {
        running.sum += value;
        running.n += 1;
        payload = _link(target, cause, running.last, running.n, running.sum);
        running.last = entries.length;
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
        entry.surface = "surface";
        entry.actor = _word(verifier);
        entry.subject = id;
        entry.label = "paid";
        entry.value = earned.sum - taken.sum;
        entry.timeMs = _ms(10 days);
        entry.payload =
            bytes32(earned.sum << 176 | taken.sum << 96 | earned.last << 48 | taken.last);
    }

    /// The verifier's final statement on all there is.
    function _state(bytes32 id) internal returns (uint256 index) {
        index = _write(_settlementEntry(id));
        escrow.state(id, index, index);
    }

    // ------------------------------------------------------------ showing it

    function _size() internal returns (uint64 size) {
        size = uint64(tree.size());
        (uint64 last,,) = eventLog.latest(logId);
        if (last == size) return size;
        bytes32[] memory proof = tree.consistencyProof(last, size);
        bytes32 root = tree.root(size);
        vm.prank(publisher);
        eventLog.publish(logId, size, root, proof);
    }

    function _exhibit(uint256 index) internal view returns (Exhibit memory) {
        return
            Exhibit(
                uint64(index), abi.encode(entries[index]), tree.inclusionProof(index, tree.size())
            );
    }

    function _exhibits(uint256[] memory indexes) internal view returns (Exhibit[] memory shown) {
        shown = new Exhibit[](indexes.length);
        for (uint256 i = 0; i < indexes.length; ++i) {
            shown[i] = _exhibit(indexes[i]);
        }
    }

    /// A stranger shows these entries.
    function _disprove(bytes32 kind, uint256[] memory indexes) internal {
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(indexes);
        vm.prank(stranger);
        evidence.disprove(escrow, MINE, kind, size, shown, RIVAL, opening);
    }

    function _proves(bytes32 kind, uint256[] memory indexes) internal {
        _disprove(kind, indexes);
        assertEq(escrow.retiredFor(MINE), kind);
    }

    function _provesNothing(bytes32 kind, uint256[] memory indexes) internal {
        _refuses(abi.encodeWithSelector(Evidence.NoContradiction.selector, kind), kind, indexes);
    }

    function _refuses(bytes memory reason, bytes32 kind, uint256[] memory indexes) internal {
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(indexes);
        vm.prank(stranger);
        vm.expectRevert(reason);
        evidence.disprove(escrow, MINE, kind, size, shown, RIVAL, opening);
        assertEq(escrow.retiredFor(MINE), 0);
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
