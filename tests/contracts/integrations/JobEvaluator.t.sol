// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobFixture} from "../support/JobFixture.sol";
import {Wallet} from "../support/Wallet.sol";
import {Condition, JobEvaluator, JobEvaluators} from "contracts/integrations/JobEvaluator.sol";
import {IAgenticCommerce} from "contracts/interfaces/IAgenticCommerce.sol";
import {AgenticCommerce} from "contracts/local/AgenticCommerce.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Entry, MerkleLog} from "contracts/log/MerkleLog.sol";

contract JobEvaluatorTest is JobFixture {
    // ------------------------------------------------------------ the whole way

    function test_theLogCompletesTheJob() public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        bytes32 leaf = sha256(abi.encodePacked(bytes1(0), evidence.statement.entry));

        vm.expectEmit(address(commerce));
        emit IAgenticCommerce.JobCompleted(jobId, address(evaluator), leaf);
        _complete(jobId, evidence);

        _assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        uint256 fee = BUDGET * EVALUATOR_FEE_BPS / 10_000;
        assertEq(token.balanceOf(provider), BUDGET - fee);
        assertEq(token.balanceOf(address(commerce)), 0);
        assertEq(token.balanceOf(address(evaluator)), fee);

        vm.prank(stranger);
        evaluator.collect(token);
        assertEq(token.balanceOf(verifier.addr), fee, "the evaluator's fee is the verifier's");
        assertEq(token.balanceOf(address(evaluator)), 0);
    }

    function test_silenceRejectsTheJobAfterTheDeadline() public {
        uint256 jobId = _submitted();
        uint256 before = token.balanceOf(client);
        vm.warp(DEADLINE + 1);

        vm.expectEmit(address(commerce));
        emit IAgenticCommerce.JobRejected(jobId, address(evaluator), "not_settled_in_time");
        _reject(jobId);

        _assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
        assertEq(token.balanceOf(client), before + BUDGET);
    }

    /// The job may name the address before there is anything at it.
    function test_anEvaluatorIsCreatedWhenItIsNeeded() public {
        Condition memory condition = _condition();
        condition.subject = "another";
        JobEvaluator later = evaluators.evaluatorOf(condition);
        assertEq(address(later).code.length, 0);
        uint256 jobId = _submitted(address(later), address(0));
        Entry memory entry = _settlement(MINIMUM, 0);
        entry.subject = "another";
        Evidence memory evidence = _evidence(entry);

        vm.prank(stranger);
        evaluators.create(condition);
        _complete(later, jobId, evidence);
        _assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
    }

    function test_aVerifierMayBeAWallet() public {
        Wallet wallet = new Wallet(verifier.addr);
        Condition memory condition = _condition();
        condition.verifier = address(wallet);
        JobEvaluator its = evaluators.create(condition);
        Entry memory entry = _settlement(MINIMUM, 0);
        entry.actor = bytes32(uint256(uint160(address(wallet))));
        Evidence memory evidence = _evidence(entry);
        uint256 jobId = _submitted(address(its), address(0));

        wallet.setMode(Wallet.Mode.Refuses);
        vm.expectPartialRevert(JobEvaluator.NotSigned.selector);
        _complete(its, jobId, evidence);

        wallet.setMode(Wallet.Mode.Honest);
        _complete(its, jobId, evidence);
        _assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
    }

    // ------------------------------------------------------------ the condition

    function test_theConditionCanBeReadFromTheEvaluator() public view {
        assertEq(abi.encode(evaluator.condition()), abi.encode(_condition()));
        assertEq(address(evaluators.evaluatorOf(_condition())), address(evaluator));
        assertEq(address(evaluator.evaluators()), address(evaluators));
        assertEq(address(evaluator.eventLog()), address(eventLog));
    }

    /// So neither side can put another condition behind an evaluator that a job names.
    function testFuzz_anotherConditionIsAnotherEvaluator(uint8 field, uint64 by) public {
        Condition memory condition = _condition();
        by = uint64(bound(by, 1, 1e6));
        field = field % 7;
        if (field == 0) condition.commerce = address(new AgenticCommerce(token, 0));
        if (field == 1) condition.logId = eventLog.register("another", publisher);
        if (field == 2) condition.verifier = address(uint160(verifier.addr) + by);
        if (field == 3) condition.subject = bytes32(uint256(SUBJECT) ^ by);
        if (field == 4) condition.minimum += by;
        if (field == 5) condition.statedFrom += by;
        if (field == 6) condition.deadline += by;

        JobEvaluator another = evaluators.create(condition);
        assertNotEq(address(another), address(evaluator));
        assertEq(abi.encode(another.condition()), abi.encode(condition));
    }

    function test_creatingTwiceChangesNothing() public {
        Condition memory condition = _condition();
        condition.subject = "another";
        JobEvaluator expected = evaluators.evaluatorOf(condition);
        vm.expectEmit(address(evaluators));
        emit JobEvaluators.Created(address(expected), address(commerce), "another", condition);
        assertEq(address(evaluators.create(condition)), address(expected));

        vm.recordLogs();
        vm.prank(stranger);
        assertEq(address(evaluators.create(condition)), address(expected));
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_conditionsThatNothingMeetsHaveNoEvaluator() public {
        Condition memory condition = _condition();
        condition.commerce = stranger;
        _expectNoEvaluator(
            condition, abi.encodeWithSelector(JobEvaluators.NotAContract.selector, stranger)
        );

        condition = _condition();
        condition.logId = "unknown";
        bytes memory reason =
            abi.encodeWithSelector(JobEvaluators.UnknownLog.selector, bytes32("unknown"));
        _expectNoEvaluator(condition, reason);

        condition = _condition();
        condition.verifier = address(0);
        _expectNoEvaluator(condition, abi.encodePacked(JobEvaluators.ZeroVerifier.selector));

        condition = _condition();
        condition.minimum = 0;
        _expectNoEvaluator(condition, abi.encodePacked(JobEvaluators.ZeroMinimum.selector));

        condition = _condition();
        condition.deadline = condition.statedFrom - 1;
        reason = abi.encodeWithSelector(
            JobEvaluators.DeadlineBeforeStatements.selector, START, START - 1
        );
        _expectNoEvaluator(condition, reason);

        condition.deadline = condition.statedFrom;
        evaluators.create(condition);
    }

    function _expectNoEvaluator(Condition memory condition, bytes memory reason) private {
        vm.expectRevert(reason);
        evaluators.evaluatorOf(condition);
        vm.expectRevert(reason);
        evaluators.create(condition);
    }

    function test_theEventLogIsAContract() public {
        vm.expectRevert(abi.encodeWithSelector(JobEvaluators.NotAContract.selector, stranger));
        this.deploy(EventLog(stranger));
    }

    /// In a call of its own, whose revert is expected wherever forge makes contracts by a cheatcode.
    function deploy(EventLog eventLog_) external returns (JobEvaluators) {
        return new JobEvaluators(eventLog_);
    }

    /// No account can be paid or robbed by naming the code behind the evaluators.
    function test_theImplementationIsNoEvaluator() public {
        JobEvaluator implementation = evaluators.implementation();
        uint256 jobId = _submitted(address(implementation), address(0));
        Evidence memory evidence = _evidence();
        vm.expectRevert(JobEvaluator.NoCondition.selector);
        _complete(implementation, jobId, evidence);
        vm.expectRevert(JobEvaluator.NoCondition.selector);
        implementation.reject(jobId);
        vm.expectRevert(JobEvaluator.NoCondition.selector);
        implementation.collect(token);
        vm.expectRevert(JobEvaluator.NoCondition.selector);
        implementation.condition();
    }

    // ------------------------------------------------------------ what meets it

    function testFuzz_completesExactlyWhatReachesTheMinimum(
        uint80 earned,
        uint80 reversed,
        uint80 minimum
    ) public {
        reversed = uint80(bound(reversed, 0, earned));
        Condition memory condition = _condition();
        condition.minimum = uint80(bound(minimum, 1, type(uint80).max));
        JobEvaluator its = evaluators.create(condition);
        uint256 jobId = _submitted(address(its), address(0));
        Evidence memory evidence = _evidence(_settlement(earned, reversed));

        bool met = earned - reversed >= condition.minimum;
        if (!met) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    JobEvaluator.BelowMinimum.selector, condition.minimum, earned - reversed
                )
            );
        }
        _complete(its, jobId, evidence);
        _assertStatus(
            jobId, met ? IAgenticCommerce.JobStatus.Completed : IAgenticCommerce.JobStatus.Submitted
        );
    }

    function testFuzz_theValueIsEarnedMinusReversed(uint80 earned, uint80 reversed, uint256 value)
        public
    {
        vm.assume(earned < reversed || value != earned - reversed);
        Entry memory entry = _settlement(0, 0);
        entry.payload = bytes32(uint256(earned) << 176 | uint256(reversed) << 96);
        entry.value = value;
        _expectRefused(
            entry, abi.encodeWithSelector(JobEvaluator.WrongValue.selector, earned, reversed, value)
        );
    }

    function test_onlyASettlementCounts() public {
        bytes32[2] memory kinds = [bytes32("outcome"), "settlement2"];
        for (uint256 i = 0; i < kinds.length; ++i) {
            Entry memory entry = _settlement(MINIMUM, 0);
            entry.kind = kinds[i];
            _expectRefused(
                entry, abi.encodeWithSelector(JobEvaluator.NotASettlement.selector, kinds[i])
            );
        }
    }

    function test_onlyThisVerifierCounts() public {
        bytes32 right = _settlement(MINIMUM, 0).actor;
        // Others, and the address with something above it.
        uint256[3] memory wrong =
            [uint256(right) - 1, uint256(right) + 1, uint256(1) << 160 | uint256(right)];
        for (uint256 i = 0; i < wrong.length; ++i) {
            Entry memory entry = _settlement(MINIMUM, 0);
            entry.actor = bytes32(wrong[i]);
            _expectRefused(
                entry, abi.encodeWithSelector(JobEvaluator.WrongActor.selector, right, entry.actor)
            );
        }
    }

    function test_onlyThisSubjectCounts() public {
        uint256[2] memory wrong = [uint256(SUBJECT) - 1, uint256(SUBJECT) + 1];
        for (uint256 i = 0; i < wrong.length; ++i) {
            Entry memory entry = _settlement(MINIMUM, 0);
            entry.subject = bytes32(wrong[i]);
            _expectRefused(
                entry,
                abi.encodeWithSelector(JobEvaluator.WrongSubject.selector, SUBJECT, entry.subject)
            );
        }
    }

    function _expectRefused(Entry memory entry, bytes memory reason) private {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence(entry);
        vm.expectRevert(reason);
        _complete(jobId, evidence);
    }

    /// A client who is afraid of reversals does not let a passing peak count.
    function testFuzz_statementsFromBeforeDoNotCount(uint64 beforeMs) public {
        beforeMs = uint64(bound(beforeMs, 1, uint256(START) * 1000));
        Entry memory entry = _settlement(MINIMUM, 0);
        entry.timeMs = uint256(START) * 1000 - beforeMs;
        _expectRefused(
            entry,
            abi.encodeWithSelector(
                JobEvaluator.StatedTooEarly.selector, uint256(START) * 1000, entry.timeMs
            )
        );
    }

    function testFuzz_fromTheFirstMillisecondOnTheyDo(uint64 laterMs) public {
        uint64[3] memory times = [0, 1, uint64(bound(laterMs, 0, 20 days * 1000))];
        Condition memory condition = _condition();
        condition.deadline = START + 20 days;
        vm.warp(condition.deadline);
        evaluator = evaluators.create(condition);
        for (uint256 i = 0; i < times.length; ++i) {
            Entry memory entry = _settlement(MINIMUM, 0);
            entry.timeMs = uint256(START) * 1000 + times[i];
            uint256 jobId = _submitted();
            _complete(jobId, _evidence(entry));
            _assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        }
    }

    /// A date is the publisher's word. What it dates ahead of the chain completes nothing yet.
    function test_aStatementDatedAheadWaitsForItsDate() public {
        Condition memory condition = _condition();
        condition.statedFrom = START + 10 days; // "a client that expects reversals sets it late"
        JobEvaluator later = evaluators.create(condition);
        uint256 jobId = _submitted(address(later), address(0));
        vm.warp(START + 1 days);
        Entry memory entry = _settlement(MINIMUM, 0);
        entry.timeMs = uint256(condition.statedFrom) * 1000;
        Evidence memory evidence = _evidence(entry);
        vm.expectRevert(
            abi.encodeWithSelector(
                JobEvaluator.DatedAhead.selector, (START + 1 days + 60) * 1000, entry.timeMs
            )
        );
        _complete(later, jobId, evidence);
        _assertStatus(jobId, IAgenticCommerce.JobStatus.Submitted);

        vm.warp(condition.statedFrom - 61);
        vm.expectPartialRevert(JobEvaluator.DatedAhead.selector);
        _complete(later, jobId, evidence);
        vm.warp(condition.statedFrom - 60);
        _complete(later, jobId, evidence);
        _assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
    }

    /// The tolerance, to the millisecond, for any time of the chain.
    function testFuzz_aMinuteAheadIsTheMost(uint64 nowS, uint256 aheadMs) public {
        vm.warp(bound(nowS, START, DEADLINE));
        aheadMs = bound(aheadMs, 0, type(uint256).max - block.timestamp * 1000);
        Entry memory entry = _settlement(MINIMUM, 0);
        entry.timeMs = block.timestamp * 1000 + aheadMs;
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence(entry);
        if (aheadMs > 60_000) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    JobEvaluator.DatedAhead.selector, (block.timestamp + 60) * 1000, entry.timeMs
                )
            );
        }
        _complete(jobId, evidence);
    }

    // ------------------------------------------------------------ when

    /// At every moment exactly one of the two decisions is possible.
    function testFuzz_theDeadlineDividesTheDecisions(uint64 nowS) public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        vm.warp(bound(nowS, START, EXPIRY + 1 days));

        if (block.timestamp <= DEADLINE) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    JobEvaluator.DeadlineNotPassed.selector, DEADLINE, block.timestamp
                )
            );
            _reject(jobId);
            _complete(jobId, evidence);
            _assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        } else {
            vm.expectRevert(
                abi.encodeWithSelector(
                    JobEvaluator.DeadlinePassed.selector, DEADLINE, block.timestamp
                )
            );
            _complete(jobId, evidence);
            _reject(jobId);
            _assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
        }
    }

    function test_theLastSecondIsForCompleting() public {
        uint256 first = _submitted();
        uint256 second = _submitted();
        Evidence memory evidence = _evidence();
        vm.warp(DEADLINE);
        vm.expectPartialRevert(JobEvaluator.DeadlineNotPassed.selector);
        _reject(first);
        _complete(first, evidence);
        _assertStatus(first, IAgenticCommerce.JobStatus.Completed);

        vm.warp(DEADLINE + 1);
        vm.expectPartialRevert(JobEvaluator.DeadlinePassed.selector);
        _complete(second, evidence);
        _reject(second);
        _assertStatus(second, IAgenticCommerce.JobStatus.Rejected);
    }

    // ------------------------------------------------------------ in which state

    function test_onlyASubmittedJobIsCompleted() public {
        Evidence memory evidence = _evidence();
        uint256 jobId = _open(address(evaluator), address(0));
        _expectWrongStatus(IAgenticCommerce.JobStatus.Open);
        _complete(jobId, evidence);

        _fund(jobId);
        _expectWrongStatus(IAgenticCommerce.JobStatus.Funded);
        _complete(jobId, evidence);

        // What came too early succeeds once the provider has handed in its work.
        _submit(jobId);
        _complete(jobId, evidence);
        _expectWrongStatus(IAgenticCommerce.JobStatus.Completed);
        _complete(jobId, evidence);
        assertEq(token.balanceOf(address(commerce)), 0, "paid once");

        jobId = _open(address(evaluator), address(0));
        vm.prank(client);
        commerce.reject(jobId, "", "");
        _expectWrongStatus(IAgenticCommerce.JobStatus.Rejected);
        _complete(jobId, evidence);
    }

    function test_aFundedOrSubmittedJobIsRejected() public {
        uint256 open = _open(address(evaluator), address(0));
        uint256 funded = _open(address(evaluator), address(0));
        _fund(funded);
        uint256 submitted = _submitted();
        uint256 completed = _submitted();
        _complete(completed, _evidence());

        vm.warp(DEADLINE + 1);
        vm.expectRevert(
            abi.encodeWithSelector(AgenticCommerce.Unauthorized.selector, address(evaluator))
        );
        _reject(open);
        _reject(funded);
        _assertStatus(funded, IAgenticCommerce.JobStatus.Rejected);
        _reject(submitted);
        _assertStatus(submitted, IAgenticCommerce.JobStatus.Rejected);
        _expectWrongStatus(IAgenticCommerce.JobStatus.Rejected);
        _reject(submitted);
        _expectWrongStatus(IAgenticCommerce.JobStatus.Completed);
        _reject(completed);
    }

    function test_anExpiredJobIsOver() public {
        Condition memory condition = _condition();
        condition.deadline = EXPIRY + 1 days;
        JobEvaluator its = evaluators.create(condition);
        uint256 jobId = _submitted(address(its), address(0));
        Evidence memory evidence = _evidence();

        // What a provider should see before it works: this job need not wait for the deadline.
        vm.warp(EXPIRY);
        commerce.claimRefund(jobId);
        _expectWrongStatus(IAgenticCommerce.JobStatus.Expired);
        _complete(its, jobId, evidence);
        vm.warp(EXPIRY + 1 days + 1);
        _expectWrongStatus(IAgenticCommerce.JobStatus.Expired);
        its.reject(jobId);
    }

    function test_aJobOfAnotherEvaluatorIsLeftAlone() public {
        uint256 jobId = _submitted(stranger, address(0));
        Evidence memory evidence = _evidence();
        bytes memory reason =
            abi.encodeWithSelector(AgenticCommerce.Unauthorized.selector, address(evaluator));
        vm.expectRevert(reason);
        _complete(jobId, evidence);
        vm.warp(DEADLINE + 1);
        vm.expectRevert(reason);
        _reject(jobId);

        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.InvalidJob.selector, 99));
        _reject(99);
    }

    /// As the contract says: one fact, every job that names it.
    function test_oneStatementCompletesEveryJobUnderTheCondition() public {
        uint256 first = _submitted();
        uint256 second = _submitted();
        Evidence memory evidence = _evidence();
        _complete(first, evidence);
        _complete(second, evidence);
        _assertStatus(first, IAgenticCommerce.JobStatus.Completed);
        _assertStatus(second, IAgenticCommerce.JobStatus.Completed);
    }

    function _expectWrongStatus(IAgenticCommerce.JobStatus status) private {
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.WrongStatus.selector, status));
    }

    // ------------------------------------------------------------ proof

    function test_anAnchorIsNeeded() public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        ++evidence.size;
        vm.expectRevert(
            abi.encodeWithSelector(JobEvaluator.NotAnchored.selector, logId, evidence.size)
        );
        _complete(jobId, evidence);
    }

    /// The verifier has signed a tree that the publisher has never anchored.
    function test_theVerifierAloneCompletesNothing() public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence(_settlement(0, 0));
        Entry memory lie = _settlement(MINIMUM, 0);
        uint64 position = _append(lie);
        evidence.statement.position = evidence.first = position;
        evidence.statement.entry = abi.encode(lie);
        evidence.statement.proof = tree.inclusionProof(position, tree.size());
        _sign(evidence);
        vm.expectRevert(
            abi.encodeWithSelector(MerkleLog.RunOutsideTree.selector, position, 1, evidence.size)
        );
        _complete(jobId, evidence);

        evidence.size = uint64(tree.size());
        _sign(evidence);
        vm.expectRevert(
            abi.encodeWithSelector(JobEvaluator.NotAnchored.selector, logId, evidence.size)
        );
        _complete(jobId, evidence);
    }

    /// The publisher has anchored an entry that the verifier has not signed.
    function test_thePublisherAloneCompletesNothing() public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        evidence.signature =
            _signed(makeAccount("publisher"), _digest(evidence, address(evaluators), "1"));
        _expectNotSigned(evidence);
        _complete(jobId, evidence);
        evidence.signature = "";
        _expectNotSigned(evidence);
        _complete(jobId, evidence);
    }

    function testFuzz_everyBitOfTheEntryIsProven(uint16 bit) public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        evidence.statement.entry[bit % 256] ^= bytes1(uint8(1 << (bit / 256 % 8)));
        vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
        _complete(jobId, evidence);
    }

    function test_theProofIsOfOneEntryAtThisPosition() public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        evidence.statement.position = evidence.first = 0;
        _sign(evidence);
        vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
        _complete(jobId, evidence);

        evidence = _evidence();
        evidence.statement.entry = bytes.concat(evidence.statement.entry, new bytes(256));
        vm.expectPartialRevert(MerkleLog.EntriesNotWhole.selector);
        _complete(jobId, evidence);
    }

    // ------------------------------------------------------------ signature

    /// One signature for a batch of entries, as for a settlement.
    function testFuzz_theSignedRunCoversTheEntry(uint64 first, uint64 count) public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        uint64 position = evidence.statement.position;
        if (first % 2 == 0) first = uint64(bound(first, 0, position + 2));
        if (count % 2 == 0) count = uint64(bound(count, 0, 4));
        (evidence.first, evidence.count) = (first, count);
        _sign(evidence);

        bool covered = first <= position && uint256(first) + count > position;
        if (!covered) {
            vm.expectRevert(
                abi.encodeWithSelector(JobEvaluator.NotInSignedRun.selector, position, first, count)
            );
        }
        _complete(jobId, evidence);
        assertEq(
            commerce.statusOf(jobId) == IAgenticCommerce.JobStatus.Completed, covered, "completed"
        );
    }

    function test_anEmptyRunCoversNothing() public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        uint64 position = evidence.statement.position;
        assertNotEq(position, 0);
        (evidence.first, evidence.count) = (0, 0);
        _sign(evidence);
        vm.expectRevert(
            abi.encodeWithSelector(JobEvaluator.NotInSignedRun.selector, position, 0, 0)
        );
        _complete(jobId, evidence);
    }

    function testFuzz_theSignatureBindsTreeAndRun(uint8 field) public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        field = field % 3;
        if (field == 0) --evidence.first;
        if (field == 1) ++evidence.count;
        if (field == 2) {
            evidence.size = _grown();
            evidence.statement.proof =
                tree.inclusionProof(evidence.statement.position, evidence.size);
        }
        if (field == 0) ++evidence.count;
        _expectNotSigned(evidence);
        _complete(jobId, evidence);
    }

    function _grown() private returns (uint64) {
        _append(_settlement(0, 0));
        return _publish();
    }

    /// A signature for an escrow, where the statement could still be challenged, completes no job;
    /// nor does one for another version or another chain.
    function test_theSignatureIsOfThisDomain() public {
        uint256 jobId = _submitted();
        Evidence memory evidence = _evidence();
        evidence.signature = _signed(verifier, _digest(evidence, stranger, "1"));
        _expectNotSigned(evidence);
        _complete(jobId, evidence);

        evidence.signature = _signed(verifier, _digest(evidence, address(evaluator), "1"));
        _expectNotSigned(evidence);
        _complete(jobId, evidence);

        evidence.signature = _signed(verifier, _digest(evidence, address(evaluators), "2"));
        _expectNotSigned(evidence);
        _complete(jobId, evidence);

        _sign(evidence);
        vm.chainId(block.chainid + 1);
        _expectNotSigned(evidence);
        _complete(jobId, evidence);
    }

    function test_theDomainIsPublished() public view {
        (, string memory name, string memory version,, address verifyingContract,,) =
            evaluators.eip712Domain();
        assertEq(name, "Tallystick JobEvaluators");
        assertEq(version, "1");
        assertEq(verifyingContract, address(evaluators));
    }

    function _expectNotSigned(Evidence memory evidence) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                JobEvaluator.NotSigned.selector,
                _digest(evidence, address(evaluators), "1"),
                verifier.addr
            )
        );
    }
}
