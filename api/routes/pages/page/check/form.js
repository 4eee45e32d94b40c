// The form of a receipt: its members and no others, in order, each in one spelling: docs/receipt.md.

const FORMAT = "tallystick-receipt-1";
const MAX_PATH = 40;

const MEMBERS = [
  "format",
  "position",
  "log_id",
  "origin",
  "chain_id",
  "event_log",
  "escrow",
  "contract_id",
  "checkpoint",
  "entries",
  "pending",
];
const CHECKPOINT_MEMBERS = ["size", "root", "signature"];
const ENTRY_MEMBERS = ["position", "entry", "opening", "role", "path"];
const PENDING_MEMBERS = ["role", "position"];

function tableOf(value, what) {
  if (!(value instanceof Map)) refuse("receipt-malformed", `${what} must be a JSON object`);
  return value;
}

function checkMembers(table, members, what) {
  const names = [...table.keys()];
  const unknown = names.find((name) => !members.includes(name));
  const missing = members.find((name) => !table.has(name));
  const moved = names.findIndex((name, at) => name !== members[at]);
  let fault = null;
  if (unknown !== undefined) fault = `has a member that receipts do not have, '${unknown.slice(0, 60)}'`;
  else if (missing !== undefined) fault = `lacks the member '${missing}'`;
  else if (moved >= 0) fault = `has the member '${names[moved]}' where '${members[moved]}' must stand`;
  if (fault) refuse("receipt-members", `${what} ${fault}; its members are ${members.join(", ")}`);
}

function wholeOf(table, name) {
  const value = table.get(name);
  if (typeof value !== "bigint" || value > MAX_NUMBER)
    refuse("receipt-malformed", `${name} must be a whole number from 0 to ${MAX_NUMBER}`);
  return value;
}

function bytesOf(value, name, length) {
  if (typeof value !== "string" || value.length > 8194 || !/^0x(?:[0-9a-f]{2})*$/.test(value))
    refuse("receipt-malformed", `${name} must be 0x and lower-case hex`);
  const bytes = fromHex(value);
  if (length !== null && bytes.length !== length)
    refuse("receipt-malformed", `${name} has ${bytes.length} bytes, not ${length}`);
  return bytes;
}

function addressIn(table, name) {
  const value = table.get(name);
  const isAddress = typeof value === "string" && /^0x[0-9a-fA-F]{40}$/.test(value);
  if (!isAddress || addressOf(fromHex(value.toLowerCase())) !== value)
    refuse("receipt-malformed", `${name} must be an address with its checksum (EIP-55)`);
  return value;
}

function byRole(listed, members, what, least) {
  const most = Object.keys(ROLES).length;
  if (!Array.isArray(listed) || listed.length < least || listed.length > most)
    refuse(`receipt-${what}`, `${what} must be a list of ${least} to ${most} objects`);
  const found = new Map();
  listed.forEach((item, number) => {
    tableOf(item, `${what}[${number}]`);
    checkMembers(item, members, `${what}[${number}]`);
    const role = item.get("role");
    if (typeof role !== "string" || !Object.hasOwn(ROLES, role))
      refuse(
        "receipt-role",
        `${what}[${number}] has a role that is none; roles are ${Object.keys(ROLES).join(", ")}`,
      );
    if (found.has(role)) refuse("receipt-role", `the role '${role}' stands twice in ${what}`);
    found.set(role, item);
  });
  return found;
}

function provenOf(item, role) {
  const data = bytesOf(item.get("entry"), "entry", ENTRY_BYTES);
  const entry = decode(data, role);
  if (!ROLES[role].includes(entry.kind))
    refuse("receipt-mismatch", `the ${role} is an entry of kind ${entry.kind}`);
  const path = item.get("path");
  if (!Array.isArray(path) || path.length > MAX_PATH)
    refuse("receipt-path", `the ${role}'s path must be a list of at most ${MAX_PATH}`);
  const nodes = path.map((node) => bytesOf(node, "path", WORD));
  const opening = openingOf(item.get("opening"), entry.kind, role);
  return { ...entry, data, opening, path: nodes, position: wholeOf(item, "position") };
}

function checkOrder(what, positions) {
  let before = -1n;
  for (const position of positions) {
    if (position <= before)
      refuse(
        "receipt-unordered",
        `in ${what}, entry ${position} stands after entry ${before}; they must stand in the log's order`,
      );
    before = position;
  }
}

// The role of the entry that a receipt is of, which decides what other roles there are.
function subjectOf(entries, pending, position) {
  const subject = [...entries.keys()].find((role) => entries.get(role).position === position);
  if (subject === undefined)
    refuse("receipt-position", `no entry of the receipt is at its position, ${position}`);
  const kind = entries.get(subject).kind;
  if (!Object.hasOwn(RECEIPTS, kind))
    refuse(
      "receipt-position",
      `the entry at the receipt's position, ${position}, is of kind ${kind}, of which there are no receipts`,
    );
  const [always, others] = RECEIPTS[kind];
  const missing = always.find((role) => !entries.has(role));
  if (missing)
    refuse(
      "receipt-incomplete",
      `the ${missing} is missing; the receipt of an entry of kind ${kind} always has ${always.join(", ")}`,
    );
  const found = new Set([...entries.keys(), ...pending.keys()]);
  const strange = [...found].sort().find((role) => !always.includes(role) && !others.includes(role));
  if (strange)
    refuse("receipt-role", `the ${strange} has no part in the receipt of an entry of kind ${kind}`);
  // Which payout a receipt names follows from what the settlement states.
  if (!found.has("settlement") && found.has("payout") && !always.includes("payout"))
    refuse("receipt-incomplete", "the settlement is missing, by which the payout was made");
  return subject;
}

function parse(document) {
  const table = tableOf(document, "the receipt");
  if (table.get("format") !== FORMAT) refuse("receipt-format", `the receipt's format is not ${FORMAT}`);
  checkMembers(table, MEMBERS, "the receipt");
  const checkpoint = tableOf(table.get("checkpoint"), "checkpoint");
  checkMembers(checkpoint, CHECKPOINT_MEMBERS, "checkpoint");
  const entries = new Map();
  for (const [role, item] of byRole(table.get("entries"), ENTRY_MEMBERS, "entries", 1))
    entries.set(role, provenOf(item, role));
  checkOrder(
    "entries",
    [...entries.values()].map((proven) => proven.position),
  );
  const pending = new Map();
  for (const [role, item] of byRole(table.get("pending"), PENDING_MEMBERS, "pending", 0))
    pending.set(role, wholeOf(item, "position"));
  checkOrder("pending", pending.values());
  const both = [...pending.keys()].find((role) => entries.has(role));
  if (both) refuse("receipt-role", `role '${both}' is both proven and pending`);
  const position = wholeOf(table, "position"),
    size = wholeOf(checkpoint, "size");
  for (const [role, at] of pending) {
    if (at < size)
      refuse(
        "receipt-pending",
        `the ${role}, entry ${at}, is called pending, and the checkpoint of size ${size} covers it`,
      );
  }
  const subject = subjectOf(entries, pending, position),
    logId = bytesOf(table.get("log_id"), "log_id", WORD);
  const origin = table.get("origin");
  if (typeof origin !== "string" || !/^[\x20-\x7e]{1,255}$/.test(origin))
    refuse("receipt-malformed", "origin must be 1 to 255 printable ASCII characters");
  return {
    position,
    subject,
    logId,
    origin,
    chainId: wholeOf(table, "chain_id"),
    eventLog: addressIn(table, "event_log"),
    escrow: addressIn(table, "escrow"),
    contractId: bytesOf(table.get("contract_id"), "contract_id", WORD),
    size,
    root: bytesOf(checkpoint.get("root"), "root", WORD),
    signature: bytesOf(checkpoint.get("signature"), "signature", null),
    entries,
    pending,
  };
}
