// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CodeStorage} from "contracts/terms/CodeStorage.sol";
import {Test} from "forge-std/Test.sol";

contract CodeStorageTest is Test {
    function write(bytes calldata data) external returns (address) {
        return CodeStorage.write(data);
    }

    function testFuzz_readsWhatWasWritten(bytes calldata data) public {
        address store = this.write(data);
        assertEq(CodeStorage.read(store, 0, data.length), data);
    }

    /// Whatever the data: a call runs into STOP at once.
    function testFuzz_theDataCannotBeRun(bytes calldata data) public {
        address store = this.write(data);
        assertEq(store.code[0], bytes1(0));
        (bool success, bytes memory answer) = store.call("");
        assertTrue(success);
        assertEq(answer.length, 0);
    }

    function test_revertIf_theCodeCannotBeStored() public {
        bytes memory data = new bytes(1024); // 200 gas a byte
        vm.expectRevert(CodeStorage.CodeNotStored.selector);
        this.write{gas: 100_000}(data);
    }
}
