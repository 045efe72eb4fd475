"""Tests of what the measurements rest on; `python3 -m unittest benches/harness/tests.py` from the root."""

import pathlib
import tempfile
import unittest
import xml.dom.minidom

from . import accepted, callgrind, charts, load

ROW = {"name": "64 tokens", "instructions": 5_000, "allocations": 0.04, "system_calls": 2.0}


class Accepted(unittest.TestCase):
    def check(self, **more):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "counts.toml"
            accepted.accept([ROW], path)
            accepted.check([ROW | more], path)

    def test_what_is_accepted_and_little_more_or_less_passes(self):
        self.check()
        self.check(instructions=5_149, allocations=0.08, system_calls=2.2)
        self.check(instructions=3_000)

    def test_each_count_that_grows_fails_with_the_way_to_accept_it(self):
        for more in ({"instructions": 5_151}, {"allocations": 0.1}, {"system_calls": 2.3}, {"name": "a new case"}):
            with self.subTest(more), self.assertRaises(SystemExit) as ended:
                self.check(**more)
            self.assertIn("benches/run counts --accept", str(ended.exception))


class Callgrind(unittest.TestCase):
    def read(self, text):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            return callgrind.read(pathlib.Path(file.name))

    def test_calls_of_the_allocator_count_and_others_do_not(self):
        text = ("fn=(1) main\n16 3\ncfn=(2) malloc\ncalls=4 0\n16 80\ncfn=(3) write\ncalls=9 0\n16 90\n"
                "fn=(2)\n16 80\nfn=(4) other\ncfn=(2)\ncalls=2 0\n16 40\ntotals: 173\n")
        self.assertEqual(self.read(text), (173, 6))

    def test_a_file_without_a_sum_ends_the_run(self):
        with self.assertRaises(SystemExit):
            self.read("fn=(1) main\n16 3\n")


class Load(unittest.TestCase):
    def test_every_contender_gets_every_turn_and_goes_first_in_some(self):
        class Asked:
            def __init__(self, name):
                self.name = name

            def busy_poll(self, _seconds):
                asked.append(self.name)
                return {"requests": 10, "micros": 10, "cpus": [20_000], "cpu": 20_000, "load": 0.5, "p50": 1_000, "p99": 2_000}

        asked = []
        figures = load.interleave([Asked(it) for it in "abc"], 6, 0.1)
        self.assertEqual(sorted("".join(asked)), sorted("abc" * 6))
        self.assertEqual({asked[it] for it in range(0, 18, 3)}, set("abc"))
        self.assertEqual([(it.cpu, it.rate, it.p99) for it in figures], [(2, 1e6, 2)] * 3)

    def test_a_lower_quartile_is_above_a_quarter_of_the_values(self):
        self.assertEqual(load.lower_quartile([5, 1, 2, 3, 4]), 2)
        self.assertEqual(load.lower_quartile([7]), 7)


    def test_neighbouring_turns_are_compared(self):
        turns = lambda *each: load.Figures([{"requests": 1, "micros": 1, "cpus": [it * 1e3], "cpu": it * 1e3, "load": 0, "p50": 0,
                                             "p99": 0} for it in each])
        self.assertEqual(load.of_pairs(turns(2, 10, 30).each, turns(4, 20, 40).each), 0.5)


class Charts(unittest.TestCase):
    def test_pictures_are_well_formed_whatever_the_names_and_values(self):
        for drawn in (charts.bars("a & b", [("<gate>", 0), ("x", 2.5)]), charts.bars("none", []),
                      charts.curves("one", [(1, 0, 0)], "µs", "MiB"),
                      charts.curves("minutes", [(it, it, 3) for it in range(1, 61)], "µs", "MiB", logarithmic=False)):
            xml.dom.minidom.parseString(drawn)

    def test_an_axis_ends_above_its_values(self):
        for value in (0.3, 1, 9.9, 17, 61, 4_999):
            self.assertTrue(value <= charts.ceiling(value) < 2 * value + 1, value)


if __name__ == "__main__":
    unittest.main()
