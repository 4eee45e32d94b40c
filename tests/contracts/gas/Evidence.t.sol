// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lies} from "../support/Lies.sol";
import {TestTree} from "../support/TestTree.sol";
import {Meter} from "./Meter.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// The cost of showing the log, in a log of 2^30 entries: every inclusion proof has 30 hashes. Few
/// disproofs take more than four entries.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract EvidenceGasTest is Lies, Meter {
    uint256 private constant SIZE = 2 ** 30;
    uint256 private constant HASHES = 30;
    uint256 private constant FOUR_TARGET = 270_000;
    uint256 private constant FIVE_TARGET = 310_000;

    address private fresh = makeAddr("fresh payee");

    function setUp() public override {
        super.setUp();
        _payTheDayBefore();
        tree = new TestTree(SIZE - 64);
        (book, base) = (tree, tree.size());
    }

    /// In another log, so that payee and fee recipient are known.
    function _payTheDayBefore() private {
        bytes32 ours = logId;
        logId = eventLog.register("the day before", publisher.addr);
        Terms memory terms = _terms();
        bytes32 id = _open(terms);
        _settle(_batch(_groupOf(terms), _list(_settlement(id, PRICE, 0))));
        logId = ours;
    }

    function _beforeAnchor() internal override {
        while (tree.size() < SIZE) {
            tree.append(tree.fillerEntry());
        }
    }

    // ------------------------------------------------------------ disproving

    /// Each retires the verifier of a pending statement.
    function test_gas_disprove() public {
        for (uint256 number = 0; number < KINDS - 1; ++number) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            (terms.challengePeriod, terms.grace) = (2 days, 4 days);
            _begin(terms);
            (bytes32 kind, uint256[] memory positions) = _lie(number);
            Exhibit[] memory shown = _shown(positions);
            Terms[] memory rivals = _rivals(kind == "rival" ? rival : bytes32(0));
            bytes memory call = abi.encodeCall(
                Evidence.disprove, (escrow, _t(mine), kind, uint64(SIZE), shown, rivals)
            );
            string memory name = string.concat(
                "disprove ", _asciiOf(kind), ", ", vm.toString(shown.length), " entries"
            );
            uint256 target = shown.length > 4 ? FIVE_TARGET : FOUR_TARGET;
            _meter(name, stranger, address(evidence), call, target);
            assertTrue(_isRetired(mine));
            vm.revertToState(snapshot);
        }
    }

    /// As many as can be shown; all but two are not needed here.
    function test_gas_disproveWithAllExhibits() public {
        Terms memory terms = _terms();
        (terms.challengePeriod, terms.grace) = (2 days, 4 days);
        _begin(terms);
        (bytes32 kind, uint256[] memory positions) = _lie(0);
        while (positions.length < evidence.MAX_EXHIBITS()) {
            positions = _show(positions, _targetOf(positions[0]));
        }
        bytes memory call = abi.encodeCall(
            Evidence.disprove,
            (escrow, _t(mine), kind, uint64(SIZE), _shown(positions), _rivals(rival))
        );
        _meter("disprove with 16 entries", stranger, address(evidence), call);
        assertTrue(_isRetired(mine));
    }

    // ------------------------------------------------------------ proving a reversal

    function test_gas_proveReversal() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            (terms.challengePeriod, terms.grace, terms.revenueShareBps) = (1 days, 4 days, 1000);
            (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 30 days);
            _begin(terms);
            uint256 touch = _touch(operator.addr, 100);
            uint256 transition =
                _write(_purchaseEntry(LEAD, 200, 5000, i == 0 ? NO_ORDER : bytes32("order")));
            uint256 outcome = _outcome(mine, transition, touch);
            uint256 statement = _write(_settlementEntry(mine));
            uint256 refund =
                i == 0 ? _refund(300) : _write(_orderRefundEntry(transition, 300, 1000));
            _settleAt(statement);
            skip(1 days + 1);
            uint256[] memory positions = _show(outcome, refund);
            if (i == 1) positions = _show(positions, transition);
            bytes memory call = abi.encodeCall(
                Evidence.proveReversal, (escrow, _t(mine), uint64(SIZE), _shown(positions))
            );
            string memory name =
                i == 0 ? "prove a reversal, 2 entries" : "prove a partial reversal, 3 entries";
            _meter(name, stranger, address(evidence), call);
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ claiming

    function test_gas_claimRefuteAndRelease() public {
        Terms memory terms = _claimable();
        uint256 touch = _touch(operator.addr, 100);
        uint256 his = _touch(bob.addr, 150);
        uint256 transition = _transition(200);
        bytes32 key = _claim("claim", terms, transition, touch);
        Exhibit[] memory shown = _shown(_show(his, rivalOpened, transition));
        bytes memory call = abi.encodeCall(
            Evidence.refute, (escrow, _t(mine), key, "rival", uint64(SIZE), shown, _rivals(rival))
        );
        _meter("refute rival, 3 entries", stranger, address(evidence), call);
        assertTrue(escrow.claimOf(mine, key).dropped);
    }

    function test_gas_refuteWhatAnotherGot() public {
        Terms memory terms = _claimable();
        uint256 touch = _touch(operator.addr, 100);
        uint256 his = _touch(bob.addr, 150);
        uint256 transition = _transition(200);
        uint256[] memory gift = _show(_outcome(rival, transition, his), his, rivalOpened);
        _state(_settlementEntry(rival));
        vm.warp(terms.deadline + terms.grace + 1);
        Exhibit[] memory shown = _shown(_show(transition, touch));
        vm.prank(operator.addr);
        bytes32 key = evidence.claim(escrow, _t(mine), uint64(SIZE), shown[0], shown[1]);
        bytes memory call = abi.encodeCall(
            Evidence.refute,
            (escrow, _t(mine), key, "taken", uint64(SIZE), _shown(gift), _rivals(rival))
        );
        _meter("refute taken, 3 entries", stranger, address(evidence), call);
        assertTrue(escrow.claimOf(mine, key).dropped);
    }

    function test_gas_refuteALaterVisit() public {
        Terms memory terms = _claimable();
        uint256 touch = _touch(operator.addr, 100);
        uint256 first = _transition(200);
        uint256 counted = _outcome(mine, first, touch);
        bytes32 key = _claim("", terms, _transition(300), touch);
        Exhibit[] memory shown = _shown(_show(counted, first, touch, mineOpened));
        delete shown[1].opening; // none is needed
        bytes memory call = abi.encodeCall(
            Evidence.refute, (escrow, _t(mine), key, "earlier", uint64(SIZE), shown, new Terms[](0))
        );
        _meter("refute earlier, 4 entries", stranger, address(evidence), call);
        assertTrue(escrow.claimOf(mine, key).dropped);
    }

    function test_gas_refuteWhatWasTakenBack() public {
        Terms memory terms = _claimable();
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        uint256 refund = _write(_orderRefundEntry(transition, 200, 0));
        bytes32 key = _claim("", terms, transition, touch);
        bytes memory call = abi.encodeCall(
            Evidence.refute,
            (escrow, _t(mine), key, "reversed", uint64(SIZE), _shown(_show(refund)), _rivals(rival))
        );
        _meter("refute reversed, 1 entry", stranger, address(evidence), call);
        assertTrue(escrow.claimOf(mine, key).dropped);
    }

    function test_gas_releaseOfClaims() public {
        for (uint256 known = 0; known < 2; ++known) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _claimable(known == 1 ? payee : fresh);
            uint256 touch = _touch(operator.addr, 100);
            uint256 transition = _transition(200);
            _claim("", terms, transition, touch);
            vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod + 1);
            bytes memory call = abi.encodeCall(Payments.release, (_t(mine)));
            string memory name =
                known == 1 ? "release of a claim, payee known" : "release of a claim, payee fresh";
            _meter(name, stranger, address(escrow), call);
            assertEq(lens.paidOf(_t(mine)), PRICE);
            vm.revertToState(snapshot);
        }
    }

    function _claimable() private returns (Terms memory) {
        return _claimable(payee);
    }

    function _claimable(address to) private returns (Terms memory terms) {
        terms = _terms();
        terms.payee = to;
        terms.arbiter = makeAddr("arbiter");
        terms.claimPeriod = 4 days;
        _begin(terms);
    }

    /// Metered if it has a name.
    function _claim(string memory name, Terms memory terms, uint256 transition, uint256 touch)
        private
        returns (bytes32 key)
    {
        _beforeAnchor();
        _publish();
        vm.warp(terms.deadline + terms.grace + 1);
        Exhibit[] memory shown = _shown(_show(transition, touch));
        delete shown[0].opening; // a claim needs none
        if (bytes(name).length == 0) {
            vm.prank(operator.addr);
            return evidence.claim(escrow, _t(mine), uint64(SIZE), shown[0], shown[1]);
        }
        bytes memory call =
            abi.encodeCall(Evidence.claim, (escrow, _t(mine), uint64(SIZE), shown[0], shown[1]));
        _meter(name, operator.addr, address(evidence), call);
        return LEAD;
    }

    // ------------------------------------------------------------ showing it

    function _shown(uint256[] memory positions) private view returns (Exhibit[] memory shown) {
        shown = _exhibits(positions);
        for (uint256 i = 0; i < shown.length; ++i) {
            assertEq(shown[i].proof.length, HASHES);
        }
    }

    function _asciiOf(bytes32 label) private pure returns (string memory) {
        uint256 length = 0;
        while (length < 32 && label[length] != 0) {
            ++length;
        }
        bytes memory ascii = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            ascii[i] = label[i];
        }
        return string(ascii);
    }
}
