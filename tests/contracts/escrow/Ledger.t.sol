// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Balance, Deal, newBalance, newDeal} from "contracts/escrow/Ledger.sol";
import {Test} from "forge-std/Test.sol";

contract LedgerTest is Test {
    function testFuzz_balanceKeepsItsFields(
        uint80 budget,
        uint40 endsAt,
        uint80 paid,
        uint40 floor,
        uint80 paidBefore,
        uint40 floorBefore,
        uint80 budgetAfter
    ) public pure {
        Balance opened = newBalance(budget, endsAt);
        _assertBalance(opened, 0, budget, 0, endsAt);
        Balance before = opened.settled(paidBefore, floorBefore);
        _assertBalance(before, paidBefore, budget, floorBefore, endsAt);
        Balance settled = before.settled(paid, floor);
        _assertBalance(settled, paid, budget, floor, endsAt);
        _assertBalance(settled.withBudget(budgetAfter), paid, budgetAfter, floor, endsAt);
        _assertBalance(settled.withEnd(floorBefore), paid, budget, floor, floorBefore);
    }

    function testFuzz_dealKeepsItsFields(address payee, uint80 unit, uint16 flags, uint16 flag)
        public
        pure
    {
        Deal deal = newDeal(payee, unit, flags);
        _assertDeal(deal, payee, unit, flags);
        _assertDeal(deal.withFlag(flag), payee, unit, flags | flag);
        assertEq(deal.has(flag), flags & flag != 0);
    }

    function _assertDeal(Deal deal, address payee, uint256 unit, uint256 flags) private pure {
        assertEq(deal.payee(), payee);
        assertEq(deal.unit(), unit);
        assertEq(deal.flags(), flags);
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
