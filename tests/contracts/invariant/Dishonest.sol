// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Book, Lie, Visit} from "./Books.sol";
import {Disagreements} from "./Disagreements.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {Claim, Exhibit, ProvenReversal} from "contracts/evidence/EvidenceTypes.sol";
import {IEvidenceTarget} from "contracts/interfaces/IEvidenceTarget.sol";
import {Entry} from "contracts/log/MerkleLog.sol";

/// Verifiers and publishers that lie together, forgers, false accusers and trespassers.
abstract contract Dishonest is Disagreements {
    // ------------------------------------------------------------ lies that the chain can't see

    /// Publisher and verifier write and sign a lie of some kind; it keeps to the terms, so the
    /// escrow takes it.
    function lie(uint256 seed) public watched {
        seed = _part(seed, 200);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _isOpen);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        uint256 how = (seed >> 8) % 10;
        uint256 statements = book.lies.length;
        if (how == 6) return _lieInStatement(book, i - 1);
        if (how == 0) _lieTwice(book, seed);
        else if (how == 5) _lieAboutReversal(book, seed);
        else if (how > 6) _lieAboutRival(book, seed);
        else _lieAboutVisit(book, how, seed);
        if (book.lies.length == statements) return;
        _vouch(i - 1, _statementOf(book));
    }

    /// The verifier signs this statement of one contract, and it is settled.
    function _vouch(uint256 number, Entry memory entry) private {
        Book storage book = _books[number];
        Round memory round = _newRound();
        (uint256 earned, uint256 reversed) = _totalsIn(entry);
        round.entries[0] = entry;
        round.numbers[0] = number;
        round.admitted[0] = book.admits(type(uint256).max, earned, reversed);
        round.count = 1;
        _settleRound(_groupOf(book.terms), round);
    }

    function _totalsIn(Entry memory entry) internal pure returns (uint256, uint256) {
        return (uint256(entry.payload) >> 176, uint256(entry.payload) >> 96 & type(uint80).max);
    }

    /// The same transition once more.
    function _lieTwice(Book storage book, uint256 seed) private {
        (bool found, uint256 i) = _settledVisit(book, seed >> 16);
        if (!found) return;
        Visit storage visit = book.visits[i];
        if (!_fits(book, visit.amount)) return;
        uint256 position = _writeOutcome(book, _outcomeOf(book, visit), book.earned + visit.amount);
        _note(book, "duplicate", position, visit.outcome);
    }

    /// 1: twice the price. 2: a touch that is none. 3: the wrong one of two touches. 4: a sum that
    /// is none.
    function _lieAboutVisit(Book storage book, uint256 how, uint256 seed) private {
        Visit storage visit = book.visits[_writeVisit(book, how == 3 ? _twice(seed) : seed)];
        uint256 amount = visit.amount;
        if (!_fits(book, 2 * amount)) return;
        Entry memory entry = _outcomeOf(book, visit);
        uint256 touch = visit.touch;
        if (how == 1) entry.value = amount *= 2;
        if (how == 2) touch = book.opened;
        if (how == 3) touch = visit.wrongTouch;
        uint256 earned = book.earned + (how == 4 ? 2 * amount : amount);
        uint256 before = book.lastOutcome;
        entry.payload = _link(visit.transition, touch, before, book.outcomes + 1, earned);
        uint256 position = visit.outcome = _writeOutcome(book, entry, earned);
        if (how == 1) _note(book, "transition", position, visit.transition);
        if (how == 2) _note(book, "touch", position, touch);
        if (how == 3) _note(book, "touch_order", position, visit.touch);
        if (how == 4) _note(book, "sum", position, before);
    }

    /// A seed by which a lead is touched twice.
    function _twice(uint256 seed) private pure returns (uint256) {
        while (_part(seed, 0) % 3 != 0) ++seed;
        return seed;
    }

    /// An outcome taken back because of an event of another lead.
    function _lieAboutReversal(Book storage book, uint256 seed) private {
        (bool found, uint256 i) = _settledVisit(book, seed >> 16);
        if (!found) return;
        Visit storage visit = book.visits[i];
        uint256 happened = _writeEvent(book, visit, "another lead");
        _note(book, "reversal", _writeReversal(book, visit, happened), happened);
    }

    /// A statement that is not the sum of what it covers.
    function _lieInStatement(Book storage book, uint256 number) private {
        if (!_fits(book, book.terms.unitPrice)) return;
        _vouch(number, _stating(book, book.earned + book.terms.unitPrice, book.reversed));
        _note(book, "sum", _entries.length - 1, book.lastOutcome);
    }

    /// An outcome of a lead that another contract's operator has touched first, or last.
    function _lieAboutRival(Book storage book, uint256 seed) private {
        Book storage rival = _books[(seed >> 16) % _books.length];
        uint256 time = _clockIn(book);
        bool competes = rival.id != book.id && !rival.closed
            && rival.terms.attribution == book.terms.attribution && time >= rival.terms.opensAt
            && time <= rival.terms.deadline;
        if (!competes || !_fits(book, book.terms.unitPrice + 1e9)) return;
        uint256 number = book.visits.length;
        Visit storage visit = book.visits.push();
        visit.lead = keccak256(abi.encode(book.id, number));
        visit.timeMs = time * 1000;
        uint256 better;
        if (book.terms.attribution == 0) better = _writeTouch(rival.terms.operator, visit, 0);
        visit.touch = _writeTouch(book.terms.operator, visit, 0);
        if (book.terms.attribution == 1) better = _writeTouch(rival.terms.operator, visit, 0);
        _writeTransition(book, visit, seed % 1e9);
        uint256 earned = book.earned + visit.amount;
        visit.outcome = _writeOutcome(book, _outcomeOf(book, visit), earned);
        Lie storage lie_ = _note(book, "rival", visit.outcome, better);
        lie_.exhibits.push(rival.opened);
        lie_.exhibits.push(visit.transition);
        lie_.rivalId = rival.id;
    }

    function _fits(Book storage book, uint256 amount) private view returns (bool) {
        return book.earned + amount <= book.terms.budget + book.reversed;
    }

    /// Notes a lie with the entry that shows it; zero: it contradicts itself.
    function _note(Book storage book, bytes32 kind, uint256 position, uint256 other)
        private
        returns (Lie storage lie_)
    {
        lie_ = book.lies.push();
        lie_.kind = kind;
        lie_.exhibits.push(position);
        if (other != 0) lie_.exhibits.push(other);
        ++counts["lied"];
    }

    // ------------------------------------------------------------ lies that the chain refuses

    /// A statement that is anchored and signed, and breaks the terms or the form.
    function misstate(uint256 seed) public watched {
        seed = _part(seed, 201);
        if (_books.length == 0) return;
        uint256 i = _pick(seed, _isOpen);
        Book storage book = _books[i == 0 ? seed % _books.length : i - 1];
        uint256 how = (seed >> 8) % 8;
        uint256 price = book.terms.unitPrice;
        uint256 net = book.terms.budget / price * price;
        Entry memory entry = _statementOf(book);
        if (how == 0) entry = _stating(book, net + price, 0);
        if (how == 1) entry = _stating(book, book.earned + 1, book.reversed);
        if (how == 2) entry.value += price;
        if (how == 3) entry.kind = "outcome";
        if (how == 4) entry.actor = _word(book.terms.operator);
        if (how == 5) entry.subject = keccak256("no contract");
        if (how == 6) entry = _stating(book, book.earned + price, book.reversed + 1);
        Ledgers.Group memory group = _groupOf(book.terms);
        if (how == 7) group.feeBps = group.feeBps == 0 ? ODD_FEE_BPS : 0;
        // With a revenue share, or a price of one, any amount is right.
        if ((how == 1 || how == 6) && (book.terms.revenueShareBps != 0 || price == 1)) return;
        uint256 taken = _taken;
        if (!_settleBatch(_present(group, _list(entry)), true)) return;
        if (_taken != taken) _break("I5", "a statement against the terms was taken");
        ++counts["misstated"];
    }

    /// A verified batch again.
    function replay(uint256 seed) public watched {
        seed = _part(seed, 202);
        if (_batches.length == 0) return;
        uint256 taken = _taken;
        // One that reverted at the time, or was refused, may be taken now.
        if (_settleBatch(_batches[seed % _batches.length], true) && taken == _taken) {
            ++counts["replayed"];
        }
    }

    /// All but one of what a settlement needs: an anchor, an entry, a signature for just this.
    function forge(uint256 seed) public watched {
        seed = _part(seed, 203);
        if (_books.length == 0) return;
        uint256 i = _pick(seed, _isOpen);
        Book storage book = _books[i == 0 ? seed % _books.length : i - 1];
        Ledgers.Group memory group = _groupOf(book.terms);
        Entry memory entry = _stating(book, book.earned + book.terms.unitPrice, book.reversed);
        Entry memory filler = _blank("touch", 0, 0);
        uint256 how = (seed >> 8) % 6;
        Batch memory batch;
        if (how == 1) {
            batch = _present(group, _list(filler));
            batch.entries = abi.encode(entry);
            batch.rules = _rulesOf(_list(entry));
        } else if (how == 2) {
            batch = _unanchored(group, entry);
        } else if (how == 3) {
            bytes memory signature = _present(group, _list(filler)).signature;
            batch = _present(group, _list(entry));
            batch.signature = signature; // of another run
        } else {
            batch = _present(group, _list(entry));
            if (how == 0) batch.signature = _sign(operator, _verifiedDigest(batch));
            if (how == 4) batch.signature = _sign(verifier, keccak256("another domain"));
            if (how == 5) batch.signature = "";
        }
        if (_settleBatch(batch, false)) _break("I7", "a forgery was settled");
        ++counts["forged"];
    }

    function _unanchored(Ledgers.Group memory group, Entry memory entry)
        private
        returns (Batch memory batch)
    {
        batch.group = group;
        batch.first = uint64(_write(entry));
        batch.size = uint64(tree.size());
        batch.entries = abi.encode(entry);
        batch.rules = _rulesOf(_list(entry));
        batch.proof = tree.runProof(batch.first, 1, batch.size);
        batch.signature = _sign(verifier, _verifiedDigest(batch));
    }

    // ------------------------------------------------------------ slander and trespass

    /// Shows true entries of a verifier that has not lied, as if they were a lie.
    function slander(uint256 seed) public watched {
        seed = _part(seed, 204);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _isTruthful);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        bytes32[8] memory kinds = [
            bytes32("duplicate"),
            "transition",
            "touch",
            "touch_order",
            "rival",
            "sum",
            "reversal",
            "clock"
        ];
        uint64 size = _anchor();
        Exhibit[] memory exhibits = _trueExhibits(book, seed, size);
        Book storage rival = _books[(seed >> 16) % _books.length];
        bytes memory data = abi.encodeCall(
            evidence.disprove,
            (
                IEvidenceTarget(escrow),
                book.terms,
                kinds[(seed >> 24) % 8],
                size,
                exhibits,
                _rivals(rival.id)
            )
        );
        _try(stranger, address(evidence), data, false, false, "I14");
        ++counts["slandered"];
    }

    /// An outcome, and its own touch or transition; or anything.
    function _trueExhibits(Book storage book, uint256 seed, uint64 size)
        private
        view
        returns (Exhibit[] memory exhibits)
    {
        (bool found, uint256 i) = _settledVisit(book, seed >> 32);
        if (found && (seed >> 40) % 2 == 0) {
            Visit storage visit = book.visits[i];
            exhibits = new Exhibit[](2);
            exhibits[0] = _exhibit(visit.outcome, size);
            exhibits[1] = _exhibit((seed >> 48) % 2 == 0 ? visit.touch : visit.transition, size);
            return exhibits;
        }
        exhibits = new Exhibit[](1 + (seed >> 8) % 4);
        for (uint256 j = 0; j < exhibits.length; ++j) {
            exhibits[j] = _exhibit(_someEntry(book, _part(seed, j)), size);
        }
    }

    /// An entry that has to do with the contract.
    function _someEntry(Book storage book, uint256 seed) private view returns (uint256) {
        uint256 how = seed % 6;
        if (how == 0 || book.visits.length == 0) return (seed >> 8) % _entries.length;
        if (how == 1) return book.statements[(seed >> 8) % book.statements.length].position;
        if (how == 2 && book.lastReversal != 0) return book.lastReversal;
        Visit storage visit = book.visits[(seed >> 8) % book.visits.length];
        if (how == 3) return visit.touch;
        if (how == 4) return visit.transition;
        return visit.outcome == 0 ? book.opened : visit.outcome;
    }

    function _isTruthful(Book storage book) private view returns (bool) {
        return book.lies.length == 0 && book.statements.length != 0;
    }

    /// Strangers in the place of Evidence, of parties and of the arbiter; operators that claim by
    /// the touches and transitions of others.
    function trespass(uint256 seed) public watched {
        seed = _part(seed, 205);
        if (_books.length == 0) return;
        Book storage book = _books[seed % _books.length];
        uint256 how = (seed >> 8) % 9;
        bytes memory data;
        bytes32 key = book.claims.length == 0 ? bytes32("key") : book.claims[0].key;
        Claim memory filed;
        (filed.lead, filed.amount, filed.transition) = ("lead", 1, 1);
        if (how == 0) data = abi.encodeCall(escrow.retire, (book.terms, "sum"));
        if (how == 1) data = abi.encodeCall(escrow.fileClaim, (book.terms, "key", filed));
        if (how == 2) data = abi.encodeCall(escrow.lowerClaim, (book.terms, key, 0, "answered"));
        if (how == 3) data = abi.encodeCall(escrow.dispute, (book.terms, _lastIndex(book)));
        if (how == 4) {
            data = abi.encodeCall(escrow.rule, (book.terms, _lastIndex(book), book.budget()));
        }
        if (how == 5) data = abi.encodeCall(escrow.disputeClaims, (book.terms));
        if (how == 6) data = abi.encodeCall(escrow.ruleClaims, (book.terms, 0));
        if (how == 7) return _claimAnothers(book, seed);
        if (how == 8) {
            ProvenReversal memory reversal = ProvenReversal(2, 1, 1, 1, 1);
            data = abi.encodeCall(escrow.recordReversal, (book.terms, reversal));
        }
        _try(stranger, address(escrow), data, false, false, "I7");
        ++counts["trespassed"];
    }

    function _claimAnothers(Book storage book, uint256 seed) private {
        Book storage other = _books[(seed >> 16) % _books.length];
        if (other.id == book.id || other.visits.length == 0) return;
        Visit storage visit = other.visits[(seed >> 24) % other.visits.length];
        uint64 size = _anchor();
        bytes memory data = abi.encodeCall(
            evidence.claim,
            (
                IEvidenceTarget(escrow),
                book.terms,
                size,
                _exhibit(visit.transition, size),
                _exhibit(visit.touch, size)
            )
        );
        _try(book.terms.operator, address(evidence), data, false, false, "I7");
        ++counts["trespassed"];
    }
}
