// The helper, against a world in memory: `npm test`.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import * as guest from "../src/index.js";
import { Conflict, Failed, Invalid, json, methods, NotFound, reply, Request, serve, state } from "../src/index.js";
import { world } from "../testing/world.js";

beforeEach(() => world.reset());

const bytes = (...values) => Uint8Array.from(values);
const request = (body, headers = []) => new Request({ key: "key", method: "", headers, body: guest.encode(body) });

test("what a function returns becomes a reply", () => {
  const text = ["content-type", "text/plain; charset=utf-8"];
  for (const [answer, body, headers] of [
    [undefined, bytes(), []],
    ["é", bytes(0xc3, 0xa9), [text]],
    [bytes(0xff), bytes(0xff), []],
    [json({ a: 1 }), guest.encode('{"a":1}'), [["content-type", "application/json"]]],
    [reply("x", { "x-a": "1" }), bytes(0x78), [["x-a", "1"]]],
    [reply("", [["x-a", "1"], ["x-a", "2"]]), bytes(), [["x-a", "1"], ["x-a", "2"]]],
  ]) {
    const got = world.call(serve(() => answer), "key");
    assert.deepEqual([got.body, got.headers], [body, headers]);
  }
});

test("each failure is its case of the variant", () => {
  for (const [Failure, tag] of [
    [Invalid, "invalid"],
    [NotFound, "not-found"],
    [Conflict, "conflict"],
    [Failed, "failed"],
  ]) {
    const handler = serve(() => {
      throw new Failure("why");
    });
    assert.throws(() => world.call(handler, "key"), { tag, val: "why" });
  }
  assert.deepEqual(world.logged, []);
});

test("another exception is logged and goes on to trap", () => {
  const handler = serve(() => {
    throw new RangeError("gone");
  });
  assert.throws(() => world.call(handler, "key"), RangeError);
  assert.equal(world.logged.length, 1);
  assert.equal(world.logged[0].level, "error");
  assert.match(world.logged[0].message, /^RangeError: gone\n[^]*guest\.test\.js/);
});

test("what is no reply is a mistake of the guest", () => {
  for (const answer of [{}, null, 1, Promise.resolve("x")]) {
    assert.throws(() => world.call(serve(() => answer), "key"), TypeError);
  }
  assert.throws(() => json(undefined), TypeError);
});

test("a method picks its function, and another is invalid", () => {
  const handler = methods({ a: () => "of a", b: () => "of b" });
  assert.equal(world.call(handler, "key", "b").text, "of b");
  const invalid = { tag: "invalid", val: 'there is no method "c\\"": a, b' };
  assert.throws(() => world.call(handler, "key", 'c"'), invalid);
  assert.throws(() => world.call(handler, "key", "toString"), { tag: "invalid" });
});

test("the body is read as text and JSON", () => {
  assert.deepEqual(request('{"é":1}').json(), { é: 1 });
  assert.throws(() => request("{").json(), Invalid);
  const broken = new Request({ key: "key", method: "", headers: [], body: bytes(0xff) });
  assert.throws(() => broken.text(), Invalid);
  assert.equal(request("", [["x-a", "1"], ["x-a", "2"]]).header("X-A"), "1");
  assert.equal(request("").header("x-a"), undefined);
});

test("text, bytes and JSON come back from the state as they went", () => {
  state.set("text", "é");
  state.set(bytes(0xff), bytes(0, 0xff));
  state.setJson("json", { a: [1, null, "é"] });
  assert.equal(state.getText("text"), "é");
  assert.deepEqual(state.get(bytes(0xff)), bytes(0, 0xff));
  assert.deepEqual(state.getJson("json"), { a: [1, null, "é"] });
  assert.deepEqual([state.get("none"), state.getText("none"), state.getJson("none")], [undefined, undefined, undefined]);
  state.delete("text");
  state.delete("text");
  assert.equal(state.get("text"), undefined);
});

test("an empty text is there, and none is not", () => {
  state.set("empty", "");
  assert.equal(state.getText("empty"), "");
});

test("a value that is not text is failed", () => {
  state.set("key", bytes(0xff));
  assert.throws(() => state.getText("key"), Failed);
});

test("a scan goes over all pages in order", () => {
  for (let number = 0; number < 2500; number++) state.set(`k${String(number).padStart(4, "0")}`, String(number));
  state.set("j", "before");
  state.set("l", "after");
  const keys = (range) => [...state.scan(range)].map((row) => row.keyText());
  assert.deepEqual([...state.scan({ prefix: "k" })].map((row) => row.json()), [...Array(2500).keys()]);
  assert.equal(keys({ prefix: "k", limit: 1500 }).at(-1), "k1499");
  assert.deepEqual(keys({ start: "k2499", end: "l" }), ["k2499"]);
  assert.deepEqual(keys({ start: "k2499" }), ["k2499", "l"]);
  assert.deepEqual(keys({ end: "k0001" }), ["j", "k0000"]);
  assert.deepEqual(keys({ limit: 0 }), []);
  assert.equal(keys().length, 2502);
  assert.throws(() => keys({ prefix: "a", start: "b" }), TypeError);
});

test("a prefix of the highest bytes has no end", () => {
  for (const key of [bytes(0xfe, 0xff), bytes(0xff), bytes(0xff, 0xff), bytes(0xff, 0xff, 1)]) state.set(key, "");
  const keys = (prefix) => [...state.scan({ prefix })].map((row) => row.key);
  assert.deepEqual(keys(bytes(0xff, 0xff)), [bytes(0xff, 0xff), bytes(0xff, 0xff, 1)]);
  assert.deepEqual(keys(bytes(0xfe, 0xff)), [bytes(0xfe, 0xff)]);
});

test("a write that is not taken is a refusal", () => {
  assert.throws(() => state.set("key", "x".repeat(49153)), /the value has 49153 bytes/);
  assert.throws(() => state.delete("k".repeat(1025)), Invalid);
  assert.throws(() => state.set("key", 1), TypeError);
  world.full = true;
  assert.throws(() => state.set("key", "x"), Failed);
});

test("what a failed call wrote is gone", () => {
  state.set("key", "old");
  const handler = serve(({ key }) => {
    state.set(key, "new");
    throw new Failed("after the write");
  });
  assert.throws(() => world.call(handler, "key"), { tag: "failed" });
  assert.equal(state.getText("key"), "old");
});

test("place, settings and log are the host's", () => {
  world.config.greeting = "hello";
  world.place.epoch = 9n;
  assert.equal(guest.config("greeting"), "hello");
  assert.equal(guest.config("none"), undefined);
  assert.equal(guest.place().epoch, 9);
  world.unreadable = "gone";
  assert.throws(() => guest.config("greeting"), /^Failed: the setting greeting cannot be read: gone$/);
  guest.log.warn(1, "here");
  assert.deepEqual(world.logged, [{ level: "warn", context: "here", message: "1" }]);
});

test("UTF-8 is encoded and decoded as the platform does", () => {
  const encoder = new TextEncoder();
  for (const text of ["", "plain", "é", "€uro", "a𝄞b", "\u{10ffff}\0", "x".repeat(10_000) + "𝄞", "\ud800 alone"]) {
    assert.deepEqual(guest.encode(text), encoder.encode(text));
    assert.equal(guest.decode(encoder.encode(text)), new TextDecoder().decode(encoder.encode(text)));
  }
});

test("what is not UTF-8 is refused as the platform does", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  for (let first = 0x80; first < 0x100; first++) {
    for (const rest of [[], [0x80], [0x80, 0x80], [0x9f, 0xbf], [0xa0, 0x80], [0x8f, 0x80, 0x80], [0x90, 0x80, 0x80]]) {
      const input = bytes(first, ...rest);
      let expected;
      try {
        expected = strict.decode(input);
      } catch {
        expected = undefined;
      }
      assert.equal(guest.decode(input), expected, `${input}`);
    }
  }
});
