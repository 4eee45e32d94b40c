// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IdentityRegistry} from "contracts/local/AgentRegistries.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// ERC-8004: terms that name an agent pay the wallet that the agent has named.
contract AgentTest is Fixture {
    IdentityRegistry private identities;
    Terms private terms;
    uint256 private agentId;

    function setUp() public override {
        super.setUp();
        identities = new IdentityRegistry();
        escrow =
            new OutcomeEscrow(eventLog, address(new Evidence()), identities, _list(address(token)));
        vm.prank(owner.addr);
        token.approve(address(escrow), type(uint256).max);
        vm.prank(stranger);
        identities.register("another");
        vm.prank(payee);
        agentId = identities.register("the payee's");
        terms = _terms();
        terms.agentIdPlusOne = agentId + 1;
    }

    function test_theRegistryCanBeRead() public view {
        assertEq(address(escrow.identities()), address(identities));
    }

    function test_thePayeeIsTheAgentsWallet() public {
        bytes32 id = _open(terms);
        assertEq(escrow.termsOf(id).agentIdPlusOne, agentId + 1);
        _settleTotals(terms, PRICE, 0);
        assertEq(token.balanceOf(payee), PRICE * 975 / 1000);
    }

    /// The first agent has id 0, which does not mean that there is no agent.
    function test_theFirstAgent() public {
        (terms.payee, terms.agentIdPlusOne) = (stranger, 1);
        _open(terms);
    }

    function test_withoutAnAgentAnyoneIsPaid() public {
        terms.agentIdPlusOne = 0;
        terms.payee = makeAddr("no agent");
        _open(terms);
    }

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
                OutcomeEscrow.PayeeIsNotAgentWallet.selector, agent, wallet, terms.payee
            )
        );
    }

    function _expectRevert(bytes memory revertData) private {
        bytes32 id = _contractId(terms);
        (bytes memory a, bytes memory b) = (_sign(owner, id), _sign(operator, id));
        vm.expectRevert(revertData);
        escrow.open(terms, a, b);
    }
}
