// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Meter} from "./Meter.sol";
import {BarePayer, BareRoot, BareRoots, BatchPayer, Distributor} from "./Peers.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {TestStablecoin} from "contracts/local/TestStablecoin.sol";

/// The cost of a payment elsewhere, with the token and the compiler of our own measurements. An
/// account is known once it has the token.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract PeersGasTest is Meter {
    uint256 private constant HUNDRED = 100;
    uint256 private constant AMOUNT = 8e6;

    TestStablecoin private token;
    address private sender = makeAddr("sender");

    function setUp() public {
        token = new TestStablecoin();
        token.mint(sender, 1e18);
    }

    /// The measure itself: an account without code costs what its calldata costs.
    function test_gas_isThatOfWholeTransactionsWithTheFloor() public {
        (bool isDone,) = sender.call("");
        assertTrue(isDone);
        assertEq(vm.lastCallGas().gasTotalUsed, 21_000);
        bytes memory data = new bytes(1000);
        for (uint256 i = 0; i < 500; ++i) {
            data[i] = 0xff;
        }
        (isDone,) = sender.call(data);
        assertTrue(isDone);
        assertEq(vm.lastCallGas().gasTotalUsed, 21_000 + 500 * 40 + 500 * 10);
        assertEq(vm.lastCallGas().gasTotalUsed, _calldataFloor(data));
    }

    function test_gas_transfer() public {
        for (uint256 known = 0; known < 2; ++known) {
            address[] memory payees = _payees(1, known == 1);
            bytes memory call = abi.encodeCall(IERC20.transfer, (payees[0], AMOUNT));
            _meter(_of("transfer", known), sender, address(token), call);
            _assertPaid(payees, known);
        }
    }

    function test_gas_barePayments() public {
        BarePayer payer = new BarePayer(address(token));
        token.mint(address(payer), 1e18);
        for (uint256 known = 0; known < 2; ++known) {
            for (uint256 count = 1; count <= HUNDRED; count += HUNDRED - 1) {
                address[] memory payees = _payees(count, known == 1);
                bytes memory data;
                for (uint256 i = 0; i < count; ++i) {
                    data = bytes.concat(data, bytes20(payees[i]), bytes12(uint96(AMOUNT)));
                }
                string memory name = count == 1 ? "bare payment of 1" : "bare payment of 100";
                _meter(_of(name, known), sender, address(payer), data);
                _assertPaid(payees, known);
            }
        }
    }

    function test_gas_batchPayments() public {
        BatchPayer payer = new BatchPayer();
        vm.prank(sender);
        token.approve(address(payer), type(uint256).max);
        token.mint(address(payer), 1); // its balance's slot has been used before
        for (uint256 known = 0; known < 2; ++known) {
            address[] memory payees = _payees(HUNDRED, known == 1);
            uint256[] memory amounts = new uint256[](HUNDRED);
            for (uint256 i = 0; i < HUNDRED; ++i) {
                amounts[i] = AMOUNT;
            }
            bytes memory call = abi.encodeCall(BatchPayer.pay, (token, payees, amounts));
            _meter(_of("batch payment of 100", known), sender, address(payer), call);
            _assertPaid(payees, known);
        }
    }

    /// A million payees: proofs of 20 hashes. A payee that has claimed before is known.
    function test_gas_distributor() public {
        Distributor distributor = new Distributor(token);
        token.mint(address(distributor), 1e18);
        distributor.setRoot("the day before");
        for (uint256 known = 0; known < 2; ++known) {
            address[] memory payees = _payees(1, known == 1);
            if (known == 1) {
                bytes32[] memory before = _vouch(distributor, payees[0], 1);
                distributor.claim(payees[0], 1, before);
            }
            uint256 cumulative = AMOUNT + known;
            bytes32[] memory proof = _vouch(distributor, payees[0], cumulative);
            bytes memory call = abi.encodeCall(Distributor.claim, (payees[0], cumulative, proof));
            string memory name = _of("claim from a Merkle distributor", known);
            _meter(name, payees[0], address(distributor), call);
            _assertPaid(payees, 2 * known);
        }
    }

    /// A root that owes the payee this much, and the proof.
    function _vouch(Distributor distributor, address payee, uint256 cumulative)
        private
        returns (bytes32[] memory proof)
    {
        proof = new bytes32[](20);
        for (uint256 i = 0; i < proof.length; ++i) {
            proof[i] = keccak256(abi.encode(i, cumulative));
        }
        distributor.setRoot(MerkleProof.processProof(proof, distributor.leafOf(payee, cumulative)));
    }

    function test_gas_distributorRoot() public {
        Distributor distributor = new Distributor(token);
        distributor.setRoot("the day before");
        bytes memory call = abi.encodeCall(Distributor.setRoot, (keccak256("root")));
        _meter("root of a Merkle distributor", sender, address(distributor), call);
    }

    function test_gas_bareRoots() public {
        address root = address(new BareRoot());
        address roots = address(new BareRoots());
        _post(root, abi.encode(keccak256("the day before")));
        _meter("bare root, the last alone", sender, root, abi.encode(keccak256("root")));
        bytes memory kept = abi.encode(uint256(1_000_000), keccak256("root"));
        _meter("bare root, all kept", sender, roots, kept);
    }

    function _post(address to, bytes memory data) private {
        (bool isDone,) = to.call(data);
        assertTrue(isDone);
    }

    function _payees(uint256 count, bool known) private returns (address[] memory payees) {
        payees = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            string memory kind = known ? "known" : "fresh";
            payees[i] = makeAddr(string.concat(kind, vm.toString(count), "/", vm.toString(i)));
            if (known) token.mint(payees[i], 1);
        }
    }

    function _assertPaid(address[] memory payees, uint256 before) private view {
        for (uint256 i = 0; i < payees.length; ++i) {
            assertEq(token.balanceOf(payees[i]), AMOUNT + before);
        }
    }

    function _of(string memory name, uint256 known) private pure returns (string memory) {
        return string.concat(name, known == 1 ? ", payee known" : ", payee fresh");
    }
}
