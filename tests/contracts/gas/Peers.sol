// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

// What others do with the same token, written plainly and measured in the same run as our own.

/// The floor: pays whom the caller names, and asks nothing. Calldata is one word a payee, account
/// u160 | amount u96. No contract that pays the same accounts in one transaction costs much less.
contract BarePayer {
    address private immutable TOKEN;

    constructor(address token) {
        TOKEN = token;
    }

    fallback() external {
        address token = TOKEN;
        assembly {
            mstore(0, shl(224, 0xa9059cbb)) // transfer(address,uint256)
            for { let at := 0 } lt(at, calldatasize()) { at := add(at, 32) } {
                let word := calldataload(at)
                mstore(4, shr(96, word))
                mstore(36, and(word, 0xffffffffffffffffffffffff))
                if iszero(call(gas(), token, 0, 0, 68, 0, 0)) { revert(0, 0) }
            }
        }
    }
}

/// The floor of a root post: the last root alone, over the one before.
contract BareRoot {
    fallback() external {
        assembly {
            sstore(0, calldataload(0))
        }
    }
}

/// The floor of a root post that keeps every root.
contract BareRoots {
    fallback() external {
        assembly {
            sstore(calldataload(0), calldataload(32))
        }
    }
}

/// As Disperse does it: pulls the sum, then pays each.
contract BatchPayer {
    using SafeERC20 for IERC20;

    function pay(IERC20 token, address[] calldata payees, uint256[] calldata amounts) external {
        uint256 sum = 0;
        for (uint256 i = 0; i < amounts.length; ++i) {
            sum += amounts[i];
        }
        token.safeTransferFrom(msg.sender, address(this), sum);
        for (uint256 i = 0; i < payees.length; ++i) {
            token.safeTransfer(payees[i], amounts[i]);
        }
    }
}

/// As the cumulative Merkle distributors do it: a trusted root, and every payee claims for itself.
contract Distributor {
    using SafeERC20 for IERC20;

    IERC20 private immutable TOKEN;
    bytes32 public root;
    mapping(address account => uint256) public claimed;

    error WrongProof();

    constructor(IERC20 token) {
        TOKEN = token;
    }

    function setRoot(bytes32 root_) external {
        root = root_;
    }

    function claim(address account, uint256 cumulative, bytes32[] calldata proof) external {
        if (!MerkleProof.verifyCalldata(proof, root, leafOf(account, cumulative))) {
            revert WrongProof();
        }
        uint256 amount = cumulative - claimed[account];
        claimed[account] = cumulative;
        TOKEN.safeTransfer(account, amount);
    }

    function leafOf(address account, uint256 cumulative) public pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(account, cumulative))));
    }
}
