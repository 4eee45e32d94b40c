// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// A log entry as evidence: its place, its 256 bytes and its RFC 9162 inclusion path.
struct Exhibit {
    uint64 index;
    bytes entry;
    bytes32[] proof;
}

/// What the payload of a transition commits to: SHA-256 of these five words.
struct Opening {
    bytes32 fromState;
    uint256 nth; //          the lead's how many-th entry into the state, from 1
    uint256 receivedMs;
    bytes32 requestHash;
    bytes32 commitment;
}

/// An outcome that the verifier did not settle and the operator has proven itself.
struct Claim {
    bytes32 lead;
    uint80 amount;
    uint40 transition; //    index of the lead's transition
    uint40 touch; //         index of the operator's touch
    uint64 timeMs; //        of the transition
    bool dropped; //         refuted by the log; it stays so
}
