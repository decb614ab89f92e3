#!/usr/bin/env node
// Makes a component of a handler in JavaScript or TypeScript: bundles it, and puts it into QuickJS.
//
//     shardloom-componentize handler.ts --out handler.wasm [--wit DIR] [--minify]
//
// A guest gets no WASI but logging and configuration, and QuickJS asks for much more. componentize-qjs can put traps in the
// place of what WASI a guest imports, but only of all of it. So the two that are served go by another name, of the same
// length, while it does so.

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { componentize } from "componentize-qjs";
import { build } from "esbuild";

const WORLD = "shard-handler";
const SERVED = "wasi:";
/** The name of what is served meanwhile: just as long, since it is put back in the binary. */
const KEPT = "kept:";
const USAGE = "usage: shardloom-componentize HANDLER --out FILE [--wit DIR] [--minify]";

/** Bundles a handler with all that it imports, but for the host's interfaces. */
async function bundle(source, minify) {
  const renaming = {
    name: "host-interfaces",
    setup(build) {
      build.onResolve({ filter: /^(wasi|shardloom):/ }, ({ path }) => ({
        path: path.replace(SERVED, KEPT),
        external: true,
      }));
    },
  };
  const { outputFiles, metafile } = await build({
    entryPoints: [source],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify,
    write: false,
    metafile: true,
    logLevel: "silent",
    plugins: [renaming],
  });
  const [{ exports }] = Object.values(metafile.outputs);
  if (!exports.includes("handler")) throw new Error(`${source} does not export the name handler`);
  return outputFiles[0].text;
}

/** Copies the WIT, with the served interfaces under the other name. */
async function rename(wit, to) {
  await cp(wit, to, { recursive: true });
  for (const entry of await readdir(to, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".wit")) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    await writeFile(path, (await readFile(path, "utf8")).replaceAll(SERVED, KEPT));
  }
}

/** Gives the served interfaces their names back. */
function restore(component) {
  const names = new RegExp(`${KEPT}(?=[a-z-]+/[a-z-]+@[0-9])`, "g");
  return Buffer.from(component.toString("latin1").replace(names, SERVED), "latin1");
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
    const wit = join(work, "wit");
    await rename(resolve(values.wit), wit);
    const jsSource = await bundle(resolve(source), values.minify);
    const jsPath = join(work, `${basename(source).replace(/\.[^.]+$/, "")}.js`);
    await writeFile(jsPath, jsSource);
    const made = await componentize({
      witPath: wit,
      jsSource,
      jsPath,
      moduleRoot: dirname(jsPath),
      world: WORLD,
      stubWasi: true,
      sync: true,
    });
    const component = restore(made.component);
    await writeFile(values.out, component);
    console.log(`${values.out}: ${component.length} bytes`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(`shardloom-componentize: ${error.message}`);
  process.exitCode = 1;
});
