// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The part of ERC-8004's Identity Registry that the escrow reads.
interface IIdentityRegistry {
    /// Where the agent takes payments: at first its owner; zero after a transfer, after the owner
    /// has cleared it, or (in the registry that is deployed) for an agent that does not exist.
    function getAgentWallet(uint256 agentId) external view returns (address);
}

/// The part of ERC-8004's Reputation Registry that Feedback writes.
interface IReputationRegistry {
    /// The caller is the client. It is refused if it owns the agent, if the owner has approved it as
    /// an operator, or for an agent that does not exist; `value` has at most 18 decimals.
    function giveFeedback(
        uint256 agentId,
        int128 value,
        uint8 valueDecimals,
        string calldata tag1,
        string calldata tag2,
        string calldata endpoint,
        string calldata feedbackURI,
        bytes32 feedbackHash
    ) external;
}
