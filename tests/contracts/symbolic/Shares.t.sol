// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Proof} from "./Proof.sol";
import {Share, Shares} from "contracts/payout/Shares.sol";

/// For every value of their arguments: a split keeps the shares that were signed, and its parts are
/// the formula of which scripts/assurance/lemmas.py proves that it never gives away more than there
/// is.
contract SharesProofs is Proof {
    function check_sharesAreKeptAsTheyAre(
        bytes32 salt,
        address first,
        uint16 firstBps,
        address second,
        uint16 secondBps
    ) external pure {
        Share[] memory shares = new Share[](2);
        (shares[0], shares[1]) = (Share(first, firstBps), Share(second, secondBps));
        Share[] memory found = Shares.unpack(bytes.concat(salt, Shares.pack(shares)), 32);
        assert(found.length == 2);
        assert(found[0].payee == first && found[0].bps == firstBps);
        assert(found[1].payee == second && found[1].bps == secondBps);
    }

    function check_partIsTheShareRoundedDown(uint128 received, uint16 bps) external pure {
        assert(Shares.partOf(received, bps) == uint256(received) * bps / 10_000);
    }
}
