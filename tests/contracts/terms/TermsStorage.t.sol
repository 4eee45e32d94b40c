// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "contracts/terms/Terms.sol";
import {TermsFile} from "contracts/terms/TermsStorage.sol";
import {Test} from "forge-std/Test.sol";

/// Terms are kept as they lie, so whatever they are, they come back word by word.
contract TermsFileTest is Test {
    function testFuzz_readsWhatWasWritten(Terms memory terms, uint256 number) public {
        address file = TermsFile.write(terms, number);
        assertEq(abi.encode(TermsFile.readTerms(file)), abi.encode(terms));
        assertEq(TermsFile.readNumber(file), number);
        assertEq(file.code[0], bytes1(0), "it cannot be run");
        assertEq(file.code.length, 1 + 33 * 32);
    }

    function testFuzz_behindAWord(bytes32 word, Terms memory terms) public pure {
        bytes memory encoded = abi.encode(word, terms);
        assertEq(abi.encode(TermsFile.behindWord(encoded)), abi.encode(terms));
    }

    /// Two files are two: nothing of one is read with the other.
    function testFuzz_filesAreApart(Terms memory a, Terms memory b) public {
        address first = TermsFile.write(a, 1);
        address second = TermsFile.write(b, 2);
        assertEq(abi.encode(TermsFile.readTerms(first)), abi.encode(a));
        assertEq(abi.encode(TermsFile.readTerms(second)), abi.encode(b));
        assertEq(TermsFile.readNumber(first), 1);
        assertEq(TermsFile.readNumber(second), 2);
    }
}
