// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A log entry as evidence, with its place in the log and in the tree.
struct Exhibit {
    uint64 position;
    bytes entry; //     256 bytes
    bytes32[] proof; // the RFC 9162 inclusion path
}

/// @dev The five words to whose SHA-256 the payload of a transition commits.
struct Opening {
    bytes32 fromState;
    uint256 nth; //          the number of the lead's entry into the state, from 1
    uint256 receivedMs;
    bytes32 requestHash;
    bytes32 commitment;
}

/// @dev An outcome that the verifier did not settle and the operator has proven.
struct Claim {
    bytes32 lead;
    uint80 amount;
    uint40 transition; // position of the lead's transition
    uint40 touch; //      position of the operator's touch
    uint64 timeMs; //     time of the transition
    bool dropped; //      true once the log has refuted it; it stays true
}
