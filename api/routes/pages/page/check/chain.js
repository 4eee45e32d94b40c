// What a chain says of a receipt, by any node of it: the signed terms, the root, and the money.

const BPS = 10000n;

const TERMS_TYPES =
  "(address,address,address,address,address,address,bytes32,bytes32,bytes32,uint8,bytes32,bool,bool," +
  "uint256,uint16,uint256,uint64,uint64,uint64,uint64,uint64,uint64,uint64,uint64,uint16,uint64,uint256,uint64," +
  "uint16,address,uint256,bytes32)";
const TERMS_TYPE =
  "Terms(address owner,address operator,address payee,address token,address verifier,address arbiter," +
  "bytes32 logId,bytes32 surface,bytes32 policy,uint8 attribution,bytes32 outcome,bool repeatable,bool exclusive," +
  "uint256 unitPrice,uint16 revenueShareBps,uint256 budget,uint64 opensAt,uint64 deadline,uint64 attributionWindow," +
  "uint64 lateness,uint64 grace,uint64 claimPeriod,uint64 challengePeriod,uint64 arbitrationPeriod," +
  "uint16 holdbackBps,uint64 holdbackPeriod,uint256 rateCap,uint64 ratePeriod,uint16 feeBps,address feeRecipient," +
  "uint256 agentIdPlusOne,bytes32 salt)";
const TERMS_WORDS = 32;

const OPENED = `Opened(bytes32,address,address,${TERMS_TYPES})`;
const PAID = "Paid(bytes32,uint256,uint256)",
  CREDITED = "Credited(bytes32,address,uint256)",
  SETTLED = "Settled(bytes32,uint256)";
// By the signatures of events that are asked for at one time, the number of topics and of words of data.
const REGISTRATION = { "Registered(bytes32,address,address,string)": [3, 3] };
const HAND_OVER = { "PublisherChanged(bytes32,address,address,uint64)": [4, 1] };
const OPENING = { [OPENED]: [4, TERMS_WORDS] };
const MONEY = { [PAID]: [2, 2], [CREDITED]: [3, 1], [SETTLED]: [2, 1] };
// A product's clock may be a day off.
const DAY_S = 86400n;
const MAX_HAND_OVERS = 20;
// The end of a signature of a wallet that is not there yet (ERC-6492).
const WRAPPED = "6492".repeat(16);

// Asks a node what the chain says of a checked receipt. Returns what it shows and leaves open; `lacking` is
// that without which no receipt holds, and which was not shown.
async function checkOnChain(receipt, known, node) {
  const chainId = BigInt(await node.quantity("eth_chainId"));
  if (chainId !== receipt.chainId)
    throw new NodeTrouble(`${node.name} is of another chain than the receipt's, ${receipt.chainId}`);
  // All is asked of one block, so that a payment in between contradicts nothing.
  node.block = await node.quantity("eth_blockNumber");
  const shown = [],
    notChecked = [],
    lacking = [],
    onTrust = [`that ${node.name} tells what the chain holds`];
  await checkContracts(receipt, node);
  notChecked.push(
    `that the code at ${receipt.eventLog} and ${receipt.escrow} is that of Tallystick's contracts: this page does not compare it`,
  );
  await checkRegistration(receipt, node, shown, notChecked);
  await checkRoot(receipt, node);
  shown.push(`the chain holds this root: ${receipt.eventLog} on chain ${receipt.chainId}`);
  await checkSigner(receipt, known, node, shown, lacking);
  const forkedAt = await node.number(receipt.eventLog, "forkedAt(bytes32)", receipt.logId);
  if (forkedAt)
    shown.push(
      `but the log was marked as forked at ${timeText(forkedAt * 1000n)}: its publisher has told two histories, and this root is of one of them`,
    );
  const terms = await termsOf(receipt, node);
  if (terms === null) {
    lacking.push(
      `what the signed terms of contract ${toHex(receipt.contractId)} give: ${node.name} shows no event of its opening; ask a node that has the whole history`,
    );
    notChecked.push(...leftToChain(receipt).slice(1));
    return { shown, notChecked, onTrust, lacking };
  }
  checkTerms(receipt, terms);
  shown.push(
    `the signed terms of contract ${toHex(receipt.contractId)} ${givenByTerms(receipt).join(", and ")}`,
  );
  onTrust.unshift(...compareVerifier(addressOf(terms.verifier.slice(WORD - ADDRESS_BYTES)), known));
  if (receipt.entries.has("settlement") || receipt.entries.has("payout"))
    await checkMoney(receipt, terms, node, shown, notChecked, lacking);
  return { shown, notChecked, onTrust, lacking };
}

async function checkContracts(receipt, node) {
  for (const address of [receipt.eventLog, receipt.escrow]) {
    if ((await node.code(address)) === "0x")
      throw new NodeTrouble(
        `${address} is no contract on this chain: the receipt is of another deployment, or false`,
      );
  }
  const eventLog = await node.number(receipt.escrow, "eventLog()");
  if (eventLog !== numberOf(fromHex(receipt.eventLog.toLowerCase())))
    throw new NodeTrouble(`the escrow ${receipt.escrow} pays by another event log than the receipt names`);
}

async function checkRegistration(receipt, node, shown, notChecked) {
  if (!(await node.number(receipt.eventLog, "publisherOf(bytes32)", receipt.logId)))
    refuse(
      "log-unregistered",
      `no log ${toHex(receipt.logId)} is registered with the event log ${receipt.eventLog}`,
    );
  const [found] = await eventsOrNone(node, receipt.eventLog, REGISTRATION, receipt.logId);
  if (!found) {
    notChecked.push(`that the log is registered as ${receipt.origin}: ${node.name} shows no event of it`);
    return;
  }
  const registrant = found.topics[2].slice(WORD - ADDRESS_BYTES),
    words = wordsOf(found.data);
  const origin = found.data.slice(3 * WORD, 3 * WORD + Number(numberOf(words[2])));
  // The id is a digest of both, so a node cannot make them up unnoticed.
  const tail = new Uint8Array((WORD - (origin.length % WORD)) % WORD);
  const id = keccak(joined(found.topics[2], wordOf(64n), wordOf(BigInt(origin.length)), origin, tail));
  if (!same(id, receipt.logId)) throw new NodeTrouble(`${node.name} gives another registration for this log`);
  if (!same(origin, textBytes(receipt.origin)))
    refuse(
      "origin-false",
      `the receipt names the origin ${receipt.origin}, and the chain has the log registered under another`,
    );
  shown.push(`the log is registered as ${receipt.origin}, by ${addressOf(registrant)}`);
}

// The events that a node shows; none where it does not give them.
async function eventsOrNone(node, address, shapes, id) {
  try {
    return await node.events(address, shapes, id);
  } catch (error) {
    if (error instanceof NodeTrouble) return [];
    throw error;
  }
}

async function checkRoot(receipt, node) {
  const root = await node.number(
    receipt.eventLog,
    "rootAt(bytes32,uint64)",
    receipt.logId,
    wordOf(receipt.size),
  );
  if (root === numberOf(receipt.root)) return;
  if (root)
    refuse(
      "receipt-root",
      `the chain holds root ${toHex(wordOf(root))} for size ${receipt.size}, the receipt says ${toHex(receipt.root)}`,
    );
  const anchored = numberOf(
    (await node.view(receipt.eventLog, "latest(bytes32)", receipt.logId)).slice(0, WORD),
  );
  if (anchored > receipt.size)
    refuse(
      "receipt-passed-over",
      `the chain holds no checkpoint of size ${receipt.size} for this log, and never will: it is at size ${anchored}; fetch the receipt again`,
    );
  throw new NotYet(
    `the chain holds this log up to size ${anchored}, and the receipt is of size ${receipt.size}; check it again later`,
  );
}

// Who signed the checkpoint: the log's publisher, or one that has handed the log over since.
async function checkSigner(receipt, known, node, shown, lacking) {
  const digest = checkpointDigest(receipt),
    { account, why } = signerOf(digest, receipt.signature);
  const isOf = async (one) => one === account || (await node.accepts(one, digest, receipt.signature));
  const told = (office, one) => {
    comparePublisher(one, known);
    shown.push(`the checkpoint is signed by ${office}, ${one}`);
  };
  const word = wordOf(await node.number(receipt.eventLog, "publisherOf(bytes32)", receipt.logId));
  const publisher = addressOf(word.slice(WORD - ADDRESS_BYTES));
  if (await isOf(publisher)) return told("the log's publisher", publisher);
  const since = [...receipt.entries.values()].map((proven) => proven.time / 1000n - DAY_S);
  // A node that hides them must not make a true signature false.
  const handOvers = await node.events(receipt.eventLog, HAND_OVER, receipt.logId);
  for (const { topics, block } of handOvers.slice(-MAX_HAND_OVERS)) {
    const isLater = (await node.timeOf(block)) > since.reduce((one, other) => (one < other ? one : other));
    const before = addressOf(topics[2].slice(WORD - ADDRESS_BYTES));
    if (isLater && (await isOf(before))) return told("the log's publisher of then", before);
  }
  if (toHex(receipt.signature).endsWith(WRAPPED)) {
    lacking.push(
      "who signed the checkpoint: this page does not ask wallets that are not there yet (ERC-6492)",
    );
    return;
  }
  if (handOvers.length > MAX_HAND_OVERS)
    throw new NodeTrouble(
      `the log was handed over ${handOvers.length} times, and this page looks at the last ${MAX_HAND_OVERS}; \`tallystick verify\` looks at all`,
    );
  refuse(
    "receipt-signature",
    `the checkpoint's signature is not that of the log's publisher, ${publisher}: ${account ? `it is of ${account}` : why}`,
  );
}

// The terms that were signed, or null where the node does not show them.
async function termsOf(receipt, node) {
  if (!(await node.number(receipt.escrow, "openingNumberOf(bytes32)", receipt.contractId)))
    throw new NodeTrouble(
      `the escrow ${receipt.escrow} has opened no contract ${toHex(receipt.contractId)}: the receipt is of another deployment, or false`,
    );
  const [found] = await eventsOrNone(node, receipt.escrow, OPENING, receipt.contractId);
  if (!found) return null;
  // The contract's id is the digest of its terms (EIP-712), so nothing has to be believed.
  const struct = keccak(joined(hashOf(TERMS_TYPE), found.data));
  const id = digestOf("Tallystick OutcomeEscrow", receipt.chainId, receipt.escrow, struct);
  if (found.data.length !== TERMS_WORDS * WORD || !same(id, receipt.contractId))
    throw new NodeTrouble(
      `${node.name} gives terms that are not those of contract ${toHex(receipt.contractId)}`,
    );
  return readTerms(found.data);
}

// The members of ABI-encoded terms that a receipt is held to; times in milliseconds, as entries have them.
function readTerms(data) {
  const words = wordsOf(data),
    number = (at) => numberOf(words[at]),
    ms = (at) => number(at) * 1000n;
  return {
    data: data,
    owner: words[0],
    operator: words[1],
    payee: words[2],
    token: words[3],
    verifier: words[4],
    logId: words[6],
    surface: words[7],
    outcome: labelOf(words[10]),
    unitPrice: number(13),
    shareBps: number(14),
    budget: number(15),
    opensAt: ms(16),
    deadline: ms(17),
    window: ms(18),
    holdback: ms(25),
  };
}

function shareOf(terms, value) {
  return (value * terms.shareBps) / BPS;
}

// What was taken back in all of an outcome once so much of its value was refunded.
function takenOf(terms, amount, value, refunded) {
  return refunded >= value ? amount : shareOf(terms, refunded);
}

function checkTerms(receipt, terms) {
  agree("terms", "log", terms.logId, receipt.logId);
  for (const [role, proven] of receipt.entries) {
    if (role === "transition" || role === "event") agree(role, "owner", proven.actor, terms.owner);
    if (OF_CONTRACT.includes(role)) {
      agree(role, "surface", proven.surface, terms.surface);
      // A payout's label says how it was paid.
      if (role !== "payout") agree(role, "state", proven.label, terms.outcome);
    }
  }
  if (receipt.entries.has("outcome")) checkEarned(receipt, terms);
  if (receipt.entries.has("reversal")) checkTaken(receipt, terms);
  const settlement = receipt.entries.get("settlement"),
    payout = receipt.entries.get("payout");
  if (settlement) agree("settlement", "verifier", settlement.actor, terms.verifier);
  if (payout && !same(payout.actor, terms.payee))
    refuse("receipt-payee", "the payout went to another payee than the signed one");
}

function checkEarned(receipt, terms) {
  const outcome = receipt.entries.get("outcome"),
    transition = receipt.entries.get("transition");
  const touch = receipt.entries.get("touch");
  agree(
    "outcome",
    "amount by the signed price",
    outcome.value,
    terms.unitPrice + shareOf(terms, transition.value),
  );
  const at = transition.time,
    touched = touch ? touch.time : at;
  const isWithin = terms.opensAt <= touched && touched <= at && at <= terms.deadline;
  if (!isWithin) refuse("receipt-times", "the touch or the transition is outside the contract");
  if (touch) agree("touch", "operator", touch.actor, terms.operator);
  if (at - touched > terms.window) refuse("receipt-window", "the touch is older than the attribution window");
}

function checkTaken(receipt, terms) {
  const [outcome, event, reversal] = ["outcome", "event", "reversal"].map((role) =>
    receipt.entries.get(role),
  );
  const value = receipt.entries.get("transition").value,
    told = event.opening;
  const taken = (refunded) => takenOf(terms, outcome.value, value, BigInt(refunded));
  // Nothing was taken back before the first refund, not even of a purchase without a value.
  const before = told.previous ? taken(told.refunded_before_units) : 0n;
  agree("reversal", "amount by the signed price", reversal.value, taken(told.refunded_after_units) - before);
  // A budget has room for what was paid by then, less no more than was reversed before this one.
  const earned = unpack(outcome.payload, OUTCOME, "outcome").earned;
  const reversedBefore = unpack(reversal.payload, REVERSAL, "reversal").reversed - reversal.value;
  if (earned > terms.budget + reversedBefore)
    refuse(
      "receipt-budget",
      `the outcome brings its contract to ${earned} units, past the signed budget of ${terms.budget} units and the ${reversedBefore} that were taken back before`,
    );
  if (event.time - outcome.time > terms.holdback)
    refuse("receipt-late", "the event comes after the holdback period");
}

function givenByTerms(receipt) {
  const given = {
    touch: "credit this touch",
    outcome: "pay for the outcome at this amount",
    reversal: "take back this amount for the event",
    settlement: "name the verifier of the settlement",
    payout: "name the payee of the payout",
  };
  return Object.keys(given)
    .filter((role) => receipt.entries.has(role))
    .map((role) => given[role]);
}

async function checkMoney(receipt, terms, node, shown, notChecked, lacking) {
  const settlement = receipt.entries.get("settlement"),
    payout = receipt.entries.get("payout");
  const events = await eventsOrNone(node, receipt.escrow, MONEY, receipt.contractId);
  const snapshot = wordsOf(await node.view(receipt.escrow, `snapshotOf(${TERMS_TYPES})`, terms.data));
  if (snapshot.length < 2) throw new NodeTrouble(`${receipt.escrow} is no escrow of this version`);
  // Beside the payee's, the owner is credited, of a refund.
  const credited = new Set(
    events
      .filter((one) => one.name === CREDITED && same(one.topics[2], terms.payee))
      .map((one) => one.transaction),
  );
  const payouts = events
    .filter((one) => one.name === PAID)
    .map((one) => ({
      transaction: one.transaction,
      units: wordsOf(one.data).reduce((sum, word) => sum + numberOf(word), 0n),
      label: credited.has(one.transaction) ? "credited" : "paid",
    }));
  const hidden = numberOf(snapshot[1]) - payouts.reduce((sum, one) => sum + one.units, 0n);
  if (hidden < 0n)
    throw new NodeTrouble(`${node.name} shows payouts of ${-hidden} units more than the escrow has paid`);
  if (payout) checkPayout(receipt, payout, settlement, payouts, hidden, node, shown, notChecked, lacking);
  if (settlement) checkStatement(settlement, events, node, shown, notChecked);
}

function checkPayout(receipt, payout, settlement, payouts, hidden, node, shown, notChecked, lacking) {
  const transaction = toHex(payout.payload);
  const places = payouts.flatMap((one, at) =>
    one.transaction === transaction && one.units === payout.value && one.label === payout.label ? [at] : [],
  );
  if (!places.length) {
    const there = payouts.filter((one) => one.transaction === transaction);
    if (there.length || !hidden)
      refuse(
        "receipt-unpaid",
        `the payout says ${payout.value} units ${payout.label} by transaction ${transaction}; by the chain, what the contract paid there is: ${there.map((one) => `${one.units} units ${one.label}`).join(", ") || "nothing"}`,
      );
    lacking.push(
      `that the escrow has paid: ${node.name} shows no payout of the contract in transaction ${transaction}, nor of ${hidden} of the units that it has paid; ask a node that has the whole history`,
    );
    return;
  }
  shown.push(
    `the escrow has paid: ${payout.value} units, fee included, were ${payout.label} to the payee by transaction ${transaction}`,
  );
  if (!settlement) return;
  if (hidden) {
    notChecked.push(
      `that this payout completes what the settlement states: ${node.name} shows not all that the contract has paid`,
    );
    return;
  }
  const completes = places.some((place) => {
    const before = payouts.slice(0, place).reduce((sum, one) => sum + one.units, 0n),
      after = before + payouts[place].units;
    return (
      after === settlement.value ||
      (receipt.subject !== "payout" && before < settlement.value && settlement.value < after)
    );
  });
  if (!completes)
    refuse(
      "receipt-uncovered",
      `the payout is not the one with which the contract had paid the ${settlement.value} units that the settlement states`,
    );
  shown.push("with this payout the contract had paid what the settlement states");
}

function checkStatement(settlement, events, node, shown, notChecked) {
  const stated = unpack(settlement.payload, SETTLEMENT, "settlement");
  // Earned u80, reversed u80, zeros, position u40.
  const statements = events.filter((one) => one.name === SETTLED).map((one) => numberOf(one.data));
  const taken = statements.filter((one) => (one & (SIZE_LIMIT - 1n)) === settlement.position).at(-1);
  if (taken === undefined) {
    notChecked.push(
      `that the escrow took the settlement, entry ${settlement.position}: ${node.name} shows no event of it`,
    );
    return;
  }
  const earned = taken >> 176n,
    reversed = (taken >> 96n) & (AMOUNT_LIMIT - 1n);
  if (earned !== stated.earned || reversed !== stated.reversed)
    refuse(
      "receipt-settlement",
      `the escrow took other sums by entry ${settlement.position} than the settlement states: earned ${earned} and reversed ${reversed} units`,
    );
  shown.push(`the escrow took the settlement, entry ${settlement.position}`);
}
