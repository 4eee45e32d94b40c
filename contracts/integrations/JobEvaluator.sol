// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Signatures} from "../escrow/Signatures.sol";
import {Exhibit} from "../evidence/EvidenceTypes.sol";
import {IAgenticCommerce} from "../interfaces/IAgenticCommerce.sol";
import {EventLog} from "../log/EventLog.sol";
import {Entry, MerkleLog} from "../log/MerkleLog.sol";
import {TypeHashes} from "../terms/Terms.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// What completes a job: a settlement entry of this log, made by this verifier about this subject,
/// that states at least so much net value. Times are UTC seconds.
struct Condition {
    address commerce; //    the ERC-8183 contract that holds the job
    bytes32 logId;
    address verifier; //    an account or an ERC-1271 wallet; evaluator fees are its
    bytes32 subject; //     what the settlement entry is about: the contract id in the log
    uint80 minimum; //      net value (earned - reversed), in the entry's unit; not zero
    uint64 statedFrom; //   statements made before do not count; zero: all do
    uint64 deadline; //     until here a job can be completed, afterwards only rejected
}

/// @title The evaluators of ERC-8183 jobs, one for each condition
/// @notice An evaluator's address is derived from its condition. A job names its evaluator when it
/// is created and never changes it, so whoever reads the job knows what completes it, and neither
/// side can put another condition in its place: nobody binds anything, and nobody signs for it.
///
/// Verifiers sign `Verified` in the domain of this contract, not in an escrow's: there a statement
/// may still be challenged, here it pays a job for good. One signature serves every job that the
/// signed entries complete. What this assumes stands with JobEvaluator.
contract JobEvaluators is EIP712 {
    EventLog public immutable eventLog;

    /// The code behind every evaluator.
    JobEvaluator public immutable implementation;

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

    /// Puts the condition's evaluator on the chain, by anyone, before or after a job names it. It
    /// does nothing if the evaluator is there.
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

    /// The evaluator of this condition, created or not. It reverts for a condition that can have
    /// none. Before trusting a job, compare its evaluator with this.
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

    /// What a verifier signs for the entries [first, first + count) of the tree (size, root).
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

/// @title The evaluator of every ERC-8183 job that names it, under one condition
/// @notice Anyone may bring the statement that meets the condition, and the job is completed; after
/// the deadline anyone may have it rejected. At every moment exactly one of the two is possible.
/// The reason of a completion is the leaf hash of the entry, by which anyone finds it in the log.
///
/// What this contract assumes, and what it does not promise:
/// - Publisher and verifier together can complete a job by a false statement, and nothing here takes
///   it back; neither can alone. The loss is the job's budget. Disproofs, disputes, holdbacks and
///   claims need an escrow: a job has none of them.
/// - The provider bears the risk that the verifier stays silent or the publisher does not anchor.
/// - Net value may fall again. A client who is afraid of reversals sets `statedFrom` late.
/// - One fact completes every job that names this evaluator. Whoever wants to pay once for it
///   creates one job, or gives every job its own subject in the log.
/// - The job must be able to wait: from its expiry on the client can take the budget back before
///   the deadline. A provider looks at the expiry, the hook and the code of the job's contract.
/// - It decides nothing about who is who in a job, reads none, and leaves the order of a job's
///   states to its contract, which refuses what comes too early or twice. It keeps no state, so a
///   hook or token that calls back finds nothing half done.
/// - It sends no parameters to hooks. A hook that needs some cannot be satisfied.
contract JobEvaluator {
    using SafeERC20 for IERC20;

    JobEvaluators public immutable evaluators;
    EventLog public immutable eventLog;
    address private immutable _implementation;

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

    constructor(EventLog eventLog_) {
        evaluators = JobEvaluators(msg.sender);
        eventLog = eventLog_;
        _implementation = address(this);
    }

    /// Under which jobs that name this evaluator are completed.
    function condition() public view returns (Condition memory) {
        if (address(this) == _implementation) revert NoCondition();
        return abi.decode(Clones.fetchCloneArgs(address(this)), (Condition));
    }

    /// Completes the job by the entry `statement`, in the checkpoint with this size. `signature` is
    /// the verifier's for the entries [first, first + count) of that checkpoint (`verifiedDigest`).
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

    /// Rejects the job after the deadline.
    function reject(uint256 jobId) external {
        Condition memory terms = condition();
        if (block.timestamp <= terms.deadline) {
            revert DeadlineNotPassed(terms.deadline, block.timestamp);
        }
        IAgenticCommerce(terms.commerce).reject(jobId, "not_settled_in_time", "");
    }

    /// Sends the verifier what the evaluator has of a token: some job contracts pay evaluators.
    function collect(IERC20 token) external {
        token.safeTransfer(condition().verifier, token.balanceOf(address(this)));
    }

    /// The entry stands in an anchored checkpoint, and the verifier has signed for it there.
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

    /// The entry says what the condition asks for.
    function _requireMet(Condition memory terms, Entry calldata entry) private pure {
        if (entry.kind != "settlement") revert NotASettlement(entry.kind);
        bytes32 actor = bytes32(uint256(uint160(terms.verifier)));
        if (entry.actor != actor) revert WrongActor(actor, entry.actor);
        if (entry.subject != terms.subject) revert WrongSubject(terms.subject, entry.subject);

        // A settlement's payload begins with earned u80, reversed u80.
        uint256 earned = uint256(entry.payload) >> 176;
        uint256 reversed = uint256(entry.payload) >> 96 & type(uint80).max;
        if (earned < reversed || entry.value != earned - reversed) {
            revert WrongValue(earned, reversed, entry.value);
        }
        if (entry.value < terms.minimum) revert BelowMinimum(terms.minimum, entry.value);

        uint256 fromMs = uint256(terms.statedFrom) * 1000;
        if (entry.timeMs < fromMs) revert StatedTooEarly(fromMs, entry.timeMs);
    }
}
