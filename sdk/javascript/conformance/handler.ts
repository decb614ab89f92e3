// The conformance guest in TypeScript; ../../CONFORMANCE.md says what each method does.

import {
  Conflict,
  config,
  Failed,
  Invalid,
  json,
  log,
  methods,
  NotFound,
  place,
  reply,
  type Request,
  state,
  text,
} from "../src/index.js";

export const handler = methods({
  echo: ({ headers, body }) => reply(body, headers),
  put: ({ key, body }) => state.set(key, body),
  get: ({ key }) => {
    const value = state.get(key);
    if (value === undefined) throw new NotFound("nothing is kept under this key");
    return value;
  },
  delete: ({ key }) => state.delete(key),
  scan: ({ body }) => json([...state.scan({ prefix: body })].map((row) => row.keyText())),
  rollback: ({ key, body }) => {
    state.set(key, body);
    throw new Failed("rolled back");
  },
  invalid: (request) => {
    throw new Invalid(request.text());
  },
  "not-found": (request) => {
    throw new NotFound(request.text());
  },
  conflict: (request) => {
    throw new Conflict(request.text());
  },
  failed: (request) => {
    throw new Failed(request.text());
  },
  large: (request) => new Uint8Array(decimal(request)).fill("x".charCodeAt(0)),
  place: () => {
    const { shard, shardCount, epoch, node, workload, version } = place();
    return json({ shard, shard_count: shardCount, epoch, node, workload, version });
  },
  config: (request) => {
    const value = config(request.text());
    if (value === undefined) throw new NotFound("there is no such setting");
    return text(value);
  },
  log: (request) => log.info(request.text(), "conformance"),
  trap: () => {
    throw new Error("as asked");
  },
  spin: () => {
    for (;;) {
      // Until the host ends it.
    }
  },
  alloc: (request) => {
    const bytes = Math.max(decimal(request), 1);
    for (const kept = []; ; ) kept.push(new Uint8Array(bytes).fill(1));
  },
});

function decimal(request: Request): number {
  const body = request.text();
  if (!/^[0-9]{1,9}$/.test(body)) throw new Invalid("the body must be a decimal below 10^9");
  return Number(body);
}
