// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "./Fixture.sol";
import {HostileToken} from "./HostileToken.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";

/// The same world with a token that can turn bad.
abstract contract HostileFixture is Fixture {
    HostileToken internal hostile;

    function setUp() public virtual override {
        super.setUp();
        hostile = new HostileToken();
        token = TestStablecoin(address(hostile));
        escrow = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), _list(address(token))
        );
        lens = new EscrowLens(escrow);
        _fund(owner.addr, 10 * BUDGET);
    }
}
