// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {TestTree} from "../support/TestTree.sol";
import {EventLog} from "contracts/log/EventLog.sol";

/// Publishers, former publishers and forgers at one log. The honest tree and a fork of it grow side
/// by side; a publisher may show either. The handler keeps its own record of what was accepted.
contract EventLogHandler is Fixture {
    uint256 private constant KEYS = 3;

    struct Accepted {
        uint64 size;
        bytes32 root;
    }

    TestTree private _fork = new TestTree(0);
    Account[KEYS] private _keys;
    uint256 private _publisher; // index of the key
    uint256 private _previous;
    uint256 private _previousUntil;

    bool private _forked;
    uint64 private _sizeAtFork;

    Accepted[] private _accepted;
    string public broken;
    mapping(bytes32 what => uint256) public counts;

    constructor() {
        setUp();
        for (uint256 i = 0; i < KEYS; ++i) {
            _keys[i] = makeAccount(string.concat("key ", vm.toString(i)));
        }
        logId = eventLog.register("handler", _keys[0].addr);
        _fork.append(abi.encode("another genesis", 0, 0, 0, 0, 0));
        for (uint256 i = 0; i < 3; ++i) {
            tree.append(abi.encode("entry", i, i, i, i, i));
            _fork.append(abi.encode("entry", i, i, i, i, i));
        }
    }

    // ------------------------------------------------------------ actions

    function append(uint256 seed) external {
        seed = _mix(seed);
        for (uint256 i = 0; i <= seed % 4; ++i) {
            bytes memory entry = abi.encode("entry", seed, i, i, i, i);
            tree.append(entry);
            _fork.append(entry); // the fork differs in its first entry alone
        }
    }

    function warp(uint256 seed) external {
        vm.warp(block.timestamp + bound(seed, 1, 4 days));
    }

    /// An honest checkpoint with its proof, by any key, directly or by signature.
    function publish(uint256 seed) external {
        seed = _mix(seed);
        uint256 key = seed % KEYS;
        (uint64 last,,) = eventLog.latest(logId);
        uint64 size = uint64(bound(seed >> 8, 1, tree.size()));
        bytes32[] memory proof = last < size ? tree.consistencyProof(last, size) : new bytes32[](0);
        bool may = _answers(key);
        if (_publish(key, size, tree.root(size), proof, seed >> 128 & 1 == 0)) {
            if (!may) _break("I13: a stranger's checkpoint was accepted");
            if (size <= last) _break("I12: the size did not grow");
            if (_forked) _break("I15: a forked log was anchored");
            ++counts["published"];
        } else if (may && size > last && !_forked) {
            _break("L1: a valid checkpoint was refused");
        }
    }

    /// A checkpoint that is no extension of the last, with every kind of proof, by the publisher.
    function forge(uint256 seed) external {
        seed = _mix(seed);
        (uint64 last,,) = eventLog.latest(logId);
        if (last == 0) return;
        uint64 size = uint64(bound(seed >> 8, 1, _fork.size()));
        bytes32 root = _fork.root(size);
        bytes32[] memory proof = new bytes32[](0);
        uint256 how = seed % 5;
        if (how == 0 && last < size) proof = _fork.consistencyProof(last, size);
        if (how == 1 && last < size) proof = tree.consistencyProof(last, size);
        if (how == 2) proof = _fork.inclusionProof(0, size);
        if (how == 3) {
            root = keccak256(abi.encode(seed));
            if (last < size) proof = tree.consistencyProof(last, size);
        }
        if (how == 4) {
            proof = new bytes32[](seed >> 16 & 31);
            for (uint256 i = 0; i < proof.length; ++i) {
                proof[i] = i % 2 == 0 ? root : tree.root(last);
            }
        }
        if (_publish(_publisher, size, root, proof, seed >> 128 & 1 == 0)) {
            _break("I13: a forgery was accepted");
        }
        ++counts["forged"];
    }

    function handOver(uint256 seed) external {
        seed = _mix(seed);
        uint256 next = seed % KEYS;
        vm.prank(_keys[_publisher].addr);
        try eventLog.offerPublisher(logId, _keys[next].addr) {} catch {}
        vm.prank(_keys[next].addr);
        try eventLog.acceptPublisher(logId) {
            (_previous, _previousUntil) = (_publisher, block.timestamp + 7 days);
            _publisher = next;
            ++counts["handed over"];
        } catch {}
    }

    /// Two roots of one size, each anchored or signed by some key, shown as a fork. Seldom by those
    /// who may: what is forked stays so for the rest of the run.
    function reportFork(uint256 seed) external {
        seed = _mix(seed);
        (uint256 one, uint256 two) = (seed % KEYS, (seed >> 8) % KEYS);
        uint64 size = uint64(bound(seed >> 16, 1, tree.size()));
        (bytes32 a, bytes32 b) = (tree.root(size), _fork.root(size));
        bool isFork = (_answers(one) || eventLog.rootAt(logId, size) == a) && _answers(two);
        if (isFork && !_forked && seed >> 128 & 7 != 0) return;
        try eventLog.reportFork(
            logId,
            size,
            a,
            _sign(_keys[one], _checkpointDigest(logId, size, a)),
            b,
            _sign(_keys[two], _checkpointDigest(logId, size, b))
        ) {
            if (!isFork) _break("I15: another key forked the log");
            if (_forked) _break("I15: a log was forked twice");
            _forked = true;
            (_sizeAtFork,,) = eventLog.latest(logId);
            ++counts["forked"];
        } catch {
            if (isFork && !_forked) _break("L1: a fork was not marked");
        }
    }

    /// True for a key whose signature counts: the publisher's, or that of the one before in time.
    function _answers(uint256 key) private view returns (bool) {
        return key == _publisher || (key == _previous && block.timestamp <= _previousUntil);
    }

    // ------------------------------------------------------------ for the invariants

    /// True while a fork and its mark go together, and the log has not grown since.
    function isForkHonoured() external view returns (bool) {
        (uint64 size,,) = eventLog.latest(logId);
        if (!_forked) return eventLog.forkedAt(logId) == 0;
        return eventLog.forkedAt(logId) != 0 && size == _sizeAtFork;
    }

    function accepted() external view returns (Accepted[] memory) {
        return _accepted;
    }

    function theLog() external view returns (EventLog, bytes32) {
        return (eventLog, logId);
    }

    function honestRoot(uint64 size) external view returns (bytes32) {
        return tree.root(size);
    }

    function _publish(
        uint256 key,
        uint64 size,
        bytes32 root,
        bytes32[] memory proof,
        bool bySignature
    ) private returns (bool) {
        bytes memory call = bySignature
            ? abi.encodeWithSignature(
                "publish(bytes32,uint64,bytes32,bytes32[],bytes)",
                logId,
                size,
                root,
                proof,
                _sign(_keys[key], _checkpointDigest(logId, size, root))
            )
            : abi.encodeWithSignature(
                "publish(bytes32,uint64,bytes32,bytes32[])", logId, size, root, proof
            );
        vm.prank(bySignature ? stranger : _keys[key].addr);
        (bool success,) = address(eventLog).call(call);
        if (success) _accepted.push(Accepted(size, root));
        return success;
    }

    /// The fuzzer likes small numbers, whose upper bits are all alike.
    function _mix(uint256 seed) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed)));
    }

    function _break(string memory what) private {
        if (bytes(broken).length == 0) broken = what;
    }
}
