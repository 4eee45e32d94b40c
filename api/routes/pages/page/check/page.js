// The page: takes a receipt and the address of a node, and says what was shown and what was not.
// Everything is set as text: a receipt's labels and a node's words are data, never markup.

const VERDICTS = {
  holds: "It holds, as far as was checked.",
  consistent: "It is consistent. Give a node to learn whether it is true.",
  later: "Not yet: nothing is false, and the chain does not show it yet.",
  false: "It is false.",
  unchecked: "It could not be checked.",
};
// A receipt that this page was opened to check: of the server that it came from, and no other.
const OWN_RECEIPT = /^#(\/v1\/receipts\/(?:0|[1-9][0-9]{0,12}))$/;
const NODE_URL = /^https?:\/\/[^\s@]+$/;

// What a reader may know from elsewhere, by the names of its fields.
const KNOWN = Object.keys(KNOWN_FORMS);

const byId = (id) => document.getElementById(id);

function timeText(ms) {
  const at = new Date(Number(ms));
  return Number.isNaN(at.getTime()) ? `${ms} ms` : `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function made(tag, ...children) {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

function listed(title, lines) {
  if (!lines.length) return [];
  return [made("h2", title), made("ul", ...lines.map((line) => made("li", line)))];
}

function story(receipt) {
  const steps = [...receipt.entries].map(([role, proven]) => {
    const label = proven.label ? `, ${proven.label}` : "";
    const value = ["touch", "event"].includes(role) ? "" : `, ${proven.value} units`;
    return made(
      "li",
      made("b", role),
      `: entry ${proven.position}, ${timeText(proven.time)}${label}${value}`,
    );
  });
  return [made("h2", "What it says"), made("ol", ...steps)];
}

// What a reader looks up on a block explorer, without this page.
function lookUp(receipt) {
  const lines = [
    `chain ${receipt.chainId}, event log ${receipt.eventLog}: rootAt of ${toHex(receipt.logId)} and ${receipt.size} is ${toHex(receipt.root)}`,
    `escrow ${receipt.escrow}: the event Opened of ${toHex(receipt.contractId)} has the terms`,
  ];
  const payout = receipt.entries.get("payout");
  if (payout) lines.push(`transaction ${toHex(payout.payload)}: its event Paid adds up to ${payout.value}`);
  return listed("To look up on a block explorer", lines);
}

function tell(kind, message, ...found) {
  const verdict = byId("verdict");
  verdict.className = kind;
  verdict.replaceChildren(made("strong", VERDICTS[kind]), ...(message ? [made("p", message)] : []));
  byId("found").replaceChildren(...found);
}

function trouble(error) {
  if (error instanceof Refused) return ["false", `${error.code}: ${error.message}`];
  if (error instanceof NotYet) return ["later", error.message];
  if (error instanceof Unreadable || error instanceof NodeTrouble) return ["unchecked", error.message];
  return ["unchecked", `this page failed: ${error}`];
}

function readKnown() {
  return Object.fromEntries(KNOWN.map((name) => [name, byId(name).value.trim()]));
}

function isNode(url) {
  try {
    return NODE_URL.test(url) && new URL(url).host !== "";
  } catch {
    return false;
  }
}

// Checks what stands on the page. Returns the arguments of `tell`.
async function check() {
  const text = byId("receipt").value,
    url = byId("node").value.trim();
  if (!text.trim()) throw new Unreadable("there is no receipt: choose its file, or paste its text");
  if (!globalThis.crypto?.subtle)
    throw new Unreadable(
      "this browser hashes nothing on a page without https: save the page and open the file",
    );
  if (url && !isNode(url))
    throw new Unreadable("the node's address must begin with https:// or, on this machine, http://");
  const known = readKnown(),
    found = await checkReceipt(text, known);
  const { receipt } = found;
  let onChain = null,
    stopped = null;
  try {
    onChain = url ? await checkOnChain(receipt, known, new ChainNode(url)) : checkAlone(receipt, known);
  } catch (error) {
    stopped = error;
  }
  const lacking = onChain?.lacking || [];
  const shown = [...found.shown, ...(onChain?.shown || [])];
  const notChecked = [...lacking, ...(onChain?.notChecked || leftToChain(receipt)), ...found.notChecked];
  const onTrust = [...found.onTrust, ...(onChain?.onTrust || [])];
  let [kind, message] = stopped ? trouble(stopped) : [url ? "holds" : "consistent", ""];
  if (lacking.length)
    [kind, message] = ["unchecked", "All else holds, but not all could be checked: see below."];
  const lists =
    kind === "false"
      ? []
      : [
          ...listed("Shown", shown),
          ...listed("To come", found.pending),
          ...listed("Not checked", notChecked),
          ...listed("Taken on trust", onTrust),
        ];
  return [kind, message, ...story(receipt), ...lists, ...lookUp(receipt)];
}

// Counts the checks and the changes of what is to be checked: what an earlier check finds says nothing of
// what stands on the page now.
let turn = 0;

// Takes back the verdict on what stood here before.
function withdraw() {
  turn++;
  byId("go").disabled = false;
  byId("verdict").className = "";
  byId("verdict").replaceChildren();
  byId("found").replaceChildren();
}

// Checks what stands on the page, with the text of a source in the place of the receipt's if there is one.
async function run(source = null) {
  withdraw();
  const own = turn;
  byId("go").disabled = true;
  byId("verdict").replaceChildren("Checking…");
  let told;
  try {
    if (source) {
      byId("receipt").value = "";
      const text = await source();
      if (own !== turn) return;
      byId("receipt").value = text;
    }
    told = await check();
  } catch (error) {
    told = trouble(error);
  }
  if (own !== turn) return;
  byId("go").disabled = false;
  tell(...told);
}

function textIn(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!text.startsWith("\ufeff")) return text;
  } catch {
    // As with the mark.
  }
  throw new Unreadable("it is no text in UTF-8 without a byte order mark");
}

async function readFile(file) {
  if (file.size > MAX_TEXT_BYTES)
    throw new Unreadable(`it has more than ${MAX_TEXT_BYTES} bytes, and no receipt has`);
  try {
    return textIn(await file.arrayBuffer());
  } catch (error) {
    throw error instanceof Unreadable ? error : new Unreadable("the file cannot be read");
  }
}

async function fetchOwn(path) {
  let found;
  try {
    found = await fetched(path);
  } catch {
    throw new Unreadable(`this server does not answer for ${path}`);
  }
  if (!found.answer.ok) throw new Unreadable(`this server answers ${found.answer.status} for ${path}`);
  return textIn(found.bytes);
}

byId("form").addEventListener("input", withdraw);
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
byId("file").addEventListener("change", () => {
  const [file] = byId("file").files;
  if (file) run(() => readFile(file));
});
// The same file may be chosen again, when it has changed.
byId("file").addEventListener("click", () => {
  byId("file").value = "";
});
// Text that is dragged is the browser's to put where it is dropped.
const hasFiles = (event) => event.dataTransfer.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (hasFiles(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) run(() => readFile(file));
});

function openOwn() {
  const own = OWN_RECEIPT.exec(location.hash);
  if (own && location.protocol !== "file:") run(() => fetchOwn(own[1]));
}

window.addEventListener("hashchange", openOwn);
openOwn();
