// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EventLog} from "../log/EventLog.sol";
import {Ledgers} from "./Ledgers.sol";
import {OutcomeEscrow} from "./OutcomeEscrow.sol";
import {Settlements} from "./Settlements.sol";
import {LowLevelCall} from "@openzeppelin/contracts/utils/LowLevelCall.sol";

/// @title Rounds of settlement in one transaction
/// @notice Anchors a checkpoint that the publisher has signed, and settles statements under it.
/// @dev Roles: any account calls. The event log and the escrow check the signatures of publisher
/// and verifiers, as they do where they are called one after the other.
///
/// Assumptions: none beyond those of the event log and of the escrow. A verifier signs before the
/// root is anchored, and its signature names that root. So it is worthless under any other, and
/// where a reorganization drops the anchor it drops the settlements as well.
///
/// Liveness: a checkpoint that another account has anchored meanwhile is no obstacle. After a
/// later one the verifier signs again, under that.
///
/// Limits:
/// - A round happens as a whole or not at all. A run that reverts keeps the others from settling;
///   an entry that the escrow refuses does not.
/// - This contract has no state and no powers, and holds no tokens. Nothing needs it.
contract Rounds {
    /// @dev The arguments of EventLog.publish, in its order: a checkpoint as the publisher has
    /// signed it, with its consistency proof from the last one that is anchored.
    struct Checkpoint {
        bytes32 logId;
        uint64 size;
        bytes32 root;
        bytes32[] proof;
        bytes signature;
    }

    /// @dev The arguments of Settlements.settle, in its order: neighbouring entries about
    /// contracts of one group, as the verifier has signed them.
    struct Run {
        Ledgers.Group group;
        uint64 size;
        uint64 first;
        bytes entries;
        uint256[] rules;
        bytes32[] proof;
        bytes signature;
    }

    /// @dev EventLog.publish by signature; the name alone is overloaded.
    bytes4 private constant PUBLISH =
        bytes4(keccak256("publish(bytes32,uint64,bytes32,bytes32[],bytes)"));

    /// The escrow that settles.
    OutcomeEscrow public immutable escrow;
    /// The event log that the escrow reads.
    EventLog public immutable eventLog;

    error NotAContract(address account);
    error OtherEventLog(address expected, address given);

    constructor(OutcomeEscrow escrow_, EventLog eventLog_) {
        if (address(escrow_).code.length == 0) revert NotAContract(address(escrow_));
        address expected = address(escrow_.eventLog());
        if (expected != address(eventLog_)) revert OtherEventLog(expected, address(eventLog_));
        escrow = escrow_;
        eventLog = eventLog_;
    }

    /// Anchors a checkpoint, unless this very root is anchored already, and then settles runs of
    /// statements. Any account may call.
    /// @param checkpoint The checkpoint.
    /// @param runs The runs, each under this checkpoint or another that is anchored.
    function settle(Checkpoint calldata checkpoint, Run[] calldata runs) external {
        if (!_call(address(eventLog), PUBLISH, _placeOf(checkpoint), checkpoint.signature)) {
            bytes memory reason = LowLevelCall.returnData();
            if (eventLog.rootAt(checkpoint.logId, checkpoint.size) != checkpoint.root) {
                LowLevelCall.bubbleRevert(reason);
            }
        }
        for (uint256 i = 0; i < runs.length; ++i) {
            Run calldata run = runs[i];
            if (!_call(address(escrow), Settlements.settle.selector, _placeOf(run), run.signature))
            {
                LowLevelCall.bubbleRevert();
            }
        }
    }

    /// Returns the place in the calldata where a checkpoint begins.
    function _placeOf(Checkpoint calldata checkpoint) private pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := checkpoint
        }
    }

    /// Returns the place in the calldata where a run begins.
    function _placeOf(Run calldata run) private pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := run
        }
    }

    /// Calls a function with the arguments that stand in the calldata from `begin` to the end of
    /// `last`, and returns whether it succeeded. A struct is encoded as the arguments of a function
    /// are, so nothing has to be read or encoded again; what is malformed the callee refuses.
    function _call(address to, bytes4 selector, uint256 begin, bytes calldata last)
        private
        returns (bool isDone)
    {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, selector)
            let length := sub(add(last.offset, and(add(last.length, 31), not(31))), begin)
            calldatacopy(add(data, 4), begin, length)
            isDone := call(gas(), to, 0, data, add(length, 4), 0, 0)
        }
    }
}
