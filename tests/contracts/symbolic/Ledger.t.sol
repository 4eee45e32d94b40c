// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Proof} from "./Proof.sol";
import {Balance, Config, newBalance, newConfig} from "contracts/escrow/Ledger.sol";

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

    /// A closing changes `endsAt` alone.
    function check_closingChangesTheEndAlone(uint216 word, uint40 endsAt) external pure {
        Balance before = Balance.wrap(word);
        Balance balance = before.withEnd(endsAt);
        assert(balance.endsAt() == endsAt && balance.budget() == before.budget());
        assert(balance.paid() == before.paid() && balance.lastFinal() == before.lastFinal());
    }

    /// A flag is set for good and touches neither payee nor price.
    function check_flagIsSetAlone(address payee, uint80 priceStep, uint16 flags, uint16 flag)
        external
        pure
    {
        Config config = newConfig(payee, priceStep, flags).withFlag(flag);
        assert(
            config.payee() == payee && config.priceStep() == priceStep
                && config.flags() == flags | flag
        );
    }
}
