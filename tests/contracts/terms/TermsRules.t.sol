// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {TermsRules} from "contracts/terms/TermsRules.sol";
import {Test} from "forge-std/Test.sol";

/// Terms are accepted exactly when they keep to every rule, said here once more in other words. Each
/// rule's own error is in escrow/OpenRules.t.sol.
contract TermsRulesTest is Test {
    uint64 private constant NOW = 1_800_000_000;

    function check(Terms memory terms) external view {
        TermsRules.check(terms, IIdentityRegistry(address(0)));
    }

    function setUp() public {
        vm.warp(NOW);
    }

    /// Most of what is drawn is near a border of some rule; about half of it is accepted.
    /// forge-config: default.fuzz.runs = 2000
    function testFuzz_acceptedExactlyWhenAllRulesAreKept(uint256 seed) public view {
        Terms memory terms = _near(seed);
        bool accepted;
        try this.check(terms) {
            accepted = true;
        } catch {}
        assertEq(
            accepted, _partiesAreRight(terms) && _timesAreRight(terms) && _amountsAreRight(terms)
        );
    }

    // ------------------------------------------------------------ the rules in other words

    function _partiesAreRight(Terms memory t) private view returns (bool) {
        bool named = t.owner != address(0) && t.operator != address(0) && t.payee != address(0)
            && t.verifier != address(0);
        bool apart =
            t.owner != t.operator && t.payee != address(this) && t.feeRecipient != address(this);
        bool fees = t.feeRecipient != address(0) || t.feeBps == 0;
        bool claims = t.arbiter != address(0) || t.claimPeriod == 0;
        return named && apart && fees && claims && t.attribution < 2;
    }

    function _timesAreRight(Terms memory t) private pure returns (bool) {
        uint256 sum = uint256(t.deadline) + t.attributionWindow + t.lateness + t.grace
            + t.claimPeriod + t.claimPeriod + t.challengePeriod + t.arbitrationPeriod
            + t.holdbackPeriod + t.ratePeriod;
        uint256 dispute = uint256(t.challengePeriod) + t.arbitrationPeriod;
        uint256 least = uint256(t.lateness) + 86_400 + (t.challengePeriod == 0 ? 0 : dispute);
        bool waits = t.challengePeriod != 0 || t.holdbackPeriod != 0;
        bool stated = !waits || t.grace >= least;
        bool claimed = t.claimPeriod == 0 || t.claimPeriod >= dispute + 259_200;
        return t.opensAt >= NOW && t.opensAt <= t.deadline && sum < 2 ** 40 && stated && claimed;
    }

    function _amountsAreRight(Terms memory t) private pure returns (bool) {
        bool amounts = t.unitPrice < 2 ** 80 && t.budget < 2 ** 80 && t.rateCap < 2 ** 80;
        bool shares = t.revenueShareBps <= 10_000 && t.holdbackBps <= 10_000 && t.feeBps <= 10_000;
        bool paid = (t.unitPrice != 0 || t.revenueShareBps != 0) && t.budget != 0;
        bool cap = t.rateCap == 0 || t.rateCap >= 2 && t.ratePeriod != 0;
        return amounts && shares && paid && cap;
    }

    // ------------------------------------------------------------ terms near a border

    /// Good terms, of which up to three fields are changed to something on or beside a border.
    function _near(uint256 seed) private view returns (Terms memory t) {
        (t.owner, t.operator, t.payee) = (address(1), address(2), address(3));
        (t.verifier, t.arbiter, t.feeRecipient) = (address(4), address(5), address(6));
        (t.unitPrice, t.budget, t.feeBps) = (8e6, 400e6, 250);
        (t.opensAt, t.deadline) = (NOW, NOW + 14 days);
        (t.challengePeriod, t.arbitrationPeriod) = (1 days, 2 days);
        (t.lateness, t.grace, t.claimPeriod) = (1 days, 5 days, 6 days);
        for (uint256 i = 0; i < seed % 4; ++i) {
            uint256 part = uint256(keccak256(abi.encode(seed, i)));
            _change(t, part % 27, part >> 8);
        }
    }

    function _change(Terms memory t, uint256 field, uint256 by) private view {
        if (field == 0) t.owner = _account(by);
        if (field == 1) t.operator = _account(by);
        if (field == 2) t.payee = _account(by);
        if (field == 3) t.verifier = _account(by);
        if (field == 4) t.arbiter = _account(by);
        if (field == 5) t.feeRecipient = _account(by);
        if (field == 6) t.attribution = uint8(by % 4);
        if (field == 7) t.opensAt = uint64(_about(NOW, by));
        if (field == 8) t.deadline = uint64(_about(NOW, by));
        if (field == 9) t.grace = uint64(_about(5 days, by));
        if (field == 10) t.claimPeriod = by % 5 == 0 ? 0 : uint64(_about(6 days, by));
        if (field == 11) t.challengePeriod = by % 5 == 0 ? 0 : uint64(_about(1 days, by));
        if (field == 12) t.arbitrationPeriod = uint64(_about(2 days, by));
        if (field == 13) t.holdbackPeriod = uint64(_about(2 ** 40 - t.deadline - 21 days, by));
        if (field == 14) t.lateness = uint64(_about(1 days, by));
        if (field == 15) t.attributionWindow = type(uint64).max;
        if (field == 16) t.unitPrice = _amount(by);
        if (field == 17) t.budget = _amount(by);
        if (field == 18) (t.rateCap, t.ratePeriod) = (by % 4, uint64(by >> 8 & 1));
        if (field == 19) (t.rateCap, t.ratePeriod) = (_amount(by), 1);
        if (field == 20) t.revenueShareBps = uint16(_about(10_000, by));
        if (field == 21) t.holdbackBps = uint16(_about(10_000, by));
        if (field == 22) t.feeBps = by % 3 == 0 ? 0 : uint16(_about(10_000, by));
        if (field == 23) (t.unitPrice, t.revenueShareBps) = (0, uint16(by % 2));
        if (field > 23) t.challengePeriod = 0;
        if (field == 24) (t.grace, t.holdbackPeriod) = (uint64(_about(2 days, by)), 1);
        if (field == 25) (t.grace, t.holdbackPeriod) = (uint64(by % 2), uint64(by >> 1 & 1));
        if (field == 26) t.lateness = uint64(_about(2 ** 40 - t.deadline - 19 days, by));
    }

    function _account(uint256 by) private view returns (address) {
        return by % 4 == 0 ? address(this) : address(uint160(by % 4 - 1));
    }

    function _about(uint256 value, uint256 by) private pure returns (uint256) {
        return value + by % 5 - 2;
    }

    function _amount(uint256 by) private pure returns (uint256) {
        return by % 3 == 0 ? by % 2 : 2 ** 80 + by % 4 - 2;
    }
}
