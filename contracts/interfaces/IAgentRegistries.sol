// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Part of ERC-8004's Identity Registry that the escrow reads
/// @notice The registry is an ERC-721 contract, too, whose tokens are the agents.
interface IIdentityRegistry {
    /// Returns the wallet where the agent takes payments: at first its owner; zero after a
    /// transfer, after the owner has cleared it, or (in the registry that is deployed) for an agent
    /// that does not exist.
    /// @param agentId The agent.
    /// @return The wallet.
    function getAgentWallet(uint256 agentId) external view returns (address);
}

/// @title Part of ERC-8004's Reputation Registry that Feedback writes
interface IReputationRegistry {
    /// Records feedback of the caller, the client. It is refused if the client owns the agent, if
    /// the owner has approved it as an operator, or for an agent that does not exist.
    /// @param agentId The agent.
    /// @param value The value.
    /// @param valueDecimals The decimals of the value, at most 18.
    /// @param tag1 A first tag.
    /// @param tag2 A second tag.
    /// @param endpoint The agent's endpoint that the feedback is about.
    /// @param feedbackURI The address of a document.
    /// @param feedbackHash The hash of that document.
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
