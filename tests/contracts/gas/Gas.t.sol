// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../helpers/Fixture.sol";
import {TestTree} from "../helpers/TestTree.sol";
import {Entry} from "contracts/libraries/MerkleLog.sol";
import {Terms} from "contracts/libraries/Terms.sol";

/// Whole-transaction gas (run with --isolate) at a million log entries, as it is from day to day:
/// the payee and the fee recipient have been paid before. Snapshots are kept beside this folder.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract GasTest is Fixture {
    uint256 private constant MILLION = 1_000_000;
    uint256 private constant TX_GAS_LIMIT = 16_777_216; // EIP-7825

    function setUp() public override {
        super.setUp();
        tree = new TestTree(MILLION - 1); // odd-sized, so that proofs are long
        _publish();
        _fund(owner.addr, 1000 * BUDGET);
    }

    function test_gas_publish() public {
        _appendFiller(1000);
        _publish();
        _check("publish", 90_000);
    }

    function test_gas_publishBySignature() public {
        _appendFiller(1000);
        uint64 size = uint64(tree.size());
        bytes32 root = tree.root(size);
        bytes32[] memory proof = tree.consistencyProof(MILLION - 1, size);
        bytes memory signature = _sign(publisher, _checkpointDigest(logId, size, root));
        eventLog.publish(logId, size, root, proof, signature);
        _check("publish by signature", 95_000);
    }

    function test_gas_open() public {
        _open(_terms());
        _check("open", 500_000);
    }

    function test_gas_settleOneOutcome() public {
        Terms memory terms = _terms();
        _open(terms);
        _settleTotals(terms, PRICE, 0);
        _settleTotals(terms, 2 * PRICE, 0);
        _check("settle 1 contract, 1 outcome", 95_000);
    }

    function test_gas_settleFiftyOutcomes() public {
        Terms memory terms = _terms();
        _open(terms);
        _settleTotals(terms, PRICE, 0);
        _appendFiller(50);
        _settleTotals(terms, 50 * PRICE, 0);
        _check("settle 1 contract, 50 outcomes", 95_000);
    }

    function test_gas_settleThousandOutcomes() public {
        Terms memory terms = _terms();
        terms.budget = 1000 * PRICE;
        _open(terms);
        _settleTotals(terms, PRICE, 0);
        _appendFiller(1000);
        _settleTotals(terms, 1000 * PRICE, 0);
        _check("settle 1 contract, 1000 outcomes", 95_000);
    }

    function test_gas_settleHundredContracts_onePayee() public {
        _settleContracts(100, 100, true);
        _check("settle 100 contracts, 100 outcomes each, one payee", 2_000_000);
    }

    function test_gas_settleHundredContracts_manyPayees() public {
        _settleContracts(100, 100, false);
        _check("settle 100 contracts, 100 outcomes each, 100 payees", 2_500_000);
    }

    function test_gas_refund() public {
        Terms memory terms = _terms();
        bytes32 id = _open(terms);
        vm.warp(terms.deadline + terms.grace + 1);
        escrow.refund(id);
        _check("refund", 90_000);
    }

    function _settleContracts(uint256 contracts, uint256 outcomes, bool onePayee) private {
        Terms memory terms = _terms();
        terms.unitPrice = 1e6;
        terms.budget = 2 * outcomes * 1e6;
        Entry[] memory earlier = new Entry[](contracts);
        Entry[] memory entries = new Entry[](contracts);
        for (uint256 i = 0; i < contracts; ++i) {
            terms.salt = bytes32(i);
            if (!onePayee) terms.payee = makeAddr(string.concat("payee ", vm.toString(i)));
            bytes32 id = _open(terms);
            earlier[i] = _settlement(id, terms.unitPrice, 0);
            entries[i] = _settlement(id, outcomes * terms.unitPrice, 0);
        }
        _settle(_batch(_groupOf(terms), earlier));
        _appendFiller(contracts * outcomes / 10);
        _settle(_batch(_groupOf(terms), entries));
    }

    function _appendFiller(uint256 count) private {
        for (uint256 i = 0; i < count; ++i) {
            tree.append(tree.fillerEntry());
        }
    }

    function _check(string memory name, uint256 limit) private {
        uint256 used = vm.snapshotGasLastCall("gas", name);
        assertEq(escrow.creditOf(address(token), payee), 0, "a payout failed");
        assertLt(used, limit, name);
        assertLt(used, TX_GAS_LIMIT);
    }
}
