// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Book, Filed, Lie, Statement, Visit} from "./Books.sol";
import {Honest} from "./Honest.sol";
import {Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {IEvidenceTarget} from "contracts/interfaces/IEvidenceTarget.sol";

/// Disagreements of owner and operator (disputes and rulings, disproofs, claims and their results),
/// and their agreement: the end by consent.
abstract contract Disagreements is Honest {
    mapping(bytes32 id => mapping(bytes32 key => uint256)) internal _claimedTouch;

    // ------------------------------------------------------------ disputes

    function dispute(uint256 seed) public watched {
        seed = _part(seed, 105);
        if (_books.length == 0) return;
        uint256 i = _pick(seed, _isPending);
        Book storage book = _books[i == 0 ? seed % _books.length : i - 1];
        bool byOwner = (seed >> 8) % 2 == 0;
        address party = byOwner ? book.terms.owner : book.terms.operator;
        bool legal = book.pending() != 0 && book.terms.arbiter != address(0);
        if (legal) {
            Statement storage statement = book.statements[book.statements.length - 1];
            legal = block.timestamp <= statement.statedAt + book.terms.challengePeriod
                && !(byOwner ? statement.ownerDisputed : statement.operatorDisputed);
        }
        bytes memory data = abi.encodeCall(escrow.dispute, (book.terms, _lastIndex(book)));
        _try(party, address(escrow), data, legal, false, "I7");
    }

    function _lastIndex(Book storage book) internal view returns (uint64) {
        uint256 count = book.statements.length;
        return count == 0 ? 0 : uint64(book.statements[count - 1].position);
    }

    /// An arbiter may rule whatever the rules allow, and try what they do not.
    function rule(uint256 seed) public watched {
        seed = _part(seed, 106);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _isDisputed);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        uint256 least = book.netOf(book.pending());
        uint256 most = book.budget() - book.claimed();
        uint256 amount = least;
        if (book.net() < least) least = book.net();
        uint256 how = (seed >> 8) % 8;
        if (how < 4) amount = _within(seed >> 16, least, most);
        if (how == 4) amount = most + 1;
        if (how == 5 && least != 0) amount = least - 1;
        address by = how == 6 ? book.terms.owner : book.terms.arbiter;
        bool legal = by == book.terms.arbiter && least <= amount && amount <= most;
        bytes memory data = abi.encodeCall(escrow.rule, (book.terms, _lastIndex(book), amount));
        bool excused = _breaksTokens(book.terms.token);
        if (_try(by, address(escrow), data, legal, excused, "I7")) _requirePaid(book);
    }

    /// A stranger shows a lie by the log alone.
    function disprove(uint256 seed) public watched {
        seed = _part(seed, 107);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _isLyingNow);
        if (i == 0) i = _books.length == 0 ? 0 : _pick(seed, _hasLied);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        Lie storage lie = book.lies[(seed >> 8) % book.lies.length];
        if (lie.kind == "rival" && _books[_bookOf[lie.rivalId] - 1].closed) return;
        bool legal = !book.retired && !book.closed && lie.exhibits[0] <= book.lastSigned();
        if (_disprove(book, lie, legal)) ++counts[lie.kind];
    }

    function _disprove(Book storage book, Lie storage lie, bool legal) private returns (bool) {
        uint64 size = _anchor();
        Exhibit[] memory exhibits = new Exhibit[](lie.exhibits.length);
        for (uint256 i = 0; i < exhibits.length; ++i) {
            exhibits[i] = _exhibit(lie.exhibits[i], size);
        }
        bytes memory data = abi.encodeCall(
            evidence.disprove,
            (IEvidenceTarget(escrow), book.terms, lie.kind, size, exhibits, _rivals(lie.rivalId))
        );
        return _try(stranger, address(evidence), data, legal, false, "I14");
    }

    /// A stranger shows that an outcome was taken back, which the verifier may have stated or not; or
    /// shows it again, or before the outcome is final.
    function proveReversal(uint256 seed) public watched {
        seed = _part(seed, 114);
        uint256 i = 0;
        if (_books.length != 0 && (seed >> 40) % 2 == 0) i = _pick(seed, _isHoldingAndPending);
        if (i == 0 && _books.length != 0) i = _pick(seed, _isHolding);
        if (i == 0 && _books.length != 0) i = _pick(seed, _isReversible);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        uint256 count = book.visits.length;
        uint256 number = (seed >> 8) % count;
        for (uint256 j = 0; j < count && !_isProvable(book, number, seed >> 16); ++j) {
            number = (number + 1) % count;
        }
        Visit storage visit = book.visits[number];
        if (visit.outcome == 0) return;
        _happenedTo(book, visit);
        uint64 size = _anchor();
        Exhibit[] memory exhibits = new Exhibit[](2);
        exhibits[0] = _exhibit(visit.outcome, size);
        exhibits[1] = _exhibit(visit.happened, size);
        bytes memory data = abi.encodeCall(
            evidence.proveReversal, (IEvidenceTarget(escrow), book.terms, size, exhibits)
        );
        uint256 last = book.lastFinal();
        uint256 sum = uint256(_entries[visit.outcome].payload) >> 16 & type(uint80).max;
        bool legal = !book.closed && visit.proven == 0 && visit.outcome <= last
            && visit.happened > last && book.isHeld(sum);
        _try(stranger, address(evidence), data, legal, false, "I7");
    }

    /// Most often one of which nothing is stated or proven yet.
    function _isProvable(Book storage book, uint256 number, uint256 seed)
        private
        view
        returns (bool)
    {
        Visit storage visit = book.visits[number];
        if (visit.outcome == 0) return false;
        bool isOpen = visit.happened == 0 || visit.happened > book.lastFinal();
        return seed % 4 == 0 || (isOpen && visit.proven == 0 && visit.outcome <= book.lastFinal());
    }

    function _isReversible(Book storage book) internal view returns (bool) {
        return book.outcomes != 0 && !book.isPlain() && !book.closed;
    }

    // ------------------------------------------------------------ claims

    /// An operator claims outcomes that the verifier passed over; or others, or by the wrong touch.
    function claim(uint256 seed) public watched {
        seed = _part(seed, 108);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _isClaimable);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        uint256 count = book.visits.length;
        if (count == 0) return;
        uint256 number = (seed >> 8) % count;
        bool isHonest = (seed >> 16) % 4 != 0;
        bool again = (seed >> 32) % 4 == 0;
        for (uint256 j = 0; j < count && isHonest; ++j) {
            if (again ? _isClaimed(book, number) : _isOwed(book, number)) break;
            number = (number + 1) % count;
        }
        _claim(book, number, (seed >> 24) % 4 == 0);
    }

    function _claim(Book storage book, uint256 number, bool wrongly) private {
        Visit storage visit = book.visits[number];
        uint256 touch = wrongly && visit.wrongTouch != 0 ? visit.wrongTouch : visit.touch;
        uint64 size = _anchor();
        bytes memory data = abi.encodeCall(
            evidence.claim,
            (
                IEvidenceTarget(escrow),
                book.terms,
                size,
                _exhibit(visit.transition, size),
                _exhibit(touch, size)
            )
        );
        bool legal = _mayClaim(book, number);
        bytes32 invariant = _isClaimed(book, number) ? bytes32("I4") : bytes32("I7");
        if (_try(book.terms.operator, address(evidence), data, legal, false, invariant)) {
            _claimedTouch[book.id][_keyOf(book, visit)] = touch;
        }
    }

    function _keyOf(Book storage book, Visit storage visit) internal view returns (bytes32) {
        return book.terms.repeatable ? bytes32(visit.transition) : visit.lead;
    }

    function _isClaimed(Book storage book, uint256 number) internal view returns (bool) {
        bytes32 key = _keyOf(book, book.visits[number]);
        for (uint256 i = 0; i < book.claims.length; ++i) {
            if (book.claims[i].key == key) return true;
        }
        return false;
    }

    function _isOwed(Book storage book, uint256 number) private view returns (bool) {
        return book.visits[number].outcome == 0 && !_isClaimed(book, number);
    }

    function _mayClaim(Book storage book, uint256 number) private view returns (bool) {
        if (book.closed || _isClaimed(book, number) || !_isClaimable(book)) return false;
        uint256 most = book.net();
        uint256 waits = book.pending();
        if (waits != 0) {
            uint256 last = book.lastFinal(block.timestamp);
            uint256 earned = last == 0 ? 0 : book.statements[last - 1].earned;
            if (book.statements[waits - 1].earned > earned) return false;
            if (book.netOf(waits) > most) most = book.netOf(waits);
        }
        return most + book.claimed() + book.visits[number].amount <= book.budget();
    }

    /// A stranger shows that the log refutes a claim; or tries to, where it does not.
    function refute(uint256 seed) public watched {
        seed = _part(seed, 109);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _hasClaims);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        _refute(book, (seed >> 8) % book.claims.length);
    }

    function _refute(Book storage book, uint256 number) private {
        Filed storage filed = book.claims[number];
        Visit storage visit = _visitOf(book, filed.key);
        // Now and then its customer has given it back.
        if (filed.amount % 4 == 1) _happenedTo(book, visit);
        bool isInTime = block.timestamp > book.t2() && block.timestamp <= book.t4() && !book.closed
            && !filed.dropped;
        bool isAnswered = visit.outcome != 0 && visit.outcome <= book.lastFinal();
        bool isBeaten = _claimedTouch[book.id][filed.key] != visit.touch;
        if (visit.happened != 0) {
            _refute(book, filed.key, "reversed", visit.happened, isInTime);
        } else if (isBeaten) {
            _refute(book, filed.key, "touch_order", visit.touch, isInTime);
        } else {
            uint256 position = visit.outcome == 0 ? visit.transition : visit.outcome;
            _refute(book, filed.key, "answered", position, isInTime && isAnswered);
        }
    }

    function _refute(Book storage book, bytes32 key, bytes32 kind, uint256 position, bool legal)
        private
    {
        uint64 size = _anchor();
        Exhibit[] memory exhibits = new Exhibit[](1);
        exhibits[0] = _exhibit(position, size);
        bytes memory data = abi.encodeCall(
            evidence.refute,
            (IEvidenceTarget(escrow), book.terms, key, kind, size, exhibits, _rivals(0))
        );
        if (_try(stranger, address(evidence), data, legal, false, "I7")) ++counts[kind];
    }

    function _visitOf(Book storage book, bytes32 key) private view returns (Visit storage) {
        uint256 i = 0;
        while (_keyOf(book, book.visits[i]) != key) ++i;
        return book.visits[i];
    }

    function disputeClaims(uint256 seed) public watched {
        seed = _part(seed, 110);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _hasDisputableClaims);
        if (i == 0 && _books.length != 0) i = _pick(seed, _hasClaims);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        bool legal = _hasDisputableClaims(book);
        address party = (seed >> 8) % 2 == 0 ? book.terms.owner : book.terms.operator;
        bytes memory data = abi.encodeCall(escrow.disputeClaims, (book.terms));
        if (_try(party, address(escrow), data, legal, false, "I7")) ++counts["claims disputed"];
    }

    function ruleClaims(uint256 seed) public watched {
        seed = _part(seed, 111);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _hasDisputedClaims);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        uint256 amount = _within(seed >> 8, 0, book.claimed() + 1);
        address by = (seed >> 8) % 8 == 0 ? book.terms.owner : book.terms.arbiter;
        bool legal = by == book.terms.arbiter && !book.claimsRuled && _isRefutable(book)
            && !book.closed && amount <= book.claimed();
        bytes memory data = abi.encodeCall(escrow.ruleClaims, (book.terms, amount));
        if (!_try(by, address(escrow), data, legal, false, "I7")) return;
        ++counts["claims ruled"];
        // A stranger looks at them only now.
        for (uint256 j = 0; j < book.claims.length; ++j) {
            _refute(book, j);
        }
    }

    // ------------------------------------------------------------ end

    /// By consent of both, one of whom may call; or with one signature too few, too much or too
    /// late.
    function close(uint256 seed) public watched {
        seed = _part(seed, 112);
        if (_books.length == 0 || seed % 3 != 0) return;
        Book storage book = _books[(seed >> 8) % _books.length];
        uint256 amount = _within(seed >> 16, book.paid(), book.budget());
        uint64 expiresAt = uint64(block.timestamp + (seed >> 32) % 2);
        uint256 how = (seed >> 24) % 8;
        if (how == 0) ++amount;
        if (how == 1) --expiresAt;
        bytes32 digest = _closeDigest(owner.addr, book.id, amount, expiresAt);
        bytes memory byOwner = how == 2 ? bytes("") : _sign(owner, digest);
        digest = _closeDigest(book.terms.operator, book.id, amount, expiresAt);
        bytes memory byOperator = _sign(how == 3 ? owner : _operators[book.operator], digest);
        address by = how == 4 ? owner.addr : stranger;
        if (how == 4) byOwner = "";
        bool legal = how > 3 || (how < 2 && amount <= book.budget() && expiresAt >= block.timestamp);
        bytes memory data =
            abi.encodeCall(escrow.close, (book.terms, amount, expiresAt, byOwner, byOperator));
        bool excused = _breaksTokens(book.terms.token);
        bytes32 invariant = book.closed ? bytes32("I8") : bytes32("I7");
        if (_try(by, address(escrow), data, legal && !book.closed, excused, invariant)) {
            _requirePaid(book);
        }
    }
}
