// Shard handlers in JavaScript: what a guest exports, and what it works with. README.md shows it at work.

import { bytesOf, isBytes } from "./bytes.js";
import { Conflict, Failed, Failure, Invalid, NotFound } from "./failure.js";
import { described, log } from "./log.js";
import { place } from "./place.js";
import { setting } from "./setting.js";
import { state } from "./state.js";
import { decode, encode } from "./utf8.js";

export { Conflict, decode, encode, Failed, Failure, Invalid, log, NotFound, place, state };

/** One call, as the guest gets it. */
export class Request {
  constructor({ key, method, headers, body }) {
    this.key = key;
    this.method = method;
    this.headers = headers;
    this.body = body;
  }

  /** The first header of a name; undefined where there is none. */
  header(name) {
    const lower = name.toLowerCase();
    return this.headers.find(([other]) => other === lower)?.[1];
  }

  /** The body as text. */
  text() {
    const text = decode(this.body);
    if (text === undefined) throw new Invalid("the body must be UTF-8");
    return text;
  }

  /** The body as the JSON value that it is. */
  json() {
    const text = this.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Invalid(`the body must be JSON: ${error.message}`);
    }
  }
}

/** What the caller gets; `reply`, `text` and `json` make one. */
export class Reply {
  constructor(body, headers) {
    this.body = body;
    this.headers = headers;
  }
}

/** A reply of text or bytes, with headers. */
export function reply(body = "", headers = {}) {
  return new Reply(bytesOf(body), Array.isArray(headers) ? headers : Object.entries(headers));
}

/** A reply of text. */
export function text(body) {
  return reply(body, { "content-type": "text/plain; charset=utf-8" });
}

/** A reply of JSON. */
export function json(value) {
  const body = JSON.stringify(value);
  if (body === undefined) throw new TypeError(`${typeof value} has no form in JSON`);
  return reply(body, { "content-type": "application/json" });
}

/**
 * Makes the component's export of a function from request to reply: `export const handler = serve(request => ...)`.
 *
 * The function may also return text, bytes, or nothing. A Failure that it throws refuses the request; anything else that it
 * throws is logged and traps.
 */
export function serve(answer) {
  return {
    handle(request) {
      try {
        const { headers, body } = replied(answer(new Request(request)));
        return { headers, body };
      } catch (error) {
        if (error instanceof Failure) throw { tag: error.tag, val: error.message };
        log.error(described(error));
        throw error;
      }
    },
  };
}

/** The same of a table of functions by the request's method; another method is invalid. */
export function methods(table) {
  const names = Object.keys(table);
  return serve((request) => {
    if (!Object.hasOwn(table, request.method)) {
      throw new Invalid(`there is no method ${JSON.stringify(request.method)}: ${names.join(", ")}`);
    }
    return table[request.method](request);
  });
}

function replied(result) {
  if (result instanceof Reply) return result;
  if (result === undefined) return reply();
  if (typeof result === "string") return text(result);
  if (isBytes(result)) return reply(result);
  if (typeof result?.then === "function") throw new TypeError("a handler cannot be asynchronous");
  throw new TypeError("a handler returns a reply, text, a Uint8Array or nothing: wrap other values in json()");
}

/** A setting of the deployment (`--config KEY=VALUE`); undefined where it is not set. */
export function config(key) {
  return setting(key, Failed);
}
