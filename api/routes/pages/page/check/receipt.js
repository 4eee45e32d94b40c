// A receipt by itself: the proofs of its entries, and the story that they tell together: docs/receipt.md.
// It throws at the first thing that is false, in the order in which `tallystick verify` looks.

const MAX_TEXT_BYTES = 1048576;

// RFC 9162, section 2.1.3.2: an inclusion path, the leaves' level first.
async function checkInclusion(role, proven, size, root) {
  const fault = (code, why) =>
    refuse(code, `the ${role}, entry ${proven.position}, is not in the tree of size ${size}: ${why}`);
  if (size >= SIZE_LIMIT) fault("size-range", "a log has less than 2^40 entries");
  if (proven.position >= size) fault("run-range", "the tree has no such place");
  let hash = await sha256(joined(Uint8Array.of(0), proven.data));
  let at = proven.position,
    last = size - 1n,
    used = 0;
  const take = () => {
    if (used === proven.path.length) fault("proof-too-short", "its path lacks a hash");
    return proven.path[used++];
  };
  while (last) {
    if (at & 1n) hash = await sha256(joined(Uint8Array.of(1), take(), hash));
    else if (at < last) hash = await sha256(joined(Uint8Array.of(1), hash, take()));
    at >>= 1n;
    last >>= 1n;
  }
  if (used < proven.path.length) fault("proof-too-long", "its path has a hash too many");
  if (!same(hash, root)) fault("root-mismatch", `its path leads to ${toHex(hash)}`);
}

function agree(role, what, found, wanted) {
  const isSame = found instanceof Uint8Array ? same(found, wanted) : found === wanted;
  const shown = (value) => (value instanceof Uint8Array ? toHex(value) : String(value));
  if (!isSame)
    refuse(
      "receipt-mismatch",
      `the ${role} contradicts the receipt: ${what} is ${shown(found)}, not ${shown(wanted)}`,
    );
}

// A running count and sum, as far as one entry shows them.
function checkSum(role, proven, prev, n, total) {
  const canBe = prev === 0n ? n === 1n && total === proven.value : prev < proven.position && n > 1n;
  if (!canBe || total < proven.value)
    refuse(
      "receipt-sum",
      `the ${role}, entry ${proven.position}, is worth ${proven.value} units, and cannot be number ${n} of its contract behind entry ${prev} with ${total} units in all`,
    );
}

function checkOutcome(receipt) {
  const outcome = receipt.entries.get("outcome"),
    transition = receipt.entries.get("transition");
  const touch = receipt.entries.get("touch"),
    facts = unpack(outcome.payload, OUTCOME, "outcome");
  agree("outcome", "contract", outcome.actor, receipt.contractId);
  agree("outcome", "transition's position", facts.transition, transition.position);
  agree("transition", "lead", transition.subject, outcome.subject);
  agree("transition", "surface", transition.surface, outcome.surface);
  agree("transition", "state", transition.label, outcome.label);
  agree("transition", "time", transition.time, outcome.time);
  if (touch) {
    agree("outcome", "touch's position", facts.touch, touch.position);
    agree("touch", "lead", touch.subject, outcome.subject);
    agree("touch", "surface", touch.surface, outcome.surface);
    checkReport(touch);
  }
  if (facts.touch >= facts.transition)
    refuse("receipt-order", "the touch does not come before the transition");
  if (outcome.position !== facts.transition + 1n)
    refuse(
      "receipt-order",
      `the outcome, entry ${outcome.position}, does not stand directly behind its transition, entry ${facts.transition}`,
    );
  checkSum("outcome", outcome, facts.prev, facts.n, facts.earned);
}

// A touch that others report: by what its opening tells of the report.
function checkReport(touch) {
  if (touch.kind !== "touch.reported") return;
  if (touch.time > touch.opening.received_ms)
    refuse("receipt-times", `the touch, entry ${touch.position}, was reported before it happened`);
  if (touch.opening.cause >= touch.position)
    refuse(
      "receipt-order",
      `the touch, entry ${touch.position}, names entry ${touch.opening.cause} as its cause, which does not come before it`,
    );
}

function checkReversal(receipt) {
  const [reversal, outcome, event] = ["reversal", "outcome", "event"].map((role) =>
    receipt.entries.get(role),
  );
  const facts = unpack(reversal.payload, REVERSAL, "reversal");
  agree("reversal", "contract", reversal.actor, receipt.contractId);
  agree("reversal", "outcome's position", facts.outcome, outcome.position);
  if (reversal.value > outcome.value) refuse("receipt-amount", "the reversal takes back more than was paid");
  agree("reversal", "lead", reversal.subject, outcome.subject);
  agree("reversal", "event's position", facts.event, event.position);
  agree("event", "lead", event.subject, reversal.subject);
  agree("event", "surface", event.surface, reversal.surface);
  agree("event", "time", event.time, reversal.time);
  const bought = unpack(outcome.payload, OUTCOME, "outcome");
  agree("event", "transition that it takes back from", event.opening.of, bought.transition);
  const isInOrder = outcome.position < event.position && event.position === reversal.position - 1n;
  if (!isInOrder)
    refuse(
      "receipt-order",
      `the reversal, entry ${reversal.position}, does not stand directly behind its event, entry ${event.position}, and that behind the outcome, entry ${outcome.position}`,
    );
  checkSum("reversal", reversal, facts.prev, facts.n, facts.reversed);
  checkRefund(event, receipt.entries.get("transition"), outcome.position);
}

// What an event's opening tells of a refund, by the transition that it takes back from.
function checkRefund(event, transition, outcome) {
  const told = event.opening,
    value = transition.value;
  const before = BigInt(told.refunded_before_units),
    after = BigInt(told.refunded_after_units);
  // Without an order it is all that is left.
  if (told.order === ZERO_WORD) agree("event", "whole", told.whole, true);
  else agree("event", "order", told.order, transition.opening.order);
  if (!told.previous) agree("event", "refund before the first", before, 0n);
  else if (!(outcome < told.previous && told.previous < event.position))
    refuse(
      "receipt-order",
      `the event, entry ${event.position}, names entry ${told.previous} as the refund before it, which does not stand between it and the outcome, entry ${outcome}`,
    );
  if (before > value) refuse("receipt-amount", "more was refunded before the event than was bought");
  const isAll = told.whole || event.value >= value - before;
  agree("event", "refund in all", after, isAll ? value : before + event.value);
}

function checkSettlement(receipt) {
  const settlement = receipt.entries.get("settlement"),
    facts = unpack(settlement.payload, SETTLEMENT, "settlement");
  const outcome = receipt.entries.get("outcome"),
    reversal = receipt.entries.get("reversal");
  agree("settlement", "contract", settlement.subject, receipt.contractId);
  agree("settlement", "net", settlement.value, facts.earned - facts.reversed);
  if (outcome)
    checkCovered(
      settlement,
      outcome,
      "outcome",
      facts.lastOutcome,
      unpack(outcome.payload, OUTCOME, "outcome").earned,
      facts.earned,
    );
  if (reversal)
    checkCovered(
      settlement,
      reversal,
      "reversal",
      facts.lastReversal,
      unpack(reversal.payload, REVERSAL, "reversal").reversed,
      facts.reversed,
    );
  for (const [what, last, total] of [
    ["outcome", facts.lastOutcome, facts.earned],
    ["reversal", facts.lastReversal, facts.reversed],
  ]) {
    if (last >= settlement.position || (last === 0n && total))
      refuse(
        "receipt-sum",
        `the settlement, entry ${settlement.position}, states ${total} units up to the ${what} at entry ${last}, which cannot be`,
      );
  }
  if (receipt.subject === "payout" && settlement.position > receipt.position)
    refuse("receipt-order", "the settlement does not come before the payout");
}

// A settlement states a total up to its last entry of a role: it must cover this one.
function checkCovered(settlement, proven, role, last, own, total) {
  const covers = proven.position <= last && last < settlement.position && own <= total;
  if (!covers) refuse("receipt-uncovered", `the settlement does not cover the ${role}`);
  if (proven.position === last && own !== total)
    refuse(
      "receipt-sum",
      `the settlement states ${total} units up to the ${role}, entry ${last}, with which its contract has come to ${own}`,
    );
}

async function checkStory(receipt) {
  for (const [role, proven] of receipt.entries) {
    await checkInclusion(role, proven, receipt.size, receipt.root);
    const fits = !proven.opening || same(await sha256(proven.opening.words), proven.payload);
    if (!fits) refuse("receipt-opening", `the opening of the ${role} does not match it`);
  }
  if (receipt.entries.has("outcome")) checkOutcome(receipt);
  if (receipt.entries.has("reversal")) checkReversal(receipt);
  if (receipt.entries.has("settlement")) checkSettlement(receipt);
  const payout = receipt.entries.get("payout");
  if (payout) agree("payout", "contract", payout.subject, receipt.contractId);
}

// By its name in a receipt and on this page, a fact that its reader may know from elsewhere.
const FACTS = {
  chain_id: (receipt) => String(receipt.chainId),
  event_log: (receipt) => receipt.eventLog,
  escrow: (receipt) => receipt.escrow,
  log_id: (receipt) => toHex(receipt.logId),
  origin: (receipt) => receipt.origin,
};

const ADDRESS_FORM = [/^0x[0-9a-fA-F]{40}$/, "an address"];
// By name, the form of what a reader may know, and its words.
const KNOWN_FORMS = {
  chain_id: [/^[1-9][0-9]{0,18}$/, "a whole number above 0"],
  event_log: ADDRESS_FORM,
  escrow: ADDRESS_FORM,
  log_id: [/^0x[0-9a-fA-F]{64}$/, "0x and 64 hex digits"],
  origin: [/^[\x20-\x7e]{1,255}$/, "1 to 255 printable ASCII characters"],
  publisher: ADDRESS_FORM,
  verifier: ADDRESS_FORM,
};

// What is garbled says nothing of a receipt.
function checkForms(known) {
  for (const [name, [form, words]] of Object.entries(KNOWN_FORMS)) {
    const value = known[name] || "";
    if (value && !form.test(value)) throw new Unreadable(`what you know as ${name} must be ${words}`);
  }
}

// Compares a receipt with what is known; returns what is taken on trust.
function compareKnown(receipt, known) {
  const onTrust = [];
  for (const [name, of] of Object.entries(FACTS)) {
    const found = of(receipt),
      wanted = known[name] || "";
    // Hex may be spelt otherwise; an origin that looks like it may not.
    const isSame = found === wanted || (name !== "origin" && found.toLowerCase() === wanted.toLowerCase());
    if (wanted === "") onTrust.push(`${name} ${found}, which the receipt names itself`);
    else if (!isSame) refuse("pin-differs", `the receipt names ${name} ${found}; you know ${wanted}`);
  }
  return onTrust;
}

// Checks a receipt's text by itself. Returns the receipt, and what this shows and leaves open.
async function checkReceipt(text, known = {}) {
  checkForms(known);
  if (textBytes(text).length > MAX_TEXT_BYTES)
    throw new Unreadable(`it has more than ${MAX_TEXT_BYTES} bytes, and no receipt has`);
  const receipt = parse(new Reader(text).document());
  const onTrust = compareKnown(receipt, known);
  await checkStory(receipt);
  const places = [...receipt.entries].map(([role, proven]) => `${role} ${proven.position}`).join(", ");
  const shown = [
    `${receipt.entries.size} entries stand in the tree of size ${receipt.size} with root ${toHex(receipt.root)}`,
    `they tell one story: ${places}`,
  ];
  const pending = [...receipt.pending].map(
    ([role, at]) => `the ${role}, entry ${at}, is not anchored yet; fetch the receipt again later`,
  );
  return { receipt, shown, pending, onTrust, notChecked: leftOpen(receipt) };
}

// What no check of this receipt says anything of.
function leftOpen(receipt) {
  const left = [];
  if (receipt.subject === "reversal")
    left.push(
      `the touch that earned the outcome: it is in the receipt of entry ${receipt.entries.get("outcome").position}`,
    );
  const kind = receipt.entries.get(receipt.subject).kind;
  const missing = RECEIPTS[kind][1].filter(
    (role) => !receipt.entries.has(role) && !receipt.pending.has(role),
  );
  if (missing.length === 2)
    left.push("what the contract owes and has paid: no statement and no payment is shown");
  else left.push(...missing.map((role) => `a ${role}: the receipt has none`));
  left.push(
    "that the log's rules give these entries and no others instead; `tallystick replay` judges the whole log",
  );
  return left;
}

// Who signed the checkpoint, as far as the receipt alone shows. Returns the account.
function checkSignature(receipt, known) {
  const { account, why } = signerOf(checkpointDigest(receipt), receipt.signature);
  if (account === null)
    refuse(
      "receipt-signature",
      `the checkpoint's signature is that of no key: ${why}; were the publisher a contract (ERC-1271), the chain alone could tell: give a node`,
    );
  comparePublisher(account, known);
  return account;
}

function comparePublisher(account, known) {
  const wanted = known.publisher || "";
  if (wanted && wanted.toLowerCase() !== account.toLowerCase())
    refuse("pin-differs", `the checkpoint is signed by ${account}; you know ${wanted}`);
}

// Compares the verifier that terms name; returns what is taken on trust.
function compareVerifier(account, known) {
  const wanted = known.verifier || "";
  if (!wanted) return [`verifier ${account}, as the terms name it`];
  if (wanted.toLowerCase() !== account.toLowerCase())
    refuse("pin-differs", `the terms name the verifier ${account}; you know ${wanted}`);
  return [];
}

// What a receipt shows without a node, and what it then says nothing of.
function checkAlone(receipt, known) {
  const account = checkSignature(receipt, known);
  const onTrust = known.publisher ? [] : [`publisher ${account}, whose signature it is`];
  onTrust.push("that this root is the log's own: anyone can make a receipt for a log of an own key");
  return { shown: [`the checkpoint is signed by ${account}`], notChecked: leftToChain(receipt), onTrust };
}

// What a check without a node says nothing of.
function leftToChain(receipt) {
  const left = [
    `what the signed terms of contract ${toHex(receipt.contractId)} give, and which verifier they name: they stand on the chain`,
  ];
  if (receipt.entries.has("settlement")) left.push("that the escrow took the settlement");
  if (receipt.entries.has("payout")) left.push("that the escrow has paid");
  return left;
}
