// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Snapshot} from "contracts/escrow/PayableAmounts.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// The lens tells what the escrow does. Its amounts are compared with the payments in nearly every test
/// of the escrow; here is what it tells besides.
contract EscrowLensTest is GuardedFixture {
    function test_revertIf_theEscrowHasNoCode() public {
        vm.expectRevert(abi.encodeWithSelector(EscrowLens.NotAContract.selector, stranger));
        this.deploy(OutcomeEscrow(stranger));
        assertEq(address(this.deploy(escrow).escrow()), address(escrow));
    }

    function deploy(OutcomeEscrow escrow_) external returns (EscrowLens) {
        return new EscrowLens(escrow_);
    }

    /// Each word of a snapshot is in its place.
    function test_aSnapshotOfAllThereIs() public {
        Terms memory terms = _claimable();
        (terms.holdbackBps, terms.holdbackPeriod) = (5000, 30 days);
        (terms.rateCap, terms.ratePeriod) = (6 * PRICE, 1 days);
        bytes32 id = _open(terms);
        uint64 first = _stateFinal(terms, 4 * PRICE, 0);
        uint256 since = block.timestamp - 1;
        assertEq(_release(id), 2 * PRICE);
        vm.warp(_t2(terms));
        uint64 second = _state(terms, 4 * PRICE, PRICE);
        vm.warp(_t2(terms) + 1);
        _claimLead(terms, "ann");
        _dispute(owner.addr, id);

        Snapshot memory s = lens.snapshotOf(_t(id));
        assertEq(s.contractId, id);
        assertEq(s.paid, 2 * PRICE);
        assertEq(s.budget, BUDGET);
        assertEq(s.lastFinal, first);
        assertEq(s.net, 4 * PRICE);
        assertEq(s.pendingNet, 3 * PRICE);
        assertEq(s.pendingEarned, 4 * PRICE);
        assertEq(s.pendingReversed, PRICE);
        assertEq(s.pendingPosition, second);
        assertEq(s.resolvesAt, _t2(terms) + CHALLENGE + ARBITRATION);
        assertTrue(s.ownerDisputed && !s.operatorDisputed && !s.isClosed && !s.isRetired);
        assertEq(s.held, 2 * PRICE);
        assertEq(s.finalSince, since);
        assertEq(s.claims, PRICE);
        assertEq(s.capLevel, 0, "leaked");
        assertEq(lens.reservedOf(_t(id)), BUDGET, "a ruling can come");

        _retire(id);
        s = lens.snapshotOf(_t(id));
        assertTrue(s.isRetired);
        assertEq(s.pendingPosition | s.pendingNet | s.resolvesAt, 0);
        assertEq(lens.reservedOf(_t(id)), 5 * PRICE);
        _close(id, 3 * PRICE);
        s = lens.snapshotOf(_t(id));
        assertTrue(s.isClosed);
        assertEq(s.budget, 3 * PRICE);
        assertEq(s.net, 3 * PRICE);
        assertEq(s.held | s.claims, 0);
        assertEq(s.finalSince, 0, "nothing is held back");
    }

    /// A statement that waited long enough is the last final one, before anybody writes that down.
    function test_aSnapshotNamesTheStatementThatIsFinalByNow() public {
        Terms memory terms = _claimable();
        bytes32 id = _open(terms);
        uint64 position = _state(terms, PRICE, 0);
        assertEq(lens.snapshotOf(_t(id)).lastFinal, 0);
        vm.warp(lens.snapshotOf(_t(id)).resolvesAt + 1);
        Snapshot memory s = lens.snapshotOf(_t(id));
        assertEq(s.lastFinal, position);
        assertEq(s.pendingPosition, 0);
    }
}
