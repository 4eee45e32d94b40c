// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceTargetDouble} from "../support/EvidenceTargetDouble.sol";
import {TermsById} from "../support/TermsById.sol";
import {TestTree} from "../support/TestTree.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibit, TransitionOpening} from "contracts/evidence/EvidenceTypes.sol";
import {Exhibits} from "contracts/evidence/Exhibits.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {Test} from "forge-std/Test.sol";

/// Whole logs as the orchestrator's core writes them (see histories.py), and every disproof that
/// can be tried on them: what comes out is exactly the lies that are there. From an honest log,
/// nothing comes out, whatever is shown. A usual run tells two honest ones and one of each kind of
/// liar, a deep run all.
contract HistoriesTest is Test, TermsById {
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
        bytes opening;
        uint256 position;
    }

    // The order of the histories: honest, dishonest, and those that deep runs tell as well.
    uint256 private constant HONEST = 2;
    uint256 private constant DISHONEST = HONEST + 12;
    uint256 private constant MORE_DISHONEST = DISHONEST + 6;
    uint256 private constant HISTORIES = MORE_DISHONEST + 6;
    string private constant CONTRACT =
        "C(uint256 attribution,uint256 bps,uint256 budget,uint256 closed_at,uint256 deadline,uint256 holdback_period,bytes32 id,uint256 opens_at,address operator,bytes32 outcome,uint256 price,bool repeatable,uint256 window)";
    string private constant LIE = "L(bytes32 kind,uint256 position)";
    string private constant OPENED = "O(bytes opening,uint256 position)";

    EventLog private eventLog = new EventLog();
    Evidence private evidence = new Evidence();
    EvidenceTargetDouble private escrow;
    bytes32 private logId;
    uint64 private size;

    Contract[] private contracts;
    mapping(bytes32 contractId => uint256 position) private openedAt;
    mapping(bytes32 lie => bool) private found;

    function test_histories_honest() public {
        assertGt(_tellHonest(0, HONEST), 7, "these logs show nothing");
        if (_isDeep()) {
            assertGt(_tellHonest(MORE_DISHONEST, HISTORIES), 22, "these logs show nothing");
        }
    }

    function test_histories_dishonest() public {
        assertGt(_tellLies(HONEST, DISHONEST), 40, "these logs show nothing");
        if (_isDeep()) {
            assertGt(_tellLies(DISHONEST, MORE_DISHONEST), 15, "these logs show nothing");
        }
    }

    function _isDeep() private view returns (bool) {
        return keccak256(bytes(vm.envOr("FOUNDRY_PROFILE", string("")))) == keccak256("deep");
    }

    function _tellHonest(uint256 from, uint256 to) private returns (uint256 paid) {
        vm.pauseGasMetering();
        for (uint256 i = from; i < to; ++i) {
            (string memory name, uint256 outcomes,) = this.tell(i);
            assertEq(name, "honest");
            paid += outcomes;
        }
    }

    function _tellLies(uint256 from, uint256 to) private returns (uint256 proven) {
        vm.pauseGasMetering();
        for (uint256 i = from; i < to; ++i) {
            (,, uint256 lies) = this.tell(i);
            assertNotEq(lies, 0);
            proven += lies;
        }
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
                count += _tryReversal(log, entry.actor, accused);
            }
            if (entry.kind == "outcome") {
                count += _try(log, entry.actor, accused, "sum");
                count += _try(log, entry.actor, accused, "duplicate");
                count += _tryNamed(log, accused, "transition", 216);
                count += _tryNamed(log, accused, "touch", 176);
                count += _tryCause(log, entry.actor, accused);
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
        if (_disproves(log, contractId, kind, shown, 0)) return 1;
        shown = new uint256[](2);
        shown[0] = accused;
        for (shown[1] = 0; shown[1] < log.entries.length; ++shown[1]) {
            if (_disproves(log, contractId, kind, shown, 0)) return 1;
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
        if (_disproves(log, entry.actor, kind, shown, 0)) return 1;
        shown = new uint256[](2);
        (shown[0], shown[1]) = (accused, uint256(entry.payload) >> shift & type(uint40).max);
        return _disproves(log, entry.actor, kind, shown, 0) ? 1 : 0;
    }

    /// The accused reversal alone, with every other entry, and with its event and every other.
    function _tryReversal(Log memory log, bytes32 contractId, uint256 accused)
        private
        returns (uint256)
    {
        if (_try(log, contractId, accused, "reversal") == 1) return 1;
        uint256 payload = uint256(log.entries[accused].payload);
        uint256[] memory shown = new uint256[](3);
        (shown[0], shown[1]) = (accused, payload >> 176 & type(uint40).max);
        for (shown[2] = 0; shown[2] < log.entries.length; ++shown[2]) {
            if (_disproves(log, contractId, "reversal", shown, 0)) return 1;
        }
        shown = new uint256[](4);
        (shown[0], shown[1]) = (accused, payload >> 176 & type(uint40).max);
        shown[2] = payload >> 216;
        shown[3] = uint256(log.entries[shown[2]].payload) >> 216;
        return _disproves(log, contractId, "reversal", shown, 0) ? 1 : 0;
    }

    /// The touch, if it was reported, alone and with every other entry.
    function _tryCause(Log memory log, bytes32 contractId, uint256 accused)
        private
        returns (uint256)
    {
        uint256 touch = uint256(log.entries[accused].payload) >> 176 & type(uint40).max;
        if (log.exhibits[touch].opening.length == 0) return 0;
        uint256[] memory shown = new uint256[](2);
        (shown[0], shown[1]) = (accused, touch);
        if (_disproves(log, contractId, "cause", shown, 0)) return 1;
        shown = new uint256[](3);
        (shown[0], shown[1]) = (accused, touch);
        for (shown[2] = 0; shown[2] < log.entries.length; ++shown[2]) {
            if (_disproves(log, contractId, "cause", shown, 0)) return 1;
        }
        return 0;
    }

    /// Every touch of the lead for every contract, with all that may be needed to show that it wins.
    function _tryRivals(Log memory log, bytes32 contractId, uint256 accused)
        private
        returns (uint256)
    {
        for (uint256 c = 0; c < contracts.length; ++c) {
            bytes32 rivalId = contracts[c].id;
            for (uint256 touch = 1; touch < log.entries.length; ++touch) {
                if (!_isTouch(log.entries[touch], log.entries[accused].subject)) continue;
                uint256[] memory shown = new uint256[](3);
                (shown[0], shown[1], shown[2]) = (accused, touch, openedAt[rivalId]);
                if (!contracts[c].repeatable) shown = _withVisits(log, rivalId, shown);
                if (contracts[c].attribution == 0) shown = _withTouches(log, shown);
                if (_disproves(log, contractId, "rival", shown, rivalId)) return 1;
            }
        }
        return 0;
    }

    /// Adds the transition of the outcome, and all that counted the lead before.
    function _withVisits(Log memory log, bytes32 rivalId, uint256[] memory shown)
        private
        view
        returns (uint256[] memory)
    {
        uint256 transition = uint256(log.entries[shown[0]].payload) >> 216;
        while (true) {
            shown = _and(shown, transition);
            bytes memory opening = log.exhibits[transition].opening;
            if (opening.length != 6 * 32) return shown;
            uint256 counted = abi.decode(opening, (TransitionOpening)).counted;
            if (counted <= openedAt[rivalId] || counted >= transition) return shown;
            shown = _and(shown, counted);
            transition = counted - 1;
        }
        return shown;
    }

    /// Adds the touches before the one that is shown, as far as they fit.
    function _withTouches(Log memory log, uint256[] memory shown)
        private
        pure
        returns (uint256[] memory)
    {
        uint256 touch = shown[1];
        while (shown.length < 16) {
            uint256 follows = log.entries[touch].value;
            if (follows == 0 || follows > touch) return shown;
            touch = follows - 1;
            shown = _and(shown, touch);
        }
        return shown;
    }

    function _and(uint256[] memory shown, uint256 next)
        private
        pure
        returns (uint256[] memory more)
    {
        more = new uint256[](shown.length + 1);
        for (uint256 i = 0; i < shown.length; ++i) {
            more[i] = shown[i];
        }
        more[shown.length] = next;
    }

    function _isTouch(Entry memory entry, bytes32 lead) private pure returns (bool) {
        return (entry.kind == "touch" || entry.kind == "touch.reported") && entry.subject == lead;
    }

    function _disproves(
        Log memory log,
        bytes32 contractId,
        bytes32 kind,
        uint256[] memory positions,
        bytes32 rivalId
    ) private returns (bool isDisproved) {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        Exhibit[] memory shown = new Exhibit[](positions.length);
        for (uint256 i = 0; i < positions.length; ++i) {
            shown[i] = log.exhibits[positions[i]];
        }
        try evidence.disprove(escrow, _t(contractId), kind, size, shown, _rivals(rivalId)) {
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
            || selector == Evidence.UnknownToLog.selector
            || selector == Evidence.RivalTouchedBefore.selector
            || selector == Evidence.RivalHasCounted.selector
            || selector == Evidence.ExhibitCount.selector
            || selector == Exhibits.OpeningLength.selector
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
            Terms memory terms = _terms(signed[c], log.entries[1]);
            terms.salt = signed[c].id; // by which the double knows a contract
            _remember(terms.salt, terms);
            escrow.open(terms);
            escrow.state(signed[c].id, type(uint40).max, type(uint40).max); // signs everything
            escrow.close(signed[c].id, signed[c].closed_at);
        }
        Opened[] memory opened =
            abi.decode(vm.parseJsonTypeArray(json, _path(i, ".openings"), OPENED), (Opened[]));
        for (uint256 o = 0; o < opened.length; ++o) {
            log.exhibits[opened[o].position].opening = opened[o].opening;
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
                "",
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
