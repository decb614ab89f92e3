"""The conformance guest in Python; ../../CONFORMANCE.md says what each method does."""

import re

from shardloom_guest import (
    Conflict,
    Failed,
    Failure,
    Invalid,
    NotFound,
    Reply,
    Request,
    config,
    json_reply,
    log,
    methods,
    place,
    reply,
    state,
)


def echo(request: Request) -> Reply:
    return reply(request.body, request.headers)


def put(request: Request) -> None:
    state.set(request.key, request.body)


def get(request: Request) -> bytes:
    value = state.get(request.key)
    if value is None:
        raise NotFound("nothing is kept under this key")
    return value


def delete(request: Request) -> None:
    state.delete(request.key)


def scan(request: Request) -> Reply:
    return json_reply([row.key_text() for row in state.scan(prefix=request.body)])


def rollback(request: Request) -> None:
    state.set(request.key, request.body)
    raise Failed("rolled back")


def refuse(failure: type[Failure]):
    def answer(request: Request) -> None:
        raise failure(request.text())

    return answer


def large(request: Request) -> bytes:
    return b"x" * decimal(request)


def tell_place(request: Request) -> Reply:
    here = place()
    names = ["shard", "shard_count", "epoch", "node", "workload", "version"]
    return json_reply({name: getattr(here, name) for name in names})


def tell_config(request: Request) -> str:
    value = config(request.text())
    if value is None:
        raise NotFound("there is no such setting")
    return value


def log_body(request: Request) -> None:
    log.info(request.text(), "conformance")


def trap(request: Request) -> None:
    raise RuntimeError("as asked")


def spin(request: Request) -> None:
    while True:
        pass


def alloc(request: Request) -> None:
    size = max(decimal(request), 1)
    kept = []
    while True:
        kept.append(bytearray(size))


def decimal(request: Request) -> int:
    body = request.text()
    if not re.fullmatch("[0-9]{1,9}", body):
        raise Invalid("the body must be a decimal below 10^9")
    return int(body)


Handler = methods(
    {
        "echo": echo,
        "put": put,
        "get": get,
        "delete": delete,
        "scan": scan,
        "rollback": rollback,
        "invalid": refuse(Invalid),
        "not-found": refuse(NotFound),
        "conflict": refuse(Conflict),
        "failed": refuse(Failed),
        "large": large,
        "place": tell_place,
        "config": tell_config,
        "log": log_body,
        "trap": trap,
        "spin": spin,
        "alloc": alloc,
    }
)
