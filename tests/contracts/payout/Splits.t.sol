// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SplitFixture} from "../support/SplitFixture.sol";
import {Wallet} from "../support/Wallet.sol";
import {Share} from "contracts/payout/Shares.sol";
import {Split, Splits} from "contracts/payout/Split.sol";
import {Vm} from "forge-std/Vm.sol";

/// Who can have which split created.
contract SplitsTest is SplitFixture {
    function test_anyAccountCreatesWhatAllPayeesHaveSigned() public {
        Share[] memory shares = _shares(6_000, 4_000);
        bytes[] memory signatures = _signatures(shares, SALT);
        Split expected = splits.splitOf(shares, SALT);
        vm.expectEmit(address(splits));
        emit Splits.Created(address(expected), SALT, shares);
        vm.prank(makeAddr("stranger"));
        assertEq(address(splits.create(shares, SALT, signatures)), address(expected));

        Share[] memory found = expected.shares();
        assertEq(abi.encode(found), abi.encode(shares));
    }

    function test_theLargestSplitKeepsEveryShare() public {
        uint16[] memory parts = new uint16[](splits.MAX_PAYEES());
        for (uint256 i = 0; i < parts.length; ++i) {
            parts[i] = 1;
        }
        parts[7] = uint16(10_000 - (parts.length - 1));
        Share[] memory shares = _shares(parts);
        assertEq(abi.encode(_create(shares).shares()), abi.encode(shares));
    }

    function test_onePayeeMayHaveAll() public {
        uint16[] memory parts = new uint16[](1);
        parts[0] = 10_000;
        assertEq(_create(_shares(parts)).shares().length, 1);
    }

    function test_createDoesNothingTheSecondTime() public {
        Share[] memory shares = _shares(5_000, 5_000);
        Split split = _create(shares);
        vm.recordLogs();
        assertEq(address(splits.create(shares, SALT, new bytes[](0))), address(split));
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_theAddressFollowsFromSharesAndSaltAlone() public {
        Share[] memory shares = _shares(5_000, 5_000);
        address first = address(splits.splitOf(shares, SALT));
        assertNotEq(address(splits.splitOf(shares, "other")), first);
        assertNotEq(address(splits.splitOf(_shares(5_001, 4_999), SALT)), first);
        vm.prank(makeAddr("stranger"));
        assertEq(address(splits.splitOf(_shares(5_000, 5_000), SALT)), first);
        assertNotEq(address(new Splits().splitOf(shares, SALT)), first);
    }

    /// The digest by the words of EIP-712 itself.
    function test_theDigestIsThatOfTheTypedData() public {
        Share[] memory shares = _shares(6_000, 4_000);
        bytes32 shareType = keccak256("Share(address payee,uint16 bps)");
        bytes32 first = keccak256(abi.encode(shareType, shares[0].payee, uint256(6_000)));
        bytes32 second = keccak256(abi.encode(shareType, shares[1].payee, uint256(4_000)));
        bytes32 consent = keccak256(
            abi.encode(
                keccak256(
                    "SplitConsent(address payee,Share[] shares,bytes32 salt)Share(address payee,uint16 bps)"
                ),
                shares[1].payee,
                keccak256(abi.encode(first, second)),
                SALT
            )
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Tallystick Splits"),
                keccak256("1"),
                block.chainid,
                address(splits)
            )
        );
        assertEq(
            splits.consentDigest(shares[1].payee, shares, SALT),
            keccak256(abi.encodePacked(hex"1901", domain, consent))
        );
    }

    // ------------------------------------------------------------ wallets

    function test_aWalletIsAPayee() public {
        (Wallet wallet, Share[] memory shares, bytes[] memory signatures) = _ofAWallet();
        Split split = splits.create(shares, SALT, signatures);
        assertEq(address(split.shares()[_placeOf(shares, address(wallet))].payee), address(wallet));
    }

    function test_revertIf_theWalletRefuses() public {
        (Wallet wallet, Share[] memory shares, bytes[] memory signatures) = _ofAWallet();
        wallet.setMode(Wallet.Mode.Refuses);
        bytes32 digest = splits.consentDigest(address(wallet), shares, SALT);
        vm.expectRevert(abi.encodeWithSelector(Splits.NotSigned.selector, digest, address(wallet)));
        splits.create(shares, SALT, signatures);
    }

    function _ofAWallet()
        private
        returns (Wallet wallet, Share[] memory shares, bytes[] memory signatures)
    {
        (address key, uint256 secret) = makeAddrAndKey("key of the wallet");
        wallet = new Wallet(key);
        keyOf[address(wallet)] = secret;
        shares = _shares(3_000, 7_000);
        address other = shares[0].payee;
        (address low, address high) =
            other < address(wallet) ? (other, address(wallet)) : (address(wallet), other);
        (shares[0].payee, shares[1].payee) = (low, high);
        signatures = _signatures(shares, SALT);
    }

    function _placeOf(Share[] memory shares, address payee) private pure returns (uint256) {
        return shares[0].payee == payee ? 0 : 1;
    }

    // ------------------------------------------------------------ signatures

    function test_revertIf_aPayeeHasNotSigned() public {
        Share[] memory shares = _shares(5_000, 5_000);
        for (uint256 i = 0; i < 2; ++i) {
            bytes[] memory signatures = _signatures(shares, SALT);
            signatures[i] = i == 0 ? bytes("") : signatures[0];
            _expectNotSigned(shares, i, SALT);
            splits.create(shares, SALT, signatures);
        }
    }

    function test_revertIf_otherSharesAreSigned() public {
        bytes[] memory signatures = _signatures(_shares(5_000, 5_000), SALT);
        Share[] memory shares = _shares(5_001, 4_999);
        _expectNotSigned(shares, 0, SALT);
        splits.create(shares, SALT, signatures);
    }

    function test_revertIf_anotherSaltIsSigned() public {
        Share[] memory shares = _shares(5_000, 5_000);
        bytes[] memory signatures = _signatures(shares, SALT);
        _expectNotSigned(shares, 0, "other");
        splits.create(shares, "other", signatures);
    }

    function test_revertIf_signedForAnotherFactory() public {
        Share[] memory shares = _shares(5_000, 5_000);
        bytes[] memory signatures = _signatures(shares, SALT);
        splits = new Splits();
        _expectNotSigned(shares, 0, SALT);
        splits.create(shares, SALT, signatures);
    }

    function test_revertIf_signedForAnotherChain() public {
        Share[] memory shares = _shares(5_000, 5_000);
        bytes[] memory signatures = _signatures(shares, SALT);
        vm.chainId(2);
        _expectNotSigned(shares, 0, SALT);
        splits.create(shares, SALT, signatures);
    }

    function test_revertIf_signaturesAreMissingOrTooMany() public {
        Share[] memory shares = _shares(5_000, 5_000);
        for (uint256 count = 1; count <= 3; count += 2) {
            vm.expectRevert(abi.encodeWithSelector(Splits.SignatureCount.selector, count, 2));
            splits.create(shares, SALT, new bytes[](count));
        }
    }

    function _expectNotSigned(Share[] memory shares, uint256 place, bytes32 salt) private {
        address payee = shares[place].payee;
        bytes32 digest = splits.consentDigest(payee, shares, salt);
        vm.expectRevert(abi.encodeWithSelector(Splits.NotSigned.selector, digest, payee));
    }

    // ------------------------------------------------------------ shares

    function test_revertIf_aShareIsZero() public {
        Share[] memory shares = _shares(10_000, 0);
        _expectRefused(shares, abi.encodeWithSelector(Splits.ZeroShare.selector, shares[1].payee));
    }

    function test_revertIf_aPayeeIsThereTwice() public {
        Share[] memory shares = _shares(5_000, 5_000);
        shares[1].payee = shares[0].payee;
        _expectOutOfOrder(shares, 1);
    }

    function test_revertIf_payeesDescend() public {
        Share[] memory shares = _shares(5_000, 5_000);
        (shares[0], shares[1]) = (shares[1], shares[0]);
        _expectOutOfOrder(shares, 1);
    }

    function test_revertIf_aPayeeIsZero() public {
        Share[] memory shares = _shares(5_000, 5_000);
        shares[0].payee = address(0);
        _expectOutOfOrder(shares, 0);
    }

    function test_revertIf_sharesAreNotTheWhole() public {
        _expectSum(_shares(5_000, 4_999), 9_999);
        _expectSum(_shares(5_000, 5_001), 10_001);
        _expectSum(_shares(65_535, 65_535), 131_070);
        _expectSum(new Share[](0), 0);
    }

    function test_revertIf_thereAreTooManyPayees() public {
        uint256 limit = splits.MAX_PAYEES();
        Share[] memory shares = _shares(new uint16[](limit + 1));
        _expectRefused(
            shares, abi.encodeWithSelector(Splits.TooManyPayees.selector, limit + 1, limit)
        );
    }

    function _expectOutOfOrder(Share[] memory shares, uint256 place) private {
        address before = place == 0 ? address(0) : shares[place - 1].payee;
        _expectRefused(
            shares,
            abi.encodeWithSelector(Splits.PayeesNotAscending.selector, before, shares[place].payee)
        );
    }

    function _expectSum(Share[] memory shares, uint256 sum) private {
        _expectRefused(shares, abi.encodeWithSelector(Splits.SharesNotWhole.selector, sum, 10_000));
    }

    function _expectRefused(Share[] memory shares, bytes memory reason) private {
        vm.expectRevert(reason);
        splits.splitOf(shares, SALT);
        vm.expectRevert(reason);
        splits.create(shares, SALT, new bytes[](shares.length));
    }
}
