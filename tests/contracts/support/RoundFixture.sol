// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "./Fixture.sol";
import {Rounds} from "contracts/escrow/Rounds.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// What is signed for a round, before anything of it is anchored.
abstract contract RoundFixture is Fixture {
    Rounds internal rounds;

    function setUp() public virtual override {
        super.setUp();
        rounds = new Rounds(escrow, eventLog);
    }

    /// All there is, signed by the publisher and proven from the last anchor.
    function _checkpoint() internal view returns (Rounds.Checkpoint memory checkpoint) {
        uint64 size = uint64(tree.size());
        (uint64 last,,) = eventLog.latest(logId);
        checkpoint.logId = logId;
        (checkpoint.size, checkpoint.root) = (size, tree.root(size));
        checkpoint.proof = tree.consistencyProof(last, size);
        checkpoint.signature = _sign(publisher, _checkpointDigest(logId, size, checkpoint.root));
    }

    /// All there is, anchored already: neither proof nor signature is needed.
    function _anchored() internal view returns (Rounds.Checkpoint memory checkpoint) {
        (uint64 size, bytes32 root,) = eventLog.latest(logId);
        (checkpoint.logId, checkpoint.size, checkpoint.root) = (logId, size, root);
    }

    /// These entries of all there is, signed by the verifier.
    function _run(Terms memory terms, uint64 first, bytes memory entries)
        internal
        view
        returns (Rounds.Run memory run)
    {
        uint64 size = uint64(tree.size());
        (run.group, run.size) = (_groupOf(terms), size);
        (run.first, run.entries) = (first, entries);
        uint256 count = entries.length / 256;
        Entry[] memory decoded = new Entry[](count);
        for (uint256 i = 0; i < count; ++i) {
            decoded[i] = _entryAt(entries, i);
        }
        run.rules = _rulesOf(decoded);
        run.proof = tree.runProof(first, count, size);
        bytes memory message = abi.encode(terms.logId, size, tree.root(size), first, count);
        run.signature =
            _sign(verifier, _digest(address(escrow), vm.eip712HashStruct(VERIFIED_TYPE, message)));
    }

    function _entryAt(bytes memory entries, uint256 i) private pure returns (Entry memory entry) {
        assembly ("memory-safe") {
            entry := add(add(entries, 32), mul(i, 256)) // eight words, in memory as encoded
        }
    }
}
