// Sessions of a web site: a component of wasi:http that keeps what it knows by wasi:keyvalue. See the README beside it.

import { bucket, config, HttpError, Response, randomHex, serve } from "@shardloom/guest/http";

/** The cookie that has the session's id. The deploy names it, too. */
const COOKIE = "session";
/** Bytes of an id: so many that nobody guesses one. */
const ID_BYTES = 16;
/** A session that is not used for so long is over, unless the setting `idle_seconds` says otherwise. */
const IDLE_SECONDS = 30 * 60;
/** Bounds of what a session holds. */
const VALUES_MAX = 100;
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** All sessions of a shard, each under its id: `{ used, values }`. */
const sessions = bucket("sessions");

export const handler = serve((request) => {
  const [name] = request.segments;
  if (name === "" && request.method === "POST") return begin(request);
  const id = idOf(request);
  const session = load(id);
  switch (request.method) {
    case "GET":
      return read(id, session, name);
    case "PUT":
      return write(id, session, name, request);
    case "DELETE":
      return remove(id, session, name);
    default:
      throw new HttpError(405, "there are POST, GET, PUT and DELETE");
  }
});

/**
 * Makes an id. Nothing is kept yet: this runs on whatever shard the request came to, and the session will be on that of its
 * id, where the caller is once it sends the cookie.
 */
function begin(request) {
  const secure = request.scheme === "https" ? "; Secure" : "";
  const cookie = `${COOKIE}=${randomHex(ID_BYTES)}; HttpOnly; SameSite=Lax${secure}`;
  return new Response("", { status: 201, headers: { "set-cookie": cookie } });
}

function read(id, session, name) {
  // A use makes it last; one that is not there stays so.
  if (session.lives) keep(id, session);
  if (name === "") return Response.json(session.values);
  return Response.json(valueOf(session, name));
}

function write(id, session, name, request) {
  if (!NAME.test(name)) throw new HttpError(400, "a name has 1 to 64 letters, digits, - or _");
  const value = request.json();
  if (!Object.hasOwn(session.values, name) && Object.keys(session.values).length === VALUES_MAX) {
    throw new HttpError(409, `a session holds at most ${VALUES_MAX} values`);
  }
  session.values[name] = value;
  keep(id, session);
}

function remove(id, session, name) {
  if (name === "") {
    sessions.delete(id);
    return new Response(null, { status: 204, headers: { "set-cookie": `${COOKIE}=; Max-Age=0; HttpOnly; SameSite=Lax` } });
  }
  valueOf(session, name);
  delete session.values[name];
  keep(id, session);
}

function idOf(request) {
  const id = request.cookie(COOKIE);
  if (id === undefined) throw new HttpError(401, "there is no session: POST / begins one");
  if (!/^[0-9a-f]+$/.test(id) || id.length !== 2 * ID_BYTES) throw new HttpError(400, "the cookie is none that POST / has set");
  return id;
}

function valueOf(session, name) {
  if (!Object.hasOwn(session.values, name)) throw new HttpError(404, "the session has no such value");
  return session.values[name];
}

/** What is kept under an id. A session that is over, and one that has only just begun, are empty. */
function load(id) {
  const found = sessions.getJson(id);
  const idle = Number(config("idle_seconds") ?? IDLE_SECONDS);
  const lives = found !== undefined && Date.now() - found.used < idle * 1000;
  return { lives, values: lives ? found.values : {} };
}

/** Keeps a session, as used just now. */
function keep(id, { values }) {
  sessions.setJson(id, { used: Date.now(), values });
}
