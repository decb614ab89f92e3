// Never run: `npm run types` checks that the types take what the helper takes, and refuse what it refuses.

import { type Json, json, log, methods, reply, serve, state } from "../src/index.js";
import { bucket, Response, serve as http } from "../src/http.js";
import { get } from "shardloom:shard/store@0.1.0";
import { world } from "../testing/world.js";

export const table = methods({ one: () => "text", two: (request) => json({ key: request.key }), three: () => {} });
export const handler = serve((request) => reply(request.body, [["x-key", request.key]]));
export const bytes: Uint8Array | null = get(new Uint8Array());
export const rows: string[] = [...state.scan({ start: "a", end: "b", limit: 3 })].map((row) => row.keyText());
export const called: string | undefined = world.call(handler, "key").text;
log.warn("text", "context");

// @ts-expect-error A handler cannot be asynchronous.
serve(async () => "text");
// @ts-expect-error A prefix excludes a start.
state.scan({ prefix: "a", start: "b" });
// @ts-expect-error A function has no form in JSON.
export const wrong: Json = () => 1;
// @ts-expect-error JSON of a body is unknown until it is checked.
serve((request) => json({ item: request.json().item }));

export const web = http(async (request) => Response.json({ path: request.path, id: request.cookie("id") ?? null }));
export const plain = http(() => new Response(null, { status: 204, headers: [["x-a", "1"]] }));
export const counted: number = bucket("visits").increment("key");
export const answered: Promise<number> = world.request(web, "GET", "/").then((response) => response.status);

// @ts-expect-error A key of a bucket is text.
bucket("visits").get(new Uint8Array());
// @ts-expect-error A response is no plain object.
http(() => ({ status: 200 }));
