// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Book} from "./Books.sol";
import {World} from "./World.sol";

/// Compares the escrow's views of a contract with the books, and notes each violation under the
/// invariant that it breaks.
abstract contract Look is World {
    mapping(bytes32 invariant => string) public broken;

    /// The number of times that each interesting thing happened, so that no invariant is empty.
    mapping(bytes32 what => uint256) public counts;

    function _break(bytes32 invariant, string memory what) internal {
        if (bytes(broken[invariant]).length == 0) broken[invariant] = what;
    }

    function _look(Book storage book) internal {
        (uint256 paid, uint256 lastFinal) = (lens.paidOf(book.terms), _lastFinal(book.id));
        if (paid != book.paid()) _break("I3", "money moved without an event");
        if (paid < book.lastPaid) _break("I3", "paid fell");
        if (lastFinal < book.previousFinal) _break("I3", "lastFinal fell");
        if (lastFinal != book.lastFinal()) _break("I7", "another statement is final");
        if (_lastSigned(book.id) != book.lastSigned()) {
            _break("I7", "another statement is the last");
        }
        if (_isRetired(book.id) != book.retired) _break("I14", "retired or not");
        _lookAtPayableAmounts(book);
        bytes32 status = lens.statusOf(book.terms);
        if (status != book.status() || !_isLegal(book.lastStatus, status)) {
            _break("I8", string.concat(_text(book.lastStatus), " to ", _text(status)));
        }
        (book.lastPaid, book.previousFinal, book.lastStatus) = (paid, lastFinal, status);
    }

    function _lookAtPayableAmounts(Book storage book) private {
        if (lens.owed(book.terms) != book.payable_() - book.paid()) {
            _break("I7", "another amount is owed");
        }
        uint256 releasable = lens.releasable(book.terms);
        uint256 due = book.entitled() - book.paid();
        (bool known, bool isAll, uint256 honest) = book.honestNet();
        uint256 net = lens.netOf(book.terms);
        if (known && net < honest) _break("I16", "a reversal was subtracted twice");
        if (known && isAll && net > honest) _break("I16", "a reversal was not subtracted");
        bool isRight = book.terms.rateCap == 0 ? releasable == due : releasable <= due;
        if (!isRight) _break("I7", "another amount is releasable");
    }

    /// The legal changes of status between two looks: forwards through time; nothing but a closing
    /// leaves "paid_out" and "refunded", and nothing leaves "closed".
    function _isLegal(bytes32 from, bytes32 to) private pure returns (bool) {
        if (from == to) return from != "unknown";
        if (from == "unknown") return to == "scheduled" || to == "open";
        if (from == "closed") return false;
        if (to == "closed") return true;
        if (from == "paid_out" || from == "refunded") return false;
        if (to == "paid_out") return true;
        return _rank(to) > _rank(from) || (_rank(from) == 6 && _rank(to) == 6);
    }

    function _rank(bytes32 status) private pure returns (uint256) {
        if (status == "scheduled") return 1;
        if (status == "open") return 2;
        if (status == "settling") return 3;
        if (status == "claimable") return 4;
        if (status == "refutable") return 5;
        return 6; // refundable, releasing, refunded
    }

    function _text(bytes32 label) private pure returns (string memory) {
        return string(abi.encodePacked(label));
    }
}
