// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestTree} from "./TestTree.sol";
import {Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {Condition, JobEvaluator, JobEvaluators} from "contracts/integrations/JobEvaluator.sol";
import {IAgenticCommerce} from "contracts/interfaces/IAgenticCommerce.sol";
import {AgenticCommerce} from "contracts/local/AgenticCommerce.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Test} from "forge-std/Test.sol";

/// A log, a job contract, the evaluators, and the accounts around them. The EIP-712 type and domain
/// are typed again here, so that a slip in the contracts' own is seen.
abstract contract JobFixture is Test {
    string internal constant VERIFIED_TYPE =
        "Verified(bytes32 logId,uint64 size,bytes32 root,uint64 first,uint64 count)";

    uint64 internal constant START = 1_800_000_000;
    uint64 internal constant DEADLINE = START + 14 days;
    uint64 internal constant EXPIRY = START + 21 days;
    uint80 internal constant MINIMUM = 80e6;
    uint256 internal constant BUDGET = 100e6;
    uint256 internal constant EVALUATOR_FEE_BPS = 200;
    bytes32 internal constant SUBJECT = keccak256("contract");

    Account internal verifier = makeAccount("verifier");
    address internal publisher = makeAddr("publisher");
    address internal client = makeAddr("client");
    address internal provider = makeAddr("provider");
    address internal stranger = makeAddr("stranger");

    EventLog internal eventLog;
    TestStablecoin internal token;
    TestTree internal tree;
    AgenticCommerce internal commerce;
    JobEvaluators internal evaluators;
    JobEvaluator internal evaluator; // of _condition()
    bytes32 internal logId;

    /// The arguments that a caller of `complete` brings.
    struct Evidence {
        uint64 size;
        Exhibit statement;
        uint64 first;
        uint64 count;
        bytes signature;
    }

    function setUp() public virtual {
        vm.warp(START);
        eventLog = new EventLog();
        token = new TestStablecoin();
        tree = new TestTree(1); // the filler is the genesis entry
        commerce = new AgenticCommerce(token, EVALUATOR_FEE_BPS);
        evaluators = new JobEvaluators(eventLog);
        logId = eventLog.register("tallystick.example/surface", publisher);
        evaluator = evaluators.create(_condition());
        token.mint(client, 100 * BUDGET);
        vm.prank(client);
        token.approve(address(commerce), type(uint256).max);
    }

    function _condition() internal view returns (Condition memory) {
        return Condition({
            commerce: address(commerce),
            logId: logId,
            verifier: verifier.addr,
            subject: SUBJECT,
            minimum: MINIMUM,
            statedFrom: START,
            deadline: DEADLINE
        });
    }

    // ------------------------------------------------------------ jobs

    function _open(address evaluator_, address hook) internal returns (uint256 jobId) {
        vm.startPrank(client);
        jobId = commerce.createJob(provider, evaluator_, EXPIRY, "eighty sign-ups", hook);
        commerce.setBudget(jobId, BUDGET, "");
        vm.stopPrank();
    }

    function _fund(uint256 jobId) internal {
        vm.prank(client);
        commerce.fund(jobId, BUDGET, "");
    }

    function _submit(uint256 jobId) internal {
        vm.prank(provider);
        commerce.submit(jobId, "deliverable", "");
    }

    function _submitted(address evaluator_, address hook) internal returns (uint256 jobId) {
        jobId = _open(evaluator_, hook);
        _fund(jobId);
        _submit(jobId);
    }

    function _submitted() internal returns (uint256) {
        return _submitted(address(evaluator), address(0));
    }

    function _assertStatus(uint256 jobId, IAgenticCommerce.JobStatus expected) internal view {
        assertEq(uint8(commerce.statusOf(jobId)), uint8(expected), "status");
    }

    // ------------------------------------------------------------ log

    function _settlement(uint256 earned, uint256 reversed)
        internal
        view
        returns (Entry memory entry)
    {
        entry.kind = "settlement";
        entry.surface = keccak256("surface");
        entry.actor = bytes32(uint256(uint160(verifier.addr)));
        entry.subject = SUBJECT;
        entry.value = earned - reversed;
        entry.timeMs = block.timestamp * 1000;
        entry.payload = bytes32(earned << 176 | reversed << 96 | uint256(41) << 48 | 7);
    }

    function _append(Entry memory entry) internal returns (uint64) {
        return uint64(tree.append(abi.encode(entry)));
    }

    function _publish() internal returns (uint64 size) {
        size = uint64(tree.size());
        (uint64 last,,) = eventLog.latest(logId);
        bytes32[] memory proof = tree.consistencyProof(last, size);
        bytes32 root = tree.root(size);
        vm.prank(publisher);
        eventLog.publish(logId, size, root, proof);
    }

    /// This entry among others, anchored, and the verifier's signature for it alone.
    function _evidence(Entry memory entry) internal returns (Evidence memory evidence) {
        uint64 position = _append(entry);
        _append(_settlement(0, 0));
        evidence.size = _publish();
        evidence.statement =
            Exhibit(position, abi.encode(entry), "", tree.inclusionProof(position, evidence.size));
        (evidence.first, evidence.count) = (position, 1);
        _sign(evidence);
    }

    function _evidence() internal returns (Evidence memory) {
        return _evidence(_settlement(MINIMUM, 0));
    }

    function _sign(Evidence memory evidence) internal view {
        evidence.signature = _signed(verifier, _digest(evidence, address(evaluators), "1"));
    }

    function _digest(Evidence memory evidence, address verifyingContract, string memory version)
        internal
        view
        returns (bytes32)
    {
        bytes memory message = abi.encode(
            logId, evidence.size, tree.root(evidence.size), evidence.first, evidence.count
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Tallystick JobEvaluators"),
                keccak256(bytes(version)),
                block.chainid,
                verifyingContract
            )
        );
        return
            keccak256(
                abi.encodePacked(hex"1901", domain, vm.eip712HashStruct(VERIFIED_TYPE, message))
            );
    }

    function _signed(Account memory signer, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signer.key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _complete(JobEvaluator by, uint256 jobId, Evidence memory evidence) internal {
        vm.prank(stranger);
        by.complete(
            jobId,
            evidence.size,
            evidence.statement,
            evidence.first,
            evidence.count,
            evidence.signature
        );
    }

    function _complete(uint256 jobId, Evidence memory evidence) internal {
        _complete(evaluator, jobId, evidence);
    }

    function _reject(uint256 jobId) internal {
        vm.prank(stranger);
        evaluator.reject(jobId);
    }
}
