// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TypeHashes} from "../terms/Terms.sol";
import {Signatures} from "./Signatures.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title Vault of the escrow's tokens
/// @notice Holds tokens and sends them out, and checks what accounts have signed for it. A transfer
/// out that fails becomes a credit of the account, which withdraws it to any address, so one
/// account's trouble with a token does not stop another's payout.
/// @dev Roles:
/// - The holder of a credit withdraws it, or signs for a withdrawal that any account may bring.
/// - Any account revokes what it has signed and what was not used yet.
///
/// Assumptions:
/// - Tokens keep to the rules of OutcomeEscrow.
///
/// Liveness:
/// - A credit can be withdrawn at any time, in parts too, so a unit that the token has taken from
///   the escrow locks no more than itself. A withdrawal reverts only if the token refuses it, and
///   the token has all the gas that the caller gives.
/// - A payout or refund that needs more than TRANSFER_GAS becomes a credit.
///
/// Limits:
/// - A token that denies a transfer and makes it all the same undoes the whole call.
abstract contract Vault is EIP712, Nonces {
    /// @dev The gas for one payout or refund, and the gas that must be left before it is tried. The
    /// token gets its part in full (EIP-150 leaves 63/64 of the floor, which is more), and the rest
    /// suffices to record a failure. So no caller can turn a payout into a credit by giving too
    /// little gas.
    uint256 private constant TRANSFER_GAS = 200_000;
    uint256 private constant TRANSFER_GAS_FLOOR = 300_000;

    /// The tokens that terms may name. The constructor fixes them.
    mapping(address token => bool) public isAllowed;
    mapping(address token => mapping(address account => uint256)) internal _credits;
    /// The digests that an account has revoked: its consent to terms, closings and withdrawals.
    mapping(address account => mapping(bytes32 digest => bool)) public isRevoked;
    bool private transient _entered;

    /// Emitted directly behind a Paid or Refunded whose transfer failed: the amount waits as a
    /// credit of the account.
    event Credited(bytes32 indexed contractId, address indexed account, uint256 amount);
    /// Emitted when an account has revoked what it signed, or might sign.
    event Revoked(address indexed account, bytes32 indexed digest);
    /// Emitted when a credit has left the escrow.
    event Withdrawn(address indexed token, address indexed account, address to, uint256 amount);

    error ReentrantCall();
    error NoTokens();
    error NotAContract(address account);
    error NotSigned(bytes32 digest, address signer);
    error ConsentRevoked(bytes32 digest, address account);
    error TooLittleGas(uint256 left, uint256 needed);
    error TokenTookTooMuch(address token, uint256 expectedBalance, uint256 balance);
    error ZeroAmount();
    error CreditTooSmall(address token, address account, uint256 amount, uint256 credit);
    error InvalidRecipient(address to);
    error WithdrawalExpired(uint64 expiresAt, uint256 nowS);
    error TransferFailed(address token, address to, uint256 amount);

    /// @dev Refuses a call within a call: tokens and wallets may call back. The flag is transient,
    /// so it costs no storage.
    modifier nonReentrant() {
        _enter();
        _;
        _entered = false;
    }

    constructor(address[] memory tokens) {
        if (tokens.length == 0) revert NoTokens();
        for (uint256 i = 0; i < tokens.length; ++i) {
            if (tokens[i].code.length == 0) revert NotAContract(tokens[i]);
            isAllowed[tokens[i]] = true;
        }
    }

    /// Takes back what the caller has signed, for good: an OwnerConsent, an OperatorConsent, a Close
    /// or a Withdrawal that was not used yet. It changes nothing that was.
    /// @param digest The EIP-712 digest that was signed.
    function revoke(bytes32 digest) external nonReentrant {
        isRevoked[msg.sender][digest] = true;
        emit Revoked(msg.sender, digest);
    }

    /// Sends an amount of the caller's credit out.
    /// @param token The token.
    /// @param to The recipient.
    /// @param amount The amount, at most the credit.
    function withdraw(address token, address to, uint256 amount) external nonReentrant {
        _withdraw(token, msg.sender, to, amount);
    }

    /// Sends an amount of an account's credit out, as the account has signed. Any account may call.
    /// @param account The holder of the credit.
    /// @param token The token.
    /// @param to The recipient.
    /// @param amount The amount, at most the credit.
    /// @param expiresAt The last second in which the signature may be used.
    /// @param signature The account's over Withdrawal(account, token, to, amount, nonce, expiresAt).
    function withdrawFor(
        address account,
        address token,
        address to,
        uint256 amount,
        uint64 expiresAt,
        bytes calldata signature
    ) external nonReentrant {
        if (block.timestamp > expiresAt) {
            revert WithdrawalExpired(expiresAt, block.timestamp);
        }
        bytes32 structHash = keccak256(
            abi.encode(
                TypeHashes.WITHDRAWAL, account, token, to, amount, _useNonce(account), expiresAt
            )
        );
        _requireConsent(_hashTypedDataV4(structHash), account, signature);
        _withdraw(token, account, to, amount);
    }

    /// Returns an account's credit.
    /// @param token The token.
    /// @param account The account.
    /// @return The amount in base units.
    function creditOf(address token, address account) external view returns (uint256) {
        return _credits[token][account];
    }

    // ------------------------------------------------------------ inside

    /// Is not in the modifier itself, of which every function has a copy.
    function _enter() private {
        if (_entered) revert ReentrantCall();
        _entered = true;
    }

    function _requireSigned(bytes32 digest, address signer, bytes calldata signature)
        internal
        view
    {
        if (!Signatures.isValid(signer, digest, signature)) revert NotSigned(digest, signer);
    }

    /// Reverts unless the account has signed the digest, or calls and leaves its signature empty. What
    /// it has revoked counts in neither way.
    function _requireConsent(bytes32 digest, address account, bytes calldata signature)
        internal
        view
    {
        if (isRevoked[account][digest]) revert ConsentRevoked(digest, account);
        if (msg.sender != account || signature.length != 0) {
            _requireSigned(digest, account, signature);
        }
    }

    /// Sends an amount out of the `held` tokens, or credits it. Returns the tokens held then. A
    /// larger amount is not even tried: a token that has shrunk our balance may claim to have sent
    /// it.
    function _sendOrCredit(
        bytes32 contractId,
        address token,
        address to,
        uint256 amount,
        uint256 held
    ) internal returns (uint256) {
        if (gasleft() < TRANSFER_GAS_FLOOR) {
            revert TooLittleGas(gasleft(), TRANSFER_GAS_FLOOR);
        }
        if (amount <= held && _send(token, to, amount, TRANSFER_GAS)) {
            // It cannot underflow: amount <= held.
            unchecked {
                return held - amount;
            }
        }
        _credits[token][to] += amount;
        emit Credited(contractId, to, amount);
        return held;
    }

    /// Tries a transfer out. One word of the token's answer is read, so a large answer costs the
    /// caller nothing. As with SafeERC20, a token may answer nothing.
    function _send(address token, address to, uint256 amount, uint256 gasLimit)
        private
        returns (bool sent)
    {
        bytes4 selector = IERC20.transfer.selector;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, selector)
            mstore(add(data, 4), shr(96, shl(96, to))) // upper bits may be dirty here
            mstore(add(data, 36), amount)
            sent := call(gasLimit, token, 0, data, 68, 0, 32)
            let answered := and(gt(returndatasize(), 31), eq(mload(0), 1))
            sent := and(sent, or(iszero(returndatasize()), answered))
        }
    }

    /// Reverts if transfers out have taken more than they should. A larger balance than expected is
    /// no harm: any account may send tokens here.
    function _requireTokenBalance(address token, uint256 expected) internal view {
        uint256 held = _tokenBalance(token);
        if (held < expected) revert TokenTookTooMuch(token, expected, held);
    }

    function _tokenBalance(address token) internal view returns (uint256) {
        return IERC20(token).balanceOf(address(this));
    }

    /// Sends an amount of the account's credit to `to`, with all gas there is: no other account waits
    /// for it. A transfer that fails reverts, so the credit stays.
    function _withdraw(address token, address account, address to, uint256 amount) private {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
        if (amount == 0) revert ZeroAmount();
        uint256 credit = _credits[token][account];
        if (amount > credit) revert CreditTooSmall(token, account, amount, credit);

        // before the transfer: the token may call back
        _credits[token][account] = credit - amount;
        emit Withdrawn(token, account, to, amount);

        uint256 held = _tokenBalance(token);
        if (amount > held || !_send(token, to, amount, gasleft())) {
            revert TransferFailed(token, to, amount);
        }
        _requireTokenBalance(token, held - amount);
    }
}
