// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "contracts/terms/Terms.sol";

enum Fate {
    Stands,
    Ruled,
    Void
}

/// A settlement entry that the escrow took.
struct Statement {
    uint256 position;
    uint256 earned;
    uint256 reversed;
    uint256 statedAt;
    uint256 since; //   final from here, if it does not become void
    bool ownerDisputed;
    bool operatorDisputed;
    Fate fate;
    uint256 ruled; //   to this net
    uint256 provenBy; // what events above it were proven by then to take back
}

struct Payment {
    uint256 time;
    uint256 amount; // fee included
}

/// A claim that the escrow took.
struct Filed {
    bytes32 key;
    uint256 amount;
    bool dropped;
}

/// A lead's touch and transition, as the log truly has them, and what became of them in the log.
struct Visit {
    bytes32 lead;
    uint256 transition;
    uint256 touch;
    uint256 wrongTouch; // of the same operator, that comes second; zero: none
    uint256 timeMs;
    uint256 amount;
    uint256 outcome; //    zero: the verifier passed it over
    bool reversed; //      by an entry
    uint256 happened; //   the event that takes it back; zero: none
    uint256 proven; //     the amount that this event was proven to take back
}

/// A false entry of the log, and what shows it.
struct Lie {
    bytes32 kind;
    uint256[] exhibits; // the first is the lie
    bytes32 rivalId;
}

/// A contract as the log has it, and as it was seen on chain.
struct Book {
    bytes32 id;
    Terms terms;
    uint256 operator; //   number of the account
    uint256 opened; //     position of the log's entry
    // the log's running totals
    uint256 earned;
    uint256 reversed;
    uint256 lastOutcome;
    uint256 lastReversal;
    uint256 outcomes;
    uint256 reversals;
    Visit[] visits;
    Lie[] lies;
    // from events
    Statement[] statements;
    Payment[] payments;
    Filed[] claims;
    bool claimsDisputed;
    bool claimsRuled;
    uint256 claimsRuledTo;
    bool retired;
    bool closed;
    uint256 closedTo;
    uint256 paidNet;
    uint256 paidFees;
    uint256 refunded;
    // from views, to see them fall
    uint256 lastPaid;
    uint256 previousFinal;
    bytes32 lastStatus;
}

using Model for Book global;

/// The amounts that should be payable, final, held back and reserved, computed each time anew from
/// the list of what happened. The escrow keeps running totals instead; the two must agree.
library Model {
    uint256 private constant BPS = 10_000;

    // ------------------------------------------------------------ times

    function t2(Book storage book) internal view returns (uint256) {
        return uint256(book.terms.deadline) + book.terms.grace;
    }

    function t3(Book storage book) internal view returns (uint256) {
        return t2(book) + book.terms.claimPeriod;
    }

    function t4(Book storage book) internal view returns (uint256) {
        if (book.terms.claimPeriod == 0) return t3(book);
        uint256 until = t3(book) + book.terms.claimPeriod;
        uint256 shown =
            uint256(book.terms.deadline) + book.terms.lateness + book.terms.holdbackPeriod + 1 days;
        return until < shown ? shown : until;
    }

    /// From here on nothing is pending, claimable or refutable any more.
    function end(Book storage book) internal view returns (uint256) {
        uint256 last = t2(book) + book.terms.holdbackPeriod;
        if (last < t4(book)) last = t4(book);
        return last + book.terms.challengePeriod + book.terms.arbitrationPeriod + 1;
    }

    // ------------------------------------------------------------ statements

    function isPlain(Book storage book) internal view returns (bool) {
        Terms storage terms = book.terms;
        return terms.challengePeriod == 0 && terms.holdbackBps == 0 && terms.holdbackPeriod == 0
            && terms.rateCap == 0 && terms.claimPeriod == 0;
    }

    function isFinal(Statement storage statement) internal view returns (bool) {
        if (statement.fate != Fate.Stands) return statement.fate == Fate.Ruled;
        return statement.since == statement.statedAt || statement.since < block.timestamp;
    }

    /// One plus the place of the last statement that is final, and was so since `by`.
    function lastFinal(Book storage book, uint256 by) internal view returns (uint256 i) {
        for (i = book.statements.length; i != 0; --i) {
            Statement storage statement = book.statements[i - 1];
            if (isFinal(statement) && statement.since <= by) return i;
        }
    }

    /// One plus the place of the statement that waits.
    function pending(Book storage book) internal view returns (uint256) {
        uint256 i = book.statements.length;
        if (i == 0) return 0;
        Statement storage last = book.statements[i - 1];
        return last.fate == Fate.Void || isFinal(last) ? 0 : i;
    }

    function isDisputed(Book storage book, uint256 i) internal view returns (bool) {
        Statement storage statement = book.statements[i - 1];
        return statement.ownerDisputed || statement.operatorDisputed;
    }

    /// Returns the amount that rulings have added to or taken off the statement at place i - 1: the
    /// last ruling's, which also changes later statements.
    function adjustment(Book storage book, uint256 i) internal view returns (int256) {
        for (; i != 0; --i) {
            Statement storage ruled = book.statements[i - 1];
            if (ruled.fate != Fate.Ruled) continue;
            uint256 reversed = ruled.reversed + ruled.provenBy;
            return int256(ruled.ruled) - int256(ruled.earned) + int256(reversed);
        }
        return 0;
    }

    /// Returns what events above a position were proven to take back.
    function provenAbove(Book storage book, uint256 position) internal view returns (uint256 sum) {
        for (uint256 i = 0; i < book.visits.length; ++i) {
            if (book.visits[i].happened > position) sum += book.visits[i].proven;
        }
    }

    /// Returns whether something is held back of an outcome up to which the contract has earned this
    /// much.
    function isHeld(Book storage book, uint256 sum) internal view returns (bool) {
        if (book.terms.holdbackBps == 0) return false;
        uint256 period = uint256(book.terms.holdbackPeriod) + book.terms.lateness;
        uint256 last = lastFinal(book, block.timestamp);
        int256 added = adjustment(book, last);
        if (added > 0) sum += uint256(added);
        sum += cumulativeGross(book, last) - grossOf(book, last); // what rulings took off
        return sum > cumulativeGross(book, lastFinal(book, block.timestamp - period));
    }

    /// Returns the amount that the statement at place i - 1 makes payable, less what it takes back and
    /// what events above it were proven to.
    function netOf(Book storage book, uint256 i) internal view returns (uint256) {
        if (i == 0) return 0;
        Statement storage statement = book.statements[i - 1];
        uint256 reversed = statement.reversed + provenAbove(book, statement.position);
        int256 sum = int256(statement.earned) - int256(reversed) + adjustment(book, i);
        return sum < 0 ? 0 : _min(uint256(sum), book.terms.budget);
    }

    /// Returns the same before reversals.
    function grossOf(Book storage book, uint256 i) internal view returns (uint256) {
        if (i == 0) return 0;
        int256 sum = int256(book.statements[i - 1].earned) + adjustment(book, i);
        return sum < 0 ? 0 : uint256(sum);
    }

    /// Returns the cumulative gross up to the statement at place i - 1: every increase, whatever
    /// rulings took off since.
    function cumulativeGross(Book storage book, uint256 i) internal view returns (uint256 sum) {
        uint256 last = 0;
        for (uint256 j = 1; j <= i; ++j) {
            if (book.statements[j - 1].fate == Fate.Void) continue;
            uint256 gross = grossOf(book, j);
            if (gross > last) sum += gross - last;
            last = gross;
        }
    }

    function net(Book storage book) internal view returns (uint256) {
        return netOf(book, lastFinal(book, block.timestamp));
    }

    function lastFinal(Book storage book) internal view returns (uint256) {
        uint256 i = lastFinal(book, block.timestamp);
        return i == 0 ? 0 : book.statements[i - 1].position;
    }

    function lastSigned(Book storage book) internal view returns (uint256) {
        uint256 i = pending(book);
        return i == 0 ? lastFinal(book) : book.statements[i - 1].position;
    }

    /// Returns whether the escrow must take this statement now; if false, it must refuse it.
    function admits(Book storage book, uint256 position, uint256 earned, uint256 reversed)
        internal
        view
        returns (bool)
    {
        Terms storage terms = book.terms;
        if (book.retired || book.closed || pending(book) != 0 || position <= lastFinal(book)) {
            return false;
        }
        if (earned < reversed || earned - reversed > terms.budget) return false;
        uint256 unit = terms.revenueShareBps == 0 ? terms.unitPrice : 1;
        if (earned % unit != 0 || reversed % unit != 0) return false;
        if (isPlain(book)) return block.timestamp <= t2(book) && earned >= paid(book);

        uint256 last = lastFinal(book, block.timestamp);
        uint256 lastEarned = last == 0 ? 0 : book.statements[last - 1].earned;
        uint256 lastReversed = last == 0 ? 0 : book.statements[last - 1].reversed;
        if (earned < lastEarned || reversed < lastReversed) return false;
        if (provenAbove(book, position) != 0) return false; // stale
        if (block.timestamp <= t2(book)) return true;
        return earned == lastEarned && reversed > lastReversed
            && block.timestamp <= t2(book) + terms.holdbackPeriod;
    }

    // ------------------------------------------------------------ money

    function paid(Book storage book) internal view returns (uint256) {
        return book.paidNet + book.paidFees;
    }

    /// Returns the part of the budget that has not been given back.
    function budget(Book storage book) internal view returns (uint256) {
        return book.terms.budget - book.refunded;
    }

    function claimed(Book storage book) internal view returns (uint256 sum) {
        if (book.closed) return 0;
        for (uint256 i = 0; i < book.claims.length; ++i) {
            if (!book.claims[i].dropped) sum += book.claims[i].amount;
        }
        if (book.claimsRuled) sum = _min(sum, book.claimsRuledTo);
    }

    function payable_(Book storage book) internal view returns (uint256 sum) {
        if (book.closed) return book.closedTo;
        sum = net(book);
        if (block.timestamp > t4(book)) sum += claimed(book);
        sum = _min(sum, budget(book));
        return sum > paid(book) ? sum : paid(book);
    }

    /// Returns the holdback share of what was earned too recently, as long as it was not taken
    /// back.
    function held(Book storage book) internal view returns (uint256) {
        Terms storage terms = book.terms;
        if (book.closed || terms.holdbackBps == 0) return 0;
        uint256 period = uint256(terms.holdbackPeriod) + terms.lateness;
        uint256 old = cumulativeGross(book, lastFinal(book, block.timestamp - period));
        uint256 all = cumulativeGross(book, lastFinal(book, block.timestamp));
        return _min(net(book), all - old) * terms.holdbackBps / BPS;
    }

    /// Returns the most that may have been paid by now, whatever the rate cap says.
    function entitled(Book storage book) internal view returns (uint256) {
        uint256 all = payable_(book) - held(book);
        return all > paid(book) ? all : paid(book);
    }

    /// Returns the amount that was paid within the last rate period.
    function paidLately(Book storage book) internal view returns (uint256 sum) {
        for (uint256 i = book.payments.length; i != 0; --i) {
            Payment storage payment = book.payments[i - 1];
            if (payment.time + book.terms.ratePeriod < block.timestamp) break;
            sum += payment.amount;
        }
    }

    /// Returns the most that can still have been paid in the end.
    function reserved(Book storage book) internal view returns (uint256 most) {
        most = net(book);
        uint256 i = pending(book);
        if (i != 0) {
            if (book.terms.arbiter != address(0)) return budget(book);
            if (netOf(book, i) > most) most = netOf(book, i);
        }
        if (book.closed) most = book.closedTo;
        most = _min(budget(book), most + claimed(book));
        return most > paid(book) ? most : paid(book);
    }

    function status(Book storage book) internal view returns (bytes32) {
        if (book.closed) return "closed";
        if (paid(book) == book.terms.budget) return "paid_out";
        if (block.timestamp < book.terms.opensAt) return "scheduled";
        if (block.timestamp <= book.terms.deadline) return "open";
        if (block.timestamp <= t2(book)) return "settling";
        if (block.timestamp <= t3(book)) return "claimable";
        if (block.timestamp <= t4(book)) return "refutable";
        if (reserved(book) < budget(book)) return "refundable";
        return budget(book) > paid(book) ? bytes32("releasing") : bytes32("refunded");
    }

    /// Returns what an honest log makes payable by the last final statement, and whether all was proven
    /// that happened above it. Known where nothing false was stated, ruled or agreed.
    function honestNet(Book storage book)
        internal
        view
        returns (bool known, bool isAll, uint256 sum)
    {
        uint256 last = lastFinal(book, block.timestamp);
        if (book.lies.length != 0 || book.closed || isPlain(book) || last == 0) {
            return (false, false, 0);
        }
        for (uint256 i = 0; i < book.statements.length; ++i) {
            if (book.statements[i].fate == Fate.Ruled) return (false, false, 0);
        }
        uint256 position = book.statements[last - 1].position;
        (isAll, sum) = (true, book.statements[last - 1].earned);
        for (uint256 i = 0; i < book.visits.length; ++i) {
            Visit storage visit = book.visits[i];
            if (visit.outcome == 0 || visit.outcome > position || !visit.reversed) continue;
            sum -= visit.amount;
            if (visit.happened > position && visit.proven == 0) isAll = false;
        }
        return (true, isAll, _min(sum, budget(book)));
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
