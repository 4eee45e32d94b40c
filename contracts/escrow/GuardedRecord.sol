// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// @dev The stage of a contract's claims, of all together.
enum ClaimsStatus {
    Filed,
    Disputed,
    Ruled
}

/// @dev The statements and claims of a guarded contract, and the rate cap's bucket. Four slots and two
/// lists: a statement touches the first two, a release under a rate cap or after T4 the third, and
/// the fourth is read where the arbiter has ruled.
struct GuardedRecord {
    // The last final statement, and the sum of `reversals`.
    uint80 earned;
    uint80 reversed;
    uint80 provenReversed;
    bool isAdjusted; // `adjustment` and `rulingReductions` count
    // The pending statement. It becomes final when `resolvesAt` has passed. Position zero means
    // that there is none.
    uint80 pendingEarned;
    uint80 pendingReversed;
    uint40 pendingPosition;
    uint40 resolvesAt;
    bool ownerDisputed;
    bool operatorDisputed;
    // The sum of the claims that stand, and the leaky bucket of the rate cap.
    uint80 claimed;
    uint80 capLevel;
    uint40 capUpdatedAt;
    ClaimsStatus claimsStatus;
    // The sum that rulings have added to the net, the sum of all amounts by which they have lowered
    // the gross, and the most that is paid of the claims, once they are Ruled.
    int88 adjustment;
    uint88 rulingReductions;
    uint80 claimsLimit;
    // Where something is held back: the cumulative gross of each final statement, by the second since
    // which it is final. Reversals and rulings do not lower it.
    Checkpoints.Trace208 grossHistory;
    // The amount that is proven to be taken back of an outcome, by the outcome's position.
    mapping(uint256 outcome => uint256) reversals;
}

using GuardedRecordLibrary for GuardedRecord global;

/// @title Reads of a contract's record
/// @dev A statement whose time has passed counts as final before it is stored as such: every read
/// takes account of a matured statement.
///
/// What a statement says is reversed, and what was proven, are both at most what was truly taken back.
/// So the larger of the two is subtracted, and never their sum.
///
/// Assumptions: amounts fit 80 bits and times 40, by the terms rules.
library GuardedRecordLibrary {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;

    /// Returns true if a statement can still be disputed or disproved.
    function isPending(GuardedRecord storage self) internal view returns (bool) {
        return self.pendingPosition != 0 && block.timestamp <= self.resolvesAt;
    }

    /// Returns true if a statement's time has passed and it is not yet stored as final.
    function isMatured(GuardedRecord storage self) internal view returns (bool) {
        return self.pendingPosition != 0 && block.timestamp > self.resolvesAt;
    }

    /// Returns the final payable amount without claims.
    function net(GuardedRecord storage self, uint256 budget) internal view returns (uint256) {
        if (self.isMatured()) return self.pendingNet(budget);
        return self.netOf(self.earned, self.reversed, budget);
    }

    /// Returns the payable amount without claims that holds if the pending statement becomes final.
    function pendingNet(GuardedRecord storage self, uint256 budget)
        internal
        view
        returns (uint256)
    {
        return self.netOf(self.pendingEarned, self.pendingReversed, budget);
    }

    /// Returns what these totals make payable with what was proven and ruled, within the budget.
    function netOf(GuardedRecord storage self, uint80 earned, uint80 reversed, uint256 budget)
        internal
        view
        returns (uint256)
    {
        uint256 sum = _positive(self.balanceOf(earned, reversed) + self.adjusted());
        return sum < budget ? sum : budget;
    }

    /// Returns earned less reversed, before rulings: less what the statement says or what was
    /// proven, whichever is more.
    function balanceOf(GuardedRecord storage self, uint80 earned, uint80 reversed)
        internal
        view
        returns (int256)
    {
        uint256 proven = self.provenReversed;
        return int256(uint256(earned)) - int256(reversed > proven ? reversed : proven);
    }

    /// Returns the sum that rulings have added to the net. Without one its slot is not read.
    function adjusted(GuardedRecord storage self) internal view returns (int256) {
        return self.isAdjusted ? self.adjustment : int256(0);
    }

    /// Returns the most that can be payable without claims and rulings.
    function highestNet(GuardedRecord storage self, uint256 budget)
        internal
        view
        returns (uint256)
    {
        uint256 final_ = self.net(budget);
        if (!self.isPending()) return final_;
        uint256 pending = self.pendingNet(budget);
        return pending > final_ ? pending : final_;
    }

    /// Returns the amount that is paid of the claims if no more are refuted.
    function payableClaims(GuardedRecord storage self) internal view returns (uint256) {
        if (self.claimsStatus != ClaimsStatus.Ruled) return self.claimed;
        return self.claimsLimit < self.claimed ? self.claimsLimit : self.claimed;
    }

    /// Returns the gross that has become final within the last `period` seconds. Amounts that were
    /// reversed or ruled off since are included: otherwise new earnings in their place would look
    /// old, and would not be held back.
    function recentGross(GuardedRecord storage self, uint256 period)
        internal
        view
        returns (uint256)
    {
        uint256 all = self.cumulativeGross(self.isMatured() ? self.pendingEarned : self.earned);
        if (block.timestamp < period) return all;
        uint256 time = block.timestamp - period;
        if (self.isMatured() && time >= self.resolvesAt) return 0;
        uint256 matured = self.grossHistory.upperLookupRecent(time.toUint48());
        return matured < all ? all - matured : 0;
    }

    /// Returns cumulative earned plus the rulings' adjustments, before reversals.
    function grossOf(GuardedRecord storage self, uint80 earned) internal view returns (uint256) {
        return _positive(int256(uint256(earned)) + self.adjusted());
    }

    /// Returns the gross plus all reductions by rulings. It never falls from one final statement to
    /// the next, so it can be compared across time.
    function cumulativeGross(GuardedRecord storage self, uint80 earned)
        internal
        view
        returns (uint256)
    {
        uint256 gross = self.grossOf(earned);
        return self.isAdjusted ? gross + self.rulingReductions : gross;
    }

    /// Returns the second since which the last final statement is final, where something is held
    /// back.
    function finalSince(GuardedRecord storage self) internal view returns (uint256) {
        if (self.isMatured()) return self.resolvesAt;
        (, uint48 since,) = self.grossHistory.latestCheckpoint();
        return since;
    }

    /// Returns true if a party has disputed the pending statement.
    function isDisputed(GuardedRecord storage self) internal view returns (bool) {
        return self.ownerDisputed || self.operatorDisputed;
    }

    function _positive(int256 amount) private pure returns (uint256) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return amount > 0 ? uint256(amount) : 0;
    }
}
