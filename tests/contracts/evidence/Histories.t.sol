// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceTargetDouble} from "../support/EvidenceTargetDouble.sol";
import {TestTree} from "../support/TestTree.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibit, Opening} from "contracts/evidence/EvidenceTypes.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {Test} from "forge-std/Test.sol";

/// Whole logs as the orchestrator's core writes them (see histories.py), and every disproof that
/// can be tried on them: what comes out is exactly the lies that are there. From an honest log,
/// nothing comes out, whatever is shown.
contract HistoriesTest is Test {
    struct Contract {
        uint256 attribution;
        uint256 bps;
        uint256 budget;
        uint256 closed_at;
        uint256 deadline;
        uint256 holdback_period;
        bytes32 id;
        uint256 opens_at;
        address operator;
        bytes32 outcome;
        uint256 price;
        bool repeatable;
        uint256 window;
    }

    /// The log in memory, where it is read many thousand times.
    struct Log {
        Entry[] entries;
        Exhibit[] exhibits;
    }

    struct Lie {
        bytes32 kind;
        uint256 position;
    }

    struct Opened {
        bytes32 commitment;
        bytes32 from_state;
        uint256 nth;
        uint256 position;
        uint256 received_ms;
        bytes32 request_hash;
    }

    uint256 private constant HONEST = 8;
    uint256 private constant HISTORIES = 26;
    string private constant CONTRACT =
        "C(uint256 attribution,uint256 bps,uint256 budget,uint256 closed_at,uint256 deadline,uint256 holdback_period,bytes32 id,uint256 opens_at,address operator,bytes32 outcome,uint256 price,bool repeatable,uint256 window)";
    string private constant LIE = "L(bytes32 kind,uint256 position)";
    string private constant OPENED =
        "O(bytes32 commitment,bytes32 from_state,uint256 nth,uint256 position,uint256 received_ms,bytes32 request_hash)";

    EventLog private eventLog = new EventLog();
    Evidence private evidence = new Evidence();
    EvidenceTargetDouble private escrow;
    bytes32 private logId;
    uint64 private size;

    Contract[] private contracts;
    mapping(uint256 transition => Opening) private openings;
    mapping(bytes32 contractId => uint256 position) private openedAt;
    mapping(bytes32 lie => bool) private found;

    function test_histories_honest() public {
        vm.pauseGasMetering();
        uint256 outcomes;
        for (uint256 i = 0; i < HONEST; ++i) {
            (string memory name, uint256 paid,) = this.tell(i);
            assertEq(name, "honest");
            outcomes += paid;
        }
        assertGt(outcomes, 40, "these logs show nothing");
    }

    function test_histories_dishonest() public {
        vm.pauseGasMetering();
        uint256 proven;
        for (uint256 i = HONEST; i < HISTORIES; ++i) {
            (,, uint256 lies) = this.tell(i);
            proven += lies;
        }
        assertGt(proven, 60, "these logs show nothing");
    }

    // ------------------------------------------------------------ one history

    /// Tries everything on the `i`th history, which is forgotten afterwards. A call of its own, for
    /// its memory's sake.
    function tell(uint256 i) external returns (string memory name, uint256 outcomes, uint256 lies) {
        uint256 snapshot = vm.snapshotState();
        string memory json = vm.readFile("tests/vectors/histories.json");
        name = vm.parseJsonString(json, _path(i, ".name"));
        Lie[] memory told = abi.decode(vm.parseJsonTypeArray(json, _path(i, ".lies"), LIE), (Lie[]));
        Log memory log = _load(i, json);
        lies = _tryAll(log);
        for (uint256 j = 0; j < told.length; ++j) {
            bool isFound = found[keccak256(abi.encode(told[j].position, told[j].kind))];
            string memory where = string.concat(vm.toString(i), "/", vm.toString(told[j].position));
            assertTrue(isFound, string.concat(name, " got away with ", where));
        }
        assertEq(lies, told.length, string.concat(name, " was disproved by the truth"));
        for (uint256 j = 0; j < log.entries.length; ++j) {
            if (log.entries[j].kind == "outcome") ++outcomes;
        }
        vm.revertToState(snapshot);
    }

    function _tryAll(Log memory log) private returns (uint256 count) {
        for (uint256 accused = 1; accused < log.entries.length; ++accused) {
            Entry memory entry = log.entries[accused];
            if (entry.kind == "settlement") count += _try(log, entry.subject, accused, "sum");
            if (entry.kind == "outcome.reversed") {
                count += _try(log, entry.actor, accused, "sum");
                count += _try(log, entry.actor, accused, "reversal");
            }
            if (entry.kind == "outcome") {
                count += _try(log, entry.actor, accused, "sum");
                count += _try(log, entry.actor, accused, "duplicate");
                count += _tryNamed(log, accused, "transition", 216);
                count += _tryNamed(log, accused, "touch", 176);
                count += _try(log, entry.actor, accused, "touch_order");
                count += _tryRivals(log, entry.actor, accused);
            }
        }
    }

    /// The accused entry alone, and with every other entry.
    function _try(Log memory log, bytes32 contractId, uint256 accused, bytes32 kind)
        private
        returns (uint256)
    {
        uint256[] memory shown = new uint256[](1);
        shown[0] = accused;
        Opening memory none;
        if (_disproves(log, contractId, kind, shown, 0, none)) return 1;
        shown = new uint256[](2);
        shown[0] = accused;
        for (shown[1] = 0; shown[1] < log.entries.length; ++shown[1]) {
            if (_disproves(log, contractId, kind, shown, 0, none)) return 1;
        }
        return 0;
    }

    /// The accused entry alone, and with the one whose position stands in its payload.
    function _tryNamed(Log memory log, uint256 accused, bytes32 kind, uint256 shift)
        private
        returns (uint256)
    {
        Entry memory entry = log.entries[accused];
        uint256[] memory shown = new uint256[](1);
        shown[0] = accused;
        Opening memory none;
        if (_disproves(log, entry.actor, kind, shown, 0, none)) return 1;
        shown = new uint256[](2);
        (shown[0], shown[1]) = (accused, uint256(entry.payload) >> shift & type(uint40).max);
        return _disproves(log, entry.actor, kind, shown, 0, none) ? 1 : 0;
    }

    /// Every touch of the lead for every contract: with nothing more, with the transition, and by
    /// first touch with every touch before.
    function _tryRivals(Log memory log, bytes32 contractId, uint256 accused)
        private
        returns (uint256)
    {
        uint256 transition = uint256(log.entries[accused].payload) >> 216;
        bytes32 lead = log.entries[accused].subject;
        for (uint256 c = 0; c < contracts.length; ++c) {
            bytes32 rivalId = contracts[c].id;
            uint256[] memory three = new uint256[](3);
            (three[0], three[2]) = (accused, openedAt[rivalId]);
            uint256[] memory four = new uint256[](4);
            (four[0], four[2]) = (accused, openedAt[rivalId]);
            for (uint256 touch = 1; touch < log.entries.length; ++touch) {
                if (!_isTouch(log.entries[touch], lead)) continue;
                (three[1], four[1]) = (touch, touch);
                Opening memory opening = openings[transition];
                if (_disproves(log, contractId, "rival", three, rivalId, opening)) return 1;
                four[3] = transition;
                if (_disproves(log, contractId, "rival", four, rivalId, opening)) return 1;
                if (contracts[c].attribution != 0) continue;
                for (four[3] = 1; four[3] < touch; ++four[3]) {
                    if (!_isTouch(log.entries[four[3]], lead)) continue;
                    if (_disproves(log, contractId, "rival", four, rivalId, opening)) return 1;
                }
            }
        }
        return 0;
    }

    function _isTouch(Entry memory entry, bytes32 lead) private pure returns (bool) {
        return entry.kind == "touch" && entry.subject == lead;
    }

    function _disproves(
        Log memory log,
        bytes32 contractId,
        bytes32 kind,
        uint256[] memory positions,
        bytes32 rivalId,
        Opening memory opening
    ) private returns (bool isDisproved) {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        Exhibit[] memory shown = new Exhibit[](positions.length);
        for (uint256 i = 0; i < positions.length; ++i) {
            shown[i] = log.exhibits[positions[i]];
        }
        try evidence.disprove(escrow, contractId, kind, size, shown, rivalId, opening) {
            found[keccak256(abi.encode(positions[0], kind))] = true;
            isDisproved = true;
        } catch (bytes memory reason) {
            if (!_isJudgement(bytes4(reason))) revert(vm.toString(reason));
        }
        // Nothing of this is needed any more, and there are many thousands of these.
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }

    /// Returns whether the case was judged, and not refused for its form.
    function _isJudgement(bytes4 selector) private pure returns (bool) {
        return selector == Evidence.NoContradiction.selector
            || selector == Evidence.TouchDoesNotCount.selector
            || selector == Evidence.TouchDoesNotQualify.selector
            || selector == Evidence.TouchDoesNotBeat.selector
            || selector == Evidence.NotARival.selector || selector == Evidence.RivalClosed.selector
            || selector == Evidence.RivalUnknownToLog.selector
            || selector == Evidence.RivalTouchedBefore.selector
            || selector == Evidence.NotTheFirstEntry.selector
            || selector == Exhibits.MissingExhibit.selector
            || selector == Exhibits.WrongExhibit.selector;
    }

    // ------------------------------------------------------------ reading

    function _load(uint256 i, string memory json) private returns (Log memory log) {
        logId = eventLog.register(vm.toString(i), address(this));
        escrow = new EvidenceTargetDouble(eventLog);
        log = _loadEntries(i, json);
        Contract[] memory signed =
            abi.decode(vm.parseJsonTypeArray(json, _path(i, ".contracts"), CONTRACT), (Contract[]));
        for (uint256 c = 0; c < signed.length; ++c) {
            contracts.push(signed[c]);
            escrow.open(signed[c].id, _terms(signed[c], log.entries[1]));
            escrow.state(signed[c].id, type(uint40).max, type(uint40).max); // signs everything
            escrow.close(signed[c].id, signed[c].closed_at);
        }
        Opened[] memory opened =
            abi.decode(vm.parseJsonTypeArray(json, _path(i, ".openings"), OPENED), (Opened[]));
        for (uint256 o = 0; o < opened.length; ++o) {
            openings[opened[o].position] = Opening(
                opened[o].from_state,
                opened[o].nth,
                opened[o].received_ms,
                opened[o].request_hash,
                opened[o].commitment
            );
        }
    }

    function _loadEntries(uint256 i, string memory json) private returns (Log memory log) {
        bytes32[] memory words = vm.parseJsonBytes32Array(json, _path(i, ".words"));
        uint256[] memory numbers = vm.parseJsonUintArray(json, _path(i, ".entries"));
        log.entries = new Entry[](numbers.length / 8);
        log.exhibits = new Exhibit[](log.entries.length);
        TestTree tree = new TestTree(0);
        for (uint256 n = 0; n < numbers.length; n += 8) {
            bytes memory data;
            for (uint256 word = n; word < n + 8; ++word) {
                data = bytes.concat(data, words[numbers[word]]);
            }
            Entry memory entry = abi.decode(data, (Entry));
            if (entry.kind == "contract.opened") openedAt[entry.subject] = n / 8;
            log.entries[n / 8] = entry;
            tree.append(data);
        }
        size = uint64(log.entries.length);
        eventLog.publish(logId, size, tree.root(size), new bytes32[](0));
        for (uint256 position = 0; position < size; ++position) {
            log.exhibits[position] = Exhibit(
                uint64(position),
                abi.encode(log.entries[position]),
                tree.inclusionProof(position, size)
            );
        }
    }

    function _terms(Contract memory signed, Entry memory published)
        private
        view
        returns (Terms memory terms)
    {
        terms.owner = 0x1111111111111111111111111111111111111111;
        terms.verifier = 0x2222222222222222222222222222222222222222;
        terms.operator = signed.operator;
        terms.logId = logId;
        terms.surface = published.surface;
        terms.policy = published.subject;
        terms.attribution = uint8(signed.attribution);
        terms.outcome = signed.outcome;
        terms.repeatable = signed.repeatable;
        terms.unitPrice = signed.price;
        terms.revenueShareBps = uint16(signed.bps);
        terms.budget = signed.budget;
        terms.opensAt = uint64(signed.opens_at);
        terms.deadline = uint64(signed.deadline);
        terms.attributionWindow = uint64(signed.window);
        terms.holdbackPeriod = uint64(signed.holdback_period);
    }

    function _path(uint256 i, string memory key) private pure returns (string memory) {
        return string.concat(".histories[", vm.toString(i), "]", key);
    }
}
