// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

/// Runs the checks of several invariants in one campaign, each apart from the others.
abstract contract Checks is Test {
    /// Fails under the invariant's number if the check does.
    function _demand(string memory number, function() external check) internal {
        try check() {}
        catch (bytes memory reason) {
            revert(string.concat(number, ": ", _text(reason)));
        }
    }

    /// The same for a check that changes something, which no other check and no later call may meet.
    function _demandAside(string memory number, function() external check) internal {
        uint256 before = vm.snapshotState();
        _demand(number, check);
        vm.revertToStateAndDelete(before);
    }

    /// Returns the words of an assertion that failed, and any other reason in hexadecimal.
    function _text(bytes memory reason) private pure returns (string memory) {
        bytes4 kind = bytes4(reason);
        if (
            kind != bytes4(keccak256("Error(string)"))
                && kind != bytes4(keccak256("CheatcodeError(string)"))
        ) {
            return vm.toString(reason);
        }
        bytes memory words = new bytes(reason.length - 4);
        for (uint256 i = 0; i < words.length; ++i) {
            words[i] = reason[i + 4];
        }
        return abi.decode(words, (string));
    }
}
