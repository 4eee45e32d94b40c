// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// An ERC-1271 wallet of one key, which can also answer wrongly.
contract Wallet {
    enum Mode {
        Honest,
        Refuses,
        Reverts,
        ReturnsNothing,
        ReturnsTrue, //  a boolean instead of the magic value
        ReturnsDirty //  the magic value with more behind it
    }

    address public immutable key;
    Mode public mode;

    constructor(address key_) {
        key = key_;
    }

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view {
        bytes32 answer = bytes32(this.isValidSignature.selector);
        if (mode == Mode.Reverts) revert("no");
        if (mode == Mode.ReturnsTrue) answer = bytes32(uint256(1));
        if (mode == Mode.ReturnsDirty) answer |= bytes32(uint256(1));
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (mode == Mode.Refuses || recovered != key) answer = bytes4(0xffffffff);
        uint256 length = mode == Mode.ReturnsNothing ? 0 : 32;
        assembly ("memory-safe") {
            mstore(0, answer)
            return(0, length)
        }
    }

    function execute(address target, bytes calldata data) external returns (bytes memory) {
        (bool success, bytes memory answer) = target.call(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        return answer;
    }
}
