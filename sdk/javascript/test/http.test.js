// The helper for components of wasi:http, against a world in memory: `npm test`.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { bucket, config, HttpError, randomBytes, randomHex, Request, Response, serve } from "../src/http.js";
import { world } from "../testing/world.js";

beforeEach(() => world.reset());

const bytes = (...values) => Uint8Array.from(values);
const ask = (answer, target = "/", rest = {}) => world.request(serve(answer), "GET", target, rest);
const of = (target, headers = []) => new Request({ method: "GET", target, headers, body: bytes() });

test("what a function returns becomes a response", async () => {
  const text = ["content-type", "text/plain; charset=utf-8"];
  const json = ["content-type", "application/json"];
  for (const [answer, status, body, headers] of [
    [undefined, 204, bytes(), []],
    ["é", 200, bytes(0xc3, 0xa9), [text]],
    [bytes(0xff), 200, bytes(0xff), []],
    [Promise.resolve("x"), 200, bytes(0x78), [text]],
    [Response.json({ a: 1 }, { status: 201 }), 201, new TextEncoder().encode('{"a":1}'), [json]],
    [new Response("x", { headers: { "Content-Type": "text/x" } }), 200, bytes(0x78), [["content-type", "text/x"]]],
    [new Response(null, { status: 302, headers: [["x-a", "1"], ["x-a", "é"]] }), 302, bytes(), [["x-a", "1"], ["x-a", "é"]]],
  ]) {
    const got = await ask(() => answer);
    assert.deepEqual([got.status, got.body, got.headers], [status, body, headers]);
  }
});

test("what is no response is a mistake of the guest", async () => {
  const wrong = [{}, 1, new Response("", { status: 99 }), new Response("", { headers: { "a b": "c" } })];
  for (const answer of [...wrong, new Response("", { headers: { connection: "close" } })]) {
    await assert.rejects(ask(() => answer), (error) => error instanceof TypeError || error instanceof RangeError);
  }
  assert.throws(() => Response.json(undefined), TypeError);
});

test("an HttpError is a response, and another exception is logged and goes on to trap", async () => {
  const refused = await ask(() => {
    throw new HttpError(409, "not so");
  });
  assert.deepEqual([refused.status, refused.text], [409, "not so\n"]);
  assert.deepEqual(world.logged, []);
  const broken = async () => {
    throw new RangeError("gone");
  };
  await assert.rejects(ask(broken), RangeError);
  assert.match(world.logged[0].message, /^RangeError: gone\n[^]*http\.test\.js/);
});

test("a request is read by its parts", () => {
  const request = of("/a%2Fb//c%20d?x=1&n%C3%A4me=a+b%2B&x=2&y", [
    ["cookie", 'a=1; sid="v w"; b'],
    ["x-one", "1"],
    ["cookie", "late=2=3"],
  ]);
  assert.equal(request.path, "/a%2Fb//c%20d");
  assert.deepEqual(request.segments, ["a/b", "", "c d"]);
  assert.deepEqual(["x", "näme", "y", "z"].map((name) => request.query(name)), ["1", "a b+", "", undefined]);
  assert.deepEqual(["sid", "late", "b", "c"].map((name) => request.cookie(name)), ["v w", "2=3", "", undefined]);
  assert.deepEqual([request.header("X-One"), request.header("x-two")], ["1", undefined]);
  assert.throws(() => of("/%ff").segments, { status: 400 });
  assert.throws(() => of("/?a=%ff").query("a"), { status: 400 });
  assert.deepEqual(of("/").segments, [""]);
});

test("a body comes whole, and is text or JSON where it should be", async () => {
  const seen = async (body, read) => (await ask((request) => Response.json(read(request) ?? null), "/", { body })).text;
  assert.equal(await seen('{"é":1}', (request) => request.json()), '{"é":1}');
  assert.equal(await seen("", (request) => request.body.length), "0");
  const wrong = await ask((request) => request.text(), "/", { body: bytes(0xff) });
  assert.deepEqual([wrong.status, wrong.text], [400, "the body must be UTF-8\n"]);
  assert.equal((await ask((request) => request.json(), "/", { body: "{" })).status, 400);
});

test("the method, the scheme and the headers are the caller's", async () => {
  const handler = serve((request) => Response.json([request.method, request.scheme, request.authority, request.headers]));
  const told = await world.request(handler, "PURGE", "/", { scheme: "https", headers: { "X-A": "é" } });
  assert.equal(told.text, '["PURGE","https","localhost",[["x-a","é"]]]');
});

test("what is kept in a bucket comes back as it went", async () => {
  const [one, other] = [bucket("one"), bucket("other")];
  await ask(() => {
    one.set("text", "é");
    one.set("bytes", bytes(0, 0xff));
    one.setJson("json", { a: [1, null] });
    one.set("empty", "");
  });
  assert.deepEqual([one.getText("text"), one.get("bytes"), one.getJson("json")], ["é", bytes(0, 0xff), { a: [1, null] }]);
  assert.deepEqual([one.getText("empty"), one.get("none"), one.getJson("none")], ["", undefined, undefined]);
  assert.deepEqual([one.has("empty"), one.has("none"), other.has("text")], [true, false, false]);
  one.delete("text");
  one.delete("text");
  assert.deepEqual([...one.keys()], ["bytes", "empty", "json"]);
  assert.throws(() => one.getText("bytes"), { status: 500 });
  assert.deepEqual([one.increment("n"), one.increment("n", -3)], [1, -2]);
  assert.throws(() => one.increment("json"), { status: 500 });
});

test("keys are read over all pages", () => {
  const many = bucket("many");
  for (let number = 0; number < 2500; number++) many.set(String(number).padStart(4, "0"), "");
  const keys = [...many.keys()];
  assert.deepEqual([keys.length, keys[0], keys.at(-1)], [2500, "0000", "2499"]);
});

test("a response of 5xx and a trap take back what was written, another keeps it", async () => {
  const kept = bucket("kept");
  for (const [status, value] of [[500, undefined], [404, "404"], [503, "404"], [200, "200"]]) {
    await ask(() => {
      kept.set("key", String(status));
      throw new HttpError(status, "after the write");
    });
    assert.equal(kept.getText("key"), value);
  }
  const trap = () => {
    kept.set("key", "gone");
    throw new TypeError("a trap");
  };
  await assert.rejects(ask(trap));
  assert.equal(kept.getText("key"), "200");
});

test("a write that is not taken is a response of 500 with the host's words", async () => {
  const kept = bucket("kept");
  const long = await ask(() => kept.set("key", "x".repeat(49153)));
  assert.deepEqual([long.status, long.text], [500, "the value has 49153 bytes; at most 49152 are taken\n"]);
  assert.equal((await ask(() => kept.set("k".repeat(1025), ""))).status, 500);
  world.full = true;
  assert.equal((await ask(() => kept.set("key", "x"))).status, 500);
});

test("settings and random numbers are the host's", async () => {
  world.config.greeting = "hello";
  assert.deepEqual([config("greeting"), config("none")], ["hello", undefined]);
  world.unreadable = "gone";
  assert.throws(() => config("greeting"), { status: 500, message: "the setting greeting cannot be read: gone" });
  assert.equal(randomBytes(100).length, 100);
  assert.match(randomHex(16), /^[0-9a-f]{32}$/);
  assert.notEqual(randomHex(16), randomHex(16));
});
