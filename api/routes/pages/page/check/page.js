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
const KNOWN = [...Object.keys(FACTS), "publisher"];

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

async function check() {
  const text = byId("receipt").value,
    url = byId("node").value.trim();
  if (!text.trim()) throw new Unreadable("there is no receipt: choose its file, or paste its text");
  if (!globalThis.crypto?.subtle)
    throw new Unreadable(
      "this browser hashes nothing on a page without https: save the page and open the file",
    );
  if (url && !NODE_URL.test(url))
    throw new Unreadable("the node's address must begin with https:// or, on this machine, http://");
  const found = await checkReceipt(text, readKnown());
  const { receipt } = found,
    known = readKnown();
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
  tell(kind, message, ...story(receipt), ...lists, ...lookUp(receipt));
}

async function run(work) {
  byId("go").disabled = true;
  byId("verdict").className = "";
  byId("verdict").replaceChildren("Checking…");
  byId("found").replaceChildren();
  try {
    await work();
  } catch (error) {
    tell(...trouble(error));
  } finally {
    byId("go").disabled = false;
  }
}

async function take(file) {
  if (file.size > MAX_TEXT_BYTES)
    throw new Unreadable(`it has more than ${MAX_TEXT_BYTES} bytes, and no receipt has`);
  try {
    byId("receipt").value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      await file.arrayBuffer(),
    );
  } catch {
    throw new Unreadable("it is no text in UTF-8");
  }
}

async function fetchOwn(path) {
  const answer = await fetch(path, { credentials: "omit", redirect: "error" });
  const text = await textOf(answer);
  byId("receipt").value = answer.ok ? text : "";
  if (!answer.ok) throw new Unreadable(`this server answers ${answer.status} for ${path}`);
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(check);
});
byId("file").addEventListener("change", () => {
  const [file] = byId("file").files;
  if (file)
    run(async () => {
      await take(file);
      await check();
    });
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file)
    run(async () => {
      await take(file);
      await check();
    });
});
const own = OWN_RECEIPT.exec(location.hash);
if (own && location.protocol !== "file:")
  run(async () => {
    await fetchOwn(own[1]);
    await check();
  });
