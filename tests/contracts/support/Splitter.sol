// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "./HostileToken.sol";

/// A payee that passes on what it gets, half to each of two, from within the transfer.
contract Splitter {
    address private immutable _first;
    address private immutable _second;
    bool private transient _splitting;

    constructor(address first, address second) {
        (_first, _second) = (first, second);
    }

    /// Called by the token on every transfer, its own included.
    function split() external {
        if (_splitting) return;
        _splitting = true;
        HostileToken token = HostileToken(msg.sender);
        uint256 amount = token.balanceOf(address(this));
        token.transfer(_first, amount / 2);
        token.transfer(_second, amount - amount / 2);
        _splitting = false;
    }
}
