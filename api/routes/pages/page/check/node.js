// A node of a chain, asked by JSON-RPC: views and events, each answer bounded and looked at.

const MAX_ANSWER_BYTES = 4194304,
  MAX_WAIT_MS = 20000,
  MAX_EVENTS = 10000;
// Words of an error that say so of what was called. Clients have no code in common for it.
const REVERT =
  /revert|out of gas|gas required|vm execution|always failing|bad jump|invalid (?:opcode|jump)|stack (?:under|over)flow/i;

// Hex as we write it: a node may use capitals.
function lowered(value) {
  return typeof value === "string" ? value.toLowerCase() : value;
}

// A node of a chain, by JSON-RPC over HTTP. Answers are bounded in time and bytes.
class ChainNode {
  constructor(url) {
    this.url = url;
    this.name = new URL(url).host;
  }

  async ask(method, ...params) {
    try {
      const { bytes } = await fetched(this.url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      });
      const found = JSON.parse(new TextDecoder().decode(bytes));
      if (found.error) {
        const words = String(found.error.message).slice(0, 200);
        const hasData = /^0x[0-9a-f]/i.test(found.error.data);
        const isRevert = hasData || [3, -32015].includes(found.error.code) || REVERT.test(words);
        throw new NodeTrouble(`${this.name} refuses ${method}: ${words}`, isRevert);
      }
      return found.result;
    } catch (error) {
      if (error instanceof NodeTrouble) throw error;
      throw new NodeTrouble(
        `${this.name} does not answer ${method}: does it run, does it let pages of others ask it (CORS), and is it reached by https or on this machine?`,
      );
    }
  }

  // A quantity, as JSON-RPC has numbers. Below 2^64, as chain ids, numbers of blocks and times are.
  async quantity(method, ...params) {
    const found = lowered(await this.ask(method, ...params));
    if (typeof found !== "string" || !/^0x[0-9a-f]{1,16}$/.test(found))
      throw new NodeTrouble(`${this.name} answers ${method} by no number`);
    return found;
  }

  // The code of an account, "0x" for none.
  async code(address) {
    const found = lowered(await this.ask("eth_getCode", address, this.block));
    if (typeof found !== "string" || !/^0x(?:[0-9a-f]{2})*$/.test(found))
      throw new NodeTrouble(`${this.name} answers eth_getCode by no bytes`);
    return found;
  }

  // The bytes that a view returns for these argument words.
  async view(address, signature, ...args) {
    const data = toHex(joined(hashOf(signature).slice(0, 4), ...args));
    const found = lowered(await this.ask("eth_call", { to: address, data }, this.block));
    if (typeof found !== "string" || !/^0x(?:[0-9a-f]{2})*$/.test(found))
      throw new NodeTrouble(`${this.name} answers eth_call by no bytes`);
    return fromHex(found);
  }

  // The number that a view of a contract of ours returns.
  async number(address, signature, ...args) {
    const other = (why) =>
      new NodeTrouble(
        `${address} does not answer ${signature} as our contracts do: it is of another version or deployment, or false (${why})`,
      );
    let found;
    try {
      found = await this.view(address, signature, ...args);
    } catch (error) {
      throw error instanceof NodeTrouble && error.isRevert ? other(error.message) : error;
    }
    if (found.length !== WORD) throw other(`${this.name} gives ${found.length} bytes`);
    return numberOf(found);
  }

  // The events of a contract about one id, in order. `shapes` has, by the signatures of those that are
  // asked for, the number of their topics and the least number of words of their data.
  async events(address, shapes, id) {
    const byName = new Map(Object.keys(shapes).map((signature) => [toHex(hashOf(signature)), signature]));
    const topics = [[...byName.keys()], toHex(id)];
    const found = await this.ask("eth_getLogs", { address, topics, fromBlock: "0x0", toBlock: this.block });
    if (!Array.isArray(found) || found.length > MAX_EVENTS)
      throw new NodeTrouble(`${this.name} gives no list of events`);
    const events = found.map((log) => {
      const topicsOf = Array.isArray(log?.topics) ? log.topics : [];
      const facts = [log?.data, log?.transactionHash, log?.blockNumber, log?.logIndex];
      const hexes = [...topicsOf, ...facts].map(lowered);
      const [data, transaction, block, place] = hexes.slice(topicsOf.length);
      const name = byName.get(hexes[0]);
      const [count, words] = shapes[name] || [0, 0];
      const isOne =
        name !== undefined &&
        hexes.every((hex) => typeof hex === "string" && /^0x[0-9a-f]*$/.test(hex)) &&
        [block, place].every((hex) => hex.length > 2 && hex.length <= 18) &&
        lowered(log.address) === address.toLowerCase() &&
        hexes[1] === toHex(id) &&
        topicsOf.length === count &&
        hexes.slice(0, count).every((topic) => topic.length === 2 + 2 * WORD) &&
        data.length >= 2 + 2 * WORD * words;
      if (!isOne) throw new NodeTrouble(`${this.name} gives events that were not asked for`);
      return {
        name,
        topics: hexes.slice(0, count).map(fromHex),
        data: fromHex(data),
        transaction,
        block,
        place,
      };
    });
    const inOrder = (one, other) => Number(BigInt(one) - BigInt(other));
    return events.sort((one, other) => inOrder(one.block, other.block) || inOrder(one.place, other.place));
  }

  // The time of a block, UTC seconds.
  async timeOf(block) {
    const found = await this.ask("eth_getBlockByNumber", block, false);
    if (!/^0x[0-9a-f]{1,16}$/i.test(found?.timestamp))
      throw new NodeTrouble(`${this.name} shows no block ${block}`);
    return BigInt(found.timestamp);
  }

  // True if this account is a contract that takes a signature for its own (ERC-1271).
  async accepts(account, digest, signature) {
    if ((await this.code(account)) === "0x") return false;
    const padded = joined(signature, new Uint8Array((WORD - (signature.length % WORD)) % WORD));
    const words = [digest, wordOf(64n), wordOf(BigInt(signature.length)), padded];
    try {
      const found = await this.view(account, "isValidSignature(bytes32,bytes)", ...words);
      return toHex(found) === "0x1626ba7e" + "00".repeat(WORD - 4);
    } catch (error) {
      // A wallet that refuses a signature may fail. A node that does must not make a true one false.
      if (error instanceof NodeTrouble && error.isRevert) return false;
      throw error;
    }
  }
}

// An answer and its bytes, bounded in time and length.
async function fetched(url, options = {}) {
  const stop = new AbortController(),
    timer = setTimeout(() => stop.abort(), MAX_WAIT_MS);
  const always = { credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" };
  try {
    const answer = await fetch(url, { ...always, signal: stop.signal, ...options });
    return { answer, bytes: await bytesOfAnswer(answer) };
  } finally {
    clearTimeout(timer);
  }
}

async function bytesOfAnswer(answer) {
  const reader = answer.body.getReader(),
    parts = [];
  let size = 0;
  for (;;) {
    const part = await reader.read();
    if (part.done) return joined(...parts);
    parts.push(part.value);
    size += part.value.length;
    if (size > MAX_ANSWER_BYTES) {
      await reader.cancel();
      throw new Error("too long");
    }
  }
}
