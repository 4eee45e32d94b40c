// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IIdentityRegistry} from "../interfaces/IAgentRegistries.sol";
import {Terms} from "./Terms.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";

/// @title Rules of terms
/// @notice Refuses terms that no escrow can carry out, with one error for each rule.
/// @dev A part of the escrow with an address of its own, because the code of one contract is
/// limited.
///
/// Roles: the escrow calls by delegatecall; a direct call of any account is harmless.
///
/// Assumptions: amounts that pass fit 80 bits, and sums of times that pass fit 40; the packing
/// helpers of Ledger and the arithmetic of Release rely on it.
///
/// Limits: the rules do not look at signatures, at the token or at the log. An agent's owner may
/// change wallet and approvals at any time; what counts is the second of opening.
library TermsRules {
    uint256 internal constant BPS = 10_000;

    error ZeroOwner();
    error ZeroOperator();
    error ZeroPayee();
    error ZeroVerifier();
    error ZeroFeeRecipient(uint16 feeBps);
    error OwnerIsOperator(address account);
    error EscrowAsPayee();
    error EscrowAsFeeRecipient();
    error ClaimsNeedArbiter(uint64 claimPeriod);
    error UnknownAttribution(uint8 attribution);
    error OpensInThePast(uint64 opensAt, uint256 nowS);
    error DeadlineBeforeOpening(uint64 opensAt, uint64 deadline);
    error GraceTooShort(uint64 grace, uint256 least);
    error ClaimPeriodTooShort(uint64 claimPeriod, uint256 least);
    error TimesTooLarge(uint256 sum, uint256 limit);
    error ZeroPrice();
    error ZeroBudget();
    error ZeroRatePeriod(uint256 rateCap);
    error RateCapTooSmall(uint256 rateCap, uint256 least);
    error AmountTooLarge(uint256 amount, uint256 limit);
    error BpsTooLarge(uint16 bps, uint256 limit);
    error NoIdentityRegistry(uint256 agentId);
    error PayeeIsNotAgentWallet(uint256 agentId, address wallet, address payee);
    error OperatorNotAuthorized(uint256 agentId, address operator);

    /// Reverts unless the terms keep to every rule.
    /// @param terms The terms, to which both parties have consented or are about to.
    /// @param identities The ERC-8004 Identity Registry; zero if there is none.
    function check(Terms calldata terms, IIdentityRegistry identities) external view {
        _checkParties(terms);
        _checkTimes(terms);
        _checkAmounts(terms);
        if (terms.agentIdPlusOne != 0) _checkAgent(terms, identities, terms.agentIdPlusOne - 1);
    }

    /// Checks accounts, and with them what needs an arbiter.
    function _checkParties(Terms calldata terms) private view {
        if (terms.owner == address(0)) revert ZeroOwner();
        if (terms.operator == address(0)) revert ZeroOperator();
        if (terms.payee == address(0)) revert ZeroPayee();
        if (terms.verifier == address(0)) revert ZeroVerifier();
        if (terms.owner == terms.operator) revert OwnerIsOperator(terms.owner);
        if (terms.payee == address(this)) revert EscrowAsPayee();
        if (terms.feeRecipient == address(this)) revert EscrowAsFeeRecipient();
        if (terms.feeBps != 0 && terms.feeRecipient == address(0)) {
            revert ZeroFeeRecipient(terms.feeBps);
        }
        if (terms.claimPeriod != 0 && terms.arbiter == address(0)) {
            revert ClaimsNeedArbiter(terms.claimPeriod);
        }
        if (terms.attribution > 1) revert UnknownAttribution(terms.attribution);
    }

    /// Checks times and periods.
    function _checkTimes(Terms calldata terms) private view {
        if (terms.opensAt < block.timestamp) revert OpensInThePast(terms.opensAt, block.timestamp);
        if (terms.deadline < terms.opensAt) {
            revert DeadlineBeforeOpening(terms.opensAt, terms.deadline);
        }
        // Every time that is stored for a contract is at most this sum, so it fits 40 bits.
        uint256 sum = uint256(terms.deadline) + terms.attributionWindow + terms.lateness
            + terms.grace + 2 * uint256(terms.claimPeriod) + terms.challengePeriod
            + terms.arbitrationPeriod + terms.holdbackPeriod + terms.ratePeriod;
        if (sum > type(uint40).max) revert TimesTooLarge(sum, type(uint40).max);

        // Outcomes are reported until deadline + lateness. A statement made by then is decided
        // before T2, with a day left to state the rest. After T2 a statement can only add
        // reversals, so what is not stated by then is lost. The last statement is decided before
        // the time for claims ends.
        uint256 dispute = uint256(terms.challengePeriod) + terms.arbitrationPeriod;
        if (terms.challengePeriod != 0 || terms.holdbackPeriod != 0) {
            uint256 least = uint256(terms.lateness) + 1 days;
            if (terms.challengePeriod != 0) least += dispute;
            if (terms.grace < least) revert GraceTooShort(terms.grace, least);
        }
        if (terms.claimPeriod != 0 && terms.claimPeriod < dispute + 3 days) {
            revert ClaimPeriodTooShort(terms.claimPeriod, dispute + 3 days);
        }
    }

    /// Checks amounts and shares.
    function _checkAmounts(Terms calldata terms) private pure {
        _requireUint80(terms.unitPrice);
        _requireUint80(terms.budget);
        _requireUint80(terms.rateCap);
        _requireBps(terms.revenueShareBps);
        _requireBps(terms.holdbackBps);
        _requireBps(terms.feeBps);
        if (terms.unitPrice == 0 && terms.revenueShareBps == 0) revert ZeroPrice();
        if (terms.budget == 0) revert ZeroBudget();
        // Half of the cap is paid at once, half in the course of a period: half of 1 would be
        // nothing.
        if (terms.rateCap == 1) revert RateCapTooSmall(terms.rateCap, 2);
        if (terms.rateCap != 0 && terms.ratePeriod == 0) revert ZeroRatePeriod(terms.rateCap);
    }

    /// Checks that the agent is the operator's: the payee is the agent's wallet, and the operator is
    /// that wallet, the agent's owner, or approved by it.
    function _checkAgent(Terms calldata terms, IIdentityRegistry identities, uint256 agentId)
        private
        view
    {
        if (address(identities) == address(0)) revert NoIdentityRegistry(agentId);
        address wallet = identities.getAgentWallet(agentId);
        if (wallet != terms.payee) revert PayeeIsNotAgentWallet(agentId, wallet, terms.payee);
        if (terms.operator == wallet) return;
        IERC721 agents = IERC721(address(identities));
        address owner = agents.ownerOf(agentId);
        if (
            terms.operator != owner && terms.operator != agents.getApproved(agentId)
                && !agents.isApprovedForAll(owner, terms.operator)
        ) revert OperatorNotAuthorized(agentId, terms.operator);
    }

    function _requireUint80(uint256 amount) private pure {
        if (amount > type(uint80).max) revert AmountTooLarge(amount, type(uint80).max);
    }

    function _requireBps(uint16 bps) private pure {
        if (bps > BPS) revert BpsTooLarge(bps, BPS);
    }
}
