// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../support/HostileToken.sol";
import {SplitFixture} from "../support/SplitFixture.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Share} from "contracts/payout/Shares.sol";
import {Split} from "contracts/payout/Split.sol";

/// What a split pays, and to whom.
contract SplitTest is SplitFixture {
    Split private split;
    address private first;
    address private second;
    address private elsewhere = makeAddr("elsewhere");

    function setUp() public override {
        super.setUp();
        Share[] memory shares = _shares(6_000, 4_000);
        (first, second) = (shares[0].payee, shares[1].payee);
        // Tokens wait at an address where nothing is yet.
        split = splits.splitOf(shares, SALT);
        token.mint(address(split), 1_000);
        _create(shares);
    }

    function test_anyAccountHasAPayeePaid() public {
        assertEq(split.due(token, first), 600);
        vm.expectEmit(address(split));
        emit Split.Released(address(token), first, first, 600);
        vm.prank(makeAddr("stranger"));
        split.release(token, first);
        assertEq(token.balanceOf(first), 600);
        assertEq(split.released(token), 600);
        assertEq(split.releasedTo(token, first), 600);
        assertEq(split.due(token, first), 0);
        assertEq(split.due(token, second), 400);
    }

    function test_theOrderOfReleasesChangesNothing() public {
        split.release(token, second);
        token.mint(address(split), 1_000);
        split.release(token, first);
        assertEq(token.balanceOf(first), 1_200);
        split.release(token, second);
        assertEq(token.balanceOf(second), 800);
        assertEq(token.balanceOf(address(split)), 0);
    }

    function test_releaseAllPaysEveryPayee() public {
        assertEq(split.releaseAll(token), 1_000);
        assertEq(token.balanceOf(first), 600);
        assertEq(token.balanceOf(second), 400);
        vm.recordLogs();
        assertEq(split.releaseAll(token), 0);
        assertEq(vm.getRecordedLogs().length, 0, "nothing is sent to whom nothing is due");
    }

    function test_aPayeeSendsItsPartElsewhere() public {
        vm.expectEmit(address(split));
        emit Split.Released(address(token), first, elsewhere, 600);
        vm.prank(first);
        split.releaseTo(token, elsewhere);
        assertEq(token.balanceOf(elsewhere), 600);
        assertEq(split.releasedTo(token, first), 600);
    }

    function test_whatIsLeftOverCountsAgain() public {
        split.releaseAll(token);
        token.mint(address(split), 1);
        assertEq(split.releaseAll(token), 0); // 600.6 and 400.4
        assertEq(token.balanceOf(address(split)), 1);
        token.mint(address(split), 4);
        assertEq(split.releaseAll(token), 5); // 603 and 402
        assertEq(token.balanceOf(first), 603);
        assertEq(token.balanceOf(second), 402);
    }

    function test_tokensAreCountedApart() public {
        HostileToken other = new HostileToken();
        other.mint(address(split), 50);
        assertEq(split.due(IERC20(address(other)), second), 20);
        split.releaseAll(token);
        assertEq(split.due(IERC20(address(other)), second), 20);
    }

    function test_revertIf_nothingIsDue() public {
        split.release(token, first);
        vm.expectRevert(abi.encodeWithSelector(Split.NothingDue.selector, address(token), first));
        split.release(token, first);
    }

    function test_revertIf_theAccountIsNoPayee() public {
        bytes memory reason = abi.encodeWithSelector(Split.NotAPayee.selector, elsewhere);
        vm.expectRevert(reason);
        split.release(token, elsewhere);
        vm.expectRevert(reason);
        split.due(token, elsewhere);
        vm.prank(elsewhere);
        vm.expectRevert(reason);
        split.releaseTo(token, elsewhere);
    }

    function test_revertIf_theRecipientIsNone() public {
        address[2] memory none = [address(0), address(split)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(first);
            vm.expectRevert(abi.encodeWithSelector(Split.InvalidRecipient.selector, none[i]));
            split.releaseTo(token, none[i]);
        }
    }

    function test_revertIf_etherIsSent() public {
        vm.deal(address(this), 1);
        (bool isSent,) = address(split).call{value: 1}("");
        assertFalse(isSent);
    }

    function test_theImplementationHasNoShares() public {
        Split implementation = splits.implementation();
        vm.expectRevert(Split.NoShares.selector);
        implementation.shares();
        vm.expectRevert(Split.NoShares.selector);
        implementation.releaseAll(token);
    }

    // ------------------------------------------------------------ tokens

    function test_aBlockedPayeeStopsNoOther() public {
        HostileToken hostile = _hostile();
        hostile.setBlocked(first, true);
        assertEq(split.releaseAll(IERC20(address(hostile))), 400);
        assertEq(hostile.balanceOf(second), 400);
        assertEq(split.due(IERC20(address(hostile)), first), 600);

        vm.expectRevert(
            abi.encodeWithSelector(Split.TransferFailed.selector, address(hostile), first, 600)
        );
        split.release(IERC20(address(hostile)), first);

        vm.prank(first);
        split.releaseTo(IERC20(address(hostile)), elsewhere);
        assertEq(hostile.balanceOf(elsewhere), 600);
    }

    function test_aTokenMayAnswerNothing() public {
        HostileToken hostile = _hostile();
        hostile.setMode(HostileToken.Mode.ReturnsNothing);
        assertEq(split.releaseAll(IERC20(address(hostile))), 1_000);
        assertEq(hostile.balanceOf(first), 600);
    }

    function test_aRefusedTransferChangesNothing() public {
        HostileToken hostile = _hostile();
        HostileToken.Mode[2] memory modes =
            [HostileToken.Mode.ReturnsFalse, HostileToken.Mode.Paused];
        for (uint256 i = 0; i < 2; ++i) {
            hostile.setMode(modes[i]);
            assertEq(split.releaseAll(IERC20(address(hostile))), 0);
            assertEq(split.released(IERC20(address(hostile))), 0);
        }
        hostile.setMode(HostileToken.Mode.Honest);
        assertEq(split.releaseAll(IERC20(address(hostile))), 1_000);
    }

    /// A token that has taken some away leaves less for all, and nothing for who has its part.
    function test_aTokenThatTakesAwayStopsNothing() public {
        HostileToken hostile = _hostile();
        hostile.setMode(HostileToken.Mode.TakesMore);
        split.release(IERC20(address(hostile)), first); // 600, and 6 more
        hostile.setMode(HostileToken.Mode.Honest);
        assertEq(split.due(IERC20(address(hostile)), first), 0); // of 994
        split.release(IERC20(address(hostile)), second); // 397.6, of which 394 are there
        assertEq(hostile.balanceOf(second), 394);
    }

    function test_aTokenThatCallsBackGetsNothingTwice() public {
        HostileToken hostile = _hostile();
        bytes[4] memory calls = [
            abi.encodeCall(Split.release, (IERC20(address(hostile)), second)),
            abi.encodeCall(Split.releaseAll, (IERC20(address(hostile)))),
            abi.encodeCall(Split.releaseTo, (IERC20(address(hostile)), elsewhere)),
            abi.encodeCall(Split.due, (IERC20(address(hostile)), second))
        ];
        bytes4 reason = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        for (uint256 i = 0; i < calls.length; ++i) {
            hostile.mint(address(split), 1_000);
            hostile.setHook(address(this), abi.encodeCall(this.callBack, (calls[i], reason)));
            split.release(IERC20(address(hostile)), first);
            assertTrue(hostile.hookResult(), "it was let in");
        }
        // It is closed within a call alone.
        hostile.setHook(address(0), "");
        split.release(IERC20(address(hostile)), second);
        assertEq(hostile.balanceOf(address(split)), 0);
    }

    /// Calls the split, which must refuse for this reason.
    function callBack(bytes calldata data, bytes4 reason) external {
        (bool isDone, bytes memory answer) = address(split).call(data);
        assertFalse(isDone);
        assertEq(bytes4(answer), reason);
    }

    function _hostile() private returns (HostileToken hostile) {
        hostile = new HostileToken();
        hostile.mint(address(split), 1_000);
    }

    // ------------------------------------------------------------ every sum

    /// Whatever arrives, in whatever order payees are paid: each has its part, and all parts together
    /// are what arrived, but for fewer base units than there are payees.
    /// forge-config: deep.fuzz.runs = 1000
    function testFuzz_everySumIsExact(uint256 seed, uint8 count, uint96[8] memory arrivals) public {
        Share[] memory shares = _shares(_parts(seed, bound(count, 1, splits.MAX_PAYEES())));
        split = _create(shares);
        uint256 received = 0;
        for (uint256 i = 0; i < arrivals.length; ++i) {
            token.mint(address(split), arrivals[i]);
            received += arrivals[i];
            address payee = shares[uint256(keccak256(abi.encode(seed, i))) % shares.length].payee;
            if (split.due(token, payee) != 0) split.release(token, payee);
            if (arrivals[i] % 3 == 0) split.releaseAll(token);
        }
        split.releaseAll(token);
        uint256 sum = 0;
        for (uint256 i = 0; i < shares.length; ++i) {
            uint256 part = token.balanceOf(shares[i].payee);
            assertEq(part, received * shares[i].bps / 10_000);
            sum += part;
        }
        assertEq(sum, split.released(token));
        assertEq(sum + token.balanceOf(address(split)), received);
        assertLt(token.balanceOf(address(split)), shares.length);
    }

    /// Returns parts that add to the whole, each at least one.
    function _parts(uint256 seed, uint256 count) private pure returns (uint16[] memory parts) {
        parts = new uint16[](count);
        uint256 left = 10_000 - count;
        for (uint256 i = 0; i < count; ++i) {
            uint256 more = i == count - 1
                ? left
                : uint256(keccak256(abi.encode(seed, "part", i))) % (left + 1);
            // forge-lint: disable-next-line(unsafe-typecast)
            parts[i] = uint16(1 + more);
            left -= more;
        }
    }
}
