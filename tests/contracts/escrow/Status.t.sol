// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
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
        assertEq(lens.statusOf(_t("?")), "unknown");
    }

    /// Terms that differ in any word are those of another contract, and of none.
    function testFuzz_unknownWithAnyOtherWord(uint256 word, uint256 change) public {
        bytes memory encoded = abi.encode(terms);
        change = bound(change, 1, type(uint8).max);
        encoded[bound(word, 0, 31) * 32 + 31] ^= bytes1(uint8(change));
        (bool success, bytes memory answer) =
            address(escrow).call(bytes.concat(escrow.release.selector, encoded));
        assertFalse(success);
        bytes4 selector = Ledgers.UnknownContract.selector;
        assertTrue(answer.length == 0 || bytes4(answer) == selector);
        encoded = abi.encode(terms);
        (success,) = address(escrow).call(bytes.concat(escrow.release.selector, encoded));
        assertTrue(success);
    }

    /// Nor do upper bits that no field has make other terms of them.
    function testFuzz_unknownWithDirtyWords(uint256 word, uint256 bit) public {
        bytes memory encoded = abi.encode(terms);
        // of the addresses; every place of a whole word is in use
        encoded[bound(word, 0, 5) * 32 + bound(bit, 0, 11)] ^= 0x01;
        (bool success,) = address(escrow).call(bytes.concat(escrow.release.selector, encoded));
        assertFalse(success);
    }

    function test_scheduled() public {
        assertEq(lens.statusOf(_t(id)), "scheduled");
        vm.warp(terms.opensAt - 1);
        assertEq(lens.statusOf(_t(id)), "scheduled");
    }

    function test_open() public {
        vm.warp(terms.opensAt);
        assertEq(lens.statusOf(_t(id)), "open");
        vm.warp(terms.deadline);
        assertEq(lens.statusOf(_t(id)), "open");
    }

    function test_settling() public {
        vm.warp(terms.deadline + 1);
        assertEq(lens.statusOf(_t(id)), "settling");
        vm.warp(terms.deadline + terms.grace);
        assertEq(lens.statusOf(_t(id)), "settling");
    }

    function test_refundable() public {
        vm.warp(terms.deadline + terms.grace + 1);
        assertEq(lens.statusOf(_t(id)), "refundable");
    }

    /// Without claims there is nothing to refute, however long events can take outcomes back.
    function test_refundableWhileOutcomesCanBeTakenBack() public {
        terms.salt = "holdback";
        (terms.holdbackBps, terms.holdbackPeriod) = (5000, 30 days);
        terms.grace = terms.lateness + 1 days;
        id = _open(terms);
        vm.warp(terms.deadline + terms.grace);
        assertEq(lens.statusOf(_t(id)), "settling");
        vm.warp(terms.deadline + terms.grace + 1);
        assertEq(lens.statusOf(_t(id)), "refundable");
    }

    function test_refunded() public {
        vm.warp(terms.deadline + terms.grace + 1);
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    function test_paidOut() public {
        vm.warp(terms.opensAt);
        _settleTotals(terms, BUDGET, 0);
        assertEq(lens.statusOf(_t(id)), "paid_out");
        vm.warp(terms.deadline + terms.grace + 1);
        assertEq(lens.statusOf(_t(id)), "paid_out");
    }

    function test_revertIf_factsOfAnUnknownContractAreAsked() public {
        Terms memory unknown = _t("?");
        bytes memory revertData =
            abi.encodeWithSelector(Ledgers.UnknownContract.selector, escrow.contractIdOf(unknown));
        vm.expectRevert(revertData);
        escrow.recordOf(unknown);
        vm.expectRevert(revertData);
        escrow.snapshotOf(unknown);
        vm.expectRevert(revertData);
        lens.snapshotOf(unknown);
        vm.expectRevert(revertData);
        lens.paidOf(unknown);
    }
}
