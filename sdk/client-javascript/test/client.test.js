// The client, against servers of the test's own that answer as a script says: `npm test`.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, afterEach, test } from "node:test";

import {
  BadCall,
  Client,
  Conflict,
  Failed,
  GuestFault,
  InDoubt,
  Invalid,
  NotFound,
  Unavailable,
} from "../client.js";

const ended = [];
const end = () => Promise.all(ended.splice(0).map((close) => close()));
afterEach(end);
after(end);

const problem = (status, code, executed, retryable = false, headers = {}) => ({
  status,
  headers: { "content-type": "application/problem+json", ...headers },
  body: JSON.stringify({ status, code, executed, retryable, detail: "why", epoch: 3 }),
});
const ok = (body = "ok", headers = {}) => ({ status: 200, headers, body });
const PROXY = { status: 502, headers: {}, body: "<html>" };
const OVERLOADED = problem(503, "overloaded", "no", true);
const OWNER_LOST = problem(502, "owner-lost", "unknown");
/** In a script: the connection ends without an answer. */
const DROP = "drop";
/** In a script: there is no answer. */
const HANG = "hang";

/** Answers each request with the script's next line, the last one again and again; keeps what it got. */
async function serve(...script) {
  const got = [];
  const http = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    got.push({ url: request.url, headers: request.headers, body: Buffer.concat(chunks) });
    const line = script.length > 1 ? script.shift() : script[0];
    if (line === DROP) request.socket.destroy();
    if (line.status) response.writeHead(line.status, line.headers).end(line.body);
  });
  await new Promise((done) => http.listen(0, "127.0.0.1", done));
  ended.push(async () => {
    http.closeAllConnections();
    await new Promise((done) => http.close(done));
  });
  return { got, url: `http://127.0.0.1:${http.address().port}` };
}

/** The URL of a port at which nobody listens. */
async function refusing() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return `http://127.0.0.1:${port}`;
}

const client = (...servers) => new Client(servers.map((server) => server.url ?? server));

/** The error of a call that has one. */
async function failing(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("the call succeeded");
}

test("a call is a POST with its parts in their places", async () => {
  const headers = { "shardloom-node": "n", "shardloom-shard": "7", "shardloom-epoch": "9" };
  const server = await serve(ok("é", headers));
  const reply = await client(server).call("wörds", "a/b ?.", "get it", "bödy", { idempotencyKey: "k", timeout: 5000 });
  const [{ url, headers: sent, body }] = server.got;
  assert.equal(url, "/v1/call/w%C3%B6rds/a%2Fb%20%3F.?method=get%20it");
  assert.equal(body.toString(), "bödy");
  assert.equal(sent["idempotency-key"], "k");
  assert.ok(Number(sent["shardloom-timeout-ms"]) > 0 && Number(sent["shardloom-timeout-ms"]) <= 4500);
  assert.deepEqual([reply.text(), reply.node, reply.shard, reply.epoch, reply.tries], ["é", "n", 7, 9, 1]);
});

test("without method and idempotency key neither is sent", async () => {
  const server = await serve(ok('{"a":1}'));
  assert.deepEqual((await client(server).call("w", "k")).json(), { a: 1 });
  assert.equal(server.got[0].url, "/v1/call/w/k");
  assert.equal(server.got[0].headers["idempotency-key"], undefined);
});

test("a node that refuses is passed over, and then left alone", async () => {
  const server = await serve(ok());
  const calls = client(await refusing(), await refusing(), server);
  assert.equal((await calls.call("w", "k")).tries, 3);
  assert.equal((await calls.call("w", "k")).tries, 1);
});

test("no node at all is unavailable and not executed", async () => {
  const calls = new Client([await refusing(), await refusing()], { triesMax: 4 });
  const error = await failing(calls.call("w", "k"));
  assert.ok(error instanceof Unavailable);
  assert.deepEqual([error.code, error.executed, error.tries], ["unreachable", "no", 4]);
});

test("what did not run is made again where the node calls it retryable", async () => {
  const server = await serve(OVERLOADED, OVERLOADED, ok());
  assert.equal((await client(server).call("w", "k")).tries, 3);
});

test("what did not run but never will is not made again", async () => {
  const server = await serve(problem(404, "unknown-workload", "no"), ok());
  const error = await failing(client(server).call("w", "k", "", "", { idempotencyKey: "k" }));
  assert.ok(error instanceof BadCall);
  assert.deepEqual([error.code, error.epoch, server.got.length], ["unknown-workload", 3, 1]);
});

test("what may have run is not made again without an idempotency key", async () => {
  for (const [line, code] of [[OWNER_LOST, "owner-lost"], [DROP, "no-answer"], [PROXY, "bad-answer"]]) {
    const [first, second] = [await serve(line), await serve(ok())];
    const error = await failing(client(first, second).call("w", "k"));
    assert.ok(error instanceof InDoubt, code);
    assert.deepEqual([error.code, error.executed], [code, "unknown"]);
    assert.deepEqual([first.got.length, second.got.length], [1, 0]);
  }
});

test("what may have run is made again under an idempotency key", async () => {
  for (const line of [OWNER_LOST, DROP, PROXY]) {
    const [first, second] = [await serve(line), await serve(ok())];
    assert.equal((await client(first, second).call("w", "k", "", "", { idempotencyKey: "same" })).tries, 2);
    assert.deepEqual([...first.got, ...second.got].map(({ headers }) => headers["idempotency-key"]), ["same", "same"]);
  }
});

test("doubt stays though the last try did not run", async () => {
  const server = await serve(DROP, OVERLOADED);
  const calls = new Client(server.url, { triesMax: 3 });
  const error = await failing(calls.call("w", "k", "", "", { idempotencyKey: "k" }));
  assert.ok(error instanceof InDoubt);
  assert.deepEqual([error.code, error.executed], ["overloaded", "unknown"]);
});

test("a guest's refusal is its own type and final", async () => {
  for (const [status, code, Kind] of [
    [400, "invalid", Invalid],
    [404, "not-found", NotFound],
    [409, "conflict", Conflict],
    [422, "failed", Failed],
    [500, "guest-trap", GuestFault],
    [500, "guest-limit", GuestFault],
    [504, "guest-timeout", GuestFault],
  ]) {
    const server = await serve(problem(status, code, "rolled-back"));
    const error = await failing(client(server).call("w", "k", "", "", { idempotencyKey: "k" }));
    assert.ok(error instanceof Kind, code);
    assert.deepEqual([error.status, error.executed, error.detail, server.got.length], [status, "rolled-back", "why", 1]);
  }
});

test("tries are bounded", async () => {
  const server = await serve(OVERLOADED);
  const error = await failing(new Client(server.url, { triesMax: 3 }).call("w", "k"));
  assert.ok(error instanceof Unavailable);
  assert.deepEqual([error.tries, server.got.length], [3, 3]);
});

test("all tries end by the deadline", async () => {
  const server = await serve(OVERLOADED);
  const start = performance.now();
  const error = await failing(new Client(server.url, { triesMax: 1000 }).call("w", "k", "", "", { timeout: 500 }));
  // A slow machine may leave the last try without its answer.
  assert.ok(error instanceof Unavailable || error instanceof InDoubt);
  assert.ok(performance.now() - start < 1000);
  assert.ok(server.got.length > 1);
});

test("a node that never answers is in doubt at the deadline", async () => {
  const server = await serve(HANG);
  const start = performance.now();
  assert.ok((await failing(client(server).call("w", "k", "", "", { timeout: 300 }))) instanceof InDoubt);
  const took = performance.now() - start;
  assert.ok(took > 250 && took < 2000, `${took}`);
});

test("a wait that the node asks for is kept if there is time, and shortened if not", async () => {
  const server = await serve(problem(503, "no-leader", "no", true, { "retry-after": "1" }), ok());
  const start = performance.now();
  await client(server).call("w", "k");
  // Timers may fire a millisecond early.
  assert.ok(performance.now() - start >= 998);
  const later = await serve(problem(503, "no-leader", "no", true, { "retry-after": "60" }), ok());
  assert.equal((await client(later).call("w", "k", "", "", { timeout: 2000 })).tries, 2);
});

test("what cannot be sent is refused at once", async () => {
  for (const servers of [[], "127.0.0.1:7080", "ftp://host", "http://host/path"]) {
    assert.throws(() => new Client(servers), TypeError);
  }
  const server = await serve(ok());
  await assert.rejects(client(server).call("w", ".."), TypeError);
  assert.equal(server.got.length, 0);
});
