// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EventLogHandler} from "./EventLogHandler.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Test} from "forge-std/Test.sol";

/// The numbered invariants of the event log; see README.md.
/// forge-config: default.invariant.runs = 12
/// forge-config: deep.invariant.runs = 150
contract EventLogInvariants is Test {
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

    function invariant_I12_sizesGrowAndRootsStay() public view {
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

    function invariant_I13_onlyExtensionsAreAccepted() public view {
        EventLogHandler.Accepted[] memory accepted = handler.accepted();
        for (uint256 i = 0; i < accepted.length; ++i) {
            assertEq(accepted[i].root, handler.honestRoot(accepted[i].size));
        }
        _assertNotBroken("I13");
    }

    function invariant_I15_onlyItsPublisherForksALogAndNothingFollows() public view {
        assertTrue(handler.isForkHonoured());
        _assertNotBroken("I15");
    }

    function invariant_L1_whatThePublisherSignedCanBeAnchored() public view {
        _assertNotBroken("L1");
    }

    function _assertNotBroken(string memory invariant) private view {
        string memory broken = handler.broken();
        if (bytes(broken).length == 0) return;
        assertFalse(vm.indexOf(broken, string.concat(invariant, ":")) == 0, broken);
    }
}
