// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim} from "../evidence/EvidenceTypes.sol";
import {ClaimsStatus, GuardedRecord} from "./GuardedRecord.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title Claims by proof
/// @notice Keeps the life of claims: they are filed after T2 until T3, refuted until T4, disputed
/// and ruled on after T3 until T4, and payable after T4 (see OutcomeEscrow for these times).
/// @dev A part of the escrow with an address of its own, because the code of one contract is
/// limited.
///
/// Roles: the escrow calls by delegatecall, and has checked its caller. A direct call of any
/// account is harmless: it works on the library's own storage, which is empty.
///
/// Assumptions: Evidence has proven a claim before it is filed, and refuted it, or a part of it,
/// before it is lowered.
///
/// Liveness: claims that are neither refuted nor disputed become payable by the clock alone, and so
/// do disputed ones without a ruling.
///
/// Limits: a ruling sets the most that is paid of all claims together. What a claim is lowered by is
/// subtracted from their sum, before a ruling as after it.
library Claims {
    using SafeCast for uint256;

    error ClaimsNotOpen(uint256 from, uint256 until, uint256 nowS);
    error StatementPending(uint256 resolvesAt);
    error AlreadyClaimed(bytes32 key);
    error ClaimOverBudget(uint256 amount, uint256 left);
    error NoClaim(bytes32 key);
    error NotLower(bytes32 key, uint256 left, uint256 amount);
    error NoClaims();
    error ClaimsAlreadyDisputed();
    error ClaimsNotDisputed();
    error MoreThanClaimed(uint256 amount, uint256 claimed);

    /// Files a claim.
    /// @param record The record of the contract.
    /// @param claims The claims of the contract.
    /// @param from T2.
    /// @param until T3.
    /// @param budget The budget of the contract.
    /// @param key The name of the claim: the lead, or the position of the transition.
    /// @param claim The claim.
    function file(
        GuardedRecord storage record,
        mapping(bytes32 key => Claim) storage claims,
        uint256 from,
        uint256 until,
        uint256 budget,
        bytes32 key,
        Claim calldata claim
    ) external {
        _requireBetween(from, until);
        // A pending statement may state the same outcome. One that only adds reversals cannot, and
        // does not keep the operator from claiming.
        if (record.pendingEarned > record.earned) {
            revert StatementPending(record.resolvesAt);
        }
        // Position 0 is the log's genesis, so zero means that there is no such claim.
        if (claims[key].transition != 0) revert AlreadyClaimed(key);
        // Every claim is reserved in full, so the sum of statements and claims never exceeds the
        // budget.
        uint256 left = budget - Math.min(budget, record.highestNet(budget) + record.claimed);
        if (claim.amount > left) revert ClaimOverBudget(claim.amount, left);

        record.claimed += claim.amount;
        claims[key] = claim;
    }

    /// Lowers a claim that the log has refuted, in whole or in part. A claim of which nothing is left
    /// is dropped, and cannot be filed again.
    /// @param record The record of the contract.
    /// @param claims The claims of the contract.
    /// @param from T2.
    /// @param until T4.
    /// @param key The name of the claim.
    /// @param left The amount that is left of it, less than what it is now.
    function lower(
        GuardedRecord storage record,
        mapping(bytes32 key => Claim) storage claims,
        uint256 from,
        uint256 until,
        bytes32 key,
        uint256 left
    ) external {
        Claim storage claim = claims[key];
        if (claim.transition == 0 || claim.dropped) revert NoClaim(key);
        uint80 amount = claim.amount;
        if (left >= amount) revert NotLower(key, left, amount);
        _requireBetween(from, until);

        uint80 kept = left.toUint80();
        (claim.amount, claim.dropped) = (kept, kept == 0);
        record.claimed -= amount - kept;
    }

    /// Puts the sum of the claims before the arbiter.
    /// @param record The record of the contract.
    /// @param from T3: no claim can be filed any more.
    /// @param until T4: none is paid yet.
    function dispute(GuardedRecord storage record, uint256 from, uint256 until) external {
        if (record.claimed == 0) revert NoClaims();
        if (record.claimsStatus != ClaimsStatus.Filed) revert ClaimsAlreadyDisputed();
        _requireBetween(from, until);

        record.claimsStatus = ClaimsStatus.Disputed;
    }

    /// Sets the most that is paid of the disputed claims.
    /// @param record The record of the contract.
    /// @param from T3.
    /// @param until T4.
    /// @param amount The amount, at most the sum of the claims.
    function rule(GuardedRecord storage record, uint256 from, uint256 until, uint256 amount)
        external
    {
        if (record.claimsStatus != ClaimsStatus.Disputed) revert ClaimsNotDisputed();
        if (amount > record.claimed) revert MoreThanClaimed(amount, record.claimed);
        _requireBetween(from, until);

        record.claimsStatus = ClaimsStatus.Ruled;
        record.claimsLimit = amount.toUint80();
    }

    /// Reverts unless now is after `from` and not after `until`.
    function _requireBetween(uint256 from, uint256 until) private view {
        if (block.timestamp <= from || block.timestamp > until) {
            revert ClaimsNotOpen(from, until, block.timestamp);
        }
    }
}
