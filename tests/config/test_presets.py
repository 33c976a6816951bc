"""Presets: keys by a name, beneath those of a configuration, for its own rows."""

import csv
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.check import checked
from fastbp.config.pack import configuration
from fastbp.config.presets import MAY, Known, Preset, presets, standard
from fastbp.config.presets.known import known_of
from fastbp.config.presets.laid import laid
from fastbp.config.schema import SECTIONS
from fastbp.config.text import Text, parse, read
from fastbp.errors import ConfigError
from fastbp.runs.subject import resolved_config

ROWS = 400
PREPARES = {"scale", "missing", "indicator", "encode", "min_frequency", "embed_std"}
PREPARES |= {"embed_size", "most_one_hot", "scale_categories", "clamp_target"}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of numbers, categories, a date and words, and the folder with it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, ROWS))
    with open("table.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["a", "b", "colour", "day", "y"])  # b has a heavy tail, and holes
        for i in range(ROWS):
            day = f"2024-{1 + i % 12:02}-{1 + i % 27:02}"
            lines.writerow(
                [a[i], "" if i % 50 == 0 else np.exp(3.0 * b[i]), "rgb"[i % 3], day, "yes" if abs(a[i]) > 0.7 else "no"]
            )
    return tmp_path


@pytest.fixture
def a_preset(monkeypatch):
    """A preset that is there for a test, and what it was told."""
    told = []

    def of(known):
        told.append(known)
        return {
            "data": {"scale": "robust"},
            "network": {"hidden": [known.numbers, known.rows], "activation": "gelu", "dropout": 0.1},
            "trainer": {"epochs": 3, "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.5}},
        }

    found = {**presets(), "odd": Preset("odd", "For a test.", of)}
    for place in ("fastbp.config.presets.presets", "fastbp.config.presets.laid.presets", "fastbp.runs.starter.presets"):
        monkeypatch.setattr(place, lambda: found)
    return told


BASE = "data: {path: table.csv, target: y}\n"


def test_keys_of_the_configuration_are_laid_over_those_of_its_preset(table, a_preset):
    plan = plan_of(parse("preset: odd\n" + BASE + "network: {activation: relu}\ntrainer: {optimizer: {lr: 0.2}}\n"))
    config = plan.config
    assert (config.network.hidden, config.network.activation, config.network.dropout) == ([2, 280], "relu", 0.1)
    assert (config.trainer.epochs, plan.optimizer.lr, plan.optimizer.weight_decay) == (3, 0.2, 0.5)
    assert (config.data.scale, config.preset) == ("robust", None)
    (known,) = a_preset
    assert (known.task, known.rows, known.outputs, known.numbers) == ("classes", 280, 2, 2)
    assert (known.categories, known.others) == ((3,), 0)
    assert known.dates == 10
    assert known.inputs == 2 + 10 + 3
    assert known.bent > 0.1  # by a


def test_another_optimizer_takes_nothing_of_that_of_the_preset(table, a_preset):
    plan = plan_of(parse("preset: odd\n" + BASE + "trainer: {optimizer: sgd}\n"))
    assert (plan.optimizer.kind, plan.optimizer.weight_decay) == ("sgd", 0.0)


def test_layers_of_the_configuration_replace_the_network_of_the_preset(table, a_preset):
    plan = plan_of(parse("preset: odd\n" + BASE + "network: {layers: [{name: linear, features: 2}]}\n"))
    assert (len(plan.layers), plan.config.network.hidden, plan.config.trainer.epochs) == (1, None, 3)


@pytest.mark.parametrize(
    ("own", "gone"),
    [
        ("network: {hidden: [16]}", {"network.hidden"}),
        ("trainer: {optimizer: {lr: 0.5}}", {"trainer.optimizer.lr"}),
        ("trainer: {optimizer: sgd}", {"trainer.optimizer.lr", "trainer.optimizer.weight_decay"}),
        ("trainer: {optimizer: adamw}", set()),
        ("network: {embed_numbers: null}", {"network.embed_numbers.frequencies", "network.embed_numbers.sigma"}),
        ("network: {embed_numbers: pbld}", {"network.embed_numbers.frequencies", "network.embed_numbers.sigma"}),
        ("network: {embed_numbers: {sigma: 1}}", {"network.embed_numbers.sigma"}),
        ("network: {layers: [{name: linear, features: 2}]}", {"network"}),
        ("pack: {space: {network.hidden: [[8], [9]]}}", set()),
    ],
)
def test_of_what_a_configuration_says_its_preset_draws_nothing(table, own, gone):
    drawn = presets()["tabpack"].keys(Known("classes", 280, 2, 2))["pack"]["space"]
    found = plan_of(parse(f"preset: tabpack\n{BASE}{own}\n")).config
    assert set(drawn) - set(found.pack.space) == {key for key in drawn if any(key.startswith(one) for one in gone)}
    assert len(set(drawn) - set(found.pack.space)) >= len(gone)
    assert found.pack.members == 64


@pytest.mark.parametrize(
    ("own", "gone"),
    [
        ("", set()),
        ("activation: gelu", {"parametric"}),
        ("activation: {activation: relu}", set()),
        ("embed_numbers: null", {"pbld"}),
        ("embed_numbers: {frequencies: 4}", set()),
        ("front_scale: false", {"scale"}),
        ("layers: [{name: linear, features: 3}, relu, {name: linear, features: 2}]", {"parametric", "pbld", "scale"}),
    ],
)
def test_factors_of_a_preset_are_those_of_layers_that_are_there(table, own, gone, capsys):
    text = f"preset: realmlp-td\n{BASE}network: {{{own}}}\n"
    config = plan_of(parse(text)).config
    assert set(config.trainer.lr_factors) == {"linear.bias", "scale", "parametric", "pbld"} - gone
    assert set(config.trainer.decay_factors) == {"scale", "parametric", "pbld"} - gone
    (table / "c.yaml").write_text(text)
    assert main(["check", "c.yaml"]) == 0
    capsys.readouterr()
    assert main(["check", "c.yaml", "--set", "trainer.lr_factors={parametrc: 2}"]) == 2
    assert "`trainer.lr_factors` must name layers or parameters" in capsys.readouterr().err


def test_keys_of_a_preset_that_a_configuration_leaves_without_effect_are_left_out(table):
    known = plan_of(parse("preset: realmlp-td\n" + BASE)).config
    assert (known.data.most_one_hot, known.data.embed_size) == (8, 8)
    assert {"dropout", "weight_decay"} == set(plan_of(parse("preset: realmlp-td\n" + BASE)).schedules)
    text = BASE.replace("}", ", encode: one_hot}") + "network: {dropout: 0}\ntrainer: {optimizer: sgd}\n"
    plan = plan_of(parse("preset: realmlp-td\n" + text))
    assert (plan.config.data.most_one_hot, plan.config.data.embed_size, plan.schedules) == (None, None, {})
    assert plan.config.data.scale_categories == "robust"
    with pytest.raises(
        ConfigError, match=r"`data.most_one_hot` must be left out where no `encode` is `auto`, got `4`$"
    ):
        plan_of(parse("preset: realmlp-td\n" + text.replace("one_hot}", "one_hot, most_one_hot: 4}")))


@pytest.mark.parametrize(
    ("own", "monitor"),
    [
        ("metrics: [roc_auc, log_loss]", "val_roc_auc"),
        ("metrics: [log_loss, accuracy]", "val_accuracy"),
        ("metrics: []", "val_loss"),
        ("metrics: [roc_auc], monitor: val_loss", "val_loss"),
        ("epochs: 3", "val_accuracy"),
    ],
)
def test_of_a_configurations_own_metrics_the_first_chooses_the_epoch(table, own, monitor):
    assert plan_of(parse(f"preset: realmlp-td\n{BASE}trainer: {{{own}}}\n")).config.trainer.monitor == monitor


def test_resolved_a_configuration_has_all_keys_and_no_preset(table, a_preset):
    printed = resolved_config(plan_of(parse("preset: odd\n" + BASE)))
    again = parse(printed)
    assert "preset" not in printed
    assert resolved_config(plan_of(again)) == printed
    assert again.data["network"]["hidden"] == [2, 280]


def test_what_a_preset_says_wrongly_is_said_of_the_preset(table, a_preset, monkeypatch):
    bad = Preset("bad", "", lambda known: {"trainer": {"epochs": 0}})
    monkeypatch.setattr("fastbp.config.presets.laid.presets", lambda: {"bad": bad})
    with pytest.raises(ConfigError, match=r"^preset bad: `trainer.epochs` must be at least 1, got `0`$"):
        plan_of(parse("preset: bad\n" + BASE))


@pytest.mark.parametrize("option", ["--preset", "--set"])
def test_an_unknown_preset_is_refused_with_the_nearest_name(table, option, capsys):
    (table / "c.yaml").write_text(BASE)
    given = ["--preset", "plan"] if option == "--preset" else ["--set", "preset=plan"]
    assert main(["train", "c.yaml", *given]) == 2
    printed = capsys.readouterr().err
    listed = ", ".join(f"`{name}`" for name in presets())
    where = "--preset plan" if option == "--preset" else "--set preset=plan"
    assert printed == f"fastbp: {where}: `preset` must be one of {listed}, got `plan`\nhint: did you mean `plain`?\n"
    assert main(["init", "table.csv", "--preset", "plan"]) == 2
    assert "`--preset` must be one of" in capsys.readouterr().err


def test_a_preset_is_given_once(table, capsys):
    (table / "c.yaml").write_text("preset: tabm\n" + BASE)
    assert main(["train", "c.yaml", "--preset", "plain", "--set", "preset=tabm"]) == 2
    message = "`--preset` must not be given together with `--set preset=...`, which is the same"
    assert message in capsys.readouterr().err
    assert main(["train", "c.yaml", "--preset", "plain", "--print-config"]) == 0  # over that of the file
    assert "tabm: null" in capsys.readouterr().out


def test_a_run_has_the_keys_of_its_preset_in_full_and_goes_on_without_it(table, a_preset, capsys):
    (table / "c.yaml").write_text(BASE)
    assert main(["train", "c.yaml", "--preset", "odd", "--run-dir", "r", "-q"]) == 0
    kept = read("r/config.yaml").data
    assert "preset" not in kept
    assert (kept["network"]["hidden"], kept["trainer"]["epochs"]) == ([2, 280], 3)
    assert main(["train", "--resume", "r", "--set", "trainer.epochs=4", "-q"]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "r", "--preset", "odd"]) == 2
    assert "`preset` must not be given together with `--resume`" in capsys.readouterr().err


def test_init_writes_a_preset_in_full_and_that_is_what_the_preset_is(table, a_preset, capsys):
    assert main(["init", "table.csv", "--preset", "odd", "-o", "c.yaml"]) == 0
    written = read("c.yaml")
    assert written.data["data"]["columns"]["b"] == "number"  # not on a scale of its own beside that of the preset
    assert "# The preset odd for 280 rows that train" in (table / "c.yaml").read_text()
    whole = {key: value for key, value in written.data.items() if key in ("name", "seed")}
    data = {key: value for key, value in written.data["data"].items() if key not in ("scale",)}
    named = plan_of(Text({**whole, "preset": "odd", "data": data}))
    assert resolved_config(named) == resolved_config(plan_of(written))


def test_with_a_time_limit_init_writes_what_uses_it(table, capsys):
    assert main(["init", "table.csv", "--time-limit", "2m", "-o", "c.yaml"]) == 0
    found = read("c.yaml").data
    assert found["trainer"]["time_limit"] == "2m"
    assert found["pack"]["folds"] == 5
    assert "--set data.split.folds" not in (table / "c.yaml").read_text()
    assert main(["check", "c.yaml", "-q"]) == 0
    assert main(["init", "table.csv", "--time-limit", "9", "--preset", "plain", "-o", "p.yaml"]) == 0
    found = read("p.yaml").data
    assert (found["trainer"]["time_limit"], "pack" in found) == ("9", False)
    capsys.readouterr()
    assert main(["init", "table.csv", "--time-limit", "soon", "-o", "-"]) == 2
    assert "must be seconds, or a number with s, m, h or d such as `10m`, got `soon`" in capsys.readouterr().err


def test_members_of_thorough_are_around_standard_and_the_ensemble_is_at_least_as_good(table, capsys):
    standard, thorough = (presets()[name].keys(KNOWN[1]) for name in ("standard", "thorough"))
    assert {key: thorough[key] for key in standard} == standard
    rates = thorough["pack"]["space"]["trainer.optimizer.lr"]
    assert rates.count(standard["trainer"]["optimizer"]["lr"]) * 2 == len(rates)
    (table / "c.yaml").write_text("preset: thorough\n" + BASE + "pack: {members: 2, folds: 2}\ntrainer: {epochs: 2}\n")
    own = [laid(Text({**read("c.yaml").data, "preset": name})).data for name in ("standard", "thorough")]
    first, second = (configuration(plan_of(Text(own[1])), number) for number in (0, 1))
    assert all(first[key] == own[0][key] != second[key] for key in ("trainer", "network"))
    assert main(["train", "c.yaml", "--json", "-q"]) == 0
    scores = json.loads(capsys.readouterr().out)["ensembles"]
    best, chosen = (scores[name]["metrics"]["validation"]["loss"] for name in ("best", "greedy"))
    assert chosen <= best


def test_printed_a_preset_is_explained_in_a_comment(table, a_preset, capsys):
    (table / "c.yaml").write_text("preset: odd\n" + BASE)
    for command in ("train", "check"):
        assert main([command, "c.yaml", "--print-config"]) == 0
        first, rest = capsys.readouterr().out.split("\n", 1)
        assert first == "# The keys of the preset odd lie beneath the configuration's own."
        assert "preset" not in rest


def test_presets_are_listed(capsys):
    assert main(["presets"]) == 0
    printed = capsys.readouterr().out
    assert all(any(line.startswith(name) for line in printed.splitlines()) for name in presets())
    pairs = zip(printed.splitlines(), presets().values(), strict=True)
    assert len({line.index(preset.about) for line, preset in pairs}) == 1
    assert list(presets())[:2] == ["standard", "plain"]


KNOWN = [
    Known(task, rows, outputs, numbers, dates, categories, 0, lambda *_, more=more: more)
    for task, outputs in (("classes", 2), ("classes", 7), ("labels", 3), ("numbers", 1))
    for rows, numbers, dates, categories, more in (
        (30, 2, 0, (), 0.2),
        (3000, 8, 11, (4, 300), 0.2),
        (3000, 0, 0, (4, 3), None),
        (100_000, 8, 0, (), 0.0),
        (100_000, 30, 0, (2, 50), 0.1),
    )
]


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_configuration_for_any_table(name):
    preset = presets()[name]
    assert preset.about.endswith(".")
    assert "\n" not in preset.about
    for known in KNOWN:
        keys = preset.keys(known)
        assert set(keys) <= set(MAY)
        assert set(keys.get("data", {})) <= set(SECTIONS["data"].__struct_fields__) - {"split", "path", "target"}
        assert keys == preset.keys(replace(known))
        said = keys.get("data", {}) | {"path": "no.csv", "task": known.task}
        plan = plan_of(Text({**keys, "data": said}))
        if plan.config.pack is not None:
            from fastbp.config.pack import members_of

            assert members_of(plan)


def test_of_files_that_are_apart_the_training_rows_are_known(table):
    lines = (table / "table.csv").read_text().splitlines()
    for name, first, last in (("train", 1, 301), ("validation", 301, 401)):
        (table / f"{name}.csv").write_text("\n".join([lines[0], *lines[first:last]]) + "\n")
    data = "data: {train: train.csv, validation: validation.csv, target: y, split: {test: 0}}"
    assert known_of(checked(parse(data))).rows == 300
    assert known_of(checked(parse("data: {source: digits}"))).numbers == 64
    friedman = known_of(checked(parse("data: {source: friedman, rows: 3000}")))
    assert (friedman.task, friedman.outputs, friedman.rows) == ("numbers", 1, 2100)
    assert friedman.bent is not None
    assert friedman.bent > 0.0


BENT: Any = {"_bends": lambda bins, least: 0.1}


@pytest.mark.parametrize(
    ("known", "hidden", "embedded", "members"),
    [
        (Known("numbers", 500, 1, 4, **BENT), 64, None, 8),
        (Known("numbers", 1_200, 1, 15, **BENT), 256, (16, 16), 8),
        (Known("numbers", 9_000, 1, 200, **BENT), 128, (10, 5), 8),
        (Known("classes", 3_500, 2, 15, **BENT), 128, (16, 16), 8),
        (Known("classes", 3_500, 4, 15, **BENT), 128, (16, 16), 8),
        (Known("numbers", 12_000, 1, 4, **BENT), 256, (48, 16), 8),
        (Known("classes", 12_000, 2, 4, **BENT), 128, (16, 16), 8),
        (Known("numbers", 12_000, 1, 100, **BENT), 128, (20, 10), 8),
        (Known("numbers", 60_000, 1, 50, **BENT), 128, (40, 16), 4),
        (Known("classes", 90_000, 5, 200, 0, (), 800), 64, None, 8),
        (Known("classes", 3_500, 2, 15), 128, None, 8),  # which bend nowhere
        (Known("classes", 2_000, 2, 400, **BENT), 128, (5, None), 8),
        (Known("numbers", 10**6, 1, 20, **BENT), None, (48, 16), 0),
        (Known("classes", 10**5, 10, 20_000), None, None, 0),
    ],
)
def test_standard_is_as_large_as_its_budget_lets_it_be(known, hidden, embedded, members):
    keys = presets()["standard"].keys(known)["network"]
    plainly = presets()["plain"].keys(known)["network"]
    epochs, fewer = (presets()[name].keys(known)["trainer"]["epochs"] for name in ("standard", "plain"))
    longer = {"numbers": 4, "classes": 3 if known.outputs > 2 else 1}[known.task]
    assert epochs == (longer * fewer if known.rows < 10_000 else fewer)
    found = keys["embed_numbers"]
    assert (found and (found["bins"], found.get("features"))) == embedded
    assert keys["hidden"] == ([hidden] * 2 if hidden else plainly["hidden"])
    assert keys.get("tabm") == ({"k": members, "mini": True} if members else None)
    assert keys["activation"] == ("silu" if known.task == "classes" and known.rows < 10_000 else "relu")
    assert not members or standard.work(known, members, hidden) <= standard.BUDGET
    if found and "features" in found:
        assert known.numbers * found["features"] <= standard.MOST_FEATURES
        assert known.numbers * found["bins"] <= standard.MOST_BINS
