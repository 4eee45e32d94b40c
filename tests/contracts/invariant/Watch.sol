// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../support/HostileToken.sol";
import {Book, Fate, Filed, Payment, Statement, Visit} from "./Books.sol";
import {Look} from "./Look.sol";
import {Donor, OddToken, Receiver} from "./Tokens.sol";
import {Disputes} from "contracts/escrow/Disputes.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {ProvenReversal} from "contracts/evidence/EvidenceTypes.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Vm} from "forge-std/Vm.sol";

/// Makes every call, reads the events it leaves into the books, compares them with what the books
/// say must follow, and notes what must not happen, under the invariant that it breaks.
abstract contract Watch is Look {
    /// The most that one transaction may have (EIP-7825).
    uint256 private constant TRANSACTION_GAS = 16_777_216;

    // Of the whole escrow, from calls and events.
    mapping(address token => uint256) public escrowed;
    mapping(address token => uint256) public gifts;
    mapping(address token => mapping(address account => uint256)) public credits;
    mapping(address token => mapping(address account => uint256)) public purses;
    bool public soured; // the sour token has lied about a balance
    Donor internal _donor;

    // Of the call under way.
    address private _actor;
    address private _target;
    bool private _verified; // a batch that the publisher has anchored and the verifier has signed
    uint256 internal _touched; // books, as bits
    uint256 private _turn;
    uint256 internal _taken; // statements taken so far
    bytes internal _answer;

    function setUp() public virtual override {
        super.setUp();
        _donor = new Donor(address(escrow));
    }

    /// Looks at the contracts that the action has changed, and at one more in turn.
    modifier watched() {
        _touched = 0;
        _;
        uint256 turn = _books.length == 0 ? 0 : ++_turn % _books.length;
        for (uint256 i = 0; i < _books.length; ++i) {
            if (i == turn || _touched >> i & 1 == 1) _look(_books[i]);
        }
    }

    // ------------------------------------------------------------ calls

    function _act(address actor, address target, bytes memory data) internal returns (bool done) {
        (_actor, _target) = (actor, target);
        vm.recordLogs();
        vm.prank(actor);
        (done, _answer) = target.call{gas: TRANSACTION_GAS}(data);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        if (bytes4(_answer) == Vault.TokenTookTooMuch.selector) ++counts["took too much"];
        if (!done) return false;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(escrow) && logs[i].topics.length > 1) _read(logs[i]);
        }
        bool cameBack = _cameBack(odd) || _cameBack(sour);
        for (uint256 i = 0; i < RECEIVERS; ++i) {
            cameBack = cameBack || _receivers[i].cameBack();
        }
        if (cameBack) _break("I3", "a token or a payee called back into the escrow");
    }

    function _cameBack(HostileToken token_) private view returns (bool) {
        return token_.hook() == address(escrow) && token_.hookResult();
    }

    /// The same, for a call that must succeed if `legal`, and must not otherwise.
    function _try(
        address actor,
        address target,
        bytes memory data,
        bool legal,
        bool excused,
        bytes32 invariant
    ) internal returns (bool done) {
        done = _act(actor, target, data);
        string memory call = string.concat(vm.toString(bytes4(data)), " by ", vm.getLabel(actor));
        if (done && !legal) _break(invariant, string.concat("taken: ", call));
        if (!done && legal && !excused) {
            _break("L1", string.concat("refused: ", call, ": ", vm.toString(_answer)));
        }
    }

    function _settleBatch(Batch memory b, bool verified) internal returns (bool done) {
        _verified = verified;
        bytes memory data = abi.encodeCall(
            escrow.settle, (b.group, b.size, b.first, b.entries, b.rules, b.proof, b.signature)
        );
        done = _act(stranger, address(escrow), data);
        _verified = false;
    }

    /// A token that takes more than it was asked for, or moves what it denies to have moved, stops
    /// the call that it is part of.
    function _breaksTokens(address token_) internal view returns (bool) {
        HostileToken.Mode mode = HostileToken(token_).mode();
        return mode == HostileToken.Mode.TakesMore || mode == HostileToken.Mode.ReturnsTwo
            || mode == HostileToken.Mode.ReturnsShort;
    }

    // ------------------------------------------------------------ events

    function _read(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        if (topic == Vault.Withdrawn.selector) return _readWithdrawn(log);
        uint256 number = _bookOf[log.topics[1]];
        if (number == 0) return;
        Book storage book = _books[number - 1];
        _touched |= 1 << number - 1;
        if (topic == Payments.Paid.selector) _readPaid(book, log);
        else if (topic == Vault.Credited.selector) _readCredited(book, log);
        else if (topic == Payments.Refunded.selector) _readRefunded(book, log);
        else if (topic == Settlements.Settled.selector) _readSettled(book, log);
        else if (topic == Settlements.Pending.selector) _readPending(book, log);
        else if (topic == Payments.Final.selector) _readFinal(book, log);
        else _readCase(book, topic, log);
    }

    function _readCase(Book storage book, bytes32 topic, Vm.Log memory log) private {
        if (topic == Disputes.Disputed.selector) {
            _readDisputed(book, log);
        } else if (topic == Disputes.Ruled.selector) {
            _readRuled(book, log);
        } else if (topic == Disputes.Disproved.selector) {
            _readDisproved(book);
        } else if (topic == Disputes.Claimed.selector) {
            _readClaimed(book, log);
        } else if (topic == Disputes.ClaimLowered.selector) {
            _readLowered(book, log);
        } else if (topic == Disputes.ReversalRecorded.selector) {
            _readReversal(book, log);
        } else if (topic == Disputes.ClaimsDisputed.selector) {
            book.claimsDisputed = true;
        } else if (topic == Disputes.ClaimsRuled.selector) {
            if (_actor != book.terms.arbiter) _break("I7", "claims were ruled by another");
            (book.claimsRuled, book.claimsRuledTo) = (true, abi.decode(log.data, (uint256)));
        } else if (topic == OutcomeEscrow.Closed.selector) {
            _voidPending(book);
            (book.closed, book.closedTo) = (true, abi.decode(log.data, (uint256)));
            ++counts["closed"];
        }
    }

    function _readPaid(Book storage book, Vm.Log memory log) private {
        (uint256 amount, uint256 fee) = abi.decode(log.data, (uint256, uint256));
        address payee_ = book.terms.payee;
        if (book.paid() + amount + fee > book.entitled()) {
            _break("I7", "more was paid than is due");
        }
        book.paidNet += amount;
        book.paidFees += fee;
        book.payments.push(Payment(block.timestamp, amount + fee));
        credits[book.terms.token][book.terms.feeRecipient] += fee;
        _arrive(book.terms.token, payee_, amount);
        ++counts["paid"];
        ++counts[OddToken(book.terms.token).mood()];
        bool callsBack =
            payee_.code.length != 0 && Receiver(payee_).mode() == Receiver.Mode.CallsBack;
        if (callsBack) ++counts["payee calls back"];
    }

    function _readRefunded(Book storage book, Vm.Log memory log) private {
        uint256 amount = abi.decode(log.data, (uint256));
        uint256 free = book.budget() - book.reserved();
        if (!book.closed && block.timestamp <= book.t3()) _break("I8", "refunded before the end");
        if (amount > free) _break("I3", "refunded what is reserved");
        if (amount < free) _break("I9", "less was refunded than is free");
        book.refunded += amount;
        _arrive(book.terms.token, book.terms.owner, amount);
        ++counts["refunded"];
    }

    /// Directly behind a Paid or Refunded. A transfer may fail for one reason only, and that of its
    /// receiver or of the token.
    function _readCredited(Book storage book, Vm.Log memory log) private {
        address account = address(uint160(uint256(log.topics[2])));
        uint256 amount = abi.decode(log.data, (uint256));
        HostileToken token_ = HostileToken(book.terms.token);
        HostileToken.Mode mode = token_.mode();
        bool fails = mode == HostileToken.Mode.Paused || mode == HostileToken.Mode.ReturnsFalse
            || mode == HostileToken.Mode.BurnsGas || mode == HostileToken.Mode.TakesMore // more than there is
            || token_.blocked(account) || _refuses(account) || (token_ == sour && soured);
        if (!fails) _break("I10", "a transfer failed that nothing stopped");
        credits[address(token_)][account] += amount;
        purses[address(token_)][account] -= _arrives(token_, amount);
        ++counts["credited"];
        if (_refuses(account)) ++counts["payee refuses"];
        if (token_.blocked(account)) ++counts["account blocked"];
    }

    function _readWithdrawn(Vm.Log memory log) private {
        address token_ = address(uint160(uint256(log.topics[1])));
        address account = address(uint160(uint256(log.topics[2])));
        (address to, uint256 amount) = abi.decode(log.data, (address, uint256));
        if (account != _actor) _break("I7", "another's credit was withdrawn");
        credits[token_][account] -= amount;
        _arrive(token_, to, amount);
    }

    function _arrive(address token_, address account, uint256 amount) private {
        purses[token_][account] += _arrives(HostileToken(token_), amount);
    }

    function _leaves(HostileToken token_, uint256 amount) internal view returns (uint256) {
        return token_.mode() == HostileToken.Mode.TakesMore ? amount + amount / 100 : amount;
    }

    function _arrives(HostileToken token_, uint256 amount) private view returns (uint256) {
        return token_.mode() == HostileToken.Mode.TakesFee ? amount - amount / 100 : amount;
    }

    // ------------------------------------------------------------ statements

    function _readSettled(Book storage book, Vm.Log memory log) private {
        uint256 told = abi.decode(log.data, (uint256));
        _take(book, uint40(told), told >> 176, told >> 96 & type(uint80).max);
    }

    /// The escrow has taken a statement: was it one, and might it?
    function _take(Book storage book, uint256 position, uint256 earned, uint256 reversed) private {
        if (!_verified || !_isStated(book, position, earned, reversed)) {
            _break("I7", "not a verified, anchored statement");
        }
        if (!book.admits(position, earned, reversed)) {
            _break(_whyNot(book, position, earned, reversed), "a statement was taken");
        }
        Statement storage statement = book.statements.push();
        (statement.position, statement.earned) = (position, earned);
        (statement.reversed, statement.statedAt) = (reversed, block.timestamp);
        statement.since = block.timestamp + book.terms.challengePeriod;
        ++_taken;
        ++counts["stated"];
        if (book.refunded != 0) ++counts["stated after a refund"];
    }

    function _isStated(Book storage book, uint256 position, uint256 earned, uint256 reversed)
        private
        view
        returns (bool)
    {
        if (position >= _entries.length) return false;
        (uint256 loggedEarned, uint256 loggedReversed) = _totalsAt(position);
        return _entries[position].kind == "settlement" && _entries[position].subject == book.id
            && earned == loggedEarned && reversed == loggedReversed;
    }

    /// The invariant that is broken if such a statement is taken.
    function _whyNot(Book storage book, uint256 position, uint256 earned, uint256 reversed)
        private
        view
        returns (bytes32)
    {
        if (book.retired) return "I14";
        if (book.closed) return "I8";
        if (position <= book.lastFinal()) return "I3";
        if (book.provenAbove(position) != 0) return "I16"; // stale
        uint256 unit = book.terms.unitPrice;
        bool isPriced = book.terms.revenueShareBps != 0 || (earned % unit | reversed % unit) == 0;
        return isPriced && earned - reversed <= book.terms.budget ? bytes32("I7") : bytes32("I5");
    }

    function _isNew(Book storage book, uint256 position) internal view returns (bool) {
        uint256 count = book.statements.length;
        return count == 0 || book.statements[count - 1].position != position;
    }

    function _totalsAt(uint256 position) internal view returns (uint256, uint256) {
        uint256 payload = uint256(_entries[position].payload);
        return (payload >> 176, payload >> 96 & type(uint80).max);
    }

    function _last(Book storage book) private view returns (Statement storage) {
        return book.statements[book.statements.length - 1];
    }

    function _readPending(Book storage book, Vm.Log memory log) private {
        (uint64 position, uint64 resolvesAt) = abi.decode(log.data, (uint64, uint64));
        if (
            book.pending() == 0 || position != _last(book).position
                || resolvesAt != _last(book).since
        ) {
            _break("I7", "a statement is pending that should not be");
        }
    }

    function _readFinal(Book storage book, Vm.Log memory log) private {
        (uint64 position, uint256 net, uint64 since) =
            abi.decode(log.data, (uint64, uint256, uint64));
        uint256 i = book.lastFinal(block.timestamp);
        bool isRight = i != 0 && book.statements[i - 1].position == position
            && book.statements[i - 1].since == since && book.netOf(i) == net;
        if (!isRight) _break("I7", "a statement was final that should not be");
        ++counts["final"];
        if (book.statements[i - 1].fate != Fate.Ruled && book.isDisputed(i)) {
            ++counts["silent arbiter"];
        }
    }

    function _readDisputed(Book storage book, Vm.Log memory log) private {
        uint64 resolvesAt = abi.decode(log.data, (uint64));
        Statement storage statement = _last(book);
        if (!statement.ownerDisputed && !statement.operatorDisputed) {
            statement.since += book.terms.arbitrationPeriod;
        } else {
            ++counts["disputed by both"];
        }
        if (_actor == book.terms.owner) statement.ownerDisputed = true;
        else statement.operatorDisputed = true;
        if (resolvesAt != statement.since) _break("I7", "a dispute takes another time");
        ++counts["disputed"];
    }

    function _readRuled(Book storage book, Vm.Log memory log) private {
        if (_actor != book.terms.arbiter) _break("I7", "ruled by another");
        Statement storage statement = _last(book);
        uint256 before = book.netOf(book.statements.length);
        (statement.ruled, statement.provenBy) =
        (abi.decode(log.data, (uint256)), book.provenAbove(statement.position));
        (statement.fate, statement.since) = (Fate.Ruled, block.timestamp);
        ++counts[statement.ruled > before ? bytes32("ruled up") : bytes32("ruled down")];
    }

    function _readDisproved(Book storage book) private {
        if (_target != address(evidence)) _break("I7", "retired by another");
        if (_voidPending(book)) ++counts["disproved in time"];
        book.retired = true;
        ++counts["disproved"];
    }

    function _voidPending(Book storage book) private returns (bool) {
        if (book.pending() == 0) return false;
        _last(book).fate = Fate.Void;
        return true;
    }

    // ------------------------------------------------------------ claims

    function _readClaimed(Book storage book, Vm.Log memory log) private {
        if (_target != address(evidence)) _break("I7", "claimed without evidence");
        (,,,, uint256 amount) = abi.decode(log.data, (bytes32, uint64, uint64, uint64, uint256));
        for (uint256 i = 0; i < book.claims.length; ++i) {
            if (book.claims[i].key == log.topics[2]) _break("I4", "claimed twice");
        }
        book.claims.push(Filed(log.topics[2], amount, false));
        ++counts["claimed"];
    }

    function _readLowered(Book storage book, Vm.Log memory log) private {
        if (_target != address(evidence)) _break("I7", "lowered without evidence");
        (uint256 left,) = abi.decode(log.data, (uint256, bytes32));
        for (uint256 i = 0; i < book.claims.length; ++i) {
            if (book.claims[i].key != log.topics[2]) continue;
            if (left >= book.claims[i].amount) _break("I7", "a claim was not lowered");
            (book.claims[i].amount, book.claims[i].dropped) = (left, left == 0);
        }
        ++counts["refuted"];
    }

    function _readReversal(Book storage book, Vm.Log memory log) private {
        if (_target != address(evidence)) _break("I7", "reversed without evidence");
        ProvenReversal memory reversal = abi.decode(log.data, (ProvenReversal));
        if (reversal.happened <= book.lastFinal() || !book.isHeld(reversal.sum)) {
            _break("I7", "a reversal was recorded that should not be");
        }
        for (uint256 i = 0; i < book.visits.length; ++i) {
            Visit storage visit = book.visits[i];
            if (visit.happened != reversal.happened) continue;
            if (visit.proven != 0 || reversal.amount != _entries[visit.outcome].value) {
                _break("I7", "another amount was taken back");
            }
            visit.proven = reversal.amount;
        }
        ++counts["reversal proven"];
        if (book.pending() != 0) ++counts["proven while pending"];
    }
}
