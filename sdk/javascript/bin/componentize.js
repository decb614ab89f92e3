#!/usr/bin/env node
// Makes a component of a handler in JavaScript or TypeScript: bundles it, and puts it into QuickJS. What the handler imports
// says which world it is of: `@shardloom/guest` makes a shard handler, `@shardloom/guest/http` a component of wasi:http.
//
//     shardloom-componentize handler.ts --out handler.wasm [--wit DIR] [--minify]

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { componentize } from "componentize-qjs";
import { build } from "esbuild";

/** The imports that tell worlds apart. */
const PLACED = "shardloom:shard/shard-info@0.1.0";
const HTTP = "wasi:http/types@0.3.0";
const USAGE = "usage: shardloom-componentize HANDLER --out FILE [--wit DIR] [--minify]";

/** The name of this package is this very package, whatever the handler has beside it. */
const OWN = {
  name: "own",
  setup({ onResolve }) {
    onResolve({ filter: /^@shardloom\/guest(\/|$)/ }, ({ path }) => ({ path: fileURLToPath(import.meta.resolve(path)) }));
  },
};

/** Bundles a handler with all that it imports, but for the host's interfaces; returns it, and the names of these. */
async function bundle(source, minify) {
  const { outputFiles, metafile } = await build({
    entryPoints: [source],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify,
    write: false,
    metafile: true,
    logLevel: "silent",
    external: ["wasi:*", "shardloom:*"],
    plugins: [OWN],
  });
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  return { jsSource: outputFiles[0].text, imports: imports.map((one) => one.path) };
}

/** The world of a handler that imports these interfaces. */
function worldOf(imports) {
  if (!imports.includes(HTTP)) return "shard-handler";
  return imports.includes(PLACED) ? "http-service-placed" : "http-service";
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: "string", short: "o" },
      wit: { type: "string", default: fileURLToPath(new URL("../../../wit", import.meta.url)) },
      minify: { type: "boolean", default: false },
    },
  });
  const [source] = positionals;
  if (positionals.length !== 1 || !values.out) throw new Error(USAGE);
  const work = await mkdtemp(join(tmpdir(), "shardloom-"));
  try {
    const { jsSource, imports } = await bundle(resolve(source), values.minify);
    const jsPath = join(work, `${basename(source).replace(/\.[^.]+$/, "")}.js`);
    await writeFile(jsPath, jsSource);
    const made = await componentize({
      witPath: resolve(values.wit),
      jsSource,
      jsPath,
      moduleRoot: dirname(jsPath),
      world: worldOf(imports),
      // The handler of wasi:http 0.3 is asynchronous; ours is not.
      sync: !imports.includes(HTTP),
    });
    await writeFile(values.out, made.component);
    console.log(`${values.out}: ${made.component.length} bytes`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(`shardloom-componentize: ${error.message}`);
  process.exitCode = 1;
});
