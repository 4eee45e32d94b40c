// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../support/HostileToken.sol";
import {Book} from "./Books.sol";
import {Checks} from "./Checks.sol";
import {EscrowHandler} from "./EscrowHandler.sol";
import {OddToken, SourToken} from "./Tokens.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";

/// The numbered invariants of the escrow. README.md says what each means, and the faults that were
/// planted to see it fail.
/// forge-config: default.invariant.runs = 2
/// forge-config: default.invariant.depth = 100
/// forge-config: default.invariant.dictionary-weight = 0
/// forge-config: default.invariant.include-storage = false
/// forge-config: default.invariant.include-push-bytes = false
/// forge-config: default.invariant.shrink-run-limit = 300
/// forge-config: deep.invariant.runs = 240
/// forge-config: deep.invariant.depth = 200
/// forge-config: deep.invariant.dictionary-weight = 0
/// forge-config: deep.invariant.include-storage = false
/// forge-config: deep.invariant.include-push-bytes = false
/// forge-config: deep.invariant.shrink-run-limit = 300
contract EscrowInvariants is Checks {
    EscrowHandler private handler;
    OutcomeEscrow private escrow;
    EscrowLens private lens;
    OddToken private odd;
    SourToken private sour;

    function setUp() public {
        _enter(new EscrowHandler());
        bytes4[] memory actions = new bytes4[](1);
        actions[0] = handler.act.selector;
        targetSelector(FuzzSelector({addr: address(handler), selectors: actions}));
        targetContract(address(handler));
    }

    /// All of them after each call, so that one campaign serves all; those that play on to the end are
    /// dear, and wait for every fifth.
    function invariant_escrow() public {
        _demand("I1", this.check_I1_solvent);
        _demand("I2", this.check_I2_nothingIsLost);
        _demand("I3", this.check_I3_noContractSpendsAnothersMoney);
        _demand("I4", this.check_I4_anOutcomePaysOnce);
        _demand("I5", this.check_I5_payeeTokenAndPriceAreTheSignedOnes);
        _demand("I6", this.check_I6_noPeriodPaysMoreThanTheCap);
        _demandAside("I7", this.check_I7_onlyWhatIsFinalPays);
        _demand("I8", this.check_I8_onlyLegalStatusChanges);
        _demandAside("I9", this.check_I9_nothingStopsARefund);
        _demand("I10", this.check_I10_aBlockedPayeeFailsAlone);
        _demand("I11", this.check_I11_splittingChangesNothing);
        _demand("I14", this.check_I14_aDisprovedVerifierNeverSettles);
        _demand("I16", this.check_I16_whatIsTakenBackComesOffOnce);
        if (handler.acts() % 5 == 0) _demandLiveness();
    }

    function afterInvariant() public {
        _demandLiveness();
    }

    function _demandLiveness() private {
        _demandAside("L1", this.check_L1_aValidSettlementSucceeds);
        _demandAside("L1", this.check_L1_everythingComesOut);
    }

    function check_I1_solvent() external view {
        address[] memory people = handler.people();
        for (uint256 t = 0; t < 2; ++t) {
            HostileToken token = t == 0 ? odd : HostileToken(sour);
            uint256 credits;
            for (uint256 i = 0; i < people.length; ++i) {
                credits += escrow.creditOf(address(token), people[i]);
            }
            if (token == sour && handler.soured()) continue;
            uint256 held = _heldIn(token);
            assertEq(_balance(token), held + credits + handler.giftsIn(address(token)));
        }
    }

    function check_I2_nothingIsLost() external view {
        for (uint256 t = 0; t < 2; ++t) {
            HostileToken token = t == 0 ? odd : HostileToken(sour);
            uint256 out;
            uint256 held;
            for (uint256 i = 0; i < handler.books(); ++i) {
                Book memory book = handler.bookAt(i);
                if (book.terms.token != address(token)) continue;
                out += book.paidNet + book.paidFees + book.refunded;
                held += book.terms.budget - lens.paidOf(book.terms) - book.refunded;
            }
            assertEq(handler.escrowed(address(token)), out + held);
        }
        // What the events say arrived has arrived, and what waits is what did not.
        address[] memory people = handler.people();
        for (uint256 i = 0; i < people.length; ++i) {
            assertEq(odd.balanceOf(people[i]), handler.purses(address(odd), people[i]));
            for (uint256 t = 0; t < 2; ++t) {
                address token = t == 0 ? address(odd) : address(sour);
                assertEq(escrow.creditOf(token, people[i]), handler.credits(token, people[i]));
            }
        }
        _assertNotBroken("I2");
    }

    function check_I3_noContractSpendsAnothersMoney() external view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            Book memory book = handler.bookAt(i);
            uint256 paid = lens.paidOf(book.terms);
            assertEq(paid, book.paidNet + book.paidFees, "the events tell it all");
            assertLe(paid + book.refunded, book.terms.budget);
            (uint256 budget, uint256 reserved) = handler.reservedOf(i);
            assertLe(paid, reserved);
            assertLe(reserved, budget);
        }
        _assertNotBroken("I3");
    }

    function check_I4_anOutcomePaysOnce() external view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            (bool known, uint256 most) = handler.mostFor(i);
            Book memory book = handler.bookAt(i);
            if (known) assertLe(book.paidNet + book.paidFees, most);
        }
        _assertNotBroken("I4");
    }

    function check_I5_payeeTokenAndPriceAreTheSignedOnes() external view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            Book memory book = handler.bookAt(i);
            assertEq(escrow.contractIdOf(book.terms), book.id);
        }
        // Each payee has what its own contracts have paid it.
        address[] memory people = handler.people();
        for (uint256 i = 0; i < people.length; ++i) {
            assertEq(odd.balanceOf(people[i]), handler.purses(address(odd), people[i]));
        }
        _assertNotBroken("I5");
    }

    /// Over the list of payments, whatever the escrow counts itself.
    function check_I6_noPeriodPaysMoreThanTheCap() external view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            Book memory book = handler.bookAt(i);
            if (book.terms.rateCap == 0) continue;
            for (uint256 j = 0; j < book.payments.length; ++j) {
                uint256 until = book.payments[j].time + book.terms.ratePeriod;
                uint256 sum;
                for (uint256 k = j; k < book.payments.length; ++k) {
                    if (book.payments[k].time <= until) sum += book.payments[k].amount;
                }
                assertLe(sum, book.terms.rateCap);
            }
        }
        _assertNotBroken("I6");
    }

    /// Now, and once all that waits is decided.
    function check_I7_onlyWhatIsFinalPays() external {
        _assertNotBroken("I7");
        uint256 now_ = block.timestamp;
        for (uint256 i = 0; i < handler.books(); ++i) {
            Book memory book = handler.bookAt(i);
            if (handler.endOf(i) > now_) vm.warp(handler.endOf(i));
            uint256 paid = book.paidNet + book.paidFees;
            assertEq(lens.owed(book.terms), handler.payableOf(i) - paid);
            vm.warp(now_);
        }
    }

    function check_I8_onlyLegalStatusChanges() external view {
        _assertNotBroken("I8");
    }

    /// Whatever the token and its receivers do, short of breaking what a token is.
    function check_I9_nothingStopsARefund() external {
        _keepBalances();
        for (uint256 i = 0; i < handler.books(); ++i) {
            Book memory book = handler.bookAt(i);
            (uint256 budget, uint256 reserved) = handler.reservedOf(i);
            if (block.timestamp <= handler.t3Of(i) || budget == reserved) continue;
            HostileToken token = HostileToken(book.terms.token);
            uint256 credit = escrow.creditOf(address(token), book.terms.owner);
            uint256 held = _balance(token);
            uint256 gifts = handler.giftsIn(address(token));
            escrow.refund(book.terms);
            credit = escrow.creditOf(address(token), book.terms.owner) - credit;
            if (token == sour && handler.soured()) continue;
            gifts = handler.giftsIn(address(token)) - gifts;
            uint256 moved = held + gifts - _balance(token);
            assertEq(moved + credit, budget - reserved);
        }
        _assertNotBroken("I9");
    }

    function check_I10_aBlockedPayeeFailsAlone() external view {
        _assertNotBroken("I10");
        _assertNotBroken("L1"); // nor with a whole batch
    }

    function check_I11_splittingChangesNothing() external view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            Book memory book = handler.bookAt(i);
            assertEq(book.paidFees, lens.paidOf(book.terms) * book.terms.feeBps / 10_000);
        }
        _assertNotBroken("I11");
    }

    function check_I14_aDisprovedVerifierNeverSettles() external view {
        _assertNotBroken("I14");
    }

    /// By a count of the log of its own, after each call.
    function check_I16_whatIsTakenBackComesOffOnce() external view {
        _assertNotBroken("I16");
    }

    /// A valid settlement succeeds, at any time before the end.
    function check_L1_aValidSettlementSucceeds() external {
        _assertNotBroken("L1");
        odd.setMode(HostileToken.Mode.Honest);
        sour.setMode(HostileToken.Mode.Honest);
        for (uint256 i = 0; i < handler.books(); ++i) {
            (bool tried, bool taken) = handler.settleOneMore(i);
            if (tried) assertTrue(taken);
        }
        _assertNotBroken("L1");
    }

    /// After the last reservation of all contracts anyone can bring the escrow to where each owner
    /// has all that is not the payee's, each payee has the rest, and nothing but gifts is left.
    function check_L1_everythingComesOut() external {
        odd.setMode(HostileToken.Mode.Honest);
        sour.setMode(HostileToken.Mode.Honest);
        odd.setHook(address(0), "");
        sour.setHook(address(0), "");
        uint256 end = block.timestamp;
        for (uint256 i = 0; i < handler.books(); ++i) {
            if (handler.endOf(i) > end) end = handler.endOf(i);
        }
        vm.warp(end);
        for (uint256 i = 0; i < handler.books(); ++i) {
            _emptyOut(i);
        }
        address[] memory people = handler.people();
        for (uint256 i = 0; i < people.length; ++i) {
            uint256 credit = escrow.creditOf(address(odd), people[i]);
            if (credit == 0) continue;
            vm.prank(people[i]);
            escrow.withdraw(address(odd), makeAddr("a fresh address"), credit);
        }
        assertEq(_balance(odd), handler.giftsIn(address(odd)));
    }

    function _emptyOut(uint256 i) private {
        Book memory book = handler.bookAt(i);
        uint256 theirs = handler.payableOf(i);
        uint256 rest = book.terms.budget - book.refunded - theirs;
        if (rest != 0) {
            vm.expectEmit(address(escrow));
            emit Payments.Refunded(book.id, book.terms.owner, rest);
            escrow.refund(book.terms);
        }
        uint256 now_ = block.timestamp;
        vm.warp(now_ + book.terms.holdbackPeriod + book.terms.lateness);
        // Each period lets out half of the cap.
        for (uint256 n = 0; n < 14 && lens.paidOf(book.terms) < theirs; ++n) {
            escrow.release(book.terms);
            vm.warp(block.timestamp + book.terms.ratePeriod);
        }
        assertEq(lens.paidOf(book.terms), theirs);
        assertEq(lens.owed(book.terms), 0);
        bytes32 status = lens.statusOf(book.terms);
        assertTrue(status == "closed" || status == "paid_out" || status == "refunded");
        vm.warp(now_);
    }

    /// The run is not empty: what the invariants are about happens, often.
    function test_whatTheInvariantsAreAboutHappens() public {
        bytes32[56] memory whats = [
            bytes32("opened"),
            "stated",
            "settled together",
            "paid",
            "final",
            "released",
            "capped",
            "released in a hurry",
            "held back",
            "refunded",
            "refundable again",
            "credited",
            "withdrawn",
            "disputed",
            "disputed by both",
            "ruled up",
            "ruled down",
            "lied",
            "disproved",
            "disproved in time",
            "duplicate",
            "transition",
            "touch",
            "touch_order",
            "rival",
            "sum",
            "reversal",
            "claimed",
            "refuted",
            "answered",
            "reversed",
            "reversal proven",
            "proven while pending",
            "claims disputed",
            "claims ruled",
            "closed",
            "misstated",
            "replayed",
            "forged",
            "slandered",
            "trespassed",
            "silent arbiter",
            "stated after a refund",
            "payee refuses",
            "payee calls back",
            "account blocked",
            "donated",
            "rebased",
            "took too much",
            "honest token",
            "silent token",
            "token says false",
            "token lies",
            "token takes a fee",
            "paused token",
            "token sends a bomb"
        ];
        // These see all of it today; the others come only if they do not.
        uint8[7] memory first = [14, 44, 24, 57, 9, 30, 55];
        uint256[56] memory seen;
        uint256 left = whats.length;
        vm.pauseGasMetering();
        for (uint256 run = 0; run < first.length + 60 && left != 0; ++run) {
            this.play(run < first.length ? first[run] : run - first.length);
            left = 0;
            for (uint256 i = 0; i < whats.length; ++i) {
                seen[i] += handler.counts(whats[i]);
                if (seen[i] == 0) ++left;
            }
        }
        for (uint256 i = 0; i < whats.length; ++i) {
            string memory what = string(abi.encodePacked(whats[i]));
            emit log_named_uint(what, seen[i]);
        }
        for (uint256 i = 0; i < whats.length; ++i) {
            assertGt(seen[i], 0, string(abi.encodePacked(whats[i])));
        }
    }

    /// A call of its own, so that its memory is freed.
    function play(uint256 run) external {
        _enter(new EscrowHandler());
        handler.setUnmetered();
        for (uint256 i = 0; i < 250; ++i) {
            handler.act(uint256(keccak256(abi.encode(run, i))));
        }
        _assertAll();
    }

    // ------------------------------------------------------------ inside

    function _enter(EscrowHandler handler_) private {
        handler = handler_;
        (escrow, lens) = (handler.theEscrow(), handler.theLens());
        (odd, sour) = handler.theTokens();
    }

    /// All but I9, which needs a token that burns gas where gas counts.
    function _assertAll() private {
        _demand("I1", this.check_I1_solvent);
        _demand("I2", this.check_I2_nothingIsLost);
        _demand("I3", this.check_I3_noContractSpendsAnothersMoney);
        _demand("I4", this.check_I4_anOutcomePaysOnce);
        _demand("I5", this.check_I5_payeeTokenAndPriceAreTheSignedOnes);
        _demand("I6", this.check_I6_noPeriodPaysMoreThanTheCap);
        _demandAside("I7", this.check_I7_onlyWhatIsFinalPays);
        _demand("I11", this.check_I11_splittingChangesNothing);
        _assertNothingBroken();
        _demandAside("L1", this.check_L1_everythingComesOut);
    }

    /// Tokens that keep the balances they report, in their worst modes.
    function _keepBalances() private {
        HostileToken[2] memory tokens = [odd, HostileToken(sour)];
        for (uint256 i = 0; i < 2; ++i) {
            HostileToken.Mode mode = tokens[i].mode();
            if (mode == HostileToken.Mode.TakesMore) tokens[i].setMode(HostileToken.Mode.Paused);
            if (mode == HostileToken.Mode.ReturnsTwo || mode == HostileToken.Mode.ReturnsShort) {
                tokens[i].setMode(HostileToken.Mode.BurnsGas);
            }
        }
    }

    function _balance(HostileToken token) private view returns (uint256) {
        return token.balanceOf(address(escrow));
    }

    /// Returns the amount that is left in the contracts, by the books.
    function _heldIn(HostileToken token) private view returns (uint256 held) {
        for (uint256 i = 0; i < handler.books(); ++i) {
            Book memory book = handler.bookAt(i);
            if (book.terms.token != address(token)) continue;
            held += book.terms.budget - book.paidNet - book.paidFees - book.refunded;
        }
    }

    function _assertNothingBroken() private view {
        for (uint256 i = 1; i < 12; ++i) {
            _assertNotBroken(bytes32(bytes(string.concat("I", vm.toString(i)))));
        }
        _assertNotBroken("I14");
        _assertNotBroken("I16");
        _assertNotBroken("L1");
    }

    function _assertNotBroken(bytes32 invariant) private view {
        string memory what = handler.broken(invariant);
        assertEq(what, "", string.concat(string(abi.encodePacked(invariant)), ": ", what));
    }
}
