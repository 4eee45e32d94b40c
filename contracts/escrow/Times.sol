// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../terms/Terms.sol";

/// @title Times of a contract
/// @notice Computes the last seconds that terms fix (see OutcomeEscrow).
/// @dev Assumptions: sums of times fit 40 bits, by the terms rules.
library Times {
    /// Returns T2, the last second for statements.
    function statementsUntil(Terms calldata terms) internal pure returns (uint256) {
        return uint256(terms.deadline) + terms.grace;
    }

    /// Returns T3, the last second for claims.
    function claimsUntil(Terms calldata terms) internal pure returns (uint256) {
        return statementsUntil(terms) + terms.claimPeriod;
    }

    /// Returns T4, the last second to refute or dispute claims. Claims are not held back, so none is
    /// paid while an event can still take its outcome back, and within a day of the last such event:
    /// it must be anchored and shown.
    function refutableUntil(Terms calldata terms) internal pure returns (uint256) {
        uint256 until = claimsUntil(terms);
        if (terms.claimPeriod == 0) return until;
        until += terms.claimPeriod;
        uint256 reversible = uint256(terms.deadline) + terms.lateness + terms.holdbackPeriod;
        uint256 shown = reversible + 1 days;
        return until > shown ? until : shown;
    }
}
