// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// One test for each leaf of the tree beside statusOf.
contract StatusTest is Fixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _terms();
        terms.opensAt = START + 10;
        id = _open(terms);
    }

    function test_unknown() public view {
        assertEq(escrow.statusOf("?"), "unknown");
    }

    function test_scheduled() public {
        assertEq(escrow.statusOf(id), "scheduled");
        vm.warp(terms.opensAt - 1);
        assertEq(escrow.statusOf(id), "scheduled");
    }

    function test_open() public {
        vm.warp(terms.opensAt);
        assertEq(escrow.statusOf(id), "open");
        vm.warp(terms.deadline);
        assertEq(escrow.statusOf(id), "open");
    }

    function test_settling() public {
        vm.warp(terms.deadline + 1);
        assertEq(escrow.statusOf(id), "settling");
        vm.warp(terms.deadline + terms.grace);
        assertEq(escrow.statusOf(id), "settling");
    }

    function test_refundable() public {
        vm.warp(terms.deadline + terms.grace + 1);
        assertEq(escrow.statusOf(id), "refundable");
    }

    function test_refunded() public {
        vm.warp(terms.deadline + terms.grace + 1);
        escrow.refund(id);
        assertEq(escrow.statusOf(id), "refunded");
    }

    function test_paidOut() public {
        vm.warp(terms.opensAt);
        _settleTotals(terms, BUDGET, 0);
        assertEq(escrow.statusOf(id), "paid_out");
        vm.warp(terms.deadline + terms.grace + 1);
        assertEq(escrow.statusOf(id), "paid_out");
    }

    function test_revertIf_factsOfAnUnknownContractAreAsked() public {
        bytes memory revertData =
            abi.encodeWithSelector(OutcomeEscrow.UnknownContract.selector, bytes32("?"));
        vm.expectRevert(revertData);
        escrow.termsOf("?");
        vm.expectRevert(revertData);
        escrow.paidOf("?");
        vm.expectRevert(revertData);
        escrow.lastFinalPosition("?");
    }
}
