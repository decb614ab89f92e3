"""A leaderboard: players submit scores, and the best are told in order.

The key is a board. A row for each player holds the best score; a second row, whose key begins with the score, holds nothing:
read in order, those rows are the ranking. Both are written in one call, so neither is ever there without the other.

| method | body | answer |
|---|---|---|
| `submit` | `{"player": text, "score": integer}` | the player's best score, and whether this is it |
| `top` | `{"count": integer}`, or nothing for 10 | the best, with rank and score |
| `rank` | `{"player": text}` | the player's rank and score |
| `remove` | `{"player": text}` | nothing |

Those with the same score share a rank, and are told in order of their names.
"""

from itertools import islice
from typing import Any

from shardloom_guest import Invalid, NotFound, Reply, Request, json_reply, methods, state

SCORE_MAX = 2**53 - 1
COUNT_DEFAULT = 10
COUNT_MAX = 100
#: In bytes; with the score and the marks a key of the state takes twice that.
NAME_MAX = 256


def submit(request: Request) -> Reply:
    board = Board(request.key)
    asked = fields(request, player=str, score=int)
    player, score = name(asked["player"], "a player"), asked["score"]
    if not 0 <= score <= SCORE_MAX:
        raise Invalid(f"a score is from 0 to {SCORE_MAX}")
    old = board.score(player)
    if old is None or score > old:
        board.put(player, score, old)
        return json_reply({"player": player, "score": score, "best": True})
    return json_reply({"player": player, "score": old, "best": False})


def top(request: Request) -> Reply:
    board = Board(request.key)
    count = fields(request, count=int)["count"] if request.body else COUNT_DEFAULT
    if not 1 <= count <= COUNT_MAX:
        raise Invalid(f"count is from 1 to {COUNT_MAX}")
    ranked = []
    for place, (score, player) in enumerate(islice(board.ranking(), count), start=1):
        same = bool(ranked) and ranked[-1]["score"] == score
        rank = ranked[-1]["rank"] if same else place
        ranked.append({"rank": rank, "player": player, "score": score})
    return json_reply(ranked)


def rank(request: Request) -> Reply:
    board = Board(request.key)
    player = name(fields(request, player=str)["player"], "a player")
    score = board.score(player)
    if score is None:
        raise NotFound(f"{player} has no score on this board")
    return json_reply({"rank": board.better_than(score) + 1, "player": player, "score": score})


def remove(request: Request) -> None:
    board = Board(request.key)
    player = name(fields(request, player=str)["player"], "a player")
    score = board.score(player)
    if score is None:
        raise NotFound(f"{player} has no score on this board")
    board.drop(player, score)


class Board:
    """The rows of one board. The state is the whole shard's, so each key begins with the board's name."""

    def __init__(self, key: str) -> None:
        self.prefix = name(key, "a board").encode() + b"\0"

    def score(self, player: str) -> int | None:
        value = state.get(self.prefix + b"player\0" + player.encode())
        return None if value is None else int(value)

    def put(self, player: str, score: int, old: int | None) -> None:
        if old is not None:
            state.delete(self.ranked(old) + player.encode())
        state.set(self.prefix + b"player\0" + player.encode(), str(score))
        state.set(self.ranked(score) + player.encode(), b"")

    def drop(self, player: str, score: int) -> None:
        state.delete(self.prefix + b"player\0" + player.encode())
        state.delete(self.ranked(score) + player.encode())

    def ranking(self):
        """Scores with their players, the best first."""
        mark = self.prefix + b"rank\0"
        for row in state.scan(prefix=mark):
            rest = row.key[len(mark) :]
            yield SCORE_MAX - int.from_bytes(rest[:8], "big"), rest[8:].decode()

    def better_than(self, score: int) -> int:
        """How many players have a better score. It reads them all, so it takes longer for those far down."""
        return sum(1 for _ in state.scan(start=self.prefix + b"rank\0", end=self.ranked(score)))

    def ranked(self, score: int) -> bytes:
        """What the keys of a score begin with: the higher the score, the earlier."""
        return self.prefix + b"rank\0" + (SCORE_MAX - score).to_bytes(8, "big")


def name(text: str, what: str) -> str:
    """Takes the name of a board or player."""
    # JSON can name half a surrogate pair, which is no text; "replace" makes it a question mark.
    is_text = text.encode(errors="replace").decode() == text
    if not is_text or "\0" in text or not 1 <= len(text.encode()) <= NAME_MAX:
        raise Invalid(f"{what} has a name of 1 to {NAME_MAX} bytes, without a zero byte")
    return text


def fields(request: Request, **kinds: type) -> dict[str, Any]:
    """Reads the body: an object with these fields, each of its type, and no other."""
    asked = request.json()
    names = {str: "text", int: "an integer"}
    wanted = ", ".join(f"{field}: {names[kind]}" for field, kind in kinds.items())
    # `type is`, since True counts as an int.
    if not isinstance(asked, dict) or {field: type(value) for field, value in asked.items()} != kinds:
        raise Invalid(f"the body must be an object with {wanted}")
    return asked


Handler = methods({"submit": submit, "top": top, "rank": rank, "remove": remove})
