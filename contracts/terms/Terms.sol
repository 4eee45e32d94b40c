// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The deal to which an owner and an operator consent. Its EIP-712 digest in the escrow's domain
/// is the contract id, so the id binds the chain, the escrow and every term. Times are UTC seconds,
/// amounts token base units.
struct Terms {
    address owner; //              funds the contract; gets back what is not earned
    address operator; //           does the work and signs these terms
    address payee; //              where the operator's money goes
    address token; //              the stablecoin; on the escrow's allow-list
    address verifier; //           signs what may be settled: an account or an ERC-1271 wallet
    address arbiter; //            rules on disputes; zero: none
    bytes32 logId; //              the event log that proves the outcomes
    bytes32 surface; //            the owner's growth surface
    bytes32 policy; //             hash of the surface's policy document
    uint8 attribution; //          0 first_touch, 1 last_touch
    bytes32 outcome; //            the lead state that is paid for, as ASCII
    bool repeatable; //            one lead may count more than once
    bool exclusive; //             no other contract for the same outcome at the same time
    uint256 unitPrice; //          paid for each outcome
    uint16 revenueShareBps; //     paid on top, of the outcome's value
    uint256 budget; //             the most that can be paid, fees included; escrowed in full
    uint64 opensAt; //             outcomes count from here ...
    uint64 deadline; //            ... to here, both included
    uint64 attributionWindow; //   from the touch to the outcome
    uint64 lateness; //            how late an event may be reported
    uint64 grace; //               the verifier's time after the deadline, lateness included
    uint64 claimPeriod; //         the operator's time after that; zero: no claims
    uint64 challengePeriod; //     how long a statement can be disproved; zero: paid at once
    uint64 arbitrationPeriod; //   the arbiter's time
    uint16 holdbackBps; //         held back of every payout ...
    uint64 holdbackPeriod; //      ... for this long
    uint256 rateCap; //            the most that is paid in any rolling period; zero: no cap
    uint64 ratePeriod;
    uint16 feeBps; //              the platform's share, inside what is paid
    address feeRecipient;
    uint256 agentIdPlusOne; //     the operator's ERC-8004 identity plus one; zero: none
    bytes32 salt;
}

/// @title EIP-712 type hashes of all messages that Tallystick signs
library TypeHashes {
    /// @dev The contract id is the digest of the terms, in the escrow's domain. No party signs it
    /// bare: what is signed says for whom.
    bytes32 internal constant TERMS = keccak256(
        "Terms(address owner,address operator,address payee,address token,address verifier,address arbiter,bytes32 logId,bytes32 surface,bytes32 policy,uint8 attribution,bytes32 outcome,bool repeatable,bool exclusive,uint256 unitPrice,uint16 revenueShareBps,uint256 budget,uint64 opensAt,uint64 deadline,uint64 attributionWindow,uint64 lateness,uint64 grace,uint64 claimPeriod,uint64 challengePeriod,uint64 arbitrationPeriod,uint16 holdbackBps,uint64 holdbackPeriod,uint256 rateCap,uint64 ratePeriod,uint16 feeBps,address feeRecipient,uint256 agentIdPlusOne,bytes32 salt)"
    );

    /// @dev Signed by the owner, in the escrow's domain: it agrees to the terms, and pays the budget
    /// by this path (see Fundings.sol).
    bytes32 internal constant OWNER_CONSENT = keccak256(
        "OwnerConsent(uint8 funding,Terms terms)"
        "Terms(address owner,address operator,address payee,address token,address verifier,address arbiter,bytes32 logId,bytes32 surface,bytes32 policy,uint8 attribution,bytes32 outcome,bool repeatable,bool exclusive,uint256 unitPrice,uint16 revenueShareBps,uint256 budget,uint64 opensAt,uint64 deadline,uint64 attributionWindow,uint64 lateness,uint64 grace,uint64 claimPeriod,uint64 challengePeriod,uint64 arbitrationPeriod,uint16 holdbackBps,uint64 holdbackPeriod,uint256 rateCap,uint64 ratePeriod,uint16 feeBps,address feeRecipient,uint256 agentIdPlusOne,bytes32 salt)"
    );

    /// @dev Signed by the operator, in the escrow's domain: it agrees to the terms.
    bytes32 internal constant OPERATOR_CONSENT = keccak256(
        "OperatorConsent(Terms terms)"
        "Terms(address owner,address operator,address payee,address token,address verifier,address arbiter,bytes32 logId,bytes32 surface,bytes32 policy,uint8 attribution,bytes32 outcome,bool repeatable,bool exclusive,uint256 unitPrice,uint16 revenueShareBps,uint256 budget,uint64 opensAt,uint64 deadline,uint64 attributionWindow,uint64 lateness,uint64 grace,uint64 claimPeriod,uint64 challengePeriod,uint64 arbitrationPeriod,uint16 holdbackBps,uint64 holdbackPeriod,uint256 rateCap,uint64 ratePeriod,uint16 feeBps,address feeRecipient,uint256 agentIdPlusOne,bytes32 salt)"
    );

    /// @dev Signed by a contract's verifier, in the escrow's domain: the entries [first, first +
    /// count) of this tree are true.
    bytes32 internal constant VERIFIED =
        keccak256("Verified(bytes32 logId,uint64 size,bytes32 root,uint64 first,uint64 count)");

    /// @dev Signed by the holder of a credit, in the escrow's domain.
    bytes32 internal constant WITHDRAWAL = keccak256(
        "Withdrawal(address account,address token,address to,uint256 amount,uint256 nonce,uint64 expiresAt)"
    );

    /// @dev Signed by owner and operator, each for itself, in the escrow's domain: the contract
    /// ends, and this amount is payable.
    bytes32 internal constant CLOSE =
        keccak256("Close(address party,bytes32 contractId,uint256 payableAmount,uint64 expiresAt)");

    /// @dev Signed by a log's publisher, in the event log's domain.
    bytes32 internal constant CHECKPOINT =
        keccak256("Checkpoint(bytes32 logId,uint64 size,bytes32 root)");

    /// @dev Signed by each payee of a split for itself, in the domain of its factory: it agrees to all
    /// shares.
    bytes32 internal constant SPLIT_CONSENT = keccak256(
        "SplitConsent(address payee,Share[] shares,bytes32 salt)" "Share(address payee,uint16 bps)"
    );

    bytes32 internal constant SHARE = keccak256("Share(address payee,uint16 bps)");
}
