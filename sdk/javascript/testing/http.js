// wasi:http 0.3 in memory: its classes as a guest on QuickJS sees them, and how a test makes and reads them.

import { encode } from "../src/utf8.js";

/** Headers that are the host's to set. */
const FORBIDDEN = ["connection", "host", "http2-settings", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** The part of `wit`, a global of QuickJS, that moves bodies. */
class Held {
  constructor(value) {
    this.readable = { value, drop() {}, [Symbol.asyncIterator]: () => value[Symbol.iterator]() };
  }

  static from(value) {
    return new Held(value);
  }
}
globalThis.wit ??= { Future: Held, Stream: Held };

export class Fields {
  constructor() {
    this.entries = [];
  }

  append(name, value) {
    if (!NAME.test(name) || value.some((byte) => byte === 127 || (byte < 32 && byte !== 9))) throw failing("invalid-syntax");
    if (FORBIDDEN.includes(name.toLowerCase())) throw failing("forbidden");
    this.entries.push([name.toLowerCase(), value]);
  }

  copyAll() {
    return this.entries.slice();
  }
}

export class Request {
  constructor(asked) {
    this.asked = asked;
  }

  getMethod() {
    const tag = this.asked.method.toLowerCase();
    const known = ["get", "head", "post", "put", "delete", "connect", "options", "trace", "patch"];
    return known.includes(tag) ? { tag } : { tag: "other", val: this.asked.method };
  }

  getPathWithQuery() {
    return this.asked.target;
  }

  getScheme() {
    return { tag: this.asked.scheme.toUpperCase() };
  }

  getAuthority() {
    return this.asked.authority;
  }

  getHeaders() {
    const fields = new Fields();
    for (const [name, value] of this.asked.headers) fields.append(name, encode(value));
    return fields;
  }

  static consumeBody(request) {
    const { body } = request.asked;
    // Two parts, as a body that has some length comes in more than one.
    const half = Math.ceil(body.length / 2);
    const parts = [body.slice(0, half), body.slice(half)].filter((part) => part.length > 0);
    return [new Held(parts).readable, new Held(null).readable];
  }
}

export class Response {
  static new(headers, contents) {
    const response = new Response();
    Object.assign(response, { headers, contents, status: 200 });
    return [response, new Held(null).readable];
  }

  setStatusCode(status) {
    if (!Number.isInteger(status) || status < 0 || status > 0xffff) throw new TypeError(`${status} is no u16`);
    if (status < 100 || status > 999) throw failing();
    this.status = status;
  }
}

/** A request as the host gives it. */
export function incoming(asked) {
  return new Request(asked);
}

/** A response as the host takes it. */
export async function outgoing({ status, headers, contents }) {
  const parts = [];
  if (contents !== null) for await (const part of contents) parts.push(part);
  const text = headers.copyAll().map(([name, value]) => [name, Buffer.from(value).toString()]);
  return { status, headers: text, body: Uint8Array.from(Buffer.concat(parts)) };
}

/** What QuickJS throws for the error of an import's result. */
function failing(tag) {
  return Object.assign(new Error("[object Object] (see error.payload)"), { payload: tag && { tag } });
}
