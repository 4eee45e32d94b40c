// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../support/HostileToken.sol";
import {SplitFixture} from "../support/SplitFixture.sol";
import {Checks} from "./Checks.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Share} from "contracts/payout/Shares.sol";
import {Split} from "contracts/payout/Split.sol";

/// Payments to a split and releases from it at random, in a token that blocks payees, pauses and
/// calls back.
contract SplitHandler is SplitFixture {
    HostileToken public odd;
    Split public split;
    uint256 public arrived;
    bool public isStopped;
    Share[] private _all;

    function setUp() public override {
        super.setUp();
        Share[] memory shares = _shares(3_333, 6_667);
        _all.push(shares[0]);
        _all.push(shares[1]);
        split = _create(shares);
        odd = new HostileToken();
        bytes memory data = abi.encodeCall(Split.releaseAll, (IERC20(address(odd))));
        odd.setHook(address(split), data);
    }

    function pay(uint80 amount) external {
        odd.mint(address(split), amount);
        arrived += amount;
    }

    function turn(uint8 mode, uint8 place, bool isBlocked) external {
        odd.setMode(HostileToken.Mode([0, 1, 2, 6][mode % 4]));
        odd.setBlocked(payee(place), isBlocked);
    }

    function release(uint8 place) external {
        uint256 due = split.due(IERC20(address(odd)), payee(place));
        try split.release(IERC20(address(odd)), payee(place)) {}
        catch {
            bool mayRefuse = uint8(odd.mode()) > 1 || odd.blocked(payee(place));
            isStopped = isStopped || (due != 0 && !mayRefuse);
        }
    }

    function releaseTo(uint8 place) external {
        vm.prank(payee(place));
        try split.releaseTo(IERC20(address(odd)), address(this)) {} catch {}
    }

    function releaseAll() external {
        try split.releaseAll(IERC20(address(odd))) {}
        catch {
            isStopped = true;
        }
    }

    function payee(uint256 place) public view returns (address) {
        return _all[place % _all.length].payee;
    }

    function partOf(uint256 place) external view returns (uint256) {
        return arrived * _all[place].bps / 10_000;
    }
}

/// The numbered invariants of splits; see README.md.
/// forge-config: default.invariant.runs = 8
/// forge-config: deep.invariant.runs = 100
contract SplitInvariants is SplitFixture, Checks {
    SplitHandler private handler;

    function setUp() public override {
        super.setUp();
        handler = new SplitHandler();
        handler.setUp();
        bytes4[] memory actions = new bytes4[](6);
        actions[0] = handler.pay.selector;
        actions[1] = handler.turn.selector;
        actions[2] = handler.release.selector;
        actions[3] = handler.releaseTo.selector;
        actions[4] = handler.releaseAll.selector;
        actions[5] = handler.pay.selector; // twice as often
        targetSelector(FuzzSelector({addr: address(handler), selectors: actions}));
        targetContract(address(handler));
    }

    function invariant_split() public {
        _demand("S1", this.check_S1_whatCameIsWhatWentAndWhatIsHeld);
        _demand("S2", this.check_S2_noPayeeGetsMoreThanItsPart);
        _demand("S3", this.check_S3_noPayeeStopsAnother);
    }

    function check_S1_whatCameIsWhatWentAndWhatIsHeld() external view {
        (Split split, HostileToken odd) = (handler.split(), handler.odd());
        IERC20 token_ = IERC20(address(odd));
        uint256 sum =
            split.releasedTo(token_, handler.payee(0)) + split.releasedTo(token_, handler.payee(1));
        assertEq(split.released(token_), sum);
        assertEq(odd.balanceOf(address(split)) + sum, handler.arrived());
    }

    function check_S2_noPayeeGetsMoreThanItsPart() external view {
        Split split = handler.split();
        IERC20 token_ = IERC20(address(handler.odd()));
        for (uint256 i = 0; i < 2; ++i) {
            assertLe(split.releasedTo(token_, handler.payee(i)), handler.partOf(i));
        }
    }

    function check_S3_noPayeeStopsAnother() external view {
        assertFalse(handler.isStopped());
    }
}
