// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// An ERC-8183 contract: it escrows a client's budget for a job until the job's evaluator decides.
///
/// The ERC marks parameters as optional and names no function that reads a job, so implementations
/// differ: some name a token in `setBudget` and `fund`, an agent in `createJob` and `setProvider`,
/// parameters in `claimRefund`, and each returns another `Job`. They agree on `submit`, `complete`
/// and `reject`. All of `hook`, `optParams` and `reason` may be empty.
interface IAgenticCommerce {
    enum JobStatus {
        Open, //      created; the price can still change
        Funded, //    the budget is escrowed
        Submitted, // the provider has handed in its work
        Completed, // paid to the provider; for good
        Rejected, //  given back to the client; for good
        Expired //    likewise, because nobody decided in time
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

    /// The caller is the client. `provider` may be zero until `setProvider`; `evaluator` may not, and
    /// nothing changes it later. `expiredAt`: UTC seconds.
    function createJob(
        address provider,
        address evaluator,
        uint256 expiredAt,
        string calldata description,
        address hook
    ) external returns (uint256 jobId);

    /// By the client of an open job without a provider.
    function setProvider(uint256 jobId, address provider, bytes calldata optParams) external;

    /// By the client or the provider of an open job.
    function setBudget(uint256 jobId, uint256 amount, bytes calldata optParams) external;

    /// By the client of an open job, if the budget still is what it expects.
    function fund(uint256 jobId, uint256 expectedBudget, bytes calldata optParams) external;

    /// By the provider of a funded job.
    function submit(uint256 jobId, bytes32 deliverable, bytes calldata optParams) external;

    /// By the evaluator of a submitted job.
    function complete(uint256 jobId, bytes32 reason, bytes calldata optParams) external;

    /// By the client of an open job, or by the evaluator of a funded or submitted one.
    function reject(uint256 jobId, bytes32 reason, bytes calldata optParams) external;

    /// By anyone, for a funded or submitted job, from `expiredAt` on. No hook can stop it.
    function claimRefund(uint256 jobId) external;
}

/// What a job's hook answers: called around every function above but `createJob` and `claimRefund`.
/// It may revert, and then nothing has happened.
interface IACPHook {
    function beforeAction(uint256 jobId, bytes4 selector, bytes calldata data) external;
    function afterAction(uint256 jobId, bytes4 selector, bytes calldata data) external;
}
