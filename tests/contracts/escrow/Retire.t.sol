// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A verifier that has signed something false is retired, for that contract and for good. Also the
/// answers of every function about a contract that does not exist.
contract RetireTest is GuardedFixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _guarded();
        id = _open(terms);
    }

    // ------------------------------------------------------------ disproved

    /// With the real parts: a stranger, the log, and Evidence.
    function test_aDisprovedStatementIsVoid() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        _settle(batch);
        vm.warp(START + CHALLENGE);
        vm.expectEmit(address(escrow));
        emit Disputes.Disproved(id, "sum");
        _disprove(id, batch);

        assertTrue(_isRetired(id));
        assertEq(_pending(id).position, 0);
        assertEq(_lastFinal(id), 0);
        assertEq(_lastSigned(id), 0);
        assertEq(lens.netOf(_t(id)), 0);
        assertEq(lens.releasableAt(_t(id)), 0);
        skip(CHALLENGE + ARBITRATION);
        assertEq(_release(id), 0);
    }

    /// I14: never again, whatever it signs.
    function test_aRetiredVerifierSettlesNothing() public {
        uint64 position = _stateFinal(terms, 2 * PRICE, 0);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        _settle(batch);
        _retire(id);
        assertEq(_settleForReason(batch), "verifier_retired");
        _refused(terms, 9 * PRICE, 0, "verifier_retired");
        skip(CHALLENGE + 1);
        _refused(terms, 2 * PRICE, PRICE, "verifier_retired");
        _assertFinal(position, 2 * PRICE);
        assertEq(lens.paidOf(_t(id)), 2 * PRICE, "what was final is paid");
        vm.warp(_t2(terms) + 1);
        escrow.refund(_t(id));
        assertEq(_heldFor(), 0);
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    /// The same verifier goes on for other contracts.
    function test_itIsRetiredForOneContractAlone() public {
        _retire(id);
        terms.salt = "second";
        _open(terms);
        _state(terms, PRICE, 0);
    }

    function test_aPlainContractsVerifierCanBeRetired() public {
        Terms memory plain = _terms();
        bytes32 plainId = _open(plain);
        Batch memory batch = _settleTotals(plain, 5 * PRICE, 0);
        _disprove(plainId, batch);
        assertTrue(_isRetired(plainId));
        assertEq(lens.paidOf(_t(plainId)), 5 * PRICE, "what is paid is paid");
        assertEq(lens.netOf(_t(plainId)), 5 * PRICE);
        _refused(plain, 6 * PRICE, 0, "verifier_retired");
        vm.warp(_t2(plain) + 1);
        _refused(plain, 6 * PRICE, 0, "verifier_retired");
        escrow.refund(_t(plainId));
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET - BUDGET - 5 * PRICE);
    }

    function test_revertIf_retiredAlready() public {
        _retire(id);
        vm.expectRevert(abi.encodeWithSelector(Disputes.AlreadyRetired.selector, id));
        _retire(id);
    }

    function test_revertIf_retiredAfterTheClose() public {
        _close(id, 0);
        vm.expectRevert(abi.encodeWithSelector(Ledgers.AlreadyClosed.selector, id));
        _retire(id);
    }

    function test_revertIf_anybodyElseRetires() public {
        address[4] memory others = [owner.addr, operator.addr, arbiter.addr, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(Disputes.NotEvidence.selector, others[i]));
            escrow.retire(_t(id), "sum");
        }
    }

    function test_revertIf_unknown() public {
        bytes memory revertData =
            abi.encodeWithSelector(Ledgers.UnknownContract.selector, escrow.contractIdOf(_t("?")));
        vm.expectRevert(revertData);
        escrow.release(_t("?"));
        vm.expectRevert(revertData);
        _dispute(owner.addr, "?");
        vm.expectRevert(revertData);
        _rule("?", 0);
        vm.expectRevert(revertData);
        _retire("?");
        vm.expectRevert(revertData);
        escrow.close(_t("?"), 0, START, "", "");
        vm.expectRevert(revertData);
        escrow.disputeClaims(_t("?"));
        vm.expectRevert(revertData);
        escrow.ruleClaims(_t("?"), 0);
        vm.expectRevert(revertData);
        lens.netOf(_t("?"));
        vm.expectRevert(revertData);
        lens.owed(_t("?"));
        vm.expectRevert(revertData);
        lens.releasable(_t("?"));
        vm.expectRevert(revertData);
        lens.releasableAt(_t("?"));
        assertEq(escrow.openingNumberOf("?"), 0);
        assertEq(escrow.closedAtOf("?"), 0);
    }

    function test_contractsAreNumberedInTheOrderOfOpening() public {
        assertEq(escrow.openingNumberOf(id), 1);
        terms.salt = "second";
        assertEq(escrow.openingNumberOf(_open(terms)), 2);
        terms.salt = "third";
        assertEq(escrow.openingNumberOf(_open(terms)), 3);
        assertEq(escrow.openingNumberOf(id), 1);
    }

    // ------------------------------------------------------------ helpers

    /// `position` is the last final statement, and nothing waits.
    function _assertFinal(uint64 position, uint256 net) private view {
        assertEq(_pending(id).position, 0);
        assertEq(_pending(id).resolvesAt, 0);
        assertEq(_lastFinal(id), position);
        assertEq(_lastSigned(id), position);
        assertEq(lens.netOf(_t(id)), net);
    }
}
