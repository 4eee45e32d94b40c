// What happens while the page is open. Without it the page shows what had happened.
"use strict";

const news = document.getElementById("news");
const words = JSON.parse(news.dataset.words);
const most = Number(news.dataset.most);
const receipts = JSON.parse(news.dataset.receipts);
const size = Number(news.dataset.size);
const KIND_DIGITS = 64;
const TIME_AT = { start: 2 + 64 * 6, end: 2 + 64 * 7 };

function kindOf(entry) {
  const digits = entry.slice(2, 2 + KIND_DIGITS).replace(/(00)+$/, "");
  return (digits.match(/../g) || []).map((pair) => String.fromCharCode(parseInt(pair, 16))).join("");
}

function timeOf(entry) {
  const ms = Number(BigInt("0x" + entry.slice(TIME_AT.start, TIME_AT.end)));
  return new Date(ms).toISOString().slice(0, 16);
}

function show(told) {
  const kind = kindOf(told.entry);
  const time = document.createElement("time");
  time.dateTime = `${timeOf(told.entry)}Z`;
  time.textContent = timeOf(told.entry).replace("T", " ");
  const link = document.createElement("a");
  link.textContent = words[kind] || kind;
  link.href = receipts.includes(kind)
    ? `/receipts/${told.position}`
    : `/v1/log/entries?start=${told.position}&limit=1`;
  const item = document.createElement("li");
  item.append(time, " ", link);
  news.prepend(item);
  while (news.children.length > most) news.lastElementChild.remove();
}

const live = document.getElementById("live");
const stream = new EventSource(size > 0 ? `/v1/stream?after=${size - 1}` : "/v1/stream");
stream.addEventListener("open", () => { live.textContent = "Live, from the log's stream."; });
stream.addEventListener("error", () => { live.textContent = "The stream is away; trying again."; });
stream.addEventListener("entry", (event) => show(JSON.parse(event.data)));
// The server ends a stream now and then; the browser goes on by itself.
