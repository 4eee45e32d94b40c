// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Proof} from "./Proof.sol";
import {Position} from "contracts/escrow/ContractRecord.sol";
import {Statements} from "contracts/escrow/Statements.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// For every state of a contract that is not plain, at every time and under all terms that fit their
/// words: nothing stated falls.
contract PositionProofs is Proof {
    struct State {
        uint80 earned;
        uint80 reversed;
        int88 adjust;
        uint80 pendingEarned;
        uint80 pendingReversed;
        uint40 pendingIndex;
        uint40 resolvesAt;
        uint40 floor;
        uint40 nowS;
    }

    struct Statement {
        uint40 index;
        uint80 earned;
        uint80 reversed;
    }

    Position private _position;

    /// Both totals of a statement that is taken are at least the last final one's, its index is
    /// higher, and it states no more than the budget. One that is refused changes nothing. (The
    /// escrow itself refuses reversed > earned.)
    function check_statementsNeverFall(
        State calldata state,
        Terms calldata terms,
        Statement calldata made
    ) external {
        vm.assume(terms.deadline < 2 ** 38 && terms.grace < 2 ** 38);
        vm.assume(terms.challengePeriod < 2 ** 38 && terms.holdbackPeriod < 2 ** 38);
        vm.assume(made.reversed <= made.earned);
        vm.warp(state.nowS);
        (_position.earned, _position.reversed) = (state.earned, state.reversed);
        _position.adjust = state.adjust;
        _position.pendingEarned = state.pendingEarned;
        _position.pendingReversed = state.pendingReversed;
        (_position.pendingIndex, _position.resolvesAt) = (state.pendingIndex, state.resolvesAt);

        bytes32 reason =
            Statements.put(_position, terms, state.floor, made.index, made.earned, made.reversed);
        assert(_position.earned == state.earned && _position.reversed == state.reversed);
        if (reason != 0) {
            assert(_position.pendingIndex == state.pendingIndex);
            assert(_position.pendingEarned == state.pendingEarned);
            assert(_position.pendingReversed == state.pendingReversed);
            return;
        }
        assert(state.pendingIndex == 0 && _position.pendingIndex == made.index);
        assert(made.index > state.floor && made.earned - made.reversed <= terms.budget);
        assert(_position.pendingEarned == made.earned && made.earned >= state.earned);
        assert(_position.pendingReversed == made.reversed && made.reversed >= state.reversed);
    }
}
