// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Amounts of one contract that every settlement changes, packed into one word. From the high
/// bits down: 0 u16, endsAt u40, lastFinal u40, budget u80, paid u80.
///   paid       the amount paid so far, fees included; it never falls
///   budget     the escrowed amount; a refund lowers it to the reserved amount
///   lastFinal  the position of the last final settlement entry; it never falls
///   endsAt     T2 = deadline + grace, the last second for statements, or the second in which the
///              parties closed the contract; zero means that there is no such contract
type Balance is uint256;

/// @dev Configuration of one contract that a settlement only reads, packed into one word. From the
/// high bits down: flags u16, priceStep u80, payee u160.
///   payee      the recipient of payouts
///   priceStep  the unit price, of which all amounts are multiples; zero with a revenue share
///   flags      a set of GUARDED, RETIRED and CLOSED; zero for a plain contract
type Config is uint256;

/// @dev The two words of a contract. They are packed by hand because the cost of a settlement is
/// the slots it touches, and the compiler reads and writes a packed slot once for each field.
struct Ledger {
    Balance balance;
    Config config;
}

using {paid, budget, lastFinal, endsAt, withSettlement, withBudget, withEnd} for Balance global;
using {payee, priceStep, flags, has, withFlag} for Config global;

uint256 constant GUARDED = 1; // it is not plain, and has a record (see GuardedRecord.sol)
uint256 constant RETIRED = 2; // its verifier has signed a false entry
uint256 constant CLOSED = 4; //  both parties have closed it

uint256 constant UINT40 = type(uint40).max;
uint256 constant UINT80 = type(uint80).max;

// The functions below shift and do not mask what they are given: an argument that is too large
// would run over into the next field. Callers pass only values that fit. The terms rules bound
// amounts to 80 bits and times to 40, MerkleLog bounds positions to 40, and the flags above fit 16.

/// Packs the balance of a contract that has paid nothing and has no statement.
function newBalance(uint256 budget_, uint256 endsAt_) pure returns (Balance) {
    return Balance.wrap(endsAt_ << 200 | budget_ << 80);
}

/// Packs a configuration.
function newConfig(address payee_, uint256 priceStep_, uint256 flags_) pure returns (Config) {
    return Config.wrap(flags_ << 240 | priceStep_ << 160 | uint160(payee_));
}

function paid(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) & UINT80;
}

function budget(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) >> 80 & UINT80;
}

function lastFinal(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) >> 160 & UINT40;
}

function endsAt(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) >> 200;
}

/// Returns the balance with another paid amount and last final position.
function withSettlement(Balance self, uint256 paid_, uint256 lastFinal_) pure returns (Balance) {
    uint256 kept = Balance.unwrap(self) & ~(UINT40 << 160 | UINT80);
    return Balance.wrap(kept | lastFinal_ << 160 | paid_);
}

/// Returns the balance with another budget.
function withBudget(Balance self, uint256 budget_) pure returns (Balance) {
    uint256 kept = Balance.unwrap(self) & ~(UINT80 << 80);
    return Balance.wrap(kept | budget_ << 80);
}

/// Returns the balance with another end.
function withEnd(Balance self, uint256 endsAt_) pure returns (Balance) {
    uint256 kept = Balance.unwrap(self) & ~(UINT40 << 200);
    return Balance.wrap(kept | endsAt_ << 200);
}

function payee(Config self) pure returns (address) {
    return address(uint160(Config.unwrap(self)));
}

function priceStep(Config self) pure returns (uint256) {
    return Config.unwrap(self) >> 160 & UINT80;
}

function flags(Config self) pure returns (uint256) {
    return Config.unwrap(self) >> 240;
}

/// Returns true if the flag is set.
function has(Config self, uint256 flag) pure returns (bool) {
    return self.flags() & flag != 0;
}

/// Returns the configuration with the flag set.
function withFlag(Config self, uint256 flag) pure returns (Config) {
    return Config.wrap(Config.unwrap(self) | flag << 240);
}
