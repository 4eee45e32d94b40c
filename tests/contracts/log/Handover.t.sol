// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {EventLog} from "contracts/log/EventLog.sol";

contract HandoverTest is Fixture {
    bytes32[] private none = new bytes32[](0);
    Account private next = makeAccount("next publisher");

    function test_twoSteps() public {
        vm.expectEmit(address(eventLog));
        emit EventLog.PublisherOffered(logId, next.addr);
        vm.prank(publisher.addr);
        eventLog.offerPublisher(logId, next.addr);
        assertEq(eventLog.publisherOf(logId), publisher.addr, "an offer changes nothing");
        assertEq(eventLog.offeredTo(logId), next.addr);

        vm.expectEmit(address(eventLog));
        emit EventLog.PublisherChanged(logId, publisher.addr, next.addr, START + 7 days);
        vm.prank(next.addr);
        eventLog.acceptPublisher(logId);
        assertEq(eventLog.publisherOf(logId), next.addr);
        assertEq(eventLog.previousPublisherOf(logId), publisher.addr);
        assertEq(eventLog.offeredTo(logId), address(0));
    }

    function test_theOldKeyStaysValidForSevenDays() public {
        bytes memory signed = _sign(publisher, _checkpointDigest(logId, 1, tree.root(1)));
        _handOver(publisher, next);
        uint256 snapshot = vm.snapshotState();

        vm.warp(START + 7 days);
        eventLog.publish(logId, 1, tree.root(1), none, signed);
        vm.revertToState(snapshot);
        vm.warp(START + 7 days);
        vm.prank(publisher.addr);
        eventLog.publish(logId, 1, "root", none);
        vm.revertToState(snapshot);

        vm.warp(START + 7 days + 1);
        assertEq(eventLog.previousPublisherOf(logId), address(0));
        bytes32 root = tree.root(1);
        vm.expectPartialRevert(EventLog.NotSignedByPublisher.selector);
        eventLog.publish(logId, 1, root, none, signed);
        vm.expectRevert(
            abi.encodeWithSelector(EventLog.NotPublisher.selector, logId, publisher.addr)
        );
        vm.prank(publisher.addr);
        eventLog.publish(logId, 1, root, none);
    }

    function test_theNewKeyIsValidAtOnce() public {
        _handOver(publisher, next);
        vm.prank(next.addr);
        eventLog.publish(logId, 1, "root", none);
    }

    /// Otherwise two quick hand-overs would bury what the first key has signed.
    function test_revertIf_theLastHandoverIsNotSevenDaysAgo() public {
        _handOver(publisher, next);
        vm.prank(next.addr);
        eventLog.offerPublisher(logId, stranger);
        vm.warp(START + 7 days);
        vm.expectRevert(
            abi.encodeWithSelector(EventLog.HandoverTooSoon.selector, logId, START + 7 days)
        );
        vm.prank(stranger);
        eventLog.acceptPublisher(logId);
        vm.warp(START + 7 days + 1);
        vm.prank(stranger);
        eventLog.acceptPublisher(logId);
        assertEq(eventLog.publisherOf(logId), stranger);
        assertEq(eventLog.previousPublisherOf(logId), next.addr);
    }

    function test_anOfferCanBeReplacedAndWithdrawn() public {
        vm.startPrank(publisher.addr);
        eventLog.offerPublisher(logId, next.addr);
        eventLog.offerPublisher(logId, stranger);
        vm.stopPrank();
        _expectNotOffered(next.addr);
        vm.prank(publisher.addr);
        eventLog.offerPublisher(logId, address(0));
        _expectNotOffered(stranger);
    }

    function test_anOfferIsTakenOnce() public {
        _handOver(publisher, next);
        vm.warp(START + 8 days);
        _expectNotOffered(next.addr);
    }

    function test_revertIf_theOfferIsNotThePublishers() public {
        vm.expectRevert(abi.encodeWithSelector(EventLog.NotPublisher.selector, logId, stranger));
        vm.prank(stranger);
        eventLog.offerPublisher(logId, stranger);
        _handOver(publisher, next);
        vm.expectRevert(
            abi.encodeWithSelector(EventLog.NotPublisher.selector, logId, publisher.addr)
        );
        vm.prank(publisher.addr);
        eventLog.offerPublisher(logId, publisher.addr);
    }

    function test_revertIf_offeredToThePublisher() public {
        vm.expectRevert(
            abi.encodeWithSelector(EventLog.AlreadyPublisher.selector, logId, publisher.addr)
        );
        vm.prank(publisher.addr);
        eventLog.offerPublisher(logId, publisher.addr);
    }

    function test_revertIf_theLogIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(EventLog.UnknownLog.selector, bytes32("?")));
        eventLog.offerPublisher("?", stranger);
        vm.expectRevert(abi.encodeWithSelector(EventLog.UnknownLog.selector, bytes32("?")));
        vm.prank(address(0));
        eventLog.acceptPublisher("?");
    }

    function _handOver(Account memory from, Account memory to) private {
        vm.prank(from.addr);
        eventLog.offerPublisher(logId, to.addr);
        vm.prank(to.addr);
        eventLog.acceptPublisher(logId);
    }

    function _expectNotOffered(address account) private {
        vm.expectRevert(abi.encodeWithSelector(EventLog.NotOffered.selector, logId, account));
        vm.prank(account);
        eventLog.acceptPublisher(logId);
    }
}
