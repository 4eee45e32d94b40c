// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Balance,
    DelayRule,
    PayeeRule,
    newBalance,
    newDelayRule,
    newPayeeRule
} from "contracts/escrow/Ledger.sol";
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
    }

    function testFuzz_flagsTouchNothingElse(uint256 word, uint16 flag, uint16 other) public pure {
        Balance before = Balance.wrap(word);
        Balance balance = before.withFlag(flag);
        _assertBalance(balance, before.paid(), before.budget(), before.lastFinal(), before.endsAt());
        assertEq(balance.flags(), before.flags() | flag);
        assertEq(balance.has(other), balance.flags() & other != 0);
    }

    function testFuzz_payeeRuleKeepsItsFields(address payee, uint80 priceStep, bool guarded)
        public
        pure
    {
        PayeeRule rule = newPayeeRule(payee, priceStep, guarded);
        assertEq(rule.payee(), payee);
        assertEq(rule.priceStep(), priceStep);
        assertEq(rule.isGuarded(), guarded);
    }

    function testFuzz_delayRuleKeepsItsFields(
        uint40 challengePeriod,
        uint16 holdbackBps,
        uint40 holdbackPeriod,
        uint40 lateness,
        uint80 rateCap,
        uint40 ratePeriod
    ) public pure {
        DelayRule rule = newDelayRule(
            challengePeriod, holdbackBps, holdbackPeriod, lateness, rateCap, ratePeriod
        );
        assertEq(rule.challengePeriod(), challengePeriod);
        assertEq(rule.holdbackBps(), holdbackBps);
        assertEq(rule.holdbackPeriod(), holdbackPeriod);
        assertEq(rule.lateness(), lateness);
        assertEq(rule.rateCap(), rateCap);
        assertEq(rule.ratePeriod(), ratePeriod);
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
