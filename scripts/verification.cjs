"use strict";
// Compares packages of sources with a chain by Sourcify's library, which decides what explorers show.
// Reads {rpcUrl, packages: [{facts, input}]} from stdin, writes a list of results to stdout.
const fs = require("node:fs");
const path = require("node:path");

const modules = path.join(path.dirname(__dirname), "node_modules");
const solc = require(path.join(modules, "solc"));
const {
  SolidityCompilation, SourcifyChain, Verification, setLibSourcifyLogger,
} = require(path.join(modules, "@ethereum-sourcify", "lib-sourcify"));

const TRACE_MS = 60_000;

// Packages of the same sources, as of one contract on several chains, are compiled once.
const compiled = new Map();
function compile(text) {
  if (!compiled.has(text)) compiled.set(text, solc.compile(text));
  return JSON.parse(compiled.get(text));
}

// The one compiler that package-lock.json pins, for one contract. The library asks for the code of
// every contract of the input and reads that of this one; making the others takes twice as long.
const compilerOf = (file, name) => ({
  async compile(version, input) {
    if (!solc.version().startsWith(`${version}.`)) {
      throw new Error(`needs solc ${version}, and ${solc.version()} is installed`);
    }
    const outputs = Object.values(input.settings.outputSelection["*"] ?? {}).flat();
    const settings = { ...input.settings, outputSelection: { [file]: { [name]: outputs } } };
    const output = compile(JSON.stringify({ ...input, settings }));
    const errors = (output.errors ?? []).filter((error) => error.severity === "error");
    if (errors.length) throw Object.assign(new Error(errors[0].formattedMessage), { errors });
    return output;
  },
});

async function verify(chain, { facts, input }) {
  const [file, name] = facts.contractIdentifier.split(":");
  const compilation = new SolidityCompilation(
    compilerOf(file, name), facts.compilerVersion, input, { path: file, name },
  );
  const verification = new Verification(
    compilation, chain, facts.address, facts.creationTransactionHash,
  );
  let error = null;
  try {
    await verification.verify();
  } catch (thrown) {
    error = thrown.message;
  }
  const { runtimeMatch, creationMatch } = verification.status;
  const { values } = verification.transformations.creation;
  return {
    runtime: runtimeMatch,
    creation: creationMatch,
    constructorArguments: values?.constructorArguments ?? "0x",
    libraries: values?.libraries ?? {},
    error,
  };
}

async function main() {
  const { rpcUrl, packages } = JSON.parse(fs.readFileSync(0, "utf8"));
  // What matters of the library's log is in its results, or thrown.
  setLibSourcifyLogger({ logLevel: 0, setLevel() {}, log() {} });
  // Stdout is for the results alone: ethers warns there of types in a library's ABI that it lacks.
  console.log = console.error;
  SourcifyChain.setGlobalRpcTimeout(TRACE_MS);
  const results = [];
  for (const one of packages) {
    const { chainId } = one.facts;
    const chain = new SourcifyChain({
      name: `chain ${chainId}`,
      chainId,
      supported: true,
      // The first finds what a constructor creates, too; the library tries the second after it.
      rpcs: ["trace_transaction", "debug_traceTransaction"].map((traceSupport) => (
        { rpc: rpcUrl, traceSupport }
      )),
    });
    results.push(await verify(chain, one));
  }
  fs.writeSync(1, JSON.stringify(results));
}

main().then(
  () => process.exit(0), // the library's connections would keep the process alive
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
