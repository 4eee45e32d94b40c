// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The payload of an outcome and of a reversal, which have one layout; high bits first: target u40,
/// cause u40, prev u40, n u40, sum u80, 0 u16.
struct Link {
    uint256 target; //  index of the transition; of a reversal: of the outcome it takes back
    uint256 cause; //   index of the touch; of a reversal: of the event
    uint256 prev; //    index of the contract's last entry of this kind; zero: none
    uint256 n; //       the contract's how many-th entry of this kind, from 1
    uint256 sum; //     of their amounts, this one's included
    uint256 padding; // zero
}

/// The payload of a settlement; high bits first: earned u80, reversed u80, lastOutcome u48,
/// lastReversal u48.
struct Statement {
    uint256 earned;
    uint256 reversed;
    uint256 lastOutcome; //  index; zero: none
    uint256 lastReversal; // index; zero: none
}

/// @title What the packed payloads of log entries say
/// @notice Every word unpacks to something: payloads are the publisher's, and hostile.
library Payloads {
    function link(bytes32 payload) internal pure returns (Link memory) {
        uint256 word = uint256(payload);
        return Link({
            target: word >> 216,
            cause: word >> 176 & type(uint40).max,
            prev: word >> 136 & type(uint40).max,
            n: word >> 96 & type(uint40).max,
            sum: word >> 16 & type(uint80).max,
            padding: word & type(uint16).max
        });
    }

    function statement(bytes32 payload) internal pure returns (Statement memory) {
        uint256 word = uint256(payload);
        return Statement({
            earned: word >> 176,
            reversed: word >> 96 & type(uint80).max,
            lastOutcome: word >> 48 & type(uint48).max,
            lastReversal: word & type(uint48).max
        });
    }
}
