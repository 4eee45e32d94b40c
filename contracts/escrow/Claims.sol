// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim} from "../evidence/EvidenceTypes.sol";
import {Terms} from "../terms/Terms.sol";
import {ClaimsStatus, Position} from "./ContractRecord.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// The life of claims by proof: filed after T2 until T3, refuted until T4, disputed and ruled on in
/// between, payable after T4. See OutcomeEscrow for these times. A ruling is the most that is paid; a
/// claim that is refuted comes off their sum before it and after it. A part of the escrow with an
/// address of its own, because one contract's code is limited.
///
/// It assumes that the escrow calls, and has checked who called it. Called directly it works on an
/// empty storage of its own.
library Claims {
    using SafeCast for uint256;

    error ClaimsNotOpen(uint256 from, uint256 until, uint256 nowS);
    error StatementPending(uint256 resolvesAt);
    error AlreadyClaimed(bytes32 key);
    error ClaimOverBudget(uint256 amount, uint256 left);
    error NoClaim(bytes32 key);
    error NoClaims();
    error ClaimsAlreadyDisputed();
    error ClaimsNotDisputed();
    error MoreThanClaimed(uint256 amount, uint256 claimed);

    function file(
        Position storage record,
        mapping(bytes32 key => Claim) storage claims,
        Terms memory terms,
        uint256 budget,
        bytes32 key,
        Claim calldata claim
    ) external {
        uint256 from = uint256(terms.deadline) + terms.grace;
        _requireBetween(from, from + terms.claimPeriod);
        // A statement that only takes back cannot keep the operator from claiming.
        if (record.pendingEarned > record.earned) {
            revert StatementPending(record.resolvesAt);
        }
        if (claims[key].transition != 0) revert AlreadyClaimed(key);
        uint256 left = budget - Math.min(budget, record.highestNet(budget) + record.claimed);
        if (claim.amount > left) revert ClaimOverBudget(claim.amount, left);

        record.claimed += claim.amount;
        claims[key] = claim;
    }

    function drop(
        Position storage record,
        mapping(bytes32 key => Claim) storage claims,
        Terms memory terms,
        bytes32 key
    ) external {
        Claim storage claim = claims[key];
        if (claim.transition == 0 || claim.dropped) revert NoClaim(key);
        uint256 from = uint256(terms.deadline) + terms.grace;
        _requireBetween(from, from + 2 * uint256(terms.claimPeriod));

        claim.dropped = true;
        record.claimed -= claim.amount;
    }

    function dispute(Position storage record, Terms memory terms) external {
        if (record.claimed == 0) revert NoClaims();
        if (record.claimsStatus != ClaimsStatus.Filed) revert ClaimsAlreadyDisputed();
        _requireSecondHalf(terms);

        record.claimsStatus = ClaimsStatus.Disputed;
    }

    function rule(Position storage record, Terms memory terms, uint256 amount) external {
        if (record.claimsStatus != ClaimsStatus.Disputed) revert ClaimsNotDisputed();
        if (amount > record.claimed) revert MoreThanClaimed(amount, record.claimed);
        _requireSecondHalf(terms);

        record.claimsStatus = ClaimsStatus.Ruled;
        record.claimsLimit = amount.toUint80();
    }

    /// No more can be filed, and none are paid yet.
    function _requireSecondHalf(Terms memory terms) private view {
        uint256 from = uint256(terms.deadline) + terms.grace + terms.claimPeriod;
        _requireBetween(from, from + terms.claimPeriod);
    }

    function _requireBetween(uint256 from, uint256 until) private view {
        if (block.timestamp <= from || block.timestamp > until) {
            revert ClaimsNotOpen(from, until, block.timestamp);
        }
    }
}
