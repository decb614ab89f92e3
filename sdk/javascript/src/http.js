// Components of wasi:http in JavaScript: what a guest exports, and what it works with. README.md shows it at work.

import { getRandomBytes } from "wasi:random/random@0.3.0";

import { bucket } from "./bucket.js";
import { HttpError, ServerError } from "./http-error.js";
import { Request, Response } from "./http-message.js";
import { described, log } from "./log.js";
import { setting } from "./setting.js";
import { decode, encode } from "./utf8.js";
import { receive, send } from "./wasi-http.js";

export { bucket, decode, encode, HttpError, log, Request, Response };

/**
 * Makes the component's export of a function from request to response: `export const handler = serve(request => ...)`.
 *
 * The function may be asynchronous, and may also return text, bytes, or nothing. An HttpError that it throws is a response;
 * anything else that it throws is logged and traps.
 */
export function serve(answer) {
  return {
    async handle(incoming) {
      const request = await receive(incoming);
      try {
        return send(responded(await answer(request)));
      } catch (error) {
        if (error instanceof HttpError) return send(new Response(`${error.message}\n`, { status: error.status }));
        log.error(described(error));
        throw error;
      }
    },
  };
}

function responded(result) {
  if (result instanceof Response) return result;
  if (result === undefined) return new Response(null, { status: 204 });
  return new Response(result);
}

/** A setting of the deployment (`--config KEY=VALUE`); undefined where it is not set. */
export function config(key) {
  return setting(key, ServerError);
}

/** Random bytes that nobody can guess; Math.random() has its seed from the build. */
export function randomBytes(length) {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const some = getRandomBytes(length - at);
    bytes.set(some, at);
    at += some.length;
  }
  return bytes;
}

/** The same as text: two hexadecimal digits a byte. */
export function randomHex(length) {
  return Array.from(randomBytes(length), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
