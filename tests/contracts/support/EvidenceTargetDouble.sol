// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim, ProvenReversal} from "contracts/evidence/EvidenceTypes.sol";
import {EscrowRecord, IEvidenceTarget} from "contracts/interfaces/IEvidenceTarget.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// An escrow reduced to the functions that `Evidence` calls. It moves no money and checks nothing
/// that Evidence should have checked; it repeats what it is told. A contract is known by the salt of
/// its terms.
contract EvidenceTargetDouble is IEvidenceTarget {
    EventLog public immutable eventLog;
    mapping(bytes32 => uint256) public lastSignedPosition;
    mapping(bytes32 => uint256) public lastFinalPosition;
    mapping(bytes32 => uint256) public closedAtOf;
    mapping(bytes32 => uint256) public openingNumberOf;
    mapping(bytes32 => bytes32) public retiredFor;
    mapping(bytes32 => mapping(bytes32 => bytes32)) public loweredFor;
    mapping(bytes32 => mapping(uint256 => ProvenReversal)) public reversalOf; // by event
    mapping(bytes32 => mapping(uint256 => uint256)) public reversedOf; // by outcome
    mapping(bytes32 => mapping(bytes32 => Claim)) private _claims;
    uint256 private _opened;

    error UnknownContract(bytes32 contractId);
    error NotLower(bytes32 key, uint256 left, uint256 amount);
    error AlreadyRecorded(uint64 happened);

    constructor(EventLog eventLog_) {
        eventLog = eventLog_;
    }

    function open(Terms calldata terms) external {
        openingNumberOf[terms.salt] = ++_opened;
    }

    /// The verifier's last signed and its last final statement.
    function state(bytes32 contractId, uint256 lastSigned, uint256 lastFinal) external {
        (lastSignedPosition[contractId], lastFinalPosition[contractId]) = (lastSigned, lastFinal);
    }

    function close(bytes32 contractId, uint256 timeS) external {
        closedAtOf[contractId] = timeS;
    }

    function recordOf(Terms calldata terms) external view returns (EscrowRecord memory) {
        bytes32 id = terms.salt;
        if (openingNumberOf[id] == 0) revert UnknownContract(id);
        return EscrowRecord(id, lastSignedPosition[id], lastFinalPosition[id]);
    }

    function claimOf(bytes32 contractId, bytes32 key) external view returns (Claim memory) {
        return _claims[contractId][key];
    }

    function retire(Terms calldata terms, bytes32 kind) external {
        retiredFor[terms.salt] = kind;
    }

    function fileClaim(Terms calldata terms, bytes32 key, Claim calldata claim) external {
        _claims[terms.salt][key] = claim;
    }

    function lowerClaim(Terms calldata terms, bytes32 key, uint256 left, bytes32 kind) external {
        Claim storage claim = _claims[terms.salt][key];
        if (left >= claim.amount) revert NotLower(key, left, claim.amount);
        // Claims have 80 bits, and `left` is less.
        // forge-lint: disable-next-line(unsafe-typecast)
        (claim.amount, claim.dropped) = (uint80(left), left == 0);
        loweredFor[terms.salt][key] = kind;
    }

    function recordReversal(Terms calldata terms, ProvenReversal calldata reversal) external {
        ProvenReversal storage recorded = reversalOf[terms.salt][reversal.happened];
        if (recorded.happened != 0) revert AlreadyRecorded(reversal.happened);
        reversalOf[terms.salt][reversal.happened] = reversal;
        reversedOf[terms.salt][reversal.outcome] += reversal.amount;
    }
}
