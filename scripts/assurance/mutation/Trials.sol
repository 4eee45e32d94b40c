// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

/// Ends what a test leaves to the next one and no snapshot takes back. Of pranks Foundry ends those of
/// the caller's depth alone: so this is called from where the tests are.
contract Aftermath is Test {
    function clear() external {
        vm.stopPrank();
        vm.clearMockedCalls();
    }
}

/// Tries one mutant after another in a single run of forge, for scripts/assurance/mutation/trials.py. That has
/// put each one's calls of tests into a file of its own, and adds a test for each below.
contract Trials is Test {
    /// A contract of tests, by the file of its code, and the tests that are called.
    struct Step {
        string suite;
        bool hasSetUp;
        bytes[] calls;
    }

    /// Enough for every test, and for an endless loop soon too little.
    uint256 private constant GAS = 400_000_000;

    function _try(uint256 mutant) private {
        bytes memory plan = vm.readFileBinary(string.concat("trials/", vm.toString(mutant)));
        (uint256 number, bool goesOn, Step[] memory steps) =
            abi.decode(plan, (uint256, bool, Step[]));
        vm.deal(address(0xfa017), number); // see PLANTED in planted_faults.py
        string memory failed;
        for (uint256 i = 0; i < steps.length; ++i) {
            uint256 before = vm.snapshotState();
            string memory calls = this.meet(steps[i], goesOn);
            // Or what one suite has set up, the time for one, fails the next in another order.
            vm.revertToStateAndDelete(before);
            if (bytes(calls).length == 0) continue;
            failed = string.concat(failed, steps[i].suite, ":", calls, ";");
            if (!goesOn) break;
        }
        if (bytes(failed).length != 0) revert(string.concat("noticed by ", failed));
    }

    /// Returns the numbers of the calls that failed. A call of its own, so that its memory is freed.
    function meet(Step calldata step, bool goesOn) external returns (string memory failed) {
        bytes memory code = vm.readFileBinary(string.concat("trials/", step.suite));
        address suite;
        assembly ("memory-safe") {
            suite := create(0, add(code, 32), mload(code))
        }
        Aftermath aftermath = new Aftermath();
        if (step.hasSetUp && !_succeeds(suite, abi.encodeWithSignature("setUp()"))) return "setUp";
        for (uint256 i = 0; i < step.calls.length; ++i) {
            uint256 before = vm.snapshotState();
            if (!_succeeds(suite, step.calls[i])) {
                failed = string.concat(failed, vm.toString(i), ",");
                if (!goesOn) return failed;
            }
            vm.revertToStateAndDelete(before);
            aftermath.clear();
        }
    }

    /// A fuzzed test that asks for other inputs has not failed.
    function _succeeds(address suite, bytes memory data) private returns (bool) {
        (bool isDone, bytes memory reason) = suite.call{gas: GAS}(data);
        return isDone || bytes32(reason) == bytes32("FOUNDRY::ASSUME");
    }
}
