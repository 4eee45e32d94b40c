// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IIdentityRegistry} from "../interfaces/IAgentRegistries.sol";
import {EventLog} from "../log/EventLog.sol";
import {Terms, TypeHashes} from "../terms/Terms.sol";
import {Disputes} from "./Disputes.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {Balance, CLOSED, Ledger} from "./Ledger.sol";
import {Ledgers} from "./Ledgers.sol";
import {Openings} from "./Openings.sol";
import {PayableAmounts} from "./PayableAmounts.sol";
import {SettlementRules} from "./SettlementRules.sol";
import {Settlements} from "./Settlements.sol";
import {Statements} from "./Statements.sol";
import {Times} from "./Times.sol";
import {Vault} from "./Vault.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title Escrow of outcome contracts
/// @notice Holds the budget that an owner escrows under terms signed by owner and operator, and
/// pays it to the payee as the event log's settlement entries state. An entry counts if the
/// publisher has anchored it, the contract's verifier has signed for it, and it keeps to the terms.
/// After the end the rest goes back to the owner.
///
/// Settlement entries are cumulative (earned, reversed), and the paid amount never falls. So a
/// statement that is brought twice, or late, pays nothing twice.
///
/// Terms are not stored. The contract id is their digest, so whoever calls brings them (they stand in
/// the event Opened), and a settlement brings the few words of them that it needs.
///
/// A plain contract pays a statement at once. Any other is guarded: the statement is pending for
/// the challenge period. Meanwhile the log can disprove it (see Evidence), and either party can
/// dispute it if the terms name an arbiter. Then it is final. A share may be held back for a time,
/// and a rate cap may slow the payout down. Outcomes that the verifier does not sign the operator
/// can claim by proof. What an event takes back of a final outcome counts once it is proven, whether the
/// verifier states it or not, as long as the outcome's money is held back.
///
///   T2 = deadline + grace     the last second for statements. One that only adds reversals may
///                             follow for holdbackPeriod. TermsRules leaves time for late reports.
///   T3 = T2 + claimPeriod     the last second for claims. The owner's refund begins.
///   T4 = T3 + claimPeriod     the last second to refute or dispute claims. Then they are paid. It
///                             is later, deadline + lateness + holdbackPeriod + 1 day, where
///                             outcomes can be taken back for so long. Without a claim period
///                             T2 = T3 = T4.
///
/// @dev The parts, each on top of those before it: Vault holds the tokens, Ledgers what is known of
/// contracts, Payments finalizes and pays. On these stand Openings, Settlements and Disputes. This
/// file has the end of a contract, by consent or by time, and what holds for all of them.
///
/// Roles:
/// - Any account opens contracts that both parties have signed, brings statements, releases
///   payouts, disproves statements and refutes claims (through Evidence), and triggers refunds.
/// - The owner and the operator dispute statements and claims, and close a contract by consent.
/// - The operator files claims (through Evidence).
/// - The verifier signs statements. Its key is fixed in the terms.
/// - The arbiter rules on disputed statements and claims, and on nothing else.
/// - Evidence, fixed at construction, retires verifiers, files claims and lowers them, and records
///   reversals.
/// - Any account revokes what it has signed for terms, closings and withdrawals, while it is unused.
/// - No key owns this contract, nothing pauses it, and it cannot be changed.
///
/// Assumptions:
/// - The tokens of the constructor are honest ERC-20 tokens that keep balances (no rebasing, no fee
///   on transfer). A token may block accounts or pause, may return nothing, and may call its
///   receiver. A token that breaks these rules hurts only contracts in that token.
/// - Whoever calls has the terms. They stand in the event Opened, and with both parties.
/// - The verifier has replayed the log before it signs. Entries that fit together can deceive a
///   verifier that does no more than that.
/// - The verifier signs the last statement while none is pending, and early enough. Any account may
///   bring an older statement that was signed and not used, and it would take the place of the last
///   one until it is too late, for a reversal as well.
/// - An owner that fears false entries watches the log, and disproves or disputes in time.
/// - Terms hold back for longer than a challenge and a dispute take: holdbacks mature while a
///   statement is pending, and no other can be stated meanwhile.
/// - The chain takes a transaction within every period of the terms. Periods run on while it stands
///   still. A chain that takes another id keeps its contracts: their ids stay, and what is signed from
///   then on is signed for the new one.
///
/// Liveness:
/// - Every pending statement becomes final, or void, by the clock alone. A silent arbiter decides
///   nothing: statements and claims stand.
/// - Every reservation ends at a time that the terms fix, and then `refund` returns the rest.
/// - A payout or refund that a token refuses becomes a credit, and stops no other.
///
/// Limits:
/// - Publisher and verifier together can pay the payee of a plain contract up to its budget, in its
///   price and before its end, and nothing else. In a guarded contract they can pay all that is
///   neither disproved nor disputed in time. Entries that they withhold cannot be disproved.
///   Neither can pay alone.
/// - Where there are claims, publisher and operator together can claim the rest of the budget by
///   invented entries, without the verifier. The owner must dispute such claims.
/// - Plain contracts do not prove attribution on chain. The verifier alone vouches that a lead
///   counts once and that its touch was first or last. Every reader of the log can check it.
/// - The surface of an entry is not compared. Its subject is the contract id, which binds the
///   surface.
/// - A verifier that is an ERC-1271 wallet can withdraw its signature until it is used.
/// - A reversal counts once it is final, or proven. One that is stated in the last challenge and
///   arbitration period of a holdback can come too late; a proven one counts at once.
/// - An event is the word of the owner, and the publisher writes it. So the two, or a publisher alone
///   that invents it, can prove that outcomes were taken back that were not: only of those younger
///   than holdbackPeriod + lateness, each once. What is held of them is not paid, and what was paid
///   of them is set off against what comes later.
/// - A statement below an event that was proven is stale, for it may state that event or not. Whoever
///   has a statement brings it before the next checkpoint is anchored: no event above it can be shown
///   until then. A newer statement is always enough.
/// - An arbiter sets a disputed statement's payable amount between the last final net (or the
///   statement's own net where that is less) and the budget without the claims; it sets that of
///   disputed claims up to their sum. Operator and arbiter together can have the budget paid once a
///   statement is pending. Owner and arbiter together can keep the payee from all that is not
///   final.
/// - A ruling ends the challenge at once. It fixes a sum, not facts: outcomes whose amount it added
///   can be stated or claimed again, and what it subtracted a reversal can subtract again.
contract OutcomeEscrow is Openings, Settlements, Disputes {
    using SafeCast for uint256;
    using SettlementRules for Terms;
    using Times for Terms;

    /// Emitted when both parties have ended the contract.
    event Closed(bytes32 indexed contractId, uint256 payableAmount);

    error PayableOutOfRange(uint256 payableAmount, uint256 least, uint256 most);
    error CloseExpired(uint64 expiresAt, uint256 nowS);
    error RefundTooEarly(bytes32 contractId, uint256 endsAt, uint256 nowS);
    error NothingToRefund(bytes32 contractId);

    constructor(
        EventLog eventLog_,
        address evidence_,
        IIdentityRegistry identities_,
        address[] memory tokens
    )
        EIP712("Tallystick OutcomeEscrow", "1")
        Vault(tokens)
        Ledgers(eventLog_)
        Openings(identities_)
        Disputes(evidence_)
    {}

    /// Ends a contract by consent. The amount that both parties have signed is paid, and the rest
    /// goes back to the owner. A party that calls may leave its signature empty.
    /// @param terms The terms of the contract.
    /// @param payableAmount The amount, at least the paid amount and at most the budget.
    /// @param expiresAt The last second in which the signatures may be used.
    /// @param ownerSignature The owner's over Close(owner, contractId, payableAmount, expiresAt).
    /// @param operatorSignature The operator's over the same with the operator.
    function close(
        Terms calldata terms,
        uint256 payableAmount,
        uint64 expiresAt,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) external nonReentrant {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _findOpen(terms);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());
        if (block.timestamp > expiresAt) revert CloseExpired(expiresAt, block.timestamp);
        Balance balance = ledger.balance;
        if (payableAmount < balance.paid() || payableAmount > balance.budget()) {
            revert PayableOutOfRange(payableAmount, balance.paid(), balance.budget());
        }
        bytes32 digest = _closeDigest(terms.owner, contractId, payableAmount, expiresAt);
        _requireConsent(digest, terms.owner, ownerSignature);
        digest = _closeDigest(terms.operator, contractId, payableAmount, expiresAt);
        _requireConsent(digest, terms.operator, operatorSignature);

        if (!terms.isPlain()) Statements.discard(record);
        _vacateOutcome(terms);
        uint256 rest = balance.budget() - payableAmount;
        ledger.balance = balance.withBudget(payableAmount).withFlag(CLOSED);
        _openings[contractId].closedAt = block.timestamp.toUint40();
        emit Closed(contractId, payableAmount);

        _payReleasable(contractId, terms, ledger, record);
        if (rest != 0) _refundOwner(contractId, terms, rest);
    }

    /// Returns what a party signs to close the contract.
    function _closeDigest(
        address party,
        bytes32 contractId,
        uint256 payableAmount,
        uint64 expiresAt
    ) private view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(abi.encode(TypeHashes.CLOSE, party, contractId, payableAmount, expiresAt))
        );
    }

    /// Returns to the owner what can no longer become payable, after T3. It can be called again
    /// whenever more of the budget is free. Any account may call.
    /// @param terms The terms of the contract.
    function refund(Terms calldata terms) external nonReentrant {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        uint256 from = terms.claimsUntil();
        if (block.timestamp <= from) revert RefundTooEarly(contractId, from, block.timestamp);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());
        Balance balance = ledger.balance;
        uint256 reserved = PayableAmounts.reservedOf(record, balance, terms.arbiter != address(0));
        if (reserved == balance.budget()) revert NothingToRefund(contractId);

        ledger.balance = balance.withBudget(reserved);
        _refundOwner(contractId, terms, balance.budget() - reserved);
    }
}
