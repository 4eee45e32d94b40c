// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Feedback} from "contracts/integrations/Feedback.sol";
import {IReputationRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {IdentityRegistry, ReputationRegistry} from "contracts/local/AgentRegistries.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {TermsRules} from "contracts/terms/TermsRules.sol";

/// A contract's payments become the agent's feedback: once, by a party, after its end, and not
/// while anything is owed.
contract FeedbackTest is GuardedFixture {
    uint256 private constant NET = 4 * PRICE * 975 / 1000; // less the fee

    IdentityRegistry private identities;
    ReputationRegistry private reputations;
    Feedback private feedback;
    Terms private terms;
    bytes32 private id;
    uint256 private agentId;

    function setUp() public override {
        super.setUp();
        identities = new IdentityRegistry();
        reputations = new ReputationRegistry(identities);
        evidence = new Evidence();
        escrow = new OutcomeEscrow(eventLog, address(evidence), identities, _list(address(token)));
        lens = new EscrowLens(escrow);
        feedback = new Feedback(lens, reputations);
        vm.prank(owner.addr);
        token.approve(address(escrow), type(uint256).max);
        vm.prank(stranger);
        identities.register("another");
        vm.startPrank(payee);
        agentId = identities.register("the payee's");
        identities.approve(operator.addr, agentId);
        vm.stopPrank();
        terms = _claimable();
        terms.agentIdPlusOne = agentId + 1;
        id = _open(terms);
    }

    // ------------------------------------------------------------ given

    function test_whatWasPaidIsGiven() public {
        _stateFinal(terms, 5 * PRICE, 0);
        _close(id, 4 * PRICE);
        vm.expectEmit(address(feedback));
        emit Feedback.FeedbackGiven(id, agentId, NET);
        vm.expectEmit(address(reputations));
        emit ReputationRegistry.NewFeedback(
            agentId,
            address(feedback),
            1,
            int128(int256(NET)),
            6,
            "outcomes",
            "outcomes",
            "activation",
            "https://agent.example",
            "ipfs://report",
            keccak256("report")
        );
        vm.prank(owner.addr);
        feedback.give(
            _t(id), "activation", "https://agent.example", "ipfs://report", keccak256("report")
        );
        assertTrue(feedback.isGiven(id));
        _assertGiven("activation");
    }

    function test_byTheOperatorToo() public {
        _close(id, PRICE);
        _give(operator.addr, "expansion");
        _assertGiven("expansion");
    }

    function test_everyMotion() public {
        _close(id, PRICE);
        bytes32[4] memory motions =
            [bytes32("acquisition"), "activation", "conversion", "expansion"];
        string[4] memory names = ["acquisition", "activation", "conversion", "expansion"];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            _give(owner.addr, motions[i]);
            _assertGiven(names[i]);
            vm.revertToState(snapshot);
        }
    }

    /// Otherwise a party could pull an agent's average down for the price of gas.
    function test_revertIf_nothingWasPaid() public {
        vm.warp(_t4(terms) + 1);
        _expectNotEnded("refundable");
        _give(owner.addr, "activation");
        escrow.refund(_t(id));
        assertEq(lens.paidOf(_t(id)), 0);
        vm.expectRevert(abi.encodeWithSelector(Feedback.NothingPaid.selector, id));
        _give(owner.addr, "activation");
        assertFalse(feedback.isGiven(id));
    }

    /// What comes back to the platform as a fee has not been paid to the agent.
    function test_revertIf_allOfItWasTheFee() public {
        (terms.feeBps, terms.salt) = (10_000, "all fee");
        id = _open(terms);
        _close(id, BUDGET);
        assertEq(lens.paidOf(_t(id)), BUDGET);
        vm.expectRevert(abi.encodeWithSelector(Feedback.NothingPaid.selector, id));
        _give(owner.addr, "activation");
    }

    /// An agent that has signed nothing gets no feedback: no contract opens in its name.
    function test_aStrangerCannotNameAnAgent() public {
        (Account memory mallory, Account memory mule) =
            (makeAccount("mallory"), makeAccount("mule"));
        _fund(mallory.addr, 1);
        terms = _terms();
        (terms.owner, terms.operator, terms.verifier) = (mallory.addr, mule.addr, mule.addr);
        (terms.payee, terms.agentIdPlusOne, terms.budget) = (payee, agentId + 1, 1);
        bytes memory signature = _sign(mule, _operatorConsent(terms));
        vm.expectRevert(
            abi.encodeWithSelector(TermsRules.OperatorNotAuthorized.selector, agentId, mule.addr)
        );
        vm.prank(mallory.addr);
        escrow.open(terms, _allowance(), "", signature);
    }

    /// The fee is that of the escrow, to the unit.
    function testFuzz_whatThePayeeHasIsGiven(uint256 paid, uint16 feeBps) public {
        (terms.feeBps, terms.salt) = (uint16(bound(feeBps, 0, 9999)), "fees");
        paid = bound(paid, 1, BUDGET);
        id = _open(terms);
        _close(id, paid);
        _give(owner.addr, "activation");
        (int128 value,,,,) = reputations.readFeedback(agentId, address(feedback), 1);
        assertEq(uint256(int256(value)), token.balanceOf(payee));
    }

    /// Ten of a token of eighteen decimals are more than 64 bits.
    function test_anAmountOfEightyBits() public {
        (terms.budget, terms.salt) = (type(uint80).max, "large");
        token.mint(owner.addr, terms.budget);
        id = _open(terms);
        _close(id, terms.budget);
        _give(owner.addr, "activation");
        _assertGiven("activation");
    }

    function test_whenAllIsPaid() public {
        _stateFinal(terms, BUDGET, 0);
        _expectNotEnded("open");
        _give(owner.addr, "activation");
        _release(id);
        assertEq(lens.statusOf(_t(id)), "paid_out");
        _give(owner.addr, "activation");
        _assertGiven("activation");
    }

    function test_whenTheRestIsRefunded() public {
        _stateFinal(terms, 5 * PRICE, 0);
        vm.warp(_t4(terms) + 1);
        _release(id);
        escrow.refund(_t(id));
        assertEq(lens.statusOf(_t(id)), "refunded");
        _give(owner.addr, "activation");
        _assertGiven("activation");
    }

    // ------------------------------------------------------------ once, by a party, after the end

    function test_revertIf_givenAlready() public {
        _close(id, PRICE);
        _give(owner.addr, "activation");
        vm.expectRevert(abi.encodeWithSelector(Feedback.AlreadyGiven.selector, id));
        _give(owner.addr, "activation");
        vm.expectRevert(abi.encodeWithSelector(Feedback.AlreadyGiven.selector, id));
        _give(operator.addr, "expansion");
    }

    function test_revertIf_aStrangerGives() public {
        _close(id, PRICE);
        address[5] memory others = [payee, arbiter.addr, verifier.addr, stranger, address(this)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Feedback.NotAParty.selector, id, others[i]));
            _give(others[i], "activation");
        }
    }

    function test_revertIf_notEnded() public {
        (terms.opensAt, terms.salt) = (START + 1, "times");
        id = _open(terms);
        _expectNotEnded("scheduled");
        _give(owner.addr, "activation");
        vm.warp(terms.deadline);
        _expectNotEnded("open");
        _give(owner.addr, "activation");
        vm.warp(_t2(terms));
        _expectNotEnded("settling");
        _give(owner.addr, "activation");
        vm.warp(_t3(terms));
        _expectNotEnded("claimable");
        _give(owner.addr, "activation");
        vm.warp(_t4(terms));
        _expectNotEnded("refutable");
        _give(operator.addr, "activation");
        skip(1);
        _expectNotEnded("refundable");
        _give(operator.addr, "activation");
        escrow.refund(_t(id));
        vm.expectPartialRevert(Feedback.NothingPaid.selector);
        _give(operator.addr, "activation");
    }

    /// A reversal may still be disputed, and then ruled up to what no reversal has taken back.
    function test_norWhileARulingCanMakeMorePayable() public {
        (terms.claimPeriod, terms.holdbackPeriod, terms.salt) = (0, 30 days, "ruled");
        id = _open(terms);
        _stateFinal(terms, 5 * PRICE, 0);
        _release(id);
        vm.warp(_t2(terms) + 1);
        assertEq(lens.owed(_t(id)), 0);
        _expectNotEnded("refundable");
        _give(owner.addr, "activation");
        uint256 snapshot = vm.snapshotState();
        _state(terms, 5 * PRICE, PRICE);
        _dispute(operator.addr, id);
        _rule(id, 20 * PRICE);
        escrow.refund(_t(id));
        _give(owner.addr, "activation");
        assertEq(lens.paidOf(_t(id)), 20 * PRICE);
        _assertGiven("activation");
        // Once the rest has gone back no ruling can add anything.
        vm.revertToState(snapshot);
        escrow.refund(_t(id));
        _give(owner.addr, "activation");
        _state(terms, 5 * PRICE, PRICE);
        _dispute(operator.addr, id);
        _rule(id, 5 * PRICE);
        assertEq(lens.statusOf(_t(id)), "refunded");
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        _assertGiven("activation");
    }

    /// Otherwise a party could fix too low a figure for ever.
    function test_nothingIsGivenWhileSomethingIsOwed() public {
        vm.warp(_t2(terms) + 1);
        _claimLeads(terms, 3);
        vm.warp(_t4(terms) + 1);
        assertEq(lens.statusOf(_t(id)), "refundable");
        _expectNotEnded("refundable");
        _give(owner.addr, "activation");
        escrow.refund(_t(id));
        _expectNotEnded("releasing");
        _give(owner.addr, "activation");
        _release(id);
        _give(owner.addr, "activation");
        _assertGiven("activation");
    }

    function test_norWhileAStatementCanStillBecomeFinal() public {
        (terms.arbiter, terms.claimPeriod, terms.salt) = (address(0), 0, "pending");
        id = _open(terms);
        vm.warp(_t2(terms));
        _state(terms, 5 * PRICE, 0);
        skip(1);
        assertEq(lens.owed(_t(id)), 0);
        _expectNotEnded("refundable");
        _give(owner.addr, "activation");
        skip(CHALLENGE);
        escrow.refund(_t(id));
        _release(id);
        _give(owner.addr, "activation");
        _assertGiven("activation");
    }

    function test_norWhileTheCapDelaysWhatIsOwed() public {
        (terms.rateCap, terms.ratePeriod, terms.salt) = (2 * PRICE, 1 days, "cap");
        id = _open(terms);
        _close(id, 2 * PRICE);
        _expectNotEnded("closed");
        _give(owner.addr, "activation");
        skip(1 days);
        _release(id);
        _give(owner.addr, "activation");
        _assertGiven("activation");
    }

    function test_norWhileSomethingIsHeldBack() public {
        (terms.holdbackBps, terms.holdbackPeriod, terms.salt) = (5000, 60 days, "held");
        id = _open(terms);
        vm.warp(_t2(terms));
        _stateFinal(terms, 2 * PRICE, 0);
        vm.warp(_t4(terms) + 1);
        _release(id);
        _expectNotEnded("refundable");
        _give(owner.addr, "activation");
        skip(60 days);
        _release(id);
        escrow.refund(_t(id));
        _give(owner.addr, "activation");
        _assertGiven("activation");
    }

    /// The last statement, made in time, may still become final.
    function test_norWhileAStatementWaits() public {
        (terms.arbiter, terms.claimPeriod, terms.salt) = (address(0), 0, "waits");
        id = _open(terms);
        vm.warp(_t2(terms));
        _state(terms, 2 * PRICE, 0);
        skip(CHALLENGE);
        assertEq(lens.statusOf(_t(id)), "refundable");
        assertEq(lens.owed(_t(id)), 0);
        _expectNotEnded("refundable");
        _give(owner.addr, "activation");
        skip(1);
        escrow.refund(_t(id));
        _expectNotEnded("releasing");
        _give(owner.addr, "activation");
        _release(id);
        _give(owner.addr, "activation");
        _assertGiven("activation");
    }

    function test_revertIf_thereIsNoAgent() public {
        (terms.agentIdPlusOne, terms.salt) = (0, "none");
        id = _open(terms);
        _close(id, PRICE);
        vm.expectRevert(abi.encodeWithSelector(Feedback.NoAgent.selector, id));
        _give(owner.addr, "activation");
    }

    function test_revertIf_theMotionIsUnknown() public {
        _close(id, PRICE);
        bytes32[4] memory motions = [bytes32(0), "Activation", "activation ", "retention"];
        for (uint256 i = 0; i < motions.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Feedback.UnknownMotion.selector, motions[i]));
            _give(owner.addr, motions[i]);
        }
        assertFalse(feedback.isGiven(id));
        _give(owner.addr, "activation");
    }

    function test_revertIf_theContractIsUnknown() public {
        terms.salt = "not opened";
        _remember("?", terms);
        vm.expectRevert(
            abi.encodeWithSelector(
                Feedback.NotEnded.selector, _contractId(terms), bytes32("unknown")
            )
        );
        _give(owner.addr, "activation", "?");
    }

    /// An agent that has made the feedback contract its operator shuts itself out, and no other
    /// agent.
    function test_revertIf_theRegistryRefuses() public {
        _close(id, PRICE);
        vm.prank(payee);
        identities.approve(address(feedback), agentId);
        vm.expectPartialRevert(ReputationRegistry.SelfFeedback.selector);
        _give(owner.addr, "activation");
        assertFalse(feedback.isGiven(id), "it can be given later");
        vm.prank(payee);
        identities.approve(address(0), agentId);
        _give(owner.addr, "activation");
    }

    function test_revertIf_anAddressHasNoCode() public {
        vm.expectRevert(abi.encodeWithSelector(Feedback.NotAContract.selector, stranger));
        this.deploy(EscrowLens(stranger), reputations);
        vm.expectRevert(abi.encodeWithSelector(Feedback.NotAContract.selector, stranger));
        this.deploy(lens, IReputationRegistry(stranger));
        assertEq(address(feedback.lens()), address(lens));
        assertEq(address(feedback.reputations()), address(reputations));
    }

    /// In a call of its own, whose revert is expected wherever forge makes contracts by a cheatcode.
    function deploy(EscrowLens lens_, IReputationRegistry reputations_)
        external
        returns (Feedback)
    {
        return new Feedback(lens_, reputations_);
    }

    // ------------------------------------------------------------ helpers

    function _give(address by, bytes32 motion) private {
        _give(by, motion, id);
    }

    function _give(address by, bytes32 motion, bytes32 contractId) private {
        vm.prank(by);
        feedback.give(_t(contractId), motion, "", "", 0);
    }

    function _expectNotEnded(bytes32 status) private {
        vm.expectRevert(abi.encodeWithSelector(Feedback.NotEnded.selector, id, status));
    }

    /// The only feedback says what the payee was paid.
    function _assertGiven(string memory motion) private view {
        assertEq(reputations.getLastIndex(agentId, address(feedback)), 1);
        (int128 value, uint8 decimals, string memory tag1, string memory tag2,) =
            reputations.readFeedback(agentId, address(feedback), 1);
        uint256 paid = lens.paidOf(_t(id));
        assertEq(uint256(int256(value)), paid - paid * FEE_BPS / 10_000);
        assertEq(decimals, token.decimals());
        assertEq(tag1, "outcomes");
        assertEq(tag2, motion);
    }
}
