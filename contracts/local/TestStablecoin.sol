// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Stablecoin for local chains only
/// @notice Lets any account mint any amount, so it is worth nothing.
contract TestStablecoin is ERC20, ERC20Permit {
    constructor() ERC20("Test Stablecoin", "TEST") ERC20Permit("Test Stablecoin") {}

    /// Returns the number of decimals, which is that of the common stablecoins.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// Makes an amount out of nothing for an account. Any account may call.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
