// Where the guest runs. It is apart, since it is what a component of wasi:http finds on Shardloom alone.

import { current } from "shardloom:shard/shard-info@0.1.0";

/** Where the instance runs now. */
export function place() {
  const found = current();
  return { ...found, epoch: Number(found.epoch), version: Number(found.version) };
}
