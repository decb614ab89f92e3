"""The client, against servers of the test's own that answer as a script says."""

import json
import socket
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shardloom_client import (
    BadCall,
    Client,
    Conflict,
    Failed,
    GuestFault,
    InDoubt,
    Invalid,
    NotFound,
    Unavailable,
)

HANG_S_MAX = 10.0


def problem(status, code, executed, retryable=False, **headers):
    told = {"status": status, "code": code, "executed": executed, "retryable": retryable, "detail": "why", "epoch": 3}
    return status, {"content-type": "application/problem+json", **headers}, json.dumps(told).encode()


def ok(body=b"ok", **headers):
    return 200, headers, body


#: In a script: the connection ends without an answer.
DROP = object()
#: In a script: there is no answer for long.
HANG = object()

OVERLOADED = problem(503, "overloaded", "no", True)
OWNER_LOST = problem(502, "owner-lost", "unknown")


class Server:
    """Answers each request with the script's next line, the last one again and again; keeps what it got."""

    def __init__(self, *script):
        self.got = []
        self.script = list(script)
        self.connections = 0
        self.ended = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                server.connections += 1

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                server.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                line = server.script.pop(0) if len(server.script) > 1 else server.script[0]
                if line is HANG:
                    server.ended.wait(HANG_S_MAX)
                if line is HANG or line is DROP:
                    self.close_connection = True
                    return
                status, headers, content = line
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def end(self):
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def refusing():
    """The URL of a port at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


class Calls(unittest.TestCase):
    def serve(self, *script):
        server = Server(*script)
        self.addCleanup(server.end)
        return server

    def client(self, *servers, **options):
        client = Client([server if isinstance(server, str) else server.url for server in servers], **options)
        self.addCleanup(client.close)
        return client

    def test_a_call_is_a_post_with_its_parts_in_their_places(self):
        server = self.serve(ok("é".encode(), shardloom_node="n", shardloom_shard="7", shardloom_epoch="9"))
        reply = self.client(server).call("wörds", "a/b ?.", "get it", "bödy", idempotency_key="k", timeout=5)
        [(path, headers, body)] = server.got
        self.assertEqual(path, "/v1/call/w%C3%B6rds/a%2Fb%20%3F.?method=get%20it")
        self.assertEqual(body, "bödy".encode())
        self.assertEqual(headers["idempotency-key"], "k")
        self.assertTrue(0 < int(headers["shardloom-timeout-ms"]) <= 4500)
        self.assertEqual((reply.text, reply.node, reply.shard, reply.epoch, reply.tries), ("é", "n", 7, 9, 1))

    def test_without_method_and_idempotency_key_neither_is_sent(self):
        server = self.serve(ok(b'{"a":1}'))
        self.assertEqual(self.client(server).call("w", "k").json(), {"a": 1})
        [(path, headers, body)] = server.got
        self.assertEqual((path, body), ("/v1/call/w/k", b""))
        self.assertNotIn("idempotency-key", headers)

    def test_connections_are_used_again_and_one_that_was_closed_meanwhile_is_not(self):
        server = self.serve(ok())
        client = self.client(server)
        for _ in range(3):
            client.call("w", "k")
        self.assertEqual(server.connections, 1)
        server.script = [ok(connection="close"), ok()]
        client.call("w", "k")
        self.assertEqual(client.call("w", "k").tries, 1)
        self.assertEqual(server.connections, 2)

    def test_a_node_that_refuses_is_passed_over_and_then_left_alone(self):
        server = self.serve(ok())
        client = self.client(refusing(), refusing(), server)
        self.assertEqual(client.call("w", "k").tries, 3)
        self.assertEqual(client.call("w", "k").tries, 1)

    def test_no_node_at_all_is_unavailable_and_not_executed(self):
        with self.assertRaises(Unavailable) as raised:
            self.client(refusing(), refusing(), tries_max=4).call("w", "k", timeout=5)
        error = raised.exception
        self.assertEqual((error.code, error.executed, error.tries), ("unreachable", "no", 4))

    def test_what_did_not_run_is_made_again_where_the_node_calls_it_retryable(self):
        server = self.serve(OVERLOADED, OVERLOADED, ok())
        self.assertEqual(self.client(server).call("w", "k").tries, 3)

    def test_what_did_not_run_but_never_will_is_not_made_again(self):
        server = self.serve(problem(404, "unknown-workload", "no"), ok())
        with self.assertRaises(BadCall) as raised:
            self.client(server).call("w", "k", idempotency_key="k")
        self.assertEqual((raised.exception.code, raised.exception.epoch, len(server.got)), ("unknown-workload", 3, 1))

    def test_what_may_have_run_is_not_made_again_without_an_idempotency_key(self):
        for line, code in [(OWNER_LOST, "owner-lost"), (DROP, "no-answer"), ((502, {}, b"<html>"), "bad-answer")]:
            with self.subTest(code=code):
                first, second = self.serve(line), self.serve(ok())
                with self.assertRaises(InDoubt) as raised:
                    self.client(first, second).call("w", "k")
                self.assertEqual((raised.exception.code, raised.exception.executed), (code, "unknown"))
                self.assertEqual((len(first.got), len(second.got)), (1, 0))

    def test_what_may_have_run_is_made_again_under_an_idempotency_key(self):
        for line in [OWNER_LOST, DROP, (502, {}, b"<html>")]:
            with self.subTest(line=line):
                first, second = self.serve(line), self.serve(ok())
                reply = self.client(first, second).call("w", "k", idempotency_key="same")
                self.assertEqual(reply.tries, 2)
                keys = [headers["idempotency-key"] for _, headers, _ in first.got + second.got]
                self.assertEqual(keys, ["same", "same"])

    def test_doubt_stays_though_the_last_try_did_not_run(self):
        server = self.serve(DROP, OVERLOADED)
        with self.assertRaises(InDoubt) as raised:
            self.client(server, tries_max=3).call("w", "k", idempotency_key="k")
        self.assertEqual((raised.exception.code, raised.exception.executed), ("overloaded", "unknown"))

    def test_a_guests_refusal_is_its_own_type_and_final(self):
        for status, code, kind in [
            (400, "invalid", Invalid),
            (404, "not-found", NotFound),
            (409, "conflict", Conflict),
            (422, "failed", Failed),
            (500, "guest-trap", GuestFault),
            (500, "guest-limit", GuestFault),
            (504, "guest-timeout", GuestFault),
        ]:
            with self.subTest(code=code):
                server = self.serve(problem(status, code, "rolled-back"))
                with self.assertRaises(kind) as raised:
                    self.client(server).call("w", "k", idempotency_key="k")
                error = raised.exception
                self.assertEqual((error.status, error.executed, error.detail), (status, "rolled-back", "why"))
                self.assertEqual(len(server.got), 1)

    def test_tries_are_bounded(self):
        server = self.serve(OVERLOADED)
        with self.assertRaises(Unavailable) as raised:
            self.client(server, tries_max=3).call("w", "k")
        self.assertEqual((raised.exception.tries, len(server.got)), (3, 3))

    def test_all_tries_end_by_the_deadline(self):
        server = self.serve(OVERLOADED)
        start = time.monotonic()
        # A slow machine may leave the last try without its answer.
        with self.assertRaises((Unavailable, InDoubt)):
            self.client(server, tries_max=1000).call("w", "k", timeout=0.5)
        self.assertLess(time.monotonic() - start, 1)
        self.assertGreater(len(server.got), 1)

    def test_a_node_that_never_answers_is_in_doubt_at_the_deadline(self):
        server = self.serve(HANG)
        start = time.monotonic()
        with self.assertRaises(InDoubt):
            self.client(server).call("w", "k", timeout=0.3)
        self.assertTrue(0.25 < time.monotonic() - start < 2)

    def test_a_wait_that_the_node_asks_for_is_kept_if_there_is_time(self):
        server = self.serve(problem(503, "no-leader", "no", True, **{"retry-after": "1"}), ok())
        start = time.monotonic()
        self.client(server).call("w", "k", timeout=5)
        self.assertGreaterEqual(time.monotonic() - start, 1)

    def test_a_wait_beyond_the_deadline_is_shortened(self):
        server = self.serve(problem(503, "no-leader", "no", True, **{"retry-after": "60"}), ok())
        self.assertEqual(self.client(server).call("w", "k", timeout=2).tries, 2)

    def test_what_is_no_url_of_a_node_is_refused_at_once(self):
        for servers in [[], "127.0.0.1:7080", "ftp://host", "http://host/path"]:
            with self.subTest(servers=servers), self.assertRaises(ValueError):
                Client(servers)


if __name__ == "__main__":
    unittest.main()
