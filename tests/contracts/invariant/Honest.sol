// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../mocks/HostileToken.sol";
import {Book, Filed, Lie, Statement, Visit} from "./Books.sol";
import {Watch} from "./Watch.sol";
import {Evidence} from "contracts/Evidence.sol";
import {OutcomeEscrow} from "contracts/OutcomeEscrow.sol";
import {Vault} from "contracts/Vault.sol";
import {ICases} from "contracts/interfaces/ICases.sol";
import {Exhibit, Opening} from "contracts/libraries/Case.sol";
import {Entry} from "contracts/libraries/MerkleLog.sol";
import {Terms} from "contracts/libraries/Terms.sol";

/// What each party may do, now and then at the wrong time, with a wrong amount or by the wrong
/// person. The books say before each call whether it must succeed.
abstract contract Honest is Watch {
    /// A batch under way, and what must come of its entries.
    struct Round {
        Entry[] entries;
        uint256[] numbers; // of the books
        bool[] admitted;
        uint256 count;
    }

    Batch[] internal _batches;
    mapping(bytes32 id => mapping(bytes32 key => uint256)) internal _claimedTouch;

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
        bytes memory data = abi.encodeCall(
            escrow.open, (terms, _sign(owner, id), _sign(_operators[_books.length], id))
        );
        bool excused = token_.mode() != HostileToken.Mode.Honest || token_.blocked(owner.addr)
            || token_.hook() != address(0);
        if (!_try(stranger, address(escrow), data, true, excused, "L1")) return;

        uint256 opened = _writeOpened(terms, id);
        purses[terms.token][owner.addr] -= terms.budget;
        escrowed[terms.token] += terms.budget;
        Book storage book = _books.push();
        (book.id, book.terms, book.lastStatus) = (id, terms, "unknown");
        (book.operator, book.opened) = (_books.length - 1, opened);
        _bookOf[id] = _books.length;
        _touched = 1 << book.operator;
        ++counts["opened"];
    }

    // ------------------------------------------------------------ statements

    /// What happened to some contracts of one group, stated truly and settled together.
    function settle(uint256 seed) public watched {
        seed = _part(seed, 101);
        if (_books.length == 0) return;
        uint256 first = _pick(seed, _isOpen);
        first = first == 0 ? seed % _books.length : first - 1;
        OutcomeEscrow.Group memory group = _groupOf(_books[first].terms);
        Round memory round = _newRound();
        for (uint256 i = 0; i < _books.length; ++i) {
            if (!_isIn(_books[i], group)) continue;
            if (i != first && _part(seed, i) % 2 == 0) continue;
            _work(_books[i], _part(seed, 20 + i));
            _add(round, i);
        }
        _settleRound(group, round);
    }

    function _newRound() internal view returns (Round memory round) {
        round.entries = new Entry[](_books.length);
        round.numbers = new uint256[](_books.length);
        round.admitted = new bool[](_books.length);
    }

    function _isIn(Book storage book, OutcomeEscrow.Group memory group)
        internal
        view
        returns (bool)
    {
        return book.terms.feeBps == group.feeBps && book.terms.token == group.token;
    }

    function _add(Round memory round, uint256 number) internal view {
        Book storage book = _books[number];
        round.entries[round.count] = _statementOf(book);
        round.numbers[round.count] = number;
        round.admitted[round.count++] = book.admits(type(uint256).max, book.earned, book.reversed);
    }

    function _settleRound(OutcomeEscrow.Group memory group, Round memory round) internal {
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
        Visit storage visit = book.visits[i];
        _writeReversal(book, visit, _writeEvent(book, visit.lead, visit.timeMs));
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
        uint256 lately = book.paidLately();
        uint256 before = book.paid();
        uint256 due = book.entitled() - before;
        bytes memory data = abi.encodeCall(escrow.release, (book.id));
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

    /// What is paid depends on what is final alone, not on the steps that led there.
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
        bytes memory data = abi.encodeCall(escrow.refund, (book.id));
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
        bytes memory data = abi.encodeCall(escrow.withdraw, (address(token_), to));
        bool legal = credits[address(token_)][account] != 0;
        bool excused = token_.mode() != HostileToken.Mode.Honest || token_.blocked(to)
            || (token_ == sour && soured);
        if (_try(account, address(escrow), data, legal, excused, "I1")) ++counts["withdrawn"];
    }

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
        bytes memory data = abi.encodeCall(escrow.dispute, (book.id, _lastIndex(book)));
        _try(party, address(escrow), data, legal, false, "I7");
    }

    function _lastIndex(Book storage book) internal view returns (uint64) {
        uint256 count = book.statements.length;
        return count == 0 ? 0 : uint64(book.statements[count - 1].index);
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
        bytes memory data = abi.encodeCall(escrow.rule, (book.id, _lastIndex(book), amount));
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
        bool legal = !book.retired && !book.closed && lie.exhibits[0] <= book.reach();
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
            (ICases(escrow), book.id, lie.kind, size, exhibits, lie.rivalId, lie.opening)
        );
        return _try(stranger, address(evidence), data, legal, false, "I14");
    }

    // ------------------------------------------------------------ claims

    /// An operator claims what the verifier passed over; or what it did not, or by the wrong touch.
    function claim(uint256 seed) public watched {
        seed = _part(seed, 108);
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _isClaimable);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        uint256 count = book.visits.length;
        if (count == 0) return;
        uint256 number = (seed >> 8) % count;
        bool isHonest = (seed >> 16) % 4 != 0;
        for (uint256 j = 0; j < count && isHonest; ++j) {
            if (book.visits[number].outcome == 0 && !_isClaimed(book, number)) break;
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
            (ICases(escrow), book.id, size, _exhibit(visit.transition, size), _exhibit(touch, size))
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
        Filed storage filed = book.claims[(seed >> 8) % book.claims.length];
        Visit storage visit = _visitOf(book, filed.key);
        bool isInTime = block.timestamp > book.t2() && block.timestamp <= book.t4()
            && !book.claimsRuled && !book.closed && !filed.dropped;
        bool isAnswered = visit.outcome != 0 && visit.outcome <= book.floor();
        bool isBeaten = _claimedTouch[book.id][filed.key] != visit.touch;
        if (isBeaten) {
            _refute(book, filed.key, "touch_order", visit.touch, isInTime);
        } else {
            uint256 index = visit.outcome == 0 ? visit.transition : visit.outcome;
            _refute(book, filed.key, "answered", index, isInTime && isAnswered);
        }
    }

    function _refute(Book storage book, bytes32 key, bytes32 kind, uint256 index, bool legal)
        private
    {
        uint64 size = _anchor();
        Exhibit[] memory exhibits = new Exhibit[](1);
        exhibits[0] = _exhibit(index, size);
        Opening memory none;
        bytes memory data = abi.encodeCall(
            evidence.refute, (ICases(escrow), book.id, key, kind, size, exhibits, 0, none)
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
        uint256 i = _books.length == 0 ? 0 : _pick(seed, _hasClaims);
        if (i == 0) return;
        Book storage book = _books[i - 1];
        bool legal = book.claimed() != 0 && !book.claimsDisputed && _isRefutable(book);
        address party = (seed >> 8) % 2 == 0 ? book.terms.owner : book.terms.operator;
        bytes memory data = abi.encodeCall(escrow.disputeClaims, (book.id));
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
        bytes memory data = abi.encodeCall(escrow.ruleClaims, (book.id, amount));
        if (_try(by, address(escrow), data, legal, false, "I7")) ++counts["claims ruled"];
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
        bytes32 digest = _digest(
            address(escrow), vm.eip712HashStruct(CLOSE_TYPE, abi.encode(book.id, amount, expiresAt))
        );
        bytes memory byOwner = how == 2 ? bytes("") : _sign(owner, digest);
        bytes memory byOperator = _sign(how == 3 ? owner : _operators[book.operator], digest);
        address by = how == 4 ? owner.addr : stranger;
        if (how == 4) byOwner = "";
        bool legal = how > 3 || (how < 2 && amount <= book.budget() && expiresAt >= block.timestamp);
        bytes memory data =
            abi.encodeCall(escrow.close, (book.id, amount, expiresAt, byOwner, byOperator));
        bool excused = _breaksTokens(book.terms.token);
        bytes32 invariant = book.closed ? bytes32("I8") : bytes32("I7");
        if (_try(by, address(escrow), data, legal && !book.closed, excused, invariant)) {
            _requirePaid(book);
        }
    }

    // ------------------------------------------------------------ what suits

    function _isOpen(Book storage book) internal view returns (bool) {
        return !book.closed && !book.retired && block.timestamp <= book.t2() && book.pending() == 0;
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
        if (book.pending() == 0) return false;
        Statement storage statement = book.statements[book.statements.length - 1];
        return statement.ownerDisputed || statement.operatorDisputed;
    }

    function _hasLied(Book storage book) internal view returns (bool) {
        return book.lies.length != 0;
    }

    function _isLyingNow(Book storage book) internal view returns (bool) {
        return _hasLied(book) && !book.retired && !book.closed
            && book.lies[book.lies.length - 1].exhibits[0] <= book.reach();
    }

    function _isClaimable(Book storage book) internal view returns (bool) {
        return block.timestamp > book.t2() && block.timestamp <= book.t3();
    }

    function _isRefutable(Book storage book) internal view returns (bool) {
        return block.timestamp > book.t3() && block.timestamp <= book.t4();
    }

    function _hasClaims(Book storage book) internal view returns (bool) {
        return book.claims.length != 0 && block.timestamp <= book.t4();
    }

    function _hasDisputedClaims(Book storage book) internal view returns (bool) {
        return book.claimsDisputed && !book.claimsRuled;
    }
}
