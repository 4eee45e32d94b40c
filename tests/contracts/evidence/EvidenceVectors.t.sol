// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceTargetDouble} from "../support/EvidenceTargetDouble.sol";
import {TermsById} from "../support/TermsById.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Claim, Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {Reversals} from "contracts/evidence/Reversals.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {Test} from "forge-std/Test.sol";

/// The cases that Python judges too: both sides decide alike, and for the same reason.
contract EvidenceVectorsTest is Test, TermsById {
    struct Signed {
        uint256 closed_at_s;
        bytes32 contract_id;
        uint256 opening_number;
        bytes terms;
    }

    struct Disproof {
        bytes32 contract_id;
        bytes[] entries;
        string failure; // "error" in the file
        string kind;
        uint256 last_final;
        uint256 last_signed;
        string name;
        bytes[] openings;
        uint256[] positions;
        bytes32[][] proofs;
        bytes32 rival_id;
        bytes32 root;
        uint256 size;
    }

    struct Claimed {
        uint256 amount;
        bytes32 contract_id;
        bytes[] entries;
        string failure; // "error" in the file
        bytes32 key;
        string name;
        bytes[] openings;
        address operator;
        uint256[] positions;
        bytes32[][] proofs;
        bytes32 root;
        uint256 size;
    }

    struct Refutation {
        uint256 claim_amount;
        bytes32 claim_key;
        bytes32 claim_lead;
        uint256 claim_time_ms;
        uint256 claim_touch;
        uint256 claim_transition;
        bytes32 contract_id;
        bytes[] entries;
        string failure; // "error" in the file
        string kind;
        uint256 last_final;
        uint256 last_signed;
        uint256 left;
        string name;
        bytes[] openings;
        uint256[] positions;
        bytes32[][] proofs;
        bytes32 rival_id;
        uint256 rival_last_final;
        bytes32 root;
        uint256 size;
    }

    struct ProvenReversal {
        uint256 amount;
        bytes32 contract_id;
        bytes[] entries;
        string failure; // "error" in the file
        uint256 last_final;
        string name;
        bytes[] openings;
        uint256[] positions;
        bytes32[][] proofs;
        bytes32 root;
        uint256 size;
        uint256 sum;
    }

    string private constant SIGNED =
        "S(uint256 closed_at_s,bytes32 contract_id,uint256 opening_number,bytes terms)";
    string private constant DISPROOF =
        "D(bytes32 contract_id,bytes[] entries,string error,string kind,uint256 last_final,uint256 last_signed,string name,bytes[] openings,uint256[] positions,bytes32[][] proofs,bytes32 rival_id,bytes32 root,uint256 size)";
    string private constant CLAIMED =
        "C(uint256 amount,bytes32 contract_id,bytes[] entries,string error,bytes32 key,string name,bytes[] openings,address operator,uint256[] positions,bytes32[][] proofs,bytes32 root,uint256 size)";
    string private constant REFUTATION =
        "R(uint256 claim_amount,bytes32 claim_key,bytes32 claim_lead,uint256 claim_time_ms,uint256 claim_touch,uint256 claim_transition,bytes32 contract_id,bytes[] entries,string error,string kind,uint256 last_final,uint256 last_signed,uint256 left,string name,bytes[] openings,uint256[] positions,bytes32[][] proofs,bytes32 rival_id,uint256 rival_last_final,bytes32 root,uint256 size)";
    string private constant REVERSAL =
        "V(uint256 amount,bytes32 contract_id,bytes[] entries,string error,uint256 last_final,string name,bytes[] openings,uint256[] positions,bytes32[][] proofs,bytes32 root,uint256 size,uint256 sum)";

    EventLog private eventLog = new EventLog();
    Evidence private evidence = new Evidence();
    EvidenceTargetDouble private escrow = new EvidenceTargetDouble(eventLog);
    bytes32 private logId;
    mapping(bytes32 name => bytes4) private selectors;

    function setUp() public {
        Terms memory nobodys;
        nobodys.owner = address(this);
        _remember(nobodys.salt, nobodys); // which the escrow does not know
        _name("AlreadyStated", Evidence.AlreadyStated.selector);
        _name("AmountTooLarge", Evidence.AmountTooLarge.selector);
        _name("EventDoesNotReverse", Reversals.EventDoesNotReverse.selector);
        _name("ExhibitCount", Evidence.ExhibitCount.selector);
        _name("MissingExhibit", Exhibits.MissingExhibit.selector);
        _name("NoContradiction", Evidence.NoContradiction.selector);
        _name("NotARival", Evidence.NotARival.selector);
        _name("NotAnswered", Evidence.NotAnswered.selector);
        _name("NotTaken", Evidence.NotTaken.selector);
        _name("NotEarlier", Evidence.NotEarlier.selector);
        _name("NotLower", EvidenceTargetDouble.NotLower.selector);
        _name("NotOfContract", Exhibits.NotOfContract.selector);
        _name("NotSettled", Evidence.NotSettled.selector);
        _name("NotVouchedFor", Evidence.NotVouchedFor.selector);
        _name("RivalClosed", Evidence.RivalClosed.selector);
        _name("OpeningLength", Exhibits.OpeningLength.selector);
        _name("RivalHasCounted", Evidence.RivalHasCounted.selector);
        _name("RivalTouchedBefore", Evidence.RivalTouchedBefore.selector);
        _name("UnknownToLog", Evidence.UnknownToLog.selector);
        _name("TouchDoesNotBeat", Evidence.TouchDoesNotBeat.selector);
        _name("TouchDoesNotCount", Evidence.TouchDoesNotCount.selector);
        _name("TouchDoesNotQualify", Evidence.TouchDoesNotQualify.selector);
        _name("TransitionDoesNotCount", Evidence.TransitionDoesNotCount.selector);
        _name("UnknownContract", EvidenceTargetDouble.UnknownContract.selector);
        _name("UnknownKind", Evidence.UnknownKind.selector);
        _name("WrongExhibit", Exhibits.WrongExhibit.selector);
        _name("WrongOpening", Exhibits.WrongOpening.selector);
    }

    function test_vectors_disproofs() public {
        string memory json = _load();
        bytes memory table = vm.parseJsonTypeArray(json, ".disproofs", DISPROOF);
        Disproof[] memory cases = abi.decode(table, (Disproof[]));
        assertGt(cases.length, 100);
        uint256 proven;
        for (uint256 i = 0; i < cases.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            if (_disprove(cases[i])) ++proven;
            vm.revertToState(snapshot);
        }
        assertGt(proven, 50);
    }

    function test_vectors_claims() public {
        string memory json = _load();
        bytes memory table = vm.parseJsonTypeArray(json, ".claims", CLAIMED);
        Claimed[] memory cases = abi.decode(table, (Claimed[]));
        assertGt(cases.length, 10);
        for (uint256 i = 0; i < cases.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _claim(cases[i]);
            vm.revertToState(snapshot);
        }
    }

    function test_vectors_refutations() public {
        string memory json = _load();
        bytes memory table = vm.parseJsonTypeArray(json, ".refutations", REFUTATION);
        Refutation[] memory cases = abi.decode(table, (Refutation[]));
        assertGt(cases.length, 10);
        for (uint256 i = 0; i < cases.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _refute(cases[i]);
            vm.revertToState(snapshot);
        }
    }

    function test_vectors_reversals() public {
        string memory json = _load();
        bytes memory table = vm.parseJsonTypeArray(json, ".reversals", REVERSAL);
        ProvenReversal[] memory cases = abi.decode(table, (ProvenReversal[]));
        assertGt(cases.length, 10);
        for (uint256 i = 0; i < cases.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _proveReversal(cases[i]);
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ one case

    function _disprove(Disproof memory c) private returns (bool isProven) {
        uint64 size = _anchor(c.size, c.root);
        escrow.state(c.contract_id, c.last_signed, c.last_final);
        Exhibit[] memory shown = _exhibits(c.positions, c.entries, c.openings, c.proofs);
        bytes32 kind = _word(c.kind);
        _expect(c.failure);
        evidence.disprove(escrow, _t(c.contract_id), kind, size, shown, _rivals(c.rival_id));
        isProven = bytes(c.failure).length == 0;
        assertEq(escrow.retiredFor(c.contract_id), isProven ? kind : bytes32(0), c.name);
    }

    function _claim(Claimed memory c) private {
        uint64 size = _anchor(c.size, c.root);
        Exhibit[] memory shown = _exhibits(c.positions, c.entries, c.openings, c.proofs);
        vm.prank(c.operator);
        _expect(c.failure);
        bytes32 key = evidence.claim(escrow, _t(c.contract_id), size, shown[0], shown[1]);
        if (bytes(c.failure).length != 0) return;
        assertEq(key, c.key, c.name);
        Claim memory filed = escrow.claimOf(c.contract_id, key);
        assertEq(filed.amount, c.amount, c.name);
        assertEq(filed.transition, c.positions[0], c.name);
        assertEq(filed.touch, c.positions[1], c.name);
    }

    function _refute(Refutation memory c) private {
        uint64 size = _anchor(c.size, c.root);
        escrow.state(c.rival_id, 0, c.rival_last_final);
        escrow.state(c.contract_id, c.last_signed, c.last_final);
        Claim memory claim = Claim(
            c.claim_lead,
            uint80(c.claim_amount),
            uint40(c.claim_transition),
            uint40(c.claim_touch),
            uint64(c.claim_time_ms),
            false
        );
        escrow.fileClaim(_t(c.contract_id), c.claim_key, claim);
        Exhibit[] memory shown = _exhibits(c.positions, c.entries, c.openings, c.proofs);
        bytes32 kind = _word(c.kind);
        _expect(c.failure);
        evidence.refute(
            escrow, _t(c.contract_id), c.claim_key, kind, size, shown, _rivals(c.rival_id)
        );
        if (bytes(c.failure).length != 0) return;
        assertEq(escrow.loweredFor(c.contract_id, c.claim_key), kind, c.name);
        assertEq(escrow.claimOf(c.contract_id, c.claim_key).amount, c.left, c.name);
    }

    function _proveReversal(ProvenReversal memory c) private {
        uint64 size = _anchor(c.size, c.root);
        escrow.state(c.contract_id, c.last_final, c.last_final);
        Exhibit[] memory shown = _exhibits(c.positions, c.entries, c.openings, c.proofs);
        _expect(c.failure);
        evidence.proveReversal(escrow, _t(c.contract_id), size, shown);
        if (bytes(c.failure).length != 0) return;
        (uint256 happened, uint256 outcome,, uint256 sum, uint256 amount) =
            escrow.reversalOf(c.contract_id, c.positions[1]);
        assertEq(happened, c.positions[1], c.name);
        assertEq(outcome, c.positions[0], c.name);
        assertEq(sum, c.sum, c.name);
        assertEq(amount, c.amount, c.name);
    }

    // ------------------------------------------------------------ reading

    /// The log and the contracts of every case; the text of the file.
    function _load() private returns (string memory json) {
        json = vm.readFile("tests/vectors/evidence.json");
        vm.prank(vm.parseJsonAddress(json, ".registrant"));
        logId = eventLog.register(vm.parseJsonString(json, ".origin"), address(this));
        bytes memory table = vm.parseJsonTypeArray(json, ".contracts", SIGNED);
        Signed[] memory contracts = abi.decode(table, (Signed[]));
        for (uint256 i = 0; i < contracts.length; ++i) {
            Terms memory terms = abi.decode(contracts[i].terms, (Terms));
            // The double knows a contract by its salt.
            terms.salt = contracts[i].contract_id;
            _remember(terms.salt, terms);
            escrow.open(terms);
            escrow.close(terms.salt, contracts[i].closed_at_s);
        }
    }

    function _anchor(uint256 size, bytes32 root) private returns (uint64) {
        eventLog.publish(logId, uint64(size), root, new bytes32[](0));
        return uint64(size);
    }

    function _exhibits(
        uint256[] memory positions,
        bytes[] memory entries,
        bytes[] memory openings,
        bytes32[][] memory proofs
    ) private pure returns (Exhibit[] memory shown) {
        shown = new Exhibit[](positions.length);
        for (uint256 i = 0; i < positions.length; ++i) {
            shown[i] = Exhibit(uint64(positions[i]), entries[i], openings[i], proofs[i]);
        }
    }

    function _expect(string memory failure) private {
        if (bytes(failure).length == 0) return;
        bytes4 selector = selectors[keccak256(bytes(failure))];
        assertTrue(selector != 0, failure);
        vm.expectPartialRevert(selector);
    }

    function _name(string memory name, bytes4 selector) private {
        selectors[keccak256(bytes(name))] = selector;
    }

    /// An ASCII label as a word.
    function _word(string memory label) private pure returns (bytes32) {
        assertLe(bytes(label).length, 32);
        return bytes32(bytes(label));
    }
}
