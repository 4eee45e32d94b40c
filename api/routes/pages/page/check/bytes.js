// Bytes, hashes, and the errors of a check. Numbers are BigInt, since 53 bits hold no amounts; bytes are
// Uint8Array.

const WORD = 32,
  ADDRESS_BYTES = 20;

// A receipt, or what a chain says of it, is false.
class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}
// What was given is no receipt to be judged: no JSON, or too much of it.
class Unreadable extends Error {}
// Nothing is false, and the chain does not show it yet.
class NotYet extends Error {}
// A node does not answer, or is not one of the receipt's chain.
class NodeTrouble extends Error {
  // Whether it is what was called that failed, and not the node.
  constructor(message, isRevert = false) {
    super(message);
    this.isRevert = isRevert;
  }
}

function refuse(code, message) {
  throw new Refused(code, message);
}

function toHex(bytes) {
  return "0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(text) {
  return Uint8Array.from(text.slice(2).match(/../g) || [], (pair) => parseInt(pair, 16));
}

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function same(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function numberOf(bytes) {
  return bytes.length ? BigInt(toHex(bytes)) : 0n;
}

function wordOf(number) {
  return fromHex("0x" + number.toString(16).padStart(2 * WORD, "0"));
}

function textBytes(text) {
  return new TextEncoder().encode(text);
}

async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

// Keccak-256 as the chain has it: the sponge of FIPS 202 with the padding from before the standard.
const LANE = (1n << 64n) - 1n;
const ROTATIONS = [
  0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14,
];

function roundConstants() {
  // A shift register of eight bits gives them (FIPS 202, algorithm 5).
  let register = 1;
  return Array.from({ length: 24 }, () => {
    let constant = 0n;
    for (let bit = 0; bit < 7; bit++) {
      if (register & 1) constant |= 1n << ((1n << BigInt(bit)) - 1n);
      register = register & 0x80 ? (register << 1) ^ 0x171 : register << 1;
    }
    return constant;
  });
}

const ROUND_CONSTANTS = roundConstants();

function rotated(lane, by) {
  return ((lane << BigInt(by)) | (lane >> BigInt(64 - by))) & LANE;
}

function permute(lanes) {
  for (const constant of ROUND_CONSTANTS) {
    const columns = [0, 1, 2, 3, 4].map(
      (x) => lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20],
    );
    const moved = new Array(25);
    for (let at = 0; at < 25; at++) {
      const x = at % 5,
        y = (at - x) / 5;
      const mixed = lanes[at] ^ columns[(x + 4) % 5] ^ rotated(columns[(x + 1) % 5], 1);
      moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotated(mixed, ROTATIONS[at]);
    }
    for (let at = 0; at < 25; at++) {
      const row = at - (at % 5);
      lanes[at] = moved[at] ^ (~moved[row + ((at + 1) % 5)] & LANE & moved[row + ((at + 2) % 5)]);
    }
    lanes[0] ^= constant;
  }
}

function keccak(data) {
  const rate = 136,
    lanes = new Array(25).fill(0n);
  const padded = new Uint8Array((Math.floor(data.length / rate) + 1) * rate);
  padded.set(data);
  padded[data.length] ^= 1;
  padded[padded.length - 1] ^= 0x80;
  for (let start = 0; start < padded.length; start += rate) {
    for (let lane = 0; lane < rate / 8; lane++) {
      lanes[lane] ^= numberOf(padded.slice(start + 8 * lane, start + 8 * lane + 8).reverse());
    }
    permute(lanes);
  }
  return joined(...lanes.slice(0, 4).map((lane) => wordOf(lane).slice(24).reverse()));
}

// An address with its checksum (EIP-55), of 20 bytes.
function addressOf(bytes) {
  const digits = toHex(bytes).slice(2),
    signs = toHex(keccak(textBytes(digits))).slice(2);
  return "0x" + Array.from(digits, (digit, at) => (signs[at] > "7" ? digit.toUpperCase() : digit)).join("");
}

function hashOf(text) {
  return keccak(textBytes(text));
}

function addressWord(address) {
  return joined(new Uint8Array(WORD - ADDRESS_BYTES), fromHex(address.toLowerCase()));
}

// The words of ABI-encoded bytes.
function wordsOf(bytes) {
  return Array.from({ length: Math.floor(bytes.length / WORD) }, (_, at) =>
    bytes.slice(WORD * at, WORD * at + WORD),
  );
}
