// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "./Fixture.sol";
import {Snapshot} from "contracts/escrow/PayableAmounts.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Statements} from "contracts/escrow/Statements.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {Exhibit} from "contracts/evidence/EvidenceTypes.sol";
import {IEvidenceTarget} from "contracts/interfaces/IEvidenceTarget.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {Vm} from "forge-std/Vm.sol";

/// The same world for guarded contracts: an arbiter, statements that wait, and the touches and
/// transitions of claims.
abstract contract GuardedFixture is Fixture {
    uint64 internal constant CHALLENGE = 1 days;
    uint64 internal constant ARBITRATION = 2 days;
    uint64 internal constant CLAIMS = 7 days;

    /// The pending statement.
    struct Waiting {
        uint256 earned;
        uint256 reversed;
        uint64 position;
        uint64 resolvesAt;
        bool ownerDisputed;
        bool operatorDisputed;
    }

    Account internal arbiter = makeAccount("arbiter");
    Evidence internal evidence;
    uint64 internal lastStated; // position

    function setUp() public virtual override {
        super.setUp();
        evidence = Evidence(escrow.evidence());
    }

    // ------------------------------------------------------------ terms

    /// With a challenge period and an arbiter; T2 is 19 days after START.
    function _guarded() internal view returns (Terms memory terms) {
        terms = _terms();
        terms.arbiter = arbiter.addr;
        terms.challengePeriod = CHALLENGE;
        terms.arbitrationPeriod = ARBITRATION;
        terms.grace = terms.lateness + CHALLENGE + ARBITRATION + 1 days;
    }

    /// The same with claims; T3 is 26 days, T4 33 days after START.
    function _claimable() internal view returns (Terms memory terms) {
        terms = _guarded();
        terms.claimPeriod = CLAIMS;
    }

    function _t2(Terms memory terms) internal pure returns (uint64) {
        return terms.deadline + terms.grace;
    }

    function _t3(Terms memory terms) internal pure returns (uint64) {
        return _t2(terms) + terms.claimPeriod;
    }

    function _t4(Terms memory terms) internal pure returns (uint64) {
        uint64 shown = terms.deadline + terms.lateness + terms.holdbackPeriod + 1 days;
        if (terms.claimPeriod == 0) return _t3(terms);
        uint64 until = _t3(terms) + terms.claimPeriod;
        return until < shown ? shown : until;
    }

    // ------------------------------------------------------------ statements

    /// Brings one statement, which must be taken. Returns its position.
    function _state(Terms memory terms, uint256 earned, uint256 reversed)
        internal
        returns (uint64 position)
    {
        Batch memory batch = _batch(
            _groupOf(terms), _list(_settlement(_contractId(terms), earned, reversed))
        );
        assertEq(_settleForReason(batch), 0, "the statement is taken");
        return lastStated = batch.first;
    }

    /// Brings one statement, which must be refused for this reason.
    function _refused(Terms memory terms, uint256 earned, uint256 reversed, bytes32 reason)
        internal
        returns (uint64 position)
    {
        Batch memory batch = _batch(
            _groupOf(terms), _list(_settlement(_contractId(terms), earned, reversed))
        );
        assertEq(_settleForReason(batch), reason);
        return batch.first;
    }

    /// The reason why a batch's only entry was refused; zero if it was taken.
    function _settleForReason(Batch memory batch) internal returns (bytes32 reason) {
        vm.recordLogs();
        _settle(batch);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == Settlements.Refused.selector) {
                (, reason) = abi.decode(logs[i].data, (uint64, bytes32));
            }
        }
    }

    /// States it and lets its time pass, so that it is final.
    function _stateFinal(Terms memory terms, uint256 earned, uint256 reversed)
        internal
        returns (uint64 position)
    {
        position = _state(terms, earned, reversed);
        if (terms.challengePeriod != 0) skip(terms.challengePeriod + 1);
    }

    function _pending(bytes32 id) internal view returns (Waiting memory waiting) {
        Snapshot memory snapshot = lens.snapshotOf(_t(id));
        (waiting.earned, waiting.reversed) = (snapshot.pendingEarned, snapshot.pendingReversed);
        waiting.position = uint64(snapshot.pendingPosition);
        waiting.resolvesAt = uint64(snapshot.resolvesAt);
        waiting.ownerDisputed = snapshot.ownerDisputed;
        waiting.operatorDisputed = snapshot.operatorDisputed;
    }

    /// By this party, the statement that was taken last.
    function _dispute(address by, bytes32 id) internal {
        vm.prank(by);
        escrow.dispute(_t(id), lastStated);
    }

    /// On the statement that was taken last.
    function _rule(bytes32 id, uint256 payableAmount) internal {
        vm.prank(arbiter.addr);
        escrow.rule(_t(id), lastStated, payableAmount);
    }

    function _notPending(uint64 position, uint64 pendingPosition)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(Statements.NotPending.selector, position, pendingPosition);
    }

    bytes private _expected;

    /// The next close, claim or refutation must revert with this; a bare selector stands for any arguments.
    function _expectNext(bytes memory revertData) internal {
        _expected = revertData;
    }

    function _expectAsSaid() internal {
        if (_expected.length == 4) vm.expectPartialRevert(bytes4(_expected));
        else if (_expected.length != 0) vm.expectRevert(_expected);
        delete _expected;
    }

    /// Both sign, and a stranger brings it.
    function _close(bytes32 id, uint256 payableAmount) internal {
        uint64 until = uint64(block.timestamp);
        bytes memory ownerSignature =
            _sign(owner, _closeDigest(owner.addr, id, payableAmount, until));
        bytes memory operatorSignature =
            _sign(operator, _closeDigest(operator.addr, id, payableAmount, until));
        _expectAsSaid();
        vm.prank(stranger);
        escrow.close(
            _t(id), payableAmount, uint64(block.timestamp), ownerSignature, operatorSignature
        );
    }

    /// As Evidence does once it has judged.
    function _retire(bytes32 id) internal {
        vm.prank(address(evidence));
        escrow.retire(_t(id), "sum");
    }

    // ------------------------------------------------------------ the log

    /// An entry in the log: its place and its bytes.
    struct Written {
        uint64 position;
        bytes entry;
    }

    function _write(Entry memory entry) internal returns (Written memory) {
        bytes memory encoded = abi.encode(entry);
        return Written(_append(entry), encoded);
    }

    function _touch(bytes32 lead, uint64 timeS) internal returns (Written memory) {
        return _touch(operator.addr, lead, timeS);
    }

    function _touch(address by, bytes32 lead, uint64 timeS) internal returns (Written memory) {
        Entry memory entry;
        entry.kind = "touch";
        entry.surface = keccak256("surface");
        entry.actor = bytes32(uint256(uint160(by)));
        entry.subject = lead;
        entry.label = "email";
        entry.timeMs = uint256(timeS) * 1000;
        entry.payload = keccak256("touch opening");
        return _write(entry);
    }

    function _transition(bytes32 lead, uint64 timeS) internal returns (Written memory) {
        Entry memory entry;
        entry.kind = "lead.transition";
        entry.surface = keccak256("surface");
        entry.actor = bytes32(uint256(uint160(owner.addr)));
        entry.subject = lead;
        entry.label = "activated";
        entry.value = 5000;
        entry.timeMs = uint256(timeS) * 1000;
        entry.payload = keccak256("transition opening");
        return _write(entry);
    }

    /// The verifier's entry about a transition: `kind` is outcome, outcome.over or outcome.refused.
    function _answer(bytes32 kind, bytes32 id, bytes32 lead, Written memory transition)
        internal
        returns (Written memory)
    {
        Entry memory entry;
        entry.kind = kind;
        entry.surface = keccak256("surface");
        entry.actor = id;
        entry.subject = lead;
        entry.label = "activated";
        entry.payload = bytes32(uint256(transition.position) << 216);
        return _write(entry);
    }

    /// The size of the checkpoint that has all of the log.
    function _anchored() internal returns (uint64 size) {
        (size,,) = eventLog.latest(logId);
        if (size != tree.size()) size = _publish();
    }

    function _exhibit(Written memory written) internal view returns (Exhibit memory) {
        (uint64 size,,) = eventLog.latest(logId);
        return
            Exhibit(
                written.position, written.entry, "", tree.inclusionProof(written.position, size)
            );
    }

    function _claim(bytes32 id, Written memory transition, Written memory touch)
        internal
        returns (bytes32 key)
    {
        uint64 size = _anchored();
        (Exhibit memory a, Exhibit memory b) = (_exhibit(transition), _exhibit(touch));
        _expectAsSaid();
        vm.prank(operator.addr);
        return evidence.claim(IEvidenceTarget(address(escrow)), _t(id), size, a, b);
    }

    /// A lead with a touch and a transition, claimed.
    function _claimLead(Terms memory terms, bytes32 lead) internal returns (bytes32 key) {
        Written memory touch = _touch(lead, terms.opensAt + 100);
        Written memory transition = _transition(lead, terms.opensAt + 200);
        return _claim(_contractId(terms), transition, touch);
    }

    function _claimLeads(Terms memory terms, uint256 count) internal {
        for (uint256 i = 1; i <= count; ++i) {
            _claimLead(terms, bytes32(i));
        }
    }

    function _refute(bytes32 id, bytes32 key, bytes32 kind, Written memory written) internal {
        uint64 size = _anchored();
        Exhibit[] memory shown = new Exhibit[](1);
        shown[0] = _exhibit(written);
        _expectAsSaid();
        vm.prank(stranger);
        evidence.refute(
            IEvidenceTarget(address(escrow)), _t(id), key, kind, size, shown, _rivals(0)
        );
    }

    /// A stranger shows that the settlement entry of this batch is false. Those of `_settlement`
    /// are, in a short log: they name entries above themselves as their last.
    function _disprove(bytes32 id, Batch memory batch) internal {
        Exhibit[] memory shown = new Exhibit[](1);
        shown[0] = _exhibit(Written(batch.first, batch.entries));
        (uint64 size,,) = eventLog.latest(logId);
        vm.prank(stranger);
        evidence.disprove(IEvidenceTarget(address(escrow)), _t(id), "sum", size, shown, _rivals(0));
    }

    // ------------------------------------------------------------ what is seen

    /// Returns the escrow's balance for the contract: the token's balance less the credits, if it
    /// is the only contract and no other account has a credit.
    function _heldFor() internal view returns (uint256) {
        return token.balanceOf(address(escrow)) - escrow.creditOf(address(token), feeRecipient)
            - escrow.creditOf(address(token), payee) - escrow.creditOf(address(token), owner.addr);
    }

    /// Releases and returns the amount paid; it must be what `releasable` promised.
    function _release(bytes32 id) internal returns (uint256 amount) {
        uint256 promised = lens.releasable(_t(id));
        uint256 before = lens.paidOf(_t(id));
        escrow.release(_t(id));
        amount = lens.paidOf(_t(id)) - before;
        assertEq(amount, promised, "releasable");
    }

    /// Every view answers.
    function _look(bytes32 id) internal view {
        assertNotEq(escrow.openingNumberOf(id), 0);
        uint256 paid = lens.paidOf(_t(id));
        uint256 owed = lens.owed(_t(id));
        uint256 releasable = lens.releasable(_t(id));
        assertLe(releasable, owed, "no more is releasable than owed");
        assertLe(paid + owed, _t(id).budget, "no more is owed than escrowed");
        assertLe(_lastFinal(id), _lastSigned(id));
        if (releasable != 0 && releasable < owed) assertGt(lens.releasableAt(_t(id)), 0);
        lens.releasableAt(_t(id));
        lens.netOf(_t(id));
        escrow.closedAtOf(id);
        assertEq(escrow.contractIdOf(_t(id)), id);
        assertGe(lens.reservedOf(_t(id)), paid + owed, "what is owed is reserved");
        _isRetired(id);
        escrow.claimOf(id, "key");
        Waiting memory waiting = _pending(id);
        assertEq(waiting.position == 0, waiting.resolvesAt == 0);
        assertNotEq(lens.statusOf(_t(id)), 0);
    }
}
