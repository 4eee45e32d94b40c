"use strict";
// Compiles standard-JSON inputs with the compiler that package-lock.json pins: reads one a line, writes
// its output as a line. One process takes them all, because loading the compiler, and getting it up
// to speed, takes longer than most of its work.
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");

const root = path.dirname(__dirname);
const solc = require(path.join(root, "node_modules", "solc"));

// An input may name files of the project without their content.
function read(name) {
  const file = path.join(root, name);
  if (!fs.existsSync(file)) return { error: `no such file: ${name}` };
  return { contents: fs.readFileSync(file, "utf8") };
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(`${solc.compile(line, { import: read })}\n`);
});
