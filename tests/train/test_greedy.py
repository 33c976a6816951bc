"""Greedy selection, after training and while a pack trains, beside the same in plain NumPy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.train.greedy import forward
from fastbp.train.held_out import Units
from fastbp.train.judge import Judge
from fastbp.train.selection import Online
from tests.train.packs import CLASSES, INPUTS, data

Array = Any


def softmax(z: Array) -> Array:
    e = np.exp(z.astype(np.float64) - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_loss(p: Array, y: Array) -> float:
    """Less is better, so the worth is its negative."""
    return float(np.log(p[np.arange(len(y)), y]).mean())


def accuracy(p: Array, y: Array) -> float:
    return float((p.argmax(axis=1) == y).mean())


def mse(z: Array, y: Array) -> float:
    return -float(((z - y) ** 2).mean())


def twin(
    each: list[Array], y: Array, worth: Any, size: int, replacement: bool = True, stop_early: bool = True
) -> tuple[list[int], list[float]]:
    """Caruana's selection: means are taken anew each time, of all that were chosen and the one that is tried."""
    chosen: list[int] = []
    scores: list[float] = []
    while len(chosen) < size:
        free = [i for i in range(len(each)) if replacement or i not in chosen]
        if not free:
            break
        tried = [worth(np.mean([each[j] for j in [*chosen, i]], axis=0), y) for i in free]
        best = int(np.argmax(tried))  # the first of equal ones
        if chosen and stop_early and tried[best] <= scores[-1]:
            break
        chosen.append(free[best])
        scores.append(tried[best])
    return chosen, scores


METRICS: dict[str, Any] = {"log_loss": log_loss, "accuracy": accuracy}


@pytest.fixture(scope="module")
def pool() -> tuple[fb.Pack, Array, Array]:
    """Networks trained on samples of rows with wrong classes among them, and other rows."""
    X, y = data(rows=400)
    random = np.random.default_rng(1)
    y = np.where(random.random(400) < 0.15, random.integers(0, CLASSES, 400), y)
    samples = [random.integers(0, 150, 100) for _ in range(9)]
    pack = fb.Pack(fb.mlp([INPUTS, 8, CLASSES]), n=9, optimizer=fb.Adam(lr=0.01), rows=samples)
    pack.run(X[:150], y[:150], steps=120)
    return pack, X[150:], y[150:]


@pytest.mark.parametrize("stop_early", [True, False], ids=["stops", "goes on"])
@pytest.mark.parametrize("replacement", [True, False], ids=["again", "once"])
@pytest.mark.parametrize("metric", METRICS)
def test_the_choice_is_that_of_the_twin(pool: Any, metric: str, replacement: bool, stop_early: bool) -> None:
    pack, X, y = pool
    settings = {"replacement": replacement, "stop_early": stop_early}
    found = pack.ensemble(X, y, metric=metric, size=7, **settings)
    order, scores = twin([softmax(z) for z in pack.predict_members(X)], y, METRICS[metric], 7, **settings)
    assert list(found.chosen) == order
    signed = np.array(scores) * (-1 if metric == "log_loss" else 1)
    assert np.allclose(found.scores, signed, rtol=1e-12)
    assert found.metric == metric
    assert found.evaluate(X, y, metric) == pytest.approx(found.scores[-1], rel=1e-12)
    members = list(dict.fromkeys(order))
    assert found.weights.tolist() == [order.count(i) for i in members]
    for net, i in zip(found.members, members, strict=True):
        assert net.flat.tobytes() == pack.members[i].flat.tobytes()


def test_some_choices_repeat_and_stopping_early_is_earlier(pool: Any) -> None:
    pack, X, y = pool
    again, once = (pack.ensemble(X, y, size=20, replacement=r, stop_early=False).chosen for r in (True, False))
    assert len(again) == 20 > len(set(again))
    assert len(once) == len(set(once)) == 9
    assert 1 < len(pack.ensemble(X, y).chosen) < 20


def test_numbers_are_chosen_by_their_loss_or_a_metric() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(150, INPUTS))
    y = X[:, :2] ** 2 + random.normal(size=(150, 2))
    nets = [fb.mlp([INPUTS, 12, 2], seed=seed, dtype="float64") for seed in range(5)]
    for net in nets:
        fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=0.01)).run(X[:100], y[:100], steps=300)
    order, scores = twin([net.predict(X[100:]) for net in nets], y[100:], mse, 32)
    by_loss, by_mse = (fb.Ensemble.greedy(nets, X[100:], y[100:], metric) for metric in (None, "mse"))
    assert (by_loss.metric, by_mse.metric) == ("loss", "mse")
    assert list(by_loss.chosen) == list(by_mse.chosen) == order
    assert len(order) > 1
    assert np.allclose(by_loss.scores, -np.array(scores), rtol=1e-10)
    assert np.allclose(by_mse.scores, -np.array(scores), rtol=1e-12)


def test_of_equal_candidates_the_first_is_taken(pool: Any) -> None:
    pack, X, y = pool
    best = pack.ensemble(X, y, size=1).chosen[0]
    nets = [pack.members[0], copy.copy(pack.members[best]), pack.members[best]]
    assert fb.Ensemble.greedy(nets, X, y, size=1).chosen == (1,)
    same = [copy.copy(pack.members[0]) for _ in range(3)]
    assert fb.Ensemble.greedy(same, X, y).chosen == (0,)
    assert fb.Ensemble.greedy(same, X, y, size=4, stop_early=False).chosen == (0, 0, 0, 0)
    assert fb.Ensemble.greedy(same, X, y, size=4, replacement=False, stop_early=False).chosen == (0, 1, 2)


def test_weights_of_rows_count(pool: Any) -> None:
    pack, X, y = pool
    weight = np.where(np.arange(len(y)) < 60, 1.0, 0.0)
    weighed = pack.ensemble(X, y, sample_weight=weight)
    some = pack.ensemble(X[:60], y[:60])
    assert weighed.chosen == some.chosen != pack.ensemble(X, y).chosen
    assert np.allclose(weighed.scores, some.scores, rtol=1e-12)


def test_candidates_that_are_not_finite_are_no_candidates(pool: Any) -> None:
    pack, X, y = pool
    broken = copy.copy(pack.members[0])
    broken.parameters["0.weight"] = np.full((INPUTS, 8), 3e38)
    broken.parameters["2.weight"] = np.full((8, CLASSES), 3e38)
    assert not np.isfinite(broken.predict(X)).all()
    assert set(fb.Ensemble.greedy([broken, *pack.members[:3]], X, y).chosen) <= {1, 2, 3}
    with pytest.raises(fb.DataError, match=r"^`models` must have one whose predictions are finite, got none$"):
        fb.Ensemble.greedy([broken], X, y)


def test_a_score_that_is_no_number_is_worth_nothing() -> None:
    y = np.zeros((4, 1))
    judge = Judge(fb.MSE(), [1], np.dtype("float64"), y, "mse")
    assert judge.worth(float("nan")) == -np.inf < judge.worth(1e300)
    assert forward([[y + 1], [y + 0.5], [y - 0.5]], judge, 5, True, True) == ([1, 2], [0.25, 0.0])


# While a pack trains


EPOCHS, PATIENCE = 14, 3


DIVERGE = 4, 5  # members that do
SEEDS = 13, 15


def made(threads: int | None = None, seed: int = 3) -> tuple[fb.Pack, dict[str, Any]]:
    """A pack of which some leave early, one has another batch, two diverge, and one stays."""
    X, y = data(rows=300, seed=seed)
    settings = {
        "optimizer": [fb.Adam(lr=lr) for lr in (0.003, 0.01, 0.05, 0.2, 0.05, 0.03)],
        "batch_size": [16, 32, 16, 8, 16, 16],
        "ema": [None, None, 0.8, None, None, None],
        "schedule": [None] * 4 + [fb.MultiStep([at], gamma=1e45) for at in (84, 45)],  # 13 steps are an epoch
    }
    pack = fb.Pack(fb.mlp([INPUTS, 10, CLASSES]), n=6, threads=threads, **settings)
    held_out = X[200:], y[200:]
    words = {"X": X[:200], "y": y[:200], "epochs": EPOCHS, "validation": held_out}
    return pack, words | {"patience": [None, PATIENCE, PATIENCE, PATIENCE, None, PATIENCE]}


def fitted(greedy: fb.Greedy, threads: int | None = None, seed: int = 3) -> fb.Pack:
    pack, words = made(threads, seed)
    with pytest.warns(RuntimeWarning, match=r"^`members\[4\]` \(and 1 more, see `histories`\) stopped"):
        pack.fit(**words, ensemble=greedy)
    return pack


class Alone:
    """Members trained by trainers, one by one.

    Attributes
    ----------
    says, flats : list of list of array
        Of each member after each epoch: probabilities of the validation rows, and parameters.
    left : list of int
        The epoch at whose end it has left.
    best : list of int
        The epoch at which it is then; 0: at none.
    """

    def __init__(self, seed: int = 3) -> None:
        pack, words = made(seed=seed)
        self.y = words["validation"][1]
        self.says: list[list[Array]] = []
        self.flats: list[list[Array]] = []
        self.left, self.best = [], []
        for i, member in enumerate(pack._members):
            trainer, stop = member.trainer, words["patience"][i] and fb.EarlyStopping(words["patience"][i])
            self.says.append([])
            self.flats.append([])

            def look(trainer: Any, history: Any) -> None:
                self.says[-1].append(softmax(trainer.evaluated.predict(words["validation"][0])))
                self.flats[-1].append(trainer.evaluated.flat)

            diverged = False
            try:
                trainer.fit(words["X"], words["y"], EPOCHS, words["validation"], [look, *([stop] if stop else [])])
            except fb.DivergedError:
                diverged = True
            epochs = len(self.says[i])
            assert diverged == (i in DIVERGE)
            self.left.append(epochs + diverged)  # within its next epoch
            self.best.append(stop.best_epoch if stop else 0 if diverged else epochs)

    def online(self, size: int, patience: int, twice: bool = False, lost: bool = False) -> tuple[Any, Any, int]:
        """What is in the ensemble, its scores, and the epoch after which the fit ends.

        Mistakes that would matter: candidates are there twice, or one that diverged is there with its last epoch.
        """
        chosen: list[tuple[int, int]] = []
        scores: list[float] = []
        waited = 0
        for epoch in range(1, max(self.left) + 1):
            pool = list(chosen)
            for i, said in enumerate(self.says):
                at = epoch if epoch < self.left[i] else self.best[i] or (len(said) if lost else 0)
                if at and (twice or (i, at) not in pool):
                    pool.append((i, at))
            order, found = twin([self.says[i][at - 1] for i, at in pool], self.y, log_loss, size, replacement=False)
            if not scores or found[-1] > scores[-1]:
                chosen, scores, waited = [pool[i] for i in order], found, 0
            else:
                waited += 1
            if waited >= patience:
                break
        return chosen, scores, epoch


SETTINGS = {"free": (32, 32), "small": (2, 32), "stopped": (32, 2)}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_chosen_while_a_pack_trains_is_what_the_twin_chooses(name: str, seed: int) -> None:
    size, patience = SETTINGS[name]
    alone = Alone(seed)
    order, scores, end = alone.online(size, patience)
    pack = fitted(fb.Greedy(size, patience), seed=seed)
    found = pack.selected
    assert list(found.chosen) == order
    assert len(order) > 1
    assert np.allclose(found.scores, -np.array(scores), rtol=1e-12)
    for net, (i, epoch) in zip(found.members, order, strict=True):
        assert net.flat.tobytes() == alone.flats[i][epoch - 1].tobytes()
    assert [len(history.loss) for history in pack.histories] == [min(len(said), end) for said in alone.says]
    if end < EPOCHS:
        assert pack.histories[0].stopped == "the ensemble did not improve for 2 epochs"
    assert found.evaluate(made(seed=seed)[1]["validation"][0], alone.y, "log_loss") == found.scores[-1]


def test_the_twin_meets_every_kind_of_candidate() -> None:
    found = [Alone(seed) for seed in SEEDS]
    for alone in found:
        assert alone.best[4] == 0 < len(alone.says[4])  # it diverges, and nothing is kept
        assert alone.best[5] > 0  # it diverges, and goes back to its best
        assert any(alone.best[i] < alone.left[i] < EPOCHS for i in (1, 2, 3))  # one leaves before the others
    assert {alone.online(32, 2)[2] == EPOCHS for alone in found} == {True, False}  # the run ends early, or not
    chosen = [(alone, alone.online(32, 32)[0]) for alone in found]
    assert any(len({i for i, _ in order}) < len(order) for _, order in chosen)  # several epochs of one
    assert any(epoch not in (alone.best[i], EPOCHS) for alone, order in chosen for i, epoch in order)  # else lost
    assert any(alone.online(32, 32, twice=True)[0] != order for alone, order in chosen)
    assert any(alone.online(32, 32, lost=True)[0] != order for alone, order in chosen)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_choice_does_not_depend_on_threads(threads: int) -> None:
    must = fitted(fb.Greedy()).selected
    found = fitted(fb.Greedy(), threads).selected
    assert (found.chosen, found.scores) == (must.chosen, must.scores)
    assert [net.flat.tobytes() for net in found.members] == [net.flat.tobytes() for net in must.members]


def test_members_train_as_they_would_without() -> None:
    pack, words = made()
    with pytest.warns(RuntimeWarning):
        pack.fit(**words)
    other = fitted(fb.Greedy(patience=None))
    for one, two in zip(pack.members, other.members, strict=True):
        assert one.flat.tobytes() == two.flat.tobytes()
    for mine, yours in zip(pack.histories, other.histories, strict=True):
        assert (mine.loss, mine.val_loss, mine.stopped) == (yours.loss, yours.val_loss, yours.stopped)


def test_an_ensemble_stays_where_a_pack_goes_on() -> None:
    pack = fitted(fb.Greedy())
    X = made()[1]["validation"][0]
    found, before = pack.selected, pack.selected.predict(X)
    with pytest.warns(RuntimeWarning):
        pack.run(made()[1]["X"], made()[1]["y"], steps=3)
    with pytest.warns(RuntimeWarning):
        pack.fit(made()[1]["X"], made()[1]["y"], epochs=1)
    assert pack.selected is found
    assert found.predict(X).tobytes() == before.tobytes()


def test_what_was_chosen_before_an_interruption_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pack, words = made()
    epochs = iter(range(5))
    choose = Online.choose

    def interrupted(self: Any, *more: Any) -> None:
        choose(self, *more)
        if next(epochs) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Online, "choose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack.fit(**words, ensemble=fb.Greedy())
    assert 0 < max(epoch for _, epoch in pack.selected.chosen) <= 5
    assert len(pack.histories[0].loss) == 5


def test_metrics_of_numbers_are_taken_in_their_units() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(120, INPUTS)).astype(np.float32)
    y = np.exp(X[:, :1])
    pack = fb.Pack(fb.mlp([INPUTS, 8, 1]), n=3, loss="mse", optimizer="adam")
    pack.units = Units(lambda z: np.exp(z), y[80:])
    logs = np.log(y)
    pack.fit(X[:80], logs[:80], epochs=3, validation=(X[80:], logs[80:]), ensemble=fb.Greedy(metric="rmse"))
    z = pack.selected.predict(X[80:]).astype(np.float64)
    assert pack.selected.scores[-1] == pytest.approx(fb.metrics.rmse(y[80:], np.exp(z)), rel=1e-6)
    assert pack.selected.metric == "rmse"
