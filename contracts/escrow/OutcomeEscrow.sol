// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim, ProvenReversal} from "../evidence/EvidenceTypes.sol";
import {Payloads} from "../evidence/Payloads.sol";
import {IIdentityRegistry} from "../interfaces/IAgentRegistries.sol";
import {EscrowRecord, IEvidenceTarget} from "../interfaces/IEvidenceTarget.sol";
import {EventLog} from "../log/EventLog.sol";
import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {Terms, TypeHashes} from "../terms/Terms.sol";
import {TermsRules} from "../terms/TermsRules.sol";
import {Claims} from "./Claims.sol";
import {Funding, Fundings} from "./Fundings.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {Balance, CLOSED, DelayRule, Ledger, PayeeRule, RETIRED, newBalance} from "./Ledger.sol";
import {PayableAmounts, SNAPSHOT_WORDS} from "./PayableAmounts.sol";
import {Release} from "./Release.sol";
import {SettlementRules} from "./SettlementRules.sol";
import {Statements} from "./Statements.sol";
import {Times} from "./Times.sol";
import {Vault} from "./Vault.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
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
/// @dev Roles:
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
contract OutcomeEscrow is Vault, IEvidenceTarget {
    using SafeCast for uint256;
    using SettlementRules for Terms;
    using Times for Terms;

    // ------------------------------------------------------------ state

    /// @dev The terms that all contracts of one settlement batch share.
    struct Group {
        bytes32 logId;
        address token;
        address verifier;
        address feeRecipient;
        uint16 feeBps;
    }

    /// @dev What the payouts of one call have in common, and their totals.
    struct Payouts {
        address token;
        uint256 feeBps;
        uint256 tokenBalance; // the escrow's balance of the token after them
        uint256 fees; //         the fees, to be credited to the fee recipient
    }

    /// @dev The place of a contract in the order of opening, and the time at which it was closed.
    struct Opening {
        uint40 number;
        uint40 closedAt;
    }

    /// @dev The last second of all contracts, and of all exclusive ones, for one outcome of one
    /// owner.
    struct Occupancy {
        uint40 anyUntil;
        uint40 exclusiveUntil;
    }

    /// The event log whose checkpoints count.
    EventLog public immutable eventLog;
    /// The contract from which disproofs and claims are taken. It decides by the log alone.
    address public immutable evidence;
    /// The ERC-8004 Identity Registry; zero if there is none.
    IIdentityRegistry public immutable identities;

    /// @dev The EIP-712 domain of contract ids: the escrow's, on the chain where it was deployed. Were
    /// ids to change with the id of the chain, as after a split, no contract would be found any more.
    bytes32 private immutable _idDomain;

    mapping(bytes32 contractId => Opening) private _openings;
    mapping(bytes32 contractId => GuardedRecord) private _records;
    mapping(bytes32 contractId => mapping(bytes32 key => Claim)) private _claims;
    mapping(bytes32 outcomeId => Occupancy) private _occupancies;
    uint40 private _opened;

    // ------------------------------------------------------------ events

    /// Emitted when a contract is open and its budget escrowed. Calls about the contract need these
    /// terms.
    event Opened(
        bytes32 indexed contractId, address indexed owner, address indexed operator, Terms terms
    );
    /// Emitted when an entry has become the contract's statement. `statement` packs its totals and
    /// its position, from the high bits down: earned u80, reversed u80, 0 u56, position u40.
    event Settled(bytes32 indexed contractId, uint256 statement);
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
    /// Emitted when it is proven what an event takes back of an outcome (see ProvenReversal).
    event ReversalRecorded(
        bytes32 indexed contractId,
        uint64 happened,
        uint64 outcome,
        uint256 value,
        uint256 sum,
        uint256 amount
    );
    /// Emitted when a party has disputed the sum of the claims.
    event ClaimsDisputed(bytes32 indexed contractId, address indexed party);
    /// Emitted when the arbiter has set the most that is paid of the claims.
    event ClaimsRuled(bytes32 indexed contractId, uint256 amount);
    /// Emitted when both parties have ended the contract.
    event Closed(bytes32 indexed contractId, uint256 payableAmount);
    /// Emitted when the contract has paid amount + fee: the amount to its payee, and the fee as a
    /// credit of the fee recipient.
    event Paid(bytes32 indexed contractId, uint256 amount, uint256 fee);
    /// Emitted when an amount has gone back to the owner.
    event Refunded(bytes32 indexed contractId, address indexed owner, uint256 amount);

    // ------------------------------------------------------------ errors

    error AlreadyOpen(bytes32 contractId);
    error TokenNotAllowed(address token);
    error UnknownLog(bytes32 logId);
    error OutcomeOccupied(bytes32 outcomeId, uint64 until);

    error NotAnchored(bytes32 logId, uint64 size);
    error RulesMissing(uint256 position);
    error RulesTooMany(uint256 count, uint256 used);
    error UnknownContract(bytes32 contractId);
    error NotEvidence(address caller);
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
        _requireEvidence();
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
        _idDomain = _domainSeparatorV4();
        eventLog = eventLog_;
        evidence = evidence_;
        identities = identities_;
    }

    // ------------------------------------------------------------ opening

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

    // ------------------------------------------------------------ statements

    /// Settles contracts of one group by a run of settlement entries. Any account may call. An
    /// entry that breaks a rule is refused by an event, and the rest proceed.
    /// @param group The terms that these contracts share.
    /// @param size The size of an anchored checkpoint.
    /// @param first The position of the first entry.
    /// @param entries The entries [first, first + count), 256 bytes each.
    /// @param rules The payee rule of each entry's contract, and behind that of a guarded one its
    /// delay rule (see Ledger.sol). With wrong ones a contract is unknown.
    /// @param proof Their run proof in that checkpoint (see MerkleLog).
    /// @param signature The verifier's signature over Verified(logId, size, root, first, count).
    function settle(
        Group calldata group,
        uint64 size,
        uint64 first,
        bytes calldata entries,
        uint256[] calldata rules,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external nonReentrant {
        _requireVerified(group, size, first, entries, proof, signature);
        _settleRun(group, first, entries, rules);
    }

    /// Reverts unless the run of entries is anchored, and the verifier has signed for it.
    function _requireVerified(
        Group calldata group,
        uint64 size,
        uint64 first,
        bytes calldata entries,
        bytes32[] calldata proof,
        bytes calldata signature
    ) private view {
        bytes32 root = eventLog.rootAt(group.logId, size);
        if (root == 0) revert NotAnchored(group.logId, size);
        uint256 count = MerkleLog.verifyRun(entries, first, size, proof, root);
        bytes32 structHash =
            keccak256(abi.encode(TypeHashes.VERIFIED, group.logId, size, root, first, count));
        _requireSigned(_hashTypedDataV4(structHash), group.verifier, signature);
    }

    /// Settles the entries of a verified run, and then moves fees once for all of them.
    function _settleRun(
        Group calldata group,
        uint256 first,
        bytes calldata entries,
        uint256[] calldata rules
    ) private {
        bytes32 groupId = _groupId(group);
        Payouts memory payouts = _newPayouts(group.token, group.feeBps);
        uint256 used = 0;
        // It cannot overflow: positions have 40 bits.
        unchecked {
            for (uint256 i = 0; i < entries.length / MerkleLog.ENTRY_BYTES; ++i) {
                used = _settleNext(
                    first + i,
                    group.verifier,
                    rules,
                    used,
                    groupId,
                    MerkleLog.entryAt(entries, i),
                    payouts
                );
            }
        }
        if (used != rules.length) revert RulesTooMany(rules.length, used);
        _completePayouts(group.feeRecipient, payouts);
    }

    /// Settles one contract by one entry and the rules from `used` on. Returns the number of rules
    /// that are used then.
    function _settleNext(
        uint256 position,
        address verifier,
        uint256[] calldata rules,
        uint256 used,
        bytes32 groupId,
        Entry calldata entry,
        Payouts memory payouts
    ) private returns (uint256) {
        // It cannot overflow: there are no more rules than calldata.
        unchecked {
            if (used == rules.length) revert RulesMissing(position);
            PayeeRule payeeRule = PayeeRule.wrap(rules[used++]);
            DelayRule delays;
            if (payeeRule.isGuarded()) {
                if (used == rules.length) revert RulesMissing(position);
                delays = DelayRule.wrap(rules[used++]);
            }
            Ledger storage ledger = _ledger(groupId, entry.subject, payeeRule, delays);
            _settleEntry(position, verifier, entry, ledger, payeeRule, delays, payouts);
        }
        return used;
    }

    /// Settles one contract by one entry, or reports the rule that the entry breaks.
    function _settleEntry(
        uint256 position,
        address verifier,
        Entry calldata entry,
        Ledger storage ledger,
        PayeeRule payeeRule,
        DelayRule delays,
        Payouts memory payouts
    ) private {
        Balance balance = ledger.balance;
        bytes32 reason = _reasonToRefuse(balance, payeeRule, entry, verifier, position);
        if (reason == 0) {
            if (payeeRule.isGuarded()) {
                reason = _settleGuarded(ledger, payeeRule, delays, entry, position, payouts);
            } else {
                _settlePlain(ledger, balance, payeeRule.payee(), entry, position, payouts);
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
        PayeeRule payeeRule,
        Entry calldata entry,
        address verifier,
        uint256 position
    ) private view returns (bytes32) {
        if (entry.kind != "settlement") return "not_a_settlement";
        if (uint256(entry.actor) != uint160(verifier)) return "wrong_actor";
        if (balance.endsAt() == 0) return "unknown_contract";
        if (balance.flags() != 0) {
            if (balance.has(CLOSED)) return "closed";
            return "verifier_retired";
        }
        bool isPlain = !payeeRule.isGuarded();
        if (isPlain && block.timestamp > balance.endsAt()) return "ended";
        if (position <= balance.lastFinal()) return "already_settled";
        (uint256 earned, uint256 reversed) = Payloads.totals(entry.payload);
        uint256 net = entry.value;
        // The subtraction comes second: earned is then not less than reversed.
        unchecked {
            if (earned < reversed || net != earned - reversed) return "wrong_value";
        }
        uint256 priceStep = payeeRule.priceStep();
        if (priceStep != 0) {
            if (earned % priceStep != 0 || reversed % priceStep != 0) return "wrong_price";
        }
        if (isPlain) {
            if (net > balance.budget()) return "over_budget";
            if (earned < balance.paid()) return "earned_fell";
        }
        return 0;
    }

    /// Returns the statement as Settled tells it.
    function _statementOf(Entry calldata entry, uint256 position) private pure returns (uint256) {
        return uint256(entry.payload) >> 96 << 96 | position; // a position has 40 bits
    }

    /// Pays a statement of a plain contract at once.
    function _settlePlain(
        Ledger storage ledger,
        Balance balance,
        address payee,
        Entry calldata entry,
        uint256 position,
        Payouts memory payouts
    ) private {
        uint256 paid = balance.paid();
        uint256 net = entry.value;
        ledger.balance = balance.withSettlement(net > paid ? net : paid, position);
        emit Settled(entry.subject, _statementOf(entry, position));
        if (net > paid) _pay(entry.subject, payee, paid, net, payouts);
    }

    /// Puts a statement of a guarded contract up for challenge, and pays what is due by then, claims
    /// apart. Returns the rule that the statement breaks; zero if it breaks none.
    function _settleGuarded(
        Ledger storage ledger,
        PayeeRule payeeRule,
        DelayRule delays,
        Entry calldata entry,
        uint256 position,
        Payouts memory payouts
    ) private returns (bytes32 reason) {
        bytes32 contractId = entry.subject;
        GuardedRecord storage record = _records[contractId];
        _finalizeMatured(contractId, ledger, record, delays);
        reason = _submitStatement(ledger, record, delays, entry, position);

        Balance balance = ledger.balance;
        uint256 paid = balance.paid();
        uint256 amount = PayableAmounts.consumeReleasable(record, balance, delays, false);
        if (amount == 0) return reason;
        ledger.balance = balance.withSettlement(paid + amount, balance.lastFinal());
        _pay(contractId, payeeRule.payee(), paid, paid + amount, payouts);
    }

    /// Takes a new statement, while none has matured. Returns the rule that it breaks; zero if it
    /// breaks none.
    function _submitStatement(
        Ledger storage ledger,
        GuardedRecord storage record,
        DelayRule delays,
        Entry calldata entry,
        uint256 position
    ) private returns (bytes32) {
        (uint256 earned, uint256 reversed) = Payloads.totals(entry.payload);
        Balance balance = ledger.balance;
        bytes32 reason = Statements.propose(
            record,
            delays,
            balance.budget(),
            balance.endsAt(),
            balance.lastFinal(),
            position,
            earned,
            reversed
        );
        if (reason != 0) return reason;
        emit Settled(entry.subject, _statementOf(entry, position));
        if (delays.challengePeriod() == 0) {
            _finalize(entry.subject, ledger, record, delays, block.timestamp);
        } else {
            // A position has 40 bits.
            // forge-lint: disable-next-line(unsafe-typecast)
            emit Pending(entry.subject, uint64(position), record.resolvesAt);
        }
        return 0;
    }

    /// Finalizes a matured statement, then pays what is due. Any account may call. Where nothing is
    /// due, nothing happens.
    /// @param terms The terms of the contract.
    function release(Terms calldata terms) external nonReentrant {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());
        _payReleasable(contractId, terms, ledger, record);
    }

    /// Stores a statement whose time has passed as final. Functions that change the record call it
    /// first, so they see the record as its reads do.
    function _finalizeMatured(
        bytes32 contractId,
        Ledger storage ledger,
        GuardedRecord storage record,
        DelayRule delays
    ) private {
        if (record.isMatured()) {
            _finalize(contractId, ledger, record, delays, record.resolvesAt);
        }
    }

    /// Stores the pending statement as final since the second `since`.
    function _finalize(
        bytes32 contractId,
        Ledger storage ledger,
        GuardedRecord storage record,
        DelayRule delays,
        uint256 since
    ) private {
        Balance balance = ledger.balance;
        uint40 position = record.pendingPosition;
        uint256 net =
            Statements.finalize(record, since, balance.budget(), delays.holdbackBps() != 0);
        ledger.balance = balance.withSettlement(balance.paid(), position);
        // A time has 40 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit Final(contractId, position, net, uint64(since));
    }

    // ------------------------------------------------------------ dispute, ruling, disproof

    /// Puts the pending statement before the arbiter, by the owner or the operator, each once and
    /// within the challenge period.
    /// @param terms The terms of the contract.
    /// @param position The position of the pending statement.
    function dispute(Terms calldata terms, uint64 position) external nonReentrant {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());
        bool byOwner = _requireParty(contractId, terms);
        uint40 resolvesAt =
            Statements.dispute(record, terms.arbiter, terms.arbitrationPeriod, position, byOwner);
        emit Disputed(contractId, msg.sender, resolvesAt);
    }

    /// Sets the payable amount of the disputed statement, by the arbiter, until it resolves. The
    /// ruling adjusts all later statements by the same sum.
    /// @param terms The terms of the contract.
    /// @param position The position of the pending statement.
    /// @param payableAmount The amount, within the bounds of Statements.rule.
    function rule(Terms calldata terms, uint64 position, uint256 payableAmount)
        external
        nonReentrant
    {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        if (msg.sender != terms.arbiter) revert NotArbiter(contractId, msg.sender);
        DelayRule delays = terms.delayRule();
        _finalizeMatured(contractId, ledger, record, delays);
        Statements.rule(record, ledger.balance.budget(), position, payableAmount);
        emit Ruled(contractId, payableAmount);
        _finalize(contractId, ledger, record, delays, block.timestamp);
        _payReleasable(contractId, terms, ledger, record);
    }

    /// @inheritdoc IEvidenceTarget
    function retire(Terms calldata terms, bytes32 kind) external onlyEvidence nonReentrant {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _findOpen(terms);
        if (ledger.balance.has(RETIRED)) revert AlreadyRetired(contractId);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());

        Statements.discard(record);
        ledger.balance = ledger.balance.withFlag(RETIRED);
        emit Disproved(contractId, kind);
    }

    /// @inheritdoc IEvidenceTarget
    function recordReversal(Terms calldata terms, ProvenReversal calldata reversal)
        external
        onlyEvidence
        nonReentrant
    {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _findOpen(terms);
        DelayRule delays = terms.delayRule();
        _finalizeMatured(contractId, ledger, record, delays);
        Statements.recordReversal(record, delays, reversal);
        emit ReversalRecorded(
            contractId,
            reversal.happened,
            reversal.outcome,
            reversal.value,
            reversal.sum,
            reversal.amount
        );
    }

    // ------------------------------------------------------------ claims

    /// @inheritdoc IEvidenceTarget
    function fileClaim(Terms calldata terms, bytes32 key, Claim calldata claim)
        external
        onlyEvidence
        nonReentrant
    {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _findOpen(terms);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());
        Claims.file(
            record,
            _claims[contractId],
            terms.statementsUntil(),
            terms.claimsUntil(),
            ledger.balance.budget(),
            key,
            claim
        );
        emit Claimed(
            contractId, key, claim.lead, claim.transition, claim.touch, claim.timeMs, claim.amount
        );
    }

    /// @inheritdoc IEvidenceTarget
    function lowerClaim(Terms calldata terms, bytes32 key, uint256 left, bytes32 kind)
        external
        onlyEvidence
        nonReentrant
    {
        (bytes32 contractId,, GuardedRecord storage record) = _findOpen(terms);
        Claims.lower(
            record, _claims[contractId], terms.statementsUntil(), terms.refutableUntil(), key, left
        );
        emit ClaimLowered(contractId, key, left, kind);
    }

    /// Puts the sum of all claims before the arbiter, by the owner or the operator, after T3 and
    /// until T4.
    /// @param terms The terms of the contract.
    function disputeClaims(Terms calldata terms) external nonReentrant {
        (bytes32 contractId,, GuardedRecord storage record) = _findOpen(terms);
        _requireParty(contractId, terms);
        Claims.dispute(record, terms.claimsUntil(), terms.refutableUntil());
        emit ClaimsDisputed(contractId, msg.sender);
    }

    /// Sets the most that is paid of the disputed claims, by the arbiter, until T4. Claims that are
    /// refuted later still reduce their sum.
    /// @param terms The terms of the contract.
    /// @param amount The amount, at most the sum of the claims.
    function ruleClaims(Terms calldata terms, uint256 amount) external nonReentrant {
        (bytes32 contractId,, GuardedRecord storage record) = _findOpen(terms);
        if (msg.sender != terms.arbiter) revert NotArbiter(contractId, msg.sender);
        Claims.rule(record, terms.claimsUntil(), terms.refutableUntil(), amount);
        emit ClaimsRuled(contractId, amount);
    }

    // ------------------------------------------------------------ end

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

    /// Sends an amount back to the owner.
    function _refundOwner(bytes32 contractId, Terms calldata terms, uint256 amount) private {
        emit Refunded(contractId, terms.owner, amount);
        uint256 held = _tokenBalance(terms.token);
        held = _sendOrCredit(contractId, terms.token, terms.owner, amount, held);
        _requireTokenBalance(terms.token, held);
    }

    /// Frees the outcome of an exclusive contract that is closed before its deadline. No other
    /// contract for it can be open, so the whole occupancy goes.
    function _vacateOutcome(Terms calldata terms) private {
        if (!terms.exclusive || block.timestamp > terms.deadline) return;
        delete _occupancies[_outcomeIdOf(terms)];
    }

    // ------------------------------------------------------------ reading

    /// Returns the id of the contract with these terms, whether it was opened or not.
    /// @param terms The terms.
    /// @return The EIP-712 digest of the terms.
    function contractIdOf(Terms calldata terms) external view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(_idDomain, _hashOf(terms));
    }

    /// @inheritdoc IEvidenceTarget
    function recordOf(Terms calldata terms) external view returns (EscrowRecord memory) {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        uint256 pending = record.pendingPosition;
        uint256 lastFinal = record.isMatured() ? pending : ledger.balance.lastFinal();
        return EscrowRecord(contractId, pending != 0 ? pending : lastFinal, lastFinal);
    }

    /// @inheritdoc IEvidenceTarget
    function openingNumberOf(bytes32 contractId) external view returns (uint256) {
        return _openings[contractId].number;
    }

    /// @inheritdoc IEvidenceTarget
    function closedAtOf(bytes32 contractId) external view returns (uint256) {
        return _openings[contractId].closedAt;
    }

    /// @inheritdoc IEvidenceTarget
    function claimOf(bytes32 contractId, bytes32 key) external view returns (Claim memory) {
        return _claims[contractId][key];
    }

    /// Returns what the escrow holds of a contract now. People read it through EscrowLens.
    /// @param terms The terms of the contract.
    /// @return The words of a Snapshot, in the order of its fields.
    function snapshotOf(Terms calldata terms)
        external
        view
        returns (uint256[SNAPSHOT_WORDS] memory)
    {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        return PayableAmounts.snapshotOf(
            record, contractId, ledger.balance, terms.delayRule(), !terms.isPlain()
        );
    }

    // ------------------------------------------------------------ inside

    /// Pays what is due now. It stores the new balance before it calls the token.
    function _payReleasable(
        bytes32 contractId,
        Terms calldata terms,
        Ledger storage ledger,
        GuardedRecord storage record
    ) private {
        Balance balance = ledger.balance;
        // A plain contract has paid all that is payable, unless it was closed.
        if (terms.isPlain() && !balance.has(CLOSED)) return;
        bool areClaimsDue = terms.claimPeriod != 0 && block.timestamp > terms.refutableUntil();
        uint256 amount =
            PayableAmounts.consumeReleasable(record, balance, terms.delayRule(), areClaimsDue);
        if (amount == 0) return;
        uint256 paid = balance.paid();
        ledger.balance = balance.withSettlement(paid + amount, balance.lastFinal());

        Payouts memory payouts = _newPayouts(terms.token, terms.feeBps);
        _pay(contractId, terms.payee, paid, paid + amount, payouts);
        _completePayouts(terms.feeRecipient, payouts);
    }

    /// Returns the totals of payouts in a token, before the first.
    function _newPayouts(address token, uint256 feeBps) private view returns (Payouts memory) {
        return Payouts(token, feeBps, _tokenBalance(token), 0);
    }

    /// Pays what raises the paid amount from `paid` to `net`. The caller has stored the new balance.
    function _pay(
        bytes32 contractId,
        address payee,
        uint256 paid,
        uint256 net,
        Payouts memory payouts
    ) private {
        // No sum of amounts leaves 256 bits: each has 80. Nothing underflows: the new paid amount
        // is larger, and the fee is a part of the difference.
        unchecked {
            uint256 fee = Release.feeOf(paid, net, payouts.feeBps);
            uint256 amount = net - paid - fee;
            emit Paid(contractId, amount, fee);
            payouts.tokenBalance =
                _sendOrCredit(contractId, payouts.token, payee, amount, payouts.tokenBalance);
            payouts.fees += fee;
        }
    }

    /// Credits the fees of the payouts, and checks that the token has taken no more than they come
    /// to.
    function _completePayouts(address feeRecipient, Payouts memory payouts) private {
        if (payouts.fees != 0) _credits[payouts.token][feeRecipient] += payouts.fees;
        _requireTokenBalance(payouts.token, payouts.tokenBalance);
    }

    function _requireEvidence() private view {
        if (msg.sender != evidence) revert NotEvidence(msg.sender);
    }

    /// Returns true if the caller is the owner, and false if it is the operator. Reverts for any
    /// other.
    function _requireParty(bytes32 contractId, Terms calldata terms) private view returns (bool) {
        if (msg.sender == terms.owner) return true;
        if (msg.sender == terms.operator) return false;
        revert NotAParty(contractId, msg.sender);
    }

    /// Finds the contract with these terms. Reverts for one that was not opened.
    function _find(Terms calldata terms)
        private
        view
        returns (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record)
    {
        contractId = MessageHashUtils.toTypedDataHash(_idDomain, _hashOf(terms));
        ledger = _ledgerAt(contractId, terms);
        if (ledger.balance.endsAt() == 0) revert UnknownContract(contractId);
        record = _records[contractId];
    }

    /// Finds the contract as `_find` does. Reverts for one that both parties have closed, too.
    function _findOpen(Terms calldata terms)
        private
        view
        returns (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record)
    {
        (contractId, ledger, record) = _find(terms);
        if (ledger.balance.has(CLOSED)) revert AlreadyClosed(contractId);
    }

    /// Returns the place of the contract's ledger.
    function _ledgerAt(bytes32 contractId, Terms calldata terms)
        private
        pure
        returns (Ledger storage)
    {
        // It must agree with the hash of a Group.
        bytes32 groupId = keccak256(
            abi.encode(terms.logId, terms.token, terms.verifier, terms.feeRecipient, terms.feeBps)
        );
        return _ledger(groupId, contractId, terms.payeeRule(), terms.delayRule());
    }

    /// Returns the ledger of a contract. It lies at the hash of the group, the contract and its rules:
    /// so a settlement that is brought with anything false finds no contract, and nothing of it is
    /// stored. No other variable of this contract lies at a hash of four words.
    function _ledger(bytes32 groupId, bytes32 contractId, PayeeRule payeeRule, DelayRule delays)
        private
        pure
        returns (Ledger storage ledger)
    {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, groupId)
            mstore(add(data, 32), contractId)
            mstore(add(data, 64), payeeRule)
            mstore(add(data, 96), delays)
            ledger.slot := keccak256(data, 128)
        }
    }

    /// Returns the hash of a group, as it lies. Words that no field could hold make another group, in
    /// which there is no contract.
    function _groupId(Group calldata group) private pure returns (bytes32 groupId) {
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, group, 160)
            groupId := keccak256(data, 160)
        }
    }

    function _outcomeIdOf(Terms calldata terms) private pure returns (bytes32) {
        return keccak256(abi.encode(terms.owner, terms.logId, terms.surface, terms.outcome));
    }

    /// Returns the EIP-712 hash of the terms. They are hashed as they lie: terms are 32 words in the
    /// order of their fields. Words that no field could hold make terms that were never opened.
    function _hashOf(Terms calldata terms) private pure returns (bytes32 hash) {
        bytes32 typeHash = TypeHashes.TERMS;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, typeHash)
            calldatacopy(add(data, 32), terms, 1024)
            hash := keccak256(data, 1056)
        }
    }
}
