// The shard's state of this workload, as wasi:keyvalue has it: buckets of values under keys of text.

import { increment } from "wasi:keyvalue/atomics@0.2.0-draft2";
import { open } from "wasi:keyvalue/store@0.2.0-draft2";

import { bytesOf } from "./bytes.js";
import { ServerError } from "./http-error.js";
import { decode } from "./utf8.js";

/**
 * A part of the state, by its name. It is opened when it is first used, so it may be named outside of functions, too: there is
 * no state while the component is built.
 *
 * What the host does not do is thrown as an HttpError of status 500, with the host's words.
 */
export function bucket(name) {
  return new Bucket(name);
}

class Bucket {
  #name;
  #opened;

  constructor(name) {
    this.#name = name;
  }

  /** The bytes under a key; undefined where there is nothing. */
  get(key) {
    return this.#ask((opened) => opened.get(key)) ?? undefined;
  }

  /** The text under a key; undefined where there is nothing. */
  getText(key) {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const text = decode(value);
    if (text === undefined) throw new ServerError("the value is not text");
    return text;
  }

  /** The JSON value under a key; undefined where there is nothing. */
  getJson(key) {
    const text = this.getText(key);
    return text === undefined ? undefined : JSON.parse(text);
  }

  /** Writes text or bytes under a key. */
  set(key, value) {
    this.#ask((opened) => opened.set(key, bytesOf(value)));
  }

  /** Writes a value as JSON. */
  setJson(key, value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`${typeof value} has no form in JSON`);
    this.set(key, text);
  }

  /** Removes a key and its value; it is no error where there is none. */
  delete(key) {
    this.#ask((opened) => opened.delete(key));
  }

  /** Whether there is anything under a key. */
  has(key) {
    return this.#ask((opened) => opened.exists(key));
  }

  /** All keys, read page by page as they are asked for. */
  *keys() {
    for (let cursor = null; ; ) {
      const from = cursor;
      const page = this.#ask((opened) => opened.listKeys(from));
      yield* page.keys;
      cursor = page.cursor;
      if (cursor === null) return;
    }
  }

  /** Adds to the number under a key, which is 0 where there is nothing; returns the sum. */
  increment(key, by = 1) {
    return Number(this.#ask((opened) => increment(opened, key, by)));
  }

  #ask(what) {
    try {
      this.#opened ??= open(this.#name);
      return what(this.#opened);
    } catch (error) {
      if (error?.payload?.tag === undefined) throw error;
      throw new ServerError(error.payload.val ?? error.payload.tag);
    }
  }
}
