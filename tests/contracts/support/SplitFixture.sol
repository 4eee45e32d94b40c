// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Dollar} from "./Dollar.sol";
import {Share} from "contracts/payout/Shares.sol";
import {Split, Splits} from "contracts/payout/Split.sol";
import {Test} from "forge-std/Test.sol";

/// Payees with keys, in ascending order, and splits that all of them have signed.
abstract contract SplitFixture is Test {
    bytes32 internal constant SALT = "salt";

    Splits internal splits;
    Dollar internal token;
    mapping(address payee => uint256) internal keyOf;

    function setUp() public virtual {
        splits = new Splits();
        token = new Dollar();
    }

    /// Returns payees with these parts, each with a key.
    function _shares(uint16[] memory parts) internal returns (Share[] memory shares) {
        shares = new Share[](parts.length);
        uint256[] memory payees = new uint256[](parts.length);
        for (uint256 i = 0; i < parts.length; ++i) {
            (address payee, uint256 key) = makeAddrAndKey(string.concat("payee ", vm.toString(i)));
            (payees[i], keyOf[payee]) = (uint160(payee), key);
        }
        payees = vm.sort(payees);
        for (uint256 i = 0; i < parts.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            shares[i] = Share(address(uint160(payees[i])), parts[i]);
        }
    }

    function _shares(uint16 first, uint16 second) internal returns (Share[] memory) {
        uint16[] memory parts = new uint16[](2);
        (parts[0], parts[1]) = (first, second);
        return _shares(parts);
    }

    function _signatures(Share[] memory shares, bytes32 salt)
        internal
        view
        returns (bytes[] memory signatures)
    {
        signatures = new bytes[](shares.length);
        for (uint256 i = 0; i < shares.length; ++i) {
            address payee = shares[i].payee;
            signatures[i] = _sign(keyOf[payee], splits.consentDigest(payee, shares, salt));
        }
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _create(Share[] memory shares) internal returns (Split) {
        return splits.create(shares, SALT, _signatures(shares, SALT));
    }
}
