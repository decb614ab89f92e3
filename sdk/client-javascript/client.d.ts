/** What became of a call: it did not run; it ran and nothing of it remains; nobody knows. */
export type Executed = "no" | "rolled-back" | "unknown";

/** What the workload answered, and who it was. */
export class Reply {
  private constructor();
  readonly body: Uint8Array;
  readonly headers: Headers;
  /** How many tries it took. */
  readonly tries: number;
  /** The body as text. */
  text(): string;
  /** The body as the JSON value that it is. */
  json(): unknown;
  /** The node that ran the call. */
  readonly node: string | undefined;
  /** The shard of the key. */
  readonly shard: number | undefined;
  /** The epoch under which the node owns the shard. */
  readonly epoch: number | undefined;
}

/** A call without a reply. Its subclasses say what to do about it. */
export abstract class CallError extends Error {
  /** One of the API's codes, or `unreachable`, `no-answer` or `bad-answer`, which are of the client. */
  readonly code: string;
  readonly detail: string;
  readonly executed: Executed;
  readonly retryable: boolean;
  /** The HTTP status; undefined where there was no answer. */
  readonly status: number | undefined;
  readonly epoch: number | undefined;
  readonly tries: number;
}
/** The workload refused. Nothing of the call remains. */
export abstract class Refused extends CallError {}
/** The workload calls the request invalid. */
export class Invalid extends Refused {}
/** The workload has no such thing. */
export class NotFound extends Refused {}
/** The request contradicts the workload's state. */
export class Conflict extends Refused {}
/** The workload failed in another way that it reported. */
export class Failed extends Refused {}
/** The workload's guest trapped, went over a limit or ran too long. Nothing of the call remains. */
export class GuestFault extends CallError {}
/** The cluster did not come to it in time. The call did not run and may be made again. */
export class Unavailable extends CallError {}
/** Nobody knows whether the call ran. */
export class InDoubt extends CallError {}
/** The call cannot succeed as it is: unknown workload, too large, and the like. It did not run. */
export class BadCall extends CallError {}

export interface CallOptions {
  /** With it the cluster answers a second try as it did the first. */
  idempotencyKey?: string;
  /** Milliseconds that the call may take, all tries together; 10,000 unless set. */
  timeout?: number;
  headers?: Record<string, string>;
}

/** Calls through several nodes: it stays with one while that answers. */
export class Client {
  constructor(servers: string | readonly string[], options?: { triesMax?: number });
  /** Makes one call. Rejects with a CallError where there is no reply by the deadline. */
  call(
    workload: string,
    key: string,
    method?: string,
    body?: string | Uint8Array,
    options?: CallOptions,
  ): Promise<Reply>;
}
