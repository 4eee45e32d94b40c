// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestStablecoin} from "contracts/local/TestStablecoin.sol";

/// An honest token whose transfers one day cost more: a new rule of its issuer's, or of the chain's.
contract HeavyToken is TestStablecoin {
    uint256 public cost;

    function setCost(uint256 cost_) external {
        cost = cost_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        uint256 before = gasleft();
        while (before - gasleft() < cost) {}
        super._update(from, to, amount);
    }
}
