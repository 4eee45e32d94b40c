// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CodeStore} from "./CodeStorage.sol";
import {Terms} from "./Terms.sol";

/// Keeps a contract's terms and its opening number as code.
///
/// In memory and in the ABI alike, terms are 32 words in the order of their fields. So they are
/// hashed, kept and read back as they lie, without a copy field by field.
library TermsFile {
    uint256 private constant TERMS_BYTES = 32 * 32;

    /// The terms in `encoded`, which is one word and then the ABI encoding of the terms.
    function behindWord(bytes memory encoded) internal pure returns (Terms memory terms) {
        assembly ("memory-safe") {
            terms := add(encoded, 64) // its length, and the word
        }
    }

    function write(Terms memory terms, uint256 opened) internal returns (address file) {
        bytes memory data = new bytes(TERMS_BYTES + 32);
        assembly ("memory-safe") {
            mcopy(add(data, 32), terms, TERMS_BYTES)
            mstore(add(data, add(32, TERMS_BYTES)), opened)
        }
        return CodeStore.write(data);
    }

    function readTerms(address file) internal view returns (Terms memory) {
        bytes memory encoded = CodeStore.read(file, 0, TERMS_BYTES);
        return _asTerms(encoded);
    }

    function readNumber(address file) internal view returns (uint256) {
        return uint256(bytes32(CodeStore.read(file, TERMS_BYTES, 32)));
    }

    function _asTerms(bytes memory encoded) private pure returns (Terms memory terms) {
        assembly ("memory-safe") {
            terms := add(encoded, 32) // its length
        }
    }
}
