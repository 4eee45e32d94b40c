// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

enum ClaimsStatus {
    Filed,
    Disputed,
    Ruled
}

/// What a contract that is not plain remembers of its statements and claims.
struct Position {
    // The last final statement, and what rulings have changed of its net.
    uint80 earned;
    uint80 reversed;
    int88 adjustment;
    // The pending statement. It becomes final when `resolvesAt` has passed; position zero: there is
    // none.
    uint80 pendingEarned;
    uint80 pendingReversed;
    uint40 pendingPosition;
    uint40 resolvesAt;
    bool ownerDisputed;
    bool operatorDisputed;
    // The sum of the claims by proof that stand, and the leaky bucket of the rate cap.
    uint80 claimed;
    uint80 capLevel;
    uint40 capUpdatedAt;
    ClaimsStatus claimsStatus;
    // The most that is paid of claims, once the case is Ruled.
    uint80 claimsLimit;
    // By how much rulings have ever made the gross fall.
    uint88 rulingReductions;
    // What was ever earned for good, whatever was reversed or ruled off since, by the second from
    // which it was final.
    Checkpoints.Trace208 grossHistory;
}

using ContractRecordLibrary for Position global;

library ContractRecordLibrary {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;

    function isPending(Position storage self) internal view returns (bool) {
        return self.pendingPosition != 0 && block.timestamp <= self.resolvesAt;
    }

    /// Whether there is a statement that has become final by itself and is not yet kept as such.
    function isMatured(Position storage self) internal view returns (bool) {
        return self.pendingPosition != 0 && block.timestamp > self.resolvesAt;
    }

    /// What is payable for good, claims apart.
    function net(Position storage self, uint256 budget) internal view returns (uint256) {
        if (self.isMatured()) return self.pendingNet(budget);
        return _net(self.earned, self.reversed, self.adjustment, budget);
    }

    /// What will be payable if the pending statement stands.
    function pendingNet(Position storage self, uint256 budget) internal view returns (uint256) {
        return _net(self.pendingEarned, self.pendingReversed, self.adjustment, budget);
    }

    /// The most that the statements can make payable by themselves.
    function highestNet(Position storage self, uint256 budget) internal view returns (uint256) {
        uint256 final_ = self.net(budget);
        if (!self.isPending()) return final_;
        uint256 pending = self.pendingNet(budget);
        return pending > final_ ? pending : final_;
    }

    /// What is paid of the claims if none is refuted any more.
    function payableClaims(Position storage self) internal view returns (uint256) {
        if (self.claimsStatus != ClaimsStatus.Ruled) return self.claimed;
        return self.claimsLimit < self.claimed ? self.claimsLimit : self.claimed;
    }

    /// What has become payable for good within the last `period` seconds. What was reversed or ruled
    /// off counts too: otherwise what comes in for it would not seem new.
    function recentGross(Position storage self, uint256 period) internal view returns (uint256) {
        uint256 all = self.cumulativeGross(self.isMatured() ? self.pendingEarned : self.earned);
        if (block.timestamp < period) return all;
        uint256 time = block.timestamp - period;
        if (self.isMatured() && time >= self.resolvesAt) return 0;
        uint256 matured = self.grossHistory.upperLookupRecent(time.toUint48());
        return matured < all ? all - matured : 0;
    }

    /// What statements that earned so much make payable, with what rulings changed of it, before
    /// reversals.
    function grossOf(Position storage self, uint80 earned) internal view returns (uint256) {
        return _positive(int256(uint256(earned)) + self.adjustment);
    }

    /// The same with what rulings took off again. It never falls from one final statement to the
    /// next.
    function cumulativeGross(Position storage self, uint80 earned) internal view returns (uint256) {
        return self.grossOf(earned) + self.rulingReductions;
    }

    /// When the last final statement became final.
    function finalSince(Position storage self) internal view returns (uint256) {
        if (self.isMatured()) return self.resolvesAt;
        (, uint48 since,) = self.grossHistory.latestCheckpoint();
        return since;
    }

    function isDisputed(Position storage self) internal view returns (bool) {
        return self.ownerDisputed || self.operatorDisputed;
    }

    function _net(uint80 earned, uint80 reversed, int88 adjustment, uint256 budget)
        private
        pure
        returns (uint256)
    {
        uint256 sum = _positive(int256(uint256(earned)) - int256(uint256(reversed)) + adjustment);
        return sum < budget ? sum : budget;
    }

    function _positive(int256 amount) private pure returns (uint256) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return amount > 0 ? uint256(amount) : 0;
    }
}
