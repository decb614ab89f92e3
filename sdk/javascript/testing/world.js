// The host's interfaces, in memory, for tests of handlers without a cluster. Bounds are those of a default deployment.

import { randomFillSync } from "node:crypto";

import { bytesOf } from "../src/bytes.js";
import { decode, encode } from "../src/utf8.js";
import { Buckets } from "./buckets.js";
import { incoming, outgoing } from "./http.js";

const KEY_BYTES_MAX = 1024;
const VALUE_BYTES_MAX = 48 * 1024;
const SCAN_ROWS_MAX = 1000;
const SCAN_BYTES_MAX = 1024 * 1024;

/** Bytes as a string that orders as they do. */
const ordered = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const plain = (text) => Uint8Array.from(text, (char) => char.charCodeAt(0));

class World {
  constructor() {
    this.reset();
    this.store = {
      get: (key) => this.rows.get(ordered(key))?.slice() ?? null,
      set: (key, value) => {
        bounded("key", key, KEY_BYTES_MAX);
        bounded("value", value, VALUE_BYTES_MAX);
        if (this.full) throw failing({ tag: "quota-exceeded" });
        this.rows.set(ordered(key), value.slice());
      },
      delete: (key) => {
        bounded("key", key, KEY_BYTES_MAX);
        this.rows.delete(ordered(key));
      },
      scan: (start, end, limit) => this.page(ordered(start), end && ordered(end), limit),
    };
    this.info = { current: () => ({ ...this.place }) };
    this.logging = { log: (level, context, message) => this.logged.push({ level, context, message }) };
    this.keyvalue = {
      open: (name) => this.buckets.open(name),
      increment: (bucket, key, delta) => bucket.increment(key, delta),
    };
    this.random = { getRandomBytes: (length) => randomFillSync(new Uint8Array(length)) };
    this.settings = {
      get: (key) => {
        if (this.unreadable) throw failing({ tag: "io", val: this.unreadable });
        return this.config[key] ?? null;
      },
      getAll: () => Object.entries(this.config),
    };
  }

  /** Forgets everything. */
  reset() {
    this.rows = new Map();
    this.buckets = new Buckets(() => this.full);
    this.full = false;
    this.config = {};
    this.unreadable = undefined;
    this.logged = [];
    this.place = { shard: 7, shardCount: 1024, epoch: 3, node: "00000000000000aa", workload: "test", version: 1 };
  }

  page(start, end, limit) {
    const rows = [];
    let bytes = 0;
    for (const key of [...this.rows.keys()].sort()) {
      if (key < start || (end !== null && key >= end)) continue;
      if (rows.length === Math.min(limit, SCAN_ROWS_MAX) || bytes >= SCAN_BYTES_MAX) break;
      const value = this.rows.get(key);
      bytes += key.length + value.length;
      rows.push([plain(key), value.slice()]);
    }
    return rows;
  }

  /** Makes one call as the host does: all of its writes are kept, or none. */
  call(handler, key, method = "", body = "", headers = []) {
    const before = new Map(this.rows);
    try {
      const bytes = typeof body === "string" ? encode(body) : body;
      const reply = handler.handle({ key, method, headers, body: bytes });
      return { ...reply, text: decode(reply.body) };
    } catch (error) {
      this.rows = before;
      throw error;
    }
  }

  /** Has a component of wasi:http answer one request as the host does: a response of 5xx takes back what was written. */
  async request(handler, method, target, { body = "", headers = [], scheme = "http" } = {}) {
    const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
    const kept = this.buckets.copy();
    let status = 500;
    try {
      const asked = incoming({ method, target, headers: pairs, body: bytesOf(body), scheme, authority: "localhost" });
      const response = await outgoing(await handler.handle(asked));
      status = response.status;
      return { ...response, text: decode(response.body) };
    } finally {
      if (status >= 500) this.buckets.take(kept);
    }
  }
}

function bounded(what, bytes, most) {
  if (bytes.length > most) {
    throw failing({ tag: "too-large", val: `the ${what} has ${bytes.length} bytes; at most ${most} are taken` });
  }
}

/** What QuickJS throws for the error of an import's result. */
function failing(payload) {
  return Object.assign(new Error(`${payload} (see error.payload)`), { payload });
}

/** The one world of this process. */
export const world = new World();
