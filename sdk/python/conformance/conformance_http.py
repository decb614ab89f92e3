"""The conformance guest of wasi:http in Python; ../../CONFORMANCE.md says what each method does."""

import json
import re

from shardloom_http import Bucket, HttpError, Request, Response, config, json_response, log, serve
from shardloom_http.where import place

kept = Bucket("kept")


def echo(request: Request, _: str) -> Response:
    return Response(request.body, headers=[pair for pair in request.headers if pair[0].startswith("x-")])


def put(request: Request, key: str) -> str:
    kept.set(key, request.body)
    return ""


def get(_: Request, key: str) -> bytes:
    value = kept.get(key)
    if value is None:
        raise HttpError(404, "nothing is kept under this key")
    return value


def delete(_: Request, key: str) -> str:
    kept.delete(key)
    return ""


def scan(request: Request, _: str) -> Response:
    prefix = request.text()
    return json_response([key for key in kept.keys() if key.startswith(prefix)])


def rollback(request: Request, key: str) -> None:
    kept.set(key, request.body)
    raise HttpError(500, "rolled back")


def refuse(status: int):
    def answer(request: Request, _: str) -> None:
        raise HttpError(status, request.text())

    return answer


def large(request: Request, _: str) -> bytes:
    return b"x" * decimal(request)


def tell_place(_request: Request, _key: str) -> Response:
    here = place()
    names = ["shard", "shard_count", "epoch", "node", "workload", "version"]
    return json_response({name: getattr(here, name) for name in names})


def tell_config(request: Request, _: str) -> str:
    value = config(request.text())
    if value is None:
        raise HttpError(404, "there is no such setting")
    return value


def log_body(request: Request, _: str) -> str:
    log.info(request.text(), "conformance")
    return ""


def trap(_request: Request, _key: str) -> None:
    raise RuntimeError("as asked")


def spin(_request: Request, _key: str) -> None:
    while True:
        pass


def alloc(request: Request, _: str) -> None:
    size = max(decimal(request), 1)
    taken = []
    while True:
        taken.append(bytearray(size))


def decimal(request: Request) -> int:
    body = request.text()
    if not re.fullmatch("[0-9]{1,9}", body):
        raise HttpError(400, "the body must be a decimal below 10^9")
    return int(body)


METHODS = {
    "echo": echo,
    "put": put,
    "get": get,
    "delete": delete,
    "scan": scan,
    "rollback": rollback,
    "invalid": refuse(400),
    "not-found": refuse(404),
    "conflict": refuse(409),
    "failed": refuse(422),
    "large": large,
    "place": tell_place,
    "config": tell_config,
    "log": log_body,
    "trap": trap,
    "spin": spin,
    "alloc": alloc,
}


def answer(request: Request) -> Response | str | bytes | None:
    key, method, *_ = [*request.segments, "", ""]
    if method not in METHODS:
        raise HttpError(400, f"there is no method {json.dumps(method, ensure_ascii=False)}")
    return METHODS[method](request, key)


IncomingHandler = serve(answer)
