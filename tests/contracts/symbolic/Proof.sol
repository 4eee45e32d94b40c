// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface Vm {
    function assume(bool condition) external pure;
    function warp(uint256 time) external;
}

/// The base of the proofs: halmos takes every argument of a `check_` function for any value, and
/// reports the values for which an `assert` fails.
abstract contract Proof {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
}
