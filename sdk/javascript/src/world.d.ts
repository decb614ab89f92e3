// The imports and exports of the worlds `shard-handler` and `http-service`, package shardloom:shard@0.1.0, as a guest on
// QuickJS sees them: lists of bytes are Uint8Array, none is null, u64 is a number, and the error of an import's result is the `payload` of an
// Error that is thrown. `wit/` in the root of the repository is the source, and has the words on each function. Most guests
// need `index.d.ts` or `http.d.ts` only.

/** The state of this workload on this shard, ordered by the bytes of its keys. A call is one transaction. */
declare module "shardloom:shard/store@0.1.0" {
  /** The payload of what `set` and `delete` throw where a write was not taken. */
  export type StoreError = { tag: "too-large"; val: string } | { tag: "quota-exceeded" } | { tag: "closed" };

  /** Reads a value; null where the key has none. */
  export function get(key: Uint8Array): Uint8Array | null;
  /** Writes a value, over the one that the key may have. Throws with a StoreError. */
  export function set(key: Uint8Array, value: Uint8Array): void;
  /** Removes a key and its value; it is no error where there is none. Throws with a StoreError. */
  function remove(key: Uint8Array): void;
  export { remove as delete };
  /** Reads at most `limit` rows, at most 1,000, from `start` and before `end`. */
  export function scan(start: Uint8Array, end: Uint8Array | null, limit: number): [Uint8Array, Uint8Array][];
}

/** Where and as what the guest runs. */
declare module "shardloom:shard/shard-info@0.1.0" {
  export interface Place {
    shard: number;
    shardCount: number;
    epoch: number;
    node: string;
    workload: string;
    version: number;
  }

  /** Tells where the instance runs now; the epoch may rise between two calls. */
  export function current(): Place;
}

/** Log messages with a priority and a context. */
declare module "wasi:logging/logging@0.1.0-draft" {
  export type Level = "trace" | "debug" | "info" | "warn" | "error" | "critical";

  /** Logs one message; `context` is any text that helps to group messages. */
  export function log(level: Level, context: string, message: string): void;
}

/** What the workload was deployed with. */
declare module "wasi:config/store@0.2.0-rc.1" {
  /** The payload of what `get` and `getAll` throw. */
  export type Error = { tag: "upstream"; val: string } | { tag: "io"; val: string };

  /** Reads a setting; null where it is not set. Throws with an Error. */
  export function get(key: string): string | null;
  /** Reads all settings. Throws with an Error. */
  export function getAll(): [string, string][];
}

/** What a guest exports under the name `handler`. */
declare module "shardloom:shard/handler@0.1.0" {
  export interface Request {
    key: string;
    method: string;
    headers: [string, string][];
    body: Uint8Array;
  }

  export interface Reply {
    headers: [string, string][];
    body: Uint8Array;
  }

  /** What `handle` throws to refuse; anything else that it throws is a trap. */
  export type Failure =
    | { tag: "invalid"; val: string }
    | { tag: "not-found"; val: string }
    | { tag: "conflict"; val: string }
    | { tag: "failed"; val: string };

  export interface Handler {
    handle(request: Request): Reply;
  }
}

/** Values under keys of text. */
declare module "wasi:keyvalue/store@0.2.0-draft2" {
  /** The payload of what is thrown. */
  export type Error = { tag: "no-such-store" } | { tag: "access-denied" } | { tag: "other"; val: string };

  /** Opens the bucket of that name. */
  export function open(identifier: string): Bucket;

  export class Bucket {
    private constructor();
    /** Reads the value of a key; null where it has none. */
    get(key: string): Uint8Array | null;
    set(key: string, value: Uint8Array): void;
    delete(key: string): void;
    exists(key: string): boolean;
    /** Lists keys, a page at a time. */
    listKeys(cursor: string | null): { keys: string[]; cursor: string | null };
  }
}

/** Operations on values that happen as a whole or not at all. */
declare module "wasi:keyvalue/atomics@0.2.0-draft2" {
  import type { Bucket } from "wasi:keyvalue/store@0.2.0-draft2";

  /** Adds to the number that a key has for its value; answers with the sum. */
  export function increment(bucket: Bucket, key: string, delta: number): number;
}

/** Random numbers that nobody can guess. */
declare module "wasi:random/random@0.3.0" {
  /** Gives random bytes, at least one and at most that many. */
  export function getRandomBytes(maxLen: number): Uint8Array;
  export function getRandomU64(): number;
}

/** What a component of wasi:http exports under the name `handler`; `serve` makes it, and knows requests and responses. */
declare module "wasi:http/handler@0.3.0" {
  /** A request of wasi:http, which is the host's. */
  export interface WasiRequest {
    getMethod(): { tag: string; val?: string };
    getPathWithQuery(): string | null;
  }

  /** A response of wasi:http, which is the host's. */
  export interface WasiResponse {
    getStatusCode(): number;
  }

  export interface Handler {
    handle(request: WasiRequest): Promise<WasiResponse>;
  }
}
