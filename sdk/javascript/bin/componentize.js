#!/usr/bin/env node
// Makes a component of a handler in JavaScript or TypeScript: bundles it, and puts it into QuickJS.
//
//     shardloom-componentize handler.ts --out handler.wasm [--wit DIR] [--minify]

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { componentize } from "componentize-qjs";
import { build } from "esbuild";

const WORLD = "shard-handler";
const USAGE = "usage: shardloom-componentize HANDLER --out FILE [--wit DIR] [--minify]";

/** Bundles a handler with all that it imports, but for the host's interfaces. */
async function bundle(source, minify) {
  const { outputFiles } = await build({
    entryPoints: [source],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify,
    write: false,
    logLevel: "silent",
    external: ["wasi:*", "shardloom:*"],
  });
  return outputFiles[0].text;
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
    const jsSource = await bundle(resolve(source), values.minify);
    const jsPath = join(work, `${basename(source).replace(/\.[^.]+$/, "")}.js`);
    await writeFile(jsPath, jsSource);
    const made = await componentize({
      witPath: resolve(values.wit),
      jsSource,
      jsPath,
      moduleRoot: dirname(jsPath),
      world: WORLD,
      sync: true,
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
