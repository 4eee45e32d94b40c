// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim} from "../evidence/EvidenceTypes.sol";
import {EventLog} from "../log/EventLog.sol";
import {Terms} from "../terms/Terms.sol";

/// What `Evidence` asks of an escrow, and tells it.
interface IEvidenceTarget {
    function eventLog() external view returns (EventLog);
    function termsOf(bytes32 contractId) external view returns (Terms memory);
    /// The highest position of a statement that the contract's verifier has signed here.
    function reachOf(bytes32 contractId) external view returns (uint256);
    /// The position of the contract's last final statement.
    function floorOf(bytes32 contractId) external view returns (uint256);
    /// Zero if the contract was not closed by its parties.
    function closedAtOf(bytes32 contractId) external view returns (uint256);
    /// 1, 2, 3 ... in the order of opening.
    function openingNumberOf(bytes32 contractId) external view returns (uint256);
    function claimOf(bytes32 contractId, bytes32 key) external view returns (Claim memory);

    /// The verifier has signed something false.
    function retire(bytes32 contractId, bytes32 kind) external;
    function fileClaim(bytes32 contractId, bytes32 key, Claim calldata claim) external;
    /// The log has refuted a claim, whether the arbiter has ruled on claims or not.
    function dropClaim(bytes32 contractId, bytes32 key, bytes32 kind) external;
}
