"use strict";
// Finds wallets (EIP-6963), has one sign the message that the service wrote, and follows the answer.
(() => {
  const MOST_WALLETS = 20;
  const at = (id) => document.getElementById(id);
  const section = at("wallets");
  const request = section.dataset.request;
  const known = new Set();
  let isBusy = false;

  const say = (text) => { at("said").textContent = text; };

  async function ask(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      credentials: "same-origin",
      redirect: "error",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ request, ...body }),
    });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error_description || said.detail || "the service refused");
    return said;
  }

  async function once(work) {
    if (isBusy) return;
    isBusy = true;
    try {
      await work();
    } catch (error) {
      say("Not done: " + String((error && error.message) || error).slice(0, 300));
    } finally {
      isBusy = false;
    }
  }

  function hex(text) {
    const bytes = new TextEncoder().encode(text);
    return "0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  async function allow(provider) {
    say("Your wallet asks which account to use.");
    const [address] = await provider.request({ method: "eth_requestAccounts" });
    const { message } = await ask("message", { address });
    at("message").textContent = message;
    at("message").hidden = false;
    say("Your wallet asks you to sign what stands below.");
    const params = [hex(message), address];
    const signature = await provider.request({ method: "personal_sign", params });
    const { redirect } = await ask("consent", { address, signature });
    say("Allowed. You can close this page.");
    location.assign(redirect);
  }

  function announce(event) {
    const { info, provider } = event.detail || {};
    if (!info || !provider || known.has(info.uuid) || known.size >= MOST_WALLETS) return;
    known.add(info.uuid);
    at("none").hidden = true;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Allow with " + String(info.name).slice(0, 60);
    button.addEventListener("click", () => once(() => allow(provider)));
    section.append(button);
  }

  at("decline").addEventListener("click", () => once(async () => {
    const { redirect } = await ask("consent", { declined: true });
    say("Not allowed. You can close this page.");
    location.assign(redirect);
  }));
  window.addEventListener("eip6963:announceProvider", announce);
  window.dispatchEvent(new Event("eip6963:requestProvider"));
})();
