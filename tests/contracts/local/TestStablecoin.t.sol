// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestStablecoin} from "contracts/local/TestStablecoin.sol";
import {Test} from "forge-std/Test.sol";

contract TestStablecoinTest is Test {
    function testFuzz_anyoneMints(address to, uint256 amount) public {
        vm.assume(to != address(0));
        TestStablecoin token = new TestStablecoin();
        token.mint(to, amount);
        assertEq(token.balanceOf(to), amount);
        assertEq(token.decimals(), 6);
    }
}
