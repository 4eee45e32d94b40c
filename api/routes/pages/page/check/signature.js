// Signatures of checkpoints: EIP-712 digests, and the account whose key signed one (secp256k1, SEC 1
// section 4.1.6). Nothing here is secret, so nothing need take the same time.

const PRIME = 2n ** 256n - 2n ** 32n - 977n;
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const GENERATOR = [
  0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n,
  0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8n,
];
const DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const CHECKPOINT_TYPE = "Checkpoint(bytes32 logId,uint64 size,bytes32 root)";

// The digest that is signed of a struct's hash, in the domain of a contract of ours.
function digestOf(name, chainId, contract, structHash) {
  const separator = keccak(
    joined(hashOf(DOMAIN_TYPE), hashOf(name), hashOf("1"), wordOf(chainId), addressWord(contract)),
  );
  return keccak(joined(Uint8Array.of(0x19, 1), separator, structHash));
}

function checkpointDigest(receipt) {
  const struct = keccak(joined(hashOf(CHECKPOINT_TYPE), receipt.logId, wordOf(receipt.size), receipt.root));
  return digestOf("Tallystick EventLog", receipt.chainId, receipt.eventLog, struct);
}

function modulo(number, by) {
  const rest = number % by;
  return rest < 0n ? rest + by : rest;
}

function inverse(number, by) {
  let [low, high, x, y] = [modulo(number, by), by, 1n, 0n];
  while (low > 1n) {
    const times = high / low;
    [low, high, x, y] = [high % low, low, y - x * times, x];
  }
  return modulo(x, by);
}

function power(base, exponent) {
  let result = 1n;
  for (let rest = exponent; rest; rest >>= 1n) {
    if (rest & 1n) result = (result * base) % PRIME;
    base = (base * base) % PRIME;
  }
  return result;
}

// The sum of two points of the curve; null is the point at infinity.
function sumOf(one, other) {
  if (!one || !other) return one || other;
  const [x, y] = one,
    [u, v] = other;
  if (x === u && modulo(y + v, PRIME) === 0n) return null;
  const slope = x === u ? 3n * x * x * inverse(2n * y, PRIME) : (v - y) * inverse(u - x, PRIME);
  const at = modulo(slope * slope - x - u, PRIME);
  return [at, modulo(slope * (x - at) - y, PRIME)];
}

function timesOf(point, factor) {
  let sum = null;
  for (let rest = factor; rest; rest >>= 1n) {
    if (rest & 1n) sum = sumOf(sum, point);
    point = sumOf(point, point);
  }
  return sum;
}

// The account whose key made this signature of a digest, or why no key did.
function signerOf(digest, signature) {
  const none = (why) => ({ account: null, why });
  if (signature.length !== 65) return none(`it has ${signature.length} bytes, not 65`);
  const r = numberOf(signature.slice(0, WORD)),
    s = numberOf(signature.slice(WORD, 2 * WORD)),
    v = signature[64];
  if (v !== 27 && v !== 28) return none(`v is ${v}; it must be 27 or 28`);
  // With a high s, every signature would have a second valid form (EIP-2).
  if (s > ORDER / 2n) return none("s is in the upper half of the curve's order");
  if (!r || !s || r >= ORDER) return none("r or s is zero, or r is not below the curve's order");
  const square = modulo(r ** 3n + 7n, PRIME),
    root = power(square, (PRIME + 1n) / 4n);
  if ((root * root) % PRIME !== square) return none("no key made it");
  const y = root % 2n === BigInt(v - 27) ? root : PRIME - root;
  const factor = inverse(r, ORDER),
    hash = numberOf(digest);
  const key = sumOf(
    timesOf([r, y], modulo(s * factor, ORDER)),
    timesOf(GENERATOR, modulo(-hash * factor, ORDER)),
  );
  if (!key) return none("no key made it");
  return { account: addressOf(keccak(joined(...key.map(wordOf))).slice(WORD - ADDRESS_BYTES)), why: "" };
}
