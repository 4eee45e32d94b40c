// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The part of ERC-8004's Identity Registry that the escrow reads.
interface IIdentityRegistry {
    /// Where the agent takes payments; zero if it has named no wallet.
    function getAgentWallet(uint256 agentId) external view returns (address);
}

/// The part of ERC-8004's Reputation Registry that the escrow writes.
interface IReputationRegistry {
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
