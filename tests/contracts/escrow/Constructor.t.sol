// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";
import {EventLog} from "contracts/log/EventLog.sol";

/// The constructor's arguments and the checks of them.
contract ConstructorTest is Fixture {
    function test_theTokensAreAllowed() public {
        address[] memory tokens = new address[](2);
        (tokens[0], tokens[1]) = (address(token), address(new TestStablecoin()));
        escrow = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), tokens
        );
        lens = new EscrowLens(escrow);
        assertTrue(escrow.isAllowed(tokens[0]));
        assertTrue(escrow.isAllowed(tokens[1]));
        assertFalse(escrow.isAllowed(stranger));
        assertEq(address(escrow.eventLog()), address(eventLog));
    }

    function test_theDomainIsItsOwn() public view {
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address home,,
        ) = escrow.eip712Domain();
        assertEq(fields, hex"0f");
        assertEq(name, "Tallystick OutcomeEscrow");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(home, address(escrow));
    }

    function test_revertIf_thereIsNoToken() public {
        address evidence = escrow.evidence();
        vm.expectRevert(Vault.NoTokens.selector);
        this.deploy(eventLog, evidence, IIdentityRegistry(address(0)), new address[](0));
    }

    function test_revertIf_anAddressHasNoCode() public {
        address evidence = escrow.evidence();
        IIdentityRegistry none = IIdentityRegistry(address(0));
        address[] memory mixed = new address[](2);
        (mixed[0], mixed[1]) = (address(token), stranger);
        _expectNotAContract();
        this.deploy(eventLog, evidence, none, _list(stranger));
        _expectNotAContract();
        this.deploy(eventLog, evidence, none, mixed);
        _expectNotAContract();
        this.deploy(EventLog(stranger), evidence, none, _list(address(token)));
        _expectNotAContract();
        this.deploy(eventLog, stranger, none, _list(address(token)));
        _expectNotAContract();
        this.deploy(eventLog, evidence, IIdentityRegistry(stranger), _list(address(token)));
    }

    function _expectNotAContract() private {
        vm.expectRevert(abi.encodeWithSelector(Vault.NotAContract.selector, stranger));
    }

    /// In a call of its own, whose revert is expected wherever forge makes contracts by a cheatcode.
    function deploy(
        EventLog eventLog_,
        address evidence,
        IIdentityRegistry identities,
        address[] memory tokens
    ) external returns (OutcomeEscrow) {
        return new OutcomeEscrow(eventLog_, evidence, identities, tokens);
    }
}
