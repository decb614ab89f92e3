"""Counts visits: `GET /ada` answers how often Ada's page has been looked at. Any host of wasi:http and wasi:keyvalue runs it."""

from shardloom_http import Bucket, HttpError, Request, serve

visits = Bucket("visits")


def answer(request: Request) -> str:
    name = request.segments[0]
    if request.method != "GET":
        raise HttpError(405, "there is GET")
    return f"{name} has been visited {visits.increment(name)} times\n"


IncomingHandler = serve(answer)
