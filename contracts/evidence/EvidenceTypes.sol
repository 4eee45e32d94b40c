// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A log entry as evidence, with its place in the log and in the tree.
struct Exhibit {
    uint64 position;
    bytes entry; //     256 bytes
    bytes opening; //   the words to whose SHA-256 the payload commits; empty: not shown
    bytes32[] proof; // the RFC 9162 inclusion path
}

/// @dev The opening of a transition, or of one that was refused.
struct TransitionOpening {
    bytes32 fromState;
    uint256 counted; // position of the lead's last outcome or over entry of that state; zero: none
    uint256 receivedMs;
    bytes32 order; // the random word of the order; zero: none
    bytes32 requestHash;
    bytes32 commitment;
}

/// @dev The opening of a product event. Amounts are units of the purchase's value.
struct EventOpening {
    uint256 receivedMs;
    bytes32 order; // as in a transition's opening
    uint256 purchase; // position of the transition that it takes back from; zero: none
    uint256 previous; // position of the event that took back from it before; zero: none
    uint256 refundedBefore; // of the purchase's value, by all events before this one
    uint256 refundedAfter; //  likewise, with this one
    uint256 whole; // one if it takes back all that is left, or else zero
    bytes32 requestHash;
    bytes32 commitment;
}

/// @dev The opening of a touch that was reported.
struct ReportedTouchOpening {
    uint256 cause; // position of the code or of the request that it came from
    uint256 receivedMs;
    bytes32 requestHash;
    bytes32 commitment;
}

/// @dev The opening of a code's issue.
struct CodeOpening {
    uint256 expiresMs; // the last time of a click by it
    bytes32 requestHash;
    bytes32 commitment;
    bytes32 key;
}

/// @dev What an event takes back of an outcome that the verifier has settled.
struct ProvenReversal {
    uint64 happened; // position of the event
    uint64 outcome; //  position of the outcome
    uint256 value; //   amount of the outcome
    uint256 sum; //     sum of the contract's outcomes up to this one, itself included
    uint256 amount; //  amount that this event takes back of it
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
