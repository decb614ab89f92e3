// `node --import @shardloom/guest/testing/register --test`: gives a handler under test the interfaces of `world.js`.

import { register } from "node:module";

register("./hooks.js", import.meta.url);
