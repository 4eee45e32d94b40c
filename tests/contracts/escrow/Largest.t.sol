// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {TestTree} from "../support/TestTree.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {Openings} from "contracts/escrow/Openings.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Amounts of 80 bits, and positions and times of 40: none is cut on its way.
contract LargestTest is GuardedFixture {
    uint256 private constant AMOUNT = type(uint80).max;
    uint256 private constant FEE = AMOUNT * FEE_BPS / 10_000;
    uint64 private constant NOW = 2 ** 40 - 100 days;

    function setUp() public override {
        super.setUp();
        vm.warp(NOW);
        tree = new TestTree(2 ** 40 - 4); // room for three more
        logId = eventLog.register("large", publisher.addr);
        _fund(owner.addr, 2 * AMOUNT);
    }

    function test_aPlainContract() public {
        Terms memory terms = _large(_terms());
        bytes32 id = _open(terms);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, AMOUNT, 0)));
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, AMOUNT - FEE, FEE);
        _settle(batch);
        assertEq(_lastFinal(id), batch.first);
        assertEq(lens.paidOf(_t(id)), AMOUNT);
        assertEq(escrow.creditOf(address(token), feeRecipient), FEE);

        batch = _batch(_groupOf(terms), _list(_settlement(id, AMOUNT, AMOUNT)));
        vm.expectEmit(address(escrow));
        emit Settlements.Settled(id, _told(AMOUNT, AMOUNT, batch.first));
        _settle(batch);
        vm.expectEmit(address(escrow));
        emit Settlements.Refused(id, batch.first, "already_settled");
        _settle(batch);
    }

    function test_aDisputedStatement() public {
        Terms memory terms = _large(_guarded());
        bytes32 id = _open(terms);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, AMOUNT, 0)));
        vm.expectEmit(address(escrow));
        emit Settlements.Settled(id, _told(AMOUNT, 0, batch.first));
        vm.expectEmit(address(escrow));
        emit Settlements.Pending(id, batch.first, NOW + CHALLENGE);
        _settle(batch);
        Waiting memory waiting = _pending(id);
        assertEq(waiting.earned, AMOUNT);
        assertEq(waiting.position, batch.first);
        assertEq(waiting.resolvesAt, NOW + CHALLENGE);
        assertEq(_lastSigned(id), batch.first);

        vm.expectEmit(address(escrow));
        emit Disputes.Disputed(id, owner.addr, NOW + CHALLENGE + ARBITRATION);
        vm.prank(owner.addr);
        escrow.dispute(_t(id), batch.first);
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, batch.first, AMOUNT, NOW);
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, AMOUNT - FEE, FEE);
        vm.prank(arbiter.addr);
        escrow.rule(_t(id), batch.first, AMOUNT);
        assertEq(_lastFinal(id), batch.first);
    }

    function test_aStatementUnderARateCap() public {
        Terms memory terms = _large(_guarded());
        (terms.rateCap, terms.ratePeriod) = (AMOUNT, 1 days);
        bytes32 id = _open(terms);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, AMOUNT, 0)));
        _settle(batch);
        vm.warp(NOW + CHALLENGE + 1);
        assertEq(_lastFinal(id), batch.first);
        vm.expectEmit(address(escrow));
        emit Payments.Final(id, batch.first, AMOUNT, NOW + CHALLENGE);
        assertEq(_release(id), AMOUNT / 2);
        assertEq(_release(id), 0);
        assertEq(lens.releasableAt(_t(id)), block.timestamp + 1 days + 1, "a unit more than half");
        skip(1 days);
        assertEq(_release(id), AMOUNT / 2);
        skip(1);
        assertEq(_release(id), 1);
    }

    function test_anExclusiveOne() public {
        Terms memory terms = _large(_terms());
        terms.exclusive = true;
        bytes32 id = _open(terms);
        terms.salt = "second";
        bytes32 outcomeId =
            keccak256(abi.encode(terms.owner, terms.logId, terms.surface, terms.outcome));
        (bytes memory a, bytes memory b) = _consents(terms);
        vm.expectRevert(
            abi.encodeWithSelector(Openings.OutcomeOccupied.selector, outcomeId, terms.deadline)
        );
        escrow.open(terms, _allowance(), a, b);

        bytes memory ownerCloses = _sign(owner, _closeDigest(owner.addr, id, 0, NOW));
        bytes memory operatorCloses = _sign(operator, _closeDigest(operator.addr, id, 0, NOW));
        escrow.close(_t(id), 0, NOW, ownerCloses, operatorCloses);
        assertEq(escrow.closedAtOf(id), NOW);
        escrow.open(terms, _allowance(), a, b);
    }

    /// One outcome is worth the whole budget, in the last days that fit.
    function _large(Terms memory terms) private pure returns (Terms memory) {
        (terms.unitPrice, terms.budget) = (AMOUNT, AMOUNT);
        (terms.opensAt, terms.deadline) = (NOW, NOW + 14 days);
        return terms;
    }
}
