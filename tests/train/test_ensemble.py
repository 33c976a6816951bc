"""An ensemble predicts weighted means, whatever it is made of, and is the same after a file, a pickle and a copy."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.train.averages import averaged, outputs_of
from fastbp.train.metrics import evaluate, fitting
from tests.train.packs import CLASSES, INPUTS, data, networks

ROWS = 40
LOSSES: dict[str, tuple[Any, int]] = {
    "cross_entropy": ("cross_entropy", 4),
    "one logit": ("cross_entropy", 1),
    "labels": ("binary_cross_entropy", 3),
    "one label": ("binary_cross_entropy", 1),
    "margin": ("multi_margin", 4),
    "mse": ("mse", 2),
    "quantile": (fb.Quantile(q=0.3), 2),
    "poisson": ("poisson", 2),
    "gaussian": ("gaussian_nll", 4),
    "formula": (fb.loss("abs(z - t) ** 1.5"), 2),
}


def nets(outputs: int, count: int = 3, dtype: str = "float32") -> list[fb.Network]:
    return [fb.mlp([INPUTS, 8 + i, outputs], seed=i, dtype=dtype) for i in range(count)]


def rows(outputs: int = 0, name: str = "mse", seed: int = 0) -> tuple[Any, Any]:
    """Rows and targets that fit a loss."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(ROWS, INPUTS)).astype(np.float32)
    targets = {
        "cross_entropy": lambda: np.arange(ROWS) % max(outputs, 2),
        "one logit": lambda: np.arange(ROWS) % 2,
        "labels": lambda: random.integers(0, 2, size=(ROWS, outputs)),
        "one label": lambda: random.integers(0, 2, size=(ROWS, 1)),
        "margin": lambda: np.arange(ROWS) % outputs,
        "poisson": lambda: random.integers(0, 4, size=(ROWS, outputs)),
        "gaussian": lambda: random.normal(size=(ROWS, outputs // 2)),
    }
    return X, targets.get(name, lambda: random.normal(size=(ROWS, outputs)))()


def said(name: str, z: Any) -> Any:
    """What outputs stand for, in NumPy."""
    z = z.astype(np.float64)
    if name in ("cross_entropy", "one logit"):
        z = np.hstack([np.zeros_like(z), z]) if z.shape[1] == 1 else z
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    if name in ("labels", "one label"):
        return 1 / (1 + np.exp(-z))
    return np.exp(z) if name == "poisson" else z[:, :2] if name == "gaussian" else z


@pytest.mark.parametrize("name", LOSSES)
def test_predictions_are_weighted_means_of_what_outputs_stand_for(name: str) -> None:
    loss, outputs = LOSSES[name]
    members, weights = nets(outputs, 4, "float64"), [1.0, 0.0, 2.0, 0.5]
    X, _ = rows(outputs, name)
    found = fb.Ensemble(members, weights, loss=loss)
    each = np.stack([said(name, net.predict(X)) for net in members])
    mean = np.average(each, axis=0, weights=weights)
    assert np.allclose(found.predict(X), mean, rtol=1e-13, atol=1e-14)
    assert np.allclose(found.spread(X), np.sqrt(np.average((each - mean) ** 2, axis=0, weights=weights)), atol=1e-13)
    assert np.array_equal(found.predict_members(X), [net.predict(X) for net in members])
    assert found.predict(X[0]).tobytes() == found.predict(X[:1]).tobytes()
    assert found.predict(X[0]).ndim == found.spread(X[0]).ndim == 1
    assert found.predict_members(X[0]).shape == (4, outputs)


@pytest.mark.parametrize("name", LOSSES)
def test_together_is_what_one_network_would_put_out(name: str) -> None:
    loss, outputs = LOSSES[name]
    X, _ = rows(outputs, name)
    found = fb.Ensemble(nets(outputs, dtype="float64"), loss=loss)
    z = found.together(X)
    assert z.shape == (ROWS, outputs)
    assert z.dtype == np.float64
    assert np.allclose(said(name, z), found.predict(X), rtol=1e-12, atol=1e-14)
    alone = fb.Ensemble(nets(outputs, 1, "float64"), loss=loss)  # what one says alone is what it says
    assert np.allclose(averaged(alone.loss, alone.together(X)), averaged(alone.loss, alone.members[0].predict(X)))


def test_a_mixture_of_gaussians_has_the_variance_of_means_and_their_own() -> None:
    loss, outputs = LOSSES["gaussian"]
    X, _ = rows(outputs, "gaussian")
    found = fb.Ensemble(nets(outputs, dtype="float64"), loss=loss)
    each = found.predict_members(X)
    means, variances = each[:, :, :2], np.exp(each[:, :, 2:])
    assert np.allclose(np.exp(found.together(X)[:, 2:]), variances.mean(axis=0) + means.var(axis=0))


def test_probabilities_that_no_float_holds_become_finite_outputs() -> None:
    for name, outputs in (("cross_entropy", 2), ("binary_cross_entropy", 1)):
        loss = fb.Ensemble(nets(outputs, 1), loss=name).loss
        z = outputs_of(loss, averaged(loss, np.full((1, outputs), 2e3) * np.array([[1.0, -1.0]])[:, :outputs]), outputs)
        assert np.isfinite(z).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "formula"])
def test_every_metric_is_that_of_the_outputs_of_one(name: str) -> None:
    loss, outputs = LOSSES[name]
    X, y = rows(outputs, name)
    found = fb.Ensemble(nets(outputs, dtype="float64"), loss=loss)
    weight = np.random.default_rng(1).uniform(0.1, 2.0, ROWS)
    for sample_weight in (None, weight):
        for metric in fitting(found.loss, "labels" in found.loss.tasks and outputs > 1):
            if metric == "top_k" and outputs < 5:
                metric = "top_2" if outputs > 1 else "accuracy"
            got = found.evaluate(X, y, metric, sample_weight=sample_weight)
            must = evaluate(metric, found.together(X), y, sample_weight, loss=found.loss)
            assert got == pytest.approx(must, rel=1e-12), metric


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "one logit"])  # which no trainer takes
def test_the_loss_of_one_member_is_its_own(name: str) -> None:
    loss, outputs = LOSSES[name]
    X, y = rows(outputs, name)
    (net,) = nets(outputs, 1, "float64")
    assert fb.Ensemble([net], loss=loss).evaluate(X, y) == pytest.approx(net.evaluate(X, y, loss), rel=1e-12)


def test_rows_that_the_loss_ignores_are_not_measured() -> None:
    X, y = rows(4, "cross_entropy")
    y = y.copy()
    y[::3] = -1
    found = fb.Ensemble(nets(4), loss=fb.CrossEntropy(ignore_index=-1))
    kept = y >= 0
    for metric in ("accuracy", "log_loss", "brier"):
        assert found.evaluate(X, y, metric) == found.evaluate(X[kept], y[kept], metric)
        weight = np.linspace(0.1, 3.0, ROWS)
        weighted = found.evaluate(X, y, metric, weight)
        assert weighted == found.evaluate(X[kept], y[kept], metric, weight[kept])
        assert weighted != found.evaluate(X, y, metric)


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "gaussian"])
def test_a_member_of_weight_0_says_nothing_wherever_it_stands(name: str) -> None:
    loss, outputs = LOSSES[name]
    X, _ = rows(outputs, name)
    first, second, third = nets(outputs)
    found = fb.Ensemble([first, second, third], weights=[0, 2, 0], loss=loss)
    for what in ("predict", "spread", "together"):
        own, other = (getattr(one, what)(X) for one in (found, fb.Ensemble([second], loss=loss)))
        assert own.tobytes() == other.tobytes()


def test_several_outputs_are_averaged_each_by_its_loss() -> None:
    def net(seed: int) -> fb.Network:
        x = fb.Input(INPUTS)
        h = fb.tanh(fb.Linear(6)(x))
        return fb.Network(inputs=x, outputs=[fb.Linear(4)(h), fb.Linear(1)(h)], seed=seed, dtype="float64")

    members, X = [net(0), net(1)], rows()[0]
    found = fb.Ensemble(members, loss=fb.JointLoss(["cross_entropy", "mse"], weights=[1.0, 0.5]))
    classes, numbers = found.predict(X)
    each = [net.predict(X) for net in members]
    assert np.allclose(classes, np.mean([said("cross_entropy", z) for z, _ in each], axis=0))
    assert np.allclose(numbers, np.mean([z for _, z in each], axis=0))
    assert [part.shape for part in found.predict_members(X)] == [(2, ROWS, 4), (2, ROWS, 1)]
    y = np.arange(ROWS) % 4, np.ones((ROWS, 1))
    parts = fb.metrics.log_loss(y[0], classes, labels=range(4)) + 0.5 * fb.metrics.mse(y[1], numbers)
    assert found.evaluate(X, y) == pytest.approx(parts, rel=1e-12)
    assert fb.Ensemble.greedy([found], X, y).metric == "loss"


def packed() -> tuple[fb.Pack, Any]:
    X, y = data()
    pack = fb.Pack(networks(), optimizer="adam", ema=[None, 0.9, 0.5, None, None])
    pack.run(X, y, steps=20)
    return pack, X


def test_a_pack_s_ensemble_has_its_bits_and_stays_as_it_is() -> None:
    pack, X = packed()
    found = pack.ensemble()
    before = pack.predict(X)
    assert found.predict(X).tobytes() == before.tobytes()
    assert found.spread(X).tobytes() == pack.spread(X).tobytes()
    assert found.predict_members(X).tobytes() == pack.predict_members(X).tobytes()
    pack.run(*data(), steps=5)
    assert found.predict(X).tobytes() == before.tobytes() != pack.predict(X).tobytes()


def test_weights_of_packs_and_ensembles_are_shared_by_their_networks() -> None:
    pack, _ = packed()
    single = networks()[0]
    fb.Trainer(single)
    pair = fb.Ensemble([pack.members[0], single], weights=[3, 1])
    assert fb.Ensemble([pack, single, pair]).weights.tolist() == [1, 1, 1, 1, 1, 1, 3, 1]
    assert fb.Ensemble([pack, single, pair], [5, 2, 4]).weights.tolist() == [1, 1, 1, 1, 1, 2, 3, 1]
    assert len(fb.Ensemble(pair)) == 2


def test_one_heavy_member_is_as_many_as_it_counts() -> None:
    X, _ = rows(4, "cross_entropy")
    members = nets(4, dtype="float64")
    heavy = fb.Ensemble(members, [1, 3, 1], loss="cross_entropy")
    often = fb.Ensemble([members[0], members[1], members[1], members[1], members[2]], loss="cross_entropy")
    assert np.allclose(heavy.predict(X), often.predict(X), rtol=1e-14)


WAYS: dict[str, Any] = {
    "file": lambda one, path: (one.save(path), fb.load(path))[1],
    "pickle": lambda one, path: pickle.loads(pickle.dumps(one)),
    "copy": lambda one, path: copy.copy(one),
    "as a model": lambda one, path: (one.save(path), fb.Ensemble([path]))[1],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["pack", "greedy", "formula", "joint"])
def test_an_ensemble_is_the_same_afterwards(kind: str, way: str, tmp_path: Path) -> None:
    pack, X = packed()
    if kind == "formula":
        one = fb.Ensemble(nets(2), [1, 0.1, 7], loss=LOSSES["formula"][0])
    elif kind == "joint":
        x = fb.Input(INPUTS)
        net = fb.Network(inputs=x, outputs=[fb.Linear(4)(x), fb.Linear(1)(x)])
        one = fb.Ensemble([net], loss=fb.JointLoss(["cross_entropy", fb.Huber(delta=0.5)]))
    else:
        one = pack.ensemble(*data(seed=3)) if kind == "greedy" else pack.ensemble()
    one.members[0].about = {"made": "here"}
    other = WAYS[way](one, tmp_path / "e.safetensors")
    assert other is not one
    assert other.members[0] is not one.members[0]
    assert repr(other) == repr(one)
    assert other.loss.named == one.loss.named
    assert other.loss.parts[-1][0].named == one.loss.parts[-1][0].named
    assert other.weights.tobytes() == one.weights.tobytes()
    first, second = (np.concatenate([np.ravel(part) for part in e.predict(X)]) for e in (one, other))
    assert first.tobytes() == second.tobytes()
    assert [net.about for net in other.members] == [net.about for net in one.members]
    assert [net.seed for net in other.members] == [net.seed for net in one.members]
    if way != "as a model":
        assert (other.chosen, other.scores, other.metric) == (one.chosen, one.scores, one.metric)
        one.save(tmp_path / "1")
        other.save(tmp_path / "2")
        assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_file_has_layers_once_and_natural_arrays_by_name(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file

    found = fb.Ensemble([fb.mlp([3, 2], seed=seed) for seed in range(3)], [1, 2, 3], loss="mse")
    found.save(tmp_path / "e.safetensors")
    arrays = load_file(tmp_path / "e.safetensors")
    assert set(arrays) == {f"{i}/parameters/0.{name}" for i in range(3) for name in ("weight", "bias")}
    assert np.array_equal(arrays["2/parameters/0.weight"], found.members[2].parameters["0.weight"])
    with safe_open(tmp_path / "e.safetensors", "np") as file:
        words = file.metadata()
    assert words["format"] == "fastbp-ensemble-1"
    assert words["shared"].count('"layers"') == 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_predictions_do_not_depend_on_threads(threads: int) -> None:
    X = np.random.default_rng(0).normal(size=(700, INPUTS)).astype(np.float32)
    found = fb.Ensemble(nets(CLASSES), [1, 2, 3], loss="cross_entropy")
    assert found.predict(X, threads=threads).tobytes() == found.predict(X).tobytes()
    assert found.together(X, threads).tobytes() == found.together(X).tobytes()


def test_it_shows_its_members() -> None:
    found = fb.Ensemble(nets(2), [1, 2, 1], loss="mse")
    assert repr(found) == "Ensemble(members=3, loss='mse', weights=[1.0, 2.0, 1.0])"
    assert repr(fb.Ensemble(nets(2), loss="mse")) == "Ensemble(members=3, loss='mse')"
    page = found._repr_html_()
    assert page.count("<tr>") == 4
    assert "<td>2</td>" in page
    assert "<td>66</td>" in page
    assert (len(found), found.inputs, found.outputs, found.dtype.name) == (3, INPUTS, 2, "float32")


def test_probabilities_are_columns_of_classes() -> None:
    X, _ = rows(1, "one label")
    one = fb.Ensemble(nets(1), loss="binary_cross_entropy")
    assert one.probabilities(X).shape == one.predict_proba(X).shape == (ROWS, 2)
    assert np.array_equal(one.probabilities(X)[:, 1:], one.predict(X))
    several = fb.Ensemble(nets(3), loss="binary_cross_entropy")
    assert np.array_equal(several.probabilities(X), several.predict(X))
