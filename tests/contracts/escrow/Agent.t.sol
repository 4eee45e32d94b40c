// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IdentityRegistry} from "contracts/local/AgentRegistries.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {TermsRules} from "contracts/terms/TermsRules.sol";

/// ERC-8004: terms that name an agent pay the wallet that the agent has named, and are signed by
/// that wallet or by who acts for the agent.
contract AgentTest is Fixture {
    IdentityRegistry private identities;
    Terms private terms;
    uint256 private agentId;

    function setUp() public override {
        super.setUp();
        identities = new IdentityRegistry();
        escrow =
            new OutcomeEscrow(eventLog, address(new Evidence()), identities, _list(address(token)));
        lens = new EscrowLens(escrow);
        vm.prank(owner.addr);
        token.approve(address(escrow), type(uint256).max);
        vm.prank(stranger);
        identities.register("another");
        vm.startPrank(payee);
        agentId = identities.register("the payee's");
        identities.approve(operator.addr, agentId);
        vm.stopPrank();
        terms = _terms();
        terms.agentIdPlusOne = agentId + 1;
    }

    function test_theRegistryCanBeRead() public view {
        assertEq(address(escrow.identities()), address(identities));
    }

    function test_thePayeeIsTheAgentsWallet() public {
        bytes32 id = _open(terms);
        assertEq(_t(id).agentIdPlusOne, agentId + 1);
        _settleTotals(terms, PRICE, 0);
        assertEq(token.balanceOf(payee), PRICE * 975 / 1000);
    }

    /// The first agent has id 0, which does not mean that there is no agent.
    function test_theFirstAgent() public {
        (terms.payee, terms.agentIdPlusOne) = (stranger, 1);
        vm.prank(stranger);
        identities.approve(operator.addr, 0);
        _open(terms);
    }

    function test_withoutAnAgentAnyoneIsPaid() public {
        terms.agentIdPlusOne = 0;
        terms.payee = makeAddr("no agent");
        _open(terms);
    }

    // ------------------------------------------------------------ the agent consents

    function test_theOperatorIsTheAgentsWallet() public {
        vm.prank(payee);
        identities.approve(address(0), agentId);
        _setWallet(operator);
        terms.payee = operator.addr;
        _open(terms);
    }

    function test_theOperatorOwnsTheAgent() public {
        vm.startPrank(payee);
        identities.approve(address(0), agentId);
        identities.transferFrom(payee, operator.addr, agentId);
        vm.stopPrank();
        Account memory wallet = makeAccount("wallet");
        vm.startPrank(operator.addr);
        _setWallet(wallet);
        vm.stopPrank();
        terms.payee = wallet.addr;
        _open(terms);
    }

    function test_theOperatorIsApprovedForAllOfTheOwners() public {
        vm.startPrank(payee);
        identities.approve(address(0), agentId);
        identities.setApprovalForAll(operator.addr, true);
        vm.stopPrank();
        _open(terms);
    }

    /// Any two accounts could otherwise have feedback written on any agent.
    function test_revertIf_theOperatorIsNotTheAgents() public {
        vm.startPrank(payee);
        identities.approve(address(0), agentId);
        _expectNotAuthorized();
        identities.approve(stranger, agentId);
        identities.setApprovalForAll(stranger, true);
        vm.stopPrank();
        _expectNotAuthorized();
    }

    function test_revertIf_theApprovalIsGone() public {
        Account memory wallet = makeAccount("wallet");
        vm.startPrank(payee);
        identities.transferFrom(payee, stranger, agentId);
        vm.stopPrank();
        vm.startPrank(stranger);
        _setWallet(wallet);
        vm.stopPrank();
        terms.payee = wallet.addr;
        _expectNotAuthorized();
    }

    function _setWallet(Account memory wallet) private {
        uint256 deadline = block.timestamp;
        bytes32 structHash = vm.eip712HashStruct(
            "AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)",
            abi.encode(agentId, wallet.addr, identities.ownerOf(agentId), deadline)
        );
        bytes memory signature = _sign(wallet, _digest(address(identities), structHash));
        if (identities.ownerOf(agentId) == payee) vm.prank(payee);
        identities.setAgentWallet(agentId, wallet.addr, deadline, signature);
    }

    function _expectNotAuthorized() private {
        _expectRevert(
            abi.encodeWithSelector(
                TermsRules.OperatorNotAuthorized.selector, agentId, operator.addr
            )
        );
    }

    // ------------------------------------------------------------ the payee is its wallet

    function test_revertIf_thePayeeIsAnother() public {
        terms.payee = stranger;
        _expectRefused(agentId, payee);
        (terms.payee, terms.agentIdPlusOne) = (payee, 1);
        _expectRefused(0, stranger);
    }

    function test_revertIf_theAgentIsUnknown() public {
        terms.agentIdPlusOne = 17;
        _expectRefused(16, address(0));
        terms.agentIdPlusOne = type(uint256).max;
        _expectRefused(type(uint256).max - 1, address(0));
    }

    function test_revertIf_theAgentHasNoWallet() public {
        vm.prank(payee);
        identities.unsetAgentWallet(agentId);
        _expectRefused(agentId, address(0));
    }

    function test_revertIf_theAgentWasTransferred() public {
        vm.prank(payee);
        identities.transferFrom(payee, stranger, agentId);
        _expectRefused(agentId, address(0));
    }

    function test_revertIf_theRegistryFails() public {
        vm.mockCallRevert(
            address(identities), abi.encodeCall(identities.getAgentWallet, (agentId)), "failed"
        );
        _expectRevert("failed");
    }

    /// Later changes by the agent change no contract: the terms name the payee.
    function test_theWalletIsLookedUpOnce() public {
        _open(terms);
        vm.prank(payee);
        identities.unsetAgentWallet(agentId);
        _settleTotals(terms, PRICE, 0);
        assertEq(token.balanceOf(payee), PRICE * 975 / 1000);
    }

    function _expectRefused(uint256 agent, address wallet) private {
        _expectRevert(
            abi.encodeWithSelector(
                TermsRules.PayeeIsNotAgentWallet.selector, agent, wallet, terms.payee
            )
        );
    }

    function _expectRevert(bytes memory revertData) private {
        (bytes memory a, bytes memory b) = _consents(terms);
        vm.expectRevert(revertData);
        escrow.open(terms, _allowance(), a, b);
    }
}
