// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {EventLog} from "contracts/log/EventLog.sol";

contract RegisterTest is Fixture {
    function testFuzz_register(address registrant, address first, string calldata origin) public {
        vm.assume(first != address(0));
        vm.assume(bytes(origin).length > 0 && bytes(origin).length <= 255);
        bytes32 id = keccak256(abi.encode(registrant, origin));

        vm.expectEmit(address(eventLog));
        emit EventLog.Registered(id, registrant, first, origin);
        vm.prank(registrant);
        assertEq(eventLog.register(origin, first), id);

        assertEq(eventLog.publisherOf(id), first);
        (uint64 size, bytes32 root, uint64 publishedAt) = eventLog.latest(id);
        assertEq(size, 0);
        assertEq(root, 0);
        assertEq(publishedAt, 0);
        assertEq(eventLog.previousPublisherOf(id), address(0));
        assertEq(eventLog.offeredTo(id), address(0));
    }

    /// A registrant does not take an origin from another: the same one under two registrants is two
    /// logs.
    function test_anOriginIsTheRegistrantsOwn() public {
        vm.prank(stranger);
        bytes32 theirs = eventLog.register(ORIGIN, stranger);
        assertNotEq(theirs, logId);
        assertEq(eventLog.publisherOf(logId), publisher.addr);
    }

    function test_revertIf_registeredAlready() public {
        vm.expectRevert(abi.encodeWithSelector(EventLog.AlreadyRegistered.selector, logId));
        eventLog.register(ORIGIN, stranger);
    }

    function test_revertIf_thePublisherIsZero() public {
        vm.expectRevert(EventLog.ZeroPublisher.selector);
        eventLog.register("another", address(0));
    }

    function test_revertIf_theOriginIsEmptyOrTooLong() public {
        vm.expectRevert(abi.encodeWithSelector(EventLog.OriginLength.selector, 0, 255));
        eventLog.register("", stranger);
        eventLog.register(string(new bytes(255)), stranger);
        vm.expectRevert(abi.encodeWithSelector(EventLog.OriginLength.selector, 256, 255));
        eventLog.register(string(new bytes(256)), stranger);
    }
}
