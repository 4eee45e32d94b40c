// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EventLog} from "./EventLog.sol";
import {CodeStore} from "./libraries/CodeStore.sol";
import {Balance, Deal, Ledger, newBalance, newDeal} from "./libraries/Ledger.sol";
import {Entry, MerkleLog} from "./libraries/MerkleLog.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {Terms, TypeHashes} from "./libraries/Terms.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title The escrow of outcome contracts
/// @notice An owner escrows a budget under terms that owner and operator have both signed. The
/// event log's settlement entries move it to the payee: an entry counts when the publisher has
/// anchored it, the contract's verifier has signed for it, and it keeps to the terms. Anyone may
/// bring it. What is not earned goes back to the owner after the end.
///
/// Settlement entries are cumulative (earned, reversed). What has been paid is a high-water mark of
/// earned - reversed, so the same statement twice, or statements in any order, pay nothing twice.
///
/// What this contract assumes, and what it does not promise:
/// - Tokens are those of the constructor: an honest ERC-20 that keeps balances (no rebasing, no fee
///   on transfer). It may block accounts or pause, may return nothing, and may call its receiver. A
///   token that breaks these rules hurts only contracts in that token.
/// - Publisher and verifier together can pay the payee of a plain contract up to its budget, in its
///   price and before its end, and nothing else. One of them alone can pay nothing.
/// - Instant contracts do not prove an outcome's attribution on chain: that a lead counts once and
///   its touch was first or last is the verifier's word, which anyone can check in the log.
/// - An entry's surface is not compared: its subject is the contract id, which binds the surface by
///   the terms.
/// - A verifier that is an ERC-1271 wallet can withdraw its signature until it is used.
/// - Nothing pauses this contract, no key owns it, and it cannot be changed.
contract OutcomeEscrow is EIP712, Nonces {
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    // ------------------------------------------------------------ state

    /// What the contracts of one settlement batch have in common.
    struct Group {
        bytes32 logId;
        address token;
        address verifier;
        address feeRecipient;
        uint16 feeBps;
    }

    /// What one batch moves.
    struct Flows {
        uint256 sent; //  out of the escrow
        uint256 fees; //  to the credit of the fee recipient
    }

    /// The last second of any, and of any exclusive, contract for the same outcome of the same
    /// owner.
    struct Occupancy {
        uint40 anyUntil;
        uint40 exclusiveUntil;
    }

    uint256 private constant BPS = 10_000;
    uint256 private constant TERMS_BYTES = 32 * 32;

    /// What a token gets for a transfer out, and what must be left before one is tried: the token
    /// gets its part in full, and the rest suffices to record that it failed. So nobody can turn a
    /// payout into a credit by giving too little gas.
    uint256 private constant TRANSFER_GAS = 200_000;
    uint256 private constant TRANSFER_GAS_FLOOR = 300_000;

    EventLog public immutable eventLog;

    mapping(address token => bool) public isAllowed;
    mapping(bytes32 groupId => mapping(bytes32 contractId => Ledger)) private _ledgers;
    mapping(bytes32 contractId => address) private _termsCode;
    mapping(bytes32 outcomeId => Occupancy) private _occupancies;
    mapping(address token => mapping(address account => uint256)) private _credits;
    bool private transient _entered;

    // ------------------------------------------------------------ events

    event Opened(
        bytes32 indexed contractId,
        address indexed owner,
        address indexed operator,
        bytes32 logId,
        bytes32 surface
    );
    /// The entry at `index` now is the contract's statement.
    event Settled(bytes32 indexed contractId, uint64 index, uint256 earned, uint256 reversed);
    /// The entry at `index` changed nothing; `reason` is ASCII. It tells the caller why and proves
    /// nothing: anyone can have an entry refused, under a log or a verifier of their own.
    event Refused(bytes32 indexed contractId, uint64 index, bytes32 reason);
    /// The contract paid amount + fee. The fee waits as a credit of the fee recipient.
    event Paid(bytes32 indexed contractId, address indexed payee, uint256 amount, uint256 fee);
    event Refunded(bytes32 indexed contractId, address indexed owner, uint256 amount);
    /// Directly behind a Paid or Refunded: the transfer failed, and the amount waits as a credit of
    /// the account.
    event Credited(bytes32 indexed contractId, address indexed account, uint256 amount);
    event Withdrawn(address indexed token, address indexed account, address to, uint256 amount);

    // ------------------------------------------------------------ errors

    error ReentrantCall();
    error NoTokens();
    error NotAContract(address account);

    error AlreadyOpen(bytes32 contractId);
    error NotSigned(bytes32 digest, address signer);
    error ZeroOwner();
    error ZeroOperator();
    error ZeroPayee();
    error ZeroVerifier();
    error ZeroFeeRecipient(uint16 feeBps);
    error OwnerIsOperator(address account);
    error EscrowAsPayee();
    error EscrowAsFeeRecipient();
    error TokenNotAllowed(address token);
    error UnknownLog(bytes32 logId);
    error UnknownAttribution(uint8 attribution);
    error OpensInThePast(uint64 opensAt, uint256 nowS);
    error DeadlineBeforeOpening(uint64 opensAt, uint64 deadline);
    error TimesTooLarge(uint256 sum, uint256 limit);
    error ZeroPrice();
    error ZeroBudget();
    error AmountTooLarge(uint256 amount, uint256 limit);
    error BpsTooLarge(uint16 bps, uint256 limit);
    error OutcomeOccupied(bytes32 outcomeId, uint64 until);
    error ReceivedWrongAmount(uint256 expected, uint256 received);

    error ArbiterNotSupported(address arbiter);
    error ClaimsNotSupported(uint64 claimPeriod);
    error ChallengesNotSupported(uint64 challengePeriod, uint64 arbitrationPeriod);
    error HoldbackNotSupported(uint16 holdbackBps, uint64 holdbackPeriod);
    error RateCapNotSupported(uint256 rateCap, uint64 ratePeriod);
    error FeedbackNotSupported(uint256 agentIdPlusOne);

    error NotAnchored(bytes32 logId, uint64 size);
    error TooLittleGas(uint256 left, uint256 needed);
    error TokenTookTooMuch(address token, uint256 expectedBalance, uint256 balance);

    error UnknownContract(bytes32 contractId);
    error RefundTooEarly(bytes32 contractId, uint256 endsAt, uint256 nowS);
    error NothingToRefund(bytes32 contractId);
    error NoCredit(address token, address account);
    error InvalidRecipient(address to);
    error WithdrawalExpired(uint64 expiresAt, uint256 nowS);
    error TransferFailed(address token, address to, uint256 amount);

    // ------------------------------------------------------------ set-up

    /// One call at a time: tokens and wallets may call back.
    modifier nonReentrant() {
        if (_entered) revert ReentrantCall();
        _entered = true;
        _;
        _entered = false;
    }

    constructor(EventLog eventLog_, address[] memory tokens)
        EIP712("Tallystick OutcomeEscrow", "1")
    {
        if (address(eventLog_).code.length == 0) {
            revert NotAContract(address(eventLog_));
        }
        if (tokens.length == 0) revert NoTokens();
        eventLog = eventLog_;
        for (uint256 i = 0; i < tokens.length; ++i) {
            if (tokens[i].code.length == 0) revert NotAContract(tokens[i]);
            isAllowed[tokens[i]] = true;
        }
    }

    // ------------------------------------------------------------ opening

    /// Opens the contract and escrows its budget, which the owner has approved. Anyone may bring
    /// both signatures; the owner may call with an empty one.
    function open(
        Terms calldata terms,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) external nonReentrant returns (bytes32 contractId) {
        _checkParties(terms);
        _checkTimes(terms);
        _checkAmounts(terms);
        _checkSupported(terms);

        contractId = _hashTypedDataV4(keccak256(abi.encode(TypeHashes.TERMS, terms)));
        if (_termsCode[contractId] != address(0)) revert AlreadyOpen(contractId);
        if (msg.sender != terms.owner || ownerSignature.length != 0) {
            _requireSigned(contractId, terms.owner, ownerSignature);
        }
        _requireSigned(contractId, terms.operator, operatorSignature);

        _occupy(terms);
        _record(contractId, terms);
        emit Opened(contractId, terms.owner, terms.operator, terms.logId, terms.surface);
        _collect(IERC20(terms.token), terms.owner, terms.budget);
    }

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
        if (!isAllowed[terms.token]) revert TokenNotAllowed(terms.token);
        if (eventLog.publisherOf(terms.logId) == address(0)) revert UnknownLog(terms.logId);
        if (terms.attribution > 1) revert UnknownAttribution(terms.attribution);
    }

    function _checkTimes(Terms calldata terms) private view {
        if (terms.opensAt < block.timestamp) revert OpensInThePast(terms.opensAt, block.timestamp);
        if (terms.deadline < terms.opensAt) {
            revert DeadlineBeforeOpening(terms.opensAt, terms.deadline);
        }
        // No time that is derived from these can leave 40 bits.
        uint256 sum = uint256(terms.deadline) + terms.attributionWindow + terms.lateness
            + terms.grace + 2 * uint256(terms.claimPeriod) + terms.challengePeriod
            + terms.arbitrationPeriod + terms.holdbackPeriod + terms.ratePeriod;
        if (sum > type(uint40).max) revert TimesTooLarge(sum, type(uint40).max);
    }

    function _checkAmounts(Terms calldata terms) private pure {
        _requireUint80(terms.unitPrice);
        _requireUint80(terms.budget);
        _requireUint80(terms.rateCap);
        _requireBps(terms.revenueShareBps);
        _requireBps(terms.holdbackBps);
        _requireBps(terms.feeBps);
        if (terms.unitPrice == 0 && terms.revenueShareBps == 0) revert ZeroPrice();
        if (terms.budget == 0) revert ZeroBudget();
    }

    /// Terms that this version of the escrow could not honour.
    function _checkSupported(Terms calldata terms) private pure {
        if (terms.arbiter != address(0)) revert ArbiterNotSupported(terms.arbiter);
        if (terms.claimPeriod != 0) revert ClaimsNotSupported(terms.claimPeriod);
        if (terms.challengePeriod != 0 || terms.arbitrationPeriod != 0) {
            revert ChallengesNotSupported(terms.challengePeriod, terms.arbitrationPeriod);
        }
        if (terms.holdbackBps != 0 || terms.holdbackPeriod != 0) {
            revert HoldbackNotSupported(terms.holdbackBps, terms.holdbackPeriod);
        }
        if (terms.rateCap != 0 || terms.ratePeriod != 0) {
            revert RateCapNotSupported(terms.rateCap, terms.ratePeriod);
        }
        if (terms.agentIdPlusOne != 0) revert FeedbackNotSupported(terms.agentIdPlusOne);
    }

    function _requireUint80(uint256 amount) private pure {
        if (amount > type(uint80).max) revert AmountTooLarge(amount, type(uint80).max);
    }

    function _requireBps(uint16 bps) private pure {
        if (bps > BPS) revert BpsTooLarge(bps, BPS);
    }

    /// An exclusive contract tolerates no other for the same outcome before its deadline, and is
    /// tolerated by none: no event after the deadline of one counts for it, and no contract opens
    /// in the past.
    function _occupy(Terms calldata terms) private {
        bytes32 outcomeId =
            keccak256(abi.encode(terms.owner, terms.logId, terms.surface, terms.outcome));
        Occupancy storage occupancy = _occupancies[outcomeId];
        uint40 until = terms.exclusive ? occupancy.anyUntil : occupancy.exclusiveUntil;
        if (until >= block.timestamp) revert OutcomeOccupied(outcomeId, until);

        uint40 deadline = uint256(terms.deadline).toUint40();
        if (deadline > occupancy.anyUntil) occupancy.anyUntil = deadline;
        if (terms.exclusive) occupancy.exclusiveUntil = deadline;
    }

    function _record(bytes32 contractId, Terms calldata terms) private {
        _termsCode[contractId] = CodeStore.write(abi.encode(terms));
        _ledgers[_groupIdOf(terms)][contractId] = Ledger({
            balance: newBalance(
                terms.budget.toUint80(), (uint256(terms.deadline) + terms.grace).toUint40()
            ),
            deal: newDeal(terms.payee, terms.revenueShareBps == 0 ? terms.unitPrice.toUint80() : 0)
        });
    }

    function _collect(IERC20 token, address from, uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(from, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != amount) revert ReceivedWrongAmount(amount, received);
    }

    // ------------------------------------------------------------ settling

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
        uint256 balance = IERC20(group.token).balanceOf(address(this));
        Flows memory flows;
        for (uint256 i = 0; i < count; ++i) {
            unchecked {
                _settleEntry(ledgers, group, MerkleLog.entryAt(entries, i), first + i, flows);
            }
        }
        if (flows.fees != 0) _credits[group.token][group.feeRecipient] += flows.fees;
        _requireBalance(group.token, balance - flows.sent);
    }

    function _settleEntry(
        mapping(bytes32 => Ledger) storage ledgers,
        Group memory group,
        Entry calldata entry,
        uint256 index,
        Flows memory flows
    ) private {
        Ledger storage ledger = ledgers[entry.subject];
        Balance balance = ledger.balance;
        Deal deal = ledger.deal;
        (uint256 earned, uint256 reversed) = _totalsOf(entry);
        bytes32 reason =
            _reasonToRefuse(balance, deal.unit(), entry, group.verifier, index, earned, reversed);
        if (reason != 0) {
            // An index has 40 bits.
            // forge-lint: disable-next-line(unsafe-typecast)
            emit Refused(entry.subject, uint64(index), reason);
            return;
        }

        // forge-lint: disable-next-line(unsafe-typecast)
        emit Settled(entry.subject, uint64(index), earned, reversed);

        uint256 paid = balance.paid();
        uint256 net = entry.value;
        if (net <= paid) {
            ledger.balance = balance.settled(paid, index);
            return;
        }
        ledger.balance = balance.settled(net, index);
        _pay(group, entry.subject, deal.payee(), paid, net, flows);
    }

    /// Brings what the contract has paid from `paid` to `net`.
    function _pay(
        Group memory group,
        bytes32 contractId,
        address payee,
        uint256 paid,
        uint256 net,
        Flows memory flows
    ) private {
        // No sum here or in `flows` leaves 256 bits: every amount has 80.
        unchecked {
            // On all that was ever paid, so that splitting payments changes nothing.
            uint256 fee = net * group.feeBps / BPS - paid * group.feeBps / BPS;
            uint256 amount = net - paid - fee;
            emit Paid(contractId, payee, amount, fee);
            if (_send(group.token, payee, amount)) flows.sent += amount;
            else _credit(contractId, group.token, payee, amount);
            flows.fees += fee;
        }
    }

    /// Zero if the entry may settle its contract, else the rule that it breaks.
    function _reasonToRefuse(
        Balance balance,
        uint256 unit,
        Entry calldata entry,
        address verifier,
        uint256 index,
        uint256 earned,
        uint256 reversed
    ) private view returns (bytes32) {
        if (entry.kind != "settlement") return "not_a_settlement";
        if (uint256(entry.actor) != uint160(verifier)) return "wrong_actor";
        uint256 endsAt = balance.endsAt();
        if (endsAt == 0) return "unknown_contract";
        if (block.timestamp > endsAt) return "ended";
        if (index <= balance.floor()) return "already_settled";
        uint256 net = entry.value;
        unchecked {
            if (earned < reversed || net != earned - reversed) return "wrong_value";
        }
        if (unit != 0) {
            if (earned % unit != 0 || reversed % unit != 0) return "wrong_price";
        }
        if (net > balance.budget()) return "over_budget";
        if (earned < balance.paid()) return "earned_fell";
        return 0;
    }

    /// What a settlement entry's payload begins with: earned u80, reversed u80.
    function _totalsOf(Entry calldata entry) private pure returns (uint256, uint256) {
        uint256 payload = uint256(entry.payload);
        return (payload >> 176, payload >> 96 & type(uint80).max);
    }

    // ------------------------------------------------------------ refund, credit

    /// After the end, gives back to the owner what was not paid. Anyone may call.
    function refund(bytes32 contractId) external nonReentrant {
        Terms memory terms = termsOf(contractId);
        Ledger storage ledger = _ledgers[_groupIdOf(terms)][contractId];
        Balance held = ledger.balance;
        if (block.timestamp <= held.endsAt()) {
            revert RefundTooEarly(contractId, held.endsAt(), block.timestamp);
        }
        uint256 amount = held.budget() - held.paid();
        if (amount == 0) revert NothingToRefund(contractId);

        ledger.balance = held.refunded();
        emit Refunded(contractId, terms.owner, amount);

        uint256 balance = IERC20(terms.token).balanceOf(address(this));
        if (_send(terms.token, terms.owner, amount)) balance -= amount;
        else _credit(contractId, terms.token, terms.owner, amount);
        _requireBalance(terms.token, balance);
    }

    /// Sends all of the caller's credit to `to`.
    function withdraw(address token, address to) external nonReentrant {
        _withdraw(token, msg.sender, to);
    }

    /// Sends all of the account's credit to `to`, by anyone with the account's signature over
    /// Withdrawal(account, token, to, nonce, expiresAt).
    function withdrawFor(
        address account,
        address token,
        address to,
        uint64 expiresAt,
        bytes calldata signature
    ) external nonReentrant {
        if (block.timestamp > expiresAt) {
            revert WithdrawalExpired(expiresAt, block.timestamp);
        }
        bytes32 structHash = keccak256(
            abi.encode(TypeHashes.WITHDRAWAL, account, token, to, _useNonce(account), expiresAt)
        );
        _requireSigned(_hashTypedDataV4(structHash), account, signature);
        _withdraw(token, account, to);
    }

    function _withdraw(address token, address account, address to) private {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
        uint256 amount = _credits[token][account];
        if (amount == 0) revert NoCredit(token, account);

        _credits[token][account] = 0;
        emit Withdrawn(token, account, to, amount);

        uint256 balance = IERC20(token).balanceOf(address(this));
        if (!_send(token, to, amount)) revert TransferFailed(token, to, amount);
        _requireBalance(token, balance - amount);
    }

    // ------------------------------------------------------------ reading

    function termsOf(bytes32 contractId) public view returns (Terms memory) {
        address store = _termsCode[contractId];
        if (store == address(0)) revert UnknownContract(contractId);
        return abi.decode(CodeStore.read(store, TERMS_BYTES), (Terms));
    }

    /// What has been paid so far, fees included.
    function paidOf(bytes32 contractId) external view returns (uint256) {
        return _balanceOf(contractId).paid();
    }

    /// The index of the contract's last settlement entry; zero if there is none.
    function floorOf(bytes32 contractId) external view returns (uint256) {
        return _balanceOf(contractId).floor();
    }

    function creditOf(address token, address account) external view returns (uint256) {
        return _credits[token][account];
    }

    /// Derived from the facts, never stored:
    ///
    ///   not opened ............................................ unknown
    ///   the whole budget is paid .............................. paid_out    (for good)
    ///   now <= end = deadline + grace
    ///       now < opensAt ..................................... scheduled
    ///       now <= deadline ................................... open
    ///       else .............................................. settling
    ///   now > end
    ///       something is left ................................. refundable
    ///       else .............................................. refunded    (for good)
    function statusOf(bytes32 contractId) external view returns (bytes32) {
        if (_termsCode[contractId] == address(0)) return "unknown";
        Terms memory terms = termsOf(contractId);
        Balance balance = _ledgers[_groupIdOf(terms)][contractId].balance;
        if (balance.paid() == terms.budget) return "paid_out";
        if (block.timestamp < terms.opensAt) return "scheduled";
        if (block.timestamp <= terms.deadline) return "open";
        if (block.timestamp <= balance.endsAt()) return "settling";
        if (balance.budget() != balance.paid()) return "refundable";
        return "refunded";
    }

    // ------------------------------------------------------------ inside

    function _balanceOf(bytes32 contractId) private view returns (Balance) {
        return _ledgers[_groupIdOf(termsOf(contractId))][contractId].balance;
    }

    function _groupIdOf(Terms memory terms) private pure returns (bytes32) {
        return keccak256(
            abi.encode(terms.logId, terms.token, terms.verifier, terms.feeRecipient, terms.feeBps)
        );
    }

    function _groupId(Group memory group) private pure returns (bytes32) {
        return keccak256(abi.encode(group));
    }

    function _requireSigned(bytes32 digest, address signer, bytes calldata signature) private view {
        if (!Signatures.isValid(signer, digest, signature)) revert NotSigned(digest, signer);
    }

    function _credit(bytes32 contractId, address token, address account, uint256 amount) private {
        _credits[token][account] += amount;
        emit Credited(contractId, account, amount);
    }

    /// A transfer out, contained: it gets so much gas and no more, and of its answer one word is
    /// read. As with SafeERC20, a token may answer nothing.
    function _send(address token, address to, uint256 amount) private returns (bool sent) {
        if (gasleft() < TRANSFER_GAS_FLOOR) revert TooLittleGas(gasleft(), TRANSFER_GAS_FLOOR);
        bytes4 selector = IERC20.transfer.selector;
        uint256 gasLimit = TRANSFER_GAS;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, selector)
            mstore(add(data, 4), shr(96, shl(96, to))) // upper bits may be dirty here
            mstore(add(data, 36), amount)
            sent := call(gasLimit, token, 0, data, 68, 0, 32)
            let answered := and(gt(returndatasize(), 31), eq(mload(0), 1))
            sent := and(sent, or(iszero(returndatasize()), answered))
        }
    }

    /// After transfers out. More than expected is no harm: anyone may send tokens here.
    function _requireBalance(address token, uint256 expected) private view {
        uint256 balance = IERC20(token).balanceOf(address(this));
        if (balance < expected) revert TokenTookTooMuch(token, expected, balance);
    }
}
