// Text stands for its UTF-8 wherever bytes are taken.

import { encode } from "./utf8.js";

/** Text as its UTF-8, bytes as they are. */
export function bytesOf(value) {
  if (typeof value === "string") return encode(value);
  if (isBytes(value)) return value;
  throw new TypeError(`text or a Uint8Array is wanted, and this is ${value === null ? "null" : typeof value}`);
}

/** Whether a value is a Uint8Array, if of another realm, as StarlingMonkey's are, too. */
export function isBytes(value) {
  return Object.prototype.toString.call(value) === "[object Uint8Array]";
}
