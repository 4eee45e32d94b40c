// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../helpers/Fixture.sol";
import {TestTree} from "../helpers/TestTree.sol";
import {LogBook} from "./LogBook.sol";
import {Evidence} from "contracts/Evidence.sol";
import {Exhibit} from "contracts/libraries/Case.sol";
import {Entry} from "contracts/libraries/MerkleLog.sol";
import {Terms} from "contracts/libraries/Terms.sol";

/// Whole-transaction gas of the dearest disproof in a log of 2^30 entries, in the real escrow: four
/// entries that retire the verifier of a pending statement. Beside it EIP-7623's floor, which the
/// calldata alone costs.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract EvidenceGasTest is Fixture, LogBook {
    uint256 private constant FILLER = 2 ** 30 - 64;
    uint256 private constant LIMIT = 255_000;

    Account private bob = makeAccount("bob");

    function setUp() public override {
        super.setUp();
        tree = new TestTree(FILLER);
        (book, base) = (tree, FILLER);
    }

    function _deal() internal view override returns (Terms memory) {
        return _terms();
    }

    function _termsOf(bytes32 id) internal view override returns (Terms memory) {
        return escrow.termsOf(id);
    }

    function test_gas_disproveByFourEntries() public {
        (bytes32 mine, bytes32 rival, Exhibit[] memory shown, uint64 size) = _beaten();
        bytes memory call =
            abi.encodeCall(Evidence.disprove, (escrow, mine, "rival", size, shown, rival, opening));
        assertEq(shown[0].proof.length, 30);
        (bool isDone,) = escrow.evidence().call(call);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        assertTrue(isDone && escrow.isRetired(mine));
        emit log_named_uint("disprove by four entries", used);
        emit log_named_uint("the floor for its calldata", _floor(call));
        assertLt(used, LIMIT);
        assertGe(used, _floor(call));
    }

    /// 21,000 and 10 gas a token: 1 for a zero byte, 4 for any other (EIP-7623).
    function _floor(bytes memory data) private pure returns (uint256 gas) {
        gas = 21_000;
        for (uint256 i = 0; i < data.length; ++i) {
            gas += data[i] == 0 ? 10 : 40;
        }
    }

    /// An outcome of mine, though bob's touch was later.
    function _beaten()
        private
        returns (bytes32 mine, bytes32 rival, Exhibit[] memory shown, uint64 size)
    {
        Terms memory terms = _terms();
        terms.challengePeriod = 2 days;
        mine = _contractId(terms);
        escrow.open(terms, _sign(owner, mine), _sign(operator, mine));
        terms.operator = bob.addr;
        rival = _contractId(terms);
        escrow.open(terms, _sign(owner, rival), _sign(bob, rival));
        Entry memory entry = Entry(
            "contract.opened",
            terms.surface,
            _word(owner.addr),
            rival,
            terms.outcome,
            terms.budget,
            _ms(0),
            keccak256("transaction")
        );
        uint256 opened = _write(entry);
        uint256 touch = _touch(operator.addr, 100);
        uint256 his = _touch(bob.addr, 200);
        uint256 transition = _transition(300);
        uint256 outcome = _outcome(mine, transition, touch);
        uint256 index = _write(_settlementEntry(mine));
        while (tree.size() < 2 ** 30) {
            tree.append(tree.fillerEntry());
        }
        Batch memory batch;
        batch.group = _groupOf(terms);
        batch.first = uint64(index);
        batch.entries = abi.encode(entries[index - base]);
        batch.size = _publish();
        batch.proof = tree.runProof(index, 1, batch.size);
        batch.signature = _sign(verifier, _verifiedDigest(batch));
        _settle(batch);
        size = batch.size;
        shown = _exhibits(_show(outcome, his, opened, transition));
    }
}
