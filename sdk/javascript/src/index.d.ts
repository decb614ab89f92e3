/// <reference path="./world.d.ts" />

import type { Handler } from "shardloom:shard/handler@0.1.0";
import { type Place, place } from "./place.js";

export { type Handler, type Place, place };

/** Text stands for its UTF-8. */
export type Bytes = string | Uint8Array;

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** One call, as the guest gets it. */
export class Request {
  constructor(request: { key: string; method: string; headers: [string, string][]; body: Uint8Array });
  /** The key that picked the shard. */
  readonly key: string;
  /** Which operation is asked for; empty where the caller named none. */
  readonly method: string;
  /** The caller's headers, in order, names in lower case. */
  readonly headers: [string, string][];
  /** The caller's bytes, whole. */
  readonly body: Uint8Array;
  /** The first header of a name; undefined where there is none. */
  header(name: string): string | undefined;
  /** The body as text. Throws Invalid where it is not UTF-8. */
  text(): string;
  /** The body as the JSON value that it is. Throws Invalid where it is none. Check what it is. */
  json(): unknown;
}

/** What the caller gets; `reply`, `text` and `json` make one. */
export class Reply {
  private constructor();
  readonly headers: [string, string][];
  readonly body: Uint8Array;
}

/** A reply of text or bytes, with headers. */
export function reply(body?: Bytes, headers?: [string, string][] | Record<string, string>): Reply;
/** A reply of text. */
export function text(body: string): Reply;
/** A reply of JSON. */
export function json(value: Json): Reply;

/** What a handler answers: text, bytes or nothing, too. */
export type Answer = Reply | Bytes | void;

/**
 * Makes the component's export: `export const handler = serve(request => ...)`.
 *
 * A Failure that the function throws refuses the request; anything else that it throws is logged and traps.
 */
export function serve(answer: (request: Request) => Answer): Handler;
/** The same of a table of functions by the request's method; another method is invalid. */
export function methods(table: Record<string, (request: Request) => Answer>): Handler;

/** A refusal; throw one of its subclasses. Whatever the call wrote is gone then. */
export abstract class Failure extends Error {
  readonly tag: "invalid" | "not-found" | "conflict" | "failed";
}
/** The request makes no sense (HTTP 400). */
export class Invalid extends Failure {
  constructor(message: string);
}
/** What the request is about does not exist (HTTP 404). */
export class NotFound extends Failure {
  constructor(message: string);
}
/** The request contradicts the state that it met (HTTP 409). */
export class Conflict extends Failure {
  constructor(message: string);
}
/** Anything else that the guest could not do (HTTP 422). */
export class Failed extends Failure {
  constructor(message: string);
}

/** One key with its value. */
export interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  keyText(): string;
  text(): string;
  json(): unknown;
}

/** Those keys that begin with a prefix, or from `start` and before `end`; at most `limit`. */
export type Range =
  | { prefix: Bytes; limit?: number; start?: never; end?: never }
  | { start?: Bytes; end?: Bytes; limit?: number; prefix?: never };

/**
 * The shard's state of this workload, ordered by the bytes of its keys. A call is one transaction. A write over a bound
 * throws Invalid; one for which the shard has no room throws Failed.
 */
export const state: {
  /** The bytes under a key; undefined where there is nothing. */
  get(key: Bytes): Uint8Array | undefined;
  /** The text under a key. Throws Failed where it is not text. */
  getText(key: Bytes): string | undefined;
  /** The JSON value under a key. */
  getJson(key: Bytes): unknown;
  /** Writes text or bytes under a key. */
  set(key: Bytes, value: Bytes): void;
  /** Writes a value as JSON. */
  setJson(key: Bytes, value: Json): void;
  /** Removes a key and its value; it is no error where there is none. */
  delete(key: Bytes): void;
  /** Reads rows in order of their keys, page by page as they are asked for. */
  scan(range?: Range): Generator<Row, void, undefined>;
};

/** A setting of the deployment (`--config KEY=VALUE`); undefined where it is not set. */
export function config(key: string): string | undefined;

type Log = (message: unknown, context?: string) => void;
/** Writes to the node's log. */
export const log: { readonly [level in "trace" | "debug" | "info" | "warn" | "error" | "critical"]: Log };

/** Encodes text as UTF-8. */
export function encode(text: string): Uint8Array;
/** Decodes UTF-8; undefined where the bytes are none. */
export function decode(bytes: Uint8Array): string | undefined;
