// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../mocks/HostileToken.sol";

/// A token that may rebase: balances change by themselves.
contract SourToken is HostileToken {
    function rebase(address account, uint256 balance) external {
        balanceOf[account] = balance;
    }
}

/// A receiver that gives something back on every transfer, as an ERC-777 hook can.
contract Donor {
    uint256 private constant GIFT = 7;

    address private immutable _to;
    mapping(address token => uint256) public given;

    constructor(address to) {
        _to = to;
    }

    function give() external {
        given[msg.sender] += GIFT;
        HostileToken(msg.sender).mint(_to, GIFT);
    }
}
