// Between wasi:http 0.3 and the classes of this package.

import * as http from "wasi:http/types@0.3.0";

import { Request } from "./http-message.js";
import { decode, encode } from "./utf8.js";

/** Takes a request whole. */
export async function receive(incoming) {
  const method = incoming.getMethod();
  const scheme = incoming.getScheme();
  const head = {
    method: method.tag === "other" ? method.val : method.tag.toUpperCase(),
    target: incoming.getPathWithQuery() ?? "/",
    headers: incoming.getHeaders().copyAll().map(([name, value]) => [name.toLowerCase(), headerText(value)]),
    scheme: scheme === null ? undefined : (scheme.val ?? scheme.tag.toLowerCase()),
    authority: incoming.getAuthority() ?? undefined,
  };
  const taken = wit.Future.from({ tag: "ok" }, wit.Future.RESULT_VOID_ERROR_CODE);
  const [stream, trailers] = http.Request.consumeBody(incoming, taken.readable);
  const parts = [];
  for await (const part of stream) parts.push(part);
  trailers.drop();
  return new Request({ ...head, body: joined(parts) });
}

/** Gives a response to the host, which takes the body when the handler has returned. */
export function send({ status, headers, body }) {
  const fields = headersOf(headers);
  const contents = body.length === 0 ? null : wit.Stream.from([body], wit.Stream.U8).readable;
  const trailers = wit.Future.from({ tag: "ok", val: null }, wit.Future.RESULT_OPTION_OTHER_ERROR_CODE);
  const [response, sent] = http.Response.new(fields, contents, trailers.readable);
  sent.drop();
  try {
    response.setStatusCode(status);
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) throw error;
    throw new RangeError(`${status} is no status of a response`);
  }
  return response;
}

function headersOf(headers) {
  const fields = new http.Fields();
  for (const [name, value] of headers) {
    try {
      fields.append(name, encode(String(value)));
    } catch (error) {
      if (error?.payload?.tag === undefined) throw error;
      throw new TypeError(`the header ${name} was not taken: ${error.payload.tag}`);
    }
  }
  return fields;
}

/** A header's value as text; what is not UTF-8 is read as Latin-1, which anything is. */
function headerText(value) {
  return decode(value) ?? String.fromCharCode(...value);
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
