// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Proof} from "./Proof.sol";
import {GuardedRecord} from "contracts/escrow/GuardedRecord.sol";
import {DelayRule} from "contracts/escrow/Ledger.sol";
import {Statements} from "contracts/escrow/Statements.sol";

/// For every state of a guarded contract, at every time and under all terms that fit their words:
/// nothing stated falls.
contract GuardedRecordProofs is Proof {
    struct State {
        uint80 earned;
        uint80 reversed;
        int88 adjustment;
        uint80 pendingEarned;
        uint80 pendingReversed;
        uint40 pendingPosition;
        uint40 resolvesAt;
        uint40 lastFinal;
        uint40 nowS;
    }

    struct Deal {
        uint80 budget;
        uint40 endsAt;
        DelayRule delays;
    }

    struct Statement {
        uint40 position;
        uint80 earned;
        uint80 reversed;
    }

    GuardedRecord private _record;

    /// Both totals of a statement that is taken are at least the last final one's, its position is
    /// higher, and it states no more than the budget, or earns nothing after T2. One that is refused changes nothing. (The
    /// escrow itself refuses reversed > earned.)
    function check_statementsNeverFall(
        State calldata state,
        Deal calldata deal,
        Statement calldata made
    ) external {
        vm.assume(deal.endsAt < 2 ** 39);
        vm.assume(deal.delays.challengePeriod() < 2 ** 38);
        vm.assume(deal.delays.holdbackPeriod() < 2 ** 38);
        vm.assume(made.reversed <= made.earned);
        vm.warp(state.nowS);
        (_record.earned, _record.reversed) = (state.earned, state.reversed);
        (_record.adjustment, _record.isAdjusted) = (state.adjustment, true);
        _record.pendingEarned = state.pendingEarned;
        _record.pendingReversed = state.pendingReversed;
        (_record.pendingPosition, _record.resolvesAt) = (state.pendingPosition, state.resolvesAt);

        bytes32 reason = Statements.propose(
            _record,
            deal.delays,
            deal.budget,
            deal.endsAt,
            state.lastFinal,
            made.position,
            made.earned,
            made.reversed
        );
        assert(_record.earned == state.earned && _record.reversed == state.reversed);
        if (reason != 0) {
            assert(_record.pendingPosition == state.pendingPosition);
            assert(_record.pendingEarned == state.pendingEarned);
            assert(_record.pendingReversed == state.pendingReversed);
            return;
        }
        assert(state.pendingPosition == 0 && _record.pendingPosition == made.position);
        assert(made.position > state.lastFinal);
        bool inTime = state.nowS <= deal.endsAt;
        assert(inTime ? made.earned - made.reversed <= deal.budget : made.earned == state.earned);
        assert(_record.pendingEarned == made.earned && made.earned >= state.earned);
        assert(_record.pendingReversed == made.reversed && made.reversed >= state.reversed);
    }
}
