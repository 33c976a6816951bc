"""Packs in the bench: rivals that train as many nets, folds, and what is counted of them."""

from dataclasses import replace

import numpy as np
import pytest

from bench import check, packs
from bench.__main__ import available
from bench.cases import Many
from bench.contenders import CONTENDERS
from bench.contenders.face import Contender
from bench.contenders.plain import PlainTrainer
from bench.remote import Remote
from bench.timing import Pace, Turn
from tests.bench.made_up import TINY


class Loop(Contender):
    """A worker in this process that trains nets of NumPy one after another, in no time."""

    def __init__(self, kind, name, threads, team="auto"):
        super().__init__(threads)
        self.name, self.versions = name, {}

    def prepare(self, case, weights, X, y):
        rate = 2.0 * case.lr if self.name == "wrong" else case.lr
        self.each = [PlainTrainer(1) for _ in range(case.members)]
        for i, one in enumerate(self.each):
            one.prepare(replace(case, lr=rate), [weight[i] for weight in weights], X, y)

    def follow(self, steps):
        for one in self.each:
            one.follow(steps)
        self.losses = [float(np.mean(found)) for found in zip(*(one.losses for one in self.each), strict=True)]

    def run(self, steps):
        for one in self.each:
            one.run(steps)

    @property
    def loss(self):
        return float(np.mean([one.loss for one in self.each]))

    def parameters(self):
        return [np.stack(found) for found in zip(*(one.parameters() for one in self.each), strict=True)]

    def pace(self):
        return Pace(1, 1e-6)

    def turn(self, steps):
        return Turn(3e-6, 0.5, self.threads)

    def peak(self, threads):
        return 100.0

    def close(self):
        pass


def ours_or_loop(kind, name, threads, team="auto"):
    """The pack in a process, rivals made up."""
    return Remote(kind, name, threads, team) if name == "fastbp" else Loop(kind, name, threads, team)


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("kind", ["of numbers", "of classes"])
def test_rivals_train_the_nets_of_a_pack_from_the_same_weights(kind):
    case = replace(TINY, loss="mse") if kind == "of numbers" else TINY
    found = packs.measure(case, 3, 1, 2, ["loop"], start=ours_or_loop)
    assert list(found.rivals) == ["loop"]
    assert len(found.rivals["loop"].ratios) == 2
    line = packs.row(found, ["loop", "none"])
    assert line.startswith("| 3 x 3-8-4-2, 16 | ")
    assert line.endswith(" |  |")
    with pytest.raises(check.RefusedError, match="`wrong` and `fastbp` have the losses"):
        packs.measure(case, 3, 1, 1, ["wrong"], start=ours_or_loop)


@pytest.mark.usefixtures("no_pause")
def test_folds_are_trained_on_the_rows_of_the_others(monkeypatch):
    monkeypatch.setattr(packs, "FOLDS", (TINY.name,))
    rows = packs.rows_of(TINY, 10, 3)
    assert sorted(np.concatenate(rows).tolist()) == sorted(2 * list(range(10)))
    found = packs.measure(TINY, 3, 1, 1)
    assert packs.row(found).startswith("| 3 folds of 3-8-4-2, 16 | ")


@pytest.mark.parametrize("name", [name for name in CONTENDERS["pack"] if available(name, ["pack"])])
def test_every_contender_that_is_installed_trains_the_nets_of_a_pack(name):
    case = Many.of(TINY, 3)
    *weights, X, y = case.arrays()
    made = {"loop": Loop("pack", "loop", 1), name: CONTENDERS["pack"][name](1)}
    assert set(check.compare(made, case, weights, X, y)) == set(made)


def test_many_nets_have_weights_of_their_own_and_so_many_flops():
    many = Many.of(TINY, 3)
    weights = many.arrays()[:-2]
    assert [w.shape for w in weights] == [(3, 3, 8), (3, 8), (3, 8, 4), (3, 4), (3, 4, 2), (3, 2)]
    assert not np.array_equal(weights[0][0], weights[0][1])
    assert (many.flops, many.bytes, many.title) == (3 * TINY.flops, 3 * TINY.bytes, "3 x 3-8-4-2, 16")
