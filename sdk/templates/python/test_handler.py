"""The handler, against a world in memory: `python3 -m unittest test_handler`."""

import unittest

from shardloom_testing import Refused, world

from handler import Handler


class Greeting(unittest.TestCase):
    def test_greetings_are_counted_and_an_empty_one_is_refused(self) -> None:
        world.reset()
        world.call(Handler, "ada", "", "Hello")
        with self.assertRaises(Refused):
            world.call(Handler, "ada", "", "")
        self.assertEqual(world.call(Handler, "ada", "", "Hi").body, b"Hi, ada (greeted 2 times)\n")


if __name__ == "__main__":
    unittest.main()
