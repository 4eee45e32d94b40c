// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Balance, Deal, newBalance, newDeal} from "contracts/libraries/Ledger.sol";
import {Test} from "forge-std/Test.sol";

contract LedgerTest is Test {
    function testFuzz_balanceKeepsItsFields(
        uint80 budget,
        uint40 endsAt,
        uint80 paid,
        uint40 floor,
        uint80 paidBefore,
        uint40 floorBefore
    ) public pure {
        Balance opened = newBalance(budget, endsAt);
        _assertBalance(opened, 0, budget, 0, endsAt);
        Balance before = opened.settled(paidBefore, floorBefore);
        _assertBalance(before, paidBefore, budget, floorBefore, endsAt);
        Balance settled = before.settled(paid, floor);
        _assertBalance(settled, paid, budget, floor, endsAt);
        _assertBalance(settled.refunded(), paid, paid, floor, endsAt);
    }

    function testFuzz_dealKeepsItsFields(address payee, uint80 unit) public pure {
        Deal deal = newDeal(payee, unit);
        assertEq(deal.payee(), payee);
        assertEq(deal.unit(), unit);
    }

    function _assertBalance(
        Balance balance,
        uint256 paid,
        uint256 budget,
        uint256 floor,
        uint256 endsAt
    ) private pure {
        assertEq(balance.paid(), paid);
        assertEq(balance.budget(), budget);
        assertEq(balance.floor(), floor);
        assertEq(balance.endsAt(), endsAt);
    }
}
