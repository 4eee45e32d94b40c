// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "contracts/terms/Terms.sol";

/// Remembers the terms of contracts, as every caller of the escrow must. What it tells costs no call,
/// so a test can use it in the call that is expected to revert.
abstract contract TermsById {
    mapping(bytes32 id => Terms) private _termsById;

    function _remember(bytes32 id, Terms memory terms) internal {
        _termsById[id] = terms;
    }

    /// Zeros if no such contract was remembered.
    function _t(bytes32 id) internal view returns (Terms memory) {
        return _termsById[id];
    }

    /// The other contract, as Evidence takes it: none if no such contract was remembered.
    function _rivals(bytes32 id) internal view returns (Terms[] memory rivals) {
        if (_termsById[id].owner == address(0)) return rivals;
        rivals = new Terms[](1);
        rivals[0] = _termsById[id];
    }
}
