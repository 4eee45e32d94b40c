// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The arithmetic of a payout: fee, holdback and rate cap. Amounts have 80 bits and times 40, so
/// nothing here leaves 256 bits.
library Release {
    uint256 internal constant BPS = 10_000;

    /// The fee on what a contract brings from `paid` to `net`: on all that was ever paid, so that
    /// splitting payments changes nothing.
    function feeOf(uint256 paid, uint256 net, uint256 feeBps) internal pure returns (uint256) {
        unchecked {
            return net * feeBps / BPS - paid * feeBps / BPS;
        }
    }

    /// What of `net` is held back, if `young` was earned too recently to be safe from reversals.
    function heldOf(uint256 net, uint256 young, uint256 holdbackBps)
        internal
        pure
        returns (uint256)
    {
        return (young < net ? young : net) * holdbackBps / BPS;
    }

    /// What is left in a leaky bucket after `elapsed` seconds. It holds half of the cap and leaks
    /// as much in a period, so no rolling period sees more than the cap.
    function leaked(uint256 level, uint256 elapsed, uint256 cap, uint256 period)
        internal
        pure
        returns (uint256)
    {
        uint256 leak = elapsed * (cap / 2) / period;
        return leak < level ? level - leak : 0;
    }
}
