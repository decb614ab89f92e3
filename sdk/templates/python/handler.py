"""Counts greetings: `shardloom call NAME ada --body Hello` answers how often Ada has been greeted, and how."""

from shardloom_guest import Invalid, Reply, Request, serve, state, text_reply


def answer(request: Request) -> Reply:
    greeting = request.text()
    if not greeting:
        raise Invalid("the body must be a greeting")
    count = state.get_json(request.key, 0) + 1
    state.set_json(request.key, count)
    return text_reply(f"{greeting}, {request.key} (greeted {count} times)\n")


Handler = serve(answer)
