// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Signatures} from "../escrow/Signatures.sol";
import {TypeHashes} from "../terms/Terms.sol";
import {Share, Shares} from "./Shares.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Factory of splits
/// @notice Puts splits on the chain, each once all of its payees have signed its shares. The address
/// of a split follows from its shares and its salt, so terms can name it as their payee before it is
/// there.
/// @dev Roles: any account brings the signatures.
///
/// Assumptions: an ERC-1271 wallet may change its answer until the split is there.
///
/// Liveness:
/// - No signature expires and none can be taken back: it moves no money, and shows no more than that
///   its payee agrees to these shares.
/// - Tokens that are sent to a split that is not there wait for it, and for every signature that it
///   lacks. Who relies on a split looks at it, or holds all signatures, first.
/// - The factory has no owner and no state. It holds no tokens.
contract Splits is EIP712 {
    /// The most payees of one split.
    uint256 public constant MAX_PAYEES = 32;
    /// What all splits run. It has no shares of its own.
    Split public immutable implementation;

    /// Emitted when a split is there, and all of its payees have signed.
    event Created(address indexed split, bytes32 salt, Share[] shares);

    error TooManyPayees(uint256 count, uint256 limit);
    error PayeesNotAscending(address before, address payee);
    error ZeroShare(address payee);
    error SharesNotWhole(uint256 sum, uint256 whole);
    error SignatureCount(uint256 count, uint256 payees);
    error NotSigned(bytes32 digest, address signer);

    constructor() EIP712("Tallystick Splits", "1") {
        implementation = new Split();
    }

    /// Creates a split. It does nothing if the split is there.
    /// @param shares The shares, in ascending order of their payees, together 10,000 basis points.
    /// @param salt Any word: it tells splits of the same shares apart.
    /// @param signatures Each payee's over SplitConsent(payee, shares, salt), in the order of shares.
    /// @return split The split.
    function create(Share[] calldata shares, bytes32 salt, bytes[] calldata signatures)
        external
        returns (Split split)
    {
        split = splitOf(shares, salt);
        if (address(split).code.length != 0) return split;

        if (signatures.length != shares.length) {
            revert SignatureCount(signatures.length, shares.length);
        }
        bytes32 sharesHash = _hashOf(shares);
        for (uint256 i = 0; i < shares.length; ++i) {
            address payee = shares[i].payee;
            bytes32 digest = _digestOf(payee, sharesHash, salt);
            if (!Signatures.isValid(payee, digest, signatures[i])) revert NotSigned(digest, payee);
        }
        Clones.cloneDeterministicWithImmutableArgs(
            address(implementation), _argumentsOf(shares, salt), 0
        );
        emit Created(address(split), salt, shares);
    }

    /// Returns the split with these shares, created or not. Reverts for shares that none can have.
    /// @param shares The shares, as `create` takes them.
    /// @param salt The salt.
    /// @return The split.
    function splitOf(Share[] calldata shares, bytes32 salt) public view returns (Split) {
        _requireWhole(shares);
        return Split(
            Clones.predictDeterministicAddressWithImmutableArgs(
                address(implementation), _argumentsOf(shares, salt), 0
            )
        );
    }

    /// Returns the digest that a payee signs.
    /// @param payee The payee.
    /// @param shares The shares, its own among them.
    /// @param salt The salt.
    /// @return The EIP-712 digest.
    function consentDigest(address payee, Share[] calldata shares, bytes32 salt)
        external
        view
        returns (bytes32)
    {
        return _digestOf(payee, _hashOf(shares), salt);
    }

    /// Reverts unless these are the shares of a split. Payees ascend, so none is zero or there twice,
    /// and the same shares have one address.
    function _requireWhole(Share[] calldata shares) private pure {
        if (shares.length > MAX_PAYEES) revert TooManyPayees(shares.length, MAX_PAYEES);
        address before = address(0);
        uint256 sum = 0;
        for (uint256 i = 0; i < shares.length; ++i) {
            Share calldata share = shares[i];
            if (share.payee <= before) revert PayeesNotAscending(before, share.payee);
            if (share.bps == 0) revert ZeroShare(share.payee);
            before = share.payee;
            sum += share.bps;
        }
        if (sum != Shares.BPS) revert SharesNotWhole(sum, Shares.BPS);
    }

    /// Returns what the code of a split ends with.
    function _argumentsOf(Share[] calldata shares, bytes32 salt)
        private
        pure
        returns (bytes memory)
    {
        return bytes.concat(salt, Shares.pack(shares));
    }

    function _hashOf(Share[] calldata shares) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](shares.length);
        for (uint256 i = 0; i < shares.length; ++i) {
            hashes[i] = keccak256(abi.encode(TypeHashes.SHARE, shares[i]));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _digestOf(address payee, bytes32 sharesHash, bytes32 salt)
        private
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(abi.encode(TypeHashes.SPLIT_CONSENT, payee, sharesHash, salt))
        );
    }
}

/// @title Split of all tokens that it gets
/// @notice Pays each of its payees a fixed share of every token that was ever sent here.
/// @dev Roles:
/// - Any account has a payee paid what is due to it, or all of them.
/// - A payee sends what is due to it to any other address.
///
/// Assumptions:
/// - Tokens keep to the rules of OutcomeEscrow; fees that a token takes on the way here do no harm.
///   One that breaks them harms what is due in it and nothing else.
///
/// Liveness:
/// - A payee that a token refuses stops no other. What is due to it stays due, and it can send it
///   elsewhere. One that burns all gas when a token calls it stops `releaseAll` alone.
/// - Parts are rounded down. The base units that are left over, fewer than there are payees, count
///   again when more arrives: the sum of all parts of all that ever arrived is never more than that.
/// - It has no owner and nothing of it can be changed, paused or taken back.
///
/// Limits:
/// - It takes no ether. Ether that is forced on it is lost.
/// - A token whose amounts leave no room for a product with 10,000 is stuck here.
contract Split is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev The salt stands before the shares, so the code tells all that the address follows from.
    uint256 private constant SALT_BYTES = 32;
    address private immutable _implementation; // tells it from its clones, which have shares

    /// What was released of a token, to all payees.
    mapping(IERC20 token => uint256) public released;
    /// What was released of a token to one payee.
    mapping(IERC20 token => mapping(address payee => uint256)) public releasedTo;

    /// Emitted when a payee's part has left.
    event Released(address indexed token, address indexed payee, address to, uint256 amount);

    error NoShares();
    error NotAPayee(address account);
    error NothingDue(address token, address payee);
    error InvalidRecipient(address to);
    error TransferFailed(address token, address to, uint256 amount);

    constructor() {
        _implementation = address(this);
    }

    /// Returns the shares, in ascending order of their payees.
    /// @return The shares.
    function shares() public view returns (Share[] memory) {
        if (address(this) == _implementation) revert NoShares();
        return Shares.unpack(Clones.fetchCloneArgs(address(this)), SALT_BYTES);
    }

    /// Returns what is due to a payee now. Reverts for any other account.
    /// @param token The token.
    /// @param payee The payee.
    /// @return The amount in base units.
    function due(IERC20 token, address payee) external view nonReentrantView returns (uint256) {
        return _dueTo(token, _shareOf(payee), _received(token));
    }

    /// Pays a payee what is due to it. Any account may call.
    /// @param token The token.
    /// @param payee The payee.
    function release(IERC20 token, address payee) external nonReentrant {
        _requireReleased(token, payee, payee);
    }

    /// Sends what is due to the caller to another address.
    /// @param token The token.
    /// @param to The recipient.
    function releaseTo(IERC20 token, address to) external nonReentrant {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
        _requireReleased(token, msg.sender, to);
    }

    /// Pays all payees what is due to them. A transfer that fails stops no other, and what it was for
    /// stays due. Any account may call.
    /// @param token The token.
    /// @return amount The amount that has left.
    function releaseAll(IERC20 token) external nonReentrant returns (uint256 amount) {
        uint256 before = released[token];
        uint256 received = _received(token);
        Share[] memory all = shares();
        for (uint256 i = 0; i < all.length; ++i) {
            uint256 part = _dueTo(token, all[i], received);
            if (part != 0) _tryRelease(token, all[i].payee, all[i].payee, part);
        }
        return released[token] - before;
    }

    /// Sends what is due to a payee, or reverts.
    function _requireReleased(IERC20 token, address payee, address to) private {
        uint256 amount = _dueTo(token, _shareOf(payee), _received(token));
        if (amount == 0) revert NothingDue(address(token), payee);
        if (!_tryRelease(token, payee, to, amount)) {
            revert TransferFailed(address(token), to, amount);
        }
    }

    /// Sends an amount on behalf of a payee, and returns whether the token has taken it. If not,
    /// nothing has changed.
    function _tryRelease(IERC20 token, address payee, address to, uint256 amount)
        private
        returns (bool isSent)
    {
        isSent = token.trySafeTransfer(to, amount);
        // No call comes in meanwhile: every function that writes is guarded.
        if (isSent) {
            released[token] += amount;
            releasedTo[token][payee] += amount;
            emit Released(address(token), payee, to, amount);
        }
    }

    /// Returns all of a token that was ever sent here.
    function _received(IERC20 token) private view returns (uint256) {
        return token.balanceOf(address(this)) + released[token];
    }

    /// Returns what of `received` is due under a share, at most what is here. A token that has taken
    /// some away may leave a payee with more than its part; then nothing is.
    function _dueTo(IERC20 token, Share memory share, uint256 received)
        private
        view
        returns (uint256)
    {
        uint256 part = Shares.partOf(received, share.bps);
        uint256 sent = releasedTo[token][share.payee];
        return part > sent ? Math.min(part - sent, received - released[token]) : 0;
    }

    function _shareOf(address payee) private view returns (Share memory) {
        Share[] memory all = shares();
        for (uint256 i = 0; i < all.length; ++i) {
            if (all[i].payee == payee) return all[i];
        }
        revert NotAPayee(payee);
    }
}
