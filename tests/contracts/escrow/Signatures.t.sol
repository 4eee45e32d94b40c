// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Wallet} from "../support/Wallet.sol";
import {Signatures} from "contracts/escrow/Signatures.sol";
import {Test} from "forge-std/Test.sol";

contract SignaturesTest is Test {
    struct Invalid {
        bytes32 digest;
        string reason;
        bytes signature;
    }

    Account private signer = makeAccount("signer");
    bytes32 private constant DIGEST = keccak256("digest");

    function isValid(address account, bytes32 digest, bytes calldata signature)
        external
        view
        returns (bool)
    {
        return Signatures.isValid(account, digest, signature);
    }

    function test_aKeySigns() public view {
        assertTrue(this.isValid(signer.addr, DIGEST, _sign(signer)));
        assertFalse(this.isValid(signer.addr, keccak256("another"), _sign(signer)));
        assertFalse(this.isValid(address(this), DIGEST, _sign(signer)));
        assertFalse(this.isValid(signer.addr, DIGEST, ""));
    }

    function test_aWalletSigns() public {
        Wallet wallet = new Wallet(signer.addr);
        assertTrue(this.isValid(address(wallet), DIGEST, _sign(signer)));
        Account memory another = makeAccount("another");
        assertFalse(this.isValid(address(wallet), DIGEST, _sign(another)));
    }

    function test_aWalletMustAnswerTheMagicValue() public {
        Wallet wallet = new Wallet(signer.addr);
        for (uint8 mode = 1; mode <= uint8(type(Wallet.Mode).max); ++mode) {
            wallet.setMode(Wallet.Mode(mode));
            assertFalse(this.isValid(address(wallet), DIGEST, _sign(signer)));
        }
    }

    /// EIP-7702: the account has code, which may know nothing of ERC-1271, and its key still signs.
    function test_aKeyWithCodeStillSigns() public {
        vm.etch(signer.addr, hex"00");
        assertTrue(this.isValid(signer.addr, DIGEST, _sign(signer)));
    }

    /// The limit: whoever puts other code behind a key that has leaked adds a signer and ends none.
    /// The wallet says no to the old key, and the key itself still counts. So verifiers, arbiters
    /// and publishers should be contract wallets.
    function test_limit_otherCodeDoesNotEndAKey() public {
        Account memory fresh = makeAccount("new key");
        Wallet rotated = new Wallet(fresh.addr);
        vm.signAndAttachDelegation(address(rotated), signer.key);
        this.isValid(signer.addr, DIGEST, ""); // any call carries the authorization
        assertEq(signer.addr.code, abi.encodePacked(hex"ef0100", address(rotated)));
        assertTrue(this.isValid(signer.addr, DIGEST, _sign(fresh)));
        assertTrue(this.isValid(signer.addr, DIGEST, _sign(signer)));
        assertFalse(this.isValid(address(rotated), DIGEST, _sign(signer)), "a contract wallet");
    }

    function test_nobodySigns() public {
        assertFalse(this.isValid(address(0), DIGEST, ""));
        assertFalse(this.isValid(address(0), DIGEST, new bytes(65)));
        for (uint160 precompile = 1; precompile <= 17; ++precompile) {
            // Some of them burn all the gas they get.
            (bool success, bytes memory answer) = address(this).call{gas: 1_000_000}(
                abi.encodeCall(this.isValid, (address(precompile), DIGEST, _sign(signer)))
            );
            assertFalse(success && abi.decode(answer, (bool)));
        }
    }

    /// High s, other lengths (EIP-2098 among them), other v: one signature, one form.
    function test_malformedSignaturesOfTheVectors() public view {
        string memory json = vm.readFile("tests/vectors/signatures.json");
        bytes memory found = vm.parseJsonTypeArray(
            json, ".invalid_signatures", "S(bytes32 digest,string reason,bytes signature)"
        );
        Invalid[] memory vectors = abi.decode(found, (Invalid[]));
        assertGt(vectors.length, 8);
        for (uint256 i = 0; i < vectors.length; ++i) {
            for (uint256 who = 0; who < 4; ++who) {
                string memory key = string.concat(".signers[", vm.toString(who), "].address");
                address account = vm.parseJsonAddress(json, key);
                assertFalse(
                    this.isValid(account, vectors[i].digest, vectors[i].signature),
                    vectors[i].reason
                );
            }
        }
    }

    function test_signaturesOfTheVectors() public view {
        string memory json = vm.readFile("tests/vectors/signatures.json");
        bytes32 digest = vm.parseJsonBytes32(json, ".verified.digest");
        bytes memory signature = vm.parseJsonBytes(json, ".verified.signature");
        assertEq(vm.parseJsonString(json, ".signers[2].name"), "verifier");
        address verifier = vm.parseJsonAddress(json, ".signers[2].address");
        assertTrue(this.isValid(verifier, digest, signature));
    }

    function _sign(Account memory account) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(account.key, DIGEST);
        return abi.encodePacked(r, s, v);
    }
}
