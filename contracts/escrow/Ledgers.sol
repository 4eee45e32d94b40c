// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim} from "../evidence/EvidenceTypes.sol";
import {EscrowRecord, IEvidenceTarget} from "../interfaces/IEvidenceTarget.sol";
import {EventLog} from "../log/EventLog.sol";
import {Terms, TypeHashes} from "../terms/Terms.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {CLOSED, DelayRule, Ledger, PayeeRule} from "./Ledger.sol";
import {PayableAmounts, SNAPSHOT_WORDS} from "./PayableAmounts.sol";
import {SettlementRules} from "./SettlementRules.sol";
import {Vault} from "./Vault.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @title Ledgers of the escrow's contracts
/// @notice Keeps what the escrow knows of each contract, finds it by the terms that a caller brings,
/// and reads it out.
/// @dev A part of OutcomeEscrow, which says what all parts assume and promise.
abstract contract Ledgers is Vault, IEvidenceTarget {
    using SettlementRules for Terms;

    /// @dev The terms that all contracts of one settlement batch share.
    struct Group {
        bytes32 logId;
        address token;
        address verifier;
        address feeRecipient;
        uint16 feeBps;
    }

    /// @dev The place of a contract in the order of opening, and the time at which it was closed.
    struct Opening {
        uint40 number;
        uint40 closedAt;
    }

    /// The event log whose checkpoints count.
    EventLog public immutable eventLog;
    /// @dev The EIP-712 domain of contract ids: the escrow's, on the chain where it was deployed. Were
    /// ids to change with the id of the chain, as after a split, no contract would be found any more.
    bytes32 internal immutable _idDomain;

    mapping(bytes32 contractId => Opening) internal _openings;
    mapping(bytes32 contractId => GuardedRecord) internal _records;
    mapping(bytes32 contractId => mapping(bytes32 key => Claim)) internal _claims;

    error UnknownContract(bytes32 contractId);
    error AlreadyClosed(bytes32 contractId);

    constructor(EventLog eventLog_) {
        if (address(eventLog_).code.length == 0) {
            revert NotAContract(address(eventLog_));
        }
        _idDomain = _domainSeparatorV4();
        eventLog = eventLog_;
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

    /// Finds the contract with these terms. Reverts for one that was not opened.
    function _find(Terms calldata terms)
        internal
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
        internal
        view
        returns (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record)
    {
        (contractId, ledger, record) = _find(terms);
        if (ledger.balance.has(CLOSED)) revert AlreadyClosed(contractId);
    }

    /// Returns the place of the contract's ledger.
    function _ledgerAt(bytes32 contractId, Terms calldata terms)
        internal
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
        internal
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
    function _groupId(Group calldata group) internal pure returns (bytes32 groupId) {
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, group, 160)
            groupId := keccak256(data, 160)
        }
    }

    /// Returns the EIP-712 hash of the terms. They are hashed as they lie: terms are 32 words in the
    /// order of their fields. Words that no field could hold make terms that were never opened.
    function _hashOf(Terms calldata terms) internal pure returns (bytes32 hash) {
        bytes32 typeHash = TypeHashes.TERMS;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, typeHash)
            calldatacopy(add(data, 32), terms, 1024)
            hash := keccak256(data, 1056)
        }
    }
}
