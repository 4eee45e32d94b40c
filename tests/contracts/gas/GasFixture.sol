// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {TestTree} from "../support/TestTree.sol";
import {Meter} from "./Meter.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// An escrow on a day like any other: the log is a million entries long, and payee and fee recipient
/// have been paid before. Statements are the last entries that are anchored, as the pipeline has it;
/// the path of the millionth has 12 hashes.
abstract contract GasFixture is Fixture, Meter {
    uint256 internal constant MILLION = 1_000_000;
    uint256 private constant ROOM = 300; // for the entries of a test

    address internal fresh = makeAddr("fresh payee");

    function setUp() public virtual override {
        super.setUp();
        tree = new TestTree(MILLION - ROOM);
        _publish();
        _fund(owner.addr, 1000 * BUDGET);
        Terms memory terms = _plain();
        terms.salt = keccak256("the day before");
        bytes32 id = _open(terms);
        _settle(_batch(_groupOf(terms), _list(_settlement(id, PRICE, 0))));
    }

    function _plain() internal view returns (Terms memory terms) {
        terms = _terms();
        terms.salt = keccak256("salt");
    }

    /// A statement as the pipeline writes it.
    function _statement(bytes32 id, uint256 earned) internal view returns (Entry memory entry) {
        entry = _settlement(id, earned, 0);
        entry.label = "activated";
        entry.payload = bytes32(earned << 176 | (MILLION - ROOM) << 48);
    }

    /// These entries, the last of a million.
    function _lastBatch(Terms memory terms, Entry[] memory entries)
        internal
        returns (Batch memory batch)
    {
        _fill(MILLION - entries.length);
        return _nextBatch(terms, entries, MILLION);
    }

    /// These entries, and the log up to `size` behind them.
    function _nextBatch(Terms memory terms, Entry[] memory entries, uint256 size)
        internal
        returns (Batch memory batch)
    {
        batch.group = _groupOf(terms);
        batch.first = uint64(tree.size());
        for (uint256 i = 0; i < entries.length; ++i) {
            _append(entries[i]);
            batch.entries = bytes.concat(batch.entries, abi.encode(entries[i]));
        }
        batch.rules = _rulesOf(entries);
        _fill(size);
        batch.size = _publish();
        batch.proof = tree.runProof(batch.first, entries.length, batch.size);
        batch.signature = _sign(verifier, _verifiedDigest(batch));
    }

    function _fill(uint256 size) internal {
        while (tree.size() < size) {
            tree.append(tree.fillerEntry());
        }
    }

    function _settleCall(Batch memory batch) internal pure returns (bytes memory) {
        return abi.encodeCall(
            Settlements.settle,
            (
                batch.group,
                batch.size,
                batch.first,
                batch.entries,
                batch.rules,
                batch.proof,
                batch.signature
            )
        );
    }

    function _of(string memory name, bool known) internal pure returns (string memory) {
        return string.concat(name, known ? ", payee known" : ", payee fresh");
    }
}
