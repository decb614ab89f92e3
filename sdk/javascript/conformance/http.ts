// The conformance guest of wasi:http in TypeScript; ../../CONFORMANCE.md says what each method does.

import { bucket, config, HttpError, log, Request, Response, serve } from "../src/http.js";
import { place } from "../src/place.js";

const kept = bucket("kept");

const methods: Record<string, (request: Request, key: string) => Response | string | Uint8Array> = {
  echo: ({ headers, body }) => new Response(body, { headers: headers.filter(([name]) => name.startsWith("x-")) }),
  put: ({ body }, key) => {
    kept.set(key, body);
    return "";
  },
  get: (_, key) => {
    const value = kept.get(key);
    if (value === undefined) throw new HttpError(404, "nothing is kept under this key");
    return value;
  },
  delete: (_, key) => {
    kept.delete(key);
    return "";
  },
  scan: (request) => {
    const prefix = request.text();
    return Response.json([...kept.keys()].filter((key) => key.startsWith(prefix)));
  },
  rollback: ({ body }, key) => {
    kept.set(key, body);
    throw new HttpError(500, "rolled back");
  },
  invalid: (request) => refuse(400, request),
  "not-found": (request) => refuse(404, request),
  conflict: (request) => refuse(409, request),
  failed: (request) => refuse(422, request),
  large: (request) => new Uint8Array(decimal(request)).fill("x".charCodeAt(0)),
  place: () => {
    const { shard, shardCount, epoch, node, workload, version } = place();
    return Response.json({ shard, shard_count: shardCount, epoch, node, workload, version });
  },
  config: (request) => {
    const value = config(request.text());
    if (value === undefined) throw new HttpError(404, "there is no such setting");
    return value;
  },
  log: (request) => {
    log.info(request.text(), "conformance");
    return "";
  },
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
};

export const handler = serve((request) => {
  const [key = "", method = ""] = request.segments;
  const answer = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (answer === undefined) throw new HttpError(400, `there is no method ${JSON.stringify(method)}`);
  return answer(request, key);
});

function refuse(status: number, request: Request): never {
  throw new HttpError(status, request.text());
}

function decimal(request: Request): number {
  const body = request.text();
  if (!/^[0-9]{1,9}$/.test(body)) throw new HttpError(400, "the body must be a decimal below 10^9");
  return Number(body);
}
