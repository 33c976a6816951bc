"""Small cases, and a worker in this process whose times are made up."""

from dataclasses import replace
from pathlib import Path

from bench import cases
from bench.calls import Call
from bench.cases import Case
from bench.contenders.plain import PlainTrainer
from bench.timing import Pace, Turn

ROOT = Path(__file__).parents[2]
TINY = Case("3-8-4-2", (3, 8, 4, 2), 16)
BLOCKS = Case("3-8x5-2 residual", (3, 8, 8, 8, 8, 8, 2), 16, residual=True)


def problem(case=TINY):
    X, y = cases.data(case)
    rows = 4 * case.batch
    return case, cases.initial_weights(case), X[:rows], y[:rows]


ROW = Call((3, 8, 2), 1)
TINY_CALLS = [ROW, replace(ROW, out=True), replace(ROW, rows=32), replace(ROW, rows=700, turned=True)]


def asked(call):
    *weights, X = call.arrays()
    return call, weights, X


class Local(PlainTrainer):
    """A worker in this process whose times are made up: more threads are slower, `wrong` learns too fast."""

    turns = 0

    def __init__(self, kind, name, threads, team="auto"):
        super().__init__(threads)
        self.name, self.fixed = name, team == "all"
        self.versions = {"numpy": "made up"}

    def prepare(self, case, weights, X, y):
        super().prepare(replace(case, lr=2 * case.lr) if self.name == "wrong" else case, weights, X, y)

    def pace(self):
        return Pace(1, 1e-6 * self.threads)

    def turn(self, steps):
        Local.turns += 1
        return Turn(1e-6 * self.threads * (2.0 if self.fixed else 1.0), 0.5, self.threads)

    def peak(self, threads):
        return 100.0 * threads

    def close(self):
        pass
