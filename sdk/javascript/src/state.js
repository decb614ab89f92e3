// The shard's state of this workload: bytes under bytes, ordered by key. Text stands for its UTF-8.

import * as store from "shardloom:shard/store@0.1.0";

import { bytesOf } from "./bytes.js";
import { Failed, Invalid } from "./failure.js";
import { decode } from "./utf8.js";

/** The most rows that the host gives at once. */
const PAGE_ROWS = 1000;

/** One key with its value. */
class Row {
  constructor(key, value) {
    this.key = key;
    this.value = value;
  }

  keyText() {
    return textOf(this.key, "a key of the state");
  }

  text() {
    return textOf(this.value, "a value of the state");
  }

  json() {
    return JSON.parse(this.text());
  }
}

export const state = Object.freeze({
  /** The bytes under a key; undefined where there is nothing. */
  get(key) {
    return store.get(bytesOf(key)) ?? undefined;
  },

  /** The text under a key; undefined where there is nothing. */
  getText(key) {
    const value = state.get(key);
    return value && textOf(value, "the value");
  },

  /** The JSON value under a key; undefined where there is nothing. */
  getJson(key) {
    const text = state.getText(key);
    return text === undefined ? undefined : JSON.parse(text);
  },

  /** Writes text or bytes under a key. */
  set(key, value) {
    written(() => store.set(bytesOf(key), bytesOf(value)));
  },

  /** Writes a value as JSON. */
  setJson(key, value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`${typeof value} has no form in JSON`);
    state.set(key, text);
  },

  /** Removes a key and its value; it is no error where there is none. */
  delete(key) {
    written(() => store.delete(bytesOf(key)));
  },

  /**
   * Reads rows in order of their keys, page by page as they are asked for: those that begin with `prefix`, or from `start`
   * and before `end`; at most `limit`.
   */
  *scan({ prefix, start, end, limit = Infinity } = {}) {
    if (prefix !== undefined && (start !== undefined || end !== undefined)) {
      throw new TypeError("a scan takes a prefix, or start and end");
    }
    let from = bytesOf(prefix ?? start ?? "");
    const before = prefix === undefined ? (end === undefined ? null : bytesOf(end)) : after(from);
    for (let left = limit; left > 0; ) {
      const rows = store.scan(from, before, Math.min(left, PAGE_ROWS));
      if (rows.length === 0) return;
      for (const [key, value] of rows) yield new Row(key, value);
      left -= rows.length;
      from = next(rows[rows.length - 1][0]);
    }
  },
});

function textOf(bytes, what) {
  const text = decode(bytes);
  if (text === undefined) throw new Failed(`${what} is not text`);
  return text;
}

/** The first key after those that begin with a prefix; null where there is none. */
function after(prefix) {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return null;
  const end = prefix.slice(0, length);
  end[length - 1]++;
  return end;
}

/** The least key after a key. */
function next(key) {
  const longer = new Uint8Array(key.length + 1);
  longer.set(key);
  return longer;
}

/** Does a write; where it was not taken, throws what the caller should hear. */
function written(write) {
  try {
    write();
  } catch (error) {
    switch (error?.payload?.tag) {
      case "too-large":
        throw new Invalid(error.payload.val);
      case "quota-exceeded":
        throw new Failed("this shard has no room for more keys");
      case "closed":
        throw new Failed("the reply has begun");
      default:
        throw error;
    }
  }
}
