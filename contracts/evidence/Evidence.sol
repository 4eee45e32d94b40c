// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EscrowRecord, IEvidenceTarget} from "../interfaces/IEvidenceTarget.sol";
import {Entry} from "../log/MerkleLog.sol";
import {Terms} from "../terms/Terms.sol";
import {AttributedOutcome, Attribution} from "./Attribution.sol";
import {Claim, Exhibit, ProvenReversal, ReportedTouchOpening} from "./EvidenceTypes.sol";
import {Exhibits} from "./Exhibits.sol";
import {OutcomePayload, Payloads} from "./Payloads.sol";
import {Reversals} from "./Reversals.sol";
import {Totals} from "./Totals.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title Evidence from the log
/// @notice Judges what entries of a log show, and tells the escrow what follows: a verifier has
/// signed a false entry (`disprove`), an outcome is owed that was not settled (`claim`), such a
/// claim is unfounded (`refute`), or an outcome was taken back (`proveReversal`). The caller shows
/// log entries, each with its inclusion proof in one anchored checkpoint and, where it is needed,
/// the opening of its payload.
/// @dev Roles:
/// - Any account disproves, refutes and proves reversals.
/// - The operator of a contract claims.
/// - The caller chooses the escrow. The escrow keeps the facts and takes the consequences itself,
///   so a false one deceives no other.
///
/// Assumptions:
/// - A verifier vouches for every entry below a statement that it signed, whichever party wrote the
///   entry and whichever contract it is about. It has replayed the log, with the openings and
///   closings that the chain knows, and signs no statement above a false entry.
/// - The log's order decides, never time. Times that the log itself gives (touches, requests,
///   openings) do not fall along it; times of product events and of reported touches may. What is
///   reported is never later than the log's own time.
/// - SHA-256 has no collisions.
///
/// Liveness:
/// - This contract has no state and no owner. The entries and their proofs suffice.
///
/// Limits:
/// - True entries of an honest log disprove nothing: every rule here is one by which the log is
///   written, above all that an outcome directly follows its transition.
/// - MAX_EXHIBITS entries do not show every lie. They never show that an entry is missing.
/// - Only entries and openings that the caller has can be shown. Entries that a publisher withholds can be
///   disputed, not disproved.
contract Evidence {
    using Attribution for Terms;
    using Exhibits for Exhibit;
    using Exhibits for Exhibit[];
    using Payloads for bytes32;
    using SafeCast for uint256;

    /// The most entries of a case. Each costs about 50,000 gas in a log of 2^30 entries, most of it
    /// for calldata.
    uint256 public constant MAX_EXHIBITS = 16;

    /// @dev The contract that is judged, its terms, and the outcome or claim in question.
    struct Context {
        IEvidenceTarget escrow;
        bytes32 contractId;
        uint256 lastSigned; // as in its record
        uint256 lastFinal;
        Terms terms;
        AttributedOutcome attributed; // empty where no outcome or claim is in question
    }

    error NotAnchored(bytes32 logId, uint64 size);
    error ExhibitCount(uint256 count, uint256 limit);
    error UnknownKind(bytes32 kind);
    error UnknownToLog(bytes32 contractId, uint64 position);
    error NotVouchedFor(uint64 position, uint256 lastSigned);
    error NoContradiction(bytes32 kind);

    error TouchDoesNotCount(uint64 position);
    error TouchDoesNotQualify(uint64 position);
    error TouchDoesNotBeat(uint64 position, uint256 winner);
    error RivalCount(uint256 count);
    error NotARival(bytes32 rivalId);
    error RivalClosed(bytes32 rivalId, uint256 closedAt);
    error RivalTouchedBefore(uint64 position);
    error RivalHasCounted(uint64 position);

    error NotOperator(bytes32 contractId, address caller);
    error TransitionDoesNotCount(uint64 position);
    error AmountTooLarge(uint256 share, uint256 unitPrice, uint256 limit);
    error NoClaim(bytes32 contractId, bytes32 key);
    error NotAnswered(uint64 position);
    error NotTaken(uint64 position);
    error NotEarlier(uint64 position);
    error NotSettled(uint64 position, uint256 lastFinal);
    error AlreadyStated(uint64 position, uint256 lastFinal);

    // ------------------------------------------------------------ disproving a statement

    /// Retires the contract's verifier if the exhibits show that an entry for which it vouches is
    /// false. The first exhibit is that entry. `kind` names the rule that it breaks, and with it
    /// the other exhibits:
    ///
    ///   duplicate    outcome; an earlier one of the same transition, or of the same lead where the
    ///                contract is not repeatable
    ///   transition   outcome that the terms alone exclude, or that does not follow its transition;
    ///                or outcome, and the entry it names as its transition; or the contract's
    ///                opening, and an outcome below it
    ///   touch        outcome; the entry it names as its touch
    ///   cause        outcome; the reported touch it names, opened, that contradicts itself; or with
    ///                the entry that this names as its cause, opened if it is a code; or with the
    ///                code's end below the touch, too
    ///   touch_order  outcome; the touch of the same operator that should have been named
    ///   rival        outcome; the better touch of another contract's operator; that contract's
    ///                opening; if it is not repeatable, the transition, opened, and where others
    ///                counted the lead before, what `_requireNotCounted` says; if it is by first
    ///                touch, and its opening lies further back than its window, the touches before
    ///                the one shown (see `_requireFirstQualifies`)
    ///   sum          outcome or settlement that contradicts itself; or with the entry it names as
    ///                the one before it or the last, or with one in between, which it skips; or
    ///                with an earlier one that was over though it fits, and a reversal below that
    ///                where it fits for that alone; or reversal, and an outcome that was past the
    ///                budget before it
    ///   reversal     reversal that contradicts itself or the terms; or with the entry it names as
    ///                its outcome, its event or the reversal before it; or with one in between; or
    ///                with another by the same event; or with its event, opened, that contradicts
    ///                itself, or with one of these behind that: its outcome, and then the
    ///                transition, of which another amount was taken back; the transition, opened,
    ///                that the event does not fit; the event before it, opened, or one that it
    ///                skips; a later outcome of the lead of which something was left, and all
    ///                reversals since then
    ///   clock        touch, request, code, opening or settlement; an earlier one of these with a
    ///                later time
    ///
    /// An outcome here is paid or over the budget; for `sum` it is a paid one, since only these add
    /// up.
    /// @param escrow The escrow of the contract.
    /// @param terms The terms of the contract.
    /// @param kind The rule, in ASCII.
    /// @param size The size of an anchored checkpoint.
    /// @param exhibits One to MAX_EXHIBITS entries with their proofs in that checkpoint.
    /// @param rivals The terms of the other contract, for `rival` alone; else empty.
    function disprove(
        IEvidenceTarget escrow,
        Terms calldata terms,
        bytes32 kind,
        uint64 size,
        Exhibit[] calldata exhibits,
        Terms[] calldata rivals
    ) external {
        Context memory context = _contextOf(escrow, terms, size, exhibits);
        uint256 lastSigned = context.lastSigned;
        // Position 0 is the log's genesis, so zero means that no statement was signed.
        if (lastSigned == 0 || exhibits[0].position > lastSigned) {
            revert NotVouchedFor(exhibits[0].position, lastSigned);
        }

        if (!_isDisproved(context, kind, exhibits, rivals)) revert NoContradiction(kind);
        escrow.retire(terms, kind);
    }

    /// Returns true if the exhibits show that the first of them breaks the rule.
    function _isDisproved(
        Context memory context,
        bytes32 kind,
        Exhibit[] calldata exhibits,
        Terms[] calldata rivals
    ) private view returns (bool) {
        bytes32 contractId = context.contractId;
        if (kind == "sum") return Totals.isSumFalse(contractId, context.terms, exhibits);
        if (kind == "reversal") {
            return Reversals.isReversalFalse(contractId, context.terms, exhibits);
        }
        if (kind == "clock") return _isClockFalse(exhibits);

        Entry calldata outcome = exhibits[0].read();
        if (kind == "transition" && outcome.kind == "contract.opened") {
            return _isOpenedLate(contractId, exhibits);
        }
        if (!_isCounted(outcome) || outcome.actor != contractId) {
            revert Exhibits.NotOfContract(exhibits[0].position, contractId, "outcome");
        }
        OutcomePayload memory payload = outcome.payload.decodeOutcome();
        context.attributed =
            AttributedOutcome(outcome.subject, payload.target, payload.cause, outcome.timeMs);
        if (kind == "duplicate") return _isDuplicate(context, exhibits);
        if (kind == "transition") return _isTransitionFalse(context, exhibits);
        if (kind == "touch") return _isTouchFalse(context, exhibits);
        if (kind == "cause") return _isReportFalse(context, exhibits, 1);
        if (kind == "touch_order") {
            _requireBetterTouch(context, exhibits.exhibitAt(1));
            return true;
        }
        if (kind == "rival") {
            _requireRivalWins(context, exhibits, 1, rivals);
            return true;
        }
        revert UnknownKind(kind);
    }

    // ------------------------------------------------------------ claiming an outcome

    /// Files the claim of the contract's operator for a transition by a touch.
    /// @param escrow The escrow of the contract.
    /// @param terms_ The terms of the contract.
    /// @param size The size of an anchored checkpoint.
    /// @param transition The transition, with its proof in that checkpoint.
    /// @param touch The touch of the operator, likewise.
    /// @return key The name of the claim: the lead, or the position of the transition if a lead may
    /// count more than once.
    function claim(
        IEvidenceTarget escrow,
        Terms calldata terms_,
        uint64 size,
        Exhibit calldata transition,
        Exhibit calldata touch
    ) external returns (bytes32 key) {
        if (msg.sender != terms_.operator) {
            revert NotOperator(escrow.recordOf(terms_).contractId, msg.sender);
        }
        Terms memory terms = terms_;
        bytes32 root = _rootAt(escrow, terms.logId, size);
        transition.requireInTree(size, root);
        touch.requireInTree(size, root);

        AttributedOutcome memory attributed = _attributed(terms, transition, touch);
        key = terms.repeatable ? bytes32(uint256(transition.position)) : attributed.lead;
        escrow.fileClaim(
            terms_,
            key,
            Claim({
                lead: attributed.lead,
                amount: _amountOf(terms, transition.read().value),
                transition: attributed.transition.toUint40(),
                touch: attributed.touch.toUint40(),
                timeMs: attributed.timeMs.toUint64(),
                dropped: false
            })
        );
    }

    /// Returns what the terms pay for by these two. Reverts unless the transition counts, and the touch
    /// qualifies for it.
    function _attributed(Terms memory terms, Exhibit calldata transition, Exhibit calldata touch)
        private
        pure
        returns (AttributedOutcome memory attributed)
    {
        Entry calldata entered = transition.read();
        if (!terms.isOutcomeTransition(entered)) {
            revert TransitionDoesNotCount(transition.position);
        }
        attributed =
            AttributedOutcome(entered.subject, transition.position, touch.position, entered.timeMs);
        if (!terms.isQualifyingTouch(attributed, touch.position, touch.read())) {
            revert TouchDoesNotQualify(touch.position);
        }
    }

    /// Returns the amount of an outcome. Reverts if it exceeds 80 bits.
    function _amountOf(Terms memory terms, uint256 value) private pure returns (uint80) {
        uint256 share = terms.revenueShare(value);
        uint256 limit = type(uint80).max;
        if (share > limit || share + terms.unitPrice > limit) {
            revert AmountTooLarge(share, terms.unitPrice, limit);
        }
        return (share + terms.unitPrice).toUint80();
    }

    /// Drops a claim that the log refutes, or lowers it by what was taken back. `kind` names the
    /// exhibits:
    ///
    ///   answered     the verifier's own decision: an outcome, over or refused entry of the
    ///                contract, for the same transition or the same lead (as the claim's key),
    ///                below its last final statement
    ///   taken        an outcome or over entry by which the log gave the transition to another
    ///                contract for the same outcome, below the last final statement of either; the
    ///                touch that it names; that contract's opening
    ///   earlier      where a lead counts once: an outcome or over entry by which the log counted it
    ///                for the contract at an earlier transition; that transition; a touch by which
    ///                it could be claimed; the contract's opening
    ///   reversed     a product event, opened, that takes back from the transition; that one, opened
    ///                if the event has an order, unless it has none and is the first to take back
    ///   cause        as in `disprove`, without the outcome; likewise:
    ///   touch_order
    ///   rival
    ///
    /// @param escrow The escrow of the contract.
    /// @param terms The terms of the contract.
    /// @param key The name of the claim.
    /// @param kind The reason, in ASCII.
    /// @param size The size of an anchored checkpoint.
    /// @param exhibits One to MAX_EXHIBITS entries with their proofs in that checkpoint.
    /// @param rivals The terms of the other contract, for `taken` and `rival` alone; else empty.
    function refute(
        IEvidenceTarget escrow,
        Terms calldata terms,
        bytes32 key,
        bytes32 kind,
        uint64 size,
        Exhibit[] calldata exhibits,
        Terms[] calldata rivals
    ) external {
        Context memory context = _contextOf(escrow, terms, size, exhibits);
        context.attributed = _filedClaim(escrow, context.contractId, key);

        uint256 left = 0;
        if (kind == "answered") {
            _requireAnswered(context, exhibits[0]);
        } else if (kind == "taken") {
            _requireTaken(context, exhibits, rivals);
        } else if (kind == "earlier") {
            _requireEarlier(context, exhibits);
        } else if (kind == "reversed") {
            left = _amountLeft(context, exhibits);
        } else if (kind == "cause") {
            if (!_isReportFalse(context, exhibits, 0)) revert NoContradiction(kind);
        } else if (kind == "touch_order") {
            _requireBetterTouch(context, exhibits[0]);
        } else if (kind == "rival") {
            _requireRivalWins(context, exhibits, 0, rivals);
        } else {
            revert UnknownKind(kind);
        }
        escrow.lowerClaim(terms, key, left, kind);
    }

    /// Returns the transition and touch of a claim that stands.
    function _filedClaim(IEvidenceTarget escrow, bytes32 contractId, bytes32 key)
        private
        view
        returns (AttributedOutcome memory)
    {
        Claim memory filed = escrow.claimOf(contractId, key);
        // Position 0 is the log's genesis, so zero means that there is no such claim.
        if (filed.transition == 0 || filed.dropped) revert NoClaim(contractId, key);
        return AttributedOutcome(filed.lead, filed.transition, filed.touch, filed.timeMs);
    }

    /// Returns what the event, the first exhibit, leaves of a claim.
    function _amountLeft(Context memory context, Exhibit[] calldata exhibits)
        private
        pure
        returns (uint256)
    {
        // The amount that was filed, which the escrow may have lowered. Where the event takes all
        // that is left, the transition need not be shown, and the amount makes no difference.
        uint256 amount = exhibits.length == 1
            ? 0
            : _amountOf(context.terms, exhibits[1].readAt(context.attributed.transition).value);
        return
            amount
                - Reversals.amountTakenBack(context.terms, context.attributed, amount, exhibits, 0);
    }

    /// Reverts unless the exhibit is the verifier's decision on the claim, below a final statement.
    function _requireAnswered(Context memory context, Exhibit calldata exhibit) private pure {
        Entry calldata answer = exhibit.read();
        bool isAnswer = _isCounted(answer) || answer.kind == "outcome.refused";
        bool isSame = context.terms.repeatable
            ? answer.payload.decodeOutcome().target == context.attributed.transition
            : answer.subject == context.attributed.lead;
        if (
            !isAnswer || !isSame || answer.actor != context.contractId
                || !_isFinal(context.lastFinal, exhibit.position)
        ) revert NotAnswered(exhibit.position);
    }

    /// Reverts unless the log gave the transition to another contract, and that contract could have
    /// it. An outcome stands directly above its transition, and touch and opening stand below it.
    /// So these entries cannot be written afterwards to deny a claim.
    function _requireTaken(
        Context memory context,
        Exhibit[] calldata exhibits,
        Terms[] calldata rivals
    ) private view {
        (Terms memory rival, EscrowRecord memory record) = _rivalOf(context, rivals);
        bytes32 rivalId = record.contractId;
        _requireSameOutcome(context, rivalId, rival);
        Exhibit calldata exhibit = exhibits[0];
        Entry calldata outcome = exhibit.read();
        OutcomePayload memory payload = outcome.payload.decodeOutcome();
        if (
            !_isCounted(outcome) || outcome.actor != rivalId
                || payload.target != context.attributed.transition
                || exhibit.position != context.attributed.transition + 1
                || !(_isFinal(record.lastFinal, exhibit.position)
                    || _isFinal(context.lastFinal, exhibit.position))
        ) revert NotTaken(exhibit.position);

        Exhibit calldata touch = exhibits.exhibitAt(1);
        _requireWinningTouch(context, rivalId, rival, touch.position, touch.readAt(payload.cause));
        _requireOpenedInLog(context.attributed, exhibits.exhibitAt(2), rivalId);
    }

    /// Reverts unless the contract counts a lead once, and the log counted this one for it at an
    /// earlier transition that could have been claimed. What came of that, paid, over or taken back,
    /// makes no difference. All four entries stand below the claimed transition, as the outcome
    /// directly follows its own: so they cannot be written afterwards to deny a claim.
    function _requireEarlier(Context memory context, Exhibit[] calldata exhibits) private pure {
        Entry calldata outcome = exhibits[0].read();
        AttributedOutcome memory claimed = context.attributed;
        AttributedOutcome memory earlier =
            _attributed(context.terms, exhibits.exhibitAt(1), exhibits.exhibitAt(2));
        if (
            context.terms.repeatable || !_isCounted(outcome) || outcome.actor != context.contractId
                || outcome.subject != claimed.lead || earlier.lead != claimed.lead
                || earlier.transition >= claimed.transition
                || exhibits[0].position != earlier.transition + 1
        ) revert NotEarlier(exhibits[0].position);
        _requireOpenedInLog(earlier, exhibits.exhibitAt(3), context.contractId);
    }

    /// Returns true if the last final statement stands on or above the entry.
    function _isFinal(uint256 lastFinal, uint256 position) private pure returns (bool) {
        return lastFinal != 0 && position <= lastFinal; // zero: there is none
    }

    /// Returns the other contract that the caller has named, and its record.
    function _rivalOf(Context memory context, Terms[] calldata rivals)
        private
        view
        returns (Terms memory, EscrowRecord memory)
    {
        if (rivals.length != 1) revert RivalCount(rivals.length);
        return (rivals[0], context.escrow.recordOf(rivals[0]));
    }

    // ------------------------------------------------------------ proving a reversal

    /// Tells the escrow what an event took back of an outcome that it has settled, as long as no final
    /// statement stands above the event. The verifier need not have stated it, nor the publisher have
    /// written the reversal.
    /// @param escrow The escrow of the contract.
    /// @param terms The terms of the contract.
    /// @param size The size of an anchored checkpoint.
    /// @param exhibits The outcome, on or below the contract's last final statement; the product
    /// event above that, opened, that takes back from its transition; and the transition, opened if
    /// the event has an order, unless it has none and is the first to take back. Each with its proof
    /// in that checkpoint.
    function proveReversal(
        IEvidenceTarget escrow,
        Terms calldata terms,
        uint64 size,
        Exhibit[] calldata exhibits
    ) external {
        Context memory context = _contextOf(escrow, terms, size, exhibits);
        Entry calldata outcome = exhibits.contested(context.contractId, "outcome");
        uint64 position = exhibits[0].position;
        if (!_isFinal(context.lastFinal, position)) revert NotSettled(position, context.lastFinal);
        uint64 happened = exhibits.exhibitAt(1).position;
        if (happened <= context.lastFinal) revert AlreadyStated(happened, context.lastFinal);
        OutcomePayload memory payload = outcome.payload.decodeOutcome();
        context.attributed =
            AttributedOutcome(outcome.subject, payload.target, payload.cause, outcome.timeMs);
        escrow.recordReversal(
            terms,
            ProvenReversal({
                happened: happened,
                outcome: position,
                value: outcome.value,
                sum: payload.sum,
                amount: Reversals.amountByEvent(
                    context.terms, context.attributed, outcome.value, exhibits, 1
                )
            })
        );
    }

    // ------------------------------------------------------------ an outcome's facts

    /// Returns true if the second exhibit shows that the outcome repeats an earlier one. A
    /// transition pays at most one contract, and a lead counts once unless the contract is
    /// repeatable.
    function _isDuplicate(Context memory context, Exhibit[] calldata exhibits)
        private
        pure
        returns (bool)
    {
        Exhibit calldata exhibit = exhibits.exhibitAt(1);
        Entry calldata earlier = exhibit.read();
        if (exhibit.position >= exhibits[0].position || !_isCounted(earlier)) return false;
        if (earlier.payload.decodeOutcome().target == context.attributed.transition) return true;
        return !context.terms.repeatable && earlier.actor == context.contractId
            && earlier.subject == context.attributed.lead;
    }

    /// Returns true if the outcome contradicts the terms, itself, or the transition that it names.
    function _isTransitionFalse(Context memory context, Exhibit[] calldata exhibits)
        private
        pure
        returns (bool)
    {
        Terms memory terms = context.terms;
        AttributedOutcome memory attributed = context.attributed;
        Entry calldata outcome = exhibits[0].read();
        if (exhibits.length == 1) {
            return outcome.surface != terms.surface || outcome.label != terms.outcome
                || !terms.covers(outcome.timeMs)
                || attributed.transition + 1 != exhibits[0].position
                || attributed.touch >= attributed.transition
                || outcome.payload.decodeOutcome().padding != 0
                || (terms.revenueShareBps == 0 && outcome.value != terms.unitPrice);
        }
        Entry calldata entered = exhibits[1].readAt(attributed.transition);
        return !terms.isOutcomeTransition(entered) || entered.subject != outcome.subject
            || entered.timeMs != outcome.timeMs || !terms.isAmountDue(entered.value, outcome.value);
    }

    /// Returns true if the touch that the outcome names does not qualify.
    function _isTouchFalse(Context memory context, Exhibit[] calldata exhibits)
        private
        pure
        returns (bool)
    {
        Entry calldata touch = exhibits.exhibitAt(1).readAt(context.attributed.touch);
        return !context.terms.isQualifyingTouch(context.attributed, context.attributed.touch, touch);
    }

    /// Returns true if the exhibit at `index`, a reported touch, contradicts itself, or the entry
    /// behind it, which it names as its cause: a code, if it is a click, that had neither expired at
    /// its time nor ended below it. The end, if it is shown, stands behind the code.
    function _isReportFalse(Context memory context, Exhibit[] calldata exhibits, uint256 index)
        private
        pure
        returns (bool)
    {
        Exhibit calldata exhibit = exhibits.exhibitAt(index);
        Entry calldata touch = exhibit.readAt(context.attributed.touch);
        if (touch.kind != "touch.reported") return false;
        ReportedTouchOpening calldata said = exhibit.reportedTouchOpening();
        if (said.cause >= exhibit.position || touch.timeMs > said.receivedMs) return true;

        Entry calldata cause = exhibits.exhibitAt(index + 1).readAt(said.cause);
        if (cause.surface != touch.surface || cause.actor != touch.actor) return true;
        if (cause.kind == "action.requested") {
            return cause.subject != touch.subject || cause.label != touch.label
                || cause.timeMs != touch.timeMs;
        }
        if (cause.kind != "code.issued" || touch.label != "click" || cause.timeMs > touch.timeMs) {
            return true;
        }
        if (exhibits.length > index + 2) {
            return _isEndBetween(cause, exhibits[index + 2], said.cause, exhibit.position);
        }
        return touch.timeMs > exhibits[index + 1].codeOpening().expiresMs;
    }

    /// Returns true if the exhibit ends the code, and stands above its issue and below a click.
    function _isEndBetween(
        Entry calldata code,
        Exhibit calldata exhibit,
        uint256 issued,
        uint256 clicked
    ) private pure returns (bool) {
        Entry calldata end = exhibit.read();
        return end.kind == "code.ended" && end.surface == code.surface
            && end.subject == code.subject && issued < exhibit.position
            && exhibit.position < clicked;
    }

    /// Returns true if the contract has an outcome below its opening: the log records an opening
    /// first.
    function _isOpenedLate(bytes32 contractId, Exhibit[] calldata exhibits)
        private
        pure
        returns (bool)
    {
        Exhibit calldata exhibit = exhibits.exhibitAt(1);
        Entry calldata outcome = exhibit.read();
        return exhibits[0].read().subject == contractId && exhibit.position < exhibits[0].position
            && _isCounted(outcome) && outcome.actor == contractId;
    }

    /// Returns true if the log's own clock has gone back between the two exhibits.
    function _isClockFalse(Exhibit[] calldata exhibits) private pure returns (bool) {
        Exhibit calldata exhibit = exhibits.exhibitAt(1);
        Entry calldata later = exhibits[0].read();
        Entry calldata earlier = exhibit.read();
        return exhibit.position < exhibits[0].position && _hasLogTime(later.kind)
            && _hasLogTime(earlier.kind) && later.timeMs < earlier.timeMs;
    }

    /// Returns true for the kinds whose time is the log's own and decides a rule.
    function _hasLogTime(bytes32 kind) private pure returns (bool) {
        return kind == "touch" || kind == "action.requested" || kind == "code.issued"
            || kind == "contract.opened" || kind == "settlement";
    }

    // ------------------------------------------------------------ better touches and rivals

    /// Reverts unless the contract's own operator has a better touch: by first touch an earlier one
    /// that counts, for if that is too old no touch qualifies; by last touch a later one that
    /// qualifies.
    function _requireBetterTouch(Context memory context, Exhibit calldata touch) private pure {
        if (context.terms.attribution == Attribution.FIRST_TOUCH) {
            if (!context.terms.isCountingTouch(context.attributed, touch.position, touch.read())) {
                revert TouchDoesNotCount(touch.position);
            }
        } else if (!context.terms
            .isQualifyingTouch(context.attributed, touch.position, touch.read())) {
            revert TouchDoesNotQualify(touch.position);
        }
        if (!_isBetter(context, touch.position)) {
            revert TouchDoesNotBeat(touch.position, context.attributed.touch);
        }
    }

    /// Reverts unless the exhibits from `index` on show that another contract wins: its operator's
    /// touch, its opening, and where needed the transition, the lead's earlier ones and the
    /// operator's earlier touches.
    function _requireRivalWins(
        Context memory context,
        Exhibit[] calldata exhibits,
        uint256 index,
        Terms[] calldata rivals
    ) private view {
        (Terms memory rival, EscrowRecord memory record) = _rivalOf(context, rivals);
        bytes32 rivalId = record.contractId;
        _requireRival(context, rivalId, rival);

        Exhibit calldata touch = exhibits.exhibitAt(index++);
        _requireWinningTouch(context, rivalId, rival, touch.position, touch.read());
        Exhibit calldata opened = exhibits.exhibitAt(index++);
        _requireOpenedInLog(context.attributed, opened, rivalId);
        if (!rival.repeatable) {
            index = _requireNotCounted(context, rivalId, opened.position, exhibits, index);
        }
        if (rival.attribution == Attribution.FIRST_TOUCH) {
            _requireFirstQualifies(context.attributed, rival, touch, opened, exhibits, index);
        }
    }

    /// Reverts unless the touch qualifies for the other contract, and wins if the two compete.
    function _requireWinningTouch(
        Context memory context,
        bytes32 rivalId,
        Terms memory rival,
        uint64 position,
        Entry calldata touch
    ) private view {
        if (!rival.isQualifyingTouch(context.attributed, position, touch)) {
            revert TouchDoesNotQualify(position);
        }
        bool isBetter = _isBetter(context, position)
            || (position == context.attributed.touch && _openedEarlier(context, rivalId));
        if (!isBetter && _hasSameRules(context, rival)) {
            revert TouchDoesNotBeat(position, context.attributed.touch);
        }
    }

    /// Reverts unless the two contracts compete: they have the same rules, and both are open at the
    /// time of the transition.
    function _requireRival(Context memory context, bytes32 rivalId, Terms memory rival)
        private
        view
    {
        if (!_hasSameRules(context, rival)) revert NotARival(rivalId);
        _requireSameOutcome(context, rivalId, rival);
    }

    /// Returns true if both contracts are judged by the same rules.
    function _hasSameRules(Context memory context, Terms memory rival) private pure returns (bool) {
        return
            rival.policy == context.terms.policy && rival.attribution == context.terms.attribution;
    }

    /// Reverts unless the other contract is for the same outcome, and open at the time of the
    /// transition.
    function _requireSameOutcome(Context memory context, bytes32 rivalId, Terms memory rival)
        private
        view
    {
        Terms memory terms = context.terms;
        if (
            rival.owner != terms.owner || rival.logId != terms.logId
                || rival.surface != terms.surface || rival.outcome != terms.outcome
                || !rival.covers(context.attributed.timeMs)
        ) revert NotARival(rivalId);
        uint256 closedAt = context.escrow.closedAtOf(rivalId);
        if (closedAt != 0 && context.attributed.timeMs > Attribution.toMs(closedAt)) {
            revert RivalClosed(rivalId, closedAt);
        }
    }

    /// Reverts unless the log knew of the contract when it took the transition.
    function _requireOpenedInLog(
        AttributedOutcome memory attributed,
        Exhibit calldata opened,
        bytes32 contractId
    ) private pure {
        Entry calldata entry = opened.read();
        if (
            entry.kind != "contract.opened" || entry.subject != contractId
                || opened.position >= attributed.transition
        ) revert UnknownToLog(contractId, opened.position);
    }

    /// Reverts unless the rival had not counted the lead before. The exhibits from `index` on are the
    /// transition, opened, and where that says that the lead was counted since the rival opened, the
    /// entry that counted it; if that is another contract's, the transition below it, opened; and so
    /// on. Returns the index behind these.
    function _requireNotCounted(
        Context memory context,
        bytes32 rivalId,
        uint256 openedAt,
        Exhibit[] calldata exhibits,
        uint256 index
    ) private pure returns (uint256) {
        uint256 transition = context.attributed.transition;
        while (true) {
            Exhibit calldata entered = exhibits.exhibitAt(index++);
            if (!_isVisit(context, entered.readAt(transition), "lead.transition")) return index;
            uint256 counted = entered.transitionOpening().counted;
            // It names no entry since the rival opened. One above the transition is false. False
            // entries protect no one.
            if (counted <= openedAt || counted >= transition) return index;

            Exhibit calldata exhibit = exhibits.exhibitAt(index++);
            Entry calldata outcome = exhibit.readAt(counted);
            if (
                !_isVisit(context, outcome, "outcome")
                    && !_isVisit(context, outcome, "outcome.over")
            ) {
                return index;
            }
            if (outcome.actor == rivalId) revert RivalHasCounted(exhibit.position);
            transition = counted - 1;
        }
        return index;
    }

    /// Returns true if the entry is of this kind, and of the lead and state in question.
    function _isVisit(Context memory context, Entry calldata entry, bytes32 kind)
        private
        pure
        returns (bool)
    {
        return entry.kind == kind && entry.surface == context.terms.surface
            && entry.subject == context.attributed.lead && entry.label == context.terms.outcome;
    }

    /// Reverts unless the rival's first counting touch qualifies, as first-touch attribution
    /// demands. That holds if the window reaches back to the rival's opening. It also holds if
    /// `touch`, which qualifies, is the first that counts. The exhibits from `index` on are the
    /// operator's touches before it, the last first, down to one that no touch below can count for:
    /// there is none, or all below are older than the rival's opening.
    function _requireFirstQualifies(
        AttributedOutcome memory attributed,
        Terms memory rival,
        Exhibit calldata touch,
        Exhibit calldata opened,
        Exhibit[] calldata exhibits,
        uint256 index
    ) private pure {
        uint256 opensMs = Attribution.toMs(rival.opensAt);
        if (attributed.timeMs - opensMs <= Attribution.toMs(rival.attributionWindow)) return;
        bool isOpenedEarly = opened.read().timeMs < opensMs;

        uint256 position = touch.position;
        uint256 follows = touch.read().value; // 1 + the position of the touch before; zero: none
        // A value that names no such touch below is false, and does not protect the outcome.
        while (follows != 0 && follows <= position) {
            // No time below an entry is later than one that the log itself gives it.
            if (isOpenedEarly && follows <= opened.position) return;
            position = follows - 1;
            Entry calldata before = exhibits.exhibitAt(index++).readAt(position);
            if (!rival.isOwnTouch(attributed.lead, before)) return;
            if (before.timeMs < opensMs) {
                if (before.kind == "touch") return;
            } else if (before.timeMs <= attributed.timeMs) {
                revert RivalTouchedBefore(position.toUint64());
            }
            follows = before.value;
        }
    }

    /// Returns true if the touch at this position wins over the attributed one, by the contract's
    /// attribution.
    function _isBetter(Context memory context, uint256 touch) private pure returns (bool) {
        return context.terms.attribution == Attribution.FIRST_TOUCH
            ? touch < context.attributed.touch
            : touch > context.attributed.touch;
    }

    /// Returns true if the rival was opened before the contract.
    function _openedEarlier(Context memory context, bytes32 rivalId) private view returns (bool) {
        IEvidenceTarget escrow = context.escrow;
        return escrow.openingNumberOf(rivalId) < escrow.openingNumberOf(context.contractId);
    }

    // ------------------------------------------------------------ the log

    /// Checks that every exhibit is in the log, and returns the context.
    function _contextOf(
        IEvidenceTarget escrow,
        Terms calldata terms,
        uint64 size,
        Exhibit[] calldata exhibits
    ) private view returns (Context memory context) {
        uint256 count = exhibits.length;
        if (count == 0 || count > MAX_EXHIBITS) revert ExhibitCount(count, MAX_EXHIBITS);
        context.escrow = escrow;
        EscrowRecord memory record = escrow.recordOf(terms);
        context.contractId = record.contractId;
        (context.lastSigned, context.lastFinal) = (record.lastSigned, record.lastFinal);
        context.terms = terms;

        bytes32 root = _rootAt(escrow, context.terms.logId, size);
        for (uint256 i = 0; i < count; ++i) {
            exhibits[i].requireInTree(size, root);
        }
    }

    /// Returns the anchored root of this size. Reverts if there is none.
    function _rootAt(IEvidenceTarget escrow, bytes32 logId, uint64 size)
        private
        view
        returns (bytes32 root)
    {
        root = escrow.eventLog().rootAt(logId, size);
        if (root == 0) revert NotAnchored(logId, size);
    }

    /// Returns true if the entry uses up its transition, and its lead where a lead counts once.
    function _isCounted(Entry calldata entry) private pure returns (bool) {
        return entry.kind == "outcome" || entry.kind == "outcome.over";
    }
}
