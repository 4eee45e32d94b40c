// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileFixture} from "../helpers/HostileFixture.sol";
import {HostileToken} from "../mocks/HostileToken.sol";
import {OutcomeEscrow} from "contracts/OutcomeEscrow.sol";
import {Vault} from "contracts/Vault.sol";
import {Entry} from "contracts/libraries/MerkleLog.sol";
import {Terms} from "contracts/libraries/Terms.sol";
import {Vm} from "forge-std/Vm.sol";

/// Everybody who can touch the escrow, acting at random: honest and forging verifiers, owners,
/// payees and strangers, a token that turns bad and good again, and the clock. It keeps its own
/// books from the calls it makes and the events it sees, never from the escrow's state, and notes
/// what must not happen.
contract EscrowHandler is HostileFixture {
    uint256 private constant MAX_CONTRACTS = 8;
    uint256 private constant PEOPLE = 4;

    /// What the log truly says of a contract, and what was seen of it on chain.
    struct Book {
        bytes32 id;
        Terms terms;
        uint256 outcomes; //      ever written to the log, each at the unit price
        uint256 reversals;
        uint256 settledNet; //    the most that any settled statement says
        uint256 paidNet; //       from events
        uint256 paidFees;
        uint256 refunded;
        uint256 lastPaid; //      from views, to see them fall
        uint256 lastFloor;
        bytes32 lastStatus;
    }

    Book[] private _books;
    mapping(bytes32 id => uint256) private _bookOf; // plus one
    mapping(uint256 index => uint256) private _statedAt; // net, by the log
    Batch[] private _batches;
    address[] private _people; // payees, owners and fee recipients: all who may hold a credit

    // What the books say of the whole escrow.
    uint256 public escrowed;
    uint256 public donated;
    uint256 public credited;
    uint256 public withdrawn;

    // What must never happen; each names the invariant that it breaks.
    string public broken;

    // How often the interesting things did happen, so that no invariant is empty.
    mapping(bytes32 what => uint256) public counts;

    bool private _landed; // a call of this action did not revert, so its events count
    bool private _paysAllowed; // only a verified and anchored batch is being settled now

    constructor() {
        setUp();
        for (uint256 i = 0; i < PEOPLE; ++i) {
            _people.push(makeAddr(string.concat("payee ", vm.toString(i))));
        }
        _people.push(feeRecipient);
        _people.push(owner.addr);
        _people.push(operator.addr);
    }

    // ------------------------------------------------------------ the world

    function warp(uint256 seed) external watched {
        vm.warp(block.timestamp + bound(seed, 1, 2 days));
    }

    function turnToken(uint256 seed) external watched {
        seed = _mix(seed);
        HostileToken.Mode[6] memory modes = [
            HostileToken.Mode.ReturnsNothing,
            HostileToken.Mode.ReturnsFalse,
            HostileToken.Mode.TakesFee,
            HostileToken.Mode.TakesMore,
            HostileToken.Mode.Paused,
            HostileToken.Mode.ReturnsTwo
        ];
        hostile.setMode(seed % 2 == 0 ? HostileToken.Mode.Honest : modes[(seed >> 8) % 6]);
    }

    function turnBlock(uint256 who, bool blocked) external watched {
        hostile.setBlocked(_people[who % _people.length], blocked);
    }

    /// From now on every transfer calls back into the escrow.
    function turnHook(uint256 seed) external watched {
        seed = _mix(seed);
        bytes memory data;
        if (seed % 4 == 0 && _books.length != 0) {
            data = abi.encodeCall(escrow.refund, (_books[(seed >> 8) % _books.length].id));
        } else if (seed % 4 == 1 && _batches.length != 0) {
            Batch memory b = _batches[(seed >> 8) % _batches.length];
            data = abi.encodeCall(
                escrow.settle, (b.group, b.size, b.first, b.entries, b.proof, b.signature)
            );
        } else if (seed % 4 == 2) {
            data = abi.encodeCall(escrow.withdraw, (address(token), stranger));
        }
        hostile.setHook(data.length == 0 ? address(0) : address(escrow), data);
    }

    function donate(uint256 amount) external watched {
        amount = bound(amount, 1, 1e9);
        hostile.mint(address(escrow), amount);
        donated += amount;
    }

    // ------------------------------------------------------------ the honest

    function open(uint256 seed) external watched {
        seed = _mix(seed);
        if (_books.length == MAX_CONTRACTS) return;
        Terms memory terms = _terms();
        terms.salt = bytes32(_books.length);
        terms.payee = _people[seed % PEOPLE];
        terms.unitPrice = bound(seed >> 8, 1, 1e9);
        terms.budget = terms.unitPrice * bound(seed >> 40, 1, 12) + (seed >> 60) % terms.unitPrice;
        terms.revenueShareBps = (seed >> 80) % 4 == 0 ? 100 : 0;
        terms.feeBps = (seed >> 88) % 2 == 0 ? 0 : 333;
        terms.opensAt = uint64(block.timestamp + (seed >> 96) % 1 days);
        terms.deadline = uint64(terms.opensAt + (seed >> 128) % 6 days);
        terms.grace = uint64((seed >> 160) % 3 days);
        bytes32 id = _contractId(terms);
        bytes memory ownerSignature = _sign(owner, id);
        bytes memory operatorSignature = _sign(operator, id);
        hostile.mint(owner.addr, terms.budget);
        vm.prank(owner.addr);
        hostile.approve(address(escrow), terms.budget);
        try escrow.open(terms, ownerSignature, operatorSignature) {
            Book storage book = _books.push();
            (book.id, book.terms, book.lastStatus) = (id, terms, "unknown");
            _bookOf[id] = _books.length;
            escrowed += terms.budget;
            _count("opened");
        } catch {}
    }

    /// New outcomes and reversals of some contracts of one group, stated truly and settled
    /// together.
    function settle(uint256 seed) external watched {
        seed = _mix(seed);
        if (_books.length == 0) return;
        OutcomeEscrow.Group memory group = _groupOf(_books[seed % _books.length].terms);
        Entry[] memory entries = new Entry[](_books.length);
        uint256 count;
        for (uint256 i = 0; i < _books.length; ++i) {
            Book storage book = _books[i];
            if (book.terms.feeBps != group.feeBps || (seed >> (8 + i)) % 2 == 0) continue;
            _work(book, uint256(keccak256(abi.encode(seed, i))));
            entries[count++] = _trueSettlement(book);
        }
        if (count == 0) return;
        assembly ("memory-safe") {
            mstore(entries, count)
        }
        Batch memory batch = _batch(group, entries);
        for (uint256 i = 0; i < count; ++i) {
            _statedAt[batch.first + i] = entries[i].value;
        }
        _batches.push(batch);
        _settleVerified(batch);
    }

    function refund(uint256 seed) external watched {
        seed = _mix(seed);
        if (_books.length == 0) return;
        try escrow.refund(_books[seed % _books.length].id) {
            _count("refunded");
        } catch {}
    }

    function withdraw(uint256 seed) external watched {
        seed = _mix(seed);
        address account;
        for (uint256 i = 0; i < _people.length; ++i) {
            account = _people[(seed % PEOPLE + i) % _people.length];
            if (escrow.creditOf(address(token), account) != 0) break;
        }
        vm.prank(account);
        try escrow.withdraw(address(token), _people[(seed >> 8) % _people.length]) {
            _count("withdrawn");
        } catch {}
    }

    // ------------------------------------------------------------ the dishonest

    /// A verified batch again, whole or its first entry alone.
    function replay(uint256 seed) external watched {
        seed = _mix(seed);
        if (_batches.length == 0) return;
        Batch memory batch = _batches[seed % _batches.length];
        uint256 before = _paidToAll();
        _settleVerified(batch);
        // A batch that was settled before pays nothing; one that reverted at the time may.
        if (_paidToAll() == before) ++counts["replayed"];
    }

    /// A verifier and a publisher who lie together: still only within price, budget, time and
    /// group.
    function lie(uint256 seed) external watched {
        seed = _mix(seed);
        if (_books.length == 0) return;
        Book storage book = _books[seed % _books.length];
        Entry memory entry = _trueSettlement(book);
        uint256 how = (seed >> 8) % 7;
        uint256 price = book.terms.unitPrice;
        uint256 net = book.terms.budget / price * price;
        if (how == 0) entry = _settlement(book.id, net + price, 0);
        if (how == 1) entry = _settlement(book.id, book.settledNet + 1, 0);
        if (how == 2) entry.value += price;
        if (how == 3) entry.kind = "outcome";
        if (how == 4) entry.actor = bytes32(uint256(uint160(operator.addr)));
        if (how == 5) entry.subject = keccak256("no contract");
        OutcomeEscrow.Group memory group = _groupOf(book.terms);
        if (how == 6) group.feeBps = group.feeBps == 0 ? 333 : 0;
        // With a revenue share, or a price of one, any amount is right.
        if (how == 1 && (book.terms.revenueShareBps != 0 || price == 1)) return;
        Batch memory batch = _batch(group, _list(entry));
        uint256 before = _paidToAll();
        try this.settleBatch(batch) {
            if (_paidToAll() != before) _break("I5: a lie was paid");
            _count("lied");
        } catch {}
    }

    /// All but one of what a settlement needs: an anchor, an entry, a signature for just this.
    function forge(uint256 seed) external watched {
        seed = _mix(seed);
        if (_books.length == 0) return;
        Book storage book = _books[seed % _books.length];
        uint256 amount = book.terms.unitPrice;
        Entry memory entry = _settlement(book.id, book.outcomes * amount + amount, 0);
        uint256 how = (seed >> 8) % 6;
        Batch memory batch;
        if (how == 0) {
            batch = _batch(_groupOf(book.terms), _list(entry));
            batch.signature = _sign(operator, _verifiedDigest(batch));
        } else if (how == 1) {
            batch = _batch(_groupOf(book.terms), _list(_filler()));
            batch.entries = abi.encode(entry);
        } else if (how == 2) {
            // Not anchored.
            batch.group = _groupOf(book.terms);
            batch.first = _append(entry);
            batch.size = uint64(tree.size());
            batch.entries = abi.encode(entry);
            batch.proof = tree.runProof(batch.first, 1, batch.size);
            batch.signature = _sign(verifier, _verifiedDigest(batch));
        } else if (how == 3) {
            // The signature of another run.
            Batch memory other = _batch(_groupOf(book.terms), _list(_filler()));
            batch = _batch(_groupOf(book.terms), _list(entry));
            batch.signature = other.signature;
        } else if (how == 4) {
            // A signature under another escrow's domain.
            batch = _batch(_groupOf(book.terms), _list(entry));
            batch.signature = _sign(verifier, keccak256("another domain"));
        } else {
            batch = _batch(_groupOf(book.terms), _list(entry));
            batch.signature = "";
        }
        try this.settleBatch(batch) {
            _break("I7: a forgery was settled");
        } catch {
            ++counts["forged"];
        }
    }

    // ------------------------------------------------------------ books

    /// Watches one action: reads the events it left, and looks at every contract afterwards. The
    /// recorder keeps the events of reverted calls too, so an action makes at most one call.
    modifier watched() {
        vm.recordLogs();
        _;
        if (_landed) _readEvents(vm.getRecordedLogs());
        (_landed, _paysAllowed) = (false, false);
        for (uint256 i = 0; i < _books.length; ++i) {
            _look(_books[i]);
        }
    }

    function settleBatch(Batch calldata batch) external {
        vm.prank(stranger);
        escrow.settle(
            batch.group, batch.size, batch.first, batch.entries, batch.proof, batch.signature
        );
    }

    /// A batch that the publisher has anchored and the verifier has signed: it must succeed, but
    /// for a token that takes more than it says.
    function _settleVerified(Batch memory batch) private {
        _paysAllowed = true;
        try this.settleBatch(batch) {
            _count("settled");
        } catch {
            bool tookTooMuch = hostile.mode() == HostileToken.Mode.TakesMore
                || hostile.mode() == HostileToken.Mode.ReturnsTwo;
            if (!tookTooMuch) _break("L1: a verified batch was refused");
        }
    }

    function _readEvents(Vm.Log[] memory logs) private {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(escrow)) continue;
            bytes32 topic = logs[i].topics[0];
            if (topic == Vault.Withdrawn.selector) {
                (, uint256 amount) = abi.decode(logs[i].data, (address, uint256));
                withdrawn += amount;
            }
            if (logs[i].topics.length < 2 || _bookOf[logs[i].topics[1]] == 0) continue;
            Book storage book = _books[_bookOf[logs[i].topics[1]] - 1];
            if (topic == OutcomeEscrow.Paid.selector) _readPaid(book, logs[i]);
            if (topic == OutcomeEscrow.Settled.selector) _readSettled(book, logs[i]);
            if (topic == OutcomeEscrow.Refunded.selector) {
                book.refunded += abi.decode(logs[i].data, (uint256));
            }
            if (topic == Vault.Credited.selector) _readCredited(logs[i]);
        }
    }

    function _readPaid(Book storage book, Vm.Log memory log) private {
        if (!_paysAllowed) _break("I7: money moved without a verified, anchored statement");
        if (address(uint160(uint256(log.topics[2]))) != book.terms.payee) {
            _break("I5: another payee");
        }
        (uint64 index, uint256 amount, uint256 fee) =
            abi.decode(log.data, (uint64, uint256, uint256));
        if (_statedAt[index] > book.settledNet) book.settledNet = _statedAt[index];
        book.paidNet += amount;
        book.paidFees += fee;
        ++counts["paid"];
    }

    function _readSettled(Book storage book, Vm.Log memory log) private {
        (, uint256 earned, uint256 reversed) = abi.decode(log.data, (uint64, uint256, uint256));
        if (earned - reversed > book.settledNet) book.settledNet = earned - reversed;
    }

    /// I10: a transfer may fail for one reason only, and that of its receiver or of the token.
    function _readCredited(Vm.Log memory log) private {
        address account = address(uint160(uint256(log.topics[2])));
        HostileToken.Mode mode = hostile.mode();
        bool fails = mode == HostileToken.Mode.Paused || mode == HostileToken.Mode.ReturnsFalse
            || mode == HostileToken.Mode.TakesMore // more than there is
            || hostile.blocked(account);
        if (!fails) _break("I10: a transfer failed that nothing stopped");
        credited += abi.decode(log.data, (uint256));
        ++counts["credited"];
    }

    function _look(Book storage book) private {
        (uint256 paid, uint256 floor) = (escrow.paidOf(book.id), escrow.floorOf(book.id));
        if (paid < book.lastPaid) _break("I3: paid fell");
        if (floor < book.lastFloor) _break("I3: floor fell");
        bytes32 status = escrow.statusOf(book.id);
        if (!_isLegal(book.lastStatus, status)) {
            _break(string.concat("I8: ", _text(book.lastStatus), " to ", _text(status)));
        }
        (book.lastPaid, book.lastFloor, book.lastStatus) = (paid, floor, status);
    }

    /// The legal status changes between two looks. "paid_out" and "refunded" are for good.
    function _isLegal(bytes32 from, bytes32 to) private pure returns (bool) {
        if (from == to) return from != "unknown";
        if (from == "unknown") return to == "scheduled" || to == "open";
        if (from == "paid_out" || from == "refunded") return false;
        if (to == "refunded") return from == "refundable";
        if (to == "paid_out") return from != "refundable";
        return _rank(to) > _rank(from);
    }

    function _rank(bytes32 status) private pure returns (uint256) {
        if (status == "scheduled") return 1;
        if (status == "open") return 2;
        if (status == "settling") return 3;
        if (status == "refundable") return 4;
        return 0;
    }

    function _text(bytes32 label) private pure returns (string memory) {
        return string(abi.encodePacked(label));
    }

    /// The log grows: up to three outcomes, and sometimes a reversal, within the budget.
    function _work(Book storage book, uint256 seed) private {
        uint256 most = book.terms.budget / book.terms.unitPrice;
        for (uint256 i = 0; i < seed % 4; ++i) {
            if (book.outcomes - book.reversals < most) ++book.outcomes;
        }
        if ((seed >> 8) % 5 == 0 && book.reversals < book.outcomes) ++book.reversals;
    }

    function _trueSettlement(Book storage book) private view returns (Entry memory) {
        uint256 price = book.terms.unitPrice;
        return _settlement(book.id, book.outcomes * price, book.reversals * price);
    }

    function _filler() private pure returns (Entry memory entry) {
        entry.kind = "touch";
    }

    /// A call landed that is worth counting.
    function _count(bytes32 what) private {
        _landed = true;
        ++counts[what];
    }

    /// The fuzzer likes small numbers, whose upper bits are all alike.
    function _mix(uint256 seed) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed)));
    }

    function _break(string memory what) private {
        if (bytes(broken).length == 0) broken = what;
    }

    // ------------------------------------------------------------ for the invariants

    function books() external view returns (uint256) {
        return _books.length;
    }

    function bookAt(uint256 i) external view returns (Book memory) {
        return _books[i];
    }

    function creditsOfAll() public view returns (uint256 sum) {
        for (uint256 i = 0; i < _people.length; ++i) {
            sum += escrow.creditOf(address(token), _people[i]);
        }
    }

    function people() external view returns (address[] memory) {
        return _people;
    }

    function balance() external view returns (uint256) {
        return hostile.balanceOf(address(escrow));
    }

    function theEscrow() external view returns (OutcomeEscrow) {
        return escrow;
    }

    function theToken() external view returns (HostileToken) {
        return hostile;
    }

    /// One more outcome of this contract, all the way; true if there is none to be had.
    function settleOneMore(uint256 i) external returns (bool tried, bool paid) {
        Book storage book = _books[i];
        uint256 price = book.terms.unitPrice;
        uint256 next = book.settledNet / price * price + price;
        if (block.timestamp > book.terms.deadline + book.terms.grace) return (false, false);
        if (next > book.terms.budget || book.refunded != 0) return (false, false);
        if (book.outcomes * price > next) next = book.outcomes * price;
        uint256 reversed;
        if (next > book.terms.budget) reversed = book.reversals * price;
        if (next - reversed <= book.settledNet) return (false, false);
        uint256 before = escrow.paidOf(book.id);
        Entry[] memory entries = _list(_settlement(book.id, next, reversed));
        this.settleBatch(_batch(_groupOf(book.terms), entries));
        return (true, escrow.paidOf(book.id) > before);
    }

    function _paidToAll() private view returns (uint256 sum) {
        for (uint256 i = 0; i < _books.length; ++i) {
            sum += escrow.paidOf(_books[i].id);
        }
    }
}
