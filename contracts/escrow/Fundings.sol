// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @dev The way in which an owner pays a budget, which it has signed with the terms, and what that way
/// needs. Path 0 is the allowance that the owner has given, and needs nothing. Path 1 is an EIP-2612
/// permit until `validBefore`: any account may have used it before, so one that fails is passed over,
/// and the allowance counts. Path 2 is an EIP-3009 authorization with the contract id as its nonce;
/// where it fails, nothing is paid.
struct Funding {
    uint8 path;
    uint256 validAfter;
    uint256 validBefore;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @title Payment of a budget
/// @notice Takes a budget into the escrow, by the way that its owner has signed.
/// @dev A part of the escrow with an address of its own, because the code of one contract is
/// limited.
///
/// Roles: the escrow calls by delegatecall, and has checked the owner's consent. A direct call reverts,
/// as of every library function that changes state.
///
/// Assumptions: a token may call back; the escrow refuses such calls.
library Fundings {
    using SafeERC20 for IERC20;

    uint8 private constant ALLOWANCE = 0;
    uint8 private constant PERMIT = 1;
    uint8 private constant AUTHORIZATION = 2;

    error UnknownFunding(uint8 path);
    error ReceivedWrongAmount(uint256 expected, uint256 received);

    /// Takes exactly an amount from an account. The balance is compared around the token's calls
    /// alone.
    /// @param token The token.
    /// @param from The account.
    /// @param amount The amount.
    /// @param contractId The contract whose budget this is.
    /// @param funding The way of payment.
    function takeIn(
        address token,
        address from,
        uint256 amount,
        bytes32 contractId,
        Funding calldata funding
    ) external {
        uint256 before = IERC20(token).balanceOf(address(this));
        if (funding.path == AUTHORIZATION) {
            IERC3009(token)
                .receiveWithAuthorization(
                    from,
                    address(this),
                    amount,
                    funding.validAfter,
                    funding.validBefore,
                    contractId,
                    funding.v,
                    funding.r,
                    funding.s
                );
        } else {
            if (funding.path == PERMIT) _permit(token, from, amount, funding);
            else if (funding.path != ALLOWANCE) revert UnknownFunding(funding.path);
            IERC20(token).safeTransferFrom(from, address(this), amount);
        }
        uint256 balance = IERC20(token).balanceOf(address(this));
        uint256 received = balance < before ? 0 : balance - before;
        if (received != amount) revert ReceivedWrongAmount(amount, received);
    }

    /// Uses a permit; one that fails is passed over.
    function _permit(address token, address from, uint256 amount, Funding calldata funding)
        private
    {
        try IERC20Permit(token)
            .permit(
                from, address(this), amount, funding.validBefore, funding.v, funding.r, funding.s
            ) {}
            catch {}
    }
}
