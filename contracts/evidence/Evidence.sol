// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEvidenceTarget} from "../interfaces/IEvidenceTarget.sol";
import {Entry} from "../log/MerkleLog.sol";
import {Terms} from "../terms/Terms.sol";
import {AttributedOutcome, Attribution} from "./Attribution.sol";
import {Claim, Exhibit, Opening} from "./EvidenceTypes.sol";
import {Exhibits} from "./Exhibits.sol";
import {OutcomePayload, Payloads} from "./Payloads.sol";
import {Totals} from "./Totals.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title What the log alone decides
/// @notice Anyone shows at most four log entries, each with its inclusion proof in one anchored
/// checkpoint, and this contract tells the escrow what follows from them: that a verifier signed
/// something false (`disprove`), that an outcome is owed which nobody settled (`claim`), or that
/// such a claim is unfounded (`refute`). It keeps nothing, owns nothing and asks nobody.
///
/// What this contract assumes, and what it does not promise:
/// - A verifier vouches for every entry below a statement that it signed, whoever wrote it and
///   whatever it is about: it has replayed the log, with the openings and closings that the chain
///   knows, and signs nothing above a false entry.
/// - Order is the log's order, never time. Times that the log itself gives (touches, openings) do
///   not fall along it; those of product events may.
/// - True entries of an honest log disprove nothing: every rule here is one that the log is written
///   by, above all that an outcome directly follows its transition. Not every lie can be shown in four entries: that something is missing never can.
/// - Who disproves has the entries. What a publisher keeps to itself can be disputed, not disproved.
/// - SHA-256 has no collisions.
/// - The escrow is the caller's choice. It keeps the facts and takes the consequences itself, so a
///   false one fools nobody else.
contract Evidence {
    using Attribution for Terms;
    using Exhibits for Exhibit;
    using Exhibits for Exhibit[];
    using Payloads for bytes32;
    using SafeCast for uint256;

    uint256 public constant MAX_EXHIBITS = 4;

    /// What is judged, and by which config.
    struct Context {
        IEvidenceTarget escrow;
        bytes32 contractId;
        Terms terms;
        AttributedOutcome attributed; // that of the accused outcome or claim, where it is about one
    }

    error NotAnchored(bytes32 logId, uint64 size);
    error ExhibitCount(uint256 count, uint256 limit);
    error UnknownKind(bytes32 kind);
    error NotVouchedFor(uint64 position, uint256 lastSigned);
    error NoContradiction(bytes32 kind);

    error TouchDoesNotCount(uint64 position);
    error TouchDoesNotQualify(uint64 position);
    error TouchDoesNotBeat(uint64 position, uint256 winner);
    error NotARival(bytes32 rivalId);
    error RivalClosed(bytes32 rivalId, uint256 closedAt);
    error RivalUnknownToLog(bytes32 rivalId, uint64 position);
    error RivalTouchedBefore(uint64 position);
    error WrongOpening(uint64 position);
    error NotTheFirstEntry(uint256 nth);

    error NotOperator(bytes32 contractId, address caller);
    error TransitionDoesNotCount(uint64 position);
    error AmountTooLarge(uint256 share, uint256 unitPrice, uint256 limit);
    error NoClaim(bytes32 contractId, bytes32 key);
    error NotAnswered(uint64 position);
    error NotTaken(uint64 position);

    // ------------------------------------------------------------ disproving a statement

    /// Retires the contract's verifier, if the exhibits show that an entry it vouches for is false.
    /// The first exhibit is that entry; `kind` says which rule it breaks and what must follow it:
    ///
    ///   duplicate    outcome; an earlier one of the same transition, or of the same lead where the
    ///                contract is not repeatable
    ///   transition   outcome that the terms alone exclude, or that does not follow its transition;
    ///                or outcome, and the entry it names as its transition; or the contract's
    ///                opening, and an outcome below it
    ///   touch        outcome; the entry it names as its touch
    ///   touch_order  outcome; the touch of the same operator that should have been named
    ///   rival        outcome; the better touch of another contract's operator; that contract's
    ///                opening; if it is not repeatable, the transition; if it is by first touch and
    ///                its opening lies further back than its window, and the touch shown follows
    ///                on another, that one (see `_requireFirstQualifies`)
    ///   sum          outcome or settlement that contradicts itself; or with the entry it names as
    ///                the one before it or the last, or with one in between, which it skips; or with
    ///                an earlier one that was over though it fits, and a reversal below that where
    ///                it fits for that alone; or reversal, and an outcome that was past the budget
    ///                before it
    ///   reversal     reversal that contradicts itself or the terms; or with the entry it names as
    ///                its outcome, its event or the reversal before it; or with one in between; or
    ///                with an earlier one of the same outcome, or by the same event; or with a later
    ///                outcome of the lead, and the reversals since then that are not of that
    ///   clock        touch, opening or settlement; an earlier one of these with a later time
    ///
    /// An outcome is one that is paid or over, but for `sum`, where only paid ones add up. `rivalId`
    /// is the other contract, `opening` the opening of the transition's payload; both are read for a
    /// rival alone.
    function disprove(
        IEvidenceTarget escrow,
        bytes32 contractId,
        bytes32 kind,
        uint64 size,
        Exhibit[] calldata exhibits,
        bytes32 rivalId,
        Opening calldata opening
    ) external {
        Context memory context = _contextOf(escrow, contractId, size, exhibits);
        uint256 lastSigned = escrow.reachOf(contractId);
        // Position 0 is the log's genesis: a lastSigned of zero means that nothing was signed.
        if (lastSigned == 0 || exhibits[0].position > lastSigned) {
            revert NotVouchedFor(exhibits[0].position, lastSigned);
        }

        if (!_isDisproved(context, kind, exhibits, rivalId, opening)) revert NoContradiction(kind);
        escrow.retire(contractId, kind);
    }

    function _isDisproved(
        Context memory context,
        bytes32 kind,
        Exhibit[] calldata exhibits,
        bytes32 rivalId,
        Opening calldata opening
    ) private view returns (bool) {
        bytes32 contractId = context.contractId;
        if (kind == "sum") return Totals.isSumFalse(contractId, context.terms, exhibits);
        if (kind == "reversal") return Totals.isReversalFalse(contractId, context.terms, exhibits);
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
        if (kind == "touch_order") {
            _requireBetterTouch(context, exhibits.exhibitAt(1));
            return true;
        }
        if (kind == "rival") {
            _requireRivalWins(context, exhibits, 1, rivalId, opening);
            return true;
        }
        revert UnknownKind(kind);
    }

    // ------------------------------------------------------------ claiming an outcome

    /// Files what the contract's operator is owed for this transition by this touch. `key` names
    /// the claim: the lead, or the transition's position if a lead may count more than once.
    function claim(
        IEvidenceTarget escrow,
        bytes32 contractId,
        uint64 size,
        Exhibit calldata transition,
        Exhibit calldata touch
    ) external returns (bytes32 key) {
        Terms memory terms = escrow.termsOf(contractId);
        if (msg.sender != terms.operator) revert NotOperator(contractId, msg.sender);
        bytes32 root = _rootAt(escrow, terms.logId, size);
        transition.requireInTree(size, root);
        touch.requireInTree(size, root);

        Entry calldata entered = transition.read();
        if (!terms.isOutcomeTransition(entered)) {
            revert TransitionDoesNotCount(transition.position);
        }
        AttributedOutcome memory attributed =
            AttributedOutcome(entered.subject, transition.position, touch.position, entered.timeMs);
        if (!terms.isQualifyingTouch(attributed, touch.position, touch.read())) {
            revert TouchDoesNotQualify(touch.position);
        }

        key = terms.repeatable ? bytes32(uint256(transition.position)) : attributed.lead;
        escrow.fileClaim(
            contractId,
            key,
            Claim({
                lead: attributed.lead,
                amount: _amountOf(terms, entered.value),
                transition: attributed.transition.toUint40(),
                touch: attributed.touch.toUint40(),
                timeMs: attributed.timeMs.toUint64(),
                dropped: false
            })
        );
    }

    function _amountOf(Terms memory terms, uint256 value) private pure returns (uint80) {
        uint256 share = terms.revenueShare(value);
        uint256 limit = type(uint80).max;
        if (share > limit || share + terms.unitPrice > limit) {
            revert AmountTooLarge(share, terms.unitPrice, limit);
        }
        return (share + terms.unitPrice).toUint80();
    }

    /// Drops a claim that the log refutes. The exhibits by `kind`:
    ///
    ///   answered     the verifier's own word on it: an outcome, over or refused entry of the
    ///                contract, for the same transition or the same lead (as the claim's key),
    ///                below its last final statement
    ///   taken        an outcome or over entry by which the log gave the transition to another
    ///                contract for the same outcome, below the last final statement of either; the
    ///                touch that it names; that contract's opening
    ///   touch_order  as in `disprove`, without the outcome
    ///   rival        as in `disprove`, without the outcome
    ///
    /// `rivalId` is the other contract of `taken` and `rival`.
    function refute(
        IEvidenceTarget escrow,
        bytes32 contractId,
        bytes32 key,
        bytes32 kind,
        uint64 size,
        Exhibit[] calldata exhibits,
        bytes32 rivalId,
        Opening calldata opening
    ) external {
        Context memory context = _contextOf(escrow, contractId, size, exhibits);
        context.attributed = _filedClaim(escrow, contractId, key);

        if (kind == "answered") {
            _requireAnswered(context, exhibits[0]);
        } else if (kind == "taken") {
            _requireTaken(context, exhibits, rivalId);
        } else if (kind == "touch_order") {
            _requireBetterTouch(context, exhibits[0]);
        } else if (kind == "rival") {
            _requireRivalWins(context, exhibits, 0, rivalId, opening);
        } else {
            revert UnknownKind(kind);
        }
        escrow.dropClaim(contractId, key, kind);
    }

    function _filedClaim(IEvidenceTarget escrow, bytes32 contractId, bytes32 key)
        private
        view
        returns (AttributedOutcome memory)
    {
        Claim memory filed = escrow.claimOf(contractId, key);
        // Position 0 is the log's genesis, and nobody's transition.
        if (filed.transition == 0 || filed.dropped) revert NoClaim(contractId, key);
        return AttributedOutcome(filed.lead, filed.transition, filed.touch, filed.timeMs);
    }

    function _requireAnswered(Context memory context, Exhibit calldata exhibit) private view {
        Entry calldata answer = exhibit.read();
        bool isAnswer = _isCounted(answer) || answer.kind == "outcome.refused";
        bool isSame = context.terms.repeatable
            ? answer.payload.decodeOutcome().target == context.attributed.transition
            : answer.subject == context.attributed.lead;
        if (
            !isAnswer || !isSame || answer.actor != context.contractId
                || !_isFinal(context, context.contractId, exhibit.position)
        ) revert NotAnswered(exhibit.position);
    }

    /// The log's word that another contract got the transition, where that can be so. An outcome
    /// stands directly above its transition, and touch and opening stand below it: so nobody denies
    /// afterwards what was owed.
    function _requireTaken(Context memory context, Exhibit[] calldata exhibits, bytes32 rivalId)
        private
        view
    {
        Terms memory rival = context.escrow.termsOf(rivalId);
        _requireSameOutcome(context, rivalId, rival);
        Exhibit calldata exhibit = exhibits[0];
        Entry calldata outcome = exhibit.read();
        OutcomePayload memory payload = outcome.payload.decodeOutcome();
        if (
            !_isCounted(outcome) || outcome.actor != rivalId
                || payload.target != context.attributed.transition
                || exhibit.position != context.attributed.transition + 1
                || !(_isFinal(context, rivalId, exhibit.position)
                    || _isFinal(context, context.contractId, exhibit.position))
        ) revert NotTaken(exhibit.position);

        Exhibit calldata touch = exhibits.exhibitAt(1);
        _requireWinningTouch(context, rivalId, rival, touch.position, touch.readAt(payload.cause));
        _requireOpenedInLog(context.attributed, exhibits.exhibitAt(2), rivalId);
    }

    /// Whether a final statement of the contract stands on or above the entry.
    function _isFinal(Context memory context, bytes32 contractId, uint256 position)
        private
        view
        returns (bool)
    {
        uint256 lastFinal = context.escrow.floorOf(contractId);
        return lastFinal != 0 && position <= lastFinal; // zero: there is none
    }

    // ------------------------------------------------------------ an outcome's facts

    /// A transition pays at most one contract, and a lead counts once unless the contract is
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

    function _isTouchFalse(Context memory context, Exhibit[] calldata exhibits)
        private
        pure
        returns (bool)
    {
        Entry calldata touch = exhibits.exhibitAt(1).readAt(context.attributed.touch);
        return !context.terms.isQualifyingTouch(context.attributed, context.attributed.touch, touch);
    }

    /// The log knows a contract before it gives it anything.
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

    /// The log's own clock does not go back.
    function _isClockFalse(Exhibit[] calldata exhibits) private pure returns (bool) {
        Exhibit calldata exhibit = exhibits.exhibitAt(1);
        Entry calldata later = exhibits[0].read();
        Entry calldata earlier = exhibit.read();
        return exhibit.position < exhibits[0].position && _hasLogTime(later.kind)
            && _hasLogTime(earlier.kind) && later.timeMs < earlier.timeMs;
    }

    /// Of the entries whose time is the log's own, those whose time decides anything.
    function _hasLogTime(bytes32 kind) private pure returns (bool) {
        return kind == "touch" || kind == "contract.opened" || kind == "settlement";
    }

    // ------------------------------------------------------------ whose touch was better

    /// Reverts unless the contract's own operator has an earlier (first touch) or later (last
    /// touch) counting touch. It need not be young enough: then no touch of the operator is.
    function _requireBetterTouch(Context memory context, Exhibit calldata touch) private pure {
        if (!context.terms.isCountingTouch(context.attributed, touch.position, touch.read())) {
            revert TouchDoesNotCount(touch.position);
        }
        if (!_isBetter(context, touch.position)) {
            revert TouchDoesNotBeat(touch.position, context.attributed.touch);
        }
    }

    /// Reverts unless the exhibits from `place` on show that another contract comes first: its
    /// operator's touch, its opening, and where needed the transition and an earlier touch.
    function _requireRivalWins(
        Context memory context,
        Exhibit[] calldata exhibits,
        uint256 place,
        bytes32 rivalId,
        Opening calldata opening
    ) private view {
        Terms memory rival = context.escrow.termsOf(rivalId);
        _requireRival(context, rivalId, rival);

        Exhibit calldata touch = exhibits.exhibitAt(place++);
        _requireWinningTouch(context, rivalId, rival, touch.position, touch.read());
        Exhibit calldata opened = exhibits.exhibitAt(place++);
        _requireOpenedInLog(context.attributed, opened, rivalId);
        if (!rival.repeatable) {
            _requireFirstEntry(context.attributed, exhibits.exhibitAt(place++), opening);
        }
        if (rival.attribution == Attribution.FIRST_TOUCH) {
            _requireFirstQualifies(context.attributed, rival, touch, opened, exhibits, place);
        }
    }

    /// The touch qualifies for the other contract, and comes first if the two compete.
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

    /// Contracts compete if they share all that decides who comes first, and live at the time.
    function _requireRival(Context memory context, bytes32 rivalId, Terms memory rival)
        private
        view
    {
        if (!_hasSameRules(context, rival)) revert NotARival(rivalId);
        _requireSameOutcome(context, rivalId, rival);
    }

    /// Whether the two are judged by the same rules.
    function _hasSameRules(Context memory context, Terms memory rival) private pure returns (bool) {
        return
            rival.policy == context.terms.policy && rival.attribution == context.terms.attribution;
    }

    /// Contracts that no exclusive one tolerates beside it, and that live at the time.
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

    /// The log must have known of the rival when it took the transition.
    function _requireOpenedInLog(
        AttributedOutcome memory attributed,
        Exhibit calldata opened,
        bytes32 rivalId
    ) private pure {
        Entry calldata entry = opened.read();
        if (
            entry.kind != "contract.opened" || entry.subject != rivalId
                || opened.position >= attributed.transition
        ) revert RivalUnknownToLog(rivalId, opened.position);
    }

    /// The lead has never entered the state before, so that no contract can have counted it.
    function _requireFirstEntry(
        AttributedOutcome memory attributed,
        Exhibit calldata transition,
        Opening calldata opening
    ) private pure {
        Entry calldata entered = transition.readAt(attributed.transition);
        if (sha256(abi.encode(opening)) != entered.payload) {
            revert WrongOpening(transition.position);
        }
        if (opening.nth != 1) revert NotTheFirstEntry(opening.nth);
    }

    /// By first touch, only the first that counts for the rival can qualify. That holds if
    /// everything since the rival opened is young enough, or if `touch`, which qualifies, is the
    /// first: it follows on no other, or on one from before the rival opened.
    function _requireFirstQualifies(
        AttributedOutcome memory attributed,
        Terms memory rival,
        Exhibit calldata touch,
        Exhibit calldata opened,
        Exhibit[] calldata exhibits,
        uint256 place
    ) private pure {
        uint256 opensMs = Attribution.toMs(rival.opensAt);
        if (attributed.timeMs - opensMs <= Attribution.toMs(rival.attributionWindow)) return;

        uint256 follows = touch.read().value; // 1 + the position of the touch before; zero: none
        // What names no touch of the rival's below itself is false, and shields nobody.
        if (follows == 0 || follows > touch.position) return;
        if (follows <= opened.position && opened.read().timeMs < opensMs) return;

        Exhibit calldata before = exhibits.exhibitAt(place);
        if (uint256(before.position) + 1 != follows) {
            revert Exhibits.WrongExhibit(follows - 1, before.position);
        }
        Entry calldata entry = before.read();
        bool isOwn = entry.kind == "touch" && entry.surface == rival.surface
            && entry.actor == Attribution.asActor(rival.operator)
            && entry.subject == attributed.lead;
        if (isOwn && entry.timeMs >= opensMs) revert RivalTouchedBefore(before.position);
    }

    function _isBetter(Context memory context, uint256 touch) private pure returns (bool) {
        return context.terms.attribution == Attribution.FIRST_TOUCH
            ? touch < context.attributed.touch
            : touch > context.attributed.touch;
    }

    function _openedEarlier(Context memory context, bytes32 rivalId) private view returns (bool) {
        IEvidenceTarget escrow = context.escrow;
        return escrow.openingNumberOf(rivalId) < escrow.openingNumberOf(context.contractId);
    }

    // ------------------------------------------------------------ the log

    /// The context, once every exhibit is known to be in the log.
    function _contextOf(
        IEvidenceTarget escrow,
        bytes32 contractId,
        uint64 size,
        Exhibit[] calldata exhibits
    ) private view returns (Context memory context) {
        uint256 count = exhibits.length;
        if (count == 0 || count > MAX_EXHIBITS) revert ExhibitCount(count, MAX_EXHIBITS);
        context.escrow = escrow;
        context.contractId = contractId;
        context.terms = escrow.termsOf(contractId);

        bytes32 root = _rootAt(escrow, context.terms.logId, size);
        for (uint256 i = 0; i < count; ++i) {
            exhibits[i].requireInTree(size, root);
        }
    }

    function _rootAt(IEvidenceTarget escrow, bytes32 logId, uint64 size)
        private
        view
        returns (bytes32 root)
    {
        root = escrow.eventLog().rootAt(logId, size);
        if (root == 0) revert NotAnchored(logId, size);
    }

    /// Whether an entry uses up its transition, and its lead where that counts once.
    function _isCounted(Entry calldata entry) private pure returns (bool) {
        return entry.kind == "outcome" || entry.kind == "outcome.over";
    }
}
