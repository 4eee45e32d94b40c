"use strict";
// Compiles one contract again and again, with one file changed each time. Loading the compiler takes
// longer than using it. Reads lines {file, content} and writes lines {bytecode, runtime} or {error}.
// Arguments: the project's folder, the contract as FILE:NAME, the settings as JSON.
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");

const [folder, root, settings] = process.argv.slice(2);
const [rootFile, name] = root.split(":");
const modules = path.join(path.dirname(__dirname), "node_modules");
const solc = require(path.join(modules, "solc"));

function compile({ file, content }) {
  const read = (wanted) => {
    if (wanted === file) return { contents: content };
    for (const place of [folder, modules]) {
      const found = path.join(place, wanted);
      if (fs.existsSync(found)) return { contents: fs.readFileSync(found, "utf8") };
    }
    return { error: `no such file: ${wanted}` };
  };
  const input = {
    language: "Solidity",
    sources: { [rootFile]: { content: read(rootFile).contents } },
    settings: {
      ...JSON.parse(settings),
      outputSelection: { [rootFile]: { [name]: ["evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const error = (output.errors ?? []).find((one) => one.severity === "error");
  if (error) return { error: error.formattedMessage };
  const { bytecode, deployedBytecode } = output.contracts[rootFile][name].evm;
  return { bytecode: bytecode.object, runtime: deployedBytecode.object };
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(`${JSON.stringify(compile(JSON.parse(line)))}\n`);
});
