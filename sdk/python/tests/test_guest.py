"""The helper, against a world in memory."""

import json
import unittest

from shardloom_testing import Level, Refused, world

import shardloom_guest
from shardloom_guest import Conflict, Failed, Invalid, NotFound, Request, json_reply, methods, reply, serve, state


class Case(unittest.TestCase):
    def setUp(self) -> None:
        world.reset()


class Serving(Case):
    def test_what_a_function_returns_becomes_a_reply(self) -> None:
        text = ("content-type", "text/plain; charset=utf-8")
        for answered, body, headers in [
            (None, b"", []),
            ("é", b"\xc3\xa9", [text]),
            (b"\xff", b"\xff", []),
            (json_reply({"a": "é"}), b'{"a":"\xc3\xa9"}', [("content-type", "application/json")]),
            (reply("x", {"x-a": "1"}), b"x", [("x-a", "1")]),
            (reply(b"x", [("x-a", "1"), ("x-a", "2")]), b"x", [("x-a", "1"), ("x-a", "2")]),
        ]:
            with self.subTest(answered=answered):
                got = world.call(serve(lambda _, answered=answered: answered), "key")
                self.assertEqual((got.body, got.headers), (body, headers))

    def test_each_failure_is_its_case_of_the_variant(self) -> None:
        for failure, case in [
            (Invalid, "invalid"),
            (NotFound, "not-found"),
            (Conflict, "conflict"),
            (Failed, "failed"),
        ]:
            def answer(_: Request, failure=failure) -> None:
                raise failure("why")

            with self.subTest(case=case), self.assertRaises(Refused) as refused:
                world.call(serve(answer), "key")
            self.assertEqual((refused.exception.case, refused.exception.text), (case, "why"))
        self.assertEqual(world.logged, [])

    def test_another_exception_is_logged_and_goes_on_to_trap(self) -> None:
        def answer(_: Request) -> None:
            raise KeyError("gone")

        with self.assertRaises(KeyError):
            world.call(serve(answer), "key")
        [(level, context, message)] = world.logged
        self.assertEqual((level, context), (Level.ERROR, "handler"))
        self.assertRegex(message, r"^KeyError: .gone.\n(.*\n)*.*test_guest.py:\d+ in answer$")

    def test_what_is_no_reply_is_a_mistake_of_the_guest(self) -> None:
        with self.assertRaisesRegex(TypeError, "and this is dict"):
            world.call(serve(lambda _: {}), "key")

    def test_a_method_picks_its_function_and_another_is_invalid(self) -> None:
        handler = methods({"a": lambda _: "of a", "b": lambda _: "of b"})
        self.assertEqual(world.call(handler, "key", "b").body, b"of b")
        with self.assertRaises(Refused) as refused:
            world.call(handler, "key", 'c"')
        self.assertEqual(str(refused.exception), 'invalid: there is no method "c\\"": a, b')


class Requests(Case):
    def test_the_body_is_read_as_text_and_json(self) -> None:
        request = Request("key", "", [("x-a", "1"), ("x-a", "2")], '{"é": 1}'.encode())
        self.assertEqual(request.text(), '{"é": 1}')
        self.assertEqual(request.json(), {"é": 1})
        self.assertEqual(request.header("X-A"), "1")
        self.assertIsNone(request.header("x-b"))

    def test_a_body_that_is_neither_is_invalid(self) -> None:
        with self.assertRaisesRegex(Invalid, "UTF-8"):
            Request("key", "", [], b"\xff").text()
        with self.assertRaisesRegex(Invalid, "JSON"):
            Request("key", "", [], b"{").json()


class State(Case):
    def test_text_bytes_and_json_come_back_as_they_went(self) -> None:
        state.set("text", "é")
        state.set(b"\xff", b"\x00\xff")
        state.set_json("json", {"a": [1, None, "é"]})
        self.assertEqual(state.get_text("text"), "é")
        self.assertEqual(state.get(b"\xff"), b"\x00\xff")
        self.assertEqual(state.get_json("json"), {"a": [1, None, "é"]})
        self.assertIsNone(state.get("none"))
        self.assertIsNone(state.get_text("none"))
        self.assertEqual(state.get_json("none", 0), 0)
        state.delete("text")
        state.delete("text")
        self.assertIsNone(state.get("text"))

    def test_a_value_that_is_not_text_is_failed(self) -> None:
        state.set("key", b"\xff")
        with self.assertRaisesRegex(Failed, "is not text"):
            state.get_text("key")

    def test_a_scan_goes_over_all_pages_in_order(self) -> None:
        for number in range(2500):
            state.set(f"k{number:04}", str(number))
        state.set("j", "before")
        state.set("l", "after")
        rows = list(state.scan(prefix="k"))
        self.assertEqual([row.json() for row in rows], list(range(2500)))
        self.assertEqual([row.key_text() for row in state.scan(prefix="k", limit=1500)][-1], "k1499")
        self.assertEqual([row.key_text() for row in state.scan(start="k2499", end="l")], ["k2499"])
        self.assertEqual([row.key_text() for row in state.scan(start="k2499")], ["k2499", "l"])
        self.assertEqual([row.key_text() for row in state.scan(end="k0001")], ["j", "k0000"])
        self.assertEqual(list(state.scan(limit=0)), [])

    def test_a_prefix_of_the_highest_bytes_has_no_end(self) -> None:
        for key in [b"\xfe\xff", b"\xff", b"\xff\xff", b"\xff\xff\x01"]:
            state.set(key, b"")
        self.assertEqual([row.key for row in state.scan(prefix=b"\xff\xff")], [b"\xff\xff", b"\xff\xff\x01"])
        self.assertEqual([row.key for row in state.scan(prefix=b"\xfe\xff")], [b"\xfe\xff"])

    def test_a_scan_by_prefix_and_range_is_refused_at_once(self) -> None:
        with self.assertRaises(TypeError):
            state.scan(prefix="a", start="b")

    def test_a_write_that_is_not_taken_is_a_refusal(self) -> None:
        with self.assertRaisesRegex(Invalid, "the value has 49153 bytes"):
            state.set("key", b"x" * 49153)
        with self.assertRaisesRegex(Invalid, "the key has 1025 bytes"):
            state.delete(b"k" * 1025)
        world.full = True
        with self.assertRaisesRegex(Failed, "no room"):
            state.set("key", "x")

    def test_what_a_failed_call_wrote_is_gone(self) -> None:
        def answer(request: Request) -> None:
            state.set(request.key, "new")
            raise Failed("after the write")

        state.set("key", "old")
        with self.assertRaises(Refused):
            world.call(serve(answer), "key")
        self.assertEqual(state.get_text("key"), "old")


class Where(Case):
    def test_place_and_settings_are_the_hosts(self) -> None:
        world.config["greeting"] = "hello"
        self.assertEqual(shardloom_guest.config("greeting"), "hello")
        self.assertIsNone(shardloom_guest.config("none"))
        self.assertEqual(shardloom_guest.place().shard_count, 1024)

    def test_a_log_line_has_level_and_context(self) -> None:
        shardloom_guest.log.warn(json.dumps([1]), "here")
        self.assertEqual(world.logged, [(Level.WARN, "here", "[1]")])


if __name__ == "__main__":
    unittest.main()
