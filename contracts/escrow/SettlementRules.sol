// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../terms/Terms.sol";
import {DelayRule, PayeeRule, newDelayRule, newPayeeRule} from "./Ledger.sol";

/// @title Rules of settlement
/// @notice Packs what a settlement must know of terms, so that it needs no more of them.
/// @dev Assumptions: the terms have passed the terms rules, so every field fits its place.
library SettlementRules {
    /// Returns true for terms whose statements are paid at once and for good: nothing can be
    /// challenged, held back, slowed down or claimed.
    function isPlain(Terms calldata terms) internal pure returns (bool) {
        return terms.challengePeriod == 0 && terms.holdbackBps == 0 && terms.holdbackPeriod == 0
            && terms.rateCap == 0 && terms.claimPeriod == 0;
    }

    /// Returns the payee rule of the terms.
    function payeeRule(Terms calldata terms) internal pure returns (PayeeRule) {
        uint256 priceStep = terms.revenueShareBps == 0 ? terms.unitPrice : 0;
        return newPayeeRule(terms.payee, priceStep, !isPlain(terms));
    }

    /// Returns the delay rule of the terms; zero for plain ones.
    function delayRule(Terms calldata terms) internal pure returns (DelayRule) {
        if (isPlain(terms)) return DelayRule.wrap(0);
        return newDelayRule(
            terms.challengePeriod,
            terms.holdbackBps,
            terms.holdbackPeriod,
            terms.lateness,
            terms.rateCap,
            terms.ratePeriod
        );
    }
}
