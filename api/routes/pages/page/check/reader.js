// JSON in one form: texts, numbers and members have one spelling each, as docs/receipt.md says.

const MAX_NUMBER = 2n ** 63n - 1n,
  MAX_DEPTH = 32;

// Reads a document whose texts, numbers and members have one spelling each. An object is a Map.
class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.misspelt = "";
  }

  document() {
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail();
    if (this.misspelt)
      refuse(
        "receipt-spelling",
        `the receipt spells a value in another way than receipts do: ${this.misspelt}`,
      );
    return value;
  }

  fail() {
    throw new Unreadable(`it is no JSON: at character ${this.at + 1}`);
  }

  space() {
    while (" \t\r\n".includes(this.text[this.at] || "x")) this.at++;
  }

  next(wanted) {
    this.space();
    if (this.text[this.at] !== wanted) return false;
    this.at++;
    return true;
  }

  matched(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found ? found[0] : null;
  }

  value(depth) {
    if (depth > MAX_DEPTH) throw new Unreadable(`it is nested more than ${MAX_DEPTH} deep`);
    if (this.next("{")) return this.object(depth);
    if (this.next("[")) return this.list(depth);
    if (this.text[this.at] === '"') return this.string();
    const word = this.matched(
      /true|false|null|NaN|-?Infinity|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y,
    );
    if (word === null) this.fail();
    if (word === "true" || word === "false") return word === "true";
    return word === "null" ? null : this.number(word);
  }

  number(digits) {
    if (!/^[0-9]+$/.test(digits))
      refuse(
        "receipt-spelling",
        `the receipt has the number ${digits.slice(0, 60)}; its numbers are plain digits, as in 31337`,
      );
    if (digits.length > 19)
      refuse(
        "receipt-malformed",
        `the receipt has a number of ${digits.length} digits, which is too long; numbers are from 0 to ${MAX_NUMBER}`,
      );
    return BigInt(digits);
  }

  string() {
    const raw = this.matched(/"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y);
    if (raw === null) this.fail();
    const text = JSON.parse(raw);
    if (!this.misspelt && (JSON.stringify(text) !== raw || /\p{Surrogate}/u.test(text)))
      this.misspelt = raw.slice(0, 60);
    return text;
  }

  list(depth) {
    const items = [];
    if (this.next("]")) return items;
    do {
      items.push(this.value(depth + 1));
    } while (this.next(","));
    if (!this.next("]")) this.fail();
    return items;
  }

  object(depth) {
    const members = new Map();
    let twice = null;
    if (this.next("}")) return members;
    do {
      this.space();
      if (this.text[this.at] !== '"') this.fail();
      const name = this.string();
      if (!this.next(":")) this.fail();
      if (members.has(name) && twice === null) twice = name;
      members.set(name, this.value(depth + 1));
    } while (this.next(","));
    if (!this.next("}")) this.fail();
    if (twice !== null)
      refuse("receipt-twice", `the member '${twice.slice(0, 60)}' stands twice in one object`);
    return members;
  }
}
