// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Proof} from "./Proof.sol";
import {Balance, Deal, newBalance, newDeal} from "contracts/escrow/Ledger.sol";

/// For every value of their arguments: a contract's words keep apart what they hold.
contract LedgerProofs is Proof {
    function check_newBalanceHoldsWhatItIsGiven(uint80 budget, uint40 endsAt) external pure {
        Balance balance = newBalance(budget, endsAt);
        assert(balance.budget() == budget && balance.endsAt() == endsAt);
        assert(balance.paid() == 0 && balance.floor() == 0);
    }

    /// Whatever the word held before, a settlement changes `paid` and `floor` alone.
    function check_settlementChangesPaidAndFloorAlone(uint256 word, uint80 paid, uint40 floor)
        external
        pure
    {
        Balance before = Balance.wrap(word);
        Balance balance = before.settled(paid, floor);
        assert(balance.paid() == paid && balance.floor() == floor);
        assert(balance.budget() == before.budget() && balance.endsAt() == before.endsAt());
    }

    /// A refund changes `budget` alone, and so it changes nothing that was paid.
    function check_refundChangesTheBudgetAlone(uint256 word, uint80 budget) external pure {
        Balance before = Balance.wrap(word);
        Balance balance = before.withBudget(budget);
        assert(balance.budget() == budget && balance.paid() == before.paid());
        assert(balance.floor() == before.floor() && balance.endsAt() == before.endsAt());
    }

    /// A closing changes `endsAt` alone.
    function check_closingChangesTheEndAlone(uint216 word, uint40 endsAt) external pure {
        Balance before = Balance.wrap(word);
        Balance balance = before.withEnd(endsAt);
        assert(balance.endsAt() == endsAt && balance.budget() == before.budget());
        assert(balance.paid() == before.paid() && balance.floor() == before.floor());
    }

    /// A flag is set for good and touches neither payee nor price.
    function check_flagIsSetAlone(address payee, uint80 unit, uint16 flags, uint16 flag)
        external
        pure
    {
        Deal deal = newDeal(payee, unit, flags).withFlag(flag);
        assert(deal.payee() == payee && deal.unit() == unit && deal.flags() == flags | flag);
    }
}
