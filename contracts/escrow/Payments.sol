// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../terms/Terms.sol";
import {GuardedRecord} from "./GuardedRecord.sol";
import {Balance, CLOSED, DelayRule, Ledger} from "./Ledger.sol";
import {Ledgers} from "./Ledgers.sol";
import {PayableAmounts} from "./PayableAmounts.sol";
import {Release} from "./Release.sol";
import {SettlementRules} from "./SettlementRules.sol";
import {Statements} from "./Statements.sol";
import {Times} from "./Times.sol";

/// @title Payments of the escrow
/// @notice Makes a statement final once its time has passed, and pays what is due: to the payee, to the
/// fee recipient, and back to the owner.
/// @dev A part of OutcomeEscrow, which says what all parts assume and promise.
abstract contract Payments is Ledgers {
    using SettlementRules for Terms;
    using Times for Terms;

    /// @dev What the payouts of one call have in common, and their totals.
    struct Payouts {
        address token;
        uint256 feeBps;
        uint256 tokenBalance; // the escrow's balance of the token after them
        uint256 fees; //         the fees, to be credited to the fee recipient
    }

    /// Emitted when the statement at `position` is stored as final. It is final since the second
    /// `since`, and `net` is payable.
    event Final(bytes32 indexed contractId, uint64 position, uint256 net, uint64 since);
    /// Emitted when the contract has paid amount + fee: the amount to its payee, and the fee as a
    /// credit of the fee recipient.
    event Paid(bytes32 indexed contractId, uint256 amount, uint256 fee);
    /// Emitted when an amount has gone back to the owner.
    event Refunded(bytes32 indexed contractId, address indexed owner, uint256 amount);

    /// Finalizes a matured statement, then pays what is due. Any account may call. Where nothing is
    /// due, nothing happens.
    /// @param terms The terms of the contract.
    function release(Terms calldata terms) external nonReentrant {
        (bytes32 contractId, Ledger storage ledger, GuardedRecord storage record) = _find(terms);
        _finalizeMatured(contractId, ledger, record, terms.delayRule());
        _payReleasable(contractId, terms, ledger, record);
    }

    // ------------------------------------------------------------ inside

    /// Stores a statement whose time has passed as final. Functions that change the record call it
    /// first, so they see the record as its reads do.
    function _finalizeMatured(
        bytes32 contractId,
        Ledger storage ledger,
        GuardedRecord storage record,
        DelayRule delays
    ) internal {
        if (record.isMatured()) {
            _finalize(contractId, ledger, record, delays, record.resolvesAt);
        }
    }

    /// Stores the pending statement as final since the second `since`.
    function _finalize(
        bytes32 contractId,
        Ledger storage ledger,
        GuardedRecord storage record,
        DelayRule delays,
        uint256 since
    ) internal {
        Balance balance = ledger.balance;
        uint40 position = record.pendingPosition;
        uint256 net =
            Statements.finalize(record, since, balance.budget(), delays.holdbackBps() != 0);
        ledger.balance = balance.withSettlement(balance.paid(), position);
        // A time has 40 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit Final(contractId, position, net, uint64(since));
    }

    /// Pays what is due now. It stores the new balance before it calls the token.
    function _payReleasable(
        bytes32 contractId,
        Terms calldata terms,
        Ledger storage ledger,
        GuardedRecord storage record
    ) internal {
        Balance balance = ledger.balance;
        // A plain contract has paid all that is payable, unless it was closed.
        if (terms.isPlain() && !balance.has(CLOSED)) return;
        bool areClaimsDue = terms.claimPeriod != 0 && block.timestamp > terms.refutableUntil();
        uint256 amount =
            PayableAmounts.consumeReleasable(record, balance, terms.delayRule(), areClaimsDue);
        if (amount == 0) return;
        uint256 paid = balance.paid();
        ledger.balance = balance.withSettlement(paid + amount, balance.lastFinal());

        Payouts memory payouts = _newPayouts(terms.token, terms.feeBps);
        _pay(contractId, terms.payee, paid, paid + amount, payouts);
        _completePayouts(terms.feeRecipient, payouts);
    }

    /// Returns the totals of payouts in a token, before the first.
    function _newPayouts(address token, uint256 feeBps) internal view returns (Payouts memory) {
        return Payouts(token, feeBps, _tokenBalance(token), 0);
    }

    /// Pays what raises the paid amount from `paid` to `net`. The caller has stored the new balance.
    function _pay(
        bytes32 contractId,
        address payee,
        uint256 paid,
        uint256 net,
        Payouts memory payouts
    ) internal {
        // No sum of amounts leaves 256 bits: each has 80. Nothing underflows: the new paid amount
        // is larger, and the fee is a part of the difference.
        unchecked {
            uint256 fee = Release.feeOf(paid, net, payouts.feeBps);
            uint256 amount = net - paid - fee;
            emit Paid(contractId, amount, fee);
            payouts.tokenBalance =
                _sendOrCredit(contractId, payouts.token, payee, amount, payouts.tokenBalance);
            payouts.fees += fee;
        }
    }

    /// Credits the fees of the payouts, and checks that the token has taken no more than they come
    /// to.
    function _completePayouts(address feeRecipient, Payouts memory payouts) internal {
        if (payouts.fees != 0) _credits[payouts.token][feeRecipient] += payouts.fees;
        _requireTokenBalance(payouts.token, payouts.tokenBalance);
    }

    /// Sends an amount back to the owner.
    function _refundOwner(bytes32 contractId, Terms calldata terms, uint256 amount) internal {
        emit Refunded(contractId, terms.owner, amount);
        uint256 held = _tokenBalance(terms.token);
        held = _sendOrCredit(contractId, terms.token, terms.owner, amount, held);
        _requireTokenBalance(terms.token, held);
    }
}
