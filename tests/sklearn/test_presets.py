"""Estimators with a preset: what it sets, what wins over it, and that training is what the configuration's is."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

import pandas as pd
from sklearn.base import clone

import fastbp as fb
from fastbp.config.presets import Preset, presets
from fastbp.errors import ConfigError
from fastbp.runs.subject import subject_of
from fastbp.sklearn import MLPClassifier, MLPRegressor

KEYS = {
    "data": {"scale": "robust", "indicator": True},
    "network": {"hidden": [12, 6], "activation": "mish", "dropout": 0.2, "init": "he_normal"},
    "trainer": {
        "epochs": 4,
        "batch_size": 16,
        "optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 0.3},
        "schedule": "cosine",
        "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
        "ema": 0.9,
        "clip_norm": 1.0,
        "monitor": "val_balanced_accuracy",
        "lr_factors": {"0.bias": 0.1},
    },
}


@pytest.fixture
def made(monkeypatch):
    """Makes `odd` a preset with these keys."""

    def make(keys):
        found = {**presets(), "odd": Preset("odd", "For a test.", lambda known: keys)}
        monkeypatch.setattr("fastbp.config.presets.presets", lambda: found)

    return make


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    return X, (np.abs(X[:, 0]) + X[:, 1] > 0.5).astype(int)


def test_parameters_at_their_defaults_come_from_the_preset_and_stay_as_they_are(made, rows):
    made(KEYS)
    model = MLPClassifier(preset="odd", random_state=0)
    before = model.get_params()
    model.fit(*rows)
    assert model.get_params() == before == clone(model).get_params()
    trainer = model._learns
    assert [layer.kind for layer in model.network_.layers] == [
        *("linear", "mish", "dropout", "linear", "mish", "dropout", "linear"),
    ]
    assert (trainer.optimizer.lr, trainer.optimizer.weight_decay, trainer.batch_size) == (0.02, 0.3, 16)
    assert trainer.loss.label_smoothing == 0.1
    assert model.recipe_.inputs.parts[0].scale == "robust"
    assert len(model.loss_curve_) == 4
    assert trainer.averaged is not trainer.net
    assert pickle.loads(pickle.dumps(model)).predict(rows[0]).tolist() == model.predict(rows[0]).tolist()


def test_missing_numbers_get_a_column_where_the_preset_says_so(made, rows):
    made(KEYS)
    X, y = rows
    X = np.where(np.arange(len(X))[:, None] % 7 == np.arange(4), np.nan, X)
    for given in (X, pd.DataFrame(X, columns=list("abcd"))):
        assert MLPClassifier(preset="odd", random_state=0).fit(given, y).network_.inputs == 8


def test_what_is_given_wins(made, rows):
    made(KEYS)
    model = MLPClassifier(preset="odd", random_state=0, hidden=(5,), learning_rate=0.5, epochs=2, scale="standard")
    model.fit(*rows)
    assert len(model.loss_curve_) == 4 - 2
    assert (model._learns.optimizer.lr, model._learns.optimizer.weight_decay) == (0.5, 0.3)
    assert model.network_.layers[0].features == 5
    assert model.set_params(preset=None).fit(*rows)._learns.optimizer.weight_decay != 0.3


def test_factors_of_a_preset_are_those_of_layers_that_are_there(rows):
    for given in ({"activation": "gelu"}, {"embed_numbers": "piecewise_linear"}, {"hidden": [fb.Linear(4), fb.ReLU()]}):
        for several in ({}, {"n_ens": 2}):
            model = MLPClassifier(preset="realmlp-td", random_state=0, epochs=1, **given, **several).fit(*rows)
            kinds = {layer.kind for layer in model.networks_[0].layers}
            assert ("parametric" in kinds, "pbld" in kinds) == ("embed_numbers" in given, "activation" in given)


def test_schedules_of_a_preset_are_those_of_what_there_is(rows):
    def scheduled(**given):
        return set(
            MLPClassifier(preset="realmlp-td", random_state=0, epochs=1, **given).fit(*rows)._learns._rates.others
        )

    assert scheduled() == {"dropout", "weight_decay"}
    assert scheduled(dropout=0.0, hidden=[fb.Linear(4), fb.ReLU()]) == {"weight_decay"}
    assert scheduled(optimizer=fb.SGD(0.1)) == {"dropout"}
    several = MLPClassifier(preset="realmlp-td", random_state=0, epochs=1, n_ens=2, optimizer="sgd").fit(*rows)
    assert all(set(member.trainer._rates.others) == {"dropout"} for member in several._learns._members)


def test_layers_that_are_given_replace_the_network_of_the_preset(rows):
    layers = [fb.Linear(4), fb.ReLU()]
    kinds = ["linear", "relu", "linear"]
    for preset in ("plain", "realmlp-td", "tabm-mini"):
        model = MLPClassifier(preset=preset, random_state=0, epochs=1, hidden=layers).fit(*rows)
        assert [layer.kind for layer in model.network_.layers] == kinds
        assert not model.network_.layers[-1].ntk
    with pytest.raises(ConfigError, match=r"^`dropout` must not be given where `hidden` lists layers, got `0.5`$"):
        MLPClassifier(preset="plain", hidden=layers, dropout=0.5).fit(*rows)


def test_members_of_a_preset_have_no_residuals(rows):
    for given, got in (({"residual": True}, "residual"), ({"norm": "batch_norm"}, "norm")):
        with pytest.raises(ConfigError, match=rf"^`{got}` must not be given with `tabm`, got"):
            MLPClassifier(preset="tabm", random_state=0, epochs=1, hidden=(8,), **given).fit(*rows)


def test_other_widths_keep_what_the_preset_says_of_linear_layers(made, rows):
    made({**KEYS, "network": {**KEYS["network"], "ntk": True, "bias_init": "normal"}})
    net = MLPClassifier(preset="odd", random_state=0, hidden=(5, 7), epochs=1).fit(*rows).network_
    for layer in net.layers:
        if layer.kind == "linear":
            assert (layer.ntk, layer.init.name, layer.bias_init.name) == (True, "he_normal", "normal")


def test_layers_of_a_preset_are_all_layers(made, rows):
    layers = [{"name": "linear", "features": 3}, "tanh", {"name": "linear", "features": 2, "bias": False}]
    made({"network": {"layers": layers}, "trainer": {"epochs": 2}})
    model = MLPClassifier(preset="odd", random_state=0).fit(*rows)
    assert [layer.kind for layer in model.network_.layers] == ["linear", "tanh", "linear"]
    assert MLPClassifier(preset="odd", hidden=(9,), epochs=1).fit(*rows).network_.layers[0].features == 9
    with pytest.raises(ConfigError, match="`dropout` must be left out with the preset `odd`, which lists its layers"):
        MLPClassifier(preset="odd", dropout=0.5).fit(*rows)


def test_a_preset_trains_what_its_configuration_trains(made, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = rows
    keys = {**KEYS, "trainer": {k: v for k, v in KEYS["trainer"].items() if k != "monitor"}}
    made(keys)
    model = MLPClassifier(preset="odd", random_state=3, early_stopping=False).fit(X, y)
    from fastbp.config.build import plan_of, trainer_of
    from fastbp.config.text import Text

    np.savez("rows.npz", X=X, y=y)
    data = {"path": "rows.npz", "target": "y", "task": "classes", "split": {"validation": 0, "test": 0}}
    plan = plan_of(Text({**keys, "seed": 3, "data": {**keys["data"], **data}}))
    subject = subject_of(plan)
    net = subject.network()
    trainer = trainer_of(plan, net, subject.loss)
    trainer.fit(subject.parts["train"].X, subject.parts["train"].y, epochs=4)
    assert trainer.evaluated is not net
    (one, two) = MLPClassifier(preset="odd", random_state=3, early_stopping=False, n_ens=2).fit(X, y).networks_
    assert two.seed == 4
    for name, value in trainer.evaluated.parameters.items():
        assert np.array_equal(value, model.network_.parameters[name]), name
        assert np.array_equal(value, one.parameters[name]), name


def test_training_goes_on_behind_a_running_average(made, rows):
    made(KEYS)
    X, y = rows
    model = MLPClassifier(preset="odd", random_state=0, early_stopping=False, epochs=2, warm_start=True).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    for one in (model, again):
        before = one.network_.flat.copy()
        one.fit(X, y)
        assert one.network_.flat.tobytes() == one._learns.evaluated.flat.tobytes() != before.tobytes()
    assert again.network_.flat.tobytes() == model.network_.flat.tobytes()


def test_rows_that_are_held_out_choose_the_best_epoch_and_do_not_end_training(made, rows):
    made({"trainer": {"epochs": 30, "optimizer": {"name": "adam", "lr": 0.1}, "monitor": "val_accuracy"}})
    model = MLPClassifier(preset="odd", random_state=0).fit(*rows)
    assert len(model.validation_scores_) == 30
    assert np.argmax(model.validation_scores_) < 29
    held_out = fb.sklearn.MLPClassifier(preset="odd", random_state=0, early_stopping=False).fit(*rows)
    assert held_out.validation_scores_ is None
    made({"trainer": {"epochs": 30, "early_stopping": {"patience": 2}, "optimizer": {"name": "adam", "lr": 0.1}}})
    assert len(MLPClassifier(preset="odd", random_state=0).fit(*rows).validation_scores_) < 30


def test_packs_of_presets_are_several_networks_and_bootstrap_is_refused(made, rows):
    made({"trainer": {"epochs": 2}, "pack": {"members": 3}})
    assert len(MLPClassifier(preset="odd", random_state=0).fit(*rows).networks_) == 3
    made({"trainer": {"epochs": 2}, "pack": {"members": 3, "bootstrap": True}})
    with pytest.raises(ConfigError, match=r"`preset` must be one without `pack.bootstrap`, got `odd`"):
        MLPClassifier(preset="odd").fit(*rows)


def test_a_preset_knows_the_rows_that_an_estimator_is_given():
    told = []
    frame = pd.DataFrame({"a": np.arange(40.0) % 7, "c": ["x", "y"] * 20})
    found = {"odd": Preset("odd", "For a test.", lambda known: told.append(known) or {"trainer": {"epochs": 1}})}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fastbp.config.presets.presets", lambda: found)
        MLPRegressor(preset="odd").fit(frame, np.stack([np.arange(40.0), np.ones(40)], axis=1))
    (known,) = told
    assert (known.task, known.rows, known.outputs, known.numbers, known.categories) == ("numbers", 40, 2, 1, (2,))
    assert known.bent is not None


def test_training_goes_on_by_the_first_rows(rows):
    X, y = rows
    model = MLPClassifier(preset="plain", random_state=0, warm_start=True, epochs=2, early_stopping=False).fit(X, y)
    batch = model._learns.batch_size
    model.fit(X[:50], y[:50])
    assert (model.t_, model._learns.batch_size) == (2 * 350, batch)
    assert model.network_.layers[0].features == 32


def test_an_unknown_preset_is_refused_with_the_nearest_name(rows):
    listed = ", ".join(f"`{name}`" for name in presets())
    with pytest.raises(ConfigError) as error:
        MLPClassifier(preset="plan").fit(*rows)
    assert str(error.value).startswith(f"`preset` must be one of {listed}, got `plan`")
    assert "did you mean `plain`?" in str(error.value)
