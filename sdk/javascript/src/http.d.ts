/// <reference path="./world.d.ts" />

import type { Handler } from "wasi:http/handler@0.3.0";

export type { Handler };

/** Text stands for its UTF-8. */
export type Bytes = string | Uint8Array;

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** One request, with its body: the host holds it whole, so nothing of it has to be awaited. */
export class Request {
  constructor(request: {
    method: string;
    target: string;
    headers: [string, string][];
    body: Uint8Array;
    scheme?: string;
    authority?: string;
  });
  /** `GET` and the like. */
  readonly method: string;
  /** The path behind the workload's name, as it came. */
  readonly path: string;
  /** The parts of the path between its slashes, decoded: `["a", "b c"]` of `/a/b%20c`. Throws an HttpError of 400 where they are no text. */
  readonly segments: string[];
  /** The query as it came, without its question mark. */
  readonly queryText: string;
  /** The headers, in order, names in lower case. */
  readonly headers: [string, string][];
  /** The body, whole. */
  readonly body: Uint8Array;
  /** `http` or `https`. */
  readonly scheme: string;
  /** The host that the caller means, and its port if it says one. */
  readonly authority: string;
  /** The first parameter of the query that has this name; undefined where there is none. */
  query(name: string): string | undefined;
  /** The first header of a name; undefined where there is none. */
  header(name: string): string | undefined;
  /** The first cookie of a name; undefined where there is none. */
  cookie(name: string): string | undefined;
  /** The body as text. Throws an HttpError of 400 where it is not UTF-8. */
  text(): string;
  /** The body as the JSON value that it is. Throws an HttpError of 400 where it is none. Check what it is. */
  json(): unknown;
}

/** What a response has beside its body. */
export interface ResponseInit {
  /** 200, unless it is said. */
  status?: number;
  headers?: Record<string, string> | [string, string][];
}

/** One response, as of fetch. From status 500 on, whatever the request wrote is gone. */
export class Response {
  constructor(body?: Bytes | null, init?: ResponseInit);
  /** A response of JSON. */
  static json(value: Json, init?: ResponseInit): Response;
  readonly status: number;
  readonly headers: [string, string][];
  readonly body: Uint8Array;
}

/** What a handler answers: text or bytes, of status 200, or nothing, of status 204, too. */
export type Answer = Response | Bytes | void;

/**
 * Makes the component's export: `export const handler = serve(request => ...)`.
 *
 * An HttpError that the function throws is a response; anything else that it throws is logged and traps.
 */
export function serve(answer: (request: Request) => Answer | Promise<Answer>): Handler;

/**
 * A response to be thrown: its message is the body. From status 500 on, whatever the request wrote is gone; below, it is kept, so
 * check first and write then.
 */
export class HttpError extends Error {
  constructor(status: number, message: string);
  readonly status: number;
}

/** A part of the state, which is the shard's: values under keys of text. A request is one transaction. */
export interface Bucket {
  /** The bytes under a key; undefined where there is nothing. */
  get(key: string): Uint8Array | undefined;
  /** The text under a key. Throws an HttpError of 500 where it is not text. */
  getText(key: string): string | undefined;
  /** The JSON value under a key. */
  getJson(key: string): unknown;
  /** Writes text or bytes under a key. Throws an HttpError of 500 where that is not taken. */
  set(key: string, value: Bytes): void;
  /** Writes a value as JSON. Throws an HttpError of 500 where that is not taken. */
  setJson(key: string, value: Json): void;
  /** Removes a key and its value; it is no error where there is none. */
  delete(key: string): void;
  /** Whether there is anything under a key. */
  has(key: string): boolean;
  /** All keys, read page by page as they are asked for. */
  keys(): Generator<string, void, undefined>;
  /** Adds to the number under a key, which is 0 where there is nothing; returns the sum. */
  increment(key: string, by?: number): number;
}

/** A bucket by its name; any name has one. It may be named outside of functions, and is opened when it is first used. */
export function bucket(name: string): Bucket;

/** A setting of the deployment (`--config KEY=VALUE`); undefined where it is not set. */
export function config(key: string): string | undefined;

type Log = (message: unknown, context?: string) => void;
/** Writes to the node's log. */
export const log: { readonly [level in "trace" | "debug" | "info" | "warn" | "error" | "critical"]: Log };

/** Random bytes that nobody can guess; Math.random() has its seed from the build. */
export function randomBytes(length: number): Uint8Array;
/** The same as text: two hexadecimal digits a byte. */
export function randomHex(length: number): string;

/** Encodes text as UTF-8. */
export function encode(text: string): Uint8Array;
/** Decodes UTF-8; undefined where the bytes are none. */
export function decode(bytes: Uint8Array): string | undefined;
