// Resolves the host's interfaces to what `world.js` holds of each, and this package's name to this very package.

const NAMES = {
  "shardloom:shard/store@0.1.0": ["store", ["get", "set", "delete", "scan"]],
  "shardloom:shard/shard-info@0.1.0": ["info", ["current"]],
  "wasi:logging/logging@0.1.0-draft": ["logging", ["log"]],
  "wasi:config/store@0.2.0-rc.1": ["settings", ["get", "getAll"]],
  "wasi:keyvalue/store@0.2.0-draft2": ["keyvalue", ["open"]],
  "wasi:keyvalue/atomics@0.2.0-draft2": ["keyvalue", ["increment"]],
  "wasi:random/random@0.3.0": ["random", ["getRandomBytes"]],
};
const WORLD = new URL("./world.js", import.meta.url).href;
/** Classes, not functions that ask the world: they are what they are. */
const HTTP = "wasi:http/types@0.3.0";

export async function resolve(specifier, context, next) {
  if (specifier === HTTP) return { url: new URL("./http.js", import.meta.url).href, shortCircuit: true };
  if (/^@shardloom\/guest(\/|$)/.test(specifier)) return next(specifier, { ...context, parentURL: import.meta.url });
  if (Object.hasOwn(NAMES, specifier)) return { url: specifier, shortCircuit: true };
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!Object.hasOwn(NAMES, url)) return next(url, context);
  const [part, functions] = NAMES[url];
  const lines = functions.map(
    (name) => `const _${name} = (...args) => world.${part}.${name}(...args); export { _${name} as ${name} };`,
  );
  const source = `import { world } from ${JSON.stringify(WORLD)};\n${lines.join("\n")}\n`;
  return { format: "module", source, shortCircuit: true };
}
