// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Balance, Config, newBalance, newConfig} from "contracts/escrow/Ledger.sol";
import {Test} from "forge-std/Test.sol";

contract LedgerTest is Test {
    function testFuzz_balanceKeepsItsFields(
        uint80 budget,
        uint40 endsAt,
        uint80 paid,
        uint40 lastFinal,
        uint80 paidBefore,
        uint40 lastFinalBefore,
        uint80 budgetAfter
    ) public pure {
        Balance opened = newBalance(budget, endsAt);
        _assertBalance(opened, 0, budget, 0, endsAt);
        Balance before = opened.withSettlement(paidBefore, lastFinalBefore);
        _assertBalance(before, paidBefore, budget, lastFinalBefore, endsAt);
        Balance settled = before.withSettlement(paid, lastFinal);
        _assertBalance(settled, paid, budget, lastFinal, endsAt);
        _assertBalance(settled.withBudget(budgetAfter), paid, budgetAfter, lastFinal, endsAt);
        _assertBalance(settled.withEnd(lastFinalBefore), paid, budget, lastFinal, lastFinalBefore);
    }

    function testFuzz_dealKeepsItsFields(address payee, uint80 priceStep, uint16 flags, uint16 flag)
        public
        pure
    {
        Config config = newConfig(payee, priceStep, flags);
        _assertDeal(config, payee, priceStep, flags);
        _assertDeal(config.withFlag(flag), payee, priceStep, flags | flag);
        assertEq(config.has(flag), flags & flag != 0);
    }

    function _assertDeal(Config config, address payee, uint256 priceStep, uint256 flags)
        private
        pure
    {
        assertEq(config.payee(), payee);
        assertEq(config.priceStep(), priceStep);
        assertEq(config.flags(), flags);
    }

    function _assertBalance(
        Balance balance,
        uint256 paid,
        uint256 budget,
        uint256 lastFinal,
        uint256 endsAt
    ) private pure {
        assertEq(balance.paid(), paid);
        assertEq(balance.budget(), budget);
        assertEq(balance.lastFinal(), lastFinal);
        assertEq(balance.endsAt(), endsAt);
    }
}
