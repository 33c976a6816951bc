"""Spaces of sweeps: what is asked, in which order, and the configuration of the answers."""

import pytest

from fastbp.config.build import plan_of
from fastbp.config.search import search_of
from fastbp.config.search_space import Script
from fastbp.config.text import parse_yaml
from fastbp.errors import ConfigError

BASE = """
name: tiny
data: {source: blobs, rows: 60}
network: {hidden: [16]}
trainer: {epochs: 3, optimizer: {name: adamw, weight_decay: 0.1}}
sweep:
  sampler: %s
  space:
%s
"""
SPACE = """\
    trainer.optimizer: [{name: sgd, momentum: {uniform: [0, 0.9]}, lr: {log: [1e-3, 1]}}, adam]
    network.dropout: {uniform: [0, 0.5], when: {network.norm: layer_norm}}
    network.norm: [null, layer_norm]
    network.hidden: {width: [16, 32], depth: {int: [1, 2]}}
    trainer.batch_size: [16, {int: [20, 30]}]
"""


def search(space=SPACE, sampler="tpe", probe=True):
    return search_of(plan_of(parse_yaml(BASE % (sampler, space), "s.yaml")), probe)


def test_each_answer_makes_its_part_of_the_configuration():
    space = search().space
    script = Script([0, 1, 1, 1, 1, 1, 1, 1])
    drawn = space.drawn(script)
    names = [name for name, _, _ in script.trace]
    assert list(drawn) == [
        "trainer.optimizer",
        "network.dropout",
        "network.norm",
        "network.hidden",
        "trainer.batch_size",
    ]
    assert names == [
        "trainer.optimizer",
        "trainer.optimizer[0].momentum",
        "trainer.optimizer[0].lr",
        "network.norm",
        "network.dropout",
        "network.hidden.width",
        "network.hidden.depth",
        "trainer.batch_size",
        "trainer.batch_size[1]",
    ]
    assert drawn == {
        "trainer.optimizer": {"name": "sgd", "momentum": 0.9, "lr": 1.0},
        "network.norm": "layer_norm",
        "network.dropout": 0.5,
        "network.hidden": [32, 32],
        "trainer.batch_size": 20,
    }
    assert space.configuration(drawn).data == {
        "name": "tiny",
        "data": {"source": "blobs", "rows": 60},
        "network": {"hidden": [32, 32], "norm": "layer_norm", "dropout": 0.5},
        "trainer": {
            "epochs": 3,
            "optimizer": {"name": "sgd", "momentum": 0.9, "lr": 1.0},
            "batch_size": 20,
        },
    }


def test_what_is_not_chosen_asks_nothing():
    script = Script([1, 0])
    drawn = search().space.drawn(script)
    assert "network.dropout" not in drawn
    assert not any("momentum" in name or "lr" in name for name, _, _ in script.trace)


def test_a_setting_of_what_is_chosen_by_name_stays_when_the_name_does():
    space = search("    trainer.optimizer.lr: {log: [1e-4, 1e-2]}\n").space
    made = space.configuration({"trainer.optimizer.lr": 1e-3}).data
    assert made["trainer"]["optimizer"] == {"name": "adamw", "weight_decay": 0.1, "lr": 1e-3}


@pytest.mark.parametrize(
    ("names", "when", "there"),
    [
        (["sgd", "adam"], "sgd", [True, False]),
        (["{name: sgd, nesterov: true, momentum: 0.9}", "adam"], "sgd", [True, False]),
        (["sgd", "adam", "lion"], "[adam, lion]", [False, True, True]),
    ],
)
def test_a_condition_is_on_values_and_on_names_of_maps(names, when, there):
    space = search(
        f"    trainer.batch_size: {{int: [8, 9], when: {{trainer.optimizer: {when}}}}}\n"
        f"    trainer.optimizer: [{', '.join(names)}]\n"
    ).space
    assert ["trainer.batch_size" in space.drawn(Script([i])) for i in range(len(names))] == there


@pytest.mark.parametrize(
    ("of", "when", "got"),
    [
        ("network.norm: [null, layer_norm]", "network.norm: batch_norm", "`batch_norm`"),
        ("network.norm: [null, layer_norm]", "network.norm: [null, batch_norm]", "`batch_norm`"),
        ("network.norm: [null, layer_norm]", "network.norm: None", "`None`"),
        ("trainer.batch_size: {int: [8, 16]}", "trainer.batch_size: [8, 17]", "`17`"),
        ("trainer.batch_size: [8, {int: [10, 16]}]", "trainer.batch_size: 9", "`9`"),
        ("trainer.optimizer: [{name: sgd, momentum: {uniform: [0, 0.9]}}, adam]", "trainer.optimizer: sdg", "`sdg`"),
    ],
)
def test_a_condition_that_is_never_true_is_refused(of, when, got):
    with pytest.raises(ConfigError) as info:
        search(f"    {of}\n    network.dropout: {{uniform: [0, 0.5], when: {{{when}}}}}\n")
    name = when.split(":")[0]
    message = f"`sweep.space.network.dropout.when.{name}` must be a value that `{name}` may have, got {got}"
    assert str(info.value) == f"s.yaml:10: {message}"


@pytest.mark.parametrize(
    ("among", "ours"),
    [
        ("{min: 1.0e-4, max: 0.1}", "`log`, `uniform`, `int` or `log_int`, as in `{log: [low, high]}`"),
        ("{values: [0.1, 0.2]}", "`choice`"),
        ("{loguniform: [1.0e-4, 0.1]}", "`log`"),
    ],
)
def test_words_of_other_searches_are_refused_with_ours(among, ours):
    with pytest.raises(ConfigError) as info:
        search(f"    trainer.optimizer.lr: {among}\n")
    assert str(info.value).endswith(f"\nhint: here this is {ours}")


def test_a_grid_has_every_combination_once():
    points = search(
        "    network.norm: [null, layer_norm]\n"
        "    network.dropout: {choice: [0.1, 0.2], when: {network.norm: layer_norm}}\n"
        "    trainer.batch_size: {int: [8, 10]}\n",
        "grid",
    )
    found = [(p["network.norm"], p.get("network.dropout"), p["trainer.batch_size"]) for p in points.points]
    assert found == [
        *((None, None, size) for size in (8, 9, 10)),
        *(("layer_norm", drop, size) for drop in (0.1, 0.2) for size in (8, 9, 10)),
    ]
    assert points.trials == 9


def test_a_grid_of_numbers_is_refused():
    with pytest.raises(ConfigError) as info:
        search("    trainer.optimizer.lr: {log: [1e-4, 1e-2]}\n", "grid")
    assert str(info.value) == (
        "s.yaml:9: `sweep.space.trainer.optimizer.lr` must have lists and whole numbers only with the sampler `grid`,"
        " got `log`"
    )


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            "    trainer.optimizer.lr: {uniform: [-1, 1]}\n",
            "s.yaml:9: `trainer.optimizer.lr` must be above 0, got `-1.0`",
        ),
        (
            "    network.norm: [null, layer_norm]\n    network.activation: [relu, rleu]\n",
            "s.yaml:10: `network.activation` must be one of ",
        ),
        (
            "    trainer.optimizer: [adam, {name: sgd, momentum: {choice: [0.5, 2.0]}}]\n",
            "s.yaml:9: `trainer.optimizer.momentum` must be at least 0 and below 1, got `2.0`",
        ),
        (
            "    network.hidden: {width: [8], depth: {int: [-1, 2]}}\n",
            "s.yaml:9: `network.hidden` must have a whole `depth` from 0 to 100, got `-1`",
        ),
    ],
)
def test_every_choice_and_every_bound_is_checked_beforehand(space, message):
    with pytest.raises(ConfigError) as info:
        search(space)
    assert str(info.value).startswith(message)


@pytest.mark.parametrize(
    ("space", "packable"),
    [
        (SPACE, True),
        ("    data.scale: [standard, none]\n", False),
        ("    seed: [1, 2]\n", False),
        ("    trainer.loss: [mse, mae]\n", False),
        ("    trainer.optimizer: [adam, lbfgs]\n", False),
    ],
)
def test_runs_are_packed_where_they_differ_in_network_and_trainer_alone(space, packable):
    assert search(space, probe=False).packable is packable


def test_labels_are_values_where_these_are_plain_and_different():
    parts = search(
        "    network.hidden: [[16], [32, 32]]\n"
        "    network.dropout: [0, {uniform: [0, 0.5]}]\n"
        "    trainer.batch_size: [16, 32]\n"
        "    trainer.ema: [null, 0.9]\n"
    ).space.keys
    assert {key.name: key.part.labels for key in parts} == {
        "network.hidden": ("16", "32-32"),
        "network.dropout": ("0", "uniform between 0 and 0.5"),
        "trainer.batch_size": (16, 32),
        "trainer.ema": (None, 0.9),
    }
