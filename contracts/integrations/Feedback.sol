// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EscrowLens} from "../escrow/EscrowLens.sol";
import {Release} from "../escrow/Release.sol";
import {IReputationRegistry} from "../interfaces/IAgentRegistries.sol";
import {Terms} from "../terms/Terms.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

/// @title ERC-8004 feedback of settled contracts
/// @notice Writes the amount that an outcome contract has paid to its payee, fees apart, to
/// ERC-8004's Reputation Registry, once, after its end: when it is closed, or all is paid or
/// refunded. The registry shows this contract's address as the client, so feedback from it is money
/// that the agent's wallet was paid. A contract that paid nothing gives none.
/// @dev Roles:
/// - The owner or the operator of a contract gives its feedback.
///
/// Assumptions:
/// - The lens, its escrow and the registry, fixed at construction, are what they seem. The amount and the
///   agent are the escrow's. It opens no contract for an agent whose wallet, owner or approved
///   account has not signed as the operator, so feedback is about agents that agreed to it.
///
/// Liveness:
/// - This contract holds no money and none depends on it. A registry that refuses stops feedback
///   alone.
/// - The agent's owner can have feedback refused by approving this contract as its operator, and
///   the registry's owner can refuse it as well.
///
/// Limits:
/// - The motion, the endpoint and the document behind the URI are the caller's word. The party that
///   calls first chooses them, for good.
/// - Owner and operator may be one person with a log and a verifier of their own. Feedback shows
///   that money moved, not that it was earned.
contract Feedback {
    /// The lens on the escrow whose contracts this is about.
    EscrowLens public immutable lens;
    /// The ERC-8004 Reputation Registry.
    IReputationRegistry public immutable reputations;

    /// The contracts whose feedback was given.
    mapping(bytes32 contractId => bool) public isGiven;

    /// Emitted when the registry has taken the feedback of a contract, which has paid `amount` to its
    /// payee.
    event FeedbackGiven(bytes32 indexed contractId, uint256 indexed agentId, uint256 amount);

    error NotAContract(address account);
    error NotAParty(bytes32 contractId, address caller);
    error NoAgent(bytes32 contractId);
    error NotEnded(bytes32 contractId, bytes32 status);
    error NothingPaid(bytes32 contractId);
    error AlreadyGiven(bytes32 contractId);
    error UnknownMotion(bytes32 motion);

    constructor(EscrowLens lens_, IReputationRegistry reputations_) {
        if (address(lens_).code.length == 0) revert NotAContract(address(lens_));
        if (address(reputations_).code.length == 0) revert NotAContract(address(reputations_));
        lens = lens_;
        reputations = reputations_;
    }

    /// Gives the feedback of a contract, by its owner or its operator.
    /// @param terms The terms of the contract.
    /// @param motion The motion that the surface's policy gives the outcome: acquisition,
    /// activation, conversion or expansion.
    /// @param endpoint The agent's endpoint that did the work; may be empty.
    /// @param uri The address of a document about it; may be empty.
    /// @param hash The hash of that document; may be zero.
    function give(
        Terms calldata terms,
        bytes32 motion,
        string calldata endpoint,
        string calldata uri,
        bytes32 hash
    ) external {
        uint256 amount = _markGiven(terms);
        reputations.giveFeedback(
            terms.agentIdPlusOne - 1,
            // Amounts have 80 bits.
            // forge-lint: disable-next-line(unsafe-typecast)
            int128(int256(amount)),
            IERC20Metadata(terms.token).decimals(),
            "outcomes",
            _motionName(motion),
            endpoint,
            uri,
            hash
        );
    }

    /// Checks that the caller may give feedback now, marks it as given, and returns the amount that
    /// the payee was paid. It runs before the call to the registry, which may call back.
    function _markGiven(Terms calldata terms) private returns (uint256 amount) {
        bytes32 contractId = lens.escrow().contractIdOf(terms);
        if (msg.sender != terms.owner && msg.sender != terms.operator) {
            revert NotAParty(contractId, msg.sender);
        }
        if (terms.agentIdPlusOne == 0) revert NoAgent(contractId);
        bytes32 status = lens.statusOf(terms);
        // A refundable contract has not ended: a ruling can still pay the payee. Any account may
        // call `refund` first.
        bool isOver = status == "closed" || status == "paid_out" || status == "refunded";
        if (!isOver || lens.owed(terms) != 0) revert NotEnded(contractId, status);
        if (isGiven[contractId]) revert AlreadyGiven(contractId);

        uint256 paid = lens.paidOf(terms);
        amount = paid - Release.feeOf(0, paid, terms.feeBps);
        if (amount == 0) revert NothingPaid(contractId);

        isGiven[contractId] = true;
        emit FeedbackGiven(contractId, terms.agentIdPlusOne - 1, amount);
    }

    /// Returns the name of a motion. Reverts for any other word.
    function _motionName(bytes32 motion) private pure returns (string memory) {
        if (motion == "acquisition") return "acquisition";
        if (motion == "activation") return "activation";
        if (motion == "conversion") return "conversion";
        if (motion == "expansion") return "expansion";
        revert UnknownMotion(motion);
    }
}
