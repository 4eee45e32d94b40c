// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Proof} from "./Proof.sol";
import {Release} from "contracts/escrow/Release.sol";

/// For every value of their arguments: the arithmetic of payouts is the formulas whose properties
/// scripts/assurance/lemmas.py proves over the integers, and nothing in it leaves 256 bits.
contract ReleaseProofs is Proof {
    uint256 private constant BPS = 10_000;

    /// Over all that was ever paid, the fee is F(x) = floor(x * bps / 10^4).
    function check_feeIsTheShareOfAllThatWasPaid(uint80 paid, uint80 net, uint16 feeBps)
        external
        pure
    {
        vm.assume(paid <= net && feeBps <= BPS);
        uint256 before = uint256(paid) * feeBps / BPS;
        assert(before + Release.feeOf(paid, net, feeBps) == uint256(net) * feeBps / BPS);
    }

    /// A payment in two steps costs the same fee as in one.
    function check_splittingChangesNoFee(uint80 paid, uint80 between, uint80 net, uint16 feeBps)
        external
        pure
    {
        vm.assume(paid <= between && between <= net && feeBps <= BPS);
        uint256 inTwo = Release.feeOf(paid, between, feeBps) + Release.feeOf(between, net, feeBps);
        assert(inTwo == Release.feeOf(paid, net, feeBps));
    }

    /// The held-back amount is H(x) = floor(x * bps / 10^4) of what is young, but of no more than
    /// net.
    function check_heldIsTheShareOfWhatIsYoung(uint80 net, uint80 young, uint16 holdbackBps)
        external
        pure
    {
        vm.assume(holdbackBps <= BPS);
        uint256 counted = young < net ? young : net;
        assert(Release.heldBack(net, young, holdbackBps) == counted * holdbackBps / BPS);
    }

    /// A bucket only leaks, and not without time.
    function check_bucketOnlyLeaks(uint80 level, uint40 elapsed, uint80 cap, uint40 period)
        external
        pure
    {
        vm.assume(period != 0);
        assert(Release.levelAfter(level, elapsed, cap, period) <= level);
        assert(Release.levelAfter(level, 0, cap, period) == level);
    }

    /// A full bucket is empty after a whole period.
    function check_bucketIsEmptyAfterAPeriod(uint80 level, uint80 cap, uint40 period)
        external
        pure
    {
        vm.assume(period != 0 && level <= cap / 2);
        assert(Release.levelAfter(level, period, cap, period) == 0);
    }
}
