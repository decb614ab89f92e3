"""A request as a handler gets it, and the response that it makes. Bodies are whole: the host holds them so, too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from shardloom_text import bytes_of, json_text

from .error import HttpError

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One request, with its body."""

    #: `GET` and the like.
    method: str
    #: The path behind the workload's name, as it came.
    path: str
    #: The query as it came, without its question mark.
    query_text: str
    #: The headers, in order, names in lower case.
    headers: Headers
    #: The body, whole.
    body: bytes
    #: `http` or `https`.
    scheme: str = "http"
    #: The host that the caller means, and its port if it says one.
    authority: str = ""

    @property
    def segments(self) -> list[str]:
        """The parts of the path between its slashes, decoded: `["a", "b c"]` of `/a/b%20c`."""
        with _decoding("the path"):
            return [unquote(part, errors="strict") for part in self.path.split("/")[1:]]

    def query(self, name: str) -> str | None:
        """The first parameter of the query that has this name."""
        with _decoding("the query"):
            pairs = parse_qsl(self.query_text, keep_blank_values=True, errors="strict")
        return next((value for given, value in pairs if given == name), None)

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        lower = name.lower()
        return next((value for other, value in self.headers if other == lower), None)

    def cookie(self, name: str) -> str | None:
        """The first cookie of a name, without its quotes."""
        for header, line in self.headers:
            if header != "cookie":
                continue
            for pair in line.split(";"):
                given, _, value = pair.partition("=")
                if given.strip() == name:
                    value = value.strip()
                    quoted = len(value) > 1 and value[0] == value[-1] == '"'
                    return value[1:-1] if quoted else value
        return None

    def text(self) -> str:
        """The body as text; raises an HttpError of 400 where it is not UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            raise HttpError(400, "the body must be UTF-8") from None

    def json(self) -> Any:
        """The body as the JSON value that it is; raises an HttpError of 400 where it is none."""
        text = self.text()
        try:
            return json.loads(text)
        except ValueError as error:
            raise HttpError(400, f"the body must be JSON: {error}") from None


class Response:
    """One response: text, bytes, or nothing for a body. From status 500 on, whatever the request wrote is gone."""

    def __init__(
        self,
        body: str | bytes = b"",
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        self.status = status
        self.body = bytes_of(body)
        self.headers: Headers = list(headers.items() if isinstance(headers, Mapping) else headers)
        if isinstance(body, str) and body:
            self._name("text/plain; charset=utf-8")

    def _name(self, kind: str) -> None:
        """Names the type of the body, unless the headers do."""
        if not any(name.lower() == "content-type" for name, _ in self.headers):
            self.headers.append(("content-type", kind))


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
) -> Response:
    """A response of JSON, without blanks and with all characters as they are."""
    response = Response(bytes_of(json_text(value)), status, headers)
    response._name("application/json")
    return response


class _decoding:
    """Turns what is not percent-encoded UTF-8 into the response that the caller should get."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, UnicodeDecodeError):
            raise HttpError(400, f"{self.what} must be percent-encoded UTF-8") from None
