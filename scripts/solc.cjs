"use strict";
// Answers the two calls that build tools make of a native solc: `--version` and `--standard-json`.
// npm's own `solcjs --standard-json` prints a line before the JSON, which breaks its readers.
const fs = require("node:fs");
const path = require("node:path");

const root = path.dirname(__dirname);
const solc = require(path.join(root, "node_modules", "solc"));

function option(name) {
  const at = process.argv.indexOf(name);
  return at === -1 ? undefined : process.argv[at + 1];
}

// Tools compile in temporary folders (ape) or name files by package path: look there, then here.
function importFrom(folders) {
  return (name) => {
    for (const folder of folders) {
      const file = path.join(folder, name);
      if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
    }
    return { error: `File not found: ${name} (looked in ${folders.join(", ")})` };
  };
}

if (process.argv.includes("--version")) {
  // py-solc-x reads the platform out of this line and knows no Emscripten.
  const version = solc.version().replace("Emscripten.clang", "Linux.g++");
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
} else if (process.argv.includes("--standard-json")) {
  const folders = [option("--base-path") ?? process.cwd(), root, path.join(root, "node_modules")];
  const input = fs.readFileSync(0, "utf8");
  process.stdout.write(solc.compile(input, { import: importFrom(folders) }));
} else {
  console.error("scripts/solc knows --version and --standard-json; use one of these");
  process.exit(2);
}
