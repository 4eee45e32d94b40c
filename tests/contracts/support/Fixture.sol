// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TermsById} from "./TermsById.sol";
import {TestTree} from "./TestTree.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {Funding} from "contracts/escrow/Fundings.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";
import {EventLog} from "contracts/log/EventLog.sol";
import {Entry} from "contracts/log/MerkleLog.sol";
import {Terms} from "contracts/terms/Terms.sol";
import {Test} from "forge-std/Test.sol";

/// A log, an escrow, a token and the accounts around them. Signatures are made from EIP-712 types
/// that are typed again here, so that a slip in the contracts' own is seen.
abstract contract Fixture is Test, TermsById {
    string internal constant TERMS_TYPE =
        "Terms(address owner,address operator,address payee,address token,address verifier,address arbiter,bytes32 logId,bytes32 surface,bytes32 policy,uint8 attribution,bytes32 outcome,bool repeatable,bool exclusive,uint256 unitPrice,uint16 revenueShareBps,uint256 budget,uint64 opensAt,uint64 deadline,uint64 attributionWindow,uint64 lateness,uint64 grace,uint64 claimPeriod,uint64 challengePeriod,uint64 arbitrationPeriod,uint16 holdbackBps,uint64 holdbackPeriod,uint256 rateCap,uint64 ratePeriod,uint16 feeBps,address feeRecipient,uint256 agentIdPlusOne,bytes32 salt)";
    string internal constant VERIFIED_TYPE =
        "Verified(bytes32 logId,uint64 size,bytes32 root,uint64 first,uint64 count)";
    string internal constant CHECKPOINT_TYPE = "Checkpoint(bytes32 logId,uint64 size,bytes32 root)";
    string internal constant WITHDRAWAL_TYPE =
        "Withdrawal(address account,address token,address to,uint256 amount,uint256 nonce,uint64 expiresAt)";

    string internal constant CLOSE_TYPE =
        "Close(address party,bytes32 contractId,uint256 payableAmount,uint64 expiresAt)";
    string internal constant OWNER_CONSENT_TYPE = "OwnerConsent(uint8 funding,Terms terms)";
    string internal constant OPERATOR_CONSENT_TYPE = "OperatorConsent(Terms terms)";

    uint64 internal constant START = 1_800_000_000;
    string internal constant ORIGIN = "tallystick.example/surface";
    uint256 internal constant PRICE = 8e6;
    uint256 internal constant BUDGET = 400e6;
    uint16 internal constant FEE_BPS = 250;

    Account internal owner = makeAccount("owner");
    Account internal operator = makeAccount("operator");
    Account internal verifier = makeAccount("verifier");
    Account internal publisher = makeAccount("publisher");
    address internal payee = makeAddr("payee");
    address internal feeRecipient = makeAddr("fee recipient");
    address internal stranger = makeAddr("stranger");

    EventLog internal eventLog;
    OutcomeEscrow internal escrow;
    EscrowLens internal lens;
    TestStablecoin internal token;
    TestTree internal tree;
    bytes32 internal logId;

    function setUp() public virtual {
        vm.warp(START);
        eventLog = new EventLog();
        token = new TestStablecoin();
        tree = new TestTree(1); // the filler is the genesis entry
        escrow = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), _list(address(token))
        );
        lens = new EscrowLens(escrow);
        logId = eventLog.register(ORIGIN, publisher.addr);
        _fund(owner.addr, 10 * BUDGET);
    }

    // ------------------------------------------------------------ terms

    function _terms() internal view returns (Terms memory terms) {
        terms.owner = owner.addr;
        terms.operator = operator.addr;
        terms.payee = payee;
        terms.token = address(token);
        terms.verifier = verifier.addr;
        terms.logId = logId;
        terms.surface = keccak256("surface");
        terms.policy = keccak256("policy");
        terms.attribution = 1;
        terms.outcome = "activated";
        terms.unitPrice = PRICE;
        terms.budget = BUDGET;
        terms.opensAt = START;
        terms.deadline = START + 14 days;
        terms.attributionWindow = 7 days;
        terms.lateness = 1 days;
        terms.grace = 3 days;
        terms.feeBps = FEE_BPS;
        terms.feeRecipient = feeRecipient;
        terms.salt = "salt";
    }

    function _fund(address account, uint256 amount) internal virtual {
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(escrow), type(uint256).max);
    }

    function _contractId(Terms memory terms) internal view returns (bytes32) {
        return _digest(address(escrow), vm.eip712HashStruct(TERMS_TYPE, abi.encode(terms)));
    }

    /// Both sign, and a stranger brings it.
    function _open(Terms memory terms) internal returns (bytes32) {
        (bytes memory a, bytes memory b) = _consents(terms);
        vm.prank(stranger);
        return escrow.open(terms, _allowance(), a, b);
    }

    /// The budget is paid by the owner's allowance.
    function _allowance() internal pure returns (Funding memory funding) {}

    /// Owner and operator consent, the owner to paying by its allowance.
    function _consents(Terms memory terms) internal returns (bytes memory, bytes memory) {
        _remember(_contractId(terms), terms);
        return (_sign(owner, _ownerConsent(terms, 0)), _sign(operator, _operatorConsent(terms)));
    }

    /// What an owner signs that pays by this path.
    function _ownerConsent(Terms memory terms, uint8 path) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(bytes(string.concat(OWNER_CONSENT_TYPE, TERMS_TYPE)));
        bytes32 termsHash = vm.eip712HashStruct(TERMS_TYPE, abi.encode(terms));
        return _digest(address(escrow), keccak256(abi.encode(typeHash, path, termsHash)));
    }

    /// What an operator signs.
    function _operatorConsent(Terms memory terms) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(bytes(string.concat(OPERATOR_CONSENT_TYPE, TERMS_TYPE)));
        bytes32 termsHash = vm.eip712HashStruct(TERMS_TYPE, abi.encode(terms));
        return _digest(address(escrow), keccak256(abi.encode(typeHash, termsHash)));
    }

    function _groupOf(Terms memory terms) internal pure returns (Ledgers.Group memory) {
        return Ledgers.Group({
            logId: terms.logId,
            token: terms.token,
            verifier: terms.verifier,
            feeRecipient: terms.feeRecipient,
            feeBps: terms.feeBps
        });
    }

    /// What a party signs to close a contract.
    function _closeDigest(address party, bytes32 id, uint256 payableAmount, uint64 expiresAt)
        internal
        view
        returns (bytes32)
    {
        bytes memory message = abi.encode(party, id, payableAmount, expiresAt);
        return _digest(address(escrow), vm.eip712HashStruct(CLOSE_TYPE, message));
    }

    /// The account withdraws all of its credit.
    function _withdraw(address account, address to) internal {
        uint256 credit = escrow.creditOf(address(token), account);
        vm.prank(account);
        escrow.withdraw(address(token), to, credit);
    }

    // ------------------------------------------------------------ log

    function _settlement(bytes32 contractId, uint256 earned, uint256 reversed)
        internal
        view
        returns (Entry memory entry)
    {
        entry.kind = "settlement";
        entry.surface = keccak256("surface");
        entry.actor = bytes32(uint256(uint160(verifier.addr)));
        entry.subject = contractId;
        entry.value = earned - reversed;
        entry.timeMs = block.timestamp * 1000;
        entry.payload = _settlementPayload(earned, reversed);
    }

    function _settlementPayload(uint256 earned, uint256 reversed) internal pure returns (bytes32) {
        return bytes32(earned << 176 | reversed << 96 | uint256(41) << 48 | 7);
    }

    /// As Settled tells it.
    function _told(uint256 earned, uint256 reversed, uint64 position)
        internal
        pure
        returns (uint256)
    {
        return earned << 176 | reversed << 96 | position;
    }

    function _append(Entry memory entry) internal returns (uint64 position) {
        return uint64(tree.append(abi.encode(entry)));
    }

    /// The publisher anchors all there is.
    function _publish() internal returns (uint64 size) {
        size = uint64(tree.size());
        (uint64 last,,) = eventLog.latest(logId);
        bytes32[] memory proof = tree.consistencyProof(last, size);
        bytes32 root = tree.root(size);
        vm.prank(publisher.addr);
        eventLog.publish(logId, size, root, proof);
    }

    // ------------------------------------------------------------ settle

    struct Batch {
        Ledgers.Group group;
        uint64 size;
        uint64 first;
        bytes entries;
        uint256[] rules;
        bytes32[] proof;
        bytes signature;
    }

    /// A batch of these entries, newly appended, anchored and signed.
    function _batch(Ledgers.Group memory group, Entry[] memory entries)
        internal
        returns (Batch memory batch)
    {
        batch.group = group;
        batch.first = uint64(tree.size());
        for (uint256 i = 0; i < entries.length; ++i) {
            _append(entries[i]);
            batch.entries = bytes.concat(batch.entries, abi.encode(entries[i]));
        }
        batch.rules = _rulesOf(entries);
        batch.size = _publish();
        batch.proof = tree.runProof(batch.first, entries.length, batch.size);
        batch.signature = _sign(verifier, _verifiedDigest(batch));
    }

    /// What a settlement by these entries must know of the terms of their contracts.
    function _rulesOf(Entry[] memory entries) internal view returns (uint256[] memory rules) {
        rules = new uint256[](2 * entries.length);
        uint256 count = 0;
        for (uint256 i = 0; i < entries.length; ++i) {
            Terms memory terms = _t(entries[i].subject);
            rules[count++] = _payeeRule(terms);
            if (rules[count - 1] >> 240 != 0) rules[count++] = _delayRule(terms);
        }
        assembly ("memory-safe") {
            mstore(rules, count)
        }
    }

    function _payeeRule(Terms memory t) internal pure returns (uint256) {
        bool plain = t.challengePeriod | t.holdbackBps | t.holdbackPeriod | t.claimPeriod == 0
            && t.rateCap == 0;
        uint256 priceStep = t.revenueShareBps == 0 ? t.unitPrice : 0;
        return uint256(bytes32(abi.encodePacked(plain ? uint16(0) : 1, uint80(priceStep), t.payee)));
    }

    function _delayRule(Terms memory t) internal pure returns (uint256) {
        return uint256(
            bytes32(
                abi.encodePacked(
                    uint40(t.challengePeriod),
                    t.holdbackBps,
                    uint40(t.holdbackPeriod),
                    uint40(t.lateness),
                    uint40(t.ratePeriod),
                    uint80(t.rateCap)
                )
            )
        );
    }

    function _isRetired(bytes32 id) internal view returns (bool) {
        return lens.snapshotOf(_t(id)).isRetired;
    }

    function _lastSigned(bytes32 id) internal view returns (uint256) {
        return escrow.recordOf(_t(id)).lastSigned;
    }

    function _lastFinal(bytes32 id) internal view returns (uint256) {
        return escrow.recordOf(_t(id)).lastFinal;
    }

    function _verifiedDigest(Batch memory batch) internal view returns (bytes32) {
        bytes memory message = abi.encode(
            batch.group.logId,
            batch.size,
            tree.root(batch.size),
            batch.first,
            batch.entries.length / 256
        );
        return _digest(address(escrow), vm.eip712HashStruct(VERIFIED_TYPE, message));
    }

    function _settle(Batch memory batch) internal {
        vm.prank(stranger);
        escrow.settle(
            batch.group,
            batch.size,
            batch.first,
            batch.entries,
            batch.rules,
            batch.proof,
            batch.signature
        );
    }

    /// One entry that states these totals, all the way to the escrow.
    function _settleTotals(Terms memory terms, uint256 earned, uint256 reversed)
        internal
        returns (Batch memory batch)
    {
        batch = _batch(_groupOf(terms), _list(_settlement(_contractId(terms), earned, reversed)));
        _settle(batch);
    }

    // ------------------------------------------------------------ signatures

    function _digest(address domainOf, bytes32 structHash) internal view returns (bytes32) {
        (
            ,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,,
        ) = EventLog(domainOf).eip712Domain();
        bytes memory domain = abi.encode(
            keccak256(
                "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
            ),
            keccak256(bytes(name)),
            keccak256(bytes(version)),
            chainId,
            verifyingContract
        );
        return keccak256(abi.encodePacked(hex"1901", keccak256(domain), structHash));
    }

    function _checkpointDigest(bytes32 id, uint64 size, bytes32 root)
        internal
        view
        returns (bytes32)
    {
        return _digest(
            address(eventLog), vm.eip712HashStruct(CHECKPOINT_TYPE, abi.encode(id, size, root))
        );
    }

    function _sign(Account memory signer, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signer.key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// Gives the account this code by EIP-7702.
    function _delegate(Account memory account, address code) internal {
        vm.signAndAttachDelegation(code, account.key);
        token.approve(address(escrow), 0); // any call carries the authorization
        assertEq(account.addr.code, abi.encodePacked(hex"ef0100", code));
    }

    // ------------------------------------------------------------ lists

    function _list(address item) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = item;
    }

    function _list(Entry memory a) internal pure returns (Entry[] memory list) {
        list = new Entry[](1);
        list[0] = a;
    }

    function _list(Entry memory a, Entry memory b) internal pure returns (Entry[] memory list) {
        list = new Entry[](2);
        (list[0], list[1]) = (a, b);
    }
}
