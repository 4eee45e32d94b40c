// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A payee, and its part of all that a split gets, in basis points.
struct Share {
    address payee;
    uint16 bps;
}

/// @title Shares of a split, as its code holds them
/// @dev A share is 22 bytes there: code costs 200 gas a byte.
library Shares {
    /// The whole, in basis points.
    uint256 internal constant BPS = 10_000;
    uint256 private constant BYTES = 22;

    /// Returns the shares, one behind the other.
    function pack(Share[] memory shares) internal pure returns (bytes memory packed) {
        for (uint256 i = 0; i < shares.length; ++i) {
            packed = abi.encodePacked(packed, shares[i].payee, shares[i].bps);
        }
    }

    /// Returns the shares that stand in `code` from `begin` on.
    function unpack(bytes memory code, uint256 begin)
        internal
        pure
        returns (Share[] memory shares)
    {
        shares = new Share[]((code.length - begin) / BYTES);
        for (uint256 i = 0; i < shares.length; ++i) {
            uint256 word;
            // It may read past the end of `code`, and what it finds there is shifted out.
            assembly ("memory-safe") {
                word := mload(add(add(code, 32), add(begin, mul(i, BYTES))))
            }
            // The shifts leave no more than 160 and 16 bits.
            // forge-lint: disable-next-line(unsafe-typecast)
            shares[i] = Share(address(uint160(word >> 96)), uint16(word >> 80));
        }
    }

    /// Returns the part of `received` that a share is entitled to, rounded down. Over all shares of a
    /// split the parts are never more than `received` (scripts/assurance/lemmas.py), and fewer base
    /// units less than there are payees.
    function partOf(uint256 received, uint256 bps) internal pure returns (uint256) {
        return received * bps / BPS;
    }
}
