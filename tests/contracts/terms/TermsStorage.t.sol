// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "contracts/terms/Terms.sol";
import {TermsStorage} from "contracts/terms/TermsStorage.sol";
import {Test} from "forge-std/Test.sol";

/// Terms are kept as they lie, so whatever they are, they come back word by word.
contract TermsStorageTest is Test {
    function testFuzz_readsWhatWasWritten(Terms memory terms, uint256 number) public {
        address file = TermsStorage.write(terms, number);
        assertEq(abi.encode(TermsStorage.readTerms(file)), abi.encode(terms));
        assertEq(TermsStorage.readOpeningNumber(file), number);
        assertEq(file.code[0], bytes1(0), "it cannot be run");
        assertEq(file.code.length, 1 + 33 * 32);
    }

    function testFuzz_behindAWord(bytes32 word, Terms memory terms) public pure {
        bytes memory encoded = abi.encode(word, terms);
        assertEq(abi.encode(TermsStorage.afterTypeHash(encoded)), abi.encode(terms));
    }

    /// Two stored terms are two: nothing of one is read with the other.
    function testFuzz_filesAreApart(Terms memory a, Terms memory b) public {
        address first = TermsStorage.write(a, 1);
        address second = TermsStorage.write(b, 2);
        assertEq(abi.encode(TermsStorage.readTerms(first)), abi.encode(a));
        assertEq(abi.encode(TermsStorage.readTerms(second)), abi.encode(b));
        assertEq(TermsStorage.readOpeningNumber(first), 1);
        assertEq(TermsStorage.readOpeningNumber(second), 2);
    }
}
