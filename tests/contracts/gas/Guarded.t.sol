// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GasFixture} from "./GasFixture.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// The cost of a contract that does not pay at once: challenge, dispute, holdback and rate cap.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract GuardedGasTest is GasFixture {
    uint64 private constant CHALLENGE = 1 days;
    uint64 private constant ARBITRATION = 2 days;
    uint256 private constant EARNED = 50 * PRICE;
    uint256 private constant RELEASE_TARGET = 120_000; // the payee known

    Account private arbiter = makeAccount("arbiter");

    function _guarded() private view returns (Terms memory terms) {
        terms = _plain();
        terms.arbiter = arbiter.addr;
        terms.challengePeriod = CHALLENGE;
        terms.arbitrationPeriod = ARBITRATION;
        terms.grace = terms.lateness + CHALLENGE + ARBITRATION + 1 days;
    }

    /// Opens it, and a statement of 50 outcomes that is ready to be brought.
    function _ready(Terms memory terms) private returns (bytes32 id, Batch memory batch) {
        id = _open(terms);
        batch = _lastBatch(terms, _list(_statement(id, EARNED)));
    }

    function _pending(Terms memory terms) private returns (bytes32 id, uint64 position) {
        Batch memory batch;
        (id, batch) = _ready(terms);
        _settle(batch);
        position = batch.first;
    }

    function test_gas_settleChallenged() public {
        (bytes32 id, Batch memory batch) = _ready(_guarded());
        _meter("settle 50 outcomes, challenged", stranger, address(escrow), _settleCall(batch));
        assertEq(_lastSigned(id), batch.first);
    }

    function test_gas_release() public {
        for (uint256 known = 0; known < 2; ++known) {
            uint256 snapshot = vm.snapshotState();
            Terms memory terms = _guarded();
            if (known == 0) terms.payee = fresh;
            (bytes32 id,) = _pending(terms);
            skip(CHALLENGE + 1);
            bytes memory call = abi.encodeCall(Payments.release, (_t(id)));
            uint256 gas = _meter(_of("release", known == 1), stranger, address(escrow), call);
            if (known == 1) assertLe(gas, RELEASE_TARGET);
            assertEq(lens.paidOf(_t(id)), EARNED);
            vm.revertToState(snapshot);
        }
    }

    function test_gas_holdback() public {
        Terms memory terms = _plain();
        (terms.holdbackBps, terms.holdbackPeriod) = (2_000, 2 days);
        (bytes32 id, Batch memory batch) = _ready(terms);
        _meter("settle 50 outcomes, holdback", stranger, address(escrow), _settleCall(batch));
        assertEq(lens.paidOf(_t(id)), EARNED - EARNED / 5);
        skip(terms.holdbackPeriod + terms.lateness + 1);
        bytes memory call = abi.encodeCall(Payments.release, (_t(id)));
        _meter("release of what was held back", stranger, address(escrow), call);
        assertEq(lens.paidOf(_t(id)), EARNED);
    }

    function test_gas_rateCap() public {
        Terms memory terms = _plain();
        (terms.rateCap, terms.ratePeriod) = (EARNED, 1 days);
        (bytes32 id, Batch memory batch) = _ready(terms);
        _meter("settle 50 outcomes, rate cap", stranger, address(escrow), _settleCall(batch));
        assertEq(lens.paidOf(_t(id)), EARNED / 2);
    }

    function test_gas_disputeAndRule() public {
        (bytes32 id, uint64 position) = _pending(_guarded());
        bytes memory call = abi.encodeCall(Disputes.dispute, (_t(id), position));
        _meter("dispute", owner.addr, address(escrow), call);
        call = abi.encodeCall(Disputes.rule, (_t(id), position, PRICE));
        _meter("rule", arbiter.addr, address(escrow), call);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    function test_gas_close() public {
        Terms memory terms = _plain();
        bytes32 id = _open(terms);
        uint64 expiresAt = uint64(block.timestamp);
        bytes memory a = _sign(owner, _closeDigest(owner.addr, id, EARNED, expiresAt));
        bytes memory b = _sign(operator, _closeDigest(operator.addr, id, EARNED, expiresAt));
        bytes memory call = abi.encodeCall(OutcomeEscrow.close, (_t(id), EARNED, expiresAt, a, b));
        _meter("close", stranger, address(escrow), call);
        assertEq(lens.statusOf(_t(id)), "closed");
    }
}
