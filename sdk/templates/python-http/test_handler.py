"""The handler, against a world in memory: `python3 -m unittest test_handler`."""

import unittest

from shardloom_testing import world

from handler import IncomingHandler


class Visiting(unittest.TestCase):
    def test_visits_are_counted_by_name_and_only_they(self) -> None:
        world.reset()
        world.request(IncomingHandler, "GET", "/ada")
        self.assertEqual(world.request(IncomingHandler, "POST", "/ada").status, 405)
        self.assertEqual(world.request(IncomingHandler, "GET", "/ada").text, "ada has been visited 2 times\n")
        self.assertEqual(world.request(IncomingHandler, "GET", "/bob").text, "bob has been visited 1 times\n")


if __name__ == "__main__":
    unittest.main()
