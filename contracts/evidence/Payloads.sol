// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The payload of an outcome and of a reversal, which have one layout. From the high bits
/// down: target u40, cause u40, prev u40, n u40, sum u80, 0 u16.
struct OutcomePayload {
    uint256 target; //  the position of the transition; in a reversal: of the outcome it takes back
    uint256 cause; //   the position of the touch; in a reversal: of the event
    uint256 prev; //    the position of the contract's entry of this kind before; zero: none
    uint256 n; //       the number of the entry among the contract's entries of this kind, from 1
    uint256 sum; //     the sum of the amounts of these entries, this one included
    uint256 padding; // zero
}

/// @dev The payload of a settlement. From the high bits down: earned u80, reversed u80, lastOutcome
/// u48, lastReversal u48.
struct SettlementPayload {
    uint256 earned;
    uint256 reversed;
    uint256 lastOutcome; //  position; zero: none
    uint256 lastReversal; // position; zero: none
}

/// @title Packed payloads of log entries
/// @notice Unpacks payloads, for all contracts.
/// @dev Limits: any word unpacks to some values. The publisher writes payloads, so callers check
/// what they read.
library Payloads {
    /// Unpacks the payload of an outcome or a reversal.
    function decodeOutcome(bytes32 payload) internal pure returns (OutcomePayload memory) {
        uint256 word = uint256(payload);
        return OutcomePayload({
            target: word >> 216,
            cause: word >> 176 & type(uint40).max,
            prev: word >> 136 & type(uint40).max,
            n: word >> 96 & type(uint40).max,
            sum: word >> 16 & type(uint80).max,
            padding: word & type(uint16).max
        });
    }

    /// Unpacks the payload of a settlement.
    function decodeSettlement(bytes32 payload) internal pure returns (SettlementPayload memory) {
        uint256 word = uint256(payload);
        (uint256 earned, uint256 reversed) = totals(payload);
        return SettlementPayload({
            earned: earned,
            reversed: reversed,
            lastOutcome: word >> 48 & type(uint48).max,
            lastReversal: word & type(uint48).max
        });
    }

    /// Unpacks the two totals of a settlement alone.
    function totals(bytes32 payload) internal pure returns (uint256 earned, uint256 reversed) {
        uint256 word = uint256(payload);
        return (word >> 176, word >> 96 & type(uint80).max);
    }
}
