// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A stranger can open a log of its own, begin it with what it likes, and sign terms with itself
/// that name a verifier that is not its own.
contract UnsignedTest is Fixture {
    function test_aVerifierThatSignedNothingIsNotDisproved() public {
        Evidence evidence = Evidence(escrow.evidence());
        vm.prank(stranger);
        bytes32 log = eventLog.register("stranger.example/log", stranger);
        Terms memory terms = _terms();
        terms.logId = log;
        bytes32 id = _open(terms);
        Entry memory entry;
        (entry.kind, entry.actor) = ("outcome", id);
        bytes32 root = sha256(abi.encodePacked(bytes1(0), abi.encode(entry)));
        vm.prank(stranger);
        eventLog.publish(log, 1, root, new bytes32[](0));

        Exhibit[] memory shown = new Exhibit[](1);
        shown[0] = Exhibit(0, abi.encode(entry), "", new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(Evidence.NotVouchedFor.selector, 0, 0));
        evidence.disprove(escrow, _t(id), "sum", 1, shown, _rivals(0));
        assertFalse(_isRetired(id));
    }
}
