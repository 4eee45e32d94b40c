// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {RoundFixture} from "../support/RoundFixture.sol";
import {TestTree} from "../support/TestTree.sol";
import {GasFixture} from "./GasFixture.sol";
import {Rounds} from "contracts/escrow/Rounds.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// An anchor and what it settles, in one transaction; beside Settle.t.sol, where they are two.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract RoundsGasTest is GasFixture, RoundFixture {
    uint256 private constant CONTRACTS = 100;
    uint256 private constant OUTCOMES = 100; // of each of them
    uint256 private constant ONE_TARGET = 150_000;
    uint256 private constant WORST = 165_000; // the log's longest path, above the target
    uint256 private constant MANY_TARGET = CONTRACTS * OUTCOMES * 240;

    function setUp() public override(GasFixture, RoundFixture) {
        super.setUp();
    }

    function test_gas_roundOfOneOutcome() public {
        Terms memory terms = _plain();
        bytes32 id = _open(terms);
        Entry[] memory entries = _list(_statement(id, PRICE));
        _meterRound("round of 1 outcome, payee known", terms, entries, MILLION, ONE_TARGET);
        assertEq(lens.paidOf(_t(id)), PRICE);
        assertEq(escrow.creditOf(address(token), payee), 0, "the payout failed");
    }

    /// The same in the worst place of a log of 2^20 entries, with a path of 20 hashes.
    function test_gas_roundByTheLongestPath() public {
        tree = new TestTree(2 ** 20 - 10);
        logId = eventLog.register("longest path", publisher.addr);
        _publish();
        Terms memory terms = _plain();
        bytes32 id = _open(terms);
        Entry[] memory entries = _list(_statement(id, PRICE));
        _meterRound("round of 1 outcome, payee known, 20 hashes", terms, entries, 2 ** 20, WORST);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    function test_gas_roundOfHundredContracts() public {
        Terms memory terms = _plain();
        terms.unitPrice = 1e6;
        terms.budget = OUTCOMES * terms.unitPrice;
        Entry[] memory entries = new Entry[](CONTRACTS);
        for (uint256 i = 0; i < CONTRACTS; ++i) {
            terms.salt = keccak256(abi.encode(i));
            terms.payee = makeAddr(string.concat("payee ", vm.toString(i)));
            token.mint(terms.payee, 1);
            entries[i] = _statement(_open(terms), terms.budget);
        }
        _meterRound(
            "round of 100 x 100 outcomes, 100 payees known", terms, entries, MILLION, MANY_TARGET
        );
        for (uint256 i = 0; i < CONTRACTS; ++i) {
            assertEq(lens.paidOf(_t(entries[i].subject)), terms.budget);
        }
    }

    /// These entries are the last of so many, as the pipeline has it.
    function _meterRound(
        string memory name,
        Terms memory terms,
        Entry[] memory entries,
        uint256 size,
        uint256 target
    ) private {
        _fill(size - entries.length);
        uint64 first = uint64(tree.size());
        bytes memory all;
        for (uint256 i = 0; i < entries.length; ++i) {
            _append(entries[i]);
            all = bytes.concat(all, abi.encode(entries[i]));
        }
        Rounds.Run[] memory runs = new Rounds.Run[](1);
        runs[0] = _run(terms, first, all);
        bytes memory call = abi.encodeCall(Rounds.settle, (_checkpoint(), runs));
        _meter(name, stranger, address(rounds), call, target);
    }
}
