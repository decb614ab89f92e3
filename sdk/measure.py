#!/usr/bin/env python3
"""Measures a deployed conformance guest through HTTP: `measure.py WORKLOAD [--server URL] [--pid PID]`.

A first call makes the shard's instance; those that follow find it warm. Only calls that are answered by the node that took
them count, so nothing is passed on between nodes. With the process that the nodes run in (`shardloom dev`), and while it has
nothing else to do, what its memory grows by tells what an instance takes. `--hand-over` drains the node that took the calls, and
then times the first call of each of those shards on its new owner; `SHARDLOOM_ADMIN_TOKEN` must be set.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent / "client-python"))

from shardloom_client import Client, Reply

BODY = b"x" * 100
FIRST_CALLS = 40
WARM_SHARDS = 4
WARM_CALLS = 500
WARM_UP_CALLS = 20
#: Seconds that a drain may take.
DRAIN_S_MAX = 60
#: Far more keys than it takes to find that many shards of one node out of a few.
KEYS_MAX = 10_000


class Measure:
    """Calls one workload and keeps time."""

    def __init__(self, client: Client, workload: str) -> None:
        self.client = client
        self.workload = workload
        self.run = uuid.uuid4()
        self.shards: list[int] = []

    def timed(self, key: str, method: str) -> tuple[float, Reply]:
        start = time.perf_counter()
        reply = self.client.call(self.workload, key, method, BODY)
        return time.perf_counter() - start, reply

    def first(self) -> tuple[list[float], list[str]]:
        """Times of the first calls of so many shards, and a key of each."""
        _, begun = self.timed(f"{self.run}", "echo")
        seen, times, keys = {begun.shard}, [], []
        for number in range(KEYS_MAX):
            key = f"{self.run}-{number}"
            took, reply = self.timed(key, "echo")
            if reply.shard not in seen and reply.node == begun.node:
                times.append(took)
                keys.append(key)
                self.shards.append(reply.shard)
            seen.add(reply.shard)
            if len(keys) == FIRST_CALLS:
                return times, keys
        raise SystemExit(f"{len(keys)} shards of one node were found, and {FIRST_CALLS} are needed")

    def warm(self, keys: list[str], method: str) -> list[float]:
        times = []
        for key in keys:
            for _ in range(WARM_UP_CALLS):
                self.timed(key, method)
            times += [self.timed(key, method)[0] for _ in range(WARM_CALLS)]
        return times

    def handed_over(self, server: str, keys: list[str]) -> list[float]:
        """Times of the first calls after the shards of these keys have gone to other nodes, each to its new owner directly."""
        drained = self.timed(keys[0], "echo")[1].node
        admin(server, "POST", f"/v1/admin/nodes/{drained}/drain")
        deadline = time.monotonic() + DRAIN_S_MAX
        while any(shard["owner"] == drained for shard in admin(server, "GET", "/v1/shards")):
            if time.monotonic() > deadline:
                raise SystemExit(f"node {drained} still owns shards after {DRAIN_S_MAX} s")
            time.sleep(0.1)
        owners = {shard["shard"]: shard["owner"] for shard in admin(server, "GET", "/v1/shards")}
        nodes = {node["id"]: node["http"] for node in admin(server, "GET", "/v1/nodes")}
        clients = {node: Client(f"http://{address}") for node, address in nodes.items()}
        times = []
        for key, shard in zip(keys, self.shards, strict=True):
            start = time.perf_counter()
            reply = clients[owners[shard]].call(self.workload, key, "echo", BODY)
            times.append(time.perf_counter() - start)
            if reply.node == drained:
                raise SystemExit(f"shard {shard} is where it was")
        return times

    def memory(self, pid: int) -> float:
        """KiB that the process grows by for each of so many new instances."""
        shards: set[int | None] = set()
        before = 0
        for number in range(KEYS_MAX):
            shards.add(self.timed(f"{self.run}-m-{number}", "echo")[1].shard)
            # The very first have costs of their own.
            if len(shards) == 1:
                before = resident_kib(pid)
            if len(shards) == 1 + FIRST_CALLS:
                return (resident_kib(pid) - before) / FIRST_CALLS
        raise SystemExit("there are too few shards")


def admin(server: str, method: str, path: str) -> Any:
    """What the nodes' API answers to whoever has the token."""
    connection = http.client.HTTPConnection(urlsplit(server).netloc)
    connection.request(method, path, headers={"authorization": f"Bearer {os.environ['SHARDLOOM_ADMIN_TOKEN']}"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {body.decode()}")
    return json.loads(body) if body else None


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit(f"process {pid} tells nothing of its memory")


def described(times: list[float]) -> str:
    ordered = sorted(times)
    high = ordered[len(ordered) * 99 // 100]
    return f"median {statistics.median(ordered) * 1000:.3f} ms, 99th percentile {high * 1000:.3f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a deployed conformance guest through HTTP.")
    parser.add_argument("workload", help="deployed just now: none of its shards has been called")
    parser.add_argument("--server", default="http://127.0.0.1:7080")
    parser.add_argument("--pid", type=int, help="the process that the nodes run in")
    parser.add_argument("--hand-over", action="store_true", help="drain the node, and time its shards' first calls elsewhere")
    asked = parser.parse_args()
    with Client(asked.server) as client:
        measure = Measure(client, asked.workload)
        if asked.pid is not None:
            print(f"memory of an instance: {measure.memory(asked.pid):.0f} KiB")
            return
        first, keys = measure.first()
        print(f"first call: {described(first)}")
        for method in ["echo", "put"]:
            print(f"warm {method}: {described(measure.warm(keys[:WARM_SHARDS], method))}")
        if asked.hand_over:
            print(f"first call after a hand-over: {described(measure.handed_over(asked.server, keys))}")


if __name__ == "__main__":
    main()
