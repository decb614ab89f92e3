#!/usr/bin/env python3
"""Checks a deployed conformance guest: `conformance.py WORKLOAD [--server URL]...`. CONFORMANCE.md says what it must do.

The workload must be deployed with the setting greeting=hello. It may hold state from before; keys are made up anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "client-python"))

from shardloom_client import CallError, Client, Reply

#: Time for a guest that loops until its own limit, on a slow machine.
TIMEOUT_S = 30
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
#: What a reply has where the guest names no type.
BYTES = "application/octet-stream"


class Check:
    """Calls one workload and compares."""

    def __init__(self, client: Client, workload: str) -> None:
        self.client = client
        self.workload = workload
        self.passed = 0
        self.failed = 0

    def call(self, key: str, method: str, body: str | bytes, headers: dict[str, str] | None = None) -> Reply | CallError:
        try:
            return self.client.call(self.workload, key, method, body, headers=headers, timeout=TIMEOUT_S)
        except CallError as error:
            return error

    def same(self, what: str, got: object, wanted: object) -> None:
        if got == wanted:
            self.passed += 1
        else:
            self.failed += 1
            print(f"{what}: {got!r} instead of {wanted!r}")

    def replies(self, key: str, method: str, body: str | bytes, wanted: str | bytes, kind: str = BYTES) -> None:
        got = self.call(key, method, body)
        told = (got.body, got.headers.get("content-type")) if isinstance(got, Reply) else str(got)
        self.same(method, told, (wanted.encode() if isinstance(wanted, str) else wanted, kind))

    def refuses(self, key: str, method: str, body: str | bytes, code: str, text: str) -> None:
        got = self.call(key, method, body)
        told = (got.code, got.detail, got.executed) if isinstance(got, CallError) else got.body
        self.same(method, told, (code, text, "rolled-back"))

    def faults(self, key: str, method: str, body: str, code: str) -> None:
        got = self.call(key, method, body)
        told = (got.code, got.executed) if isinstance(got, CallError) else got.body
        self.same(method, told, (code, "rolled-back"))


def check_state(check: Check) -> None:
    key = f"conformance-{uuid.uuid4()}"
    check.refuses(key, "get", "", "not-found", "nothing is kept under this key")
    check.replies(key, "scan", key, "[]", JSON)
    check.replies(key, "put", b"\x00\xff", b"")
    check.replies(key, "get", "", b"\x00\xff")
    check.replies(key, "put", b"", b"")
    check.replies(key, "get", "", b"")
    check.replies(key, "put", "kept", b"")
    check.refuses(key, "rollback", "gone", "failed", "rolled back")
    check.replies(key, "get", "", "kept")
    for method, code in [("trap", "guest-trap"), ("spin", "guest-timeout")]:
        check.faults(key, method, "", code)
    check.faults(key, "alloc", "1000000", "guest-limit")
    check.faults(key, "alloc", "1000", "guest-limit")
    check.replies(key, "get", "", "kept")
    check.replies(key, "scan", key[:-1], json.dumps([key]), JSON)
    check.replies(key, "delete", "", b"")
    check.replies(key, "delete", "", b"")
    check.refuses(key, "get", "", "not-found", "nothing is kept under this key")
    odd = key + '"\\/\b\t\n\v\f\r\x1f\x7fé€𝄞'
    check.replies(odd, "put", "x", b"")
    check.replies(odd, "scan", odd, json.dumps([odd], ensure_ascii=False), JSON)
    check.replies(odd, "delete", "", b"")
    big = check.call(key, "put", b"x" * 49153)
    check.same("put", getattr(big, "code", None), "invalid")


def check_rest(check: Check) -> None:
    key = f"conformance-{uuid.uuid4()}"
    headers = {"content-type": "text/x-odd", "x-first": "1", "x-second": "zwei"}
    echoed = check.call(key, "echo", b"\x00\xffbody", headers)
    told = (echoed.body, {name: echoed.headers.get(name) for name in headers}) if isinstance(echoed, Reply) else str(echoed)
    check.same("echo", told, (b"\x00\xffbody", headers))
    for method in ["invalid", "not-found", "conflict", "failed"]:
        check.refuses(key, method, "why: é𝄞", method, "why: é𝄞")
        check.refuses(key, method, b"\xff", "invalid", "the body must be UTF-8")
        check.refuses(key, method, "", method, "")
    for size in [0, 1, 70_000, 1_000_000]:
        check.replies(key, "large", str(size), b"x" * size)
    for body in ["", "-1", "+1", "1.5", "1000000000", " 1", "1\n", "x", "٣"]:
        check.refuses(key, "large", body, "invalid", "the body must be a decimal below 10^9")
    check.refuses(key, "alloc", "x", "invalid", "the body must be a decimal below 10^9")
    check.replies(key, "config", "greeting", "hello", TEXT)
    check.refuses(key, "config", "no-such", "not-found", "there is no such setting")
    check.replies(key, "log", "a line of conformance: é", b"")
    check.refuses(key, "log", b"\xff", "invalid", "the body must be UTF-8")
    for method in ["", "nope", 'a"b\\']:
        got = check.call(key, method, "")
        told = (got.code, got.detail) if isinstance(got, CallError) else ("", "")
        check.same("no method", (told[0], told[1].startswith(f"there is no method {json.dumps(method)}")), ("invalid", True))
    placed = check.call(key, "place", "")
    if not isinstance(placed, Reply):
        check.same("place", str(placed), "a reply")
        return
    said = placed.json()
    names = ["shard", "shard_count", "epoch", "node", "workload", "version"]
    check.same("place", placed.text, json.dumps({name: said.get(name) for name in names}, separators=(",", ":")))
    outside = [placed.shard, placed.epoch, placed.node, check.workload, placed.headers["shardloom-workload-version"]]
    inside = [said["shard"], said["epoch"], said["node"], said["workload"], str(said["version"])]
    check.same("place", inside, outside)
    check.same("place", said["shard"] < said["shard_count"], True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a deployed conformance guest.")
    parser.add_argument("workload")
    parser.add_argument("--server", action="append", help="a node; http://127.0.0.1:7080 unless given")
    asked = parser.parse_args()
    with Client(asked.server or ["http://127.0.0.1:7080"]) as client:
        check = Check(client, asked.workload)
        check_state(check)
        check_rest(check)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
