// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestTree} from "../support/TestTree.sol";
import {GasFixture} from "./GasFixture.sol";
import {Funding} from "contracts/escrow/Fundings.sol";
import {Openings} from "contracts/escrow/Openings.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// The plain path: anchor, open, settle, refund.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract SettleGasTest is GasFixture {
    uint256 private constant CONTRACTS = 100;
    uint256 private constant OUTCOMES = 100; // of each of them
    uint256 private constant ONE_TARGET = 89_156;
    uint256 private constant FIFTY_TARGET = 50 * 1_900;
    uint256 private constant MANY_TARGET = CONTRACTS * OUTCOMES * 200;
    uint256 private constant PUBLISH_TARGET = 90_000;
    uint256 private constant OPEN_TARGET = 300_000;

    enum Payees {
        One,
        Known,
        Fresh
    }

    // ------------------------------------------------------------ publish

    /// The log grows to a million.
    function test_gas_publish() public {
        bytes memory call = _publishCall(_grow(MILLION));
        _meter("publish", publisher.addr, address(eventLog), call, PUBLISH_TARGET);
    }

    function test_gas_publishBySignature() public {
        Checkpoint memory next = _grow(MILLION);
        bytes memory signature = _sign(publisher, _checkpointDigest(logId, next.size, next.root));
        bytes memory call = abi.encodeWithSignature(
            "publish(bytes32,uint64,bytes32,bytes32[],bytes)",
            logId,
            next.size,
            next.root,
            next.proof,
            signature
        );
        _meter("publish by signature", stranger, address(eventLog), call, PUBLISH_TARGET);
    }

    /// From an odd size past a power of two: no consistency proof at that size is longer.
    function test_gas_publishByTheLongestProof() public {
        tree = new TestTree(2 ** 20 - 1);
        logId = eventLog.register("longest proof", publisher.addr);
        _publish();
        Checkpoint memory next = _grow(2 ** 20 + 1);
        assertEq(next.proof.length, 22);
        _meter("publish, 22 hashes", publisher.addr, address(eventLog), _publishCall(next));
    }

    struct Checkpoint {
        uint64 size;
        bytes32 root;
        bytes32[] proof;
    }

    function _grow(uint256 to) private returns (Checkpoint memory next) {
        (uint64 last,,) = eventLog.latest(logId);
        _fill(to);
        return Checkpoint(uint64(to), tree.root(to), tree.consistencyProof(last, to));
    }

    function _publishCall(Checkpoint memory next) private view returns (bytes memory) {
        return abi.encodeWithSignature(
            "publish(bytes32,uint64,bytes32,bytes32[])", logId, next.size, next.root, next.proof
        );
    }

    // ------------------------------------------------------------ open

    function test_gas_open() public {
        Terms memory terms = _plain();
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes memory call = abi.encodeCall(Openings.open, (terms, _allowance(), a, b));
        _meter("open", stranger, address(escrow), call);
        assertEq(lens.statusOf(terms), "open");
    }

    /// The first contract for its outcome, of an owner that has approved its budget and no more.
    function test_gas_openFresh() public {
        Terms memory terms = _plain();
        (terms.outcome, terms.budget) = ("fresh", 10 * BUDGET);
        vm.prank(owner.addr);
        token.approve(address(escrow), terms.budget);
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes memory call = abi.encodeCall(Openings.open, (terms, _allowance(), a, b));
        _meter("open, first of its outcome", stranger, address(escrow), call, OPEN_TARGET);
        assertEq(token.allowance(owner.addr, address(escrow)), 0);
    }

    /// The same with every delay, arbiter and claims.
    function test_gas_openGuarded() public {
        Terms memory terms = _plain();
        (terms.arbiter, terms.challengePeriod) = (stranger, 1 days);
        (terms.holdbackBps, terms.holdbackPeriod) = (2_000, 30 days);
        (terms.rateCap, terms.ratePeriod) = (BUDGET, 1 days);
        (terms.claimPeriod, terms.grace) = (7 days, 4 days);
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes memory call = abi.encodeCall(Openings.open, (terms, _allowance(), a, b));
        _meter("open, guarded", stranger, address(escrow), call, OPEN_TARGET);
    }

    function test_gas_openWithPermit() public {
        vm.prank(owner.addr);
        token.approve(address(escrow), 0);
        Terms memory terms = _plain();
        Funding memory funding;
        (funding.path, funding.validBefore) = (1, block.timestamp);
        bytes32 digest = _digest(
            address(token),
            vm.eip712HashStruct(
                "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)",
                abi.encode(owner.addr, address(escrow), terms.budget, 0, block.timestamp)
            )
        );
        (funding.v, funding.r, funding.s) = vm.sign(owner.key, digest);
        bytes memory a = _sign(owner, _ownerConsent(terms, 1));
        bytes memory b = _sign(operator, _operatorConsent(terms));
        bytes memory call = abi.encodeCall(Openings.open, (terms, funding, a, b));
        _meter("open with permit", stranger, address(escrow), call);
        assertEq(lens.statusOf(terms), "open");
    }

    // ------------------------------------------------------------ settle

    function test_gas_settleOneContract() public {
        uint256[5] memory counts = [uint256(1), 10, 50, 256, 1000];
        for (uint256 i = 0; i < counts.length; ++i) {
            string memory outcomes = counts[i] == 1 ? " outcome" : " outcomes";
            string memory name = string.concat("settle ", vm.toString(counts[i]), outcomes);
            uint256 snapshot = vm.snapshotState();
            _settleOne(_of(name, true), payee, counts[i]);
            vm.revertToState(snapshot);
            _settleOne(_of(name, false), fresh, counts[i]);
            vm.revertToState(snapshot);
        }
    }

    function _settleOne(string memory name, address to, uint256 outcomes) private {
        Terms memory terms = _plain();
        (terms.payee, terms.budget) = (to, 1000 * PRICE);
        bytes32 id = _open(terms);
        Batch memory batch = _lastBatch(terms, _list(_statement(id, outcomes * PRICE)));
        uint256 gas = _meter(name, stranger, address(escrow), _settleCall(batch));
        if (to == payee && outcomes == 1) assertLe(gas, ONE_TARGET);
        if (to == payee && outcomes == 50) assertLe(gas, FIFTY_TARGET);
        assertEq(lens.paidOf(_t(id)), outcomes * PRICE);
        assertEq(escrow.creditOf(address(token), to), 0, "the payout failed");
    }

    /// The same in the worst place of a log of 2^20 entries, with a path of 20 hashes.
    function test_gas_settleByTheLongestPath() public {
        tree = new TestTree(2 ** 20 - 10);
        logId = eventLog.register("longest path", publisher.addr);
        Terms memory terms = _plain();
        bytes32 id = _open(terms);
        Batch memory batch = _nextBatch(terms, _list(_statement(id, PRICE)), 2 ** 20);
        assertEq(batch.proof.length, 20);
        string memory name = "settle 1 outcome, payee known, 20 hashes";
        _meter(name, stranger, address(escrow), _settleCall(batch));
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    function test_gas_settleFiftyContracts_onePayee() public {
        _settleMany("settle 50 x 1 outcomes, one payee known", Payees.One, 50, 1);
    }

    function test_gas_settleHundredContracts_onePayee() public {
        uint256 gas = _settleHundred("settle 100 x 100 outcomes, one payee known", Payees.One);
        assertLe(gas, MANY_TARGET);
    }

    /// Above the target: see docs/benchmarks.md.
    function test_gas_settleHundredContracts_knownPayees() public {
        _settleHundred("settle 100 x 100 outcomes, 100 payees known", Payees.Known);
    }

    function test_gas_settleHundredContracts_freshPayees() public {
        _settleHundred("settle 100 x 100 outcomes, 100 payees fresh", Payees.Fresh);
    }

    function _settleHundred(string memory name, Payees payees) private returns (uint256 gas) {
        return _settleMany(name, payees, CONTRACTS, OUTCOMES);
    }

    function _settleMany(string memory name, Payees payees, uint256 contracts, uint256 outcomes)
        private
        returns (uint256 gas)
    {
        Terms memory terms = _plain();
        terms.unitPrice = 1e6;
        terms.budget = outcomes * terms.unitPrice;
        Entry[] memory entries = new Entry[](contracts);
        address[] memory to = new address[](contracts);
        for (uint256 i = 0; i < contracts; ++i) {
            terms.salt = keccak256(abi.encode(i));
            if (payees != Payees.One) {
                terms.payee = makeAddr(string.concat("payee ", vm.toString(i)));
            }
            if (payees == Payees.Known) token.mint(terms.payee, 1);
            to[i] = terms.payee;
            entries[i] = _statement(_open(terms), terms.budget);
        }
        Batch memory batch = _lastBatch(terms, entries);
        gas = _meter(name, stranger, address(escrow), _settleCall(batch));
        for (uint256 i = 0; i < contracts; ++i) {
            assertEq(lens.paidOf(_t(entries[i].subject)), terms.budget);
            assertEq(escrow.creditOf(address(token), to[i]), 0, "a payout failed");
        }
    }

    // ------------------------------------------------------------ end

    function test_gas_refund() public {
        Terms memory terms = _plain();
        bytes32 id = _open(terms);
        vm.warp(terms.deadline + terms.grace + 1);
        bytes memory call = abi.encodeCall(OutcomeEscrow.refund, (_t(id)));
        _meter("refund", stranger, address(escrow), call);
        assertEq(lens.statusOf(_t(id)), "refunded");
    }

    function test_gas_withdrawFees() public {
        uint256 fees = escrow.creditOf(address(token), feeRecipient);
        bytes memory call = abi.encodeCall(escrow.withdraw, (address(token), payee, fees));
        _meter("withdraw fees", feeRecipient, address(escrow), call);
        assertEq(escrow.creditOf(address(token), feeRecipient), 0);
    }
}
