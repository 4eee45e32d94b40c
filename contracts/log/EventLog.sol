// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Signatures} from "../escrow/Signatures.sol";
import {TypeHashes} from "../terms/Terms.sol";
import {MerkleLog} from "./MerkleLog.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title Anchors of append-only event logs
/// @notice Keeps every checkpoint (size, root) of every log, and refuses one that does not extend
/// the last. So every later root contains the same history as an earlier one.
/// @dev Roles:
/// - Any account registers logs. The id contains the registrant, so no other account can take an
///   origin.
/// - The publisher of a log anchors checkpoints, and offers the log to another publisher.
/// - Any account anchors a checkpoint that the publisher has signed.
/// - Any account reports a fork: two roots of one size, each anchored or signed.
/// - The publisher before keeps its powers, and answers for its signatures, for HANDOVER_PERIOD.
///
/// Assumptions:
/// - SHA-256 has no collisions.
/// - The chain's clock is right to within the hand-over period.
///
/// Liveness:
/// - A silent publisher cannot bury what it has signed. One that anchors another root of the same
///   size buries it, and whoever holds the signature can mark the log as forked for that.
/// - A fork is reported once, for ever, and ends the log: no checkpoint follows. The anchored ones
///   stay, and all that is settled, claimed or refunded by them goes on.
/// - No other key can fork a log. After HANDOVER_PERIOD the signatures of the publisher before
///   count for nothing here, also not against its successor.
/// - Hand-overs are at least HANDOVER_PERIOD apart, so every old key has its full time.
/// - Nothing pauses this contract, no key owns it, and it cannot be changed.
///
/// Limits:
/// - A checkpoint shows what the publisher has written, not that it is true.
/// - A root does not fix its size. A publisher that states a wrong size misplaces entries in its
///   own log, and every reader that rebuilds the tree sees it.
/// - A stolen publisher key can rewrite nothing, but what it appends stands. It can end the log,
///   by a fork, with a root of unknown entries or of the largest size, and hand the log over to
///   itself.
/// - A publisher that is an ERC-1271 wallet may withdraw a signature, and nothing is reported by
///   it then. The signature of a key is valid as long as the key is, whatever code the key's
///   account has (EIP-7702).
/// - A log without a mark may be forked all the same: nobody has reported it; or the two roots are
///   of different sizes, which only a reader of both trees can compare; or they were told on two
///   chains, each of which has its own anchors and its own domain of signatures.
/// - A report says that the publisher has told two histories. It does not say which one is true,
///   and costs the publisher nothing but the log.
/// - A publisher to which its log returns answers again for all that it ever signed.
contract EventLog is EIP712 {
    using SafeCast for uint256;

    /// @dev Three slots. A publication by the publisher itself touches the first alone.
    struct Log {
        address publisher;
        uint40 size; //          size of the last checkpoint
        uint40 publishedAt; //   time of the last checkpoint, UTC seconds
        bool isForked; //        here too, so that a publication need not read forkedAt
        address previous; //     the publisher before
        uint40 previousUntil; // the last second in which the publisher before may publish
        address offered; //      the account that may accept the log
        uint40 forkedAt; //      time of the report of a fork, UTC seconds; zero: none
    }

    /// The time for which the publisher before keeps its powers, and the least time between two
    /// hand-overs.
    uint256 public constant HANDOVER_PERIOD = 7 days;
    /// The most bytes of a log's name.
    uint256 public constant MAX_ORIGIN_BYTES = 255;

    mapping(bytes32 logId => Log) private _logs;
    /// @dev Zero where no checkpoint of this size is anchored.
    mapping(bytes32 logId => mapping(uint256 size => bytes32 root)) private _roots;

    /// A log was registered, without entries. Its id is the hash of registrant and origin.
    event Registered(
        bytes32 indexed logId, address indexed registrant, address publisher, string origin
    );
    /// A checkpoint was anchored, which extends the last one.
    event Published(bytes32 indexed logId, uint64 size, bytes32 root);
    /// A log was offered to another publisher, in place of an earlier offer; zero withdraws it.
    event PublisherOffered(bytes32 indexed logId, address indexed offered);
    /// A log was handed over. The publisher before keeps its powers until `previousUntil`, a time
    /// in UTC seconds.
    event PublisherChanged(
        bytes32 indexed logId,
        address indexed previous,
        address indexed publisher,
        uint64 previousUntil
    );
    /// A log was marked as forked: its publisher has stated both roots of this size.
    event Forked(bytes32 indexed logId, uint64 size, bytes32 rootA, bytes32 rootB);

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
    error SameRoot(bytes32 root);
    error LogForked(bytes32 logId, uint64 forkedAt);

    constructor() EIP712("Tallystick EventLog", "1") {}

    // ------------------------------------------------------------ publishing

    /// Registers a log of the caller. The log is empty.
    /// @param origin The name of the log, of 1 to MAX_ORIGIN_BYTES bytes.
    /// @param publisher The account that anchors its checkpoints: a key or an ERC-1271 wallet.
    /// @return logId The id, which is the hash of caller and origin.
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

    /// Anchors a checkpoint, by the publisher or, within HANDOVER_PERIOD, the publisher before.
    /// @param logId The log.
    /// @param size The number of entries; it must exceed that of the last checkpoint.
    /// @param root The root of the tree of these entries.
    /// @param proof The RFC 9162 consistency proof from the last checkpoint; empty for the first.
    function publish(bytes32 logId, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Log storage log = _registered(logId);
        if (msg.sender != log.publisher && msg.sender != _validPreviousOf(log)) {
            revert NotPublisher(logId, msg.sender);
        }
        _append(log, logId, size, root, proof);
    }

    /// Anchors a checkpoint that the publisher has signed. Any account may call.
    /// @param logId The log.
    /// @param size The number of entries; it must exceed that of the last checkpoint.
    /// @param root The root of the tree of these entries.
    /// @param proof The RFC 9162 consistency proof from the last checkpoint; empty for the first.
    /// @param signature The signature of the publisher, or of the publisher before, over
    /// Checkpoint(logId, size, root).
    function publish(
        bytes32 logId,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external {
        Log storage log = _registered(logId);
        _requireSigned(log, logId, size, root, signature);
        _append(log, logId, size, root, proof);
    }

    /// Marks a log as forked, by two different roots of one size. Any account may call.
    /// @param logId The log.
    /// @param size The size.
    /// @param rootA A root of this size: the anchored one, or one that the publisher has signed.
    /// @param signatureA The signature over Checkpoint(logId, size, rootA) of the publisher or,
    /// within HANDOVER_PERIOD, of the publisher before. It is not read if rootA is anchored.
    /// @param rootB Another such root.
    /// @param signatureB The signature over Checkpoint(logId, size, rootB), likewise.
    function reportFork(
        bytes32 logId,
        uint64 size,
        bytes32 rootA,
        bytes calldata signatureA,
        bytes32 rootB,
        bytes calldata signatureB
    ) external {
        Log storage log = _registered(logId);
        if (log.isForked) revert LogForked(logId, log.forkedAt);
        if (rootA == rootB) revert SameRoot(rootA);
        // Where nothing is anchored the stored root is zero, which nobody has to sign for.
        if (rootA == 0 || rootB == 0) revert ZeroRoot();
        bytes32 anchored = _roots[logId][size];
        if (rootA != anchored) _requireSigned(log, logId, size, rootA, signatureA);
        if (rootB != anchored) _requireSigned(log, logId, size, rootB, signatureB);

        (log.isForked, log.forkedAt) = (true, block.timestamp.toUint40());
        emit Forked(logId, size, rootA, rootB);
    }

    // ------------------------------------------------------------ hand-over

    /// Offers the log to another publisher, by the publisher. This is the first step of a
    /// hand-over.
    /// @param logId The log.
    /// @param next The account that may accept. A later offer replaces an earlier one; zero
    /// withdraws it.
    function offerPublisher(bytes32 logId, address next) external {
        Log storage log = _registered(logId);
        if (msg.sender != log.publisher) revert NotPublisher(logId, msg.sender);
        if (next == log.publisher) revert AlreadyPublisher(logId, next);

        log.offered = next;
        emit PublisherOffered(logId, next);
    }

    /// Accepts the log, by the account to which it was offered. This is the second step of a
    /// hand-over. It reverts within HANDOVER_PERIOD of the last one: two hand-overs in a row would
    /// bury what the first publisher has signed.
    /// @param logId The log.
    function acceptPublisher(bytes32 logId) external {
        Log storage log = _registered(logId);
        if (msg.sender != log.offered) revert NotOffered(logId, msg.sender);
        if (block.timestamp <= log.previousUntil) revert HandoverTooSoon(logId, log.previousUntil);

        uint40 until = (block.timestamp + HANDOVER_PERIOD).toUint40();
        (log.previous, log.previousUntil) = (log.publisher, until);
        (log.publisher, log.offered) = (msg.sender, address(0));
        emit PublisherChanged(logId, log.previous, msg.sender, until);
    }

    // ------------------------------------------------------------ reading

    /// Returns the root of a checkpoint.
    /// @param logId The log.
    /// @param size The size of the checkpoint.
    /// @return The root; zero if there is no such checkpoint.
    function rootAt(bytes32 logId, uint64 size) external view returns (bytes32) {
        return _roots[logId][size];
    }

    /// Returns the last checkpoint; zeros before the first.
    /// @param logId The log.
    /// @return size The number of entries.
    /// @return root The root of their tree.
    /// @return publishedAt The time of anchoring, UTC seconds.
    function latest(bytes32 logId)
        external
        view
        returns (uint64 size, bytes32 root, uint64 publishedAt)
    {
        Log storage log = _logs[logId];
        return (log.size, _roots[logId][log.size], log.publishedAt);
    }

    /// Returns the publisher of a log.
    /// @param logId The log.
    /// @return The publisher; zero for a log that is not registered.
    function publisherOf(bytes32 logId) external view returns (address) {
        return _logs[logId].publisher;
    }

    /// Returns the publisher before.
    /// @param logId The log.
    /// @return That publisher while it may still anchor checkpoints, else zero.
    function previousPublisherOf(bytes32 logId) external view returns (address) {
        return _validPreviousOf(_logs[logId]);
    }

    /// Returns the time at which the log was marked as forked.
    /// @param logId The log.
    /// @return The time, UTC seconds; zero if no fork was reported.
    function forkedAt(bytes32 logId) external view returns (uint64) {
        return _logs[logId].forkedAt;
    }

    /// Returns the account to which the log is offered.
    /// @param logId The log.
    /// @return That account; zero if there is no offer.
    function offeredTo(bytes32 logId) external view returns (address) {
        return _logs[logId].offered;
    }

    /// Reverts unless an entry is in the log.
    /// @param logId The log.
    /// @param size The size of an anchored checkpoint.
    /// @param position The position of the entry.
    /// @param entry The 256 bytes of the entry.
    /// @param proof The RFC 9162 inclusion path in that checkpoint.
    function verifyInclusion(
        bytes32 logId,
        uint64 size,
        uint64 position,
        bytes calldata entry,
        bytes32[] calldata proof
    ) external view {
        MerkleLog.verifyInclusion(entry, position, size, proof, _anchoredRoot(logId, size));
    }

    /// Reverts unless a run of entries is in the log.
    /// @param logId The log.
    /// @param size The size of an anchored checkpoint.
    /// @param first The position of the first entry.
    /// @param entries The entries, 256 bytes each, one after another.
    /// @param proof The run proof in that checkpoint (see MerkleLog).
    function verifyRun(
        bytes32 logId,
        uint64 size,
        uint64 first,
        bytes calldata entries,
        bytes32[] calldata proof
    ) external view {
        MerkleLog.verifyRun(entries, first, size, proof, _anchoredRoot(logId, size));
    }

    // ------------------------------------------------------------ inside

    /// Stores a checkpoint if it extends the last one and the log is not forked.
    function _append(
        Log storage log,
        bytes32 logId,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof
    ) private {
        // Read together, for they share a slot.
        (bool isForked, uint256 lastSize) = (log.isForked, log.size);
        if (isForked) revert LogForked(logId, log.forkedAt);
        if (root == 0) revert ZeroRoot();
        MerkleLog.verifyConsistency(lastSize, _roots[logId][lastSize], size, root, proof);

        // The size was compared with SIZE_LIMIT, so it fits.
        // forge-lint: disable-next-line(unsafe-typecast)
        (log.size, log.publishedAt) = (uint40(size), block.timestamp.toUint40());
        _roots[logId][size] = root;
        emit Published(logId, size, root);
    }

    /// Returns the state of a log. Reverts for a log that is not registered.
    function _registered(bytes32 logId) private view returns (Log storage log) {
        log = _logs[logId];
        if (log.publisher == address(0)) revert UnknownLog(logId);
    }

    /// Reverts unless the publisher, or within HANDOVER_PERIOD the publisher before, has signed
    /// this checkpoint.
    function _requireSigned(
        Log storage log,
        bytes32 logId,
        uint64 size,
        bytes32 root,
        bytes calldata signature
    ) private view {
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(TypeHashes.CHECKPOINT, logId, size, root))
        );
        if (
            !Signatures.isValid(log.publisher, digest, signature)
                && !Signatures.isValid(_validPreviousOf(log), digest, signature)
        ) {
            revert NotSignedByPublisher(logId, digest);
        }
    }

    /// Returns the publisher before, within HANDOVER_PERIOD of the hand-over; else zero, which
    /// signs nothing.
    function _validPreviousOf(Log storage log) private view returns (address) {
        return block.timestamp <= log.previousUntil ? log.previous : address(0);
    }

    /// Returns the root of a checkpoint. Reverts if there is none.
    function _anchoredRoot(bytes32 logId, uint64 size) private view returns (bytes32 root) {
        root = _roots[logId][size];
        if (root == 0) revert UnknownCheckpoint(logId, size);
    }
}
