// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Proof} from "./Proof.sol";
import {
    Balance,
    DelayRule,
    PayeeRule,
    newBalance,
    newDelayRule,
    newPayeeRule
} from "contracts/escrow/Ledger.sol";

/// For every value of their arguments: a contract's words keep apart what they hold.
contract LedgerProofs is Proof {
    function check_newBalanceHoldsWhatItIsGiven(uint80 budget, uint40 endsAt) external pure {
        Balance balance = newBalance(budget, endsAt);
        assert(balance.budget() == budget && balance.endsAt() == endsAt);
        assert(balance.paid() == 0 && balance.lastFinal() == 0);
    }

    /// Whatever the word held before, a settlement changes `paid` and `lastFinal` alone.
    function check_settlementChangesPaidAndFloorAlone(uint256 word, uint80 paid, uint40 lastFinal)
        external
        pure
    {
        Balance before = Balance.wrap(word);
        Balance balance = before.withSettlement(paid, lastFinal);
        assert(balance.paid() == paid && balance.lastFinal() == lastFinal);
        assert(balance.budget() == before.budget() && balance.endsAt() == before.endsAt());
    }

    /// A refund changes `budget` alone, and so it changes nothing that was paid.
    function check_refundChangesTheBudgetAlone(uint256 word, uint80 budget) external pure {
        Balance before = Balance.wrap(word);
        Balance balance = before.withBudget(budget);
        assert(balance.budget() == budget && balance.paid() == before.paid());
        assert(balance.lastFinal() == before.lastFinal() && balance.endsAt() == before.endsAt());
    }

    /// A flag is set for good, alone.
    function check_flagIsSetAlone(uint256 word, uint16 flag) external pure {
        Balance before = Balance.wrap(word);
        Balance balance = before.withFlag(flag);
        assert(balance.flags() == before.flags() | flag && balance.endsAt() == before.endsAt());
        assert(balance.paid() == before.paid() && balance.lastFinal() == before.lastFinal());
        assert(balance.budget() == before.budget());
    }

    function check_payeeRuleHoldsWhatItIsGiven(address payee, uint80 priceStep, bool guarded)
        external
        pure
    {
        PayeeRule rule = newPayeeRule(payee, priceStep, guarded);
        assert(rule.payee() == payee && rule.priceStep() == priceStep);
        assert(rule.isGuarded() == guarded);
    }

    function check_delayRuleHoldsWhatItIsGiven(
        uint40 challengePeriod,
        uint16 holdbackBps,
        uint40 holdbackPeriod,
        uint40 lateness,
        uint80 rateCap,
        uint40 ratePeriod
    ) external pure {
        DelayRule rule = newDelayRule(
            challengePeriod, holdbackBps, holdbackPeriod, lateness, rateCap, ratePeriod
        );
        assert(rule.challengePeriod() == challengePeriod && rule.holdbackBps() == holdbackBps);
        assert(rule.holdbackPeriod() == holdbackPeriod && rule.lateness() == lateness);
        assert(rule.rateCap() == rateCap && rule.ratePeriod() == ratePeriod);
    }
}
