// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobFixture} from "../support/JobFixture.sol";
import {Condition, JobEvaluator} from "contracts/integrations/JobEvaluator.sol";
import {IACPHook, IAgenticCommerce} from "contracts/interfaces/IAgenticCommerce.sol";
import {AgenticCommerce} from "contracts/local/AgenticCommerce.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";

/// A hook, a job contract and a token that call back, or refuse.
contract Caller is IACPHook {
    bytes4 public refused; // the function that it stops
    address public target;
    bytes[] public calls;
    bool[] public succeeded;
    bool private _calling;

    function refuse(bytes4 selector) external {
        refused = selector;
    }

    function plan(address target_, bytes calldata data) external {
        target = target_;
        calls.push(data);
    }

    function outcomes() external view returns (bool[] memory) {
        return succeeded;
    }

    function beforeAction(uint256, bytes4 selector, bytes calldata) external {
        require(selector != refused, "hook says no");
        if (selector == IAgenticCommerce.complete.selector) _call();
    }

    function afterAction(uint256, bytes4 selector, bytes calldata) external {
        if (selector == IAgenticCommerce.complete.selector) _call();
    }

    /// As a job contract, or as a token.
    fallback() external {
        _call();
    }

    function balanceOf(address) external pure returns (uint256) {
        return 1;
    }

    function _call() private {
        if (_calling) return;
        _calling = true;
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool success,) = target.call(calls[i]);
            succeeded.push(success);
        }
        _calling = false;
    }
}

contract HostileTest is JobFixture {
    Caller private _caller;

    function setUp() public override {
        super.setUp();
        _caller = new Caller();
    }

    function test_aHookThatCallsBackGetsNothingMore() public {
        uint256 other = _submitted();
        uint256 jobId = _submitted(address(evaluator), address(_caller));
        Evidence memory evidence = _evidence();
        _caller.plan(address(evaluator), _completing(jobId, evidence));
        _caller.plan(address(evaluator), _completing(other, evidence));
        _caller.plan(address(evaluator), abi.encodeCall(JobEvaluator.reject, (jobId)));
        _caller.plan(address(evaluator), abi.encodeCall(JobEvaluator.collect, (token)));
        _complete(jobId, evidence);

        _assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        _assertStatus(other, IAgenticCommerce.JobStatus.Submitted);
        bool[] memory outcomes = _caller.outcomes();
        assertEq(outcomes.length, 8, "before and after");
        for (uint256 i = 0; i < outcomes.length; ++i) {
            assertEq(outcomes[i], i % 4 == 3, "only the verifier's fee can be sent to the verifier");
        }
        uint256 fee = BUDGET * EVALUATOR_FEE_BPS / 10_000;
        assertEq(token.balanceOf(verifier.addr), fee);
        assertEq(token.balanceOf(provider), BUDGET - fee);
        assertEq(token.balanceOf(address(_caller)), 0);
    }

    /// By the ERC a hook may stop every decision until the job expires.
    function test_aHookThatRefusesHoldsTheJobUntilItExpires() public {
        uint256 jobId = _submitted(address(evaluator), address(_caller));
        Evidence memory evidence = _evidence();
        _caller.refuse(IAgenticCommerce.complete.selector);
        vm.expectRevert("hook says no");
        _complete(jobId, evidence);
        vm.warp(DEADLINE + 1);
        _caller.refuse(IAgenticCommerce.reject.selector);
        vm.expectRevert("hook says no");
        _reject(jobId);

        vm.warp(EXPIRY);
        commerce.claimRefund(jobId);
        _assertStatus(jobId, IAgenticCommerce.JobStatus.Expired);
    }

    /// It can lie about its own jobs, and reach neither other jobs nor what the evaluator holds.
    function test_aJobContractThatCallsBackReachesNothingElse() public {
        Condition memory condition = _condition();
        condition.commerce = address(_caller);
        JobEvaluator its = evaluators.create(condition);
        uint256 honest = _submitted();
        Evidence memory evidence = _evidence();
        token.mint(address(evaluator), 5);
        token.mint(address(its), 7);

        bytes memory direct = abi.encodeCall(IAgenticCommerce.complete, (honest, "", ""));
        _caller.plan(address(its), direct);
        _caller.plan(address(its), abi.encodeCall(JobEvaluator.collect, (token)));
        _complete(its, honest, evidence);

        _assertStatus(honest, IAgenticCommerce.JobStatus.Submitted);
        assertEq(token.balanceOf(address(evaluator)), 5);
        assertEq(token.balanceOf(verifier.addr), 7);
        assertEq(token.balanceOf(address(_caller)), 0);
    }

    function test_onlyTheEvaluatorItselfDecides() public {
        uint256 jobId = _submitted();
        address[4] memory others = [client, provider, verifier.addr, address(evaluators)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(
                abi.encodeWithSelector(AgenticCommerce.Unauthorized.selector, others[i])
            );
            commerce.complete(jobId, "", "");
            vm.stopPrank();
        }
    }

    function test_aTokenThatCallsBackReachesNothingElse() public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        token.mint(address(evaluator), 5);
        _caller.plan(address(evaluator), abi.encodeCall(JobEvaluator.collect, (token)));
        _caller.plan(address(evaluator), _completing(jobId, evidence));
        evaluator.collect(TestStablecoin(address(_caller)));

        // It could have made both calls without the evaluator's help.
        assertGe(token.balanceOf(verifier.addr), 5);
        assertEq(token.balanceOf(address(_caller)), 0);
        _assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
    }

    function _completing(uint256 jobId, Evidence memory evidence)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            JobEvaluator.complete,
            (
                jobId,
                evidence.size,
                evidence.statement,
                evidence.first,
                evidence.count,
                evidence.signature
            )
        );
    }
}
