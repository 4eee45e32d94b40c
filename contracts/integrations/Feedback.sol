// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OutcomeEscrow} from "../escrow/OutcomeEscrow.sol";
import {IReputationRegistry} from "../interfaces/IAgentRegistries.sol";
import {Terms} from "../terms/Terms.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

/// @title ERC-8004 feedback that only a settlement can write
/// @notice Writes what an outcome contract has paid to ERC-8004's Reputation Registry, once, after
/// its end: when it is closed, or all is paid or refunded. The registry shows this contract's address
/// as the client: feedback from it is money that the escrow has paid out. It holds no money and none
/// depends on it.
///
/// What this contract assumes, and what it does not promise:
/// - The motion, the endpoint and the document behind the URI are the word of the party that calls;
///   the amount and the agent are the escrow's. Whichever party calls first chooses the words, for
///   good.
/// - Owner and operator may be one person with a log and a verifier of their own: feedback says that
///   money moved, not that anybody deserved it.
/// - The agent's owner can have it refused by approving this contract as its operator, and so can
///   the registry's owner.
contract Feedback {
    OutcomeEscrow public immutable escrow;
    IReputationRegistry public immutable reputations;

    mapping(bytes32 contractId => bool) public isGiven;

    event FeedbackGiven(bytes32 indexed contractId, uint256 indexed agentId, uint256 paid);

    error NotAContract(address account);
    error NotAParty(bytes32 contractId, address caller);
    error NoAgent(bytes32 contractId);
    error NotEnded(bytes32 contractId, bytes32 status);
    error AlreadyGiven(bytes32 contractId);
    error UnknownMotion(bytes32 motion);

    constructor(OutcomeEscrow escrow_, IReputationRegistry reputations_) {
        if (address(escrow_).code.length == 0) revert NotAContract(address(escrow_));
        if (address(reputations_).code.length == 0) revert NotAContract(address(reputations_));
        escrow = escrow_;
        reputations = reputations_;
    }

    /// By the owner or the operator. `motion` is the one that the surface's policy gives the
    /// outcome: acquisition, activation, conversion or expansion.
    function give(
        bytes32 contractId,
        bytes32 motion,
        string calldata endpoint,
        string calldata uri,
        bytes32 hash
    ) external {
        Terms memory terms = escrow.termsOf(contractId);
        uint256 paid = _markGiven(contractId, terms);
        reputations.giveFeedback(
            terms.agentIdPlusOne - 1,
            // Amounts have 80 bits.
            // forge-lint: disable-next-line(unsafe-typecast)
            int128(int256(paid)),
            IERC20Metadata(terms.token).decimals(),
            "outcomes",
            _motionName(motion),
            endpoint,
            uri,
            hash
        );
    }

    function _markGiven(bytes32 contractId, Terms memory terms) private returns (uint256 paid) {
        if (msg.sender != terms.owner && msg.sender != terms.operator) {
            revert NotAParty(contractId, msg.sender);
        }
        if (terms.agentIdPlusOne == 0) revert NoAgent(contractId);
        bytes32 status = escrow.statusOf(contractId);
        // What can go back can still be ruled to the payee: anyone may have it refunded first.
        bool isOver = status == "closed" || status == "paid_out" || status == "refunded";
        if (!isOver || escrow.owed(contractId) != 0) revert NotEnded(contractId, status);
        if (isGiven[contractId]) revert AlreadyGiven(contractId);

        isGiven[contractId] = true;
        paid = escrow.paidOf(contractId);
        emit FeedbackGiven(contractId, terms.agentIdPlusOne - 1, paid);
    }

    function _motionName(bytes32 motion) private pure returns (string memory) {
        if (motion == "acquisition") return "acquisition";
        if (motion == "activation") return "activation";
        if (motion == "conversion") return "conversion";
        if (motion == "expansion") return "expansion";
        revert UnknownMotion(motion);
    }
}
