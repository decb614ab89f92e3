/// <reference path="./world.d.ts" />

import type { Place } from "shardloom:shard/shard-info@0.1.0";

export type { Place };

/** Where the instance runs now; the epoch may rise between two calls. A component that asks runs on Shardloom alone. */
export function place(): Place;
