// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim} from "../evidence/EvidenceTypes.sol";
import {Payloads} from "../evidence/Payloads.sol";
import {IIdentityRegistry} from "../interfaces/IAgentRegistries.sol";
import {IEvidenceTarget} from "../interfaces/IEvidenceTarget.sol";
import {EventLog} from "../log/EventLog.sol";
import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {Terms, TypeHashes} from "../terms/Terms.sol";
import {TermsRules} from "../terms/TermsRules.sol";
import {TermsStorage} from "../terms/TermsStorage.sol";
import {Claims} from "./Claims.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {
    Balance,
    CLOSED,
    Config,
    GUARDED,
    Ledger,
    RETIRED,
    newBalance,
    newConfig
} from "./Ledger.sol";
import {PayableAmounts} from "./PayableAmounts.sol";
import {Release} from "./Release.sol";
import {Statements} from "./Statements.sol";
import {Times} from "./Times.sol";
import {Vault} from "./Vault.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
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
/// A plain contract pays a statement at once. Any other is guarded: the statement is pending for
/// the challenge period. Meanwhile the log can disprove it (see Evidence), and either party can
/// dispute it if the terms name an arbiter. Then it is final. A share may be held back for a time,
/// and a rate cap may slow the payout down. Outcomes that the verifier does not sign the operator
/// can claim by proof. What was taken back of a final outcome counts once it is proven, whether the
/// verifier states it or not.
///
///   T2 = deadline + grace     the last second for statements. One that only adds reversals may
///                             follow for holdbackPeriod. TermsRules leaves time for late reports.
///   T3 = T2 + claimPeriod     the last second for claims. The owner's refund begins.
///   T4 = T3 + claimPeriod     the last second to refute or dispute claims. Then they are paid. It
///                             is later, deadline + lateness + holdbackPeriod, where outcomes can
///                             be taken back until then. Without a claim period T2 = T3 = T4.
///
/// @dev Roles:
/// - Any account opens contracts that both parties have signed, brings statements, releases
///   payouts, disproves statements and refutes claims (through Evidence), and triggers refunds.
/// - The owner and the operator dispute statements and claims, and close a contract by consent.
/// - The operator files claims (through Evidence).
/// - The verifier signs statements. Its key is fixed in the terms.
/// - The arbiter rules on disputed statements and claims, and on nothing else.
/// - Evidence, fixed at construction, retires verifiers, files claims and lowers them, and records
///   reversals.
/// - No key owns this contract, nothing pauses it, and it cannot be changed.
///
/// Assumptions:
/// - The tokens of the constructor are honest ERC-20 tokens that keep balances (no rebasing, no fee
///   on transfer). A token may block accounts or pause, may return nothing, and may call its
///   receiver. A token that breaks these rules hurts only contracts in that token.
/// - The verifier has replayed the log before it signs. Entries that fit together can deceive a
///   verifier that does no more than that.
/// - The verifier signs the last statement while none is pending, and early enough. Any account may
///   bring an older statement that was signed and not used, and it would take the place of the last
///   one until it is too late, for a reversal as well.
/// - An owner that fears false entries watches the log, and disproves or disputes in time.
/// - Terms hold back for longer than a challenge and a dispute take: holdbacks mature while a
///   statement is pending, and no other can be stated meanwhile.
/// - The chain takes a transaction within every period of the terms. Periods run on while it stands
///   still.
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
/// - An arbiter sets a disputed statement's payable amount between the last final net (or the
///   statement's own net where that is less) and the budget without the claims; it sets that of
///   disputed claims up to their sum. Operator and arbiter together can have the budget paid once a
///   statement is pending. Owner and arbiter together can keep the payee from all that is not
///   final.
/// - A ruling ends the challenge at once. It fixes a sum, not facts: outcomes whose amount it added
///   can be stated or claimed again, and what it subtracted a reversal can subtract again.
contract OutcomeEscrow is Vault, IEvidenceTarget {
    using Math for uint256;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;
    using TermsRules for Terms;
    using Times for Terms;

    // ------------------------------------------------------------ state

    /// @dev The terms that all contracts of one settlement batch share. Ledgers are stored by the
    /// hash of these, so a batch needs no terms of its contracts.
    struct Group {
        bytes32 logId;
        address token;
        address verifier;
        address feeRecipient;
        uint16 feeBps;
    }

    /// @dev The totals of the payouts of one call.
    struct PayoutTotals {
        uint256 tokenBalance; // the escrow's balance of the token after them
        uint256 fees; //         the fees, to be credited to the fee recipient
    }

    /// @dev The last second of all contracts, and of all exclusive ones, for one outcome of one
    /// owner.
    struct Occupancy {
        uint40 anyUntil;
        uint40 exclusiveUntil;
    }

    /// @dev An EIP-2612 permit: the owner allows the escrow to take the budget.
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @dev An EIP-3009 authorization: the owner signs the transfer itself. Its nonce is the
    /// contract id.
    struct Authorization {
        uint256 validAfter;
        uint256 validBefore;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// The event log whose checkpoints count.
    EventLog public immutable eventLog;
    /// The contract from which disproofs and claims are taken. It decides by the log alone.
    address public immutable evidence;
    /// The ERC-8004 Identity Registry; zero if there is none.
    IIdentityRegistry public immutable identities;

    mapping(bytes32 groupId => mapping(bytes32 contractId => Ledger)) private _ledgers;
    mapping(bytes32 contractId => address) private _termsPointers;
    mapping(bytes32 contractId => GuardedRecord) private _records;
    mapping(bytes32 contractId => mapping(bytes32 key => Claim)) private _claims;
    mapping(bytes32 outcomeId => Occupancy) private _occupancies;
    uint64 private _opened;

    // ------------------------------------------------------------ events

    /// Emitted when a contract is open and its budget escrowed.
    event Opened(
        bytes32 indexed contractId,
        address indexed owner,
        address indexed operator,
        bytes32 logId,
        bytes32 surface
    );
    /// Emitted when the entry at `position` has become the contract's statement. A plain contract
    /// that pays by it emits Paid instead.
    event Settled(bytes32 indexed contractId, uint64 position, uint256 earned, uint256 reversed);
    /// Emitted when the entry at `position` changed nothing; `reason` is ASCII. It tells the caller
    /// why, and proves nothing: any account can have an entry refused, under a log or a verifier of
    /// its own.
    event Refused(bytes32 indexed contractId, uint64 position, bytes32 reason);
    /// Emitted behind a Settled: the statement can be challenged until `resolvesAt`, and then is
    /// final.
    event Pending(bytes32 indexed contractId, uint64 position, uint64 resolvesAt);
    /// Emitted when the statement at `position` is stored as final. It is final since the second
    /// `since`, and `net` is payable.
    event Final(bytes32 indexed contractId, uint64 position, uint256 net, uint64 since);
    /// Emitted when a party has disputed the pending statement. The arbiter has until `resolvesAt`.
    event Disputed(bytes32 indexed contractId, address indexed party, uint64 resolvesAt);
    /// Emitted when the arbiter has set the payable amount of the disputed statement.
    event Ruled(bytes32 indexed contractId, uint256 payableAmount);
    /// Emitted when the contract's verifier is retired: it has signed an entry that the log
    /// refutes. `kind` is ASCII (see Evidence.disprove).
    event Disproved(bytes32 indexed contractId, bytes32 kind);
    /// Emitted when a claim is filed. `transition` and `touch` are positions.
    event Claimed(
        bytes32 indexed contractId,
        bytes32 indexed key,
        bytes32 lead,
        uint64 transition,
        uint64 touch,
        uint64 timeMs,
        uint256 amount
    );
    /// Emitted when the log has refuted a claim and `left` remains of it; `kind` is ASCII (see
    /// Evidence.refute).
    event ClaimLowered(bytes32 indexed contractId, bytes32 indexed key, uint256 left, bytes32 kind);
    /// Emitted when it is proven that `amount` was taken back of the outcome at a position, in all
    /// so far.
    event ReversalRecorded(bytes32 indexed contractId, uint64 outcome, uint256 amount);
    /// Emitted when a party has disputed the sum of the claims.
    event ClaimsDisputed(bytes32 indexed contractId, address indexed party);
    /// Emitted when the arbiter has set the most that is paid of the claims.
    event ClaimsRuled(bytes32 indexed contractId, uint256 amount);
    /// Emitted when both parties have ended the contract.
    event Closed(bytes32 indexed contractId, uint256 payableAmount);
    /// Emitted when the contract has paid amount + fee under its statement, the entry at
    /// `position`. The fee waits as a credit of the fee recipient.
    event Paid(
        bytes32 indexed contractId,
        address indexed payee,
        uint64 position,
        uint256 amount,
        uint256 fee
    );
    /// Emitted when an amount has gone back to the owner.
    event Refunded(bytes32 indexed contractId, address indexed owner, uint256 amount);

    // ------------------------------------------------------------ errors

    error AlreadyOpen(bytes32 contractId);
    error TokenNotAllowed(address token);
    error UnknownLog(bytes32 logId);
    error OutcomeOccupied(bytes32 outcomeId, uint64 until);

    error NotAnchored(bytes32 logId, uint64 size);
    error UnknownContract(bytes32 contractId);
    error NotEvidence(address caller);
    error NotGuarded(bytes32 contractId);
    error NotAParty(bytes32 contractId, address caller);
    error NotArbiter(bytes32 contractId, address caller);
    error PayableOutOfRange(uint256 payableAmount, uint256 least, uint256 most);
    error AlreadyRetired(bytes32 contractId);
    error AlreadyClosed(bytes32 contractId);
    error CloseExpired(uint64 expiresAt, uint256 nowS);
    error RefundTooEarly(bytes32 contractId, uint256 endsAt, uint256 nowS);
    error NothingToRefund(bytes32 contractId);

    // ------------------------------------------------------------ set-up

    /// @dev Refuses all callers but the Evidence of this escrow.
    modifier onlyEvidence() {
        if (msg.sender != evidence) revert NotEvidence(msg.sender);
        _;
    }

    constructor(
        EventLog eventLog_,
        address evidence_,
        IIdentityRegistry identities_,
        address[] memory tokens
    ) EIP712("Tallystick OutcomeEscrow", "1") Vault(tokens) {
        if (address(eventLog_).code.length == 0) {
            revert NotAContract(address(eventLog_));
        }
        if (evidence_.code.length == 0) revert NotAContract(evidence_);
        if (address(identities_) != address(0) && address(identities_).code.length == 0) {
            revert NotAContract(address(identities_));
        }
        eventLog = eventLog_;
        evidence = evidence_;
        identities = identities_;
    }

    // ------------------------------------------------------------ opening

    /// Opens a contract and escrows its budget, which the owner has approved. Any account may call
    /// with both signatures. The owner may call with an empty signature of its own.
    /// @param terms The terms.
    /// @param ownerSignature The owner's signature of the contract id.
    /// @param operatorSignature The operator's signature of the contract id.
    /// @return contractId The EIP-712 digest of the terms.
    function open(
        Terms calldata terms,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) external nonReentrant returns (bytes32 contractId) {
        contractId = _open(terms, ownerSignature, operatorSignature);
        uint256 before = _tokenBalance(terms.token);
        IERC20(terms.token).safeTransferFrom(terms.owner, address(this), terms.budget);
        _requireReceived(terms, before);
    }

    /// Opens a contract as `open` does, with the owner's permit. Another account may have used the
    /// permit before; then its allowance is there already. So a permit that fails is passed over,
    /// and the allowance alone counts.
    /// @param terms The terms.
    /// @param ownerSignature The owner's signature of the contract id.
    /// @param operatorSignature The operator's signature of the contract id.
    /// @param permit The owner's EIP-2612 permit for the budget.
    /// @return contractId The EIP-712 digest of the terms.
    function openWithPermit(
        Terms calldata terms,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature,
        Permit calldata permit
    ) external nonReentrant returns (bytes32 contractId) {
        contractId = _open(terms, ownerSignature, operatorSignature);
        uint256 before = _tokenBalance(terms.token);
        try IERC20Permit(terms.token)
            .permit(
                terms.owner,
                address(this),
                terms.budget,
                permit.deadline,
                permit.v,
                permit.r,
                permit.s
            ) {}
            catch {}
        IERC20(terms.token).safeTransferFrom(terms.owner, address(this), terms.budget);
        _requireReceived(terms, before);
    }

    /// Opens a contract as `open` does, with the owner's authorization of the transfer. Where it
    /// fails, the allowance counts.
    /// @param terms The terms.
    /// @param ownerSignature The owner's signature of the contract id.
    /// @param operatorSignature The operator's signature of the contract id.
    /// @param authorization The owner's EIP-3009 authorization for the budget.
    /// @return contractId The EIP-712 digest of the terms.
    function openWithAuthorization(
        Terms calldata terms,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature,
        Authorization calldata authorization
    ) external nonReentrant returns (bytes32 contractId) {
        contractId = _open(terms, ownerSignature, operatorSignature);
        uint256 before = _tokenBalance(terms.token);
        try IERC3009(terms.token)
            .receiveWithAuthorization(
                terms.owner,
                address(this),
                terms.budget,
                authorization.validAfter,
                authorization.validBefore,
                contractId,
                authorization.v,
                authorization.r,
                authorization.s
            ) {}
        catch {
            IERC20(terms.token).safeTransferFrom(terms.owner, address(this), terms.budget);
        }
        _requireReceived(terms, before);
    }

    /// Checks terms and signatures, and stores the contract. The caller moves the budget
    /// afterwards: token calls come last, and the balance is compared around them alone.
    function _open(
        Terms calldata terms_,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) private returns (bytes32 contractId) {
        // Encoded once: hashed here, then read as terms and stored from the same memory.
        bytes memory encoded = abi.encode(TypeHashes.TERMS, terms_);
        contractId = _hashTypedDataV4(keccak256(encoded));
        Terms memory terms = TermsStorage.afterTypeHash(encoded);
        terms.check();
        if (!isAllowed[terms.token]) revert TokenNotAllowed(terms.token);
        if (eventLog.publisherOf(terms.logId) == address(0)) revert UnknownLog(terms.logId);
        terms.checkAgent(identities);
        if (_termsPointers[contractId] != address(0)) revert AlreadyOpen(contractId);
        _requireConsent(contractId, terms.owner, ownerSignature);
        _requireSigned(contractId, terms.operator, operatorSignature);

        _occupyOutcome(terms);
        _termsPointers[contractId] = TermsStorage.write(terms, ++_opened);
        Ledger storage ledger = _ledgers[_groupIdOf(terms)][contractId];
        ledger.balance = newBalance(terms.budget, terms.statementsUntil());
        ledger.config = newConfig(
            terms.payee,
            terms.revenueShareBps == 0 ? terms.unitPrice : 0,
            terms.isPlain() ? 0 : GUARDED
        );
        emit Opened(contractId, terms.owner, terms.operator, terms.logId, terms.surface);
    }

    /// Refuses an exclusive contract beside any other for the same outcome, and any other beside an
    /// exclusive one, until the deadline of the earlier. That suffices: no event after its deadline
    /// counts for a contract, and no contract opens in the past.
    function _occupyOutcome(Terms memory terms) private {
        bytes32 outcomeId = _outcomeIdOf(terms);
        Occupancy storage occupancy = _occupancies[outcomeId];
        uint40 until = terms.exclusive ? occupancy.anyUntil : occupancy.exclusiveUntil;
        if (until >= block.timestamp) revert OutcomeOccupied(outcomeId, until);

        uint40 deadline = uint256(terms.deadline).toUint40();
        if (deadline > occupancy.anyUntil) occupancy.anyUntil = deadline;
        if (terms.exclusive) occupancy.exclusiveUntil = deadline;
    }

    /// Reverts unless the escrow has received exactly the budget since its balance was `before`.
    function _requireReceived(Terms calldata terms, uint256 before) private view {
        uint256 received = _tokenBalance(terms.token).saturatingSub(before);
        if (received != terms.budget) revert ReceivedWrongAmount(terms.budget, received);
    }

    // ------------------------------------------------------------ statements

    /// Settles contracts of one group by a run of settlement entries. Any account may call. An
    /// entry that breaks a rule is refused by an event, and the rest proceed.
    /// @param group The terms that these contracts share.
    /// @param size The size of an anchored checkpoint.
    /// @param first The position of the first entry.
    /// @param entries The entries [first, first + count), 256 bytes each.
    /// @param proof Their run proof in that checkpoint (see MerkleLog).
    /// @param signature The verifier's signature over Verified(logId, size, root, first, count).
    function settle(
        Group calldata group,
        uint64 size,
        uint64 first,
        bytes calldata entries,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 root = eventLog.rootAt(group.logId, size);
        if (root == 0) revert NotAnchored(group.logId, size);
        uint256 count = MerkleLog.verifyRun(entries, first, size, proof, root);
        bytes32 structHash =
            keccak256(abi.encode(TypeHashes.VERIFIED, group.logId, size, root, first, count));
        _requireSigned(_hashTypedDataV4(structHash), group.verifier, signature);

        _settleRun(group, first, entries, count);
    }

    /// Settles the entries of a verified run, and then moves fees once for all of them.
    function _settleRun(Group memory group, uint256 first, bytes calldata entries, uint256 count)
        private
    {
        mapping(bytes32 => Ledger) storage ledgers = _ledgers[_groupId(group)];
        PayoutTotals memory payouts = PayoutTotals(_tokenBalance(group.token), 0);
        for (uint256 i = 0; i < count; ++i) {
            // It cannot overflow: positions have 40 bits.
            unchecked {
                _settleEntry(ledgers, group, MerkleLog.entryAt(entries, i), first + i, payouts);
            }
        }
        _completePayouts(group.token, group.feeRecipient, payouts);
    }

    /// Settles one contract by one entry, or reports the rule that the entry breaks.
    function _settleEntry(
        mapping(bytes32 => Ledger) storage ledgers,
        Group memory group,
        Entry calldata entry,
        uint256 position,
        PayoutTotals memory payouts
    ) private {
        Ledger storage ledger = ledgers[entry.subject];
        Balance balance = ledger.balance;
        Config config = ledger.config;
        bytes32 reason = _reasonToRefuse(balance, config, entry, group.verifier, position);
        if (reason == 0) {
            if (config.has(GUARDED)) {
                reason = _settleGuarded(ledger, group, entry, position, payouts);
            } else {
                _settlePlain(ledger, balance, config, group, entry, position, payouts);
            }
        }
        if (reason != 0) {
            // A position has 40 bits.
            // forge-lint: disable-next-line(unsafe-typecast)
            emit Refused(entry.subject, uint64(position), reason);
        }
    }

    /// Returns the rule that keeps the entry from settling its contract; zero if there is none.
    /// Rules of guarded contracts that need their record are in Statements.propose.
    function _reasonToRefuse(
        Balance balance,
        Config config,
        Entry calldata entry,
        address verifier,
        uint256 position
    ) private view returns (bytes32) {
        if (entry.kind != "settlement") return "not_a_settlement";
        if (uint256(entry.actor) != uint160(verifier)) return "wrong_actor";
        if (balance.endsAt() == 0) return "unknown_contract";
        if (config.flags() == 0) {
            if (block.timestamp > balance.endsAt()) return "ended";
        } else {
            if (config.has(CLOSED)) return "closed";
            if (config.has(RETIRED)) return "verifier_retired";
        }
        if (position <= balance.lastFinal()) return "already_settled";
        (uint256 earned, uint256 reversed) = Payloads.totals(entry.payload);
        uint256 net = entry.value;
        // The subtraction comes second: earned is then not less than reversed.
        unchecked {
            if (earned < reversed || net != earned - reversed) return "wrong_value";
        }
        uint256 priceStep = config.priceStep();
        if (priceStep != 0) {
            if (earned % priceStep != 0 || reversed % priceStep != 0) return "wrong_price";
        }
        if (config.flags() == 0) {
            if (net > balance.budget()) return "over_budget";
            if (earned < balance.paid()) return "earned_fell";
        }
        return 0;
    }

    /// Pays a statement of a plain contract at once.
    function _settlePlain(
        Ledger storage ledger,
        Balance balance,
        Config config,
        Group memory group,
        Entry calldata entry,
        uint256 position,
        PayoutTotals memory payouts
    ) private {
        uint256 paid = balance.paid();
        uint256 net = entry.value;
        if (net <= paid) {
            ledger.balance = balance.withSettlement(paid, position);
            (uint256 earned, uint256 reversed) = Payloads.totals(entry.payload);
            // forge-lint: disable-next-line(unsafe-typecast)
            emit Settled(entry.subject, uint64(position), earned, reversed);
            return;
        }
        ledger.balance = balance = balance.withSettlement(net, position);
        _pay(group.token, group.feeBps, entry.subject, config.payee(), balance, paid, payouts);
    }

    /// Puts a statement of a guarded contract up for challenge, and pays what is due by then.
    /// Returns the rule that the statement breaks; zero if it breaks none.
    function _settleGuarded(
        Ledger storage ledger,
        Group memory group,
        Entry calldata entry,
        uint256 position,
        PayoutTotals memory payouts
    ) private returns (bytes32 reason) {
        bytes32 contractId = entry.subject;
        Terms memory terms = termsOf(contractId);
        reason = _submitStatement(contractId, terms, ledger, entry, position);

        uint256 amount = _consumeReleasable(contractId, terms, ledger);
        if (amount == 0) return reason;
        uint256 paid = ledger.balance.paid();
        Balance balance = ledger.balance.withSettlement(paid + amount, ledger.balance.lastFinal());
        ledger.balance = balance;
        _pay(group.token, group.feeBps, contractId, terms.payee, balance, paid, payouts);
    }

    /// Finalizes a matured statement, then takes the new one. Returns the rule that the new one
    /// breaks; zero if it breaks none.
    function _submitStatement(
        bytes32 contractId,
        Terms memory terms,
        Ledger storage ledger,
        Entry calldata entry,
        uint256 position
    ) private returns (bytes32) {
        GuardedRecord storage record = _records[contractId];
        _finalizeMatured(contractId, ledger, record);
        (uint256 earned, uint256 reversed) = Payloads.totals(entry.payload);
        bytes32 reason = Statements.propose(
            record, terms, ledger.balance.lastFinal(), position, earned, reversed
        );
        if (reason != 0) return reason;
        // A position has 40 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit Settled(contractId, uint64(position), earned, reversed);
        if (terms.challengePeriod == 0) {
            _finalize(contractId, ledger, record, block.timestamp);
        } else {
            // forge-lint: disable-next-line(unsafe-typecast)
            emit Pending(contractId, uint64(position), record.resolvesAt);
        }
        return 0;
    }

    /// Finalizes a matured statement, then pays what is due. Any account may call. Where nothing is
    /// due, nothing happens.
    /// @param contractId The contract.
    function release(bytes32 contractId) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        _finalizeMatured(contractId, ledger, _records[contractId]);
        _payReleasable(contractId, terms, ledger);
    }

    /// Stores a statement whose time has passed as final. Functions that change the record call it
    /// first, so they see the record as its reads do.
    function _finalizeMatured(
        bytes32 contractId,
        Ledger storage ledger,
        GuardedRecord storage record
    ) private {
        if (record.isMatured()) {
            _finalize(contractId, ledger, record, record.resolvesAt);
        }
    }

    /// Stores the pending statement as final since the second `since`.
    function _finalize(
        bytes32 contractId,
        Ledger storage ledger,
        GuardedRecord storage record,
        uint256 since
    ) private {
        Balance balance = ledger.balance;
        uint40 position = record.pendingPosition;
        uint256 net = Statements.finalize(record, since, balance.budget());
        ledger.balance = balance.withSettlement(balance.paid(), position);
        // A time has 40 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit Final(contractId, position, net, uint64(since));
    }

    // ------------------------------------------------------------ dispute, ruling, disproof

    /// Puts the pending statement before the arbiter, by the owner or the operator, each once and
    /// within the challenge period.
    /// @param contractId The contract.
    /// @param position The position of the pending statement.
    function dispute(bytes32 contractId, uint64 position) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        GuardedRecord storage record = _records[contractId];
        _finalizeMatured(contractId, _ledgerOf(contractId, terms), record);
        bool byOwner = _requireParty(contractId, terms);
        uint40 resolvesAt = Statements.dispute(record, terms, position, byOwner);
        emit Disputed(contractId, msg.sender, resolvesAt);
    }

    /// Sets the payable amount of the disputed statement, by the arbiter, until it resolves. The
    /// ruling adjusts all later statements by the same sum.
    /// @param contractId The contract.
    /// @param position The position of the pending statement.
    /// @param payableAmount The amount, within the bounds of Statements.rule.
    function rule(bytes32 contractId, uint64 position, uint256 payableAmount)
        external
        nonReentrant
    {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        GuardedRecord storage record = _records[contractId];
        if (msg.sender != terms.arbiter) revert NotArbiter(contractId, msg.sender);
        _finalizeMatured(contractId, ledger, record);
        Statements.rule(record, ledger.balance.budget(), position, payableAmount);
        emit Ruled(contractId, payableAmount);
        _finalize(contractId, ledger, record, block.timestamp);
        _payReleasable(contractId, terms, ledger);
    }

    /// @inheritdoc IEvidenceTarget
    function retire(bytes32 contractId, bytes32 kind) external onlyEvidence nonReentrant {
        Ledger storage ledger = _ledgerOf(contractId);
        GuardedRecord storage record = _records[contractId];
        if (ledger.config.has(RETIRED)) revert AlreadyRetired(contractId);
        if (ledger.config.has(CLOSED)) revert AlreadyClosed(contractId);
        _finalizeMatured(contractId, ledger, record);

        Statements.discard(record);
        ledger.config = ledger.config.withFlag(RETIRED);
        emit Disproved(contractId, kind);
    }

    /// @inheritdoc IEvidenceTarget
    function recordReversal(bytes32 contractId, uint64 outcome, uint256 amount)
        external
        onlyEvidence
        nonReentrant
    {
        Ledger storage ledger = _ledgerOf(contractId);
        GuardedRecord storage record = _records[contractId];
        // A plain contract has paid for good.
        if (!ledger.config.has(GUARDED)) revert NotGuarded(contractId);
        if (ledger.config.has(CLOSED)) revert AlreadyClosed(contractId);
        _finalizeMatured(contractId, ledger, record);
        Statements.recordReversal(record, outcome, amount);
        emit ReversalRecorded(contractId, outcome, amount);
    }

    // ------------------------------------------------------------ claims

    /// @inheritdoc IEvidenceTarget
    function fileClaim(bytes32 contractId, bytes32 key, Claim calldata claim)
        external
        onlyEvidence
        nonReentrant
    {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        GuardedRecord storage record = _records[contractId];
        if (ledger.config.has(CLOSED)) revert AlreadyClosed(contractId);
        _finalizeMatured(contractId, ledger, record);
        Claims.file(record, _claims[contractId], terms, ledger.balance.budget(), key, claim);
        emit Claimed(
            contractId, key, claim.lead, claim.transition, claim.touch, claim.timeMs, claim.amount
        );
    }

    /// @inheritdoc IEvidenceTarget
    function lowerClaim(bytes32 contractId, bytes32 key, uint256 left, bytes32 kind)
        external
        onlyEvidence
        nonReentrant
    {
        Terms memory terms = termsOf(contractId);
        if (_ledgerOf(contractId, terms).config.has(CLOSED)) revert AlreadyClosed(contractId);
        Claims.lower(_records[contractId], _claims[contractId], terms, key, left);
        emit ClaimLowered(contractId, key, left, kind);
    }

    /// Puts the sum of all claims before the arbiter, by the owner or the operator, after T3 and
    /// until T4.
    /// @param contractId The contract.
    function disputeClaims(bytes32 contractId) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        _requireParty(contractId, terms);
        Claims.dispute(_records[contractId], terms);
        emit ClaimsDisputed(contractId, msg.sender);
    }

    /// Sets the most that is paid of the disputed claims, by the arbiter, until T4. Claims that are
    /// refuted later still reduce their sum.
    /// @param contractId The contract.
    /// @param amount The amount, at most the sum of the claims.
    function ruleClaims(bytes32 contractId, uint256 amount) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        if (msg.sender != terms.arbiter) revert NotArbiter(contractId, msg.sender);
        Claims.rule(_records[contractId], terms, amount);
        emit ClaimsRuled(contractId, amount);
    }

    // ------------------------------------------------------------ end

    /// Ends a contract by consent. The amount that both parties have signed is paid, and the rest
    /// goes back to the owner. A party that calls may leave its signature empty.
    /// @param contractId The contract.
    /// @param payableAmount The amount, at least the paid amount and at most the budget.
    /// @param expiresAt The last second in which the signatures may be used.
    /// @param ownerSignature The owner's over Close(contractId, payableAmount, expiresAt).
    /// @param operatorSignature The operator's over the same.
    function close(
        bytes32 contractId,
        uint256 payableAmount,
        uint64 expiresAt,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        GuardedRecord storage record = _records[contractId];
        if (ledger.config.has(CLOSED)) revert AlreadyClosed(contractId);
        _finalizeMatured(contractId, ledger, record);
        Balance balance = ledger.balance;
        if (block.timestamp > expiresAt) revert CloseExpired(expiresAt, block.timestamp);
        if (payableAmount < balance.paid() || payableAmount > balance.budget()) {
            revert PayableOutOfRange(payableAmount, balance.paid(), balance.budget());
        }
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(TypeHashes.CLOSE, contractId, payableAmount, expiresAt))
        );
        _requireConsent(digest, terms.owner, ownerSignature);
        _requireConsent(digest, terms.operator, operatorSignature);

        Statements.closeByConsent(record, payableAmount);
        _vacateOutcome(terms);
        uint256 rest = balance.budget() - payableAmount;
        ledger.balance = balance.withBudget(payableAmount).withEnd(block.timestamp);
        ledger.config = ledger.config.withFlag(CLOSED);
        emit Closed(contractId, payableAmount);

        _payReleasable(contractId, terms, ledger);
        if (rest != 0) _refundOwner(contractId, terms, rest);
    }

    /// Returns to the owner what can no longer become payable, after T3. It can be called again
    /// whenever more of the budget is free. Any account may call.
    /// @param contractId The contract.
    function refund(bytes32 contractId) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        uint256 from = terms.claimsUntil();
        if (block.timestamp <= from) revert RefundTooEarly(contractId, from, block.timestamp);
        _finalizeMatured(contractId, ledger, _records[contractId]);
        Balance balance = ledger.balance;
        uint256 reserved = PayableAmounts.reserved(_records[contractId], terms, balance);
        if (reserved == balance.budget()) revert NothingToRefund(contractId);

        ledger.balance = balance.withBudget(reserved);
        _refundOwner(contractId, terms, balance.budget() - reserved);
    }

    /// Sends an amount back to the owner.
    function _refundOwner(bytes32 contractId, Terms memory terms, uint256 amount) private {
        emit Refunded(contractId, terms.owner, amount);
        uint256 held = _tokenBalance(terms.token);
        held = _sendOrCredit(contractId, terms.token, terms.owner, amount, held);
        _requireTokenBalance(terms.token, held);
    }

    /// Frees the outcome of an exclusive contract that is closed before its deadline. No other
    /// contract for it can be open, so the whole occupancy goes.
    function _vacateOutcome(Terms memory terms) private {
        if (!terms.exclusive || block.timestamp > terms.deadline) return;
        delete _occupancies[_outcomeIdOf(terms)];
    }

    // ------------------------------------------------------------ reading

    /// @inheritdoc IEvidenceTarget
    function termsOf(bytes32 contractId) public view returns (Terms memory) {
        return TermsStorage.readTerms(_termsPointerOf(contractId));
    }

    /// @inheritdoc IEvidenceTarget
    function openingNumberOf(bytes32 contractId) external view returns (uint256) {
        return TermsStorage.readOpeningNumber(_termsPointerOf(contractId));
    }

    /// Returns the amount that the contract has paid so far, fees included.
    /// @param contractId The contract.
    /// @return The amount in base units.
    function paidOf(bytes32 contractId) external view returns (uint256) {
        return _ledgerOf(contractId).balance.paid();
    }

    /// @inheritdoc IEvidenceTarget
    function lastFinalPosition(bytes32 contractId) public view returns (uint256) {
        GuardedRecord storage record = _records[contractId];
        if (record.isMatured()) return record.pendingPosition;
        return _ledgerOf(contractId).balance.lastFinal();
    }

    /// @inheritdoc IEvidenceTarget
    function lastSignedPosition(bytes32 contractId) external view returns (uint256) {
        GuardedRecord storage record = _records[contractId];
        return record.pendingPosition != 0 ? record.pendingPosition : lastFinalPosition(contractId);
    }

    /// Returns the pending statement; zeros if there is none.
    /// @param contractId The contract.
    /// @return earned The cumulative earned amount that it states.
    /// @return reversed The cumulative reversed amount that it states.
    /// @return position The position of its entry.
    /// @return resolvesAt The last second of the challenge or of the arbiter.
    /// @return ownerDisputed True if the owner has disputed it.
    /// @return operatorDisputed True if the operator has disputed it.
    function pendingOf(bytes32 contractId)
        external
        view
        returns (
            uint256 earned,
            uint256 reversed,
            uint64 position,
            uint64 resolvesAt,
            bool ownerDisputed,
            bool operatorDisputed
        )
    {
        GuardedRecord storage record = _records[contractId];
        if (!record.isPending()) return (0, 0, 0, 0, false, false);
        return (
            record.pendingEarned,
            record.pendingReversed,
            record.pendingPosition,
            record.resolvesAt,
            record.ownerDisputed,
            record.operatorDisputed
        );
    }

    /// Returns the final payable amount without claims.
    /// @param contractId The contract.
    /// @return The amount in base units.
    function netOf(bytes32 contractId) external view returns (uint256) {
        Ledger storage ledger = _ledgerOf(contractId);
        return PayableAmounts.net(_records[contractId], ledger.balance, ledger.config);
    }

    /// Returns the final payable amount that is not yet paid, with what is held back.
    /// @param contractId The contract.
    /// @return The amount in base units.
    function owed(bytes32 contractId) external view returns (uint256) {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        return PayableAmounts.owed(_records[contractId], terms, ledger.balance, ledger.config);
    }

    /// Returns the amount that `release` would pay now.
    /// @param contractId The contract.
    /// @return amount The amount in base units, fees included.
    function releasable(bytes32 contractId) external view returns (uint256 amount) {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        (amount,) =
            PayableAmounts.releasable(_records[contractId], terms, ledger.balance, ledger.config);
    }

    /// Returns the time by which all that is owed now can be released. If nothing is owed, it is
    /// the time at which the pending statement becomes final or the claims payable.
    ///
    /// Under a rate cap the time holds for a caller that releases amounts as they become due, and
    /// then once in every rate period: an empty bucket leaks nothing. Each release on the way may
    /// leave a unit for later, by rounding.
    /// @param contractId The contract.
    /// @return UTC seconds; zero if there is nothing to wait for.
    function releasableAt(bytes32 contractId) external view returns (uint256) {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        return
            PayableAmounts.releasableAt(_records[contractId], terms, ledger.balance, ledger.config);
    }

    /// @inheritdoc IEvidenceTarget
    function claimOf(bytes32 contractId, bytes32 key) external view returns (Claim memory) {
        return _claims[contractId][key];
    }

    /// @inheritdoc IEvidenceTarget
    function closedAtOf(bytes32 contractId) external view returns (uint256) {
        Ledger storage ledger = _ledgerOf(contractId);
        return ledger.config.has(CLOSED) ? ledger.balance.endsAt() : 0;
    }

    /// Returns true if the contract's verifier has signed a false entry. Its statements count no
    /// more.
    /// @param contractId The contract.
    /// @return True if the verifier is retired.
    function isRetired(bytes32 contractId) external view returns (bool) {
        return _ledgerOf(contractId).config.has(RETIRED);
    }

    /// Returns the status. It is derived from the stored facts and the clock:
    ///
    ///   not opened ............................................ unknown
    ///   closed by both parties ................................ closed      (for good)
    ///   the whole budget is paid .............................. paid_out
    ///   now < opensAt ......................................... scheduled
    ///   now <= deadline ....................................... open
    ///   now <= T2 ............................................. settling
    ///   now <= T3 ............................................. claimable
    ///   now <= T4 ............................................. refutable
    ///   later
    ///       something can be refunded ......................... refundable
    ///       something is owed ................................. releasing
    ///       else .............................................. refunded
    /// @param contractId The contract.
    /// @return The status in ASCII.
    function statusOf(bytes32 contractId) external view returns (bytes32) {
        if (_termsPointers[contractId] == address(0)) return "unknown";
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        return PayableAmounts.status(_records[contractId], terms, ledger.balance, ledger.config);
    }

    // ------------------------------------------------------------ inside

    /// Pays what is due now. It stores the new balance before it calls the token.
    function _payReleasable(bytes32 contractId, Terms memory terms, Ledger storage ledger) private {
        uint256 amount = _consumeReleasable(contractId, terms, ledger);
        if (amount == 0) return;
        uint256 paid = ledger.balance.paid();
        Balance balance = ledger.balance.withSettlement(paid + amount, ledger.balance.lastFinal());
        ledger.balance = balance;

        PayoutTotals memory payouts = PayoutTotals(_tokenBalance(terms.token), 0);
        _pay(terms.token, terms.feeBps, contractId, terms.payee, balance, paid, payouts);
        _completePayouts(terms.token, terms.feeRecipient, payouts);
    }

    /// Returns the amount that is due now, and fills the rate cap's bucket by it. The caller pays
    /// it.
    function _consumeReleasable(bytes32 contractId, Terms memory terms, Ledger storage ledger)
        private
        returns (uint256 amount)
    {
        GuardedRecord storage record = _records[contractId];
        uint256 level;
        (amount, level) = PayableAmounts.releasable(record, terms, ledger.balance, ledger.config);
        if (amount != 0 && terms.rateCap != 0) {
            record.capLevel = (level + amount).toUint80();
            record.capUpdatedAt = block.timestamp.toUint40();
        }
    }

    /// Pays the difference between `paid` and the paid amount of the new balance, which the caller
    /// has stored.
    function _pay(
        address token,
        uint256 feeBps,
        bytes32 contractId,
        address payee,
        Balance balance,
        uint256 paid,
        PayoutTotals memory payouts
    ) private {
        // No sum of amounts leaves 256 bits: each has 80. Nothing underflows: the new paid amount
        // is larger, and the fee is a part of the difference.
        unchecked {
            uint256 fee = Release.feeOf(paid, balance.paid(), feeBps);
            uint256 amount = balance.paid() - paid - fee;
            // A position has 40 bits.
            // forge-lint: disable-next-line(unsafe-typecast)
            emit Paid(contractId, payee, uint64(balance.lastFinal()), amount, fee);
            payouts.tokenBalance =
                _sendOrCredit(contractId, token, payee, amount, payouts.tokenBalance);
            payouts.fees += fee;
        }
    }

    /// Credits the fees of the payouts, and checks that the token has taken no more than they come
    /// to.
    function _completePayouts(address token, address feeRecipient, PayoutTotals memory payouts)
        private
    {
        if (payouts.fees != 0) _credits[token][feeRecipient] += payouts.fees;
        _requireTokenBalance(token, payouts.tokenBalance);
    }

    /// Returns true if the caller is the owner, and false if it is the operator. Reverts for any
    /// other.
    function _requireParty(bytes32 contractId, Terms memory terms) private view returns (bool) {
        if (msg.sender == terms.owner) return true;
        if (msg.sender == terms.operator) return false;
        revert NotAParty(contractId, msg.sender);
    }

    /// Reverts unless the party has signed the digest, or calls and leaves its signature empty.
    function _requireConsent(bytes32 digest, address party, bytes calldata signature) private view {
        if (msg.sender != party || signature.length != 0) _requireSigned(digest, party, signature);
    }

    /// Returns the account that keeps the terms. Reverts for a contract that was not opened.
    function _termsPointerOf(bytes32 contractId) private view returns (address file) {
        file = _termsPointers[contractId];
        if (file == address(0)) revert UnknownContract(contractId);
    }

    function _ledgerOf(bytes32 contractId) private view returns (Ledger storage) {
        return _ledgerOf(contractId, termsOf(contractId));
    }

    function _ledgerOf(bytes32 contractId, Terms memory terms)
        private
        view
        returns (Ledger storage)
    {
        return _ledgers[_groupIdOf(terms)][contractId];
    }

    function _outcomeIdOf(Terms memory terms) private pure returns (bytes32) {
        return keccak256(abi.encode(terms.owner, terms.logId, terms.surface, terms.outcome));
    }

    /// Returns the id of the group that contracts with these terms settle in. It must agree with
    /// _groupId.
    function _groupIdOf(Terms memory terms) private pure returns (bytes32) {
        return keccak256(
            abi.encode(terms.logId, terms.token, terms.verifier, terms.feeRecipient, terms.feeBps)
        );
    }

    function _groupId(Group memory group) private pure returns (bytes32) {
        return keccak256(abi.encode(group));
    }
}
