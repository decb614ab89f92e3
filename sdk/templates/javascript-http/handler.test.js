import assert from "node:assert/strict";
import { test } from "node:test";

import { world } from "@shardloom/guest/testing";

import { handler } from "./handler.js";

test("visits are counted by name, and only they", async () => {
  world.reset();
  await world.request(handler, "GET", "/ada");
  assert.equal((await world.request(handler, "POST", "/ada")).status, 405);
  assert.equal((await world.request(handler, "GET", "/ada")).text, "ada has been visited 2 times\n");
  assert.equal((await world.request(handler, "GET", "/bob")).text, "bob has been visited 1 times\n");
});
