// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SplitFixture} from "../support/SplitFixture.sol";
import {Meter} from "./Meter.sol";
import {Share} from "contracts/payout/Shares.sol";
import {Split, Splits} from "contracts/payout/Split.sol";

/// Splits, whose payees have the token already.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract SplitGasTest is SplitFixture, Meter {
    address private stranger = makeAddr("stranger");

    function test_gas_split() public {
        _measure(2);
        _measure(32);
    }

    function _measure(uint16 count) private {
        uint16[] memory parts = new uint16[](count);
        for (uint256 i = 1; i < count; ++i) {
            parts[i] = 100;
        }
        parts[0] = 10_000 - (count - 1) * 100;
        Share[] memory shares = _shares(parts);
        for (uint256 i = 0; i < count; ++i) {
            token.mint(shares[i].payee, 1);
        }
        string memory size = string.concat(" of ", vm.toString(count));
        bytes memory data = abi.encodeCall(Splits.create, (shares, SALT, _signatures(shares, SALT)));
        _meter(string.concat("create a split", size), stranger, address(splits), data);

        Split split = splits.splitOf(shares, SALT);
        data = abi.encodeCall(Split.release, (token, shares[count - 1].payee));
        for (uint256 i = 0; i < 2; ++i) {
            string memory when = i == 0 ? ", first time" : ", again";
            token.mint(address(split), 1e6);
            _meter(string.concat("release a part", size, when), stranger, address(split), data);
        }
        data = abi.encodeCall(Split.releaseAll, (token));
        for (uint256 i = 0; i < 2; ++i) {
            string memory when = i == 0 ? ", first time" : ", again";
            token.mint(address(split), 1e6);
            _meter(string.concat("release all parts", size, when), stranger, address(split), data);
        }
        assertEq(token.balanceOf(address(split)), 0);
    }
}
