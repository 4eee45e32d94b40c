// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {Book, Visit} from "./Books.sol";
import {OddToken, Receiver, SourToken} from "./Tokens.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {EventOpening, Exhibit, TransitionOpening} from "contracts/evidence/EvidenceTypes.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// Two tokens, the accounts of all roles, and the log with every entry that it truly or falsely
/// has. All contracts are of one owner and for one outcome, each of an operator of its own: they
/// compete.
abstract contract World is Fixture {
    uint256 internal constant MAX_CONTRACTS = 7;
    uint256 internal constant PAYEES = 4;
    uint256 internal constant RECEIVERS = 2; // payees with code
    uint16 internal constant ODD_FEE_BPS = 333;

    OddToken internal odd; //   keeps balances, in unusual ways
    SourToken internal sour; // does not
    Evidence internal evidence;
    Account internal arbiter = makeAccount("arbiter");
    Account[] internal _operators;
    Receiver[] internal _receivers;
    address[] internal _people; // all who may be paid, refunded or credited; payees first

    Book[] internal _books;
    mapping(bytes32 id => uint256) internal _bookOf; // plus one
    Entry[] internal _entries; // the log
    mapping(bytes32 payload => bytes) internal _openings;

    function setUp() public virtual override {
        super.setUp();
        evidence = new Evidence();
        odd = new OddToken();
        sour = new SourToken();
        address[] memory tokens = new address[](2);
        (tokens[0], tokens[1]) = (address(odd), address(sour));
        escrow =
            new OutcomeEscrow(eventLog, address(evidence), IIdentityRegistry(address(0)), tokens);
        lens = new EscrowLens(escrow);
        for (uint256 i = 0; i < MAX_CONTRACTS; ++i) {
            _operators.push(makeAccount(string.concat("operator ", vm.toString(i))));
        }
        for (uint256 i = 0; i < PAYEES; ++i) {
            string memory name = string.concat("payee ", vm.toString(i));
            _people.push(i < RECEIVERS ? _newReceiver(name) : makeAddr(name));
        }
        _people.push(feeRecipient);
        _people.push(owner.addr);
        _entries.push(); // the genesis
    }

    function _newReceiver(string memory name) private returns (address) {
        Receiver receiver = new Receiver();
        _receivers.push(receiver);
        odd.ask(receiver);
        sour.ask(receiver);
        vm.label(address(receiver), name);
        return address(receiver);
    }

    /// Returns whether this is a payee that won't be paid at the moment.
    function _refuses(address account) internal view returns (bool) {
        for (uint256 i = 0; i < RECEIVERS; ++i) {
            if (account == address(_receivers[i])) return _receivers[i].refuses();
        }
        return false;
    }

    // ------------------------------------------------------------ terms

    /// Terms of every make: plain ones, and any mixture of the rest.
    function _randomTerms(uint256 seed) internal view returns (Terms memory terms) {
        terms = _terms();
        terms.salt = bytes32(_books.length);
        terms.operator = _operators[_books.length].addr;
        terms.payee = _people[_part(seed, 0) % PAYEES];
        terms.token = _part(seed, 1) % 4 == 0 ? address(sour) : address(odd);
        terms.attribution = uint8(_part(seed, 2) % 2);
        terms.repeatable = _part(seed, 3) % 2 == 0;
        terms.unitPrice = _within(_part(seed, 4), 1, 1e9);
        terms.revenueShareBps = _part(seed, 5) % 4 == 0 ? 1_000 : 0;
        terms.budget = terms.unitPrice * _within(_part(seed, 6), 1, 12) + terms.unitPrice / 3;
        terms.feeBps = _part(seed, 7) % 2 == 0 ? 0 : ODD_FEE_BPS;
        terms.opensAt = uint64(block.timestamp + _part(seed, 8) % 1 days);
        terms.deadline = uint64(terms.opensAt + _part(seed, 9) % 6 days);
        terms.grace = uint64(_part(seed, 10) % 3 days);
        terms.lateness = uint64(_part(seed, 11) % 1 days);
        if (_part(seed, 12) % 4 != 0) _guard(terms, _part(seed, 13));
    }

    function _guard(Terms memory terms, uint256 seed) private view {
        if (_part(seed, 0) % 3 != 0) terms.arbiter = arbiter.addr;
        if (_part(seed, 1) % 4 != 0) {
            terms.challengePeriod = uint64(1 + _part(seed, 2) % 2 days);
            terms.arbitrationPeriod = uint64(_part(seed, 3) % 1 days);
        }
        if (_part(seed, 4) % 2 == 0) {
            terms.holdbackBps = _part(seed, 5) % 4 == 0 ? 10_000 : 2_500;
            terms.holdbackPeriod = uint64(_part(seed, 6) % 6 days);
            // Now and then it ends behind the time to refute claims.
            if (_part(seed, 12) % 4 == 0) terms.holdbackPeriod += 12 days;
        }
        if (_part(seed, 7) % 3 == 0) {
            terms.rateCap = 2 + terms.budget / (1 + _part(seed, 8) % 5);
            terms.ratePeriod = uint64(1 + _part(seed, 9) % 2 days);
        }
        uint64 least = terms.challengePeriod + terms.arbitrationPeriod;
        if (terms.challengePeriod != 0 || terms.holdbackPeriod != 0) {
            terms.grace += terms.lateness + least + 1 days;
        }
        if (_part(seed, 10) % 3 != 0 && terms.arbiter != address(0)) {
            terms.claimPeriod = least + 3 days + uint64(_part(seed, 11) % 1 days);
        }
    }

    // ------------------------------------------------------------ the log

    function _write(Entry memory entry) internal returns (uint256 position) {
        position = _append(entry);
        _entries.push(entry);
    }

    /// Written, anchored and signed.
    function _present(Ledgers.Group memory group, Entry[] memory entries)
        internal
        returns (Batch memory)
    {
        for (uint256 i = 0; i < entries.length; ++i) {
            _entries.push(entries[i]);
        }
        return _batch(group, entries);
    }

    /// The size of a checkpoint that has all entries.
    function _anchor() internal returns (uint64 size) {
        (size,,) = eventLog.latest(logId);
        if (size != tree.size()) size = _publish();
    }

    function _exhibit(uint256 position, uint64 size) internal view returns (Exhibit memory) {
        return Exhibit({
            position: uint64(position),
            entry: abi.encode(_entries[position]),
            opening: _openings[_entries[position].payload],
            proof: tree.inclusionProof(position, size)
        });
    }

    function _writeOpened(Terms memory terms, bytes32 id) internal returns (uint256) {
        Entry memory entry = _blank("contract.opened", _word(terms.owner), id);
        entry.label = terms.outcome;
        entry.value = terms.budget;
        entry.timeMs = block.timestamp * 1000;
        return _write(entry);
    }

    /// A new lead enters the state after the operator has touched it, once or twice.
    function _writeVisit(Book storage book, uint256 seed) internal returns (uint256 number) {
        number = book.visits.length;
        Visit storage visit = book.visits.push();
        visit.lead = keccak256(abi.encode(book.id, number));
        visit.timeMs = _clockIn(book) * 1000;
        visit.touch = _writeTouch(_operators[book.operator].addr, visit, 0);
        if (_part(seed, 0) % 3 == 0) {
            uint256 second = _writeTouch(_operators[book.operator].addr, visit, visit.touch + 1);
            visit.wrongTouch = second;
            if (book.terms.attribution == 1) {
                (visit.touch, visit.wrongTouch) = (second, visit.touch);
            }
        }
        _writeTransition(book, visit, _part(seed, 1) % 1e9);
    }

    /// Now, as far as the contract's times allow it.
    function _clockIn(Book storage book) internal view returns (uint256 time) {
        time = block.timestamp;
        if (time < book.terms.opensAt) time = book.terms.opensAt;
        if (time > book.terms.deadline) time = book.terms.deadline;
    }

    function _writeTouch(address operator_, Visit storage visit, uint256 follows)
        internal
        returns (uint256)
    {
        Entry memory entry = _blank("touch", _word(operator_), visit.lead);
        entry.label = "invited";
        entry.value = follows;
        entry.timeMs = visit.timeMs;
        return _write(entry);
    }

    function _writeTransition(Book storage book, Visit storage visit, uint256 revenue) internal {
        Entry memory entry = _blank("lead.transition", _word(book.terms.owner), visit.lead);
        entry.label = book.terms.outcome;
        entry.value = revenue;
        entry.timeMs = visit.timeMs;
        bytes memory opening = abi.encode(
            TransitionOpening("registered", 0, visit.timeMs, 0, visit.lead, "commitment")
        );
        entry.payload = sha256(opening);
        _openings[entry.payload] = opening;
        visit.transition = _write(entry);
        visit.amount = book.terms.unitPrice + revenue * book.terms.revenueShareBps / 10_000;
    }

    /// The entry that the verifier would write for this visit.
    function _outcomeOf(Book storage book, Visit storage visit)
        internal
        view
        returns (Entry memory entry)
    {
        entry = _blank("outcome", book.id, visit.lead);
        entry.label = book.terms.outcome;
        entry.value = visit.amount;
        entry.timeMs = visit.timeMs;
        entry.payload = _link(
            visit.transition,
            visit.touch,
            book.lastOutcome,
            book.outcomes + 1,
            book.earned + visit.amount
        );
    }

    /// Writes an outcome with this amount, true or not, and continues from its sum.
    function _writeOutcome(Book storage book, Entry memory entry, uint256 earned)
        internal
        returns (uint256 position)
    {
        position = _write(entry);
        (book.lastOutcome, book.earned) = (position, earned);
        ++book.outcomes;
    }

    /// The event takes back all of what the lead bought by the visit; of none, if it is another's.
    function _writeEvent(Book storage book, Visit storage visit, bytes32 lead)
        internal
        returns (uint256)
    {
        Entry memory entry = _blank("product.event", _word(book.terms.owner), lead);
        entry.label = "refunded";
        entry.timeMs = visit.timeMs;
        EventOpening memory said;
        (said.receivedMs, said.requestHash) = (visit.timeMs, lead);
        if (lead == visit.lead) {
            (said.purchase, said.whole) = (visit.transition, 1);
            said.refundedAfter = _entries[visit.transition].value;
        }
        bytes memory opening = abi.encode(said);
        entry.payload = sha256(opening);
        _openings[entry.payload] = opening;
        return _write(entry);
    }

    /// Takes an outcome back because of this event, true or not.
    function _writeReversal(Book storage book, Visit storage visit, uint256 happened)
        internal
        returns (uint256 position)
    {
        Entry memory entry = _blank("outcome.reversed", book.id, visit.lead);
        entry.label = book.terms.outcome;
        entry.value = visit.amount;
        entry.timeMs = visit.timeMs;
        book.reversed += visit.amount;
        ++book.reversals;
        entry.payload =
            _link(visit.outcome, happened, book.lastReversal, book.reversals, book.reversed);
        position = _write(entry);
        (book.lastReversal, visit.reversed) = (position, true);
    }

    /// Returns the statement of the contract's totals in the log so far.
    function _statementOf(Book storage book) internal view returns (Entry memory entry) {
        entry = _stating(book, book.earned, book.reversed);
    }

    function _stating(Book storage book, uint256 earned, uint256 reversed)
        internal
        view
        returns (Entry memory entry)
    {
        entry = _settlement(book.id, earned, reversed);
        entry.payload =
            bytes32(earned << 176 | reversed << 96 | book.lastOutcome << 48 | book.lastReversal);
    }

    function _blank(bytes32 kind, bytes32 actor, bytes32 subject)
        internal
        pure
        returns (Entry memory entry)
    {
        entry.kind = kind;
        entry.surface = keccak256("surface");
        entry.actor = actor;
        entry.subject = subject;
    }

    function _link(uint256 target, uint256 cause, uint256 prev, uint256 n, uint256 sum)
        internal
        pure
        returns (bytes32)
    {
        return bytes32(target << 216 | cause << 176 | prev << 136 | n << 96 | sum << 16);
    }

    function _word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    // ------------------------------------------------------------ chance

    /// Independent parts of one seed.
    function _part(uint256 seed, uint256 i) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i)));
    }

    function _within(uint256 seed, uint256 least, uint256 most) internal pure returns (uint256) {
        return least + seed % (most - least + 1);
    }

    /// A contract that suits; one plus its number, or zero.
    function _pick(uint256 seed, function(Book storage) view returns (bool) suits)
        internal
        view
        returns (uint256)
    {
        uint256 count = _books.length;
        for (uint256 i = 0; i < count; ++i) {
            uint256 number = (seed % count + i) % count;
            if (suits(_books[number])) return number + 1;
        }
        return 0;
    }

    function _any(Book storage) internal pure returns (bool) {
        return true;
    }
}
