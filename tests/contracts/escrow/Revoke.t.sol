// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GuardedFixture} from "../support/GuardedFixture.sol";
import {Wallet} from "../support/Wallet.sol";
import {Funding} from "contracts/escrow/Fundings.sol";
import {OutcomeEscrow} from "contracts/escrow/OutcomeEscrow.sol";
import {Vault} from "contracts/escrow/Vault.sol";
import {Terms} from "contracts/terms/Terms.sol";

/// What an account has signed and what was not used yet it can take back: its consent to terms,
/// closings and withdrawals.
contract RevokeTest is GuardedFixture {
    uint256 private constant FEE = PRICE * 25 / 1000;
    uint64 private constant EXPIRES = START + 1 hours;

    Terms private terms;

    function setUp() public override {
        super.setUp();
        terms = _terms();
    }

    function test_itIsSaid() public {
        assertFalse(escrow.isRevoked(owner.addr, "digest"));
        vm.expectEmit(address(escrow));
        emit Vault.Revoked(owner.addr, "digest");
        _revoke(owner.addr, "digest");
        assertTrue(escrow.isRevoked(owner.addr, "digest"));
        assertFalse(escrow.isRevoked(operator.addr, "digest"));
        _revoke(owner.addr, "digest"); // again: no harm
    }

    // ------------------------------------------------------------ terms

    function test_revertIf_theOwnerHasRevokedItsConsent() public {
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes32 digest = _ownerConsent(terms, 0);
        _revoke(owner.addr, digest);
        _expectRevoked(digest, owner.addr);
        escrow.open(terms, _allowance(), a, b);
        // nor by calling itself
        _expectRevoked(digest, owner.addr);
        vm.prank(owner.addr);
        escrow.open(terms, _allowance(), "", b);
        // Another path is another word.
        Funding memory funding;
        funding.path = 1;
        escrow.open(terms, funding, _sign(owner, _ownerConsent(terms, 1)), b);
    }

    function test_revertIf_theOperatorHasRevokedItsConsent() public {
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes32 digest = _operatorConsent(terms);
        _revoke(operator.addr, digest);
        _expectRevoked(digest, operator.addr);
        escrow.open(terms, _allowance(), a, b);
        // The same deal can be signed anew.
        terms.salt = "anew";
        _open(terms);
    }

    function test_revertIf_aWalletHasRevokedItsConsent() public {
        Wallet wallet = new Wallet(operator.addr);
        terms.operator = address(wallet);
        (bytes memory a, bytes memory b) = _consents(terms);
        bytes32 digest = _operatorConsent(terms);
        wallet.execute(address(escrow), abi.encodeCall(escrow.revoke, (digest)));
        _expectRevoked(digest, address(wallet));
        escrow.open(terms, _allowance(), a, b);
    }

    /// Nobody revokes for another, and a used consent is used.
    function test_othersRevokeNothing() public {
        _revoke(stranger, _ownerConsent(terms, 0));
        _revoke(owner.addr, _operatorConsent(terms));
        _revoke(operator.addr, _ownerConsent(terms, 0));
        _revoke(owner.addr, _contractId(terms));
        bytes32 id = _open(terms);
        _revoke(owner.addr, _ownerConsent(terms, 0));
        _revoke(operator.addr, _operatorConsent(terms));
        _settleTotals(terms, PRICE, 0);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    // ------------------------------------------------------------ closings

    function test_revertIf_aPartyHasRevokedItsClosing() public {
        bytes32 id = _open(terms);
        bytes32 ofOwner = _closeDigest(owner.addr, id, PRICE, EXPIRES);
        bytes32 ofOperator = _closeDigest(operator.addr, id, PRICE, EXPIRES);
        bytes memory a = _sign(owner, ofOwner);
        bytes memory b = _sign(operator, ofOperator);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            (bytes32 digest, address party) =
                i == 0 ? (ofOwner, owner.addr) : (ofOperator, operator.addr);
            _revoke(party, digest);
            _expectRevoked(digest, party);
            escrow.close(_t(id), PRICE, EXPIRES, a, b);
            _expectRevoked(digest, party);
            vm.prank(party);
            escrow.close(_t(id), PRICE, EXPIRES, i == 0 ? bytes("") : a, i == 0 ? b : bytes(""));
            vm.revertToState(snapshot);
        }
        _revoke(owner.addr, _closeDigest(owner.addr, id, PRICE + 1, EXPIRES));
        escrow.close(_t(id), PRICE, EXPIRES, a, b);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    // ------------------------------------------------------------ withdrawals

    function test_revertIf_theHolderHasRevokedItsWithdrawal() public {
        Account memory holder = makeAccount("holder");
        terms.feeRecipient = holder.addr;
        _open(terms);
        _settleTotals(terms, PRICE, 0);
        bytes32 digest = _withdrawalDigest(holder.addr, FEE);
        bytes memory signature = _sign(holder, digest);
        _revoke(holder.addr, digest);
        _expectRevoked(digest, holder.addr);
        escrow.withdrawFor(holder.addr, address(token), stranger, FEE, EXPIRES, signature);
        // Nothing else is touched.
        signature = _sign(holder, _withdrawalDigest(holder.addr, FEE - 1));
        escrow.withdrawFor(holder.addr, address(token), stranger, FEE - 1, EXPIRES, signature);
        _withdraw(holder.addr, stranger);
        assertEq(token.balanceOf(stranger), FEE);
    }

    /// A verifier's word is none of these: it counts as long as its key does.
    function test_aVerifierRevokesNothing() public {
        bytes32 id = _open(terms);
        Batch memory batch = _batch(_groupOf(terms), _list(_settlement(id, PRICE, 0)));
        _revoke(verifier.addr, _verifiedDigest(batch));
        _settle(batch);
        assertEq(lens.paidOf(_t(id)), PRICE);
    }

    // ------------------------------------------------------------ helpers

    function _revoke(address account, bytes32 digest) private {
        vm.prank(account);
        escrow.revoke(digest);
    }

    function _expectRevoked(bytes32 digest, address account) private {
        vm.expectRevert(abi.encodeWithSelector(Vault.ConsentRevoked.selector, digest, account));
    }

    function _withdrawalDigest(address holder, uint256 amount) private view returns (bytes32) {
        bytes memory message =
            abi.encode(holder, address(token), stranger, amount, uint256(0), EXPIRES);
        return _digest(address(escrow), vm.eip712HashStruct(WITHDRAWAL_TYPE, message));
    }
}
