// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

/// Whole-transaction gas of single calls, kept by name in the snapshots beside this folder. A test
/// that uses it runs isolated, so that every call from the test is a transaction of its own: it pays
/// 21,000 and its calldata, finds everything cold, and pays EIP-7623's floor where that is more.
abstract contract Meter is Test {
    uint256 internal constant TX_GAS_LIMIT = 16_777_216; // EIP-7825

    /// Calls as `caller`, keeps the gas under `name`, and beside it the floor for the calldata.
    function _meter(string memory name, address caller, address to, bytes memory data)
        internal
        returns (uint256 gas)
    {
        vm.prank(caller);
        (bool isDone, bytes memory answer) = to.call(data);
        if (!isDone) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        gas = vm.snapshotGasLastCall("gas", name);
        uint256 floor = _calldataFloor(data);
        vm.snapshotValue("calldata_floor", name, floor);
        assertGe(gas, floor, name);
        assertLt(gas, TX_GAS_LIMIT, name);
    }

    /// The same, no more than `target`.
    function _meter(
        string memory name,
        address caller,
        address to,
        bytes memory data,
        uint256 target
    ) internal {
        assertLe(_meter(name, caller, to, data), target, name);
    }

    /// 21,000 and 10 gas a token: 1 for a zero byte, 4 for any other (EIP-7623).
    function _calldataFloor(bytes memory data) internal pure returns (uint256 gas) {
        gas = 21_000;
        for (uint256 i = 0; i < data.length; ++i) {
            gas += data[i] == 0 ? 10 : 40;
        }
    }
}
