// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Wallet} from "../support/Wallet.sol";
import {EscrowLens} from "contracts/escrow/EscrowLens.sol";
import {Ledgers} from "contracts/escrow/Ledgers.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Evidence} from "contracts/evidence/Evidence.sol";
import {IIdentityRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// A contract is closed by both its parties and by no other account, for one amount, once and in
/// time; as keys, as ERC-1271 wallets, or as keys that have delegated to a wallet (EIP-7702).
contract ConsentTest is GuardedFixture {
    uint64 private constant EXPIRES = START + 1 hours;
    uint256 private constant AGREED = 3 * PRICE;

    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = _guarded();
        id = _open(terms);
    }

    // ------------------------------------------------------------ keys

    function test_anyoneBringsBothSignatures() public {
        _closeAs(stranger, _by(owner), _by(operator));
        assertEq(lens.paidOf(_t(id)), AGREED);
        assertEq(lens.statusOf(_t(id)), "closed");
    }

    function test_aPartyThatCallsNeedsNoSignature() public {
        uint256 snapshot = vm.snapshotState();
        _closeAs(owner.addr, "", _by(operator));
        assertEq(lens.paidOf(_t(id)), AGREED);
        vm.revertToState(snapshot);
        _closeAs(operator.addr, _by(owner), "");
        assertEq(lens.paidOf(_t(id)), AGREED);
    }

    /// Its own signature is still read if it brings one.
    function test_revertIf_aPartyThatCallsBringsAWrongOne() public {
        _refuses(owner.addr, owner.addr, _by(verifier), _by(operator));
        _closeAs(owner.addr, _by(owner), _by(operator));
    }

    function test_revertIf_onlyOneConsents() public {
        _refuses(operator.addr, owner.addr, "", "");
        _refuses(owner.addr, operator.addr, "", "");
        _refuses(owner.addr, stranger, "", _by(operator));
        _refuses(operator.addr, stranger, _by(owner), "");
        _refuses(operator.addr, stranger, _by(owner), _by(owner));
        _refuses(owner.addr, stranger, _by(operator), _by(operator));
        _refuses(owner.addr, stranger, _by(operator), _by(owner));
    }

    /// No signature of another account counts, the arbiter's and the verifier's included.
    function test_revertIf_othersConsent() public {
        Account[3] memory others = [arbiter, verifier, publisher];
        for (uint256 i = 0; i < others.length; ++i) {
            _refuses(owner.addr, others[i].addr, "", _by(operator));
            _refuses(operator.addr, others[i].addr, _by(owner), _by(others[i]));
        }
    }

    // ------------------------------------------------------------ once, in time, for this

    function test_theLastSecond() public {
        vm.warp(EXPIRES);
        _closeAs(stranger, _by(owner), _by(operator));
        assertEq(escrow.closedAtOf(id), EXPIRES);
    }

    function test_revertIf_expired() public {
        vm.warp(EXPIRES + 1);
        _expectNext(
            abi.encodeWithSelector(OutcomeEscrow.CloseExpired.selector, EXPIRES, EXPIRES + 1)
        );
        _closeAs(stranger, _by(owner), _by(operator));
    }

    function test_revertIf_replayed() public {
        _closeAs(stranger, _by(owner), _by(operator));
        _expectNext(abi.encodeWithSelector(Ledgers.AlreadyClosed.selector, id));
        _closeAs(stranger, _by(owner), _by(operator));
        _expectNext(abi.encodeWithSelector(Ledgers.AlreadyClosed.selector, id));
        _closeAs(owner.addr, "", _by(operator));
    }

    /// Each field of the message, the chain and the escrow are bound.
    function test_revertIf_somethingElseWasSigned() public {
        bytes memory a = _by(owner);
        bytes memory b = _by(operator);
        terms.salt = "another";
        bytes32 another = _open(terms);
        _expectNotSigned(another, AGREED, EXPIRES);
        escrow.close(_t(another), AGREED, EXPIRES, a, b);
        _expectNotSigned(id, AGREED + 1, EXPIRES);
        escrow.close(_t(id), AGREED + 1, EXPIRES, a, b);
        _expectNotSigned(id, AGREED, EXPIRES + 1);
        escrow.close(_t(id), AGREED, EXPIRES + 1, a, b);
        vm.chainId(1);
        _expectNotSigned(id, AGREED, EXPIRES);
        escrow.close(_t(id), AGREED, EXPIRES, a, b);
        vm.chainId(31337);
        escrow.close(_t(id), AGREED, EXPIRES, a, b);
    }

    /// A chain that takes another id, as in a split, locks nothing: contracts are found by the id
    /// under which they were opened, and what is signed then is signed for the new one.
    function test_aContractOutlivesTheIdOfItsChain() public {
        _stateFinal(terms, 5 * PRICE, 0);
        vm.chainId(1);
        assertEq(escrow.contractIdOf(_t(id)), id);
        assertEq(_release(id), 5 * PRICE);
        _close(id, 6 * PRICE);
        assertEq(lens.paidOf(_t(id)), 6 * PRICE);
        assertEq(token.balanceOf(owner.addr), 10 * BUDGET - 6 * PRICE);
    }

    function test_revertIf_signedForAnotherEscrow() public {
        bytes memory a = _by(owner);
        bytes memory b = _by(operator);
        escrow = new OutcomeEscrow(
            eventLog, address(new Evidence()), IIdentityRegistry(address(0)), _list(address(token))
        );
        lens = new EscrowLens(escrow);
        vm.prank(owner.addr);
        token.approve(address(escrow), BUDGET);
        bytes32 there = _open(terms);
        _expectNotSigned(there, AGREED, EXPIRES);
        escrow.close(_t(there), AGREED, EXPIRES, a, b);
    }

    /// The consent to open is none to close.
    function test_revertIf_theTermsWereSigned() public {
        (bytes memory a, bytes memory b) = _consents(terms);
        _refuses(owner.addr, stranger, a, b);
        _refuses(owner.addr, stranger, _sign(owner, id), _by(operator));
    }

    /// Any bit of a signature counts.
    function testFuzz_everyBitOfASignatureCounts(uint256 bit, bool ofOwner) public {
        (bytes memory a, bytes memory b) = (_by(owner), _by(operator));
        bytes memory changed = ofOwner ? a : b;
        bit = bound(bit, 0, 65 * 8 - 1);
        changed[bit / 8] ^= bytes1(uint8(1 << bit % 8));
        _refuses(ofOwner ? owner.addr : operator.addr, stranger, a, b);
    }

    // ------------------------------------------------------------ wallets

    function test_walletsConsent() public {
        (Wallet ownerWallet, Wallet operatorWallet) = _openForWallets();
        bytes memory a = _by(owner);
        bytes memory b = _by(operator);
        ownerWallet.setMode(Wallet.Mode.Refuses);
        _refuses(address(ownerWallet), stranger, a, b);
        ownerWallet.setMode(Wallet.Mode.Honest);
        operatorWallet.setMode(Wallet.Mode.ReturnsTrue);
        _refuses(address(operatorWallet), stranger, a, b);
        operatorWallet.setMode(Wallet.Mode.Honest);
        _closeAs(stranger, a, b);
        assertEq(lens.statusOf(_t(id)), "closed");
    }

    function test_aWalletThatCallsNeedsNoSignature() public {
        (Wallet ownerWallet,) = _openForWallets();
        bytes memory b = _by(operator);
        ownerWallet.setMode(Wallet.Mode.Refuses); // it is not asked
        ownerWallet.execute(
            address(escrow), abi.encodeCall(escrow.close, (_t(id), AGREED, EXPIRES, "", b))
        );
        assertEq(lens.statusOf(_t(id)), "closed");
    }

    /// The key behind a wallet is not the wallet when it calls itself.
    function test_revertIf_theKeyOfAWalletCalls() public {
        (Wallet ownerWallet,) = _openForWallets();
        _refuses(address(ownerWallet), owner.addr, "", _by(operator));
    }

    /// Two wallets behind one key consent by two signatures: each says for whom.
    function test_revertIf_oneSignatureIsBroughtForTwoWallets() public {
        (Wallet ownerWallet, Wallet operatorWallet) =
            (new Wallet(owner.addr), new Wallet(owner.addr));
        (terms.owner, terms.operator) = (address(ownerWallet), address(operatorWallet));
        token.mint(terms.owner, BUDGET);
        vm.prank(terms.owner);
        token.approve(address(escrow), BUDGET);
        bytes memory a = _sign(owner, _ownerConsent(terms, 0));
        bytes32 digest = _operatorConsent(terms);
        vm.expectRevert(abi.encodeWithSelector(Vault.NotSigned.selector, digest, terms.operator));
        escrow.open(terms, _allowance(), a, a);
        id = escrow.open(terms, _allowance(), a, _sign(owner, digest));
        _remember(id, terms);

        a = _by(owner);
        _refuses(terms.operator, stranger, a, a);
        _closeAs(stranger, a, _sign(owner, _closeDigest(terms.operator, id, AGREED, EXPIRES)));
        assertEq(lens.statusOf(_t(id)), "closed");
    }

    // ------------------------------------------------------------ EIP-7702

    /// An account with delegated code is still its key ...
    function test_aDelegatedAccountSignsByItsKey() public {
        _delegate(owner, address(new Wallet(stranger)));
        _closeAs(stranger, _by(owner), _by(operator));
        assertEq(lens.statusOf(_t(id)), "closed");
    }

    /// ... and what its code says: here a session key that the wallet accepts.
    function test_aDelegatedAccountSignsByItsCode() public {
        Account memory session = makeAccount("session");
        _refuses(owner.addr, stranger, _by(session), _by(operator));
        _delegate(owner, address(new Wallet(session.addr)));
        _closeAs(stranger, _by(session), _by(operator));
        assertEq(lens.statusOf(_t(id)), "closed");
    }

    function test_revertIf_itsCodeKnowsNothingOfSignatures() public {
        _delegate(owner, address(eventLog));
        _refuses(owner.addr, stranger, _by(verifier), _by(operator));
        _closeAs(owner.addr, "", _by(operator));
        assertEq(lens.statusOf(_t(id)), "closed");
    }

    // ------------------------------------------------------------ helpers

    function _by(Account memory signer) private view returns (bytes memory) {
        address party = signer.addr == operator.addr ? terms.operator : terms.owner;
        return _sign(signer, _closeDigest(party, id, AGREED, EXPIRES));
    }

    function _closeAs(address caller, bytes memory ownerSignature, bytes memory operatorSignature)
        private
    {
        _expectAsSaid();
        vm.prank(caller);
        escrow.close(_t(id), AGREED, EXPIRES, ownerSignature, operatorSignature);
    }

    function _openForWallets() private returns (Wallet ownerWallet, Wallet operatorWallet) {
        ownerWallet = new Wallet(owner.addr);
        operatorWallet = new Wallet(operator.addr);
        (terms.owner, terms.operator) = (address(ownerWallet), address(operatorWallet));
        token.mint(terms.owner, BUDGET);
        vm.prank(terms.owner);
        token.approve(address(escrow), BUDGET);
        id = _open(terms);
    }

    /// It is refused because this one has not signed.
    function _refuses(address signer, address caller, bytes memory a, bytes memory b) private {
        bytes32 digest = _closeDigest(signer, id, AGREED, EXPIRES);
        _expectNext(abi.encodeWithSelector(Vault.NotSigned.selector, digest, signer));
        _closeAs(caller, a, b);
    }

    function _expectNotSigned(bytes32 contractId, uint256 payableAmount, uint64 expiresAt) private {
        bytes32 digest = _closeDigest(owner.addr, contractId, payableAmount, expiresAt);
        vm.expectRevert(abi.encodeWithSelector(Vault.NotSigned.selector, digest, owner.addr));
    }
}
