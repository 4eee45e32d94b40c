// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {DelayRule, PayeeRule} from "contracts/escrow/Ledger.sol";
import {SettlementRules} from "contracts/escrow/SettlementRules.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// The words that a settlement brings of terms: they are those of the terms, and with any other the
/// contract is unknown.
contract SettlementRulesTest is Fixture {
    function isPlain(Terms calldata terms) external pure returns (bool) {
        return SettlementRules.isPlain(terms);
    }

    function rulesOf(Terms calldata terms) external pure returns (PayeeRule, DelayRule) {
        return (SettlementRules.payeeRule(terms), SettlementRules.delayRule(terms));
    }

    /// Each of the five makes it a guarded contract.
    function testFuzz_plainWithoutAnyOfTheFive(uint256 seed) public view {
        Terms memory terms;
        terms.challengePeriod = uint64(seed & 1);
        terms.holdbackBps = uint16(seed >> 1 & 1);
        terms.holdbackPeriod = uint64(seed >> 2 & 1);
        terms.rateCap = seed >> 3 & 1;
        terms.claimPeriod = uint64(seed >> 4 & 1);
        (terms.arbitrationPeriod, terms.ratePeriod) = (uint64(seed >> 5), uint64(seed >> 6));
        assertEq(this.isPlain(terms), seed & 31 == 0);
    }

    /// As the tests pack them in their own way.
    function testFuzz_rulesAreThoseOfTheTerms(Terms memory terms, bool plain) public view {
        (terms.unitPrice, terms.rateCap) = (uint80(terms.unitPrice), uint80(terms.rateCap));
        terms.challengePeriod = plain ? 0 : uint40(terms.challengePeriod);
        terms.holdbackPeriod = plain ? 0 : uint40(terms.holdbackPeriod);
        (terms.lateness, terms.ratePeriod) = (uint40(terms.lateness), uint40(terms.ratePeriod));
        if (plain) (terms.holdbackBps, terms.rateCap, terms.claimPeriod) = (0, 0, 0);
        (PayeeRule payeeRule, DelayRule delayRule) = this.rulesOf(terms);
        assertEq(PayeeRule.unwrap(payeeRule), _payeeRule(terms));
        assertEq(DelayRule.unwrap(delayRule), this.isPlain(terms) ? 0 : _delayRule(terms));
    }

    // ------------------------------------------------------------ brought with a settlement

    /// Whoever brings a statement changes neither payee nor price nor any delay by what it brings.
    function testFuzz_noContractIsFoundByAnotherRule(uint256 bit, bool guarded) public {
        Terms memory terms = _terms();
        if (guarded) (terms.rateCap, terms.ratePeriod) = (BUDGET, 1 days);
        bytes32 id = _open(terms);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        assertEq(batch.rules.length, guarded ? 2 : 1);
        bit = bound(bit, 0, 256 * batch.rules.length - 1);
        if (bit / 256 == 0 && bit >= 240) bit -= 16; // the mark of a guarded contract: below
        uint256[] memory rules = abi.decode(abi.encode(batch.rules), (uint256[]));
        batch.rules[bit / 256] ^= 1 << bit % 256;
        _expectRefused(id, batch, "unknown_contract");
        batch.rules = rules;
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    /// Nor does it make a guarded contract plain, or a plain one guarded.
    function test_noContractIsFoundAsOneOfTheOtherSort() public {
        Terms memory terms = _terms();
        bytes32 plain = _open(terms);
        (terms.rateCap, terms.ratePeriod) = (BUDGET, 1 days);
        bytes32 guarded = _open(terms);
        uint256 mark = 1 << 240;
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(plain, PRICE, 0)));
        uint256[] memory rules = new uint256[](2);
        rules[0] = batch.rules[0] | mark;
        batch.rules = rules;
        _expectRefused(plain, batch, "unknown_contract");
        batch = _batch(_groupOf(terms), _list(_settlement(guarded, PRICE, 0)));
        rules = new uint256[](1);
        rules[0] = batch.rules[0] ^ mark;
        batch.rules = rules;
        _expectRefused(guarded, batch, "unknown_contract");
    }

    function test_revertIf_rulesAreMissing() public {
        Terms memory terms = _terms();
        bytes32 plain = _open(terms);
        (terms.rateCap, terms.ratePeriod) = (BUDGET, 1 days);
        bytes32 guarded = _open(terms);
        Batch memory batch = _batch(
            _groupOf(terms), _list(_settlement(plain, PRICE, 0), _settlement(guarded, PRICE, 0))
        );
        assertEq(batch.rules.length, 3);
        uint256[] memory all = batch.rules;
        for (uint256 count = 0; count < 3; ++count) {
            batch.rules = new uint256[](count);
            for (uint256 i = 0; i < count; ++i) {
                batch.rules[i] = all[i];
            }
            uint256 position = batch.first + (count == 0 ? 0 : 1);
            _expectReverted(
                batch, abi.encodeWithSelector(Settlements.RulesMissing.selector, position)
            );
        }
        batch.rules = all;
        _settle(batch);
        assertEq(lens.paidOf(_t(guarded)), PRICE);
    }

    function test_revertIf_thereAreTooManyRules() public {
        Terms memory terms = _terms();
        bytes32 id = _open(terms);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        uint256[] memory rules = new uint256[](3);
        rules[0] = batch.rules[0];
        batch.rules = rules;
        _expectReverted(batch, abi.encodeWithSelector(Settlements.RulesTooMany.selector, 3, 1));
    }

    function _expectRefused(bytes32 id, Batch memory batch, bytes32 reason) private {
        vm.expectEmit(address(escrow));
        emit Settlements.Refused(id, batch.first, reason);
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), 0);
    }

    function _expectReverted(Batch memory batch, bytes memory revertData) private {
        vm.expectRevert(revertData);
        _settle(batch);
    }
}
