// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim} from "../evidence/EvidenceTypes.sol";
import {EventLog} from "../log/EventLog.sol";
import {Terms} from "../terms/Terms.sol";

/// @title Escrow as Evidence reads and instructs it
interface IEvidenceTarget {
    /// Returns the event log whose checkpoints count.
    /// @return The event log.
    function eventLog() external view returns (EventLog);

    /// Returns the terms of a contract. Reverts for one that was not opened.
    /// @param contractId The contract.
    /// @return The terms.
    function termsOf(bytes32 contractId) external view returns (Terms memory);

    /// Returns the position of the last statement that the contract's verifier has signed here,
    /// pending or final.
    /// @param contractId The contract.
    /// @return The position; zero if there is none.
    function lastSignedPosition(bytes32 contractId) external view returns (uint256);

    /// Returns the position of the contract's last final statement.
    /// @param contractId The contract.
    /// @return The position; zero if there is none.
    function lastFinalPosition(bytes32 contractId) external view returns (uint256);

    /// Returns the time at which both parties closed the contract.
    /// @param contractId The contract.
    /// @return UTC seconds; zero if they have not.
    function closedAtOf(bytes32 contractId) external view returns (uint256);

    /// Returns the number of the contract in the order of opening.
    /// @param contractId The contract.
    /// @return The number, from 1.
    function openingNumberOf(bytes32 contractId) external view returns (uint256);

    /// Returns a claim.
    /// @param contractId The contract.
    /// @param key The name of the claim.
    /// @return The claim; zeros if there is none.
    function claimOf(bytes32 contractId, bytes32 key) external view returns (Claim memory);

    /// Retires the contract's verifier, which has signed a false entry. Its pending statement is
    /// void.
    /// @param contractId The contract.
    /// @param kind The rule that the entry breaks, in ASCII.
    function retire(bytes32 contractId, bytes32 kind) external;

    /// Files a claim.
    /// @param contractId The contract.
    /// @param key The name of the claim.
    /// @param claim The claim.
    function fileClaim(bytes32 contractId, bytes32 key, Claim calldata claim) external;

    /// Lowers a claim that the log has refuted, in whole or in part, before or after a ruling on
    /// claims.
    /// @param contractId The contract.
    /// @param key The name of the claim.
    /// @param left The amount that is left of the claim, less than it is now; zero drops it.
    /// @param kind The reason, in ASCII.
    function lowerClaim(bytes32 contractId, bytes32 key, uint256 left, bytes32 kind) external;

    /// Records what the log has taken back of an outcome that stands on or below the contract's last
    /// final statement.
    /// @param contractId The contract, a guarded one.
    /// @param outcome The position of the outcome.
    /// @param amount The amount that was taken back in all so far, more than what is recorded.
    function recordReversal(bytes32 contractId, uint64 outcome, uint256 amount) external;
}
