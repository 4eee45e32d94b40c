"use strict";
// Answers the two calls that build tools make of a native solc: `--version` and `--standard-json`.
// npm's own `solcjs --standard-json` prints a line before the JSON, which breaks its readers.
//
// The optimizer takes most of a build's time, and most of that went into tests, whose own code need not
// be short. So the files that isPlain names are compiled without it, and beside the others, in a thread
// of their own. Contracts that such tests deploy are the optimized ones: forge links them to their
// artifacts (`dynamic_test_linking` in foundry.toml). Tests are optimized like contracts that measure
// gas, run for long (invariants), are proven, or hold code of contracts themselves.
const fs = require("node:fs");
const path = require("node:path");
const { isMainThread, parentPort, Worker, workerData } = require("node:worker_threads");

const root = path.dirname(__dirname);
const solc = require(path.join(root, "node_modules", "solc"));
const PLAIN = /^tests\/contracts\/(?!gas\/|invariant\/|symbolic\/|support\/)/;
const HOLDS_CODE =
  /\/(MerkleLog|MerkleVectors|Ledger|Release|SettlementRules|Signatures|Terms)\.t\.sol$/;

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

function compile(input) {
  const folders = [option("--base-path") ?? process.cwd(), root, path.join(root, "node_modules")];
  return solc.compile(JSON.stringify(input), { import: importFrom(folders) });
}

const isPlain = (file) => PLAIN.test(file) && !HOLDS_CODE.test(file);

// The input with the outputs of these files alone; undefined if nothing is asked of them.
function partOf(input, isWanted, settings) {
  const selection = Object.entries(input.settings.outputSelection);
  const isAsked = ([file, contracts]) =>
    isWanted(file) && Object.values(contracts).some((outputs) => outputs.length);
  if (!selection.some(isAsked)) return undefined;
  const outputSelection = Object.fromEntries(
    selection.map(([file, contracts]) => [file, isWanted(file) ? contracts : {}]),
  );
  return { ...input, settings: { ...input.settings, ...settings, outputSelection } };
}

// Both parts have all sources, so that ids and most warnings are the same in both outputs.
function merged(one, other) {
  const known = new Set((one.errors ?? []).map((error) => error.formattedMessage));
  const errors = (other.errors ?? []).filter((error) => !known.has(error.formattedMessage));
  return {
    ...one,
    contracts: { ...one.contracts, ...other.contracts },
    errors: [...(one.errors ?? []), ...errors],
    sources: { ...one.sources, ...other.sources },
  };
}

function answer(text) {
  const write = (output) => process.stdout.write(output);
  const input = JSON.parse(text);
  const selection = input.settings?.outputSelection ?? {};
  if (Object.keys(selection).some((file) => !(file in (input.sources ?? {}))))
    return write(compile(input)); // such as "*", for every file
  const plain = partOf(input, isPlain, { optimizer: { enabled: false } });
  const optimized = partOf(input, (file) => !isPlain(file), {});
  if (!plain || !optimized) return write(compile(plain ?? input));
  const other = new Worker(__filename, { argv: process.argv.slice(2), workerData: plain });
  other.once("error", (error) => {
    throw error;
  });
  const one = compile(optimized);
  other.once("message", (output) =>
    write(JSON.stringify(merged(JSON.parse(one), JSON.parse(output)))),
  );
}

if (!isMainThread) {
  parentPort.postMessage(compile(workerData));
} else if (process.argv.includes("--version")) {
  // py-solc-x reads the platform out of this line and knows no Emscripten.
  const version = solc.version().replace("Emscripten.clang", "Linux.g++");
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
} else if (process.argv.includes("--standard-json")) {
  answer(fs.readFileSync(0, "utf8"));
} else {
  console.error("scripts/solc knows --version and --standard-json; use one of these");
  process.exit(2);
}
