// Entries of the log, their openings and packed payloads: docs/entries.md.

const ENTRY_BYTES = 256;
const SIZE_LIMIT = 2n ** 40n,
  TIME_LIMIT = 2n ** 63n,
  AMOUNT_LIMIT = 2n ** 80n;

const KINDS = [
  "genesis",
  "touch",
  "touch.reported",
  "action.requested",
  "action.answered",
  "code.issued",
  "code.ended",
  "lead.registered",
  "lead.transition",
  "lead.refused",
  "product.event",
  "outcome",
  "outcome.over",
  "outcome.reversed",
  "settlement",
  "payout",
  "contract.opened",
  "contract.closed",
  "dispute.opened",
  "dispute.ruled",
  "operator.registered",
  "policy.published",
  "settings.published",
  "forecast.made",
  "forecast.scored",
  "trust.changed",
  "operator.suspended",
  "operator.restored",
  "erasure",
];
// By role, the kinds of its entries.
const ROLES = {
  touch: ["touch", "touch.reported"],
  transition: ["lead.transition"],
  event: ["product.event"],
  outcome: ["outcome"],
  reversal: ["outcome.reversed"],
  settlement: ["settlement"],
  payout: ["payout"],
};
// By kind of the entry that a receipt is of: the roles that it always has, and those that it may have.
const RECEIPTS = {
  outcome: [
    ["touch", "transition", "outcome"],
    ["settlement", "payout"],
  ],
  "outcome.reversed": [
    ["transition", "outcome", "event", "reversal"],
    ["settlement", "payout"],
  ],
  settlement: [["settlement"], ["payout"]],
  payout: [["payout"], ["settlement"]],
};
const OF_CONTRACT = ["outcome", "reversal", "settlement", "payout"];
// By kind, the members of the opening of its entries and the form of each.
const OPENINGS = {
  touch: { request_hash: "word", commitment: "word", key: "word" },
  "touch.reported": { cause: "position", received_ms: "time", request_hash: "word", commitment: "word" },
  "lead.transition": {
    from_state: "label",
    counted: "position",
    received_ms: "time",
    order: "word",
    request_hash: "word",
    commitment: "word",
  },
  "product.event": {
    received_ms: "time",
    order: "word",
    of: "position",
    previous: "position",
    refunded_before_units: "units",
    refunded_after_units: "units",
    whole: "truth",
    request_hash: "word",
    commitment: "word",
  },
};
const ZERO_WORD = "0x" + "00".repeat(WORD);

// The text of a word, or null if it is no label.
function labelOf(word) {
  let end = word.length;
  while (end && word[end - 1] === 0) end--;
  const text = String.fromCharCode(...word.slice(0, end));
  return /^[\x20-\x7e]*$/.test(text) ? text : null;
}

function labelWord(text) {
  return joined(textBytes(text), new Uint8Array(WORD - text.length));
}

function decode(data, role) {
  const words = Array.from({ length: 8 }, (_, at) => data.slice(WORD * at, WORD * at + WORD));
  const kind = labelOf(words[0]),
    label = labelOf(words[4]);
  if (!KINDS.includes(kind))
    refuse("kind-unknown", `the ${role} is no entry: word ${toHex(words[0])} is not a kind of entry`);
  const time = numberOf(words[6]);
  if (time >= TIME_LIMIT) refuse("time-range", `the ${role} is no entry: its time is not in [0, 2^63)`);
  if (label === null) refuse("label-not-ascii", `the ${role} is no entry: its label is not printable ASCII`);
  return {
    kind,
    surface: words[1],
    actor: words[2],
    subject: words[3],
    label,
    value: numberOf(words[5]),
    time,
    payload: words[7],
  };
}

// By form of a member of an opening: is this a value in it, and its word.
const FORMS = {
  word: [(value) => typeof value === "string" && /^0x[0-9a-f]{64}$/.test(value), fromHex],
  label: [(value) => typeof value === "string" && /^[\x20-\x7e]{0,32}$/.test(value), labelWord],
  position: [(value) => typeof value === "bigint" && value < SIZE_LIMIT, wordOf],
  time: [(value) => typeof value === "bigint" && value < TIME_LIMIT, wordOf],
  units: [
    (value) =>
      typeof value === "string" && /^(?:0|[1-9][0-9]{0,24})$/.test(value) && BigInt(value) < AMOUNT_LIMIT,
    (value) => wordOf(BigInt(value)),
  ],
  truth: [(value) => typeof value === "boolean", (value) => wordOf(value ? 1n : 0n)],
};

// The opening of an entry as an object, or null for a kind without one; `words` are its bytes.
function openingOf(value, kind, role) {
  const members = OPENINGS[kind];
  if (!members) {
    if (value !== null) refuse("receipt-opening", `the ${role} has an opening, and its kind has none`);
    return null;
  }
  if (value === null)
    refuse("receipt-opening", `the opening of the ${role} is missing; a receipt always has it`);
  tableOf(value, "an opening");
  const names = Object.keys(members);
  const isInForm =
    value.size === names.length &&
    [...value.keys()].every((name, at) => name === names[at] && FORMS[members[name]][0](value.get(name)));
  if (!isInForm) refuse("receipt-malformed", `the opening of the ${role} is not in its form`);
  const words = joined(...names.map((name) => FORMS[members[name]][1](value.get(name))));
  return { ...Object.fromEntries(value), words };
}

// The fields of a packed payload, by their widths in bits, high bits first.
function unpack(payload, widths, role) {
  let rest = numberOf(payload),
    left = 256n;
  const fields = {};
  for (const [name, bits] of Object.entries(widths)) {
    left -= BigInt(bits);
    fields[name] = rest >> left;
    rest &= (1n << left) - 1n;
  }
  if (rest)
    refuse(
      "padding-not-zero",
      `a payload in the receipt is none: that of the ${role} does not end with zeros`,
    );
  return fields;
}

const OUTCOME = { transition: 40, touch: 40, prev: 40, n: 40, earned: 80 };
const REVERSAL = { outcome: 40, event: 40, prev: 40, n: 40, reversed: 80 };
const SETTLEMENT = { earned: 80, reversed: 80, lastOutcome: 48, lastReversal: 48 };
