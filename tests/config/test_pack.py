"""Members of a pack: each a configuration of its own, drawn as the space says."""

import pytest

from fastbp.config.build import plan_of
from fastbp.config.merging import merge, overrides
from fastbp.config.pack import configuration, members_of
from fastbp.config.space import said
from fastbp.config.text import parse
from fastbp.numerics.draws import below, between, log_between, word

BASE = """
seed: 5
data: {source: moons, rows: 100}
network: {hidden: [8, 8], dropout: 0.1}
trainer: {epochs: 3, optimizer: {name: adamw, weight_decay: 0.1}}
"""


def plans(pack, base=BASE):
    plan = plan_of(parse(f"{base}pack: {pack}"))
    return plan, members_of(plan)


def test_values_are_those_of_their_words():
    space = """{members: 30, space: {
      trainer.optimizer.lr: {log: [1e-4, 1e-2]}, network.dropout: {uniform: [0, 0.5]}, trainer.batch_size: [8, 16, 32],
      trainer.epochs: {int: [2, 9]}, trainer.clip_norm: {choice: [null, 1.0]}}}"""
    _, found = plans(space)
    for one in found:
        bits = {name: word(5, one.number, name) for name in one.drawn}
        assert one.drawn == {
            "trainer.optimizer.lr": log_between(bits["trainer.optimizer.lr"], 1e-4, 1e-2),
            "network.dropout": between(bits["network.dropout"], 0.0, 0.5),
            "trainer.batch_size": [8, 16, 32][below(bits["trainer.batch_size"], 3)],
            "trainer.epochs": 2 + below(bits["trainer.epochs"], 8),
            "trainer.clip_norm": [None, 1.0][below(bits["trainer.clip_norm"], 2)],
        }
        config, optimizer = one.plan.config, one.plan.optimizer
        assert (optimizer.kind, optimizer.lr, optimizer.weight_decay) == (
            "adamw",
            one.drawn["trainer.optimizer.lr"],
            0.1,
        )
        assert config.network.dropout == one.drawn["network.dropout"]
        assert config.trainer.batch_size == one.drawn["trainer.batch_size"]
        assert config.trainer.epochs == one.drawn["trainer.epochs"]
        assert config.trainer.clip_norm == one.drawn["trainer.clip_norm"]
    assert {one.drawn["trainer.epochs"] for one in found} == set(range(2, 10))


def test_values_of_a_list_may_be_drawn_themselves():
    name = "network.dropout"
    for among in ("[0.0, 0.25, {uniform: [0.5, 0.75]}]", "{choice: [0.0, 0.25, {uniform: [0.5, 0.75]}]}"):
        _, found = plans(f"{{members: 60, space: {{{name}: {among}}}}}")
        values = [one.plan.config.network.dropout for one in found]
        assert {value for value in values if value < 0.5} == {0.0, 0.25}
        drawn = [between(word(5, one.number, f"{name}[2]"), 0.5, 0.75) for one in found]
        chosen = [[0.0, 0.25, value][below(word(5, i, name), 3)] for i, value in enumerate(drawn)]
        assert values == chosen
        assert len(set(values)) > 15


def test_whole_numbers_may_be_drawn_by_their_logarithm():
    _, found = plans("{members: 300, space: {trainer.batch_size: {log_int: [1, 64]}}}")
    drawn = [one.plan.config.trainer.batch_size for one in found]
    assert {type(one) for one in drawn} == {int}
    assert min(drawn) == 1
    assert max(drawn) > 48
    for low, high in ((1, 7), (8, 64)):  # half of them each: log(7.5 / 0.5) is 0.56 of log(64.5 / 0.5)
        assert 0.35 < sum(low <= one <= high for one in drawn) / 300 < 0.65


def test_hidden_layers_are_as_many_of_a_width_as_are_drawn():
    _, found = plans("{members: 40, space: {network.hidden: {width: [4, 32], depth: {int: [0, 2]}}}}", NO_DROPOUT)
    shapes = {tuple(one.plan.config.network.hidden) for one in found}
    assert shapes == {(), (4,), (32,), (4, 4), (32, 32)}
    _, found = plans("{members: 2, space: {network.hidden: {width: 7, depth: 2}}}")
    assert [one.plan.config.network.hidden for one in found] == [[7, 7]] * 2


NO_DROPOUT = "data: {source: moons}\n"


def test_a_place_in_a_list_and_settings_of_a_name_are_drawn():
    base = "data: {source: moons}\nnetwork: {layers: [{name: linear, features: 3}, elu, {name: linear, features: 2}]}\n"
    space = "{members: 12, space: {'network.layers[0].features': [5, 6], 'network.layers[1].alpha': {uniform: [1, 2]}}}"
    _, found = plans(space, base)
    assert {one.plan.layers[0].features for one in found} == {5, 6}
    assert all(1.0 <= one.plan.layers[1].alpha <= 2.0 for one in found)
    _, found = plans("{space: {trainer.optimizer.lr: [0.5], trainer.optimizer: [{name: sgd, momentum: 0.9}]}}")
    optimizer = found[0].plan.optimizer
    assert (optimizer.kind, optimizer.lr, optimizer.momentum) == ("sgd", 0.5, 0.9)
    assert found[0].drawn == {"trainer.optimizer.lr": 0.5, "trainer.optimizer": {"name": "sgd", "momentum": 0.9}}


def test_a_member_is_what_it_is_whatever_others_there_are():
    lr, width = "trainer.optimizer.lr: {log: [1e-4, 1e-2]}", "network.hidden: {width: [4, 32], depth: [1, 2]}"
    few, many = (
        plans(f"{{members: {count}, space: {{{space}}}}}")[1] for count, space in ((3, lr), (9, f"{width}, {lr}"))
    )
    for one, other in zip(few, many, strict=False):
        assert one.drawn["trainer.optimizer.lr"] == other.drawn["trainer.optimizer.lr"]
    assert list(many[0].drawn) == ["network.hidden", "trainer.optimizer.lr"]  # as they are written


def test_seeds_count_on_and_rows_stay():
    plan, found = plans("{members: 3}")
    assert [one.plan.config.seed for one in found] == [5, 6, 7]
    assert {one.plan.config.data.seed for one in found} == {one.plan.config.data.split.seed for one in found} == {5}
    assert plan.config.data.seed is None
    _, found = plans("{members: 3}", f"seed: {2**64 - 2}\ndata: {{source: moons, seed: 3, split: {{seed: 4}}}}\n")
    assert [one.plan.config.seed for one in found] == [2**64 - 2, 2**64 - 1, 0]
    assert {(one.plan.config.data.seed, one.plan.config.data.split.seed) for one in found} == {(3, 4)}


def test_the_parts_that_digits_come_with_stay():
    _, found = plans("{members: 2}", "data: {source: digits}\n")
    assert found[1].plan.config.data.split.seed is None


def test_the_configuration_of_a_member_has_no_pack():
    plan, found = plans("{members: 3, folds: 4, space: {trainer.epochs: [7]}}")
    data = configuration(plan, 2, 3)
    assert data["data"]["split"] == {"seed": 5, "folds": 4, "fold": 3}
    assert (data["seed"], data["trainer"]["epochs"]) == (7, 7)
    assert "pack" not in data
    assert configuration(plan, 2) == found[2].plan.text.data
    assert plan.text.data["trainer"]["epochs"] == 3  # what is drawn is written into copies


@pytest.mark.parametrize(
    "more",
    [
        ["pack.members=4", "pack.space.trainer.epochs=[8]"],
        ["pack={members: 4, space: {trainer.epochs: [8]}}"],
        ["pack.space={trainer: {epochs: [8]}}", "pack.members=4"],
    ],
)
def test_set_knows_the_space(more):
    plan = plan_of(
        merge(parse(f"{BASE}pack: {{members: 2, space: {{trainer.epochs: {{int: [1, 2]}}}}}}"), overrides(more))
    )
    assert plan.config.pack.space == {"trainer.epochs": [8]}
    assert [one.plan.config.trainer.epochs for one in members_of(plan)] == [8] * 4


def test_maps_of_toml_are_keys_with_dots():
    text = parse(
        '[data]\nsource = "moons"\n[pack]\nmembers = 2\n[pack.space]\ntrainer.optimizer.lr = {log = [0.1, 0.2]}\n'
        '"network.dropout" = [0.1]\n[pack.space.network.hidden]\nwidth = 3\ndepth = 1\n',
        suffix=".toml",
    )
    plan = plan_of(text)
    assert plan.config.pack.space == {
        "trainer.optimizer.lr": {"log": [0.1, 0.2]},
        "network.dropout": [0.1],
        "network.hidden": {"width": 3, "depth": 1},
    }


@pytest.mark.parametrize(
    ("among", "words"),
    [
        ([1, 2.5, None], "one of 1, 2.5, null"),
        ({"choice": ["relu", {"name": "elu", "alpha": 2.0}]}, "one of relu, elu alpha 2"),
        ({"log": [1e-4, 0.01]}, "log-uniform between 0.0001 and 0.01"),
        ({"uniform": [0, 0.5]}, "uniform between 0 and 0.5"),
        ({"int": [1, 3]}, "a whole number from 1 to 3"),
        ({"log_int": [16, 512]}, "a whole number from 16 to 512, log-uniform"),
        ({"width": [8, 16], "depth": {"int": [1, 2]}}, "width one of 8, 16; depth a whole number from 1 to 2"),
    ],
)
def test_what_is_drawn_from_is_said(among, words):
    assert said(among) == words
