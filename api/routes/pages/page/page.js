"use strict";

// Everything is set as text: names and descriptions are data, never markup.
const MAX_SHOWN = 65536, MAX_WAIT_MS = 10000;

function add(parent, tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function input(parent, name, about, example) {
  const row = add(parent, "p");
  const label = add(row, "label", name);
  const field = add(row, "input");
  field.id = `field-${input.count = (input.count || 0) + 1}`;
  label.htmlFor = field.id;
  field.placeholder = example === undefined ? "" : String(example);
  if (about) add(row, "small", ` ${about}`);
  return field;
}

// A stream has no end, so an answer is shown as far as it comes in this time and size.
async function readSome(answer, stop) {
  const reader = answer.body.getReader(), decoder = new TextDecoder();
  let text = "";
  try {
    while (text.length < MAX_SHOWN) {
      const part = await reader.read();
      if (part.done) return text;
      text += decoder.decode(part.value, { stream: true });
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
  stop.abort();
  return `${text}\n…`;
}

async function send(method, path, fields, body, shown) {
  const query = new URLSearchParams(), headers = {};
  for (const [parameter, field] of fields) {
    if (!field.value) continue;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(field.value));
    if (parameter.in === "query") query.set(parameter.name, field.value);
    if (parameter.in === "header") headers[parameter.name] = field.value;
  }
  const key = document.getElementById("key").value;
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = body.dataset.type;
  const url = query.size ? `${path}?${query}` : path, stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), MAX_WAIT_MS);
  try {
    const answer = await fetch(url, { method, headers, body: body ? body.value : undefined, credentials: "omit", signal: stop.signal });
    const text = await readSome(answer, stop);
    let found = text;
    try { found = pretty(JSON.parse(text)); } catch { /* not JSON */ }
    shown.textContent = `${method} ${url}\n${answer.status} ${answer.statusText}\n\n${found}`;
  } catch (error) {
    shown.textContent = `${method} ${url}\n${error}`;
  } finally {
    clearTimeout(timer);
  }
}

function pretty(value) {
  return JSON.stringify(value, null, 2);
}

function show(parent, method, path, operation, resolve) {
  const box = add(parent, "details");
  add(box, "summary", `${method} ${path}`);
  add(box, "p", operation.description || operation.summary);
  const fields = (operation.parameters || []).map((parameter) => {
    const schema = resolve(parameter.schema || {});
    return [parameter, input(box, parameter.name, parameter.description, (schema.examples || [])[0])];
  });
  let body = null;
  for (const [type, media] of Object.entries((operation.requestBody || {}).content || {})) {
    body = add(box, "textarea");
    body.dataset.type = type;
    body.setAttribute("aria-label", `Body, ${type}`);
    body.value = type.endsWith("ndjson") ? media.example.map((line) => JSON.stringify(line)).join("\n") : pretty(media.example);
  }
  for (const [status, answer] of Object.entries(operation.responses)) {
    const media = Object.values(answer.content || {})[0] || {}, code = ((media.schema || {}).properties || {}).code;
    add(box, "p", `${status} ${answer.description}${code ? `: ${code.enum.join(", ")}` : ""}`);
    if (media.example !== undefined) add(add(box, "details"), "pre", pretty(media.example));
  }
  const button = add(box, "button", "Send"), shown = add(box, "pre");
  shown.setAttribute("aria-live", "polite");
  button.type = "button";
  button.addEventListener("click", () => send(method, path, fields, body, shown));
}

async function start() {
  const description = await (await fetch("/v1/openapi.json", { credentials: "omit" })).json();
  const resolve = (schema) => schema.$ref ? schema.$ref.split("/").slice(1).reduce((at, name) => at[name], description) : schema;
  const list = document.getElementById("operations");
  for (const [path, item] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(item)) show(list, method.toUpperCase(), path, operation, resolve);
  }
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const box of list.children) box.hidden = !box.textContent.toLowerCase().includes(wanted);
  });
}

start();
