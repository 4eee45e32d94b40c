// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Keeps write-once data as a contract's code, which costs less than storage for more than a few
/// words. The code starts with a STOP byte, so that nobody can run the data,
/// and code never changes.
library CodeStore {
    error CodeNotStored();

    /// Creation code that returns everything behind itself: PUSH1 11, MSIZE, DUP2, CODESIZE, SUB,
    /// DUP1, SWAP3, MSIZE, CODECOPY, RETURN.
    bytes11 private constant CREATION = hex"600B5981380380925939F3";

    function write(bytes memory data) internal returns (address store) {
        bytes memory code = abi.encodePacked(CREATION, bytes1(0), data);
        assembly ("memory-safe") {
            store := create(0, add(code, 32), mload(code))
        }
        if (store == address(0)) revert CodeNotStored();
    }

    /// Reads `length` bytes from `offset`, which the caller knows to be there.
    function read(address store, uint256 offset, uint256 length)
        internal
        view
        returns (bytes memory data)
    {
        data = new bytes(length);
        assembly ("memory-safe") {
            extcodecopy(store, add(data, 32), add(offset, 1), length)
        }
    }
}
