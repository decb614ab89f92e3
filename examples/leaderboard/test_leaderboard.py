"""The leaderboard without a cluster: `PYTHONPATH=../../sdk/python python3 -m unittest`."""

import json
import unittest

from shardloom_testing import Refused, world

from leaderboard import Handler


def call(method, body=None, board="monday"):
    reply = world.call(Handler, board, method, "" if body is None else json.dumps(body))
    return json.loads(reply.body) if reply.body else None


def submit(player, score, board="monday"):
    return call("submit", {"player": player, "score": score}, board)


class Leaderboard(unittest.TestCase):
    def setUp(self):
        world.reset()

    def refused(self, case, method, body=None, board="monday"):
        with self.assertRaises(Refused) as refused:
            call(method, body, board)
        self.assertEqual(refused.exception.case, case)

    def test_the_best_score_of_each_player_counts(self):
        self.assertEqual(submit("ada", 5), {"player": "ada", "score": 5, "best": True})
        self.assertEqual(submit("ada", 3), {"player": "ada", "score": 5, "best": False})
        self.assertEqual(submit("ada", 300), {"player": "ada", "score": 300, "best": True})
        self.assertEqual(call("top"), [{"rank": 1, "player": "ada", "score": 300}])

    def test_equal_scores_share_a_rank(self):
        for player, score in [("eve", 1), ("bob", 256), ("ada", 256), ("dan", 255), ("zoë", 2**53 - 1), ("nil", 0)]:
            submit(player, score)
        ranks = [(row["rank"], row["player"]) for row in call("top")]
        self.assertEqual(ranks, [(1, "zoë"), (2, "ada"), (2, "bob"), (4, "dan"), (5, "eve"), (6, "nil")])
        self.assertEqual(ranks, [(call("rank", {"player": player})["rank"], player) for _, player in ranks])

    def test_top_has_as_many_as_are_asked_for(self):
        for score in range(1500):
            submit(f"p{score}", score)
        self.assertEqual(len(call("top")), 10)
        self.assertEqual([row["score"] for row in call("top", {"count": 3})], [1499, 1498, 1497])
        self.assertEqual(call("rank", {"player": "p0"})["rank"], 1500)

    def test_boards_on_one_shard_know_nothing_of_each_other(self):
        submit("ada", 1, "mon")
        submit("bob", 2, "monday")
        self.assertEqual([row["player"] for row in call("top", board="mon")], ["ada"])
        self.refused("not-found", "rank", {"player": "bob"}, "mon")

    def test_a_player_that_is_removed_leaves_nothing(self):
        submit("ada", 1)
        call("remove", {"player": "ada"})
        self.assertEqual((call("top"), world.rows), ([], {}))
        self.refused("not-found", "remove", {"player": "ada"})

    def test_what_makes_no_sense_is_invalid(self):
        for body in [None, [], {"player": "ada"}, {"player": "ada", "score": True}, {"player": "ada", "score": -1}]:
            self.refused("invalid", "submit", body)
        self.refused("invalid", "submit", {"player": "a\0b", "score": 1})
        self.refused("invalid", "submit", {"player": "", "score": 1})
        self.refused("invalid", "submit", {"player": "\ud800", "score": 1})
        self.refused("invalid", "submit", {"player": "ada", "score": 1}, board="x" * 257)
        self.refused("invalid", "submit", {"player": "ada", "score": 2**53})
        self.refused("invalid", "top", {"count": 0})
        self.refused("invalid", "top", {"count": 101})
        self.refused("invalid", "win")


if __name__ == "__main__":
    unittest.main()
