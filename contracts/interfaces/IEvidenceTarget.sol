// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim, ProvenReversal} from "../evidence/EvidenceTypes.sol";
import {EventLog} from "../log/EventLog.sol";
import {Terms} from "../terms/Terms.sol";

/// @dev What the escrow says of a contract, as far as a case needs it.
struct EscrowRecord {
    bytes32 contractId;
    uint256 lastSigned; // position of the verifier's last statement, pending or final; zero: none
    uint256 lastFinal; //  position of the last final statement; zero: none
}

/// @title Escrow as Evidence reads and instructs it
/// @notice The escrow keeps no terms: callers bring them, and their digest is the contract id. Each
/// function that takes terms reverts unless a contract with these terms was opened.
interface IEvidenceTarget {
    /// Returns the event log whose checkpoints count.
    /// @return The event log.
    function eventLog() external view returns (EventLog);

    /// Returns the record of a contract.
    /// @param terms The terms of the contract.
    /// @return The record.
    function recordOf(Terms calldata terms) external view returns (EscrowRecord memory);

    /// Returns the time at which both parties closed the contract.
    /// @param contractId The contract.
    /// @return UTC seconds; zero if they have not.
    function closedAtOf(bytes32 contractId) external view returns (uint256);

    /// Returns the number of the contract in the order of opening.
    /// @param contractId The contract.
    /// @return The number, from 1; zero if it was not opened.
    function openingNumberOf(bytes32 contractId) external view returns (uint256);

    /// Returns a claim.
    /// @param contractId The contract.
    /// @param key The name of the claim.
    /// @return The claim; zeros if there is none.
    function claimOf(bytes32 contractId, bytes32 key) external view returns (Claim memory);

    /// Retires the contract's verifier, which has signed a false entry. Its pending statement is
    /// void.
    /// @param terms The terms of the contract.
    /// @param kind The rule that the entry breaks, in ASCII.
    function retire(Terms calldata terms, bytes32 kind) external;

    /// Files a claim.
    /// @param terms The terms of the contract.
    /// @param key The name of the claim.
    /// @param claim The claim.
    function fileClaim(Terms calldata terms, bytes32 key, Claim calldata claim) external;

    /// Lowers a claim that the log has refuted, in whole or in part, before or after a ruling on
    /// claims.
    /// @param terms The terms of the contract.
    /// @param key The name of the claim.
    /// @param left The amount that is left of the claim, less than it is now; zero drops it.
    /// @param kind The reason, in ASCII.
    function lowerClaim(Terms calldata terms, bytes32 key, uint256 left, bytes32 kind) external;

    /// Records what an event above the contract's last final statement takes back of an outcome on or
    /// below it, while the outcome's money is held back. Each event counts once.
    /// @param terms The terms of the contract.
    /// @param reversal What the event takes back.
    function recordReversal(Terms calldata terms, ProvenReversal calldata reversal) external;
}
