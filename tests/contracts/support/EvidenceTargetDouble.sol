// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim} from "contracts/evidence/EvidenceTypes.sol";
import {IEvidenceTarget} from "contracts/interfaces/IEvidenceTarget.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// An escrow reduced to the functions that `Evidence` calls. It moves no money and checks nothing
/// that Evidence should have checked; it repeats what it is told.
contract EvidenceTargetDouble is IEvidenceTarget {
    EventLog public immutable eventLog;
    mapping(bytes32 => uint256) public lastSignedPosition;
    mapping(bytes32 => uint256) public lastFinalPosition;
    mapping(bytes32 => uint256) public closedAtOf;
    mapping(bytes32 => uint256) public openingNumberOf;
    mapping(bytes32 => bytes32) public retiredFor;
    mapping(bytes32 => mapping(bytes32 => bytes32)) public loweredFor;
    mapping(bytes32 => mapping(uint256 => uint256)) public reversedOf; // by outcome
    mapping(bytes32 => Terms) private _terms;
    mapping(bytes32 => mapping(bytes32 => Claim)) private _claims;
    uint256 private _opened;

    error UnknownContract(bytes32 contractId);
    error NotLower(bytes32 key, uint256 left, uint256 amount);
    error AlreadyRecorded(uint64 outcome, uint256 amount);

    constructor(EventLog eventLog_) {
        eventLog = eventLog_;
    }

    function open(bytes32 contractId, Terms memory terms) external {
        _terms[contractId] = terms;
        openingNumberOf[contractId] = ++_opened;
    }

    /// The verifier's last signed and its last final statement.
    function state(bytes32 contractId, uint256 lastSigned, uint256 lastFinal) external {
        (lastSignedPosition[contractId], lastFinalPosition[contractId]) = (lastSigned, lastFinal);
    }

    function close(bytes32 contractId, uint256 timeS) external {
        closedAtOf[contractId] = timeS;
    }

    function termsOf(bytes32 contractId) external view returns (Terms memory) {
        if (openingNumberOf[contractId] == 0) revert UnknownContract(contractId);
        return _terms[contractId];
    }

    function claimOf(bytes32 contractId, bytes32 key) external view returns (Claim memory) {
        return _claims[contractId][key];
    }

    function retire(bytes32 contractId, bytes32 kind) external {
        retiredFor[contractId] = kind;
    }

    function fileClaim(bytes32 contractId, bytes32 key, Claim calldata claim) external {
        _claims[contractId][key] = claim;
    }

    function lowerClaim(bytes32 contractId, bytes32 key, uint256 left, bytes32 kind) external {
        Claim storage claim = _claims[contractId][key];
        if (left >= claim.amount) revert NotLower(key, left, claim.amount);
        // Claims have 80 bits, and `left` is less.
        // forge-lint: disable-next-line(unsafe-typecast)
        (claim.amount, claim.dropped) = (uint80(left), left == 0);
        loweredFor[contractId][key] = kind;
    }

    function recordReversal(bytes32 contractId, uint64 outcome, uint256 amount) external {
        uint256 recorded = reversedOf[contractId][outcome];
        if (amount <= recorded) revert AlreadyRecorded(outcome, recorded);
        reversedOf[contractId][outcome] = amount;
    }
}
