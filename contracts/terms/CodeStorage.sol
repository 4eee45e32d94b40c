// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Write-once storage in the code of an account
/// @notice Keeps data as code, which costs less than storage for more than a few words.
/// @dev The code begins with a STOP byte, so a call to it does nothing. Code never changes.
library CodeStorage {
    error CodeNotStored();

    /// @dev Creation code that returns all bytes behind itself: PUSH1 11, MSIZE, DUP2, CODESIZE,
    /// SUB, DUP1, SWAP3, MSIZE, CODECOPY, RETURN.
    bytes11 private constant CREATION = hex"600B5981380380925939F3";

    /// Creates an account with `data` as its code, and returns its address.
    function write(bytes memory data) internal returns (address pointer) {
        bytes memory code = abi.encodePacked(CREATION, bytes1(0), data);
        assembly ("memory-safe") {
            pointer := create(0, add(code, 32), mload(code))
        }
        if (pointer == address(0)) revert CodeNotStored();
    }

    /// Returns `length` bytes from `offset` on. It assumes that the caller has written that many:
    /// bytes beyond the end read as zeros.
    function read(address pointer, uint256 offset, uint256 length)
        internal
        view
        returns (bytes memory data)
    {
        data = new bytes(length);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 32), add(offset, 1), length) // + 1: the STOP byte
        }
    }
}
