// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// What changes with every settlement, in one word; high bits first: 0 u16, endsAt u40, floor u40,
/// budget u80, paid u80.
///   paid     so far, fees included; never falls
///   budget   what is escrowed; a refund lowers it to what is reserved
///   floor    index of the last settlement entry; never falls
///   endsAt   T2 = deadline + grace, until when statements are taken, or when the parties closed the
///            contract; zero: no such contract
type Balance is uint256;

/// What a settlement only reads, in one word; high bits first: flags u16, unit u80, payee u160.
///   unit     the unit price, of which all amounts are multiples; zero if there is a revenue share
///   flags    zero for a plain contract with nothing to tell
type Deal is uint256;

/// The two words of a contract. They are packed by hand because a settlement is paid per slot it
/// touches, and the compiler reads and writes a packed slot once for each field.
struct Ledger {
    Balance balance;
    Deal deal;
}

using {paid, budget, floor, endsAt, settled, withBudget, withEnd} for Balance global;
using {payee, unit, flags, has, withFlag} for Deal global;

uint256 constant GUARDED = 1; //  not plain: it has a Position
uint256 constant RETIRED = 2; //  its verifier has signed something false
uint256 constant CLOSED = 4; //   by both parties

uint256 constant UINT40 = type(uint40).max;
uint256 constant UINT80 = type(uint80).max;

/// Of amounts and times that the terms rules have found to fit.
function newBalance(uint256 budget_, uint256 endsAt_) pure returns (Balance) {
    return Balance.wrap(endsAt_ << 200 | budget_ << 80);
}

function newDeal(address payee_, uint256 unit_, uint256 flags_) pure returns (Deal) {
    return Deal.wrap(flags_ << 240 | unit_ << 160 | uint160(payee_));
}

function paid(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) & UINT80;
}

function budget(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) >> 80 & UINT80;
}

function floor(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) >> 160 & UINT40;
}

function endsAt(Balance self) pure returns (uint256) {
    return Balance.unwrap(self) >> 200;
}

/// With these instead; the caller has checked that they fit.
function settled(Balance self, uint256 paid_, uint256 floor_) pure returns (Balance) {
    uint256 kept = Balance.unwrap(self) & ~(UINT40 << 160 | UINT80);
    return Balance.wrap(kept | floor_ << 160 | paid_);
}

function withBudget(Balance self, uint256 budget_) pure returns (Balance) {
    uint256 kept = Balance.unwrap(self) & ~(UINT80 << 80);
    return Balance.wrap(kept | budget_ << 80);
}

function withEnd(Balance self, uint256 endsAt_) pure returns (Balance) {
    uint256 kept = Balance.unwrap(self) & ~(UINT40 << 200);
    return Balance.wrap(kept | endsAt_ << 200);
}

function payee(Deal self) pure returns (address) {
    return address(uint160(Deal.unwrap(self)));
}

function unit(Deal self) pure returns (uint256) {
    return Deal.unwrap(self) >> 160 & UINT80;
}

function flags(Deal self) pure returns (uint256) {
    return Deal.unwrap(self) >> 240;
}

function has(Deal self, uint256 flag) pure returns (bool) {
    return self.flags() & flag != 0;
}

function withFlag(Deal self, uint256 flag) pure returns (Deal) {
    return Deal.wrap(Deal.unwrap(self) | flag << 240);
}
