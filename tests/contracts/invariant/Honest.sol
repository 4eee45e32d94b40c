// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../support/HostileToken.sol";
import {Book, Visit} from "./Books.sol";
import {Watch} from "./Watch.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// The actions of each party, now and then at the wrong time, with a wrong amount or by the wrong
/// account. The books say before each call whether it must succeed.
abstract contract Honest is Watch {
    /// A batch under way, and what must come of its entries.
    struct Round {
        Entry[] entries;
        uint256[] numbers; // of the books
        bool[] admitted;
        uint256 count;
    }

    Batch[] internal _batches;

    // ------------------------------------------------------------ opening

    function open(uint256 seed) public watched {
        seed = _part(seed, 100);
        if (_books.length == MAX_CONTRACTS) return;
        Terms memory terms = _randomTerms(seed);
        bytes32 id = _contractId(terms);
        HostileToken token_ = HostileToken(terms.token);
        token_.mint(owner.addr, terms.budget);
        purses[terms.token][owner.addr] += terms.budget;
        vm.prank(owner.addr);
        token_.approve(address(escrow), terms.budget);
        _remember(id, terms);
        bytes memory a = _sign(owner, _ownerConsent(terms, 0));
        bytes memory b = _sign(_operators[_books.length], _operatorConsent(terms));
        bytes memory data = abi.encodeCall(escrow.open, (terms, _allowance(), a, b));
        bool excused = token_.mode() != HostileToken.Mode.Honest || token_.blocked(owner.addr)
            || token_.hook() != address(0);
        if (!_try(stranger, address(escrow), data, true, excused, "L1")) return;

        uint256 opened = _writeOpened(terms, id);
        purses[terms.token][owner.addr] -= _leaves(token_, terms.budget);
        escrowed[terms.token] += terms.budget;
        Book storage book = _books.push();
        (book.id, book.terms, book.lastStatus) = (id, terms, "unknown");
        (book.operator, book.opened) = (_books.length - 1, opened);
        _bookOf[id] = _books.length;
        _touched = 1 << book.operator;
        ++counts["opened"];
    }

    // ------------------------------------------------------------ statements

    /// States truly what happened to some contracts of one group, and settles it together.
    function settle(uint256 seed) public watched {
        seed = _part(seed, 101);
        if (_books.length == 0) return;
        uint256 first = _pick(seed, _isOpen);
        first = first == 0 ? seed % _books.length : first - 1;
        Ledgers.Group memory group = _groupOf(_books[first].terms);
        Round memory round = _newRound();
        for (uint256 i = 0; i < _books.length; ++i) {
            if (!_isIn(_books[i], group)) continue;
            if (i != first && _part(seed, i) % 2 == 0) continue;
            _work(_books[i], _part(seed, 20 + i));
            _add(round, i);
        }
        _settleRound(group, round);
    }

    /// After T2 a statement may still take back what was earned.
    function takeBack(uint256 seed) public watched {
        seed = _part(seed, 113);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _mayTakeBackLate);
        if (i == 0 && _books.length != 0) i = _pick(seed, _mayTakeBack);
        if (i == 0) return;
        Round memory round = _newRound();
        _takeBack(_books[i - 1], seed >> 8);
        _add(round, i - 1);
        _settleRound(_groupOf(_books[i - 1].terms), round);
    }

    function _newRound() internal view returns (Round memory round) {
        round.entries = new Entry[](_books.length);
        round.numbers = new uint256[](_books.length);
        round.admitted = new bool[](_books.length);
    }

    function _isIn(Book storage book, Ledgers.Group memory group) internal view returns (bool) {
        return book.terms.feeBps == group.feeBps && book.terms.token == group.token;
    }

    function _add(Round memory round, uint256 number) internal view {
        Book storage book = _books[number];
        round.entries[round.count] = _statementOf(book);
        round.numbers[round.count] = number;
        round.admitted[round.count++] = book.admits(type(uint256).max, book.earned, book.reversed);
    }

    function _settleRound(Ledgers.Group memory group, Round memory round) internal {
        Entry[] memory entries = new Entry[](round.count);
        for (uint256 i = 0; i < round.count; ++i) {
            entries[i] = round.entries[i];
        }
        Batch memory batch = _present(group, entries);
        _batches.push(batch);
        if (!_settleBatch(batch, true)) {
            if (!_breaksTokens(group.token)) {
                _break("L1", string.concat("a verified batch was refused: ", vm.toString(_answer)));
            }
            return;
        }
        for (uint256 i = 0; i < round.count; ++i) {
            Book storage book = _books[round.numbers[i]];
            if (round.admitted[i] && _isNew(book, batch.first + i)) {
                _break("L1", "a valid statement was refused");
            }
            if (round.admitted[i] && !book.isPlain()) _requirePaid(book);
        }
        if (round.count > 1) ++counts["settled together"];
    }

    /// The log grows: up to three leads, of which the verifier passes over a few, and now and then
    /// a reversal. After T2 it only takes back.
    function _work(Book storage book, uint256 seed) internal {
        for (uint256 i = 0; i < seed % 4 && block.timestamp <= book.t2(); ++i) {
            if (book.visits.length == 24) break;
            Visit storage visit = book.visits[_writeVisit(book, _part(seed, i))];
            uint256 earned = book.earned + visit.amount;
            if (earned > book.terms.budget + book.reversed) continue;
            if (_part(seed, 10 + i) % 4 == 0) continue;
            visit.outcome = _writeOutcome(book, _outcomeOf(book, visit), earned);
        }
        if (_part(seed, 20) % 3 == 0) _takeBack(book, seed >> 8);
    }

    function _takeBack(Book storage book, uint256 seed) internal {
        (bool found, uint256 i) = _settledVisit(book, seed);
        if (!found) return;
        _happenedTo(book, book.visits[i]);
    }

    /// The event that takes the visit back, which happens once; with its reversal, if there is an
    /// outcome.
    function _happenedTo(Book storage book, Visit storage visit) internal returns (uint256) {
        if (visit.happened != 0) return visit.happened;
        visit.happened = _writeEvent(book, visit, visit.lead);
        if (visit.outcome != 0 && !visit.reversed) _writeReversal(book, visit, visit.happened);
        return visit.happened;
    }

    /// A visit that has an outcome and keeps it.
    function _settledVisit(Book storage book, uint256 seed)
        internal
        view
        returns (bool found, uint256 i)
    {
        uint256 count = book.visits.length;
        for (uint256 j = 0; j < count; ++j) {
            i = (seed % count + j) % count;
            if (book.visits[i].outcome != 0 && !book.visits[i].reversed) return (true, i);
        }
    }

    // ------------------------------------------------------------ payouts

    function release(uint256 seed) public watched {
        seed = _part(seed, 102);
        if (_books.length == 0) return;
        uint256 i = _pick(seed, _isDue);
        Book storage book = _books[i == 0 ? seed % _books.length : i - 1];
        _release(book);
        if (book.terms.rateCap == 0 || seed % 2 == 0) return;
        // A caller in a hurry comes at once, and at each half of the period again.
        _release(book);
        for (uint256 n = 0; n < 2; ++n) {
            vm.warp(block.timestamp + book.terms.ratePeriod / 2);
            if (_isDue(book)) ++counts["released in a hurry"];
            _release(book);
        }
    }

    function _release(Book storage book) private {
        uint256 lately = book.paidLately();
        uint256 before = book.paid();
        uint256 due = book.entitled() - before;
        bytes memory data = abi.encodeCall(escrow.release, (book.terms));
        bool excused = _breaksTokens(book.terms.token);
        if (!_try(stranger, address(escrow), data, true, excused, "L1")) return;
        _requirePaid(book);
        if (due == 0) return;
        ++counts["released"];
        if (book.terms.rateCap == 0) return;
        uint256 half = book.terms.rateCap / 2;
        if (due > half) ++counts["capped"];
        if (lately == 0 && book.paid() - before != (due < half ? due : half)) {
            _break("I6", "the cap keeps back more than it must");
        }
    }

    /// Requires that payments depend on what is final alone, not on the steps that led there.
    function _requirePaid(Book storage book) internal {
        if (book.terms.rateCap == 0 && book.paid() != book.entitled()) {
            _break("I11", "not all that is due was paid");
        }
        if (book.held() != 0) ++counts["held back"];
    }

    function refund(uint256 seed) public watched {
        seed = _part(seed, 103);
        if (_books.length == 0) return;
        uint256 i = _pick(seed, _isRefundable);
        Book storage book = _books[i == 0 ? seed % _books.length : i - 1];
        bytes memory data = abi.encodeCall(escrow.refund, (book.terms));
        bool excused = _breaksTokens(book.terms.token);
        if (book.refunded != 0 && _isRefundable(book)) ++counts["refundable again"];
        if (!_try(stranger, address(escrow), data, _isRefundable(book), excused, "I8")) {
            if (_isRefundable(book) && !excused) _break("I9", "a refund was stopped");
        }
    }

    function withdraw(uint256 seed) public watched {
        seed = _part(seed, 104);
        HostileToken token_ = seed % 3 == 0 ? HostileToken(sour) : odd;
        address account;
        for (uint256 i = 0; i < _people.length; ++i) {
            account = _people[((seed >> 8) + i) % _people.length];
            if (credits[address(token_)][account] != 0) break;
        }
        address to = _people[(seed >> 16) % _people.length];
        uint256 credit = credits[address(token_)][account];
        uint256 amount = (seed >> 24) % 3 == 0 ? (seed >> 32) % (credit + 2) : credit;
        bytes memory data = abi.encodeCall(escrow.withdraw, (address(token_), to, amount));
        bool legal = amount != 0 && amount <= credit;
        bool excused = token_.mode() != HostileToken.Mode.Honest || token_.blocked(to)
            || _refuses(to) || (token_ == sour && soured);
        if (_try(account, address(escrow), data, legal, excused, "I1")) ++counts["withdrawn"];
    }

    // ------------------------------------------------------------ what suits

    function _isOpen(Book storage book) internal view returns (bool) {
        return !book.closed && !book.retired && block.timestamp <= book.t2() && book.pending() == 0;
    }

    function _isHolding(Book storage book) internal view returns (bool) {
        return book.held() != 0 && book.visits.length != 0 && !book.closed;
    }

    function _isHoldingAndPending(Book storage book) internal view returns (bool) {
        return _isHolding(book) && book.pending() != 0;
    }

    function _mayTakeBack(Book storage book) internal view returns (bool) {
        return !book.closed && !book.retired && book.pending() == 0 && book.earned > book.reversed
            && block.timestamp > book.t2()
            && block.timestamp <= book.t2() + book.terms.holdbackPeriod;
    }

    function _mayTakeBackLate(Book storage book) internal view returns (bool) {
        return _mayTakeBack(book) && (book.refunded != 0 || _isRefundable(book));
    }

    function _isDue(Book storage book) internal view returns (bool) {
        return book.entitled() > book.paid();
    }

    function _isRefundable(Book storage book) internal view returns (bool) {
        return block.timestamp > book.t3() && book.budget() > book.reserved();
    }

    function _isPending(Book storage book) internal view returns (bool) {
        return book.pending() != 0;
    }

    function _isDisputed(Book storage book) internal view returns (bool) {
        return book.pending() != 0 && book.isDisputed(book.statements.length);
    }

    function _hasLied(Book storage book) internal view returns (bool) {
        return book.lies.length != 0;
    }

    function _isLyingNow(Book storage book) internal view returns (bool) {
        return _hasLied(book) && !book.retired && !book.closed
            && book.lies[book.lies.length - 1].exhibits[0] <= book.lastSigned();
    }

    function _isClaimable(Book storage book) internal view returns (bool) {
        return block.timestamp > book.t2() && block.timestamp <= book.t3();
    }

    function _isRefutable(Book storage book) internal view returns (bool) {
        return block.timestamp > book.t3() && block.timestamp <= book.t4();
    }

    function _hasClaims(Book storage book) internal view returns (bool) {
        return book.claims.length != 0 && block.timestamp <= book.t4() && !book.closed;
    }

    function _hasDisputableClaims(Book storage book) internal view returns (bool) {
        return book.claimed() != 0 && !book.claimsDisputed && _isRefutable(book);
    }

    function _hasDisputedClaims(Book storage book) internal view returns (bool) {
        return book.claimsDisputed && !book.claimsRuled && _isRefutable(book);
    }
}
