// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Signatures} from "../escrow/Signatures.sol";
import {TypeHashes} from "../terms/Terms.sol";
import {MerkleLog} from "./MerkleLog.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title The anchors of append-only event logs
/// @notice Keeps every checkpoint (size, root) of every log, and refuses one that does not extend
/// the last: whoever holds an anchored root knows that every later one contains the same history.
///
/// What this contract assumes, and what it does not promise:
/// - SHA-256 has no collisions.
/// - A checkpoint says what the publisher has written, not that it is true.
/// - A root does not fix its size. A publisher that states a wrong one misplaces entries in its own
///   log, and everybody who rebuilds the tree sees it.
/// - The publisher may fall silent. It cannot bury what it has signed: anyone can anchor a
///   checkpoint by its signature.
/// - A stolen publisher key can rewrite nothing, but what it appends stands: it can end the log, by a
///   root whose entries nobody knows or of the largest size, and hand it over to itself. It stays
///   valid for HANDOVER_PERIOD after it was replaced, and a log changes hands at most once in that
///   time.
/// - A publisher that is an ERC-1271 wallet may withdraw a signature; an account's is valid
///   for as long as its key is.
contract EventLog is EIP712 {
    using SafeCast for uint256;

    struct Log {
        address publisher;
        uint40 size; //          of the last checkpoint
        uint40 publishedAt; //   of the last checkpoint
        address previous; //     the publisher before
        uint40 previousUntil; // the last second in which it may publish
        address offered; //      may accept the log
    }

    uint256 public constant HANDOVER_PERIOD = 7 days;
    uint256 public constant MAX_ORIGIN_BYTES = 255;

    mapping(bytes32 logId => Log) private _logs;
    mapping(bytes32 logId => mapping(uint256 size => bytes32 root)) private _roots;

    event Registered(
        bytes32 indexed logId, address indexed registrant, address publisher, string origin
    );
    event Published(bytes32 indexed logId, uint64 size, bytes32 root);
    event PublisherOffered(bytes32 indexed logId, address indexed offered);
    event PublisherChanged(
        bytes32 indexed logId,
        address indexed previous,
        address indexed publisher,
        uint64 previousUntil
    );

    error OriginLength(uint256 length, uint256 limit);
    error ZeroPublisher();
    error ZeroRoot();
    error AlreadyRegistered(bytes32 logId);
    error UnknownLog(bytes32 logId);
    error UnknownCheckpoint(bytes32 logId, uint64 size);
    error NotPublisher(bytes32 logId, address caller);
    error NotOffered(bytes32 logId, address caller);
    error AlreadyPublisher(bytes32 logId, address publisher);
    error NotSignedByPublisher(bytes32 logId, bytes32 digest);
    error HandoverTooSoon(bytes32 logId, uint64 previousUntil);

    constructor() EIP712("Tallystick EventLog", "1") {}

    // ------------------------------------------------------------ publishing

    /// The id contains the registrant, so nobody can take an origin from another.
    function register(string calldata origin, address publisher) external returns (bytes32 logId) {
        uint256 length = bytes(origin).length;
        if (length == 0 || length > MAX_ORIGIN_BYTES) {
            revert OriginLength(length, MAX_ORIGIN_BYTES);
        }
        if (publisher == address(0)) revert ZeroPublisher();
        logId = keccak256(abi.encode(msg.sender, origin));
        if (_logs[logId].publisher != address(0)) revert AlreadyRegistered(logId);

        _logs[logId].publisher = publisher;
        emit Registered(logId, msg.sender, publisher, origin);
    }

    /// Anchors a checkpoint, by its publisher. `proof` is the RFC 9162 consistency proof from the
    /// last size; empty for the first checkpoint.
    function publish(bytes32 logId, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Log storage log = _known(logId);
        if (msg.sender != log.publisher && msg.sender != _previousOf(log)) {
            revert NotPublisher(logId, msg.sender);
        }
        _append(log, logId, size, root, proof);
    }

    /// Anchors a checkpoint that the publisher has signed, by anyone.
    function publish(
        bytes32 logId,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external {
        Log storage log = _known(logId);
        bytes32 digest =
            _hashTypedDataV4(keccak256(abi.encode(TypeHashes.CHECKPOINT, logId, size, root)));
        if (
            !Signatures.isValid(log.publisher, digest, signature)
                && !Signatures.isValid(_previousOf(log), digest, signature)
        ) {
            revert NotSignedByPublisher(logId, digest);
        }
        _append(log, logId, size, root, proof);
    }

    // ------------------------------------------------------------ hand-over

    /// First step, by the publisher. A later offer replaces an earlier one; zero withdraws it.
    function offerPublisher(bytes32 logId, address next) external {
        Log storage log = _known(logId);
        if (msg.sender != log.publisher) revert NotPublisher(logId, msg.sender);
        if (next == log.publisher) revert AlreadyPublisher(logId, next);

        log.offered = next;
        emit PublisherOffered(logId, next);
    }

    /// Second step, by the one to whom the log was offered. Hand-overs keep their distance, so that
    /// every old key has its full time: otherwise two in a row would bury what the first one has
    /// signed.
    function acceptPublisher(bytes32 logId) external {
        Log storage log = _known(logId);
        if (msg.sender != log.offered) revert NotOffered(logId, msg.sender);
        if (block.timestamp <= log.previousUntil) revert HandoverTooSoon(logId, log.previousUntil);

        uint40 until = (block.timestamp + HANDOVER_PERIOD).toUint40();
        (log.previous, log.previousUntil) = (log.publisher, until);
        (log.publisher, log.offered) = (msg.sender, address(0));
        emit PublisherChanged(logId, log.previous, msg.sender, until);
    }

    // ------------------------------------------------------------ reading

    /// The root of the checkpoint with this size; zero if there is none.
    function rootAt(bytes32 logId, uint64 size) external view returns (bytes32) {
        return _roots[logId][size];
    }

    /// The last checkpoint; zeros before the first.
    function latest(bytes32 logId)
        external
        view
        returns (uint64 size, bytes32 root, uint64 publishedAt)
    {
        Log storage log = _logs[logId];
        return (log.size, _roots[logId][log.size], log.publishedAt);
    }

    /// Zero for a log that is not registered.
    function publisherOf(bytes32 logId) external view returns (address) {
        return _logs[logId].publisher;
    }

    /// The publisher before, while its key is still valid; else zero.
    function previousPublisherOf(bytes32 logId) external view returns (address) {
        return _previousOf(_logs[logId]);
    }

    /// To whom the log is offered; zero if to nobody.
    function offeredTo(bytes32 logId) external view returns (address) {
        return _logs[logId].offered;
    }

    /// Reverts unless `entry` has this index in the anchored checkpoint with this size (RFC 9162
    /// inclusion path).
    function verifyInclusion(
        bytes32 logId,
        uint64 size,
        uint64 index,
        bytes calldata entry,
        bytes32[] calldata proof
    ) external view {
        MerkleLog.verifyInclusion(entry, index, size, proof, _anchored(logId, size));
    }

    /// Reverts unless `entries` stand one after another from `first` in the anchored checkpoint
    /// with this size.
    function verifyRun(
        bytes32 logId,
        uint64 size,
        uint64 first,
        bytes calldata entries,
        bytes32[] calldata proof
    ) external view {
        MerkleLog.verifyRun(entries, first, size, proof, _anchored(logId, size));
    }

    // ------------------------------------------------------------ inside

    function _append(
        Log storage log,
        bytes32 logId,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof
    ) private {
        if (root == 0) revert ZeroRoot();
        uint256 lastSize = log.size;
        MerkleLog.verifyConsistency(lastSize, _roots[logId][lastSize], size, root, proof);

        (log.size, log.publishedAt) = (uint256(size).toUint40(), block.timestamp.toUint40());
        _roots[logId][size] = root;
        emit Published(logId, size, root);
    }

    function _known(bytes32 logId) private view returns (Log storage log) {
        log = _logs[logId];
        if (log.publisher == address(0)) revert UnknownLog(logId);
    }

    function _previousOf(Log storage log) private view returns (address) {
        return block.timestamp <= log.previousUntil ? log.previous : address(0);
    }

    function _anchored(bytes32 logId, uint64 size) private view returns (bytes32 root) {
        root = _roots[logId][size];
        if (root == 0) revert UnknownCheckpoint(logId, size);
    }
}
