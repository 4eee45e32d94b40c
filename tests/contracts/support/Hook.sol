// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IACPHook} from "contracts/interfaces/IAgenticCommerce.sol";
import {AgenticCommerce} from "contracts/local/AgenticCommerce.sol";

/// Notes what it was called for; refuses one action; tries to come back in.
contract Hook is IACPHook {
    AgenticCommerce internal immutable COMMERCE;
    bytes4 public refuses;
    bool public returns_;
    bytes4[] public seen;

    constructor(AgenticCommerce commerce) {
        COMMERCE = commerce;
    }

    function refuse(bytes4 selector) external {
        refuses = selector;
    }

    function comeBack() external {
        returns_ = true;
    }

    function count() external view returns (uint256) {
        return seen.length;
    }

    function beforeAction(uint256 jobId, bytes4 selector, bytes calldata) external {
        require(selector != refuses, "refused");
        seen.push(selector);
        if (returns_) COMMERCE.setBudget(jobId, 1, "");
    }

    function afterAction(uint256, bytes4 selector, bytes calldata) external {
        seen.push(selector);
    }
}
