// The handler, against a world in memory: `npm test`.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { world } from "@shardloom/guest/testing";

import { handler } from "./sessions.js";

beforeEach(() => world.reset());

const ask = (cookie, method, target, body) =>
  world.request(handler, method, target, { headers: cookie === undefined ? {} : { cookie }, body: body ?? "" });

async function begin() {
  const begun = await ask(undefined, "POST", "/");
  assert.equal(begun.status, 201);
  return begun.headers.find(([name]) => name === "set-cookie")[1].split(";")[0];
}

test("what is put into a session is there, and in no other", async () => {
  const [mine, yours] = [await begin(), await begin()];
  assert.notEqual(mine, yours);
  assert.equal((await ask(mine, "PUT", "/cart", '["tea"]')).status, 204);
  assert.equal((await ask(mine, "GET", "/cart")).text, '["tea"]');
  assert.equal((await ask(mine, "GET", "/")).text, '{"cart":["tea"]}');
  assert.equal((await ask(yours, "GET", "/")).text, "{}");
  assert.equal((await ask(yours, "GET", "/cart")).status, 404);
});

test("what is taken out is gone, and so is a session that ends", async () => {
  const mine = await begin();
  await ask(mine, "PUT", "/a", "1");
  await ask(mine, "PUT", "/b", "2");
  assert.equal((await ask(mine, "DELETE", "/a")).status, 204);
  assert.equal((await ask(mine, "DELETE", "/a")).status, 404);
  assert.equal((await ask(mine, "GET", "/")).text, '{"b":2}');
  const ended = await ask(mine, "DELETE", "/");
  assert.match(ended.headers.find(([name]) => name === "set-cookie")[1], /Max-Age=0/);
  assert.equal((await ask(mine, "GET", "/")).text, "{}");
});

test("a session that is not used is over, and each use makes it last", async () => {
  world.config.idle_seconds = "60";
  mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  try {
    const mine = await begin();
    await ask(mine, "PUT", "/a", "1");
    for (let minute = 0; minute < 3; minute++) {
      mock.timers.tick(59_000);
      assert.equal((await ask(mine, "GET", "/a")).text, "1");
    }
    mock.timers.tick(60_000);
    assert.equal((await ask(mine, "GET", "/")).text, "{}");
  } finally {
    mock.timers.reset();
  }
});

test("what is wrong is said, and changes nothing", async () => {
  const mine = await begin();
  for (const [cookie, method, target, body, status] of [
    [undefined, "GET", "/", "", 401],
    ["session=../../etc", "GET", "/", "", 400],
    [mine, "PUT", "/a%20b", "1", 400],
    [mine, "PUT", "/a", "{", 400],
    [mine, "PATCH", "/a", "1", 405],
  ]) {
    assert.equal((await ask(cookie, method, target, body)).status, status, `${method} ${target}`);
  }
  assert.equal((await ask(mine, "GET", "/")).text, "{}");
});

test("the cookie of a site with TLS goes by TLS alone", async () => {
  const begun = await world.request(handler, "POST", "/", { scheme: "https" });
  assert.match(begun.headers.find(([name]) => name === "set-cookie")[1], /; Secure$/);
});

test("a session holds so many values and no more", async () => {
  const mine = await begin();
  for (let number = 0; number < 100; number++) await ask(mine, "PUT", `/v${number}`, "1");
  assert.equal((await ask(mine, "PUT", "/more", "1")).status, 409);
  assert.equal((await ask(mine, "PUT", "/v0", "2")).status, 204);
});
