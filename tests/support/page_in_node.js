"use strict";
// Runs the script of a consent page under node, as far as that script needs a browser: elements by
// id, EIP-6963's events, fetch with the page's cookie and origin. Its wallet asks a server to sign.
const vm = require("node:vm");

const work = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const window = new EventTarget();
const buttons = [];
const elements = {};
const goal = { location: "" };

function element(tag, id = "") {
  const made = new EventTarget();
  Object.assign(made, { tag, id, textContent: "", hidden: false, dataset: {}, append: () => {} });
  if (tag === "button") buttons.push(made);
  return made;
}

for (const [, tag, attributes] of work.page.matchAll(/<(\w+)([^>]*\bid="[^>]*)>/g)) {
  const id = /\bid="([^"]*)"/.exec(attributes)[1];
  elements[id] = element(tag, id);
  const request = /data-request="([^"]*)"/.exec(attributes);
  if (request) elements[id].dataset.request = request[1];
}
elements.decline.textContent = "Do not allow";

const provider = {
  async request({ method, params }) {
    if (method === "eth_requestAccounts") return [work.address];
    if (method !== "personal_sign") throw new Error(`the wallet knows no ${method}`);
    const answer = await fetch(work.wallet, { method: "POST", body: JSON.stringify(params) });
    return answer.json();
  },
};
window.addEventListener("eip6963:requestProvider", () => {
  for (const uuid of ["one", "one"]) {
    const event = new Event("eip6963:announceProvider");
    event.detail = { info: { uuid, name: "Test wallet" }, provider };
    window.dispatchEvent(event);
  }
});

function fetchOfPage(path, options) {
  const headers = { ...options.headers, Cookie: work.cookie, Origin: new URL(work.base).origin };
  return fetch(new URL(path, work.base), { ...options, headers });
}

const script = /<script nonce="[^"]*">([\s\S]*)<\/script>/.exec(work.page)[1];
vm.runInNewContext(script, {
  window,
  document: { getElementById: (id) => elements[id], createElement: (tag) => element(tag) },
  location: { assign: (url) => { goal.location = url; } },
  fetch: fetchOfPage,
  Event, TextEncoder, String, Set, Array, Error, JSON,
});
buttons.find((one) => one.textContent === work.press).dispatchEvent(new Event("click"));
// Node ends when nothing is left to wait for, and then this is written.
process.on("exit", () => {
  process.stdout.write(JSON.stringify({
    location: goal.location,
    said: elements.said.textContent,
    message: elements.message.textContent,
    buttons: buttons.map((one) => one.textContent).join(", "),
  }));
});
