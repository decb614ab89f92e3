import assert from "node:assert/strict";
import { test } from "node:test";

import { world } from "@shardloom/guest/testing";

import { handler } from "./handler.js";

test("greetings are counted, and an empty one is refused", () => {
  world.reset();
  world.call(handler, "ada", "", "Hello");
  assert.throws(() => world.call(handler, "ada", "", ""));
  assert.equal(world.call(handler, "ada", "", "Hi").text, "Hi, ada (greeted 2 times)\n");
});
