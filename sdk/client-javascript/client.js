// Calls workloads of a Shardloom cluster over HTTP, through whichever node answers.
//
//     const client = new Client(["http://127.0.0.1:7080", "http://127.0.0.1:7090"]);
//     const reply = await client.call("inventory", "berlin", "show");
//
// A call is made again only where that is safe: what did not run may run; what may have run is asked for again only under
// an idempotency key, with which the cluster answers as it did the first time. All tries together end by the caller's
// deadline. It needs nothing but `fetch`. In browsers `fetch` does not tell a node that refuses from an answer that was
// lost, so there each counts as "may have run".

/** Milliseconds that a call may take, all tries together, where the caller names no other. */
const TIMEOUT_MS = 10_000;
/** The node is given that part of what is left, so that its own word about the deadline still arrives. */
const NODE_SHARE = 0.9;
/** The wait before the n-th try anew is random, up to BACKOFF_MS * 2^n, and at most BACKOFF_MS_MAX. */
const BACKOFF_MS = 50;
const BACKOFF_MS_MAX = 1000;
/** With less than this left there is no other try: it could hardly end, and would leave doubt. */
const TRY_MS_MIN = 50;
/** Why nothing was sent: nobody took the connection. */
const UNREACHABLE = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
]);
const DECODER = new TextDecoder("utf-8", { fatal: true });

/** What the workload answered, and who it was. */
export class Reply {
  constructor(body, headers, tries) {
    this.body = body;
    this.headers = headers;
    this.tries = tries;
  }

  text() {
    return DECODER.decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }

  get node() {
    return this.headers.get("shardloom-node") ?? undefined;
  }

  get shard() {
    return number(this.headers.get("shardloom-shard"));
  }

  get epoch() {
    return number(this.headers.get("shardloom-epoch"));
  }
}

/** A call without a reply. Its subclasses say what to do about it; `client.d.ts` has the words on each. */
export class CallError extends Error {
  constructor({ code, detail, executed, retryable, status, epoch }, tries) {
    super(`${detail} (${code}, executed: ${executed})`);
    Object.assign(this, { name: new.target.name, code, detail, executed, retryable, status, epoch, tries });
  }
}
export class Refused extends CallError {}
export class Invalid extends Refused {}
export class NotFound extends Refused {}
export class Conflict extends Refused {}
export class Failed extends Refused {}
export class GuestFault extends CallError {}
export class Unavailable extends CallError {}
export class InDoubt extends CallError {}
export class BadCall extends CallError {}

const BY_CODE = new Map([
  ["invalid", Invalid],
  ["not-found", NotFound],
  ["conflict", Conflict],
  ["failed", Failed],
  ["guest-trap", GuestFault],
  ["guest-limit", GuestFault],
  ["guest-timeout", GuestFault],
]);

/** Calls through several nodes: it stays with one while that answers. */
export class Client {
  #nodes;
  #triesMax;
  #current = 0;

  constructor(servers, { triesMax = 8 } = {}) {
    this.#nodes = (typeof servers === "string" ? [servers] : [...servers]).map(origin);
    if (this.#nodes.length === 0) throw new TypeError("a client needs the URL of a node");
    this.#triesMax = triesMax;
  }

  async call(workload, key, method = "", body = "", { idempotencyKey, timeout = TIMEOUT_MS, headers = {} } = {}) {
    const deadline = performance.now() + timeout;
    const query = method === "" ? "" : `?method=${encodeURIComponent(method)}`;
    const target = `/v1/call/${segment(workload)}/${segment(key)}${query}`;
    const sent = new Headers(headers);
    if (idempotencyKey !== undefined) sent.set("idempotency-key", idempotencyKey);
    let doubt = false;
    let refusals = 0;
    for (let tries = 1; ; tries++) {
      const at = this.#current;
      const { reply, error, waitMin } = await post(this.#nodes[at] + target, body, sent, deadline);
      if (reply) return new Reply(reply.body, reply.headers, tries);
      doubt ||= error.executed === "unknown";
      const again = error.retryable || (error.executed === "unknown" && idempotencyKey !== undefined);
      if (!again) throw typed(error, doubt, tries);
      this.#current = (at + 1) % this.#nodes.length;
      refusals = error.code === "unreachable" ? refusals + 1 : 0;
      const left = deadline - performance.now();
      let wait = Math.random() * Math.min(BACKOFF_MS * 2 ** tries, BACKOFF_MS_MAX, Math.max(left, 0));
      // What the node asks for is heeded if there is time for it.
      if (waitMin < left) wait = Math.max(wait, waitMin);
      // Another node may take the call at once; only after a whole round there is something to wait for.
      if (refusals > 0 && refusals < this.#nodes.length) wait = 0;
      if (tries === this.#triesMax || wait >= left - TRY_MS_MIN) throw typed(error, doubt, tries);
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

/** Tries once: a reply, or an error and the milliseconds that the node wants to be left alone. */
async function post(url, body, headers, deadline) {
  const left = Math.max(1, Math.floor(deadline - performance.now()));
  headers.set("shardloom-timeout-ms", String(Math.max(1, Math.floor(left * NODE_SHARE))));
  const { origin } = new URL(url);
  let response;
  let content;
  try {
    const signal = AbortSignal.timeout(left);
    response = await fetch(url, { method: "POST", body, headers, signal, redirect: "manual" });
    content = new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    const code = error.cause?.code ?? error.cause?.errors?.[0]?.code;
    const detail = `${origin}: ${error.cause?.message || error.message}`;
    if (!response && UNREACHABLE.has(code)) {
      return { error: { code: "unreachable", detail, executed: "no", retryable: true }, waitMin: 0 };
    }
    return { error: { code: "no-answer", detail, executed: "unknown", retryable: false }, waitMin: 0 };
  }
  if (response.status === 200) return { reply: { body: content, headers: response.headers } };
  const waitMin = (number(response.headers.get("retry-after")) ?? 0) * 1000;
  return { error: problem(origin, response, content), waitMin };
}

/** Reads an error of the API; what is none, as of a proxy on the way, says nothing about the call. */
function problem(origin, { status, headers }, content) {
  if (headers.get("content-type")?.split(";")[0].trim() === "application/problem+json") {
    const { code, detail, title, executed, retryable, epoch } = parsed(content) ?? {};
    if (["no", "rolled-back", "unknown"].includes(executed) && typeof retryable === "boolean" && code) {
      return { code, detail: detail ?? title ?? "", executed, retryable, status, epoch: epoch || undefined };
    }
  }
  const detail = `${origin}: status ${status}, and no problem document`;
  return { code: "bad-answer", detail, executed: "unknown", retryable: false, status };
}

function parsed(content) {
  try {
    return JSON.parse(DECODER.decode(content));
  } catch {
    return undefined;
  }
}

/** The error for the caller. What an earlier try left in doubt stays so, whatever became of the last one. */
function typed(error, doubt, tries) {
  const otherwise = doubt ? InDoubt : error.retryable ? Unavailable : BadCall;
  const Kind = BY_CODE.get(error.code) ?? otherwise;
  return new Kind({ ...error, executed: doubt ? "unknown" : error.executed }, tries);
}

function origin(server) {
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.pathname !== "/" || url.search || url.hash) {
    throw new TypeError(`${JSON.stringify(server)} is no URL of a node: http://HOST:PORT is`);
  }
  return url.origin;
}

/** One part of a path. */
function segment(text) {
  // URLs take both, however they are written, for steps up and down the path.
  if (text === "." || text === "..") throw new TypeError(`fetch cannot send the key ${JSON.stringify(text)}`);
  return encodeURIComponent(text);
}

function number(text) {
  return text !== null && /^[0-9]+$/.test(text) ? Number(text) : undefined;
}
