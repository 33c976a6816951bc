"""Estimators with a preset that is a pack: its members are drawn, and its ensemble predicts, as in a run of a file."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

import pandas as pd
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

import fastbp as fb
from fastbp.cli.main import main
from fastbp.config.presets import Known, Preset, presets
from fastbp.config.text import as_yaml
from fastbp.errors import ConfigError, DataError, DataWarning, DivergedError
from fastbp.sklearn import MLPClassifier, MLPRegressor
from fastbp.sklearn.drawn import Fit

TRAINER = {"epochs": 12, "batch_size": 16, "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}}
SPACE = {
    "trainer.optimizer.lr": {"log": [1e-3, 1e-1]},
    "network.hidden": {"width": 8, "depth": {"int": [1, 2]}},
    "network.dropout": [0, {"uniform": [0, 0.3]}],
}
ONLINE = {
    "data": {"scale": "none"},
    "network": {"hidden": [8], "activation": "tanh"},
    "trainer": {**TRAINER, "early_stopping": {"patience": 4}},
    "pack": {"members": 4, "online": {"size": 6, "patience": 5}, "space": SPACE},
}
FOLDS = {
    **{key: ONLINE[key] for key in ("data", "network")},
    "trainer": {**TRAINER, "metrics": ["accuracy"], "monitor": "val_accuracy"},
    "pack": {"members": 3, "folds": 3, "undrawn": 1, "space": {**SPACE, "trainer.ema": [None, 0.9]}},
}
NUMBERS = {**FOLDS, "trainer": {**TRAINER, "metrics": ["r2"]}}
KINDS = {"online": ONLINE, "folds": FOLDS}


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """Makes `odd` a preset with other keys; `online` and `folds` are ones already."""
    found = {**presets()}

    def make(name, keys):
        found[name] = Preset(name, "For a test.", lambda known: keys, pack=name != "odd")

    for name, keys in KINDS.items():
        make(name, keys)
    monkeypatch.setattr("fastbp.config.presets.presets", lambda: found)
    return make


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    return X, (np.abs(X[:, 0]) + X[:, 1] + 0.3 * rng.normal(size=300) > 0.5).astype(int)


def bits(networks):
    return [{name: array.tobytes() for name, array in net.parameters.items()} for net in networks]


def ran(folder, keys, seed, **data):
    """The ensemble of a run of a file with the same keys."""
    text = {**keys, "seed": seed, "data": {**keys["data"], "target": "y", "task": "classes", **data}}
    (folder / "c.yaml").write_text(as_yaml(text))
    assert main(["train", "c.yaml", "-q", "--run-dir", "run"]) == 0
    return fb.load("run")


def test_an_ensemble_of_epochs_is_that_of_a_file_with_the_same_rows(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = rows
    np.savez("train.npz", X=X[:200], y=y[:200])
    np.savez("validation.npz", X=X[200:], y=y[200:])
    expected = ran(tmp_path, ONLINE, 3, train="train.npz", validation="validation.npz")
    model = MLPClassifier(preset="online", random_state=3).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert model.ensemble_.chosen == tuple(tuple(one) for one in expected.chosen)
    assert model.ensemble_.scores == expected.scores
    assert bits(model.networks_) == bits(expected.members)
    assert model.ensemble_.together(X).tobytes() == expected.together(X).tobytes()
    assert model.predict(X).tolist() == np.argmax(expected.predict(X), axis=1).tolist()


@pytest.mark.parametrize("keys", [FOLDS, NUMBERS], ids=["measure", "loss"])
def test_what_is_chosen_on_folds_is_what_a_file_chooses_where_columns_need_no_preparation(
    keys, rows, tmp_path, monkeypatch, made
):
    monkeypatch.chdir(tmp_path)
    keys = {**keys, "trainer": {**keys["trainer"], "metrics": ["accuracy"]}}
    made("odd", keys)
    X, y = rows
    np.savez("rows.npz", X=X, y=y)
    expected = ran(tmp_path, keys, 5, path="rows.npz", split={"test": 0, "validation": 0})
    model = MLPClassifier(preset="odd", random_state=5).fit(X, y)
    assert len(model.networks_) % 3 == 0
    assert bits(model.networks_) == bits(expected.members)
    assert model.ensemble_.weights.tolist() == expected.weights.tolist()
    said = pd.read_csv("run/out_of_fold.csv")
    assert said["row"].tolist() == list(range(300))
    assert np.allclose(model.oof_predictions_[:, 1], said["predicted y = 1"], atol=1e-6)


def test_numbers_have_such_a_pack_too(made):
    made("odd", NUMBERS)
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=250), "b": rng.choice(["u", "v"], 250)})
    y = 100.0 * X["a"] + 50.0 * (X["b"] == "u")
    model = MLPRegressor(preset="odd", random_state=0, epochs=40).fit(X, y)
    assert model.score(X, y) > 0.9
    spread = np.corrcoef(model.oof_predictions_, y)[0, 1]
    assert spread > 0.9
    assert model.spread(X).shape == (250,)


@pytest.mark.parametrize("name", KINDS)
def test_parameters_stay_as_they_are_and_copies_predict_the_same(name, rows, tmp_path):
    X, y = rows
    model = MLPClassifier(preset=name, random_state=0)
    before = model.get_params()
    p = model.fit(X, y).predict_proba(X)
    assert model.get_params() == before == clone(model).get_params()
    assert clone(model).fit(X, y).predict_proba(X).tobytes() == p.tobytes()
    assert pickle.loads(pickle.dumps(model)).predict_proba(X).tobytes() == p.tobytes()
    assert model.fit(X, y).predict_proba(X).tobytes() == p.tobytes()
    model.save(tmp_path / "m.safetensors")
    assert np.allclose(fb.load(tmp_path / "m.safetensors").probabilities(model._read(X)), p, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_rows_of_no_weight_are_as_if_they_were_not_there(name, rows):
    X, y = rows
    there = np.arange(300) % 5 > 0
    expected = MLPClassifier(preset=name, random_state=0).fit(X[there], y[there])
    given = MLPClassifier(preset=name, random_state=0).fit(X, y, sample_weight=there.astype(float))
    assert bits(given.networks_) == bits(expected.networks_)
    if name == "folds":
        assert np.array_equal(given.oof_predictions_[there], expected.oof_predictions_)
        assert np.isfinite(given.oof_predictions_).all()
    heavy = MLPClassifier(preset=name, random_state=0).fit(X, y, sample_weight=1.0 + y)
    assert heavy.predict_proba(X)[:, 1].mean() > expected.predict_proba(X)[:, 1].mean()


def test_what_is_given_wins_over_what_is_drawn(rows, monkeypatch):
    seen = []
    monkeypatch.setattr(Fit, "run", lambda self, run=Fit.run: seen.append(self.pack) or run(self))
    MLPClassifier(preset="folds", random_state=0, epochs=1).fit(*rows)
    given = {"hidden": (5,), "learning_rate": 0.02, "n_ens": 2, "n_cv": 2, "epochs": 3}
    model = MLPClassifier(preset="folds", random_state=0, **given).fit(*rows)
    drawn, own = seen
    assert (len(drawn), len(own), model.n_iter_) == (9, 4, 3)
    rates = [{one.lr for one in pack.optimizers} for pack in seen]
    assert (len(rates[0]), rates[1]) == (3, {0.02})
    assert {tuple(layer.features for layer in net.layers if layer.kind == "linear") for net in own.members} == {(5, 2)}


def test_the_first_member_of_which_nothing_is_drawn_is_the_network_alone(rows, made):
    """With one member nothing is chosen; on each fold it is what the same parameters train without it."""
    X, y = rows
    made("odd", {**FOLDS, "pack": {**FOLDS["pack"], "members": 1}})
    made("alone", {key: FOLDS[key] for key in ("data", "network", "trainer")})
    several = MLPClassifier(preset="odd", random_state=0).fit(X, y)
    alone = MLPClassifier(preset="alone", random_state=0, n_cv=3, n_ens=1).fit(X, y)
    assert bits(several.networks_)[0] == bits(alone.networks_)[0]


def test_a_time_limit_leaves_folds_that_have_a_network(rows, made):
    X, y = rows
    made("odd", {**FOLDS, "trainer": {**FOLDS["trainer"], "epochs": 100_000}})
    model = MLPClassifier(preset="odd", random_state=0, time_limit=0.2).fit(X, y)
    there = np.isfinite(model.oof_predictions_).all(axis=1)
    assert len(model.networks_) == 1  # the first is trained by all threads, and took all the time
    assert there.sum() == 100
    assert np.isnan(model.oof_predictions_[~there]).all()
    assert model.score(X, y) > 0.7
    made("odd", {**FOLDS, "trainer": {**FOLDS["trainer"], "epochs": 300}})
    model = MLPClassifier(preset="odd", random_state=0, time_limit=60.0, calibrate="temperature").fit(X, y)
    assert np.isfinite(model.oof_predictions_).all()
    model = MLPClassifier(preset="odd", random_state=0, time_limit=1e-9, calibrate="temperature").fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.temperature_ > 0.0
    model = MLPClassifier(preset="online", random_state=0, time_limit=1e-9).fit(X, y)
    assert 1 <= len(model.networks_) <= 6


def test_a_member_that_diverges_is_left_out(rows, made):
    keys = {**FOLDS, "pack": {"members": 3, "folds": 2, "undrawn": 1, "space": {"trainer.optimizer.lr": [1e30]}}}
    keys["network"] = {"hidden": [8], "activation": "relu"}
    keys["trainer"] = {**keys["trainer"], "optimizer": {"name": "sgd", "lr": 0.1}}
    made("odd", keys)
    with pytest.warns(DataWarning, match=r"^network 3 of 6 \(and 3 more\) stopped: "):
        model = MLPClassifier(preset="odd", random_state=0).fit(*rows)
    assert len(model.networks_) == 2
    made("odd", {**keys, "pack": {**keys["pack"], "undrawn": 0}})
    with pytest.warns(DataWarning), pytest.raises(DivergedError, match=r"^no member stayed finite for an epoch; the"):
        MLPClassifier(preset="odd", random_state=0).fit(*rows)


def test_what_such_a_preset_cannot_have_is_refused(rows, made):
    made("odd", ONLINE)
    X, y = rows
    for name, given, message in (
        (
            "online",
            {"warm_start": True},
            "`warm_start` must be False with the preset `online`, of which an ensemble is",
        ),
        ("folds", {"warm_start": True}, "`warm_start` must be False where `n_cv` is given, got `True`"),
        ("online", {"n_cv": 2}, "`n_cv` must be None with the preset `online`, which chooses its ensemble by the same"),
        ("online", {"early_stopping": False}, '`early_stopping` must be "auto" or True with a preset whose ensemble'),
    ):
        with pytest.raises(ConfigError, match=f"^{message}"):
            MLPClassifier(preset=name, **given).fit(X, y)
    with pytest.raises(DataError, match=r"^`X_val` must be left out with the preset `folds`, which validates on"):
        MLPClassifier(preset="folds").fit(X, y, X_val=X, y_val=y)
    with pytest.raises(DataError, match=r"^partial_fit does not support the preset `odd`, of which an ensemble is"):
        MLPClassifier(preset="odd").partial_fit(X, y, classes=[0, 1])
    why = "`partial_fit` is not there with the preset `online`, of which an ensemble is kept"
    with pytest.raises(AttributeError) as error:
        getattr(MLPClassifier(preset="online"), "partial_fit")  # noqa: B009
    assert why in str(error.value.__cause__)


@pytest.mark.parametrize(("kind", "name"), [(MLPClassifier, "online"), (MLPRegressor, "folds")])
def test_the_checks_of_scikit_learn_pass(kind, name, made):
    keys = {**KINDS[name], "data": {}}
    steps = {"epochs": 40, "batch_size": 64, "metrics": None, "monitor": None}
    pack = {**keys["pack"], "members": 2, "undrawn": 0, "space": {"trainer.optimizer.lr": {"log": [0.03, 0.1]}}}
    made(name, {**keys, "trainer": {**keys["trainer"], **steps}, "pack": pack})
    why = {"check_class_weight_classifiers": "an ensemble is chosen by rows without weights of classes, as in files"}
    known = why if kind is MLPClassifier else {}
    check_estimator(kind(preset=name, random_state=0), expected_failed_checks=known, on_skip=None)


def test_presets_say_whether_they_are_such_packs():
    for name, preset in presets().items():
        pack = preset.keys(Known("classes", 1000, 2, 5)).get("pack", {})
        assert preset.pack == bool(pack.get("space") or pack.get("online")), name
