// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ERC-8183 contract: escrow of a client's budget until the job's evaluator decides
/// @dev Parameters are those of the ERC. It marks some as optional and names no function that reads
/// a job, so implementations differ: some name a token in `setBudget` and `fund`, an agent in
/// `createJob` and `setProvider`, parameters in `claimRefund`, and each returns another `Job`. They
/// agree on `submit`, `complete` and `reject`. All of `hook`, `optParams` and `reason` may be empty.
interface IAgenticCommerce {
    enum JobStatus {
        Open, //      created; the price can still change
        Funded, //    the budget is escrowed
        Submitted, // the provider has handed in its work
        Completed, // paid to the provider; for good
        Rejected, //  given back to the client; for good
        Expired //    given back because no decision came in time; for good
    }

    event JobCreated(
        uint256 indexed jobId,
        address indexed client,
        address indexed provider,
        address evaluator,
        uint256 expiredAt,
        address hook
    );
    event ProviderSet(uint256 indexed jobId, address indexed provider);
    event BudgetSet(uint256 indexed jobId, uint256 amount);
    event JobFunded(uint256 indexed jobId, address indexed client, uint256 amount);
    event JobSubmitted(uint256 indexed jobId, address indexed provider, bytes32 deliverable);
    event JobCompleted(uint256 indexed jobId, address indexed evaluator, bytes32 reason);
    event JobRejected(uint256 indexed jobId, address indexed rejector, bytes32 reason);
    event JobExpired(uint256 indexed jobId);
    event PaymentReleased(uint256 indexed jobId, address indexed provider, uint256 amount);
    event Refunded(uint256 indexed jobId, address indexed client, uint256 amount);

    /// Creates a job of the caller, its client. `provider` may be zero until `setProvider`;
    /// `evaluator` may not, and nothing changes it later. `expiredAt` is in UTC seconds.
    function createJob(
        address provider,
        address evaluator,
        uint256 expiredAt,
        string calldata description,
        address hook
    ) external returns (uint256 jobId);

    /// Sets the provider, by the client of an open job without one.
    function setProvider(uint256 jobId, address provider, bytes calldata optParams) external;

    /// Sets the price, by the client or the provider of an open job.
    function setBudget(uint256 jobId, uint256 amount, bytes calldata optParams) external;

    /// Escrows the budget, by the client of an open job, if the budget is the expected one.
    function fund(uint256 jobId, uint256 expectedBudget, bytes calldata optParams) external;

    /// Hands in the work, by the provider of a funded job.
    function submit(uint256 jobId, bytes32 deliverable, bytes calldata optParams) external;

    /// Pays the provider, by the evaluator of a submitted job.
    function complete(uint256 jobId, bytes32 reason, bytes calldata optParams) external;

    /// Ends the job without payment, by the client of an open job, or by the evaluator of a funded
    /// or submitted one.
    function reject(uint256 jobId, bytes32 reason, bytes calldata optParams) external;

    /// Returns the budget of a funded or submitted job to the client, from `expiredAt` on. Any
    /// account may call, and no hook can stop it.
    function claimRefund(uint256 jobId) external;
}

/// @title Hook of a job
/// @dev It is called around every function above but `createJob` and `claimRefund`. If it reverts,
/// the whole call does.
interface IACPHook {
    function beforeAction(uint256 jobId, bytes4 selector, bytes calldata data) external;
    function afterAction(uint256 jobId, bytes4 selector, bytes calldata data) external;
}
