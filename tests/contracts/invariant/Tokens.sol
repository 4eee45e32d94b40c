// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../support/HostileToken.sol";

/// A receiver of tokens that may refuse them, burn all gas, answer with a bomb, or call back.
contract Receiver {
    enum Mode {
        Accepts,
        Reverts,
        BurnsGas,
        Bombs, //     reverts with 64 kilobytes
        CallsBack
    }

    Mode public mode;
    address private _target;
    bytes private _data;
    bool public cameBack; // a call back succeeded

    error Refused();

    function setMode(Mode mode_, address target, bytes calldata data) external {
        (mode, _target, _data) = (mode_, target, data);
    }

    function refuses() external view returns (bool) {
        return mode != Mode.Accepts && mode != Mode.CallsBack;
    }

    function tokensReceived() external {
        if (mode == Mode.Reverts) revert Refused();
        if (mode == Mode.BurnsGas) while (true) {}
        if (mode == Mode.Bombs) {
            assembly ("memory-safe") {
                revert(0, 0x10000)
            }
        }
        if (mode == Mode.CallsBack) {
            (bool done,) = _target.call(_data);
            if (done) cameBack = true;
        }
    }
}

/// A token that asks its receivers first, as ERC-777 does, and fails as they fail.
contract OddToken is HostileToken {
    mapping(address account => bool) private _isAsked;

    function ask(Receiver receiver) external {
        _isAsked[address(receiver)] = true;
    }

    /// The mode as a word.
    function mood() external view returns (bytes32) {
        bytes32[11] memory moods = [
            bytes32("honest token"),
            "silent token",
            "token says false",
            "token lies",
            "token takes a fee",
            "token takes more",
            "paused token",
            "token burns gas",
            "token sends a bomb",
            "token says two",
            "token says too little"
        ];
        return moods[uint256(mode)];
    }

    function _transfer(address from, address to, uint256 amount) internal override {
        if (_isAsked[to]) Receiver(to).tokensReceived();
        super._transfer(from, to, amount);
    }
}

/// One that may rebase: balances change by themselves.
contract SourToken is OddToken {
    function rebase(address account, uint256 balance) external {
        balanceOf[account] = balance;
    }
}

/// Gives the escrow something on every transfer, from a token's hook.
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
