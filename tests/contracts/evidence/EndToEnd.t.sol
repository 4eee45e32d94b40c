// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lies} from "../support/Lies.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {EventOpening, Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A verifier and a publisher write a lie together and settle it in the real escrow; a stranger
/// that has only the log shows it.
contract EndToEndTest is Lies {
    /// A retired verifier's statement is not taken.
    function _assertUnheard() private {
        uint256 position = _state();
        assertLt(_lastSigned(mine), position);
    }

    // ------------------------------------------------------------ disproving

    function test_endToEnd_aPendingLieIsVoidAndItsVerifierRetired() public {
        for (uint256 number = 0; number < KINDS; ++number) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            (terms.challengePeriod, terms.grace) = (2 days, 4 days);
            _begin(terms);
            (bytes32 kind, uint256[] memory shown) = _lie(number);
            uint256 pending = lens.snapshotOf(_t(mine)).pendingPosition;
            assertGt(pending, 0, "nothing to stop");

            vm.warp(START + 2 days - 1);
            vm.expectEmit(address(escrow));
            emit Disputes.Disproved(mine, kind);
            _disprove(kind, shown);

            assertTrue(_isRetired(mine));
            pending = lens.snapshotOf(_t(mine)).pendingPosition;
            assertEq(pending, 0);
            _assertUnheard();
            vm.warp(terms.deadline + terms.grace + 1);
            escrow.release(_t(mine));
            assertEq(lens.paidOf(_t(mine)), 0);
            uint256 before = token.balanceOf(owner.addr);
            escrow.refund(_t(mine));
            assertEq(token.balanceOf(owner.addr), before + BUDGET);
            vm.revertToState(snapshot);
        }
    }

    /// A payment made at once stays paid: the proof costs the verifier the contract, and no more.
    function test_endToEnd_aPaidLieStaysPaidAndItsVerifierRetires() public {
        for (uint256 number = 0; number < KINDS; ++number) {
            uint256 snapshot = vm.snapshotState();
            _begin(_terms());
            (bytes32 kind, uint256[] memory shown) = _lie(number);
            uint256 paid = lens.paidOf(_t(mine));
            assertGt(paid, 0, "nothing was paid");

            _disprove(kind, shown);
            assertTrue(_isRetired(mine));
            assertEq(lens.paidOf(_t(mine)), paid);
            _assertUnheard();
            assertEq(lens.paidOf(_t(mine)), paid);
            vm.revertToState(snapshot);
        }
    }

    function test_endToEnd_anHonestStatementStands() public {
        Terms memory terms = _terms();
        (terms.challengePeriod, terms.grace) = (2 days, 4 days);
        _begin(terms);
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        uint256 outcome = _outcome(mine, transition, touch);
        uint256 statement = _state();
        bytes4 none = Evidence.NoContradiction.selector;
        bytes4 beats = Evidence.TouchDoesNotBeat.selector;
        _fails(none, "duplicate", _show(outcome, outcome));
        _fails(none, "transition", _show(outcome, transition));
        _fails(none, "touch", _show(outcome, touch));
        _fails(beats, "touch_order", _show(outcome, touch));
        bytes4 qualifies = Evidence.TouchDoesNotQualify.selector;
        _fails(qualifies, "rival", _show(outcome, touch, rivalOpened, transition));
        _fails(none, "sum", _show(statement, outcome));
        _fails(none, "sum", _show(outcome, 1));
        vm.warp(START + 3 days);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE);
    }

    function _fails(bytes4 reason, bytes32 kind, uint256[] memory positions) private {
        uint64 size = uint64(tree.size());
        Exhibit[] memory shown = _exhibits(positions);
        vm.expectPartialRevert(reason);
        evidence.disprove(escrow, _t(mine), kind, size, shown, _rivals(rival));
    }

    /// Whoever wins a lead's second visit, which nobody counted: a lead that comes back is as good as
    /// a new one to a contract that has not counted it, whatever its opening says.
    function test_endToEnd_aReturningLeadIsNoLoophole() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _terms();
            (terms.challengePeriod, terms.grace) = (1 days, 4 days);
            uint256 early = _transition(0); // before the log knew either contract: nobody's
            _begin(terms);
            uint256 touch = _touch(operator.addr, 100);
            uint256 his = _touch(bob.addr, 150);
            // The log may say falsely that it was counted, by the earlier transition or by this one.
            if (i == 1) counted[_visit(LEAD, terms.outcome)] = early;
            if (i == 2) counted[_visit(LEAD, terms.outcome)] = book.size();
            uint256 transition = _transition(200);
            uint256 outcome = _outcome(mine, transition, touch);
            _state();
            _disprove("rival", _show(outcome, his, rivalOpened, transition));
            assertTrue(_isRetired(mine));
            vm.warp(START + 2 days);
            escrow.release(_t(mine));
            assertEq(lens.paidOf(_t(mine)), 0);
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------ holdback without the verifier

    function _held() private returns (Terms memory terms) {
        terms = _terms();
        terms.arbiter = makeAddr("arbiter");
        (terms.challengePeriod, terms.arbitrationPeriod, terms.grace) = (1 days, 1 days, 4 days);
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 30 days);
    }

    /// Every outcome is taken back in time; the verifier, which stated them truly, signs no more.
    function test_endToEnd_aSilentVerifierCancelsNoHoldback() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _begin(_held());
            uint256 touch = _touch(operator.addr, 100);
            bytes32 order = i == 0 ? NO_ORDER : bytes32("order");
            uint256 transition = _write(_purchaseEntry(LEAD, 200, 5000, order));
            uint256 outcome = _outcome(mine, transition, touch);
            _state();
            skip(1 days + 1);
            escrow.release(_t(mine));
            assertEq(lens.paidOf(_t(mine)), 0, "all of it is held back");

            vm.warp(START + 3 days);
            uint256 refund =
                i == 0 ? _refund(3 days) : _write(_orderRefundEntry(transition, 3 days, 0));
            uint64 size = _publish();
            Exhibit[] memory shown = _exhibits(_show(outcome, refund, transition));
            vm.prank(stranger);
            evidence.proveReversal(escrow, _t(mine), size, shown);
            vm.warp(START + 60 days);
            escrow.release(_t(mine));
            assertEq(lens.paidOf(_t(mine)), 0);
            vm.revertToState(snapshot);
        }
    }

    /// A later statement that has the reversal subtracts it no second time.
    function test_endToEnd_whatWasProvenIsStatedOnce() public {
        _begin(_held());
        uint256 touch = _touch(operator.addr, 100);
        uint256 outcome = _outcome(mine, _transition(200), touch);
        touch = _write(_touchEntry(operator.addr, OTHER_LEAD, 250));
        _outcome(mine, _write(_transitionEntry(OTHER_LEAD, 300)), touch);
        _state();
        skip(1 days + 1);
        uint256 refund = _refund(3 days);
        uint64 size = _publish();
        Exhibit[] memory shown = _exhibits(_show(outcome, refund));
        evidence.proveReversal(escrow, _t(mine), size, shown);
        _reversal(mine, outcome, refund);
        _state();
        vm.warp(START + 60 days);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE);
    }

    /// The verifier signs nothing at all, and the operator claims what was taken back.
    function test_endToEnd_aReversedOutcomeIsNotClaimed() public {
        Terms memory terms = _held();
        (terms.challengePeriod, terms.arbitrationPeriod) = (0, 0);
        (terms.grace, terms.claimPeriod) = (2 days, 3 days);
        _begin(terms);
        uint256 touch = _touch(operator.addr, 13 days);
        uint256 transition = _transition(13 days + 100);
        uint256 refund = _refundByNobody(transition, 13 days + 200);
        vm.warp(terms.deadline + terms.grace + 1);
        _refute(_fileClaim(transition, touch), "reversed", _show(refund));
        vm.warp(START + 100 days);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 0);
    }

    /// Of a transition that paid no contract.
    function _refundByNobody(uint256 transition, uint256 afterS) private returns (uint256) {
        Entry memory entry = _eventEntry(LEAD, afterS);
        EventOpening memory said;
        (said.purchase, said.refundedAfter, said.whole) = (transition, 5000, 1);
        entry.payload = _commitEvent(entry, said);
        return _write(entry);
    }

    function test_endToEnd_noStrangerSpeaksForTheEvidence() public {
        _begin(_terms());
        vm.expectPartialRevert(Disputes.NotEvidence.selector);
        escrow.retire(_t(mine), "sum");
        Evidence other = new Evidence();
        (bytes32 kind, uint256[] memory positions) = _lie(0);
        uint64 size = uint64(tree.size());
        Exhibit[] memory shown = _exhibits(positions);
        vm.expectPartialRevert(Disputes.NotEvidence.selector);
        other.disprove(escrow, _t(mine), kind, size, shown, _rivals(rival));
        assertFalse(_isRetired(mine));
    }

    // ------------------------------------------------------------ claiming

    function _claimable() private returns (Terms memory terms) {
        terms = _terms();
        terms.arbiter = makeAddr("arbiter");
        terms.claimPeriod = 4 days;
        _begin(terms);
    }

    function _refute(bytes32 key, bytes32 kind, uint256[] memory positions) private {
        uint64 size = uint64(tree.size());
        Exhibit[] memory shown = _exhibits(positions);
        vm.prank(stranger);
        evidence.refute(escrow, _t(mine), key, kind, size, shown, _rivals(rival));
        assertTrue(escrow.claimOf(mine, key).dropped);
    }

    function test_endToEnd_whatASilentVerifierOwesIsClaimedByProof() public {
        Terms memory terms = _claimable();
        uint256 touch = _touch(operator.addr, 100);
        uint256 transition = _transition(200);
        vm.warp(terms.deadline + terms.grace + 1);
        _fileClaim(transition, touch);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), 0);
        vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod + 1);
        escrow.release(_t(mine));
        assertEq(lens.paidOf(_t(mine)), PRICE);
    }

    function test_endToEnd_aClaimThatTheLogRefutesIsNotPaid() public {
        for (uint256 number = 0; number < 5; ++number) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _claimable();
            uint256 touch = _touch(operator.addr, 100);
            uint256 better = _touch(number == 1 ? operator.addr : bob.addr, 150);
            uint256 transition = _transition(200);
            uint256[] memory shown;
            if (number == 0) {
                shown = _show(_outcome(mine, transition, touch));
                _state();
            }
            if (number == 1) shown = _show(better);
            if (number == 2) shown = _show(better, rivalOpened, transition);
            if (number == 3) {
                shown = _show(_outcome(rival, transition, better), better, rivalOpened);
                _state(_settlementEntry(rival));
                assertEq(lens.paidOf(_t(rival)), PRICE);
            }
            if (number == 4) {
                shown = _show(_outcome(mine, transition, touch), transition, touch, mineOpened);
                transition = _transition(300); // it returned, for more perhaps
            }
            uint256 paid = lens.paidOf(_t(mine));

            vm.warp(terms.deadline + terms.grace + 1);
            bytes32[5] memory kinds =
                [bytes32("answered"), "touch_order", "rival", "taken", "earlier"];
            _refute(_fileClaim(transition, touch), kinds[number], shown);
            vm.warp(terms.deadline + terms.grace + 2 * terms.claimPeriod + 1);
            escrow.release(_t(mine));
            assertEq(lens.paidOf(_t(mine)), paid);
            vm.revertToState(snapshot);
        }
    }
}
