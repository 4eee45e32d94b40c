// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim} from "../evidence/EvidenceTypes.sol";
import {IIdentityRegistry} from "../interfaces/IAgentRegistries.sol";
import {IEvidenceTarget} from "../interfaces/IEvidenceTarget.sol";
import {EventLog} from "../log/EventLog.sol";
import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {Terms, TypeHashes} from "../terms/Terms.sol";
import {TermsRules} from "../terms/TermsRules.sol";
import {TermsStorage} from "../terms/TermsStorage.sol";
import {Claims} from "./Claims.sol";
import {Position} from "./ContractRecord.sol";
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
import {Vault} from "./Vault.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title The escrow of outcome contracts
/// @notice An owner escrows a budget under terms that owner and operator have both signed. The
/// event log's settlement entries move it to the payee: an entry counts when the publisher has
/// anchored it, the contract's verifier has signed for it, and it keeps to the terms. Anyone may
/// bring it. What is not earned goes back to the owner after the end.
///
/// Settlement entries are cumulative (earned, reversed). What has been paid is a high-water mark of
/// what is payable, so the same statement twice, or statements in any order, pay nothing twice.
///
/// A plain contract pays a statement at once. Any other is guarded: the statement is pending for the
/// challenge period, the log can disprove it (see Evidence), and where the terms name an arbiter
/// either party can dispute it. Then it is final; a share may be held back for a while, and a rate
/// cap may slow the payout down. What the verifier will not sign, the operator can claim by proof
/// after the end.
///
///   T2 = deadline + grace     the last second for statements; what only takes back may follow for
///                             holdbackPeriod. Late enough for what is reported last (see TermsRules)
///   T3 = T2 + claimPeriod     the last second for claims; from then on the owner's refund
///   T4 = T3 + claimPeriod     the last second to refute or dispute claims; then they are paid
///
/// What this contract assumes, and what it does not promise:
/// - Tokens are those of the constructor: an honest ERC-20 that keeps balances (no rebasing, no fee
///   on transfer). It may block accounts or pause, may return nothing, and may call its receiver. A
///   token that breaks these rules hurts only contracts in that token.
/// - Publisher and verifier together can pay the payee of a plain contract up to its budget, in its
///   price and before its end, and nothing else. Of any other contract they can pay what nobody
///   disproves before it is final or disputes in time; entries that they keep to themselves cannot
///   be disproved. Neither can alone, but entries that fit together deceive a verifier that only
///   replays the log.
/// - Where there are claims, publisher and operator can claim the rest of the budget by invented
///   entries, without the verifier. The owner disputes claims; a silent arbiter lets them stand.
/// - Plain contracts do not prove an outcome's attribution on chain: that a lead counts once and
///   its touch was first or last is the verifier's word, which anyone can check in the log.
/// - An entry's surface is not compared: its subject is the contract id, which binds the surface by
///   the terms.
/// - A verifier that is an ERC-1271 wallet can withdraw its signature until it is used.
/// - One statement is pending at a time, and anyone may bring it. A verifier signs the last
///   statement when none is pending and early enough: an older one that it signed and nobody brought
///   could take its place until it is too late, for a reversal as well.
/// - What is held back matures while a statement is pending, and nothing can be stated meanwhile.
///   Terms that hold back should do so for longer than a challenge and a dispute take. A reversal
///   counts when it is final: one stated in the last challenge and arbitration period of a holdback
///   can come too late.
/// - An arbiter decides of a disputed statement between the last final net, or the statement's own
///   where that is less, and what claims leave of the budget; of disputed claims up to their sum. A
///   silent one decides nothing: the statement stands. Operator and arbiter can have the budget paid
///   once a statement is pending; owner and arbiter can keep the payee from all that is not final. A
///   ruling ends the challenge at once. It is about a sum: what it added can be stated or claimed again,
///   and what it took off can be taken off again by a reversal.
/// - The chain takes a transaction within every period of the terms; periods run on while it stands
///   still.
/// - Nothing pauses this contract, no key owns it, and it cannot be changed.
contract OutcomeEscrow is Vault, IEvidenceTarget {
    using Math for uint256;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;
    using TermsRules for Terms;

    // ------------------------------------------------------------ state

    /// What the contracts of one settlement batch have in common.
    struct Group {
        bytes32 logId;
        address token;
        address verifier;
        address feeRecipient;
        uint16 feeBps;
    }

    /// What the payouts of one call come to.
    struct PayoutTotals {
        uint256 tokenBalance; // what the escrow still has of the token
        uint256 fees; //         to the credit of the fee recipient
    }

    /// The last second of any, and of any exclusive, contract for the same outcome of the same
    /// owner.
    struct Occupancy {
        uint40 anyUntil;
        uint40 exclusiveUntil;
    }

    /// EIP-2612: the owner lets the escrow pull the budget.
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// EIP-3009: the owner authorises the transfer itself; its nonce is the contract id.
    struct Authorization {
        uint256 validAfter;
        uint256 validBefore;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    EventLog public immutable eventLog;
    /// The contract that judges by the log alone: disproofs and claims come from there.
    address public immutable evidence;
    /// ERC-8004; zero where there are none.
    IIdentityRegistry public immutable identities;

    mapping(bytes32 groupId => mapping(bytes32 contractId => Ledger)) private _ledgers;
    mapping(bytes32 contractId => address) private _termsPointers;
    mapping(bytes32 contractId => Position) private _records;
    mapping(bytes32 contractId => mapping(bytes32 key => Claim)) private _claims;
    mapping(bytes32 outcomeId => Occupancy) private _occupancies;
    uint64 private _opened;

    // ------------------------------------------------------------ events

    event Opened(
        bytes32 indexed contractId,
        address indexed owner,
        address indexed operator,
        bytes32 logId,
        bytes32 surface
    );
    /// The entry at `position` now is the contract's statement. What is paid by then is in a Paid.
    event Settled(bytes32 indexed contractId, uint64 position, uint256 earned, uint256 reversed);
    /// The entry at `position` changed nothing; `reason` is ASCII. It tells the caller why and proves
    /// nothing: anyone can have an entry refused, under a log or a verifier of their own.
    event Refused(bytes32 indexed contractId, uint64 position, bytes32 reason);
    /// Behind a Settled: the statement waits to be challenged until `resolvesAt`, and then stands.
    event Pending(bytes32 indexed contractId, uint64 position, uint64 resolvesAt);
    /// The statement at `position` stands for good since `since`: so much is payable.
    event Final(bytes32 indexed contractId, uint64 position, uint256 net, uint64 since);
    event Disputed(bytes32 indexed contractId, address indexed party, uint64 resolvesAt);
    event Ruled(bytes32 indexed contractId, uint256 payableAmount);
    /// The verifier signed something that the log refutes; `kind` is ASCII.
    event Disproved(bytes32 indexed contractId, bytes32 kind);
    event Claimed(
        bytes32 indexed contractId,
        bytes32 indexed key,
        bytes32 lead,
        uint64 transition,
        uint64 touch,
        uint64 timeMs,
        uint256 amount
    );
    event ClaimDropped(bytes32 indexed contractId, bytes32 indexed key, bytes32 kind);
    event ClaimsDisputed(bytes32 indexed contractId, address indexed party);
    event ClaimsRuled(bytes32 indexed contractId, uint256 amount);
    event Closed(bytes32 indexed contractId, uint256 payableAmount);
    /// The contract paid amount + fee under its statement, the entry at `position`. The fee waits as a
    /// credit of the fee recipient.
    event Paid(
        bytes32 indexed contractId,
        address indexed payee,
        uint64 position,
        uint256 amount,
        uint256 fee
    );
    event Refunded(bytes32 indexed contractId, address indexed owner, uint256 amount);

    // ------------------------------------------------------------ errors

    error AlreadyOpen(bytes32 contractId);
    error TokenNotAllowed(address token);
    error UnknownLog(bytes32 logId);
    error OutcomeOccupied(bytes32 outcomeId, uint64 until);
    error NoIdentityRegistry(uint256 agentId);
    error PayeeIsNotAgentWallet(uint256 agentId, address wallet, address payee);

    error NotAnchored(bytes32 logId, uint64 size);
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

    /// Opens the contract and escrows its budget, which the owner has approved. Anyone may bring
    /// both signatures; the owner may call with an empty one.
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

    /// The same with the owner's permit. One that somebody has used before us has done its work,
    /// so only the allowance counts.
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

    /// The same with the owner's authorisation of the transfer; an allowance does where it fails.
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

    function _open(
        Terms calldata terms_,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) private returns (bytes32 contractId) {
        bytes memory encoded = abi.encode(TypeHashes.TERMS, terms_);
        contractId = _hashTypedDataV4(keccak256(encoded));
        Terms memory terms = TermsStorage.afterTypeHash(encoded);
        terms.check();
        if (!isAllowed[terms.token]) revert TokenNotAllowed(terms.token);
        if (eventLog.publisherOf(terms.logId) == address(0)) revert UnknownLog(terms.logId);
        if (terms.agentIdPlusOne != 0) _checkAgent(terms.agentIdPlusOne - 1, terms.payee);
        if (_termsPointers[contractId] != address(0)) revert AlreadyOpen(contractId);
        _requireConsent(contractId, terms.owner, ownerSignature);
        _requireSigned(contractId, terms.operator, operatorSignature);

        _occupyOutcome(terms);
        _termsPointers[contractId] = TermsStorage.write(terms, ++_opened);
        Ledger storage ledger = _ledgers[_groupIdOf(terms)][contractId];
        ledger.balance = newBalance(terms.budget, _statementsUntil(terms));
        ledger.config = newConfig(
            terms.payee,
            terms.revenueShareBps == 0 ? terms.unitPrice : 0,
            terms.isPlain() ? 0 : GUARDED
        );
        emit Opened(contractId, terms.owner, terms.operator, terms.logId, terms.surface);
    }

    /// The payee must be the wallet that the agent has named under ERC-8004.
    function _checkAgent(uint256 agentId, address payee) private view {
        if (address(identities) == address(0)) revert NoIdentityRegistry(agentId);
        address wallet = identities.getAgentWallet(agentId);
        if (wallet != payee) revert PayeeIsNotAgentWallet(agentId, wallet, payee);
    }

    /// An exclusive contract tolerates no other for the same outcome before its deadline, and is
    /// tolerated by none: no event after the deadline of one counts for it, and no contract opens
    /// in the past.
    function _occupyOutcome(Terms memory terms) private {
        bytes32 outcomeId = _outcomeIdOf(terms);
        Occupancy storage occupancy = _occupancies[outcomeId];
        uint40 until = terms.exclusive ? occupancy.anyUntil : occupancy.exclusiveUntil;
        if (until >= block.timestamp) revert OutcomeOccupied(outcomeId, until);

        uint40 deadline = uint256(terms.deadline).toUint40();
        if (deadline > occupancy.anyUntil) occupancy.anyUntil = deadline;
        if (terms.exclusive) occupancy.exclusiveUntil = deadline;
    }

    function _requireReceived(Terms calldata terms, uint256 before) private view {
        uint256 received = _tokenBalance(terms.token).saturatingSub(before);
        if (received != terms.budget) revert ReceivedWrongAmount(terms.budget, received);
    }

    // ------------------------------------------------------------ statements

    /// Settles the contracts of one group by the settlement entries [first, first + count) of the
    /// checkpoint with this size: `proof` is their run proof (see MerkleLog), `signature` the
    /// verifier's over Verified(logId, size, root, first, count). An entry that breaks a rule is
    /// refused by an event, and the rest proceed.
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

    function _settleRun(Group memory group, uint256 first, bytes calldata entries, uint256 count)
        private
    {
        mapping(bytes32 => Ledger) storage ledgers = _ledgers[_groupId(group)];
        PayoutTotals memory payouts = PayoutTotals(_tokenBalance(group.token), 0);
        for (uint256 i = 0; i < count; ++i) {
            unchecked {
                _settleEntry(ledgers, group, MerkleLog.entryAt(entries, i), first + i, payouts);
            }
        }
        _completePayouts(group.token, group.feeRecipient, payouts);
    }

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

    /// Zero if the entry may settle its contract, else the rule that it breaks.
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
        (uint256 earned, uint256 reversed) = _totalsOf(entry);
        uint256 net = entry.value;
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

    /// A plain contract pays its statement at once.
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
            (uint256 earned, uint256 reversed) = _totalsOf(entry);
            // forge-lint: disable-next-line(unsafe-typecast)
            emit Settled(entry.subject, uint64(position), earned, reversed);
            return;
        }
        ledger.balance = balance = balance.withSettlement(net, position);
        _pay(group.token, group.feeBps, entry.subject, config.payee(), balance, paid, payouts);
    }

    /// Puts a statement of any other contract up for challenge, and pays what is due by then.
    /// Returns the rule that the statement breaks, if any.
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

    function _submitStatement(
        bytes32 contractId,
        Terms memory terms,
        Ledger storage ledger,
        Entry calldata entry,
        uint256 position
    ) private returns (bytes32) {
        Position storage record = _records[contractId];
        _finalizeMatured(contractId, ledger, record);
        (uint256 earned, uint256 reversed) = _totalsOf(entry);
        bytes32 reason =
            Statements.put(record, terms, ledger.balance.lastFinal(), position, earned, reversed);
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

    /// Makes final what has become so by itself, and pays what is due. Anyone may call; where
    /// nothing is due, nothing happens.
    function release(bytes32 contractId) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        _finalizeMatured(contractId, ledger, _records[contractId]);
        _payReleasable(contractId, terms, ledger);
    }

    /// Keeps a statement whose time has passed as the final one.
    function _finalizeMatured(bytes32 contractId, Ledger storage ledger, Position storage record)
        private
    {
        if (record.isMatured()) _finalize(contractId, ledger, record, record.resolvesAt);
    }

    function _finalize(
        bytes32 contractId,
        Ledger storage ledger,
        Position storage record,
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

    /// Puts the pending statement, the entry at `position`, before the arbiter, by the owner or the
    /// operator, each once and within the challenge period.
    function dispute(bytes32 contractId, uint64 position) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        Position storage record = _records[contractId];
        _finalizeMatured(contractId, _ledgerOf(contractId, terms), record);
        bool byOwner = _requireParty(contractId, terms);
        uint40 resolvesAt = Statements.dispute(record, terms, position, byOwner);
        emit Disputed(contractId, msg.sender, resolvesAt);
    }

    /// Decides what is payable under the disputed statement, the entry at `position`, by the arbiter,
    /// until it resolves. What the ruling changes it changes for all later statements too.
    function rule(bytes32 contractId, uint64 position, uint256 payableAmount)
        external
        nonReentrant
    {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        Position storage record = _records[contractId];
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
        Position storage record = _records[contractId];
        if (ledger.config.has(RETIRED)) revert AlreadyRetired(contractId);
        if (ledger.config.has(CLOSED)) revert AlreadyClosed(contractId);
        _finalizeMatured(contractId, ledger, record);

        Statements.discard(record);
        ledger.config = ledger.config.withFlag(RETIRED);
        emit Disproved(contractId, kind);
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
        Position storage record = _records[contractId];
        if (ledger.config.has(CLOSED)) revert AlreadyClosed(contractId);
        _finalizeMatured(contractId, ledger, record);
        Claims.file(record, _claims[contractId], terms, ledger.balance.budget(), key, claim);
        emit Claimed(
            contractId, key, claim.lead, claim.transition, claim.touch, claim.timeMs, claim.amount
        );
    }

    /// @inheritdoc IEvidenceTarget
    function dropClaim(bytes32 contractId, bytes32 key, bytes32 kind)
        external
        onlyEvidence
        nonReentrant
    {
        Terms memory terms = termsOf(contractId);
        if (_ledgerOf(contractId, terms).config.has(CLOSED)) revert AlreadyClosed(contractId);
        Claims.drop(_records[contractId], _claims[contractId], terms, key);
        emit ClaimDropped(contractId, key, kind);
    }

    /// Puts the sum of all claims before the arbiter, by the owner or the operator, once no more
    /// can be filed.
    function disputeClaims(bytes32 contractId) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        _requireParty(contractId, terms);
        Claims.dispute(_records[contractId], terms);
        emit ClaimsDisputed(contractId, msg.sender);
    }

    /// Decides how much of the disputed claims is paid at most, by the arbiter, before they are. What
    /// the log refutes of them still comes off their sum.
    function ruleClaims(bytes32 contractId, uint256 amount) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        if (msg.sender != terms.arbiter) revert NotArbiter(contractId, msg.sender);
        Claims.rule(_records[contractId], terms, amount);
        emit ClaimsRuled(contractId, amount);
    }

    // ------------------------------------------------------------ end

    /// Ends the contract by consent: what both parties have signed as payable is paid, the rest
    /// goes back. A party that calls may leave its signature empty.
    function close(
        bytes32 contractId,
        uint256 payableAmount,
        uint64 expiresAt,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        Position storage record = _records[contractId];
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

        Statements.agree(record, payableAmount);
        _vacateOutcome(terms);
        uint256 rest = balance.budget() - payableAmount;
        ledger.balance = balance.withBudget(payableAmount).withEnd(block.timestamp);
        ledger.config = ledger.config.withFlag(CLOSED);
        emit Closed(contractId, payableAmount);

        _payReleasable(contractId, terms, ledger);
        if (rest != 0) _refundOwner(contractId, terms, rest);
    }

    /// After T3, gives back to the owner what can no longer become payable; again whenever more of
    /// it cannot. Anyone may call.
    function refund(bytes32 contractId) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        uint256 from = _statementsUntil(terms) + terms.claimPeriod;
        if (block.timestamp <= from) revert RefundTooEarly(contractId, from, block.timestamp);
        _finalizeMatured(contractId, ledger, _records[contractId]);
        Balance balance = ledger.balance;
        uint256 reserved = PayableAmounts.reserved(_records[contractId], terms, balance);
        if (reserved == balance.budget()) revert NothingToRefund(contractId);

        ledger.balance = balance.withBudget(reserved);
        _refundOwner(contractId, terms, balance.budget() - reserved);
    }

    function _refundOwner(bytes32 contractId, Terms memory terms, uint256 amount) private {
        emit Refunded(contractId, terms.owner, amount);
        uint256 held = _tokenBalance(terms.token);
        held = _sendOrCredit(contractId, terms.token, terms.owner, amount, held);
        _requireTokenBalance(terms.token, held);
    }

    /// A closed exclusive contract makes room for others.
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

    /// What has been paid so far, fees included.
    function paidOf(bytes32 contractId) external view returns (uint256) {
        return _ledgerOf(contractId).balance.paid();
    }

    /// @inheritdoc IEvidenceTarget
    function floorOf(bytes32 contractId) public view returns (uint256) {
        Position storage record = _records[contractId];
        if (record.isMatured()) return record.pendingPosition;
        return _ledgerOf(contractId).balance.lastFinal();
    }

    /// @inheritdoc IEvidenceTarget
    function reachOf(bytes32 contractId) external view returns (uint256) {
        Position storage record = _records[contractId];
        return record.pendingPosition != 0 ? record.pendingPosition : floorOf(contractId);
    }

    /// The statement that waits to be challenged; zeros if there is none.
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
        Position storage record = _records[contractId];
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

    /// What is payable for good, claims apart.
    function netOf(bytes32 contractId) external view returns (uint256) {
        Ledger storage ledger = _ledgerOf(contractId);
        return PayableAmounts.net(_records[contractId], ledger.balance, ledger.config);
    }

    /// What is payable for good and not yet paid, with what is held back.
    function owed(bytes32 contractId) external view returns (uint256) {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        return PayableAmounts.owed(_records[contractId], terms, ledger.balance, ledger.config);
    }

    /// What `release` would pay now.
    function releasable(bytes32 contractId) external view returns (uint256 amount) {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        (amount,) =
            PayableAmounts.releasable(_records[contractId], terms, ledger.balance, ledger.config);
    }

    /// When, at the latest, all that is owed now can have been released; if nothing is, when the
    /// pending statement becomes final or the claims payable; zero if there is nothing to wait for.
    /// Under a rate cap this is for those who release what comes due at once, and then in every rate
    /// period: a bucket that is empty leaks nothing. Each release that pays on the way may leave a
    /// unit for later.
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

    /// Whether the contract's verifier has signed something false, so that its word counts no more.
    function isRetired(bytes32 contractId) external view returns (bool) {
        return _ledgerOf(contractId).config.has(RETIRED);
    }

    /// Derived from the facts, never stored:
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
    function statusOf(bytes32 contractId) external view returns (bytes32) {
        if (_termsPointers[contractId] == address(0)) return "unknown";
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgerOf(contractId, terms);
        return PayableAmounts.status(_records[contractId], terms, ledger.balance, ledger.config);
    }

    // ------------------------------------------------------------ inside

    /// Pays what is due now.
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

    /// What is due now, taken from the rate cap; the caller pays it.
    function _consumeReleasable(bytes32 contractId, Terms memory terms, Ledger storage ledger)
        private
        returns (uint256 amount)
    {
        Position storage record = _records[contractId];
        uint256 level;
        (amount, level) = PayableAmounts.releasable(record, terms, ledger.balance, ledger.config);
        if (amount != 0 && terms.rateCap != 0) {
            record.capLevel = (level + amount).toUint80();
            record.capUpdatedAt = block.timestamp.toUint40();
        }
    }

    /// Brings what the contract has paid from `paid` to what its new balance says.
    function _pay(
        address token,
        uint256 feeBps,
        bytes32 contractId,
        address payee,
        Balance balance,
        uint256 paid,
        PayoutTotals memory payouts
    ) private {
        // No sum of amounts leaves 256 bits: each has 80.
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

    /// After payouts.
    function _completePayouts(address token, address feeRecipient, PayoutTotals memory payouts)
        private
    {
        if (payouts.fees != 0) _credits[token][feeRecipient] += payouts.fees;
        _requireTokenBalance(token, payouts.tokenBalance);
    }

    /// What a settlement entry's payload begins with: earned u80, reversed u80.
    function _totalsOf(Entry calldata entry) private pure returns (uint256, uint256) {
        uint256 payload = uint256(entry.payload);
        return (payload >> 176, payload >> 96 & type(uint80).max);
    }

    /// Returns whether the caller is the owner; reverts unless it is the owner or the operator.
    function _requireParty(bytes32 contractId, Terms memory terms) private view returns (bool) {
        if (msg.sender == terms.owner) return true;
        if (msg.sender == terms.operator) return false;
        revert NotAParty(contractId, msg.sender);
    }

    function _requireConsent(bytes32 digest, address party, bytes calldata signature) private view {
        if (msg.sender != party || signature.length != 0) _requireSigned(digest, party, signature);
    }

    /// T2.
    function _statementsUntil(Terms memory terms) private pure returns (uint256) {
        return uint256(terms.deadline) + terms.grace;
    }

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

    function _groupIdOf(Terms memory terms) private pure returns (bytes32) {
        return keccak256(
            abi.encode(terms.logId, terms.token, terms.verifier, terms.feeRecipient, terms.feeBps)
        );
    }

    function _groupId(Group memory group) private pure returns (bytes32) {
        return keccak256(abi.encode(group));
    }
}
