// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Arithmetic of a payout
/// @notice Computes the fee, the holdback and the rate cap.
/// @dev Assumptions: amounts have 80 bits, times 40 and basis points 14, so no product leaves 256
/// bits.
library Release {
    uint256 internal constant BPS = 10_000;

    /// Returns the fee on a payment that raises the paid amount from `paid` to `net`. The fee is
    /// rounded on the cumulative amount, so splitting a payment does not change it.
    function feeOf(uint256 paid, uint256 net, uint256 feeBps) internal pure returns (uint256) {
        // It cannot underflow: `paid` never exceeds `net`, and the division is monotonic.
        unchecked {
            return net * feeBps / BPS - paid * feeBps / BPS;
        }
    }

    /// Returns the part of `net` that is held back. `recent` is the amount earned too recently to
    /// be safe from reversals.
    function heldBack(uint256 net, uint256 recent, uint256 holdbackBps)
        internal
        pure
        returns (uint256)
    {
        return (recent < net ? recent : net) * holdbackBps / BPS;
    }

    /// Returns the level of the rate cap's leaky bucket after `elapsed` seconds. The bucket holds
    /// half of the cap and leaks the same amount in a period, so no rolling period pays more than
    /// the cap.
    function levelAfter(uint256 level, uint256 elapsed, uint256 cap, uint256 period)
        internal
        pure
        returns (uint256)
    {
        uint256 leak = elapsed * (cap / 2) / period;
        return leak < level ? level - leak : 0;
    }
}
