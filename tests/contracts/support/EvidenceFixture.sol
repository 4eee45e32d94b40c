// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceTargetDouble} from "./EvidenceTargetDouble.sol";
import {LogBook} from "./LogBook.sol";
import {TermsById} from "./TermsById.sol";
import {TestTree} from "./TestTree.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {Test} from "forge-std/Test.sol";

/// A log, an escrow's double, and two contracts of one owner that compete: MINE of ann, RIVAL of
/// bob.
abstract contract EvidenceFixture is Test, TermsById, LogBook {
    uint64 internal constant START = 1_800_000_000;
    uint256 internal constant PRICE = 8e6;
    bytes32 internal constant MINE = keccak256("mine");
    bytes32 internal constant RIVAL = keccak256("rival");

    address internal owner = makeAddr("owner");
    address internal ann = makeAddr("ann");
    address internal bob = makeAddr("bob");
    address internal verifier = makeAddr("verifier");
    address internal publisher = makeAddr("publisher");
    address internal stranger = makeAddr("stranger");

    EventLog internal eventLog;
    EvidenceTargetDouble internal escrow;
    Evidence internal evidence;
    bytes32 internal logId;

    function setUp() public virtual {
        vm.warp(START);
        eventLog = new EventLog();
        book = new TestTree(0);
        escrow = new EvidenceTargetDouble(eventLog);
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

    function _deal() internal view override returns (Terms memory) {
        return _terms();
    }

    function _termsOf(bytes32 id) internal view override returns (Terms memory) {
        return _t(id);
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

    /// The double knows a contract by its salt.
    function _openInEscrow(bytes32 id, Terms memory terms) internal {
        terms.salt = id;
        _remember(id, terms);
        escrow.open(terms);
    }

    /// In the escrow, and then in the log.
    function _openContract(bytes32 id, Terms memory terms) internal returns (uint256) {
        _openInEscrow(id, terms);
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

    // ------------------------------------------------------------ the log

    /// The log as if it had been written with `entries` as they are now.
    function _rebuild() internal {
        book = new TestTree(0);
        for (uint256 i = 0; i < entries.length; ++i) {
            book.append(abi.encode(entries[i]));
        }
    }

    /// The verifier's final statement on all there is.
    function _state(bytes32 id) internal returns (uint256 position) {
        position = _write(_settlementEntry(id));
        escrow.state(id, position, position);
    }

    // ------------------------------------------------------------ showing it

    function _size() internal returns (uint64 size) {
        size = uint64(book.size());
        (uint64 last,,) = eventLog.latest(logId);
        if (last == size) return size;
        bytes32[] memory proof = book.consistencyProof(last, size);
        bytes32 root = book.root(size);
        vm.prank(publisher);
        eventLog.publish(logId, size, root, proof);
    }

    /// A stranger shows these entries.
    function _disprove(bytes32 kind, uint256[] memory positions) internal {
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(positions);
        vm.prank(stranger);
        evidence.disprove(escrow, _t(MINE), kind, size, shown, _rivals(RIVAL));
    }

    function _proves(bytes32 kind, uint256[] memory positions) internal {
        _disprove(kind, positions);
        assertEq(escrow.retiredFor(MINE), kind);
    }

    function _provesNothing(bytes32 kind, uint256[] memory positions) internal {
        _refuses(abi.encodeWithSelector(Evidence.NoContradiction.selector, kind), kind, positions);
    }

    /// Leaves nothing behind, not even the anchor: the test may bend the log afterwards.
    function _refuses(bytes memory reason, bytes32 kind, uint256[] memory positions) internal {
        uint256 snapshot = vm.snapshotState();
        uint64 size = _size();
        Exhibit[] memory shown = _exhibits(positions);
        vm.prank(stranger);
        vm.expectRevert(reason);
        evidence.disprove(escrow, _t(MINE), kind, size, shown, _rivals(RIVAL));
        assertEq(escrow.retiredFor(MINE), 0);
        vm.revertToStateAndDelete(snapshot);
    }
}
