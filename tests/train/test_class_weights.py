"""Weights of rows by their classes, in Python and from a configuration."""

from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.merging import merge, override
from fastbp.config.text import Text, read
from fastbp.runs.subject import subject_of

X = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
Y = np.array([0] * 40 + [1] * 15 + [2] * 5)


def fitted(weight, made=None):
    net = fb.mlp([3, 4, 3], seed=0)
    made = fb.Trainer(net, batch_size=16) if made is None else made(net)
    history = made.fit(X, Y, epochs=3, sample_weight=weight)
    return net.flat.tobytes(), history.loss


def test_balanced_classes_count_the_same():
    weights = np.array([60 / (3 * 40)] * 40 + [60 / (3 * 15)] * 15 + [60 / (3 * 5)] * 5)
    assert fitted("balanced") == fitted(weights)
    assert fitted("balanced") != fitted(None)


def test_balanced_is_that_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.utils.class_weight")
    assert fitted("balanced") == fitted(theirs.compute_sample_weight("balanced", Y))
    assert fitted({2: 4.0, 0: 0.5}) == fitted(theirs.compute_sample_weight({0: 0.5, 1: 1.0, 2: 4.0}, Y))


def test_lbfgs_takes_them_too():
    pytest.importorskip("scipy")
    made = lambda net: fb.LBFGS(net, loss="cross_entropy")  # noqa: E731
    weights = np.where(Y == 2, 3.0, 1.0)
    assert fitted({2: 3.0}, made) == fitted(weights, made)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("balance", "`sample_weight` must be `balanced` or a number for each class, got `'balance'`"),
        ({3: 1.0}, "`sample_weight` must name classes of `y`, got `3`"),
        ({"2": 1.0}, "`sample_weight` must be a dict of class to number, got `'2'` as a class"),
        ({2: -1.0}, "`sample_weight[2]` must be at least 0, got `-1.0`"),
        ({0: 0.0, 1: 0.0, 2: 0.0}, "`sample_weight` must have a class above 0"),
    ],
)
def test_what_is_no_weight_of_classes_is_one_sentence(weight, message):
    with pytest.raises(fb.ConfigError) as raised:
        fitted(weight)
    assert str(raised.value) == message


def test_numbers_have_no_classes():
    with pytest.raises(fb.ShapeError) as raised:
        fb.Trainer(fb.mlp([3, 1]), loss="mse").fit(X, X[:, :1], sample_weight="balanced")
    assert str(raised.value) == "`sample_weight` must be an array where `y` is no class for each row, got `'balanced'`"


# Configurations


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    rows = [f"{a:.3f},{'rare' if i % 8 == 0 else 'often'},{1 + i % 3}" for i, a in enumerate(rng.normal(size=96))]
    Path("t.csv").write_text("\n".join(["x,answer,w", *rows]) + "\n")
    Path("c.yaml").write_text("data: {path: t.csv, target: answer}\nnetwork: {hidden: [4]}\ntrainer: {epochs: 2}\n")
    return Path("c.yaml")


def subject(config, *settings):
    text: Text = read(config)
    for setting in settings:
        text = merge(text, override(setting))
    return subject_of(plan_of(text))


def test_training_rows_have_the_weight_of_their_class_times_their_own(config):
    found = subject(config, "trainer.class_weight=balanced")
    y = found.parts["train"].y
    counts = np.bincount(y)
    assert found.recipe.outputs.names == ["often", "rare"]
    np.testing.assert_allclose(found.training_weight, len(y) / (2 * counts[y]))
    assert found.parts["train"].weight is None  # reports are without them
    by_name = subject(config, "trainer.class_weight={rare: 5}", "data.columns={w: weight}")
    np.testing.assert_array_equal(by_name.training_weight, np.where(y == 1, 5.0, 1.0) * by_name.parts["train"].weight)
    assert subject(config).training_weight is None


def test_rows_of_an_ignored_class_count_for_no_other(config):
    rows = [f"{i},{'abc'[i % 3] if i % 4 else 'a'}" for i in range(96)]
    Path("t.csv").write_text("\n".join(["x,answer", *rows]) + "\n")
    found = subject(config, "trainer.loss={name: cross_entropy, ignore_index: 1}", "trainer.class_weight=balanced")
    y = found.parts["train"].y
    kept, counts = y != 1, np.bincount(y)
    np.testing.assert_allclose(found.training_weight, np.where(kept, kept.sum() / (2 * counts[y]), 0.0))


def test_a_run_trains_with_them_and_reports_without(config, capsys):
    assert main(["train", "c.yaml", "--run-dir", "plain", "-q"]) == 0
    assert main(["train", "c.yaml", "--run-dir", "run", "-q", "--set", "trainer.class_weight=balanced"]) == 0
    found, plain = (fb.load(f"{name}/best.safetensors") for name in ("run", "plain"))
    assert found.flat.tobytes() != plain.flat.tobytes()
    whole = subject(config, "trainer.class_weight=balanced")
    net = whole.network()
    train, other = whole.parts["train"], whole.parts["validation"]
    fb.Trainer(net, loss="cross_entropy", batch_size=32, seed=0).fit(
        train.X, train.y, epochs=2, sample_weight="balanced", validation=(other.X, other.y)
    )
    assert fb.load("run/last.safetensors").flat.tobytes() == net.flat.tobytes()
    assert "class_weight: balanced" in Path("run/config.yaml").read_text()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("{seldom: 5}", "`trainer.class_weight` must be one of `often`, `rare`, got `seldom`"),
        ("{often: 0, rare: 0}", "`trainer.class_weight` must have a class above 0"),
    ],
)
def test_weights_of_no_class_are_refused_where_the_configuration_is_checked(config, setting, message, capsys):
    config.write_text(config.read_text().replace("epochs: 2", f"epochs: 2, class_weight: {setting}"))
    assert main(["check", "c.yaml"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"fastbp: c.yaml:3: {message}"


def test_numbers_have_no_weights_of_classes(config, capsys):
    config.write_text("data: {path: t.csv, target: x}\ntrainer: {class_weight: balanced}\n")
    assert main(["check", "c.yaml"]) == 2
    message = "c.yaml:2: `trainer.class_weight` must be left out where targets are numbers, got `balanced`"
    assert capsys.readouterr().err == f"fastbp: {message}\n"
