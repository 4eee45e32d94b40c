// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {Vm} from "forge-std/Vm.sol";

/// A leaky bucket slows payouts down, and nothing else.
contract RateCapTest is GuardedFixture {
    uint256 private constant CAP = 172_800; // half of it leaks one unit a second
    uint64 private constant PERIOD = 1 days;

    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _terms();
        (terms.rateCap, terms.ratePeriod) = (CAP, PERIOD);
        terms.revenueShareBps = 1; // any amount can be stated
        terms.feeBps = 333;
        id = _open(terms);
    }

    function _openAs(bytes32 salt) private {
        terms.salt = salt;
        id = _open(terms);
    }

    // ------------------------------------------------------------ to the second and the unit

    function test_halfAtOnceAndThenASecondAUnit() public {
        _state(terms, CAP, 0);
        assertEq(lens.paidOf(_t(id)), CAP / 2);
        assertEq(lens.netOf(_t(id)), CAP);
        assertEq(lens.owed(_t(id)), CAP / 2);
        assertEq(lens.releasable(_t(id)), 0);
        assertEq(lens.releasableAt(_t(id)), START + PERIOD);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 1);
        skip(100);
        assertEq(_release(id), 100);
        skip(PERIOD - 102);
        assertEq(lens.releasableAt(_t(id)), START + PERIOD);
        assertEq(_release(id), CAP / 2 - 102);
        skip(1);
        assertEq(_release(id), 1);
        assertEq(lens.releasableAt(_t(id)), 0);
    }

    function test_anEmptyBucketTakesNoMoreThanHalf() public {
        _state(terms, CAP, 0);
        skip(7 days);
        assertEq(_release(id), CAP / 2);
        _state(terms, 10 * CAP, 0);
        assertEq(lens.paidOf(_t(id)), CAP);
        skip(100 days);
        assertEq(_release(id), CAP / 2);
    }

    function test_lessThanTheBucketHoldsIsNotDelayed() public {
        _state(terms, CAP / 2, 0);
        assertEq(lens.paidOf(_t(id)), CAP / 2);
        skip(PERIOD / 2);
        _state(terms, CAP / 2 + CAP / 4, 0);
        assertEq(lens.owed(_t(id)), 0);
    }

    /// Statements go on meanwhile.
    function test_settlementIsNeverDelayed() public {
        _state(terms, 4 * CAP, 0);
        uint64 position = _state(terms, 8 * CAP, 0);
        assertEq(_lastFinal(id), position);
        assertEq(lens.netOf(_t(id)), 8 * CAP);
        assertEq(lens.paidOf(_t(id)), CAP / 2);
    }

    function test_whatIsTakenBackMeanwhileIsNotPaid() public {
        _state(terms, CAP, 0);
        _state(terms, CAP, CAP / 2 - 5);
        assertEq(lens.owed(_t(id)), 5);
        skip(PERIOD);
        assertEq(_release(id), 5);
        skip(PERIOD);
        assertEq(_release(id), 0);
    }

    function test_theSmallestCap() public {
        (terms.rateCap, terms.ratePeriod) = (2, 10);
        _openAs("small");
        _state(terms, 3, 0);
        assertEq(lens.paidOf(_t(id)), 1);
        skip(9);
        assertEq(_release(id), 0);
        skip(1);
        assertEq(_release(id), 1);
        assertEq(lens.releasableAt(_t(id)), block.timestamp + 10);
    }

    /// Of an odd cap the odd unit is never used.
    function test_anOddCap() public {
        (terms.rateCap, terms.ratePeriod) = (3, 10);
        _openAs("odd");
        _state(terms, 3, 0);
        assertEq(lens.paidOf(_t(id)), 1);
        skip(10);
        assertEq(_release(id), 1);
        skip(10);
        assertEq(_release(id), 1);
    }

    function test_theLargestCap() public {
        (terms.rateCap, terms.ratePeriod) = (type(uint80).max, 1);
        terms.budget = type(uint80).max;
        _fund(owner.addr, terms.budget);
        _openAs("large");
        _state(terms, type(uint80).max, 0);
        assertEq(lens.paidOf(_t(id)), type(uint80).max / 2);
        skip(1);
        assertEq(_release(id), type(uint80).max / 2);
        skip(1);
        assertEq(_release(id), 1);
        assertEq(lens.statusOf(_t(id)), "paid_out");
    }

    // ------------------------------------------------------------ I6: the rolling window

    /// Whenever it is released and however often: no window of a period sees more than the cap.
    function testFuzz_noWindowSeesMoreThanTheCap(
        uint256[24] memory waits,
        uint256 cap,
        uint256 period
    ) public {
        terms.rateCap = bound(cap, 2, BUDGET);
        terms.ratePeriod = uint64(bound(period, 1, 30 days));
        _openAs("fuzz");
        _state(terms, BUDGET, 0);
        uint256[25] memory times;
        uint256[25] memory amounts;
        (times[0], amounts[0]) = (block.timestamp, lens.paidOf(_t(id)));
        for (uint256 i = 1; i < 25; ++i) {
            // Often short waits, sometimes none, sometimes a whole period and a second.
            skip(waits[i - 1] % (waits[i - 1] % 3 == 0 ? terms.ratePeriod + 2 : 1000));
            (times[i], amounts[i]) = (block.timestamp, _release(id));
            uint256 sum;
            for (uint256 j = 0; j <= i; ++j) {
                if (times[j] + terms.ratePeriod >= times[i]) sum += amounts[j];
            }
            assertLe(sum, terms.rateCap, "both ends of the window included");
        }
    }

    /// New statements are no way around it.
    function testFuzz_norByStatements(uint256[12] memory waits, uint256[12] memory more) public {
        uint256[12] memory times;
        uint256[12] memory amounts;
        uint256 earned;
        for (uint256 i = 0; i < 12; ++i) {
            skip(bound(waits[i], 0, PERIOD / 3));
            earned += bound(more[i], 0, CAP);
            uint256 before = lens.paidOf(_t(id));
            _state(terms, earned, 0);
            (times[i], amounts[i]) = (block.timestamp, lens.paidOf(_t(id)) - before);
            uint256 sum;
            for (uint256 j = 0; j <= i; ++j) {
                if (times[j] + PERIOD >= times[i]) sum += amounts[j];
            }
            assertLe(sum, CAP);
        }
    }

    // ------------------------------------------------------------ no caller can starve it

    /// A release that pays nothing leaves no trace, however often it is called.
    function test_emptyReleasesDoNotResetTheClock() public {
        (terms.rateCap, terms.ratePeriod) = (2, 1000);
        _openAs("starve");
        _state(terms, 2, 0);
        for (uint256 i = 1; i < 1000; i += 37) {
            vm.warp(START + i);
            assertEq(_release(id), 0);
        }
        vm.warp(START + 1000);
        assertEq(_release(id), 1);
    }

    /// A release that pays loses less than one unit to rounding, and has paid at least one: a
    /// caller at the worst moments cannot even halve the rate.
    function testFuzz_theWorstMomentsDoNotHalveTheRate(uint256 cap, uint256 period) public {
        terms.rateCap = bound(cap, 2, 1e6);
        terms.ratePeriod = uint64(bound(period, 1, 100));
        _openAs("worst");
        _state(terms, BUDGET, 0);
        uint256 half = terms.rateCap / 2;
        uint256 begin = block.timestamp;
        for (uint256 i = 0; i < 40; ++i) {
            skip(1);
            _release(id);
        }
        uint256 fair = (block.timestamp - begin) * half / terms.ratePeriod;
        assertGe((lens.paidOf(_t(id)) - half) * 2 + 2, fair);
    }

    /// All of it is there when releasableAt says. It counts the bucket in whole units, so it may
    /// name a later second than needed, except directly after a payout.
    function testFuzz_releasableAtIsKept(uint256 cap, uint256 period, uint256 net, uint256 wait)
        public
    {
        terms.rateCap = bound(cap, 2, BUDGET);
        terms.ratePeriod = uint64(bound(period, 1, 3 days));
        _openAs("at");
        uint256 half = terms.rateCap / 2;
        net = bound(net, 1, half < BUDGET / 2 ? 2 * half : BUDGET);
        _state(terms, net, 0);
        wait = wait % 2 == 0 ? 0 : bound(wait, 0, terms.ratePeriod);
        skip(wait);
        uint256 due = lens.releasableAt(_t(id));
        if (due == 0) {
            assertEq(lens.owed(_t(id)), 0);
            return;
        }
        assertGe(due, block.timestamp);
        if (due > block.timestamp) {
            vm.warp(due - 1);
            if (wait == 0) {
                assertLt(lens.releasable(_t(id)), lens.owed(_t(id)), "nor a second earlier");
            }
            vm.warp(due);
        }
        assertEq(_release(id), net - half);
        assertEq(lens.owed(_t(id)), 0);
    }

    // ------------------------------------------------------------ fees: splitting changes nothing

    // I11
    function testFuzz_splittingChangesNothing(uint256[10] memory waits, uint16 feeBps) public {
        terms.feeBps = uint16(bound(feeBps, 0, 10_000));
        _openAs("split");
        uint256 net = CAP - 7;
        _state(terms, net, 0);
        for (uint256 i = 0; i < 10; ++i) {
            skip(bound(waits[i], 0, PERIOD / 20));
            _release(id);
            _assertFees();
        }
        skip(PERIOD);
        _release(id);
        assertEq(lens.paidOf(_t(id)), net);
        _assertFees();
    }

    /// Unit by unit, with the fee of each rounded down to nothing: the sum is as if paid at once.
    function test_paidByTheUnit() public {
        (terms.rateCap, terms.ratePeriod, terms.feeBps) = (2, 1, 2500);
        _openAs("units");
        _state(terms, 9, 0);
        for (uint256 i = 2; i <= 9; ++i) {
            skip(1);
            assertEq(_release(id), 1);
            assertEq(lens.paidOf(_t(id)), i);
            _assertFees();
        }
        assertEq(token.balanceOf(payee), 7);
        assertEq(escrow.creditOf(address(token), feeRecipient), 2);
    }

    function test_aFeeOfAll() public {
        (terms.rateCap, terms.ratePeriod, terms.feeBps) = (2, 1, 10_000);
        _openAs("all");
        _state(terms, 2, 0);
        skip(1);
        assertEq(_release(id), 1);
        assertEq(token.balanceOf(payee), 0);
        assertEq(escrow.creditOf(address(token), payee), 0);
    }

    function _assertFees() private view {
        uint256 paid = lens.paidOf(_t(id));
        uint256 fee = paid * terms.feeBps / 10_000;
        assertEq(escrow.creditOf(address(token), feeRecipient), fee);
        assertEq(token.balanceOf(payee), paid - fee);
    }

    // ------------------------------------------------------------ beside everything else

    function test_besideAHoldback() public {
        (terms.holdbackBps, terms.holdbackPeriod) = (5000, 3 days);
        _openAs("held");
        _state(terms, CAP, 0);
        assertEq(lens.paidOf(_t(id)), CAP / 2);
        assertEq(lens.releasableAt(_t(id)), START + 4 days);
        skip(4 days - 1);
        assertEq(_release(id), 0, "the bucket is empty, but it is held back");
        skip(1);
        assertEq(_release(id), CAP / 2);
    }

    /// A held-back amount comes into the bucket only then.
    function test_besideAHoldbackOfMoreThanTheBucketHolds() public {
        (terms.holdbackBps, terms.holdbackPeriod) = (10_000, 3 days);
        _openAs("all");
        _state(terms, CAP, 0);
        assertEq(lens.releasableAt(_t(id)), START + 4 days + PERIOD);
        skip(4 days);
        assertEq(lens.releasableAt(_t(id)), START + 4 days + PERIOD);
        assertEq(_release(id), CAP / 2);
        skip(PERIOD - 1);
        assertEq(_release(id), CAP / 2 - 1);
        skip(1);
        assertEq(_release(id), 1);
    }

    /// And what was not is not all through by then.
    function test_besideAHoldbackThatEndsWhileTheBucketLeaks() public {
        (terms.holdbackBps, terms.holdbackPeriod, terms.lateness) = (5000, PERIOD / 2, 0);
        _openAs("leaks");
        _state(terms, 2 * CAP, 0); // half of the cap is paid, as much waits, and twice that is held
        assertEq(lens.paidOf(_t(id)), CAP / 2);
        assertEq(lens.releasableAt(_t(id)), START + 3 * PERIOD);
        for (uint256 i = 1; i < 6; ++i) {
            skip(PERIOD / 2);
            assertEq(_release(id), CAP / 4);
        }
        skip(PERIOD / 2 - 1);
        assertEq(_release(id), CAP / 4 - 1);
        skip(1);
        assertEq(_release(id), 1);
        assertEq(lens.owed(_t(id)), 0);
    }

    /// A caller that releases now, when the holdback ends, at least once in every period, and when
    /// releasableAt says, has all that is owed now by then, but for a unit for each release that
    /// paid on the way.
    function testFuzz_releasableAtIsKeptBesideAHoldback(
        uint256[3] memory more,
        uint256[3] memory waits,
        uint256 seed
    ) public {
        terms.rateCap = bound(seed, 2, seed % 3 == 0 ? 20 : BUDGET / 4);
        terms.ratePeriod = uint64(bound(seed >> 8, 12 hours, 3 days));
        terms.holdbackBps = seed % 5 == 0 ? 10_000 : uint16(bound(seed >> 16, 1, 10_000));
        terms.holdbackPeriod = uint64(bound(seed >> 24, 0, 6 days));
        _openAs("both");
        uint256 half = terms.rateCap / 2;
        uint256 earned;
        for (uint256 i = 0; i < 3; ++i) {
            skip(bound(waits[i], 0, 3 days));
            earned += bound(more[i], 0, 3 * half);
            _state(terms, earned, 0);
        }
        uint256 due = lens.releasableAt(_t(id));
        uint256 left = lens.owed(_t(id));
        assertEq(due == 0, left == 0);
        uint256 free = block.timestamp + terms.holdbackPeriod + terms.lateness;
        uint256 onTheWay;
        while (block.timestamp < due) {
            if (_release(id) != 0) ++onTheWay;
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 next = block.timestamp + bound(seed, 1, terms.ratePeriod);
            if (block.timestamp < free) next = Math.min(next, free);
            vm.warp(Math.min(due, next));
        }
        _release(id);
        assertLe(lens.owed(_t(id)), onTheWay, "a unit each");
        for (; onTheWay != 0; --onTheWay) {
            skip(terms.ratePeriod);
            _release(id);
        }
        assertEq(lens.owed(_t(id)), 0, "and each unit within a period");
    }

    /// The later of the two.
    function test_besideAShortHoldback() public {
        (terms.holdbackBps, terms.holdbackPeriod, terms.lateness) = (5000, 100, 0);
        _openAs("short");
        _state(terms, CAP, 0);
        assertEq(lens.releasableAt(_t(id)), START + PERIOD);
        skip(100);
        assertEq(_release(id), 100);
    }

    /// An amount that the cap delays is reserved, for as long as it takes.
    function test_whatIsDelayedIsReserved() public {
        vm.warp(_t2(terms));
        _state(terms, CAP, 0);
        skip(1);
        uint256 before = token.balanceOf(owner.addr);
        escrow.refund(_t(id));
        assertEq(token.balanceOf(owner.addr) - before, BUDGET - CAP);
        assertEq(_release(id), 1);
        assertEq(lens.statusOf(_t(id)), "releasing");
        skip(PERIOD);
        assertEq(_release(id), CAP / 2 - 1);
        assertEq(lens.statusOf(_t(id)), "refunded");
        assertEq(_heldFor(), 0);
    }

    /// A new contract has a bucket of its own.
    function test_bucketsAreApart() public {
        _state(terms, CAP, 0);
        _openAs("second");
        _state(terms, CAP, 0);
        assertEq(lens.paidOf(_t(id)), CAP / 2);
    }

    function test_aFullBucketPaysNothingAndSaysSo() public {
        _state(terms, CAP, 0);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 2 * CAP, 0)));
        vm.recordLogs();
        _settle(batch);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 2, "and no more");
        assertEq(logs[0].topics[0], Settlements.Settled.selector);
        assertEq(logs[1].topics[0], Payments.Final.selector);
        assertEq(lens.paidOf(_t(id)), CAP / 2);
    }
}
