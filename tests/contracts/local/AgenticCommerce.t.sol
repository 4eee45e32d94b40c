// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hook} from "../support/Hook.sol";
import {IAgenticCommerce} from "contracts/interfaces/IAgenticCommerce.sol";
import {AgenticCommerce} from "contracts/local/AgenticCommerce.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";
import {Test} from "forge-std/Test.sol";

/// The functions of each role in each state, as ERC-8183 has it.
contract AgenticCommerceTest is Test {
    uint256 private constant START = 1_800_000_000;
    uint256 private constant EXPIRY = START + 7 days;
    uint256 private constant BUDGET = 100e6;

    address private client = makeAddr("client");
    address private provider = makeAddr("provider");
    address private evaluator = makeAddr("evaluator");
    address private stranger = makeAddr("stranger");
    TestStablecoin private token;
    AgenticCommerce private commerce;

    function setUp() public {
        vm.warp(START);
        token = new TestStablecoin();
        commerce = new AgenticCommerce(token, 200);
        token.mint(client, 10 * BUDGET);
        vm.prank(client);
        token.approve(address(commerce), 10 * BUDGET);
    }

    function _job(IAgenticCommerce.JobStatus status, address hook) private returns (uint256 job) {
        vm.startPrank(client);
        job = commerce.createJob(provider, evaluator, EXPIRY, "do it", hook);
        if (status >= IAgenticCommerce.JobStatus.Funded) {
            commerce.setBudget(job, BUDGET, "");
            commerce.fund(job, BUDGET, "");
        }
        vm.stopPrank();
        if (status == IAgenticCommerce.JobStatus.Submitted) {
            vm.prank(provider);
            commerce.submit(job, "work", "");
        }
    }

    function _job(IAgenticCommerce.JobStatus status) private returns (uint256) {
        return _job(status, address(0));
    }

    function _refused(bytes memory reason, address by, bytes memory call) private {
        vm.prank(by);
        vm.expectRevert(reason);
        (bool ok,) = address(commerce).call(call);
        ok;
    }

    function _unauthorized(address by) private pure returns (bytes memory) {
        return abi.encodeWithSelector(AgenticCommerce.Unauthorized.selector, by);
    }

    function _wrong(IAgenticCommerce.JobStatus status) private pure returns (bytes memory) {
        return abi.encodeWithSelector(AgenticCommerce.WrongStatus.selector, status);
    }

    function _is(uint256 job, IAgenticCommerce.JobStatus status) private view {
        assertEq(uint256(commerce.statusOf(job)), uint256(status));
    }

    function test_theWholeWay() public {
        uint256 job = _job(IAgenticCommerce.JobStatus.Submitted);
        _is(job, IAgenticCommerce.JobStatus.Submitted);
        vm.expectEmit(address(commerce));
        emit IAgenticCommerce.JobCompleted(job, evaluator, "why");
        vm.prank(evaluator);
        commerce.complete(job, "why", "");
        _is(job, IAgenticCommerce.JobStatus.Completed);
        assertEq(token.balanceOf(provider), BUDGET * 98 / 100);
        assertEq(token.balanceOf(evaluator), BUDGET * 2 / 100);
        assertEq(token.balanceOf(address(commerce)), 0);
    }

    function test_withoutAFeeTheProviderGetsAll() public {
        commerce = new AgenticCommerce(token, 0);
        vm.prank(client);
        token.approve(address(commerce), BUDGET);
        uint256 job = _job(IAgenticCommerce.JobStatus.Submitted);
        vm.prank(evaluator);
        commerce.complete(job, "", "");
        assertEq(token.balanceOf(provider), BUDGET);
    }

    function test_creating() public {
        vm.expectRevert(AgenticCommerce.ZeroAddress.selector);
        commerce.createJob(provider, address(0), EXPIRY, "", address(0));
        vm.expectRevert(
            abi.encodeWithSelector(AgenticCommerce.ExpiryNotInTheFuture.selector, START)
        );
        commerce.createJob(provider, evaluator, START, "", address(0));
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.InvalidJob.selector, 1));
        commerce.statusOf(1);
        _job(IAgenticCommerce.JobStatus.Open);
        assertEq(commerce.jobCount(), 1);
    }

    function test_namingTheProvider() public {
        vm.prank(client);
        uint256 job = commerce.createJob(address(0), evaluator, EXPIRY, "", address(0));
        bytes memory call = abi.encodeCall(commerce.setProvider, (job, provider, ""));
        _refused(_unauthorized(stranger), stranger, call);
        bytes4 zero = AgenticCommerce.ZeroAddress.selector;
        bytes memory nobody = abi.encodeCall(commerce.setProvider, (job, address(0), ""));
        _refused(abi.encodeWithSelector(zero), client, nobody);
        vm.startPrank(client);
        commerce.setBudget(job, BUDGET, "");
        vm.stopPrank();
        bytes memory fund = abi.encodeCall(commerce.fund, (job, BUDGET, ""));
        _refused(abi.encodeWithSelector(zero), client, fund);
        vm.prank(client);
        commerce.setProvider(job, provider, "");
        _refused(_wrong(IAgenticCommerce.JobStatus.Open), client, call);
        vm.prank(client);
        commerce.fund(job, BUDGET, "");
        _refused(_wrong(IAgenticCommerce.JobStatus.Funded), client, call);
    }

    function test_thePriceAndItsFunding() public {
        uint256 job = _job(IAgenticCommerce.JobStatus.Open);
        bytes memory budget = abi.encodeCall(commerce.setBudget, (job, BUDGET, ""));
        bytes memory fund = abi.encodeCall(commerce.fund, (job, BUDGET, ""));
        bytes4 mismatch = AgenticCommerce.BudgetMismatch.selector;
        _refused(_unauthorized(stranger), stranger, budget);
        _refused(abi.encodeWithSelector(mismatch, 0, BUDGET), client, fund);
        _refused(
            abi.encodeWithSelector(mismatch, 0, 0),
            client,
            abi.encodeCall(commerce.fund, (job, 0, ""))
        );
        vm.prank(provider); // both may
        commerce.setBudget(job, BUDGET - 1, "");
        _refused(abi.encodeWithSelector(mismatch, BUDGET - 1, BUDGET), client, fund);
        vm.prank(client);
        commerce.setBudget(job, BUDGET, "");
        _refused(_unauthorized(provider), provider, fund);
        vm.prank(client);
        commerce.fund(job, BUDGET, "");
        _refused(_wrong(IAgenticCommerce.JobStatus.Funded), client, budget);
        _refused(_wrong(IAgenticCommerce.JobStatus.Funded), client, fund);
    }

    function test_submittingAndCompleting() public {
        uint256 job = _job(IAgenticCommerce.JobStatus.Funded);
        bytes memory submit = abi.encodeCall(commerce.submit, (job, "work", ""));
        bytes memory complete = abi.encodeCall(commerce.complete, (job, "", ""));
        _refused(_unauthorized(client), client, submit);
        _refused(_wrong(IAgenticCommerce.JobStatus.Funded), evaluator, complete);
        vm.prank(provider);
        commerce.submit(job, "work", "");
        _refused(_wrong(IAgenticCommerce.JobStatus.Submitted), provider, submit);
        _refused(_unauthorized(client), client, complete);
    }

    function test_rejecting() public {
        uint256 open = _job(IAgenticCommerce.JobStatus.Open);
        _refused(_unauthorized(evaluator), evaluator, _rejection(open));
        vm.prank(client);
        commerce.reject(open, "", "");
        _is(open, IAgenticCommerce.JobStatus.Rejected);
        assertEq(token.balanceOf(client), 10 * BUDGET);
        _refused(_wrong(IAgenticCommerce.JobStatus.Rejected), client, _rejection(open));

        uint256 funded = _job(IAgenticCommerce.JobStatus.Funded);
        _refused(_unauthorized(client), client, _rejection(funded));
        vm.prank(evaluator);
        commerce.reject(funded, "late", "");
        assertEq(token.balanceOf(client), 10 * BUDGET);
        uint256 submitted = _job(IAgenticCommerce.JobStatus.Submitted);
        vm.prank(evaluator);
        commerce.reject(submitted, "late", "");
        _is(submitted, IAgenticCommerce.JobStatus.Rejected);
        assertEq(token.balanceOf(client), 10 * BUDGET);
    }

    function test_expiring() public {
        uint256 open = _job(IAgenticCommerce.JobStatus.Open);
        uint256 funded = _job(IAgenticCommerce.JobStatus.Funded);
        uint256 submitted = _job(IAgenticCommerce.JobStatus.Submitted);
        bytes memory early = abi.encodeWithSelector(AgenticCommerce.NotExpired.selector, EXPIRY);
        vm.warp(EXPIRY - 1);
        _refused(early, stranger, abi.encodeCall(commerce.claimRefund, (funded)));
        vm.warp(EXPIRY);
        _refused(
            _wrong(IAgenticCommerce.JobStatus.Open),
            stranger,
            abi.encodeCall(commerce.claimRefund, (open))
        );
        commerce.claimRefund(funded);
        commerce.claimRefund(submitted);
        _is(funded, IAgenticCommerce.JobStatus.Expired);
        assertEq(token.balanceOf(client), 10 * BUDGET);
    }

    function test_hooksAreCalledAround() public {
        Hook hook = new Hook(commerce);
        uint256 job = _job(IAgenticCommerce.JobStatus.Submitted, address(hook));
        assertEq(hook.count(), 6); // around setBudget, fund and submit
        assertEq(hook.seen(0), commerce.setBudget.selector);
        assertEq(hook.seen(5), commerce.submit.selector);
        hook.refuse(commerce.complete.selector);
        _refused("refused", evaluator, abi.encodeCall(commerce.complete, (job, "", "")));
        hook.refuse(0);
        hook.comeBack();
        bytes4 guard = bytes4(keccak256("ReentrancyGuardReentrantCall()"));
        _refused(abi.encodeWithSelector(guard), evaluator, _rejection(job));
        vm.warp(EXPIRY); // no hook can stop this
        commerce.claimRefund(job);
        assertEq(token.balanceOf(client), 10 * BUDGET);
    }

    function _rejection(uint256 job) private view returns (bytes memory) {
        return abi.encodeCall(commerce.reject, (job, "", ""));
    }
}
