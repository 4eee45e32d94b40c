// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IACPHook, IAgenticCommerce} from "../interfaces/IAgenticCommerce.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title ERC-8183's job escrow, for local chains only
/// @notice Follows the ERC word for word: its states, the roles that may act in each, its hooks,
/// and an evaluator fee such as its reference implementation pays. It has one token and no platform
/// fee.
/// @dev Parameters are those of the ERC (see IAgenticCommerce).
contract AgenticCommerce is IAgenticCommerce, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Job {
        address client;
        address provider;
        address evaluator;
        address hook;
        uint256 budget;
        uint256 expiredAt;
        JobStatus status;
    }

    IERC20 public immutable token;
    uint256 public immutable evaluatorFeeBps;
    uint256 public jobCount;
    mapping(uint256 jobId => Job) private _jobs;

    error InvalidJob(uint256 jobId);
    error ZeroAddress();
    error ExpiryNotInTheFuture(uint256 expiredAt);
    error Unauthorized(address caller);
    error WrongStatus(JobStatus status);
    error BudgetMismatch(uint256 budget, uint256 expected);
    error NotExpired(uint256 expiredAt);

    constructor(IERC20 token_, uint256 evaluatorFeeBps_) {
        token = token_;
        evaluatorFeeBps = evaluatorFeeBps_;
    }

    /// Calls the job's hook, if it has one, before and after the function.
    modifier hooked(uint256 jobId, bytes memory data) {
        address hook = _known(jobId).hook;
        if (hook != address(0)) IACPHook(hook).beforeAction(jobId, msg.sig, data);
        _;
        if (hook != address(0)) IACPHook(hook).afterAction(jobId, msg.sig, data);
    }

    /// Returns the state of a job. Reverts for a job that does not exist.
    function statusOf(uint256 jobId) external view returns (JobStatus) {
        return _known(jobId).status;
    }

    /// @inheritdoc IAgenticCommerce
    function createJob(
        address provider,
        address evaluator,
        uint256 expiredAt,
        string calldata,
        address hook
    ) external nonReentrant returns (uint256 jobId) {
        if (evaluator == address(0)) revert ZeroAddress();
        if (expiredAt <= block.timestamp) revert ExpiryNotInTheFuture(expiredAt);
        jobId = ++jobCount;
        _jobs[jobId] = Job(
            msg.sender, provider, evaluator, hook, 0, expiredAt, IAgenticCommerce.JobStatus.Open
        );
        emit JobCreated(jobId, msg.sender, provider, evaluator, expiredAt, hook);
    }

    /// @inheritdoc IAgenticCommerce
    function setProvider(uint256 jobId, address provider, bytes calldata optParams)
        external
        nonReentrant
        hooked(jobId, abi.encode(provider, optParams))
    {
        Job storage job = _inStatus(jobId, JobStatus.Open);
        if (msg.sender != job.client) revert Unauthorized(msg.sender);
        if (job.provider != address(0)) revert WrongStatus(job.status);
        if (provider == address(0)) revert ZeroAddress();
        job.provider = provider;
        emit ProviderSet(jobId, provider);
    }

    /// @inheritdoc IAgenticCommerce
    function setBudget(uint256 jobId, uint256 amount, bytes calldata optParams)
        external
        nonReentrant
        hooked(jobId, abi.encode(amount, optParams))
    {
        Job storage job = _inStatus(jobId, JobStatus.Open);
        if (msg.sender != job.client && msg.sender != job.provider) {
            revert Unauthorized(msg.sender);
        }
        job.budget = amount;
        emit BudgetSet(jobId, amount);
    }

    /// @inheritdoc IAgenticCommerce
    function fund(uint256 jobId, uint256 expectedBudget, bytes calldata optParams)
        external
        nonReentrant
        hooked(jobId, optParams)
    {
        Job storage job = _inStatus(jobId, JobStatus.Open);
        if (msg.sender != job.client) revert Unauthorized(msg.sender);
        if (job.provider == address(0)) revert ZeroAddress();
        if (job.budget == 0 || job.budget != expectedBudget) {
            revert BudgetMismatch(job.budget, expectedBudget);
        }
        job.status = JobStatus.Funded;
        token.safeTransferFrom(msg.sender, address(this), job.budget);
        emit JobFunded(jobId, job.client, job.budget);
    }

    /// @inheritdoc IAgenticCommerce
    function submit(uint256 jobId, bytes32 deliverable, bytes calldata optParams)
        external
        nonReentrant
        hooked(jobId, abi.encode(deliverable, optParams))
    {
        Job storage job = _inStatus(jobId, JobStatus.Funded);
        if (msg.sender != job.provider) revert Unauthorized(msg.sender);
        job.status = JobStatus.Submitted;
        emit JobSubmitted(jobId, job.provider, deliverable);
    }

    /// @inheritdoc IAgenticCommerce
    function complete(uint256 jobId, bytes32 reason, bytes calldata optParams)
        external
        nonReentrant
        hooked(jobId, abi.encode(reason, optParams))
    {
        Job storage job = _inStatus(jobId, JobStatus.Submitted);
        if (msg.sender != job.evaluator) revert Unauthorized(msg.sender);
        job.status = JobStatus.Completed;
        uint256 fee = job.budget * evaluatorFeeBps / 10_000;
        if (fee != 0) token.safeTransfer(job.evaluator, fee);
        token.safeTransfer(job.provider, job.budget - fee);
        emit JobCompleted(jobId, msg.sender, reason);
        emit PaymentReleased(jobId, job.provider, job.budget - fee);
    }

    /// @inheritdoc IAgenticCommerce
    function reject(uint256 jobId, bytes32 reason, bytes calldata optParams)
        external
        nonReentrant
        hooked(jobId, abi.encode(reason, optParams))
    {
        Job storage job = _known(jobId);
        JobStatus status = job.status;
        if (status > JobStatus.Submitted) revert WrongStatus(status);
        if (msg.sender != (status == JobStatus.Open ? job.client : job.evaluator)) {
            revert Unauthorized(msg.sender);
        }
        job.status = JobStatus.Rejected;
        if (status != JobStatus.Open) _refund(jobId, job);
        emit JobRejected(jobId, msg.sender, reason);
    }

    /// @inheritdoc IAgenticCommerce
    function claimRefund(uint256 jobId) external nonReentrant {
        Job storage job = _known(jobId);
        if (job.status != JobStatus.Funded && job.status != JobStatus.Submitted) {
            revert WrongStatus(job.status);
        }
        if (block.timestamp < job.expiredAt) revert NotExpired(job.expiredAt);
        job.status = JobStatus.Expired;
        _refund(jobId, job);
        emit JobExpired(jobId);
    }

    /// Sends the budget back to the client.
    function _refund(uint256 jobId, Job storage job) private {
        token.safeTransfer(job.client, job.budget);
        emit Refunded(jobId, job.client, job.budget);
    }

    /// Returns a job. Reverts unless it is in this state.
    function _inStatus(uint256 jobId, JobStatus status) private view returns (Job storage job) {
        job = _known(jobId);
        if (job.status != status) revert WrongStatus(job.status);
    }

    /// Returns a job. Reverts for a job that does not exist.
    function _known(uint256 jobId) private view returns (Job storage job) {
        job = _jobs[jobId];
        if (job.client == address(0)) revert InvalidJob(jobId);
    }
}
