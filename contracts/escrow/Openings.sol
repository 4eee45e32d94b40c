// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IIdentityRegistry} from "../interfaces/IAgentRegistries.sol";
import {Terms, TypeHashes} from "../terms/Terms.sol";
import {TermsRules} from "../terms/TermsRules.sol";
import {Funding, Fundings} from "./Fundings.sol";
import {newBalance} from "./Ledger.sol";
import {Payments} from "./Payments.sol";
import {Times} from "./Times.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title Openings of contracts
/// @notice Takes in the budget of a contract that both parties have signed, and keeps exclusive
/// contracts alone.
/// @dev A part of OutcomeEscrow, which says what all parts assume and promise.
abstract contract Openings is Payments {
    using SafeCast for uint256;
    using Times for Terms;

    /// @dev The last second of all contracts, and of all exclusive ones, for one outcome of one
    /// owner.
    struct Occupancy {
        uint40 anyUntil;
        uint40 exclusiveUntil;
    }

    /// The ERC-8004 Identity Registry; zero if there is none.
    IIdentityRegistry public immutable identities;

    mapping(bytes32 outcomeId => Occupancy) private _occupancies;
    uint40 private _opened;

    /// Emitted when a contract is open and its budget escrowed. Calls about the contract need these
    /// terms.
    event Opened(
        bytes32 indexed contractId, address indexed owner, address indexed operator, Terms terms
    );

    error AlreadyOpen(bytes32 contractId);
    error TokenNotAllowed(address token);
    error UnknownLog(bytes32 logId);
    error OutcomeOccupied(bytes32 outcomeId, uint64 until);

    constructor(IIdentityRegistry identities_) {
        if (address(identities_) != address(0) && address(identities_).code.length == 0) {
            revert NotAContract(address(identities_));
        }
        identities = identities_;
    }

    /// Opens a contract and escrows its budget. Any account may call with both signatures. A party
    /// that calls may leave its signature empty.
    /// @param terms The terms.
    /// @param funding The way in which the owner pays the budget.
    /// @param ownerSignature The owner's over OwnerConsent(funding.path, terms).
    /// @param operatorSignature The operator's over OperatorConsent(terms).
    /// @return contractId The EIP-712 digest of the terms.
    function open(
        Terms calldata terms,
        Funding calldata funding,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) external nonReentrant returns (bytes32 contractId) {
        TermsRules.check(terms, identities);
        bytes32 termsHash = _hashOf(terms);
        contractId = MessageHashUtils.toTypedDataHash(_idDomain, termsHash);
        if (!isAllowed[terms.token]) revert TokenNotAllowed(terms.token);
        if (eventLog.publisherOf(terms.logId) == address(0)) revert UnknownLog(terms.logId);
        if (_openings[contractId].number != 0) revert AlreadyOpen(contractId);
        bytes32 consent = keccak256(abi.encode(TypeHashes.OWNER_CONSENT, funding.path, termsHash));
        _requireConsent(_hashTypedDataV4(consent), terms.owner, ownerSignature);
        consent = keccak256(abi.encode(TypeHashes.OPERATOR_CONSENT, termsHash));
        _requireConsent(_hashTypedDataV4(consent), terms.operator, operatorSignature);

        _occupyOutcome(terms);
        _openings[contractId].number = ++_opened;
        _ledgerAt(contractId, terms).balance = newBalance(terms.budget, terms.statementsUntil());
        emit Opened(contractId, terms.owner, terms.operator, terms);
        // Token calls come last.
        Fundings.takeIn(terms.token, terms.owner, terms.budget, contractId, funding);
    }

    /// Refuses an exclusive contract beside any other for the same outcome, and any other beside an
    /// exclusive one, until the deadline of the earlier. That suffices: no event after its deadline
    /// counts for a contract, and no contract opens in the past.
    function _occupyOutcome(Terms calldata terms) private {
        bytes32 outcomeId = _outcomeIdOf(terms);
        Occupancy storage occupancy = _occupancies[outcomeId];
        uint40 until = terms.exclusive ? occupancy.anyUntil : occupancy.exclusiveUntil;
        if (until >= block.timestamp) revert OutcomeOccupied(outcomeId, until);

        uint40 deadline = uint256(terms.deadline).toUint40();
        if (deadline > occupancy.anyUntil) occupancy.anyUntil = deadline;
        if (terms.exclusive) occupancy.exclusiveUntil = deadline;
    }

    /// Frees the outcome of an exclusive contract that is closed before its deadline. No other
    /// contract for it can be open, so the whole occupancy goes.
    function _vacateOutcome(Terms calldata terms) internal {
        if (!terms.exclusive || block.timestamp > terms.deadline) return;
        delete _occupancies[_outcomeIdOf(terms)];
    }

    function _outcomeIdOf(Terms calldata terms) private pure returns (bytes32) {
        return keccak256(abi.encode(terms.owner, terms.logId, terms.surface, terms.outcome));
    }
}
