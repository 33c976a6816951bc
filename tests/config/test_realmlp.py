"""The presets of RealMLP: what they are for some tables, by files and by estimators."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.config.build import plan_of, trainer_of
from fastbp.config.presets import Known, presets
from fastbp.config.presets.laid import laid
from fastbp.config.text import Text
from fastbp.runs.subject import subject_of

ROWS = 300
RNG = np.random.default_rng(0)


def known(**words):
    return Known(**{"task": "classes", "rows": 5000, "outputs": 3, "numbers": 4, "categories": (2, 30), **words})


@pytest.fixture
def table(tmp_path):
    """Numbers, and categories of which one has many."""
    path = tmp_path / "t.csv"
    rows = [f"{RNG.normal()},{RNG.normal()},{'uv'[i % 2]},w{i % 9},{'ab'[i % 3 == 0]},{i * 0.5}" for i in range(ROWS)]
    path.write_text("p,q,f,g,label,number\n" + "\n".join(rows) + "\n")
    return path


def trained(preset, task, table, **words):
    """The trainer of a run, and what it trains on."""
    target, other = ("label", "number") if task == "classes" else ("number", "label")
    data = {"path": str(table), "target": target, "task": task, "columns": {other: "ignore"}}
    plan = plan_of(laid(Text({"preset": preset, "data": data, **words})))
    subject = subject_of(plan)
    return trainer_of(plan, subject.network(), subject.loss), subject


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_the_simple_version_is_three_layers_that_end_with_zeros(task, table):
    trainer, subject = trained("realmlp-td-s", task, table)
    net = trainer.net
    act = "selu" if task == "classes" else "mish"
    assert [node.layer.op for node in net.graph.nodes] == ["scale", *["linear", act] * 3, "linear"]
    assert net.graph.inputs == 2 + 1 + 9
    assert not net.parameters["7.weight"].any()
    assert not net.parameters["7.bias"].any()
    assert net.parameters["1.weight"].std() == pytest.approx(1.0, abs=0.05)
    assert net.parameters["3.bias"].std() == pytest.approx(1.0, abs=0.15)
    assert trainer.optimizer == fb.Adam(lr=0.04 if task == "classes" else 0.07, betas=(0.9, 0.95))
    assert trainer.batch_size == len(subject.parts["train"]) == 210
    ways = trainer._update.treatment
    assert {name: way.rate for name, way in ways.items() if way.rate != 1.0} == {
        "0.weight": 6.0,
        **{f"{i}.bias": 0.1 for i in (1, 3, 5, 7)},
    }
    assert trainer._update.drop_last


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_the_full_version_has_waves_tables_and_its_own_decay(task, table):
    trainer, subject = trained("realmlp-td", task, table)
    net = trainer.net
    block = ["linear", "parametric", "dropout"]
    assert [node.layer.kind for node in net.graph.nodes] == ["embedding", "pbld", "scale", *block * 3, "linear"]
    assert net.parameters["0.column3"].shape == (10, 8)
    assert len(net.parameters.waiting) == 8
    ways = trainer._update.treatment
    assert {way.rate for name, way in ways.items() if name.startswith("1.")} == {0.1}
    decays = {name: way.decay for name, way in ways.items()}
    assert {decays[name] for name in decays if name.startswith("1.")} == {0.1}
    assert (decays["0.column3"], decays["2.weight"], decays["3.weight"], decays["3.bias"], decays["4.weight"]) == (
        *(1.0, 6.0, 1.0, 0.0, 0.1),
    )
    assert set(trainer._rates.others) == {"dropout", "weight_decay"}
    assert len(subject.recipe.outputs.low) == (task == "numbers")
    assert trainer.optimizer.lr == (0.04 if task == "classes" else 0.2)


def test_a_table_without_numbers_has_no_waves():
    keys = presets()["realmlp-td"].keys(known(numbers=0))
    assert keys["network"]["embed_numbers"] is None
    assert "pbld" not in keys["trainer"]["lr_factors"]
    assert presets()["realmlp-td"].keys(known())["trainer"]["decay_factors"]["pbld"] == 0.1


def test_labels_have_no_smoothing():
    keys = presets()["realmlp-td-s"].keys(known(task="labels"))
    assert "loss" not in keys["trainer"]


@pytest.mark.parametrize("preset", ["realmlp-td", "realmlp-td-s"])
def test_estimators_train_the_same_layers(preset):
    sklearn = pytest.importorskip("fastbp.sklearn")
    X = RNG.normal(size=(200, 3))
    model = sklearn.MLPClassifier(preset=preset, epochs=3, random_state=0).fit(X, X[:, 0] > 0)
    kinds = [node.layer.kind for node in model.network_.graph.nodes]
    block = ["linear", "parametric", "dropout"] if preset == "realmlp-td" else ["linear", "selu"]
    assert kinds == [*(["pbld"] if preset == "realmlp-td" else []), "scale", *block * 3, "linear"]
    assert model._learns._update.drop_last
    assert set(model._learns._rates.others) == ({"dropout", "weight_decay"} if preset == "realmlp-td" else set())
    assert not model.network_.parameters.waiting
    numbers = sklearn.MLPRegressor(preset=preset, epochs=3, random_state=0).fit(X, X[:, 0])
    assert len(numbers.recipe_.outputs.low) == (preset == "realmlp-td")
