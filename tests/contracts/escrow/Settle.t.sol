// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../support/Fixture.sol";
import {TestTree} from "../support/TestTree.sol";
import {Wallet} from "../support/Wallet.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Payments} from "contracts/escrow/Payments.sol";
import {Settlements} from "contracts/escrow/Settlements.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {Entry, MerkleLog} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {Vm} from "forge-std/Vm.sol";

contract SettleTest is Fixture {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _terms();
        id = _open(terms);
    }

    // ------------------------------------------------------------ it pays

    function test_settle() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        uint256 fee = 5 * PRICE * FEE_BPS / 10_000;
        vm.expectEmit(address(escrow));
        emit Payments.Paid(id, 5 * PRICE - fee, fee);
        _settle(batch);

        assertEq(token.balanceOf(payee), 5 * PRICE - fee);
        assertEq(escrow.creditOf(address(token), feeRecipient), fee);
        assertEq(token.balanceOf(address(escrow)), BUDGET - 5 * PRICE + fee);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        assertEq(_lastFinal(id), batch.first);
    }

    function test_itPaysWhatIsNew() public {
        _settleTotals(terms, 5 * PRICE, 0);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, 5 * PRICE, 0)));
        vm.expectEmit(address(escrow));
        emit Settlements.Settled(id, _told(5 * PRICE, 0, batch.first));
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        _settleTotals(terms, 9 * PRICE, PRICE);
        assertEq(lens.paidOf(_t(id)), 8 * PRICE);
        assertEq(token.balanceOf(payee), 8 * PRICE * 975 / 1000);
    }

    /// A statement is paid at once and for good, so it is told once; and of the totals only what was
    /// earned can fall below what was paid.
    function test_aPlainStatementIsPaidAndNoMore() public {
        vm.recordLogs();
        _settleTotals(terms, 6 * PRICE, 2 * PRICE);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            assertNotEq(logs[i].topics[0], Payments.Final.selector, "nothing was pending");
        }
        _settleTotals(terms, 6 * PRICE, 0);
        assertEq(lens.paidOf(_t(id)), 6 * PRICE, "the next may state less to be taken back");
    }

    /// A payment stays paid: the next outcomes make up for a reversal.
    function test_aReversalOfWhatWasPaidIsNetted() public {
        _settleTotals(terms, 5 * PRICE, 0);
        Batch memory reversal = _settleTotals(terms, 5 * PRICE, 2 * PRICE);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        assertEq(_lastFinal(id), reversal.first);
        vm.expectEmit(address(escrow));
        emit Settlements.Refused(id, reversal.first, "already_settled");
        _settle(reversal);
        _settleTotals(terms, 7 * PRICE, 2 * PRICE);
        assertEq(lens.paidOf(_t(id)), 5 * PRICE);
        _settleTotals(terms, 8 * PRICE, 2 * PRICE);
        assertEq(lens.paidOf(_t(id)), 6 * PRICE);
    }

    function test_theWholeBudgetCanBePaid() public {
        _settleTotals(terms, BUDGET, 0);
        assertEq(lens.paidOf(_t(id)), BUDGET);
        assertEq(lens.statusOf(_t(id)), "paid_out");
        assertEq(token.balanceOf(address(escrow)), escrow.creditOf(address(token), feeRecipient));
    }

    /// Reversed outcomes free the budget, so `earned` may pass it.
    function test_earnedMayPassTheBudget() public {
        _settleTotals(terms, BUDGET + 2 * PRICE, 2 * PRICE);
        assertEq(lens.paidOf(_t(id)), BUDGET);
    }

    function test_aRevenueSharePaysAnyAmount() public {
        terms.revenueShareBps = 100;
        terms.salt = "share";
        _open(terms);
        _settleTotals(terms, 12_345_679, 2);
        assertEq(lens.paidOf(terms), 12_345_677);
    }

    function test_withoutAFeeThePayeeGetsAll() public {
        (terms.feeBps, terms.feeRecipient) = (0, address(0));
        _open(terms);
        _settleTotals(terms, PRICE, 0);
        assertEq(token.balanceOf(payee), PRICE);
        assertEq(escrow.creditOf(address(token), address(0)), 0);
    }

    function test_aFeeMayBeAll() public {
        terms.feeBps = 10_000;
        _open(terms);
        _settleTotals(terms, PRICE, 0);
        assertEq(token.balanceOf(payee), 0);
        assertEq(escrow.creditOf(address(token), feeRecipient), PRICE);
    }

    function test_theLastSecondCounts() public {
        vm.warp(terms.deadline + terms.grace);
        _settleTotals(terms, PRICE, 0);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    function test_aWalletVerifies() public {
        Wallet wallet = new Wallet(verifier.addr);
        terms.verifier = address(wallet);
        bytes32 walletId = _open(terms);
        Entry memory entry = _settlement(walletId, PRICE, 0);
        entry.actor = bytes32(uint256(uint160(address(wallet))));
        Batch memory batch = _batch(_groupOf(terms), _list(entry));
        wallet.setMode(Wallet.Mode.Refuses);
        _expectNotSigned(batch);
        wallet.setMode(Wallet.Mode.Honest);
        _settle(batch);
        assertEq(lens.paidOf(_t(walletId)), PRICE);
    }

    /// An older checkpoint serves as well as the last one.
    function test_anyAnchoredCheckpointServes() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        _append(_settlement(id, 2 * PRICE, 0));
        _publish();
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    // ------------------------------------------------------------ splitting, order, replays

    // I11: however the way from nothing to the last total is cut, payee and fee recipient get the
    // same.
    function testFuzz_splittingChangesNothing(uint256[6] memory cuts, uint16 feeBps, uint80 price)
        public
    {
        terms.feeBps = uint16(bound(feeBps, 0, 10_000));
        terms.unitPrice = bound(price, 1, type(uint80).max / 1000);
        terms.budget = terms.unitPrice * 1000;
        _fund(owner.addr, terms.budget);
        bytes32 fuzzId = _open(terms);
        uint256 outcomes;
        for (uint256 i = 0; i < cuts.length; ++i) {
            outcomes = bound(cuts[i], outcomes, 1000);
            _settleTotals(terms, outcomes * terms.unitPrice, 0);
        }
        uint256 gross = outcomes * terms.unitPrice;
        uint256 fee = gross * terms.feeBps / 10_000;
        assertEq(lens.paidOf(_t(fuzzId)), gross);
        assertEq(escrow.creditOf(address(token), feeRecipient), fee);
        assertEq(token.balanceOf(payee), gross - fee);
    }

    function test_aReplayChangesNothing() public {
        Batch memory batch = _settleTotals(terms, 3 * PRICE, 0);
        vm.expectEmit(address(escrow));
        emit Settlements.Refused(id, batch.first, "already_settled");
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), 3 * PRICE);
        assertEq(token.balanceOf(payee), 3 * PRICE * 975 / 1000);
    }

    function test_anEarlierStatementIsTooLate() public {
        Batch memory earlier = _batch(_groupOf(terms), _list(_settlement(id, 2 * PRICE, 0)));
        Batch memory later = _settleTotals(terms, 3 * PRICE, 0);
        vm.expectEmit(address(escrow));
        emit Settlements.Refused(id, earlier.first, "already_settled");
        _settle(earlier);
        assertEq(_lastFinal(id), later.first);
        assertEq(lens.paidOf(_t(id)), 3 * PRICE);
    }

    /// Two statements of one contract in a batch are two statements.
    function test_oneContractTwiceInABatch() public {
        _settle(
            _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0), _settlement(id, 3 * PRICE, 0)))
        );
        assertEq(lens.paidOf(_t(id)), 3 * PRICE);
        assertEq(token.balanceOf(payee), 3 * PRICE * 975 / 1000);
    }

    // ------------------------------------------------------------ refused items

    function test_refused_notASettlement() public {
        Entry memory entry = _settlement(id, PRICE, 0);
        entry.kind = "settlement2";
        _expectRefused(entry, "not_a_settlement");
        entry.kind = "outcome";
        _expectRefused(entry, "not_a_settlement");
    }

    function test_refused_wrongActor() public {
        Entry memory entry = _settlement(id, PRICE, 0);
        entry.actor = bytes32(uint256(uint160(operator.addr)));
        _expectRefused(entry, "wrong_actor");
        entry.actor = bytes32(uint256(uint160(verifier.addr)) - 1);
        _expectRefused(entry, "wrong_actor");
        entry.actor = bytes32(uint256(uint160(verifier.addr)) + 1);
        _expectRefused(entry, "wrong_actor");
        // The upper bytes of the word count too.
        entry.actor = bytes32(uint256(uint160(verifier.addr)) | 1 << 255);
        _expectRefused(entry, "wrong_actor");
    }

    function test_refused_unknownContract() public {
        _expectRefused(_settlement("?", PRICE, 0), "unknown_contract");
    }

    /// A contract is known in its own group alone: neither another token, verifier, log nor fee
    /// reaches it.
    function test_refused_anotherGroup() public {
        Entry memory entry = _settlement(id, PRICE, 0);
        Ledgers.Group memory group = _groupOf(terms);
        group.feeBps += 1;
        _expectRefused(group, entry, "unknown_contract");
        group = _groupOf(terms);
        group.feeRecipient = operator.addr;
        _expectRefused(group, entry, "unknown_contract");
        group = _groupOf(terms);
        group.token = address(new Wallet(address(0)));
        vm.mockCall(group.token, abi.encodeCall(token.balanceOf, address(escrow)), abi.encode(1));
        _expectRefused(group, entry, "unknown_contract");
        group = _groupOf(terms);
        verifier = operator;
        group.verifier = verifier.addr;
        _expectRefused(group, _settlement(id, PRICE, 0), "unknown_contract");
    }

    function test_refused_anotherLog() public {
        tree = new TestTree(1);
        logId = eventLog.register("another", publisher.addr);
        Ledgers.Group memory group = _groupOf(terms);
        group.logId = logId;
        _expectRefused(group, _settlement(id, PRICE, 0), "unknown_contract");
    }

    function test_refused_ended() public {
        vm.warp(terms.deadline + terms.grace + 1);
        _expectRefused(_settlement(id, PRICE, 0), "ended");
    }

    /// Position 0 is the log's first entry and above no contract's last final one.
    function test_refused_theFirstEntryOfALog() public {
        tree = new TestTree(0);
        logId = eventLog.register("another", publisher.addr);
        terms.logId = logId;
        id = _open(terms);
        _expectRefused(_settlement(id, PRICE, 0), "already_settled");
    }

    function test_refused_wrongValue() public {
        Entry memory entry = _settlement(id, 2 * PRICE, PRICE);
        entry.value += 1;
        _expectRefused(entry, "wrong_value");
        entry.value -= 2;
        _expectRefused(entry, "wrong_value");
        entry = _settlement(id, PRICE, 0);
        entry.payload = _settlementPayload(PRICE, 2 * PRICE);
        _expectRefused(entry, "wrong_value");
        unchecked {
            entry.value = PRICE - 2 * PRICE;
        }
        _expectRefused(entry, "wrong_value");
        entry = _settlement(id, PRICE, 0);
        entry.value |= 1 << 80;
        _expectRefused(entry, "wrong_value");
    }

    function test_refused_wrongPrice() public {
        _expectRefused(_settlement(id, PRICE + 1, 0), "wrong_price");
        _expectRefused(_settlement(id, PRICE - 1, 0), "wrong_price");
        _expectRefused(_settlement(id, 2 * PRICE, 1), "wrong_price");
        _expectRefused(_settlement(id, PRICE + 1, 1), "wrong_price");
    }

    function test_refused_overBudget() public {
        _expectRefused(_settlement(id, BUDGET + PRICE, 0), "over_budget");
        _expectRefused(_settlement(id, BUDGET + 2 * PRICE, PRICE), "over_budget");
    }

    function test_refused_earnedFell() public {
        _settleTotals(terms, 5 * PRICE, 0);
        _expectRefused(_settlement(id, 4 * PRICE, 0), "earned_fell");
    }

    /// One bad item, between two good ones.
    function test_theRestProceeds() public {
        terms.salt = "second";
        bytes32 second = _open(terms);
        Entry[] memory entries = new Entry[](4);
        entries[0] = _settlement(id, PRICE, 0);
        entries[1] = _settlement("?", PRICE, 0);
        entries[2] = _settlement(id, PRICE + 1, 0);
        entries[3] = _settlement(second, 2 * PRICE, 0);
        _settle(_batch(_groupOf(terms), entries));
        assertEq(lens.paidOf(_t(id)), PRICE);
        assertEq(lens.paidOf(_t(second)), 2 * PRICE);
    }

    /// Whatever an entry says, settle neither reverts nor pays more than the budget.
    function testFuzz_noEntryBreaksABatch(Entry memory entry, uint8 keep) public {
        Entry memory good = _settlement(id, PRICE, 0);
        if (keep & 1 != 0) entry.kind = good.kind;
        if (keep & 2 != 0) entry.actor = good.actor;
        if (keep & 4 != 0) entry.subject = good.subject;
        unchecked {
            uint256 payload = uint256(entry.payload);
            if (keep & 8 != 0) entry.value = (payload >> 176) - uint80(payload >> 96);
        }
        _settle(_batch(_groupOf(terms), _list(entry, good)));
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    // ------------------------------------------------------------ refused batches

    function test_revertIf_theCheckpointIsNotAnchored() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        batch.size += 1;
        _expectRevert(
            batch, abi.encodeWithSelector(Settlements.NotAnchored.selector, logId, batch.size)
        );
        batch.size = 0;
        _expectRevert(
            batch, abi.encodeWithSelector(Settlements.NotAnchored.selector, logId, uint64(0))
        );
    }

    function test_revertIf_theVerifierDidNotSign() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        batch.signature = _sign(operator, _verifiedDigest(batch));
        _expectNotSigned(batch);
        batch.signature = "";
        _expectNotSigned(batch);
    }

    /// A signature is for one run of one tree of one log in one escrow on one chain.
    function test_revertIf_somethingElseWasSigned() public {
        Entry[] memory entries = _list(_settlement(id, PRICE, 0), _settlement(id, 2 * PRICE, 0));
        Batch memory batch = _batch(_groupOf(terms), entries);
        Batch memory part = abi.decode(abi.encode(batch), (Batch));
        part.entries = abi.encode(entries[0]);
        part.proof = tree.runProof(part.first, 1, part.size);
        _expectNotSigned(part);
        part.entries = abi.encode(entries[1]);
        part.first += 1;
        part.proof = tree.runProof(part.first, 1, part.size);
        _expectNotSigned(part);

        _append(_settlement(id, 3 * PRICE, 0));
        Batch memory larger = abi.decode(abi.encode(batch), (Batch));
        larger.size = _publish();
        larger.proof = tree.runProof(larger.first, 2, larger.size);
        _expectNotSigned(larger);

        vm.chainId(1);
        _expectNotSigned(batch);
        vm.chainId(31337);
        OutcomeEscrow first = escrow;
        escrow = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), _list(address(token))
        );
        _expectNotSigned(batch);
        escrow = first;
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), 2 * PRICE);
    }

    function test_revertIf_theEntriesAreNotInTheTree() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        batch.entries = abi.encode(_settlement(id, 2 * PRICE, 0));
        vm.expectPartialRevert(MerkleLog.RootMismatch.selector);
        _settle(batch);
        batch.entries = bytes.concat(batch.entries, hex"00");
        _expectRevert(batch, abi.encodeWithSelector(MerkleLog.EntriesNotWhole.selector, 257));
        batch.entries = "";
        _expectRevert(
            batch,
            abi.encodeWithSelector(MerkleLog.RunOutsideTree.selector, batch.first, 0, batch.size)
        );
    }

    /// The publisher signed another log than it anchored: the verifier's signature binds the root.
    function test_revertIf_theVerifierSawAnotherTree() public {
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        TestTree fork = new TestTree(1);
        fork.append(abi.encode(_settlement(id, 2 * PRICE, 0)));
        bytes memory message = abi.encode(logId, batch.size, fork.root(2), batch.first, 1);
        batch.signature =
            _sign(verifier, _digest(address(escrow), vm.eip712HashStruct(VERIFIED_TYPE, message)));
        _expectNotSigned(batch);
    }

    // ------------------------------------------------------------ helpers

    function _expectRefused(Entry memory entry, bytes32 reason) private {
        _expectRefused(_groupOf(terms), entry, reason);
    }

    /// The item is refused for this reason, by one event, and nothing changes.
    function _expectRefused(Ledgers.Group memory group, Entry memory entry, bytes32 reason)
        private
    {
        Batch memory batch = _batch(group, _list(entry));
        (uint256 paid, uint256 lastFinal) = (lens.paidOf(_t(id)), _lastFinal(id));
        uint256 held = token.balanceOf(address(escrow));
        vm.recordLogs();
        _settle(batch);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1);
        assertEq(logs[0].topics[0], Settlements.Refused.selector);
        assertEq(logs[0].topics[1], entry.subject);
        assertEq(logs[0].data, abi.encode(batch.first, reason));
        assertEq(lens.paidOf(_t(id)), paid);
        assertEq(_lastFinal(id), lastFinal);
        assertEq(token.balanceOf(address(escrow)), held);
    }

    function _expectNotSigned(Batch memory batch) private {
        bytes32 digest = _verifiedDigest(batch);
        _expectRevert(
            batch, abi.encodeWithSelector(Vault.NotSigned.selector, digest, batch.group.verifier)
        );
    }

    function _expectRevert(Batch memory batch, bytes memory revertData) private {
        vm.expectRevert(revertData);
        _settle(batch);
    }
}
