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

/// @dev The statements and claims of a guarded contract, and the rate cap's bucket. A statement touches
/// the first two slots, a release under a rate cap or after T4 the third; the fourth is read where the
/// arbiter has ruled, and the fifth where events were proven to take something back.
struct GuardedRecord {
    // The last final statement, and what events above it were proven to take back of outcomes on or
    // below it.
    uint80 earned;
    uint80 reversed;
    uint80 proven;
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
    // The part of `proven` by events above the pending statement, and the position of the highest event
    // that was shown. Both are read only while `proven` is not zero.
    uint80 provenAbovePending;
    uint40 provenUntil;
    // Where something is held back: the cumulative gross of each final statement, by the second since
    // which it is final. Reversals and rulings do not lower it.
    Checkpoints.Trace208 grossHistory;
    // The events that were shown, and the sum that they take back of an outcome, both by position.
    mapping(uint256 happened => bool) isShown;
    mapping(uint256 outcome => uint256) takenBack;
}

using GuardedRecordLibrary for GuardedRecord global;

/// @title Reads of a contract's record
/// @dev A statement whose time has passed counts as final before it is stored as such: every read
/// takes account of a matured statement.
///
/// A statement says what was taken back by the events below it. What is subtracted is that, and what
/// was proven by events above it: so nothing is subtracted twice, whatever comes first.
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
        return self.netOf(self.earned, self.reversedInForce(), budget);
    }

    /// Returns the payable amount without claims that holds if the pending statement becomes final.
    function pendingNet(GuardedRecord storage self, uint256 budget)
        internal
        view
        returns (uint256)
    {
        return self.netOf(self.pendingEarned, self.pendingReversedInForce(), budget);
    }

    /// Returns what these totals make payable with what was ruled, within the budget.
    function netOf(GuardedRecord storage self, uint256 earned, uint256 reversed, uint256 budget)
        internal
        view
        returns (uint256)
    {
        // forge-lint: disable-next-line(unsafe-typecast)
        uint256 sum = _positive(int256(earned) - int256(reversed) + self.adjusted());
        return sum < budget ? sum : budget;
    }

    /// Returns what is taken back from the last final statement: what it says, and what events above
    /// it were proven to.
    function reversedInForce(GuardedRecord storage self) internal view returns (uint256) {
        return uint256(self.reversed) + self.proven;
    }

    /// Returns the same for the pending statement.
    function pendingReversedInForce(GuardedRecord storage self) internal view returns (uint256) {
        uint256 reversed = self.pendingReversed;
        return self.proven == 0 ? reversed : reversed + self.provenAbovePending;
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
        uint256 old = self.oldGross(period);
        return old < all ? all - old : 0;
    }

    /// Returns the cumulative gross that became final at least `period` seconds ago.
    function oldGross(GuardedRecord storage self, uint256 period) internal view returns (uint256) {
        if (block.timestamp < period) return 0;
        uint256 time = block.timestamp - period;
        if (self.isMatured() && time >= self.resolvesAt) {
            return self.cumulativeGross(self.pendingEarned);
        }
        return self.grossHistory.upperLookupRecent(time.toUint48());
    }

    /// Returns the most that the cumulative gross can have been when the outcomes up to one came to
    /// `sum`.
    function highestGross(GuardedRecord storage self, uint256 sum) internal view returns (uint256) {
        if (!self.isAdjusted) return sum;
        return sum + _positive(self.adjustment) + self.rulingReductions;
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
