// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Checks} from "./Checks.sol";
import {EventLogHandler} from "./EventLogHandler.sol";
import {EventLog} from "contracts/log/EventLog.sol";

/// The numbered invariants of the event log; see README.md.
/// forge-config: default.invariant.runs = 12
/// forge-config: deep.invariant.runs = 150
contract EventLogInvariants is Checks {
    EventLogHandler private handler;

    function setUp() public {
        handler = new EventLogHandler();
        bytes4[] memory actions = new bytes4[](7);
        actions[0] = handler.append.selector;
        actions[1] = handler.warp.selector;
        actions[2] = handler.publish.selector;
        actions[3] = handler.forge.selector;
        actions[4] = handler.handOver.selector;
        actions[5] = handler.publish.selector; // twice as often
        actions[6] = handler.reportFork.selector;
        targetSelector(FuzzSelector({addr: address(handler), selectors: actions}));
        targetContract(address(handler));
    }

    function invariant_log() public {
        _demand("I12", this.check_I12_sizesGrowAndRootsStay);
        _demand("I13", this.check_I13_onlyExtensionsAreAccepted);
        _demand("I15", this.check_I15_onlyItsPublisherForksALogAndNothingFollows);
        _demand("L1", this.check_L1_whatThePublisherSignedCanBeAnchored);
    }

    function check_I12_sizesGrowAndRootsStay() external view {
        EventLogHandler.Accepted[] memory accepted = handler.accepted();
        (EventLog log, bytes32 id) = handler.theLog();
        for (uint256 i = 0; i < accepted.length; ++i) {
            if (i != 0) assertGt(accepted[i].size, accepted[i - 1].size);
            assertEq(log.rootAt(id, accepted[i].size), accepted[i].root);
        }
        (uint64 size, bytes32 root,) = log.latest(id);
        if (accepted.length != 0) {
            assertEq(size, accepted[accepted.length - 1].size);
            assertEq(root, accepted[accepted.length - 1].root);
        }
        _assertNotBroken("I12");
    }

    function check_I13_onlyExtensionsAreAccepted() external view {
        EventLogHandler.Accepted[] memory accepted = handler.accepted();
        for (uint256 i = 0; i < accepted.length; ++i) {
            assertEq(accepted[i].root, handler.honestRoot(accepted[i].size));
        }
        _assertNotBroken("I13");
    }

    function check_I15_onlyItsPublisherForksALogAndNothingFollows() external view {
        assertTrue(handler.isForkHonoured());
        _assertNotBroken("I15");
    }

    function check_L1_whatThePublisherSignedCanBeAnchored() external view {
        _assertNotBroken("L1");
    }

    function _assertNotBroken(string memory invariant) private view {
        string memory broken = handler.broken();
        if (bytes(broken).length == 0) return;
        assertFalse(vm.indexOf(broken, string.concat(invariant, ":")) == 0, broken);
    }
}
