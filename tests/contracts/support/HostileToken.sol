// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// A token that can be honest in unusual ways or dishonest, as its mode says, in any mixture over
/// time.
contract HostileToken {
    enum Mode {
        Honest,
        ReturnsNothing, //       like USDT
        ReturnsFalse, //         moves nothing and says so
        Lies, //                 moves nothing and says it did
        TakesFee, //             the receiver gets less
        TakesMore, //            the sender loses more
        Paused, //               reverts
        BurnsGas, //             never comes back
        ReturnsBomb, //          a megabyte of return data
        ReturnsTwo, //           a word that is no boolean
        ReturnsShort //          less than a word
    }

    uint256 private constant FEE_BPS = 100;

    Mode public mode;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => bool) public blocked;

    /// Called on every transfer, as ERC-777 calls the receiver.
    address public hook;
    bytes public hookData;
    bool public hookResult;

    error Blocked(address account);
    error IsPaused();
    error Insufficient(uint256 has, uint256 needs);

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function setBlocked(address account, bool blocked_) external {
        blocked[account] = blocked_;
    }

    function setHook(address hook_, bytes calldata data) external {
        (hook, hookData, hookResult) = (hook_, data, false);
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external {
        _transfer(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < amount) revert Insufficient(allowed, amount);
        allowance[from][msg.sender] = allowed - amount;
        _transfer(from, to, amount);
    }

    function _transfer(address from, address to, uint256 amount) internal virtual {
        if (blocked[from] || blocked[to]) revert Blocked(blocked[from] ? from : to);
        if (mode == Mode.Paused) revert IsPaused();
        if (mode == Mode.BurnsGas) while (true) {}
        if (mode == Mode.ReturnsFalse) _answer(abi.encode(false));
        if (mode == Mode.Lies) _answer(abi.encode(true));

        uint256 fee = amount * FEE_BPS / 10_000;
        uint256 taken = mode == Mode.TakesMore ? amount + fee : amount;
        if (balanceOf[from] < taken) revert Insufficient(balanceOf[from], taken);
        balanceOf[from] -= taken;
        balanceOf[to] += mode == Mode.TakesFee ? amount - fee : amount;
        if (hook != address(0)) (hookResult,) = hook.call(hookData);

        if (mode == Mode.ReturnsNothing) _answer("");
        if (mode == Mode.ReturnsBomb) _answer(abi.encodePacked(uint256(1), new bytes(1 << 14)));
        if (mode == Mode.ReturnsTwo) _answer(abi.encode(2));
        if (mode == Mode.ReturnsShort) _answer(hex"01");
        _answer(abi.encode(true));
    }

    function _answer(bytes memory data) private pure {
        assembly ("memory-safe") {
            return(add(data, 32), mload(data))
        }
    }
}
