// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EventLog} from "../log/EventLog.sol";
import {OutcomeEscrow} from "./OutcomeEscrow.sol";

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
    /// @dev A checkpoint as the publisher has signed it, with its consistency proof from the last
    /// one that is anchored.
    struct Checkpoint {
        bytes32 logId;
        uint64 size;
        bytes32 root;
        bytes32[] proof;
        bytes signature;
    }

    /// @dev Neighbouring entries about contracts of one group, with their run proof in the
    /// checkpoint and the verifier's signature (see OutcomeEscrow.settle).
    struct Run {
        address token;
        address verifier;
        address feeRecipient;
        uint16 feeBps;
        uint64 first;
        bytes entries;
        bytes32[] proof;
        bytes signature;
    }

    /// The escrow that settles.
    OutcomeEscrow public immutable escrow;
    /// The event log that the escrow reads.
    EventLog public immutable eventLog;

    error NotAContract(address account);

    constructor(OutcomeEscrow escrow_) {
        if (address(escrow_).code.length == 0) revert NotAContract(address(escrow_));
        escrow = escrow_;
        eventLog = escrow_.eventLog();
    }

    /// Anchors a checkpoint, unless this very root is anchored already, and settles runs of
    /// statements under it. Any account may call.
    /// @param checkpoint The checkpoint.
    /// @param runs The runs.
    function settle(Checkpoint calldata checkpoint, Run[] calldata runs) external {
        (bytes32 logId, uint64 size) = (checkpoint.logId, checkpoint.size);
        if (eventLog.rootAt(logId, size) != checkpoint.root) {
            eventLog.publish(logId, size, checkpoint.root, checkpoint.proof, checkpoint.signature);
        }
        for (uint256 i = 0; i < runs.length; ++i) {
            Run calldata run = runs[i];
            escrow.settle(
                OutcomeEscrow.Group({
                    logId: logId,
                    token: run.token,
                    verifier: run.verifier,
                    feeRecipient: run.feeRecipient,
                    feeBps: run.feeBps
                }),
                size,
                run.first,
                run.entries,
                run.proof,
                run.signature
            );
        }
    }
}
