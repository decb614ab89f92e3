// A request as a handler gets it, and the response that it makes. Bodies are whole: the host holds them so, too.

import { bytesOf } from "./bytes.js";
import { HttpError } from "./http-error.js";
import { decode } from "./utf8.js";

/** One request, with its body. */
export class Request {
  /** `headers` are pairs, their names in lower case; `target` is the path, and the query behind a question mark. */
  constructor({ method, target, headers, body, scheme = "http", authority = "" }) {
    const mark = target.indexOf("?");
    this.method = method;
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.queryText = mark < 0 ? "" : target.slice(mark + 1);
    this.headers = headers;
    this.body = body;
    this.scheme = scheme;
    this.authority = authority;
  }

  /** The parts of the path between its slashes, decoded: `["a", "b c"]` of `/a/b%20c`. */
  get segments() {
    return this.path.split("/").slice(1).map((part) => decoded(part, "the path"));
  }

  /** The first parameter of the query that has this name; undefined where there is none. */
  query(name) {
    for (const pair of this.queryText.split("&")) {
      const [given, value] = split(pair, "=");
      if (formDecoded(given) === name) return formDecoded(value);
    }
    return undefined;
  }

  /** The first header of a name; undefined where there is none. */
  header(name) {
    const lower = name.toLowerCase();
    return this.headers.find(([other]) => other === lower)?.[1];
  }

  /** The first cookie of a name, without its quotes; undefined where there is none. */
  cookie(name) {
    for (const [header, line] of this.headers) {
      if (header !== "cookie") continue;
      for (const pair of line.split(";")) {
        const [given, value] = split(pair, "=");
        if (given.trim() === name) return value.trim().replace(/^"(.*)"$/, "$1");
      }
    }
    return undefined;
  }

  /** The body as text. */
  text() {
    const text = decode(this.body);
    if (text === undefined) throw new HttpError(400, "the body must be UTF-8");
    return text;
  }

  /** The body as the JSON value that it is. */
  json() {
    const text = this.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new HttpError(400, `the body must be JSON: ${error.message}`);
    }
  }
}

/** One response, as of fetch: text, bytes, or nothing for a body. */
export class Response {
  constructor(body = null, { status = 200, headers = {} } = {}) {
    this.status = status;
    this.headers = Array.isArray(headers) ? headers.slice() : Object.entries(headers);
    this.body = body === null ? new Uint8Array() : bytesOf(body);
    if (typeof body === "string") this.#name("text/plain; charset=utf-8");
  }

  /** A response of JSON. */
  static json(value, init) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`${typeof value} has no form in JSON`);
    const response = new Response(bytesOf(text), init);
    response.#name("application/json");
    return response;
  }

  /** Names the type of the body, unless the headers do. */
  #name(type) {
    if (!this.headers.some(([name]) => name.toLowerCase() === "content-type")) this.headers.push(["content-type", type]);
  }
}

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + mark.length)];
}

/** As forms encode it: a plus is a space. */
function formDecoded(text) {
  return decoded(text.replaceAll("+", " "), "the query");
}

function decoded(text, what) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HttpError(400, `${what} must be percent-encoded UTF-8`);
  }
}
