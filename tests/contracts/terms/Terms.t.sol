// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {Terms, TypeHashes} from "contracts/terms/Terms.sol";

contract TermsTest is Fixture {
    function test_typeHashes_areThoseOfTheTypes() public pure {
        assertEq(TypeHashes.TERMS, vm.eip712HashType(TERMS_TYPE));
        assertEq(TypeHashes.VERIFIED, vm.eip712HashType(VERIFIED_TYPE));
        assertEq(TypeHashes.CHECKPOINT, vm.eip712HashType(CHECKPOINT_TYPE));
        assertEq(TypeHashes.WITHDRAWAL, vm.eip712HashType(WITHDRAWAL_TYPE));
        assertEq(TypeHashes.CLOSE, vm.eip712HashType(CLOSE_TYPE));
        string memory ofOwner = string.concat(OWNER_CONSENT_TYPE, TERMS_TYPE);
        assertEq(TypeHashes.OWNER_CONSENT, vm.eip712HashType(ofOwner));
        string memory ofOperator = string.concat(OPERATOR_CONSENT_TYPE, TERMS_TYPE);
        assertEq(TypeHashes.OPERATOR_CONSENT, vm.eip712HashType(ofOperator));
    }

    function test_typeHashes_areThoseOfTheVectors() public view {
        string memory json = vm.readFile("tests/vectors/signatures.json");
        assertEq(vm.parseJsonString(json, ".terms[0].type"), TERMS_TYPE);
        assertEq(vm.parseJsonString(json, ".verified.type"), VERIFIED_TYPE);
        assertEq(vm.parseJsonString(json, ".checkpoint.type"), CHECKPOINT_TYPE);
        assertEq(vm.parseJsonBytes32(json, ".terms[0].type_hash"), TypeHashes.TERMS);
        assertEq(vm.parseJsonBytes32(json, ".verified.type_hash"), TypeHashes.VERIFIED);
        assertEq(vm.parseJsonBytes32(json, ".checkpoint.type_hash"), TypeHashes.CHECKPOINT);
        assertEq(vm.parseJsonBytes32(json, ".closes[0].type_hash"), TypeHashes.CLOSE);
        assertEq(vm.parseJsonBytes32(json, ".withdrawal.type_hash"), TypeHashes.WITHDRAWAL);
        assertEq(
            vm.parseJsonBytes32(json, ".terms[0].owner_consents[0].type_hash"),
            TypeHashes.OWNER_CONSENT
        );
        assertEq(
            vm.parseJsonBytes32(json, ".terms[0].operator_consent.type_hash"),
            TypeHashes.OPERATOR_CONSENT
        );
    }

    /// A static struct is hashed by encoding it behind its type hash.
    function testFuzz_structHash_isForgesOwn(Terms memory terms) public pure {
        assertEq(
            keccak256(abi.encode(TypeHashes.TERMS, terms)),
            vm.eip712HashStruct(TERMS_TYPE, abi.encode(terms))
        );
    }

    function test_structHash_isThatOfTheVectors() public view {
        string memory json = vm.readFile("tests/vectors/signatures.json");
        for (uint256 i = 0; i < 2; ++i) {
            string memory key = string.concat(".terms[", vm.toString(i), "]");
            bytes memory data = vm.parseJsonBytes(json, string.concat(key, ".abi"));
            Terms memory terms = abi.decode(data, (Terms));
            bytes32 hash = keccak256(abi.encode(TypeHashes.TERMS, terms));
            assertEq(hash, vm.parseJsonBytes32(json, string.concat(key, ".struct_hash")));
            assertEq(
                keccak256(abi.encode(TypeHashes.OPERATOR_CONSENT, hash)),
                vm.parseJsonBytes32(json, string.concat(key, ".operator_consent.struct_hash"))
            );
            for (uint256 path = 0; path < 3; ++path) {
                string memory name = string.concat(key, ".owner_consents[", vm.toString(path));
                assertEq(
                    keccak256(abi.encode(TypeHashes.OWNER_CONSENT, path, hash)),
                    vm.parseJsonBytes32(json, string.concat(name, "].struct_hash"))
                );
            }
        }
    }

    /// The digests that Python signs are those that the deployed contracts compute.
    function test_digests_areThoseOfTheVectors() public {
        string memory json = vm.readFile("tests/vectors/signatures.json");
        address home = vm.parseJsonAddress(json, ".escrow_domain.verifying_contract");
        vm.chainId(vm.parseJsonUint(json, ".escrow_domain.chain_id"));
        vm.etch(home, address(escrow).code); // OpenZeppelin sees that it lives elsewhere
        bytes32 termsHash = vm.parseJsonBytes32(json, ".terms[1].struct_hash");
        assertEq(_digest(home, termsHash), vm.parseJsonBytes32(json, ".terms[1].contract_id"));
        bytes32 verifiedHash = vm.parseJsonBytes32(json, ".verified.struct_hash");
        assertEq(_digest(home, verifiedHash), vm.parseJsonBytes32(json, ".verified.digest"));

        home = vm.parseJsonAddress(json, ".event_log_domain.verifying_contract");
        deployCodeTo("EventLog.sol", "", home);
        bytes32 checkpointHash = vm.parseJsonBytes32(json, ".checkpoint.struct_hash");
        assertEq(_digest(home, checkpointHash), vm.parseJsonBytes32(json, ".checkpoint.digest"));
    }
}
