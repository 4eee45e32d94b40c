// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../support/HostileToken.sol";
import {Book, Payment, Statement} from "./Books.sol";
import {Dishonest} from "./Dishonest.sol";
import {OddToken, Receiver, SourToken} from "./Tokens.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";

/// Every role that can touch the escrow, acting at random; two tokens that turn bad and good again;
/// and the clock.
contract EscrowHandler is Dishonest {
    /// The number of actions so far.
    uint256 public acts;
    bool private _isUnmetered;

    constructor() {
        setUp();
    }

    /// In runs that do not count gas, a token that burns it all never comes back.
    function setUnmetered() external {
        _isUnmetered = true;
    }

    // ------------------------------------------------------------ the world

    /// The clock moves to the last second of something, or to the first after it: of what comes
    /// next, or of any contract's next; or just somewhere.
    function aim(uint256 seed) public watched {
        seed = _part(seed, 301);
        if (_books.length == 0) return;
        if ((seed >> 24) % 5 == 0) {
            vm.warp(block.timestamp + _within(seed >> 32, 1, 1 days));
            return;
        }
        uint256 next = type(uint256).max;
        uint256 from = block.timestamp + (seed >> 8) % 2;
        for (uint256 i = 0; i < _books.length; ++i) {
            if (seed % 2 == 0 && i != (seed >> 16) % _books.length) continue;
            uint256 time = _nextOf(_books[i], from);
            if (time < next) next = time;
        }
        if (next == type(uint256).max) return;
        vm.warp(next + (seed >> 8) % 2);
        ++counts["aimed"];
    }

    /// The contract's next interesting second from here on.
    function _nextOf(Book storage book, uint256 from) private view returns (uint256 next) {
        uint256[10] memory times;
        (times[0], times[1]) = (book.terms.opensAt, book.terms.deadline);
        (times[2], times[3], times[4]) = (book.t2(), book.t3(), book.t4());
        times[5] = book.t2() + book.terms.holdbackPeriod;
        times[6] = book.end();
        uint256 count = book.statements.length;
        if (count != 0) {
            Statement storage last = book.statements[count - 1];
            times[7] = last.since;
            times[8] = last.statedAt + book.terms.challengePeriod;
            times[9] = last.since + book.terms.holdbackPeriod + book.terms.lateness;
        }
        next = type(uint256).max;
        for (uint256 i = 0; i < times.length; ++i) {
            if (times[i] > from && times[i] < next) next = times[i];
        }
    }

    function turnToken(uint256 seed) public watched {
        seed = _part(seed, 302);
        HostileToken token_ = seed % 3 == 0 ? HostileToken(sour) : odd;
        HostileToken.Mode[10] memory modes = [
            HostileToken.Mode.ReturnsNothing,
            HostileToken.Mode.ReturnsFalse,
            HostileToken.Mode.TakesFee,
            HostileToken.Mode.TakesMore,
            HostileToken.Mode.Paused,
            HostileToken.Mode.BurnsGas,
            HostileToken.Mode.ReturnsBomb,
            HostileToken.Mode.ReturnsTwo,
            HostileToken.Mode.ReturnsShort,
            HostileToken.Mode.Lies
        ];
        uint256 some = token_ == sour ? 13 : 9;
        if ((seed >> 16) % 2 == 0) return token_.setMode(HostileToken.Mode.Honest);
        uint256 which = (seed >> 8) % some;
        HostileToken.Mode mode = modes[which < 9 ? which : 9];
        if (mode == HostileToken.Mode.BurnsGas && _isUnmetered) mode = HostileToken.Mode.Paused;
        if (mode == HostileToken.Mode.Lies) soured = true;
        token_.setMode(mode);
    }

    function turnBlock(uint256 seed) public watched {
        seed = _part(seed, 303);
        HostileToken token_ = seed % 4 == 0 ? HostileToken(sour) : odd;
        token_.setBlocked(_people[(seed >> 8) % _people.length], (seed >> 16) % 2 == 0);
    }

    /// From now on every transfer calls back into the escrow, or gives it something.
    function turnHook(uint256 seed) public watched {
        seed = _part(seed, 304);
        HostileToken token_ = seed % 4 == 0 ? HostileToken(sour) : odd;
        bytes memory data;
        uint256 how = (seed >> 8) % 8;
        if (how == 5) return token_.setHook(address(_donor), abi.encodeCall(_donor.give, ()));
        if (how > 5 || _books.length == 0) return token_.setHook(address(0), "");
        if (how < 4) data = _callback(how, seed >> 16, address(token_));
        if (how == 4 && _batches.length != 0) {
            Batch memory b = _batches[(seed >> 24) % _batches.length];
            if (b.entries.length > 256) return; // too much to read for the gas of a transfer
            data = abi.encodeCall(
                escrow.settle, (b.group, b.size, b.first, b.entries, b.rules, b.proof, b.signature)
            );
        }
        if (data.length != 0) token_.setHook(address(escrow), data);
    }

    function _callback(uint256 how, uint256 seed, address token_)
        private
        view
        returns (bytes memory)
    {
        bytes32 id = _books[seed % _books.length].id;
        if (how == 0) return abi.encodeCall(escrow.refund, (_t(id)));
        if (how == 1) return abi.encodeCall(escrow.release, (_t(id)));
        if (how == 2) return abi.encodeCall(escrow.withdraw, (token_, stranger, 1));
        return abi.encodeCall(escrow.close, (_t(id), 0, type(uint64).max, "", ""));
    }

    /// A payee that will not be paid, or not quietly, or gives in again.
    function turnPayee(uint256 seed) public watched {
        seed = _part(seed, 307);
        if (_books.length == 0) return;
        Receiver.Mode mode = Receiver.Mode.Accepts;
        if (seed % 2 == 0) mode = Receiver.Mode(1 + (seed >> 8) % 4);
        if (mode == Receiver.Mode.BurnsGas && _isUnmetered) mode = Receiver.Mode.Reverts;
        address token_ = (seed >> 16) % 2 == 0 ? address(odd) : address(sour);
        bytes memory data = _callback((seed >> 24) % 4, seed >> 32, token_);
        _receivers[(seed >> 40) % RECEIVERS].setMode(mode, address(escrow), data);
    }

    function donate(uint256 seed) public watched {
        seed = _part(seed, 305);
        HostileToken token_ = seed % 2 == 0 ? HostileToken(sour) : odd;
        uint256 amount = _within(seed >> 8, 1, 1e9);
        token_.mint(address(escrow), amount);
        gifts[address(token_)] += amount;
        ++counts["donated"];
    }

    /// The sour token halves or doubles the balance of the escrow, or of another account.
    function rebase(uint256 seed) public watched {
        seed = _part(seed, 306);
        if (seed % 4 != 0) return;
        address who = (seed >> 8) % 2 == 0 ? address(escrow) : _people[(seed >> 9) % _people.length];
        uint256 has = sour.balanceOf(who);
        sour.rebase(who, (seed >> 16) % 2 == 0 ? has / 2 : has * 2);
        soured = true;
        ++counts["rebased"];
    }

    /// Any of the actions, the interesting ones more often.
    function act(uint256 seed) external {
        ++acts;
        function(uint256)[50] memory actions = [
            aim,
            aim,
            aim,
            aim,
            turnToken,
            turnToken,
            turnBlock,
            turnHook,
            turnPayee,
            donate,
            rebase,
            open,
            open,
            open,
            settle,
            settle,
            settle,
            settle,
            takeBack,
            takeBack,
            lie,
            lie,
            disprove,
            disprove,
            proveReversal,
            proveReversal,
            proveReversal,
            release,
            refund,
            refund,
            withdraw,
            dispute,
            dispute,
            rule,
            rule,
            claim,
            claim,
            claim,
            claim,
            refute,
            refute,
            refute,
            disputeClaims,
            disputeClaims,
            disputeClaims,
            ruleClaims,
            ruleClaims,
            ruleClaims,
            close,
            trespass
        ];
        function(uint256)[4] memory frauds = [misstate, replay, forge, slander];
        uint256 which = _part(seed, 400) % (actions.length + frauds.length);
        (which < actions.length ? actions[which] : frauds[which - actions.length])(seed);
    }

    // ------------------------------------------------------------ for the invariants

    function books() external view returns (uint256) {
        return _books.length;
    }

    function bookAt(uint256 i) external view returns (Book memory) {
        return _books[i];
    }

    /// Returns the most that the contract may have paid, by a simple count: each visit that the
    /// verifier or the operator has brought forward, once. Not known if a lie, a ruling or a
    /// closing stands.
    function mostFor(uint256 i) external view returns (bool known, uint256 sum) {
        Book storage book = _books[i];
        if (book.lies.length != 0 || book.closed) return (false, 0);
        for (uint256 j = 0; j < book.statements.length; ++j) {
            if (book.statements[j].ruled != 0) return (false, 0);
        }
        for (uint256 j = 0; j < book.visits.length; ++j) {
            if (book.visits[j].outcome != 0) sum += book.visits[j].amount;
        }
        for (uint256 j = 0; j < book.claims.length; ++j) {
            if (!book.claims[j].dropped) sum += book.claims[j].amount;
        }
        return (true, sum);
    }

    function reservedOf(uint256 i) external view returns (uint256 budget, uint256 reserved) {
        return (_books[i].budget(), _books[i].reserved());
    }

    function payableOf(uint256 i) external view returns (uint256) {
        return _books[i].payable_();
    }

    function endOf(uint256 i) external view returns (uint256) {
        return _books[i].end();
    }

    function t3Of(uint256 i) external view returns (uint256) {
        return _books[i].t3();
    }

    function giftsIn(address token_) external view returns (uint256) {
        return gifts[token_] + _donor.given(token_);
    }

    function people() external view returns (address[] memory) {
        return _people;
    }

    function theEscrow() external view returns (OutcomeEscrow) {
        return escrow;
    }

    function theLens() external view returns (EscrowLens) {
        return lens;
    }

    function theTokens() external view returns (OddToken, SourToken) {
        return (odd, sour);
    }

    /// One more outcome of this contract, all the way. Not tried where no statement can be taken.
    function settleOneMore(uint256 i) external returns (bool tried, bool taken) {
        Book storage book = _books[i];
        Round memory round = _newRound();
        if (!_isOpen(book)) return (false, false);
        _work(book, i);
        _add(round, i);
        if (!round.admitted[0]) return (false, false);
        uint256 before = _taken;
        _settleRound(_groupOf(book.terms), round);
        return (true, _taken > before);
    }
}
