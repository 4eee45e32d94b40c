// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Release} from "contracts/escrow/Release.sol";
import {Test} from "forge-std/Test.sol";

/// The arithmetic of a payout against its specification, for every amount and time there is.
contract ReleaseTest is Test {
    function testFuzz_feesOfPartsAreTheFeeOfTheWhole(uint80[5] memory steps, uint16 feeBps)
        public
        pure
    {
        feeBps = uint16(bound(feeBps, 0, 10_000));
        uint256 paid;
        uint256 fees;
        for (uint256 i = 0; i < steps.length; ++i) {
            uint256 net = paid + steps[i];
            uint256 fee = Release.feeOf(paid, net, feeBps);
            assertLe(fee, net - paid, "no more than what is paid");
            (fees, paid) = (fees + fee, net);
        }
        assertEq(fees, paid * feeBps / 10_000);
    }

    function testFuzz_theHoldbackIsAShareOfWhatIsYoung(uint80 net, uint80 young, uint16 bps)
        public
        pure
    {
        bps = uint16(bound(bps, 0, 10_000));
        uint256 held = Release.heldBack(net, young, bps);
        assertLe(held, net);
        assertLe(held, young);
        assertEq(held, uint256(young < net ? young : net) * bps / 10_000);
    }

    function test_heldToTheUnit() public pure {
        assertEq(Release.heldBack(10, 10, 10_000), 10);
        assertEq(Release.heldBack(10, 3, 10_000), 3);
        assertEq(Release.heldBack(3, 10, 10_000), 3);
        assertEq(Release.heldBack(10, 10, 999), 0);
        assertEq(Release.heldBack(10, 10, 1000), 1);
        assertEq(Release.heldBack(10, 0, 10_000), 0);
    }

    function test_leakedToTheUnit() public pure {
        assertEq(Release.levelAfter(50, 0, 100, 10), 50);
        assertEq(Release.levelAfter(50, 1, 100, 10), 45);
        assertEq(Release.levelAfter(50, 9, 100, 10), 5);
        assertEq(Release.levelAfter(50, 10, 100, 10), 0);
        assertEq(Release.levelAfter(50, 11, 100, 10), 0);
        assertEq(Release.levelAfter(1, 9, 3, 10), 1, "less than a unit leaks nothing");
        assertEq(Release.levelAfter(1, 10, 3, 10), 0);
    }

    /// A caller that looks twice sees no less in the bucket than one that looks once.
    function testFuzz_lookingLeaksNothing(
        uint80 level,
        uint32 first,
        uint32 second,
        uint80 cap,
        uint40 period
    ) public pure {
        cap = uint80(bound(cap, 2, type(uint80).max));
        period = uint40(bound(period, 1, type(uint40).max));
        level = uint80(bound(level, 0, cap / 2));
        uint256 once = Release.levelAfter(level, uint256(first) + second, cap, period);
        uint256 twice =
            Release.levelAfter(Release.levelAfter(level, first, cap, period), second, cap, period);
        assertGe(twice, once);
        assertLe(twice, once + 1);
        assertEq(Release.levelAfter(level, period, cap, period), 0, "empty after a period");
    }
}
