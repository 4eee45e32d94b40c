// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Signatures} from "../escrow/Signatures.sol";
import {IIdentityRegistry, IReputationRegistry} from "../interfaces/IAgentRegistries.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {
    ERC721URIStorage
} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721URIStorage.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title ERC-8004's Identity Registry, for local chains only
/// @notice Gives agents an id and a wallet, with the ERC's signatures and events and the rules of
/// the registry that is deployed on public chains. It leaves metadata out.
contract IdentityRegistry is ERC721URIStorage, EIP712, IIdentityRegistry {
    bytes32 private constant AGENT_WALLET_SET = keccak256(
        "AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)"
    );
    /// The longest time to the deadline of a new wallet's signature.
    uint256 public constant MAX_DEADLINE_DELAY = 5 minutes;

    uint256 private _count;
    mapping(uint256 agentId => address) private _wallets;

    /// An agent was registered.
    event Registered(uint256 indexed agentId, string agentURI, address indexed owner);
    /// Emitted here for the reserved key `agentWallet` alone: 20 bytes, or none where it is
    /// cleared.
    event MetadataSet(
        uint256 indexed agentId,
        string indexed indexedMetadataKey,
        string metadataKey,
        bytes metadataValue
    );

    error NotAuthorized(uint256 agentId, address caller);
    error ZeroWallet();
    error DeadlinePassed(uint256 deadline, uint256 nowS);
    error DeadlineTooFar(uint256 deadline, uint256 limit);
    error NotSignedByWallet(bytes32 digest, address wallet);

    constructor() ERC721("AgentIdentity", "AGENT") EIP712("ERC8004IdentityRegistry", "1") {}

    /// Registers an agent of the caller. The first id is 0. The agent's wallet is the caller.
    function register(string calldata agentURI) external returns (uint256 agentId) {
        agentId = _count++;
        _setTokenURI(agentId, agentURI);
        emit Registered(agentId, agentURI, msg.sender);
        _setWallet(agentId, msg.sender, abi.encodePacked(msg.sender));
        _safeMint(msg.sender, agentId);
    }

    /// Sets the wallet, by the agent's owner or operators, with the new wallet's EIP-712 or
    /// ERC-1271 signature.
    function setAgentWallet(
        uint256 agentId,
        address newWallet,
        uint256 deadline,
        bytes calldata signature
    ) external {
        _requireAuthorized(agentId);
        if (newWallet == address(0)) revert ZeroWallet();
        if (deadline < block.timestamp) revert DeadlinePassed(deadline, block.timestamp);
        uint256 limit = block.timestamp + MAX_DEADLINE_DELAY;
        if (deadline > limit) revert DeadlineTooFar(deadline, limit);
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(AGENT_WALLET_SET, agentId, newWallet, ownerOf(agentId), deadline))
        );
        if (!Signatures.isValid(newWallet, digest, signature)) {
            revert NotSignedByWallet(digest, newWallet);
        }
        _setWallet(agentId, newWallet, abi.encodePacked(newWallet));
    }

    /// Clears the wallet, by the agent's owner or operators.
    function unsetAgentWallet(uint256 agentId) external {
        _requireAuthorized(agentId);
        _setWallet(agentId, address(0), "");
    }

    /// @inheritdoc IIdentityRegistry
    function getAgentWallet(uint256 agentId) external view returns (address) {
        return _wallets[agentId];
    }

    /// Returns true if the account is the agent's owner or operator. Reverts for an agent that does
    /// not exist.
    function isAuthorizedOrOwner(address spender, uint256 agentId) public view returns (bool) {
        return _isAuthorized(ownerOf(agentId), spender, agentId);
    }

    /// @dev Clears the wallet on a transfer: the new owner names its own.
    function _update(address to, uint256 agentId, address auth)
        internal
        override
        returns (address from)
    {
        from = super._update(to, agentId, auth);
        if (from != address(0)) _setWallet(agentId, address(0), "");
    }

    /// Stores a wallet and tells it as the registry's reserved metadata.
    function _setWallet(uint256 agentId, address wallet, bytes memory metadataValue) private {
        _wallets[agentId] = wallet;
        emit MetadataSet(agentId, "agentWallet", "agentWallet", metadataValue);
    }

    /// Reverts unless the caller is the agent's owner or operator.
    function _requireAuthorized(uint256 agentId) private view {
        if (!isAuthorizedOrOwner(msg.sender, agentId)) revert NotAuthorized(agentId, msg.sender);
    }
}

/// @title ERC-8004's Reputation Registry, for local chains only
/// @notice Takes and returns feedback, with the ERC's signatures and event and the rules of the
/// registry that is deployed on public chains. It leaves out revocations and answers.
contract ReputationRegistry is IReputationRegistry {
    struct Feedback {
        int128 value;
        uint8 valueDecimals;
        string tag1;
        string tag2;
    }

    /// The largest amount of a value, positive or negative.
    int128 public constant MAX_ABS_VALUE = 1e38;
    /// The most decimals of a value.
    uint8 public constant MAX_DECIMALS = 18;

    IdentityRegistry private immutable _identities;
    mapping(uint256 agentId => mapping(address client => Feedback[])) private _feedback;
    mapping(uint256 agentId => address[]) private _clients;

    /// A client has given feedback; the first index of each client is 1.
    event NewFeedback(
        uint256 indexed agentId,
        address indexed clientAddress,
        uint64 feedbackIndex,
        int128 value,
        uint8 valueDecimals,
        string indexed indexedTag1,
        string tag1,
        string tag2,
        string endpoint,
        string feedbackURI,
        bytes32 feedbackHash
    );

    error TooManyDecimals(uint8 valueDecimals, uint8 limit);
    error ValueTooLarge(int128 value, int128 limit);
    error SelfFeedback(uint256 agentId, address client);
    error NoSuchFeedback(uint256 agentId, address client, uint64 feedbackIndex);
    error NoClients();

    constructor(IdentityRegistry identities) {
        _identities = identities;
    }

    /// Returns the registry of the agents.
    function getIdentityRegistry() external view returns (address) {
        return address(_identities);
    }

    /// @inheritdoc IReputationRegistry
    function giveFeedback(
        uint256 agentId,
        int128 value,
        uint8 valueDecimals,
        string memory tag1,
        string memory tag2,
        string memory endpoint,
        string memory feedbackURI,
        bytes32 feedbackHash
    ) external {
        if (valueDecimals > MAX_DECIMALS) {
            revert TooManyDecimals(valueDecimals, MAX_DECIMALS);
        }
        if (value > MAX_ABS_VALUE || value < -MAX_ABS_VALUE) {
            revert ValueTooLarge(value, MAX_ABS_VALUE);
        }
        if (_identities.isAuthorizedOrOwner(msg.sender, agentId)) {
            revert SelfFeedback(agentId, msg.sender);
        }

        if (_feedback[agentId][msg.sender].length == 0) _clients[agentId].push(msg.sender);
        _feedback[agentId][msg.sender].push(Feedback(value, valueDecimals, tag1, tag2));
        emit NewFeedback(
            agentId,
            msg.sender,
            uint64(_feedback[agentId][msg.sender].length),
            value,
            valueDecimals,
            tag1,
            tag1,
            tag2,
            endpoint,
            feedbackURI,
            feedbackHash
        );
    }

    /// Returns the clients of an agent, in the order of their first feedback.
    function getClients(uint256 agentId) external view returns (address[] memory) {
        return _clients[agentId];
    }

    /// Returns the number of times that a client has given an agent feedback, which is the index of
    /// its last feedback.
    function getLastIndex(uint256 agentId, address client) external view returns (uint64) {
        return uint64(_feedback[agentId][client].length);
    }

    /// Returns one feedback of a client. The first index is 1.
    function readFeedback(uint256 agentId, address client, uint64 feedbackIndex)
        external
        view
        returns (
            int128 value,
            uint8 valueDecimals,
            string memory tag1,
            string memory tag2,
            bool isRevoked
        )
    {
        Feedback[] storage given = _feedback[agentId][client];
        if (feedbackIndex == 0 || feedbackIndex > given.length) {
            revert NoSuchFeedback(agentId, client, feedbackIndex);
        }
        Feedback storage one = given[feedbackIndex - 1];
        return (one.value, one.valueDecimals, one.tag1, one.tag2, false);
    }

    /// Returns the number of these clients' feedbacks, and their average, rounded towards zero,
    /// with the decimals that are used most (the fewest of several). An empty tag stands for every
    /// tag.
    function getSummary(
        uint256 agentId,
        address[] calldata clients,
        string calldata tag1,
        string calldata tag2
    ) external view returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals) {
        if (clients.length == 0) revert NoClients();
        int256 sum = 0; // with 18 decimals
        uint64[19] memory uses;
        for (uint256 i = 0; i < clients.length; ++i) {
            Feedback[] storage given = _feedback[agentId][clients[i]];
            for (uint256 j = 0; j < given.length; ++j) {
                Feedback storage one = given[j];
                if (!_matches(tag1, one.tag1) || !_matches(tag2, one.tag2)) continue;
                sum += one.value * _scale(one.valueDecimals);
                ++uses[one.valueDecimals];
                ++count;
            }
        }
        if (count == 0) return (0, 0, 0);

        for (uint8 decimals = 1; decimals <= MAX_DECIMALS; ++decimals) {
            if (uses[decimals] > uses[summaryValueDecimals]) summaryValueDecimals = decimals;
        }
        // No average is larger than the values, which fit.
        // forge-lint: disable-next-line(unsafe-typecast)
        summaryValue = int128(sum / int256(uint256(count)) / _scale(summaryValueDecimals));
    }

    /// Returns the factor that brings a value with these decimals to 18.
    function _scale(uint8 decimals) private pure returns (int256) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return int256(10 ** uint256(MAX_DECIMALS - decimals));
    }

    /// Returns true if the wanted tag is the given one, or empty.
    function _matches(string calldata wanted, string memory tag) private pure returns (bool) {
        return bytes(wanted).length == 0 || keccak256(bytes(wanted)) == keccak256(bytes(tag));
    }
}
