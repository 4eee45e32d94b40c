// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev What is stored of one contract and changes with every settlement, packed into one word. From
/// the high bits down: flags u16, endsAt u40, lastFinal u40, budget u80, paid u80.
///   paid       the amount paid so far, fees included; it never falls
///   budget     the escrowed amount; a refund lowers it to the reserved amount
///   lastFinal  the position of the last final settlement entry; it never falls
///   endsAt     T2 = deadline + grace, the last second for statements; zero means that there is no
///              such contract
///   flags      a set of RETIRED and CLOSED
type Balance is uint256;

/// @dev What a settlement must know of the terms of any contract, packed into one word. It is not
/// stored: whoever brings a statement brings it, and a ledger is found by it alone. From the high bits
/// down: guarded u16, priceStep u80, payee u160.
///   payee      the recipient of payouts
///   priceStep  the unit price, of which all amounts are multiples; zero with a revenue share
///   guarded    1 if statements are not paid at once and for good
type PayeeRule is uint256;

/// @dev The same of a guarded contract; zero for a plain one. From the high bits down: challengePeriod
/// u40, holdbackBps u16, holdbackPeriod u40, lateness u40, ratePeriod u40, rateCap u80.
type DelayRule is uint256;

/// @dev The word of a contract. It is packed by hand because the cost of a settlement is the slots it
/// touches, and the compiler reads and writes a packed slot once for each field.
struct Ledger {
    Balance balance;
}

using {paid, budget, lastFinal, endsAt, flags, has} for Balance global;
using {withSettlement, withBudget, withFlag} for Balance global;
using {payee, priceStep, isGuarded} for PayeeRule global;
using {
    challengePeriod,
    holdbackBps,
    holdbackPeriod,
    lateness,
    rateCap,
    ratePeriod
} for DelayRule global;

uint256 constant RETIRED = 1; // its verifier has signed a false entry
uint256 constant CLOSED = 2; //  both parties have closed it

uint256 constant UINT16 = type(uint16).max;
uint256 constant UINT40 = type(uint40).max;
uint256 constant UINT80 = type(uint80).max;

// The functions below shift and do not mask what they are given: an argument that is too large
// would run over into the next field. Callers pass only values that fit. The terms rules bound
// amounts to 80 bits, times to 40 and basis points to 14, MerkleLog bounds positions to 40, and the
// flags above fit 16.

/// Packs the balance of a contract that has paid nothing and has no statement.
function newBalance(uint256 budget_, uint256 endsAt_) pure returns (Balance) {
    return Balance.wrap(endsAt_ << 200 | budget_ << 80);
}

// Each of these returns the field of its name, as the types above describe it.
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
    return Balance.unwrap(self) >> 200 & UINT40;
}

function flags(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) >> 240;
}

/// Returns true if the flag is set.
function has(Balance self, uint256 flag) pure returns (bool) {
    return self.flags() & flag != 0;
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

/// Returns the balance with the flag set.
function withFlag(Balance self, uint256 flag) pure returns (Balance) {
    return Balance.wrap(Balance.unwrap(self) | flag << 240);
}

/// Packs a payee rule.
function newPayeeRule(address payee_, uint256 priceStep_, bool guarded_) pure returns (PayeeRule) {
    return PayeeRule.wrap((guarded_ ? 1 << 240 : 0) | priceStep_ << 160 | uint160(payee_));
}

// The same of a payee rule.
function payee(PayeeRule self) pure returns (address) {
    return address(uint160(PayeeRule.unwrap(self)));
}

function priceStep(PayeeRule self) pure returns (uint256) {
    return PayeeRule.unwrap(self) >> 160 & UINT80;
}

function isGuarded(PayeeRule self) pure returns (bool) {
    return PayeeRule.unwrap(self) >> 240 != 0;
}

/// Packs a delay rule.
function newDelayRule(
    uint256 challengePeriod_,
    uint256 holdbackBps_,
    uint256 holdbackPeriod_,
    uint256 lateness_,
    uint256 rateCap_,
    uint256 ratePeriod_
) pure returns (DelayRule) {
    return DelayRule.wrap(
        challengePeriod_ << 216 | holdbackBps_ << 200 | holdbackPeriod_ << 160 | lateness_ << 120
            | ratePeriod_ << 80 | rateCap_
    );
}

// The same of a delay rule.
function challengePeriod(DelayRule self) pure returns (uint256) {
    return DelayRule.unwrap(self) >> 216;
}

function holdbackBps(DelayRule self) pure returns (uint256) {
    return DelayRule.unwrap(self) >> 200 & UINT16;
}

function holdbackPeriod(DelayRule self) pure returns (uint256) {
    return DelayRule.unwrap(self) >> 160 & UINT40;
}

function lateness(DelayRule self) pure returns (uint256) {
    return DelayRule.unwrap(self) >> 120 & UINT40;
}

function ratePeriod(DelayRule self) pure returns (uint256) {
    return DelayRule.unwrap(self) >> 80 & UINT40;
}

function rateCap(DelayRule self) pure returns (uint256) {
    return DelayRule.unwrap(self) & UINT80;
}
