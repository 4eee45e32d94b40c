// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Payloads} from "../evidence/Payloads.sol";
import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {TypeHashes} from "../terms/Terms.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {Balance, CLOSED, DelayRule, Ledger, PayeeRule} from "./Ledger.sol";
import {PayableAmounts} from "./PayableAmounts.sol";
import {Payments} from "./Payments.sol";
import {Statements} from "./Statements.sol";

/// @title Settlements of contracts
/// @notice Takes statements that are anchored and signed. It pays those of plain contracts at once, and
/// puts up those of guarded ones for challenge.
/// @dev A part of OutcomeEscrow, which says what all parts assume and promise.
abstract contract Settlements is Payments {
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

    error NotAnchored(bytes32 logId, uint64 size);
    error RulesMissing(uint256 position);
    error RulesTooMany(uint256 count, uint256 used);

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
}
