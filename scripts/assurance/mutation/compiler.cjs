"use strict";
// Compiles some contracts again and again, with one file changed each time. Loading the compiler takes
// longer than using it. Reads lines {file, content, optimize, tree} and writes lines {FILE:NAME: {bytecode,
// deployedBytecode}}, each of these {object, linkReferences} as in forge's artifacts; or {tree}, the
// file's syntax, where that is asked for; or {error, places}, with the places of all errors in the file.
// Arguments: the project's folder, a list of FILE:NAME and the settings, both as JSON.
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");

const [folder, rootsJson, settings] = process.argv.slice(2);
const roots = JSON.parse(rootsJson);
const modules = path.join(__dirname, "..", "..", "..", "node_modules");
const solc = require(path.join(modules, "solc"));
const PARTS = ["bytecode", "deployedBytecode"];
const WANTED = PARTS.flatMap((part) => [`evm.${part}.object`, `evm.${part}.linkReferences`]);

function compile({ file, content, optimize, tree }) {
  const read = (wanted) => {
    if (wanted === file) return { contents: content };
    for (const place of [folder, modules]) {
      const found = path.join(place, wanted);
      if (fs.existsSync(found)) return { contents: fs.readFileSync(found, "utf8") };
    }
    return { error: `no such file: ${wanted}` };
  };
  const input = { language: "Solidity", sources: {}, settings: { ...JSON.parse(settings), outputSelection: {} } };
  input.settings.optimizer.enabled = optimize === true;
  if (tree) {
    input.sources[file] = { content };
    input.settings.outputSelection[file] = { "": ["ast"] };
  }
  for (const root of tree ? [] : roots) {
    const [rootFile, name] = root.split(":");
    input.sources[rootFile] = { content: read(rootFile).contents };
    (input.settings.outputSelection[rootFile] ??= {})[name] = WANTED;
  }
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const errors = (output.errors ?? []).filter((one) => one.severity === "error");
  if (errors.length) {
    const within = errors.filter((one) => one.sourceLocation?.file === file);
    return { error: errors[0].formattedMessage, places: within.map((one) => one.sourceLocation.start) };
  }
  if (tree) return { tree: output.sources[file].ast };
  const answer = {};
  for (const root of roots) {
    const [rootFile, name] = root.split(":");
    const { evm } = output.contracts[rootFile][name];
    answer[root] = {};
    for (const part of PARTS) {
      // The compiler and forge put the same placeholders where addresses of libraries belong.
      const { object, linkReferences } = evm[part];
      answer[root][part] = { object: `0x${object}`, linkReferences };
    }
  }
  return answer;
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(`${JSON.stringify(compile(JSON.parse(line)))}\n`);
});
