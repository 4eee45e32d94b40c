// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "./GuardedFixture.sol";
import {HostileFixture} from "./HostileFixture.sol";

/// Guarded contracts, in a token that can turn bad.
abstract contract HostileGuardedFixture is HostileFixture, GuardedFixture {
    function setUp() public virtual override(HostileFixture, GuardedFixture) {
        super.setUp();
    }
}
