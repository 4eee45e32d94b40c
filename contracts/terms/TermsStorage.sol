// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CodeStorage} from "./CodeStorage.sol";
import {Terms} from "./Terms.sol";

/// @title Storage of a contract's terms and opening number
/// @notice Keeps both as the code of an account.
/// @dev In memory and in the ABI alike, terms are 32 words in the order of their fields. They are
/// hashed, written and read as they lie, without a copy field by field.
library TermsStorage {
    uint256 private constant TERMS_BYTES = 32 * 32;

    /// Returns the terms in `encoded`, which is the type hash and then the ABI encoding of the
    /// terms. The terms share the memory of `encoded`.
    function afterTypeHash(bytes memory encoded) internal pure returns (Terms memory terms) {
        assembly ("memory-safe") {
            terms := add(encoded, 64) // behind the length and the type hash
        }
    }

    /// Writes the terms and the opening number, and returns the address of their account.
    function write(Terms memory terms, uint256 openingNumber) internal returns (address pointer) {
        bytes memory data = new bytes(TERMS_BYTES + 32);
        assembly ("memory-safe") {
            mcopy(add(data, 32), terms, TERMS_BYTES)
            mstore(add(data, add(32, TERMS_BYTES)), openingNumber)
        }
        return CodeStorage.write(data);
    }

    /// Returns the terms that `write` has put at `pointer`.
    function readTerms(address pointer) internal view returns (Terms memory) {
        bytes memory encoded = CodeStorage.read(pointer, 0, TERMS_BYTES);
        return _asTerms(encoded);
    }

    /// Returns the opening number that `write` has put at `pointer`.
    function readOpeningNumber(address pointer) internal view returns (uint256) {
        return uint256(bytes32(CodeStorage.read(pointer, TERMS_BYTES, 32)));
    }

    function _asTerms(bytes memory encoded) private pure returns (Terms memory terms) {
        assembly ("memory-safe") {
            terms := add(encoded, 32) // behind the length
        }
    }
}
