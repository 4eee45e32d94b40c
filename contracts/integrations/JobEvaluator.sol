// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Signatures} from "../escrow/Signatures.sol";
import {Exhibit} from "../evidence/EvidenceTypes.sol";
import {Payloads} from "../evidence/Payloads.sol";
import {IAgenticCommerce} from "../interfaces/IAgenticCommerce.sol";
import {EventLog} from "../log/EventLog.sol";
import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {TypeHashes} from "../terms/Terms.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @dev The condition of a job's completion: a settlement entry of this log, by this verifier about
/// this subject, states at least this net value. Times are UTC seconds.
struct Condition {
    address commerce; //    the ERC-8183 contract that holds the job
    bytes32 logId;
    address verifier; //    an account or an ERC-1271 wallet; evaluator fees are its
    bytes32 subject; //     the subject of the settlement entry: the contract id in the log
    uint80 minimum; //      net value (earned - reversed), in the entry's unit; not zero
    uint64 statedFrom; //   earlier statements do not count, however they are dated; zero: all do
    uint64 deadline; //     the last second for completions; afterwards a job is rejected
}

/// @title Factory of ERC-8183 evaluators
/// @notice Creates one evaluator for each condition, at an address derived from it. A job names its
/// evaluator when it is created and never changes it. So every reader of the job knows what
/// completes it, no party can put another condition in its place, and no party has to sign for it.
/// @dev Roles:
/// - Any account creates evaluators.
///
/// Assumptions: see JobEvaluator.
///
/// Liveness: an evaluator can be created at any time, before or after a job names it.
///
/// Limits: verifiers sign `Verified` in the domain of this contract, not in an escrow's. There a
/// statement can still be challenged, here it pays a job for good. One signature serves every job
/// that the signed entries complete.
contract JobEvaluators is EIP712 {
    /// The event log whose checkpoints count.
    EventLog public immutable eventLog;

    /// The code behind every evaluator.
    JobEvaluator public immutable implementation;

    /// Emitted when an evaluator is created.
    event Created(
        address indexed evaluator,
        address indexed commerce,
        bytes32 indexed subject,
        Condition condition
    );

    error NotAContract(address account);
    error UnknownLog(bytes32 logId);
    error ZeroVerifier();
    error ZeroMinimum();
    error DeadlineBeforeStatements(uint64 statedFrom, uint64 deadline);

    constructor(EventLog eventLog_) EIP712("Tallystick JobEvaluators", "1") {
        if (address(eventLog_).code.length == 0) revert NotAContract(address(eventLog_));
        eventLog = eventLog_;
        implementation = new JobEvaluator(eventLog_);
    }

    /// Creates the evaluator of a condition. It does nothing if the evaluator exists.
    /// @param condition The condition.
    /// @return evaluator The evaluator.
    function create(Condition calldata condition) external returns (JobEvaluator evaluator) {
        evaluator = evaluatorOf(condition);
        if (address(evaluator).code.length != 0) return evaluator;

        evaluator = JobEvaluator(
            Clones.cloneDeterministicWithImmutableArgs(
                address(implementation), abi.encode(condition), 0
            )
        );
        emit Created(address(evaluator), condition.commerce, condition.subject, condition);
    }

    /// Returns the evaluator of a condition, created or not. Reverts for a condition that can have
    /// none. Compare a job's evaluator with it before you trust the job.
    /// @param condition The condition.
    /// @return The evaluator.
    function evaluatorOf(Condition calldata condition) public view returns (JobEvaluator) {
        if (condition.commerce.code.length == 0) revert NotAContract(condition.commerce);
        if (eventLog.publisherOf(condition.logId) == address(0)) {
            revert UnknownLog(condition.logId);
        }
        if (condition.verifier == address(0)) revert ZeroVerifier();
        if (condition.minimum == 0) revert ZeroMinimum();
        if (condition.deadline < condition.statedFrom) {
            revert DeadlineBeforeStatements(condition.statedFrom, condition.deadline);
        }
        return JobEvaluator(
            Clones.predictDeterministicAddressWithImmutableArgs(
                address(implementation), abi.encode(condition), 0
            )
        );
    }

    /// Returns the digest that a verifier signs for the entries [first, first + count) of a tree.
    /// @param logId The log.
    /// @param size The size of the tree.
    /// @param root The root of the tree.
    /// @param first The position of the first entry.
    /// @param count The number of entries.
    /// @return The EIP-712 digest.
    function verifiedDigest(bytes32 logId, uint64 size, bytes32 root, uint64 first, uint64 count)
        external
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(abi.encode(TypeHashes.VERIFIED, logId, size, root, first, count))
        );
    }
}

/// @title Evaluator of ERC-8183 jobs under one condition
/// @notice Completes a job by the statement that meets the condition, or rejects it after the
/// deadline. The reason of a completion is the leaf hash of the entry, by which every reader finds
/// it in the log.
/// @dev Roles:
/// - Any account brings the statement or, after the deadline, has the job rejected.
/// - The verifier of the condition signs statements, and gets what job contracts pay to evaluators.
///
/// Assumptions:
/// - The job waits: from its expiry on the client can take the budget back, even before the
///   deadline. A provider looks at the expiry, the hook and the code of the job's contract.
/// - The chain's clock is right to within CLOCK_TOLERANCE. The publisher's is not trusted: a
///   statement dated ahead of the chain waits for its date.
/// - The job's contract keeps the order of a job's states, and refuses a call that is too early or
///   repeated. This contract does not read jobs, and does not check the parties of one.
///
/// Liveness:
/// - At every moment exactly one of completion and rejection is possible.
/// - This contract has no state, so a hook or token that calls back finds nothing half done.
///
/// Limits:
/// - Publisher and verifier together can complete a job by a false statement, and nothing here
///   takes it back; neither can alone. The loss is the job's budget. A job has no disproofs,
///   disputes, holdbacks or claims; those need an escrow.
/// - The provider bears the risk that the verifier stays silent or the publisher does not anchor.
/// - Net value may fall again. A client that expects reversals sets `statedFrom` late.
/// - One statement completes every job that names this evaluator. A client that wants to pay once
///   creates one job, or gives every job its own subject in the log.
/// - It sends no parameters to hooks. A hook that needs some cannot be satisfied.
contract JobEvaluator {
    using SafeERC20 for IERC20;

    /// The factory, in whose domain verifiers sign.
    JobEvaluators public immutable evaluators;
    /// The event log whose checkpoints count.
    EventLog public immutable eventLog;
    /// The seconds by which a statement may be dated ahead of the chain, whose time is that of its
    /// last block. A chain that is further behind its log only makes the caller wait.
    uint256 public constant CLOCK_TOLERANCE = 60;
    address private immutable _implementation; // tells it from its clones, which have a condition

    error NoCondition();
    error DeadlinePassed(uint64 deadline, uint256 nowS);
    error DeadlineNotPassed(uint64 deadline, uint256 nowS);
    error NotAnchored(bytes32 logId, uint64 size);
    error NotInSignedRun(uint64 position, uint64 first, uint64 count);
    error NotSigned(bytes32 digest, address signer);
    error NotASettlement(bytes32 kind);
    error WrongActor(bytes32 expected, bytes32 actor);
    error WrongSubject(bytes32 expected, bytes32 subject);
    error WrongValue(uint256 earned, uint256 reversed, uint256 value);
    error BelowMinimum(uint256 minimum, uint256 value);
    error StatedTooEarly(uint256 fromMs, uint256 timeMs);
    error DatedAhead(uint256 untilMs, uint256 timeMs);

    constructor(EventLog eventLog_) {
        evaluators = JobEvaluators(msg.sender);
        eventLog = eventLog_;
        _implementation = address(this);
    }

    /// Returns the condition under which this evaluator completes jobs.
    /// @return The condition.
    function condition() public view returns (Condition memory) {
        if (address(this) == _implementation) revert NoCondition();
        return abi.decode(Clones.fetchCloneArgs(address(this)), (Condition));
    }

    /// Completes a job by a statement. Any account may call, until the deadline.
    /// @param jobId The job.
    /// @param size The size of an anchored checkpoint.
    /// @param statement The settlement entry, with its proof in that checkpoint.
    /// @param first The position of the first entry that the verifier has signed.
    /// @param count The number of entries that it has signed.
    /// @param signature The verifier's signature (see JobEvaluators.verifiedDigest).
    function complete(
        uint256 jobId,
        uint64 size,
        Exhibit calldata statement,
        uint64 first,
        uint64 count,
        bytes calldata signature
    ) external {
        Condition memory terms = condition();
        if (block.timestamp > terms.deadline) {
            revert DeadlinePassed(terms.deadline, block.timestamp);
        }
        _requireVerified(terms, size, statement, first, count, signature);
        _requireMet(terms, MerkleLog.entryAt(statement.entry, 0));

        IAgenticCommerce(terms.commerce).complete(jobId, MerkleLog.leafHash(statement.entry), "");
    }

    /// Rejects a job. Any account may call, after the deadline.
    /// @param jobId The job.
    function reject(uint256 jobId) external {
        Condition memory terms = condition();
        if (block.timestamp <= terms.deadline) {
            revert DeadlineNotPassed(terms.deadline, block.timestamp);
        }
        IAgenticCommerce(terms.commerce).reject(jobId, "not_settled_in_time", "");
    }

    /// Sends the evaluator's balance of a token to the verifier: some job contracts pay evaluators.
    /// @param token The token.
    function collect(IERC20 token) external {
        token.safeTransfer(condition().verifier, token.balanceOf(address(this)));
    }

    /// Reverts unless the entry is in an anchored checkpoint, and the verifier has signed for it
    /// there.
    function _requireVerified(
        Condition memory terms,
        uint64 size,
        Exhibit calldata statement,
        uint64 first,
        uint64 count,
        bytes calldata signature
    ) private view {
        uint64 position = statement.position;
        bytes32 root = eventLog.rootAt(terms.logId, size);
        if (root == 0) revert NotAnchored(terms.logId, size);
        MerkleLog.verifyInclusion(statement.entry, position, size, statement.proof, root);

        if (position < first || position - first >= count) {
            revert NotInSignedRun(position, first, count);
        }
        bytes32 digest = evaluators.verifiedDigest(terms.logId, size, root, first, count);
        if (!Signatures.isValid(terms.verifier, digest, signature)) {
            revert NotSigned(digest, terms.verifier);
        }
    }

    /// Reverts unless the entry meets the condition.
    function _requireMet(Condition memory terms, Entry calldata entry) private view {
        if (entry.kind != "settlement") revert NotASettlement(entry.kind);
        bytes32 actor = bytes32(uint256(uint160(terms.verifier)));
        if (entry.actor != actor) revert WrongActor(actor, entry.actor);
        if (entry.subject != terms.subject) revert WrongSubject(terms.subject, entry.subject);

        (uint256 earned, uint256 reversed) = Payloads.totals(entry.payload);
        if (earned < reversed || entry.value != earned - reversed) {
            revert WrongValue(earned, reversed, entry.value);
        }
        if (entry.value < terms.minimum) revert BelowMinimum(terms.minimum, entry.value);

        uint256 fromMs = uint256(terms.statedFrom) * 1000;
        if (entry.timeMs < fromMs) revert StatedTooEarly(fromMs, entry.timeMs);
        uint256 untilMs = (block.timestamp + CLOCK_TOLERANCE) * 1000;
        if (entry.timeMs > untilMs) revert DatedAhead(untilMs, entry.timeMs);
    }
}
