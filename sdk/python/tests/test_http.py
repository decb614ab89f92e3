"""The helper for components of wasi:http, against a world in memory."""

import tempfile
import unittest
from pathlib import Path

from shardloom_testing import world

import shardloom_componentize
import shardloom_http
from shardloom_http import Bucket, HttpError, Request, Response, json_response, serve


def ask(answer, target: str = "/", **rest):
    return world.request(serve(answer), "GET", target, **rest)


def of(target: str, headers: list[tuple[str, str]] | None = None) -> Request:
    path, _, query = target.partition("?")
    return Request("GET", path, query, headers or [], b"")


class Case(unittest.TestCase):
    def setUp(self) -> None:
        world.reset()


class Serving(Case):
    def test_what_a_function_returns_becomes_a_response(self) -> None:
        text = ("content-type", "text/plain; charset=utf-8")
        for answered, status, body, headers in [
            (None, 204, b"", []),
            ("é", 200, b"\xc3\xa9", [text]),
            (b"\xff" * 200_000, 200, b"\xff" * 200_000, []),
            (json_response({"a": "é"}, 201), 201, b'{"a":"\xc3\xa9"}', [("content-type", "application/json")]),
            (Response("x", headers={"Content-Type": "text/x"}), 200, b"x", [("content-type", "text/x")]),
            (Response(status=302, headers=[("x-a", "1"), ("x-a", "é")]), 302, b"", [("x-a", "1"), ("x-a", "é")]),
        ]:
            with self.subTest(status=status):
                got = ask(lambda _, answered=answered: answered)
                self.assertEqual((got.status, got.body, got.headers), (status, body, headers))

    def test_what_is_no_response_is_a_mistake_of_the_guest(self) -> None:
        for answered in [{}, 1, Response(status=99), Response(headers={"a b": "c"}), Response(headers={"host": "x"})]:
            with self.subTest(answered=answered), self.assertRaises((TypeError, ValueError)):
                ask(lambda _, answered=answered: answered)
        self.assertEqual(len(world.logged), 5)

    def test_an_http_error_is_a_response_and_another_exception_traps(self) -> None:
        def refuse(_: Request) -> None:
            raise HttpError(409, "not so")

        refused = ask(refuse)
        self.assertEqual((refused.status, refused.text, world.logged), (409, "not so\n", []))

        def fail(_: Request) -> None:
            raise KeyError("gone")

        with self.assertRaises(KeyError):
            ask(fail)
        self.assertIn("test_http.py", world.logged[0][2])


class Requests(Case):
    def test_a_request_is_read_by_its_parts(self) -> None:
        cookies = [("cookie", 'a=1; sid="v w"; b'), ("x-one", "1"), ("cookie", "late=2=3")]
        request = of("/a%2Fb//c%20d?x=1&n%C3%A4me=a+b%2B&x=2&y", cookies)
        self.assertEqual(request.path, "/a%2Fb//c%20d")
        self.assertEqual(request.segments, ["a/b", "", "c d"])
        self.assertEqual([request.query(name) for name in ["x", "näme", "y", "z"]], ["1", "a b+", "", None])
        self.assertEqual([request.cookie(name) for name in ["sid", "late", "c"]], ["v w", "2=3", None])
        self.assertEqual((request.header("X-One"), request.header("x-two")), ("1", None))
        for wrong in [lambda: of("/%ff").segments, lambda: of("/?a=%ff").query("a")]:
            with self.assertRaises(HttpError) as raised:
                wrong()
            self.assertEqual(raised.exception.status, 400)
        self.assertEqual(of("/").segments, [""])

    def test_a_body_comes_whole_and_is_text_or_json_where_it_should_be(self) -> None:
        self.assertEqual(ask(lambda request: json_response(request.json()), body='{"é":1}').text, '{"é":1}')
        self.assertEqual(ask(lambda request: str(len(request.body)), body=b"x" * 200_000).text, "200000")
        wrong = ask(lambda request: request.text(), body=b"\xff")
        self.assertEqual((wrong.status, wrong.text), (400, "the body must be UTF-8\n"))
        self.assertEqual(ask(lambda request: request.json(), body="{").status, 400)

    def test_the_method_the_scheme_and_the_headers_are_the_callers(self) -> None:
        def tell(request: Request) -> Response:
            return json_response([request.method, request.scheme, request.authority, request.headers])

        told = world.request(serve(tell), "PURGE", "/", headers={"X-A": "é"}, tls=True)
        self.assertEqual(told.text, '["PURGE","https","localhost",[["x-a","é"]]]')
        self.assertIn('"PUT"', world.request(serve(tell), "PUT", "/").text)


class State(Case):
    def test_what_is_kept_in_a_bucket_comes_back_as_it_went(self) -> None:
        one, other = Bucket("one"), Bucket("other")
        one.set("text", "é")
        one.set("bytes", b"\x00\xff")
        one.set_json("json", {"a": [1, None]})
        one.set("empty", "")
        self.assertEqual((one.get_text("text"), one.get("bytes"), one.get_json("json")), ("é", b"\x00\xff", {"a": [1, None]}))
        self.assertEqual((one.get_text("empty"), one.get("none"), one.get_json("none", 7)), ("", None, 7))
        self.assertEqual((one.has("empty"), one.has("none"), other.has("text")), (True, False, False))
        one.delete("text")
        one.delete("text")
        self.assertEqual(list(one.keys()), ["bytes", "empty", "json"])
        self.assertEqual((one.increment("n"), one.increment("n", -3)), (1, -2))
        for wrong in [lambda: one.get_text("bytes"), lambda: one.increment("json")]:
            with self.assertRaises(HttpError) as raised:
                wrong()
            self.assertEqual(raised.exception.status, 500)

    def test_keys_are_read_over_all_pages(self) -> None:
        many = Bucket("many")
        for number in range(2500):
            many.set(f"{number:04}", "")
        keys = list(many.keys())
        self.assertEqual((len(keys), keys[0], keys[-1]), (2500, "0000", "2499"))

    def test_a_response_of_5xx_and_a_trap_take_back_what_was_written(self) -> None:
        kept = Bucket("kept")

        def answer(status: int):
            def write(_: Request) -> None:
                kept.set("key", str(status))
                raise HttpError(status, "after the write")

            return write

        for status, value in [(500, None), (404, "404"), (503, "404"), (200, "200")]:
            ask(answer(status))
            self.assertEqual(kept.get_text("key"), value)

        def trap(_: Request) -> None:
            kept.set("key", "gone")
            raise KeyError("a trap")

        with self.assertRaises(KeyError):
            ask(trap)
        self.assertEqual(kept.get_text("key"), "200")

    def test_a_write_that_is_not_taken_is_a_response_of_500_with_the_hosts_words(self) -> None:
        kept = Bucket("kept")
        long = ask(lambda _: kept.set("key", "x" * 49153))
        self.assertEqual((long.status, long.text), (500, "the value has 49153 bytes; at most 49152 are taken\n"))
        self.assertEqual(ask(lambda _: kept.set("k" * 1025, "")).status, 500)
        world.full = True
        self.assertEqual(ask(lambda _: kept.set("key", "x")).status, 500)

    def test_settings_are_the_hosts(self) -> None:
        world.config["greeting"] = "hello"
        self.assertEqual((shardloom_http.config("greeting"), shardloom_http.config("none")), ("hello", None))


class Building(unittest.TestCase):
    def test_the_names_of_a_module_say_which_world_it_is_for(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            module = Path(directory) / "handler.py"
            for text, world_name in [
                ("Handler = 1", "shard-handler"),
                ("class Handler: pass", "shard-handler"),
                ("from a import b as IncomingHandler", "http-proxy"),
                ("IncomingHandler: type = int", "http-proxy"),
                ("from shardloom_http.where import place\nIncomingHandler = 1", "http-proxy-placed"),
                ("import shardloom_http.where\nIncomingHandler = 1", "http-proxy-placed"),
            ]:
                module.write_text(text)
                self.assertEqual(shardloom_componentize.world_of(module), world_name)
            for text in ["", "def answer(): Handler = 1", "Handler = IncomingHandler = 1"]:
                module.write_text(text)
                with self.assertRaises(SystemExit):
                    shardloom_componentize.world_of(module)


if __name__ == "__main__":
    unittest.main()
