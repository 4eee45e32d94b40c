// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HostileToken} from "../mocks/HostileToken.sol";
import {EscrowHandler} from "./EscrowHandler.sol";
import {OutcomeEscrow} from "contracts/OutcomeEscrow.sol";
import {Test} from "forge-std/Test.sol";

/// The numbered invariants of the escrow. README.md says what each means, and the fault that was
/// planted to see it fail.
/// forge-config: default.invariant.runs = 12
/// forge-config: deep.invariant.runs = 150
contract EscrowInvariants is Test {
    EscrowHandler private handler;
    OutcomeEscrow private escrow;
    HostileToken private token;

    function setUp() public {
        handler = new EscrowHandler();
        escrow = handler.theEscrow();
        token = handler.theToken();
        bytes4[] memory actions = new bytes4[](13);
        actions[0] = handler.warp.selector;
        actions[1] = handler.turnToken.selector;
        actions[2] = handler.turnBlock.selector;
        actions[3] = handler.turnHook.selector;
        actions[4] = handler.donate.selector;
        actions[5] = handler.open.selector;
        actions[6] = handler.settle.selector;
        actions[7] = handler.refund.selector;
        actions[8] = handler.withdraw.selector;
        actions[9] = handler.replay.selector;
        actions[10] = handler.lie.selector;
        actions[11] = handler.forge.selector;
        actions[12] = handler.settle.selector; // twice as often
        targetSelector(FuzzSelector({addr: address(handler), selectors: actions}));
        targetContract(address(handler));
    }

    function invariant_I1_solvent() public view {
        assertEq(handler.balance(), _held() + handler.creditsOfAll() + handler.donated());
    }

    function invariant_I2_nothingIsLost() public view {
        uint256 net;
        uint256 fees;
        uint256 refunded;
        for (uint256 i = 0; i < handler.books(); ++i) {
            EscrowHandler.Book memory book = handler.bookAt(i);
            net += book.paidNet;
            fees += book.paidFees;
            refunded += book.refunded;
        }
        uint256 held = handler.balance() - handler.creditsOfAll() - handler.donated();
        assertEq(handler.escrowed(), net + fees + refunded + held);
        assertEq(handler.creditsOfAll(), handler.credited() + fees - handler.withdrawn());
    }

    function invariant_I3_noContractSpendsAnothersMoney() public view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            EscrowHandler.Book memory book = handler.bookAt(i);
            uint256 paid = escrow.paidOf(book.id);
            assertEq(paid, book.paidNet + book.paidFees, "the events tell it all");
            assertLe(paid + book.refunded, book.terms.budget);
        }
        _assertNotBroken("I3");
    }

    function invariant_I4_anOutcomePaysOnce() public view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            EscrowHandler.Book memory book = handler.bookAt(i);
            assertLe(escrow.paidOf(book.id), book.outcomes * book.terms.unitPrice);
            assertEq(book.paidNet + book.paidFees, book.settledNet);
        }
    }

    function invariant_I5_payeeTokenAndPriceAreTheSignedOnes() public view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            EscrowHandler.Book memory book = handler.bookAt(i);
            assertEq(abi.encode(escrow.termsOf(book.id)), abi.encode(book.terms));
            if (book.terms.revenueShareBps == 0) {
                assertEq(escrow.paidOf(book.id) % book.terms.unitPrice, 0);
            }
        }
        _assertNotBroken("I5");
    }

    function invariant_I7_onlyAVerifiedAnchoredStatementPays() public view {
        _assertNotBroken("I7");
    }

    function invariant_I8_onlyLegalStatusChanges() public view {
        _assertNotBroken("I8");
    }

    /// Whatever the token and its receivers do, short of breaking what a token is.
    function invariant_I9_nothingStopsARefund() public {
        if (token.mode() == HostileToken.Mode.TakesMore) token.setMode(HostileToken.Mode.Paused);
        if (token.mode() == HostileToken.Mode.ReturnsTwo) {
            token.setMode(HostileToken.Mode.BurnsGas);
        }
        for (uint256 i = 0; i < handler.books(); ++i) {
            EscrowHandler.Book memory book = handler.bookAt(i);
            if (block.timestamp <= book.terms.deadline + book.terms.grace) continue;
            uint256 due = book.terms.budget - escrow.paidOf(book.id) - book.refunded;
            if (due == 0) continue;
            uint256 credit = escrow.creditOf(address(token), book.terms.owner);
            uint256 held = handler.balance();
            escrow.refund(book.id);
            uint256 moved = held - handler.balance();
            assertEq(moved + escrow.creditOf(address(token), book.terms.owner) - credit, due);
        }
    }

    function invariant_I10_aBlockedPayeeFailsAlone() public view {
        _assertNotBroken("I10");
        _assertNotBroken("L1"); // nor with a whole batch
    }

    function invariant_I11_splittingChangesNoFee() public view {
        for (uint256 i = 0; i < handler.books(); ++i) {
            EscrowHandler.Book memory book = handler.bookAt(i);
            assertEq(book.paidFees, escrow.paidOf(book.id) * book.terms.feeBps / 10_000);
        }
    }

    /// A valid settlement succeeds, at any time before the end.
    function invariant_L1_aValidSettlementSucceeds() public {
        _assertNotBroken("L1");
        token.setMode(HostileToken.Mode.Honest);
        for (uint256 i = 0; i < handler.books(); ++i) {
            (bool tried, bool paid) = handler.settleOneMore(i);
            if (tried) assertTrue(paid);
        }
    }

    /// Past the end of all contracts the owners have everything back that was not paid, all credits
    /// can be withdrawn, and the escrow is empty but for what was given to it.
    function invariant_L1_everythingComesOut() public {
        token.setMode(HostileToken.Mode.Honest);
        vm.warp(block.timestamp + 30 days);
        for (uint256 i = 0; i < handler.books(); ++i) {
            EscrowHandler.Book memory book = handler.bookAt(i);
            uint256 due = book.terms.budget - escrow.paidOf(book.id) - book.refunded;
            if (due != 0) escrow.refund(book.id);
        }
        address[] memory people = handler.people();
        for (uint256 i = 0; i < people.length; ++i) {
            if (escrow.creditOf(address(token), people[i]) == 0) continue;
            vm.prank(people[i]);
            escrow.withdraw(address(token), makeAddr("a fresh address"));
        }
        assertEq(handler.balance(), handler.donated());
    }

    /// What is left in the contracts, by the books.
    function _held() private view returns (uint256 held) {
        for (uint256 i = 0; i < handler.books(); ++i) {
            EscrowHandler.Book memory book = handler.bookAt(i);
            held += book.terms.budget - escrow.paidOf(book.id) - book.refunded;
        }
    }

    function _assertNotBroken(string memory invariant) private view {
        string memory broken = handler.broken();
        if (bytes(broken).length == 0) return;
        assertFalse(vm.indexOf(broken, string.concat(invariant, ":")) == 0, broken);
    }
}
