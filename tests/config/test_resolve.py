"""Configurations with every default filled in: they resolve to themselves and build what they came from."""

import dataclasses

import pytest

from fastbp.cli.main import main
from fastbp.config.build import LBFGSSettings, layers_of, network_of, plan_of
from fastbp.config.resolve import FREE, changes
from fastbp.config.schema import SECTIONS
from fastbp.config.text import parse
from fastbp.spec.bins import PiecewiseLinear
from fastbp.spec.catalogue import ACTIVATIONS, LAYERS, LOSSES, loss_of
from fastbp.spec.initial import INITIALISERS
from fastbp.train.catalogue import OPTIMIZERS
from fastbp.train.metrics import METRICS
from fastbp.train.schedules import SCHEDULES

CLASSES, NUMBERS = "data: {source: blobs, rows: 60}\n", "data: {source: friedman, rows: 60}\n"
LABELS = "data: {path: t.csv, target: [b, c]}\n"
TABLE = "a,b,c\n" + "".join(f"{i},{i % 2},{i // 2 % 2}\n" for i in range(40))
TASKS = {"cross_entropy": CLASSES, "multi_margin": CLASSES, "binary_cross_entropy": LABELS}

# What must be set, and what else is set in a second case of the same name.
OPTIMIZER_CASES = {
    "sgd": "lr: 0.5, momentum: 0.9, nesterov: true, weight_decay: 1e-4",
    "adagrad": "lr_decay: 0.1, initial: 0.5",
    "rmsprop": "alpha: 0.9, centered: true, momentum: 0.5",
    "adadelta": "rho: 0.5, eps: 1e-3",
    "adam": "lr: 3e-4, betas: [0.8, 0.95], amsgrad: true",
    "adamw": "weight_decay: 0.1, decay_all: true",
    "nadam": "momentum_decay: 0.01",
    "radam": "betas: [0.5, 0.9], decoupled: true",
    "lion": "lr: 1e-5, weight_decay: 1",
    "muon": "muon_lr: 0.05, momentum: 0.9, weight_decay: 1",
    "lbfgs": "memory: 5, tolerance: 0, weight_decay: 1e-3",
}
LOSS_CASES = {
    "cross_entropy": "label_smoothing: 0.1, class_weights: {0: 2, 2: 0.5}, reduction: sum, ignore_index: -1",
    "binary_cross_entropy": "pos_weight: 3",
    "multi_margin": "p: 2, margin: 0.5",
    "huber": "delta: 0.1",
    "quantile": "q: 0.9",
}
SCHEDULE_CASES = {
    "constant": ("", "warmup: 5"),
    "step": ("every: 5", "every: 5, gamma: 0.3, warmup: 2"),
    "multi_step": ("milestones: [3, 7]", "milestones: [], gamma: 0.3"),
    "exponential": ("gamma: 0.9", "gamma: 0.999, warmup: 3"),
    "polynomial": ("", "power: 2, end: 0.1, steps: 100"),
    "cosine": ("", "end: 0.01, steps: 50, warmup: 4"),
    "cosine_restarts": ("first: 10", "first: 10, multiply: 2, end: 0.1"),
    "one_cycle": ("", "warm: 0.5, div: 10, final_div: 100, steps: 40"),
    "cos_log4": ("", "steps: 30"),
    "flat_cosine": ("", "flat: 0.5, end: 0.1"),
}
LAYER_CASES = {
    "linear": (
        "features: 4",
        "features: 4, bias: false, init: {name: normal, scale: 0.1}, ntk: true",
        "features: 4, init: {name: std}, bias_init: he5",
    ),
    "dropout": ("", "p: 0.1"),
    "scale": ("", "init: {name: constant, scale: 2}"),
    "layer_norm": ("", "eps: 1e-3, affine: true, bias: false"),
    "rms_norm": ("", "eps: 1e-3, affine: false"),
    "batch_norm": ("", "momentum: 1, affine: false"),
    "embedding": ("columns: {0: [9, 2]}", "columns: {1: [3, 1], 0: [4, 2]}, init: zeros"),
    "piecewise_linear": ("columns: {0: [0, 1]}", "columns: {1: [-0.5, 0.1, 2e3], 0: [0.0, 0.25]}"),
    "piecewise_linear_embedding": (
        "columns: {0: [0, 1]}",
        "columns: {1: [-0.5, 0.1, 2e3], 0: [0.0, 0.25]}, features: 3",
    ),
    "periodic": ("", "columns: [1, 0], frequencies: 4, features: 2, sigma: 0.5"),
    "pbld": ("", "columns: [1, 0], frequencies: 4, features: 2, sigma: 0.5"),
    "cosine": ("", "columns: [1], frequencies: 4, sigma: 0.5"),
    "leaky_relu": ("", "negative_slope: 0.2"),
    "prelu": ("", "per_feature: true, init: 0.1"),
    "parametric": ("", "activation: {name: elu, alpha: 0.5}, init: 0.5"),
    "elu": ("", "alpha: 0.5"),
    "gelu": ("", "approximate: tanh"),
    "softplus": ("", "beta: 2"),
    "hardtanh": ("", "min_val: -2, max_val: 0.5"),
}
# Layers of members, which stand behind the first of them.
MEMBER_CASES = {
    "members": ("average: softmax", "count: 3, average: softmax"),
    "member_scale": ("", "init: {name: normal, scale: 0.5}, chunks: [1, 1]"),
    "member_linear": ("features: 3", "features: 3, bias: false, init: zeros"),
    "adapted_linear": (
        "features: 3",
        "features: 3, bias: false, adapter: {name: normal, scale: 0.5}, chunks: [2], bias_init: ones",
    ),
}
# Settings of gates, which read a layer of width 1, one or two times.
GATE_CASES = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "concat"), ("from: [a, a]",)),
    **dict.fromkeys(("sum", "mean"), ("", "from: inputs")),
    "affine": ("", "factor: 2, shift: -0.5, from: a"),
    "reciprocal": ("", "numerator: 0.5"),
    "slice": ("start: 0, stop: 1", "start: 1, stop: 2, from: inputs"),
    "repeat": ("features: 5", "features: 1"),
}


TRAINER = """dtype: float64
seed: 18446744073709551615
name: a.b-c_d
trainer:
  {epochs: 3, clip_norm: 1, clip_value: 0.1, accumulate: 2, ema: 0.9, frozen: ['0.bias'], mode: max, threads: 2,
  lr_factors: {0: 0.5, 2.bias: 0}, decay_factors: {2: 1e-3}, early_stopping: {patience: 3}, metrics: [rmse, r2],
  reduce_lr: {factor: 0.3, cooldown: 2}, time_limit: 1.5h}
run: {folder: 'a b', checkpoint_seconds: 0}
"""


def pair(name, *settings):
    """A name by itself, where that is enough, and as a map with settings."""
    maps = [f"{{name: {name}{', ' if s else ''}{s}}}" for s in settings]
    return maps if settings[0] else [name, *maps]


def cases():
    """Everything with a name, twice: id -> configuration."""
    for name in [*OPTIMIZERS, "lbfgs"]:
        for text in pair(name, "", OPTIMIZER_CASES.get(name, "lr: 0.5")):
            yield f"optimizer {text}", f"{CLASSES}trainer: {{optimizer: {text}}}"
    for name in LOSSES:
        for text in pair(name, "", LOSS_CASES.get(name, "reduction: sum")):
            yield f"loss {text}", f"{TASKS.get(name, NUMBERS)}trainer: {{loss: {text}}}"
    for name in SCHEDULES:
        for text in pair(name, *SCHEDULE_CASES[name]):
            yield f"schedule {text}", f"{CLASSES}trainer: {{schedule: {text}}}"
    for name, settings in GATE_CASES.items():
        for text in pair(name, *settings):
            first = "{name: linear, features: 1, as: a}, {name: tanh, as: a-1}"
            yield f"gate {text}", f"{CLASSES}network: {{layers: [{first}, {text}, {{name: linear, features: 3}}]}}"
    for shared in ("{name: linear, features: 4, as: a}", "{name: layer_norm, as: a}", "{name: prelu, as: a}"):
        layers = f"{{name: linear, features: 4}}, {shared}, tanh, {{share: a, as: b}}, {{share: a, from: [b]}}"
        yield f"shared {shared}", f"{CLASSES}network: {{layers: [{layers}, {{name: linear, features: 3}}]}}"
    for name, settings in MEMBER_CASES.items():
        for text in pair(name, *settings):
            first = "" if name == "members" else "{name: members, average: softmax}, "
            last = "{name: linear, features: 3}"
            yield f"layer {text}", f"{CLASSES}network: {{layers: [{first}{text}, {last}]}}"
    for tabm in ("{}", "{k: 3, mini: false}"):
        yield f"tabm {tabm}", f"{CLASSES}network: {{hidden: [5, 4], tabm: {tabm}}}"
    others = {*GATE_CASES, *MEMBER_CASES, "custom"}
    for name in [name for name in {**ACTIVATIONS, **LAYERS} if name not in others]:
        for text in pair(name, *LAYER_CASES.get(name, ("",))):
            last = "{name: linear, features: 3, bias_init: zeros}"
            yield f"layer {text}", f"{CLASSES}network: {{layers: [{text}, {last}]}}"
    waves = "pbld", "{name: pbld, frequencies: 3, features: 2, sigma: 2}", "cosine", "{name: cosine, sigma: 2}"
    waves = *waves, "periodic", "{name: periodic, frequencies: 3, features: 2, sigma: 2}"
    for bins in ("piecewise_linear", "{name: piecewise_linear, bins: 3, features: 4}", *waves):
        yield f"embed_numbers {bins}", f"{NUMBERS}network: {{hidden: [5], embed_numbers: {bins}}}"
    for name in ACTIVATIONS:
        for text in pair(name, *LAYER_CASES.get(name, ("",))):
            yield f"activation {text}", f"{CLASSES}network: {{hidden: [5, 4], activation: {text}}}"
    for name, initialiser in INITIALISERS.items():
        scaled = "scale: 0.25" if initialiser.scale else ""
        for text in pair(name, "", scaled) if name != "constant" else pair(name, scaled):
            yield f"init {text}", f"{CLASSES}network: {{hidden: [4], init: {text}}}"
    yield "init std", f"{CLASSES}network: {{hidden: [4], init: std}}"
    yield "ntk", f"{CLASSES}network: {{hidden: [4], ntk: true, front_scale: true, bias_init: he5, last_init: zeros}}"
    yield (
        "kinds",
        f"{CLASSES}network: {{front_scale: true}}\ntrainer: {{lr_factors: {{linear.bias: 0.1, scale: 6}}}}",
    )
    for name in ("batch_norm", "layer_norm", "rms_norm"):
        yield f"norm {name}", f"{CLASSES}network: {{hidden: [8, 8], norm: {name}, dropout: 0.2, init: orthogonal}}"
    for name in METRICS:
        data = NUMBERS if METRICS[name].kind == "numbers" else CLASSES
        yield f"metric {name}", f"{data}trainer: {{metrics: [{name}], monitor: val_{name}}}"
    yield "nothing but data", CLASSES
    yield "no hidden layers", f"{CLASSES}network: {{hidden: []}}"
    yield "folds", f"{CLASSES[:-2]}, split: {{folds: 3, fold: 2, seed: 7, test: 0.2}}}}\n"
    yield "trainer", NUMBERS + TRAINER


CASES = dict(cases())


def printed(path, capsys):
    assert main(["train", str(path), "--print-config"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def parts(plan):
    """What a plan builds, but for the text it came from."""
    return {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan) if f.name not in ("text", "config")}


@pytest.mark.parametrize("case", CASES)
def test_a_resolved_config_resolves_to_itself_and_builds_the_same(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "c.yaml").write_text(CASES[case])
    first = printed(tmp_path / "c.yaml", capsys)
    (tmp_path / "again.yaml").write_text(first)
    assert printed(tmp_path / "again.yaml", capsys) == first
    assert {file.name for file in tmp_path.iterdir()} == {"t.csv", "c.yaml", "again.yaml"}

    before, after = plan_of(parse(CASES[case])), plan_of(parse(first))
    said, built = parts(before), parts(after)
    if said["loss"] is None:
        said["loss"] = loss_of("mse" if CASES[case].startswith(NUMBERS) else "cross_entropy")
    assert built["loss"].settings() == said["loss"].settings()
    assert {**built, "loss": None} == {**said, "loss": None}


def resolved(text, tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return parse(printed(path, capsys)).data


def test_every_key_is_there(tmp_path, capsys):
    data = CLASSES + "trainer: {early_stopping: {}, schedules: {}, reduce_lr: {}}\npack: {online: {}}\n"
    data = resolved(data + "network: {tabm: {}}", tmp_path, capsys)
    for path, section in SECTIONS.items():
        if path == "sweep":  # no part of a run
            continue
        found = data
        for part in path.split(".") if path else ():
            found = found[part]
        left_out = {"network": {"layers"}, "": {"preset", "sweep"}}.get(path, set())
        assert set(found) == set(section.__struct_fields__) - left_out


def test_every_setting_is_there(tmp_path, capsys):
    data = resolved(f"{CLASSES}network: {{activation: elu}}\ntrainer: {{schedule: cosine}}", tmp_path, capsys)
    assert data["network"]["activation"] == {"name": "elu", "alpha": 1.0}
    assert data["trainer"]["schedule"] == {"name": "cosine", "warmup": 0, "end": 0.0, "steps": None}
    assert data["trainer"]["loss"]["name"] == "cross_entropy"
    assert data["trainer"]["metrics"] == ["accuracy"]
    assert data["data"]["task"] == "classes"
    for value, cls in (
        (data["trainer"]["optimizer"], OPTIMIZERS["adam"]),
        (data["trainer"]["loss"], LOSSES["cross_entropy"]),
    ):
        assert set(value) == {"name", *(f.name for f in dataclasses.fields(cls))}


def test_layers_stand_in_the_place_of_the_other_keys(tmp_path, capsys):
    data = resolved(f"{CLASSES}network: {{layers: [relu, {{name: linear, features: 3}}]}}", tmp_path, capsys)
    assert data["network"] == {
        "layers": [
            {"name": "relu"},
            {"name": "linear", "features": 3, "bias": True, "init": None, "bias_init": None, "ntk": False},
        ]
    }


def test_lbfgs_has_the_settings_of_its_file(tmp_path, capsys):
    data = resolved(f"{CLASSES}trainer: {{optimizer: lbfgs}}", tmp_path, capsys)
    assert data["trainer"]["optimizer"] == {"name": "lbfgs", **dataclasses.asdict(LBFGSSettings())}


def test_a_table_with_learned_tables_resolves_to_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"{'red' if i % 3 else 'blue'},{i},{i % 2}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["colour,size,y", *rows]))
    config = "data: {path: t.csv, target: y, encode: embedding, columns: {colour: {type: category, size: 2}}}\n"
    first = resolved(config + "network: {hidden: [4]}\n", tmp_path, capsys)
    (tmp_path / "c.yaml").write_text(printed(tmp_path / "c.yaml", capsys))
    assert parse(printed(tmp_path / "c.yaml", capsys)).data == first
    plan = plan_of(parse((tmp_path / "c.yaml").read_text()))
    graph = layers_of(plan, 2, 2, {0: (3, 2)})
    assert [node.layer.kind for node in graph.nodes] == ["embedding", "linear", "relu", "linear"]
    with_bins = parse(
        (tmp_path / "c.yaml").read_text().replace("embed_numbers: null", "embed_numbers: piecewise_linear")
    )
    graph = layers_of(plan_of(with_bins), 2, 2, {0: (3, 2)}, lambda of: PiecewiseLinear({0: range(of.bins)}))
    assert [node.layer.kind for node in graph.nodes] == ["embedding", "piecewise_linear", "linear", "relu", "linear"]
    assert graph.outputs == 2


@pytest.mark.parametrize(
    ("data", "network", "deviation"),
    [
        ("{}", "{hidden: [4]}", 0.03),
        ("{embed_std: 2.5}", "{hidden: [4]}", 2.5),
        ("{embed_std: 2.5}", "{layers: [{name: linear, features: 2}]}", 2.5),
        ("{embed_std: 2.5}", "{layers: [{name: embedding, columns: {0: [900, 7]}}, {name: linear, features: 2}]}", 1.0),
    ],
    ids=["default", "set", "before layers", "a layer of its own"],
)
def test_learned_tables_start_with_their_deviation(data, network, deviation):
    data = data.replace("{", "{source: digits, ", 1)
    plan = plan_of(parse(f"data: {data}\nnetwork: {network}\n"))
    table = network_of(plan, 2, 2, {0: (900, 7)}).parameters["0.column0"]
    assert table.std() == pytest.approx(deviation, rel=0.05)
    assert abs(table.mean()) < 0.05 * deviation


# What may differ when a run goes on


BASE = {
    "seed": 1,
    "data": {"max_memory": None, "store": None},
    "trainer": {
        "epochs": 3,
        "time_limit": None,
        "early_stopping": None,
        "optimizer": {"name": "adam"},
        "threads": None,
    },
    "run": {"checkpoint_seconds": 5.0},
}


def test_a_config_has_no_changes_to_itself():
    assert changes(BASE, BASE) == []


@pytest.mark.parametrize("path", FREE, ids=".".join)
def test_these_may_differ(path):
    for value in (7, "10m", {"patience": 3}):
        new = {**BASE, path[0]: {**BASE[path[0]], path[1]: value}}
        assert changes(BASE, new) == changes(new, BASE) == []


@pytest.mark.parametrize(
    ("new", "path"),
    [
        ({**BASE, "seed": 2}, ("seed",)),
        ({**BASE, "name": "x"}, ("name",)),
        ({k: v for k, v in BASE.items() if k != "seed"}, ("seed",)),
        ({**BASE, "trainer": {**BASE["trainer"], "optimizer": {"name": "sgd"}}}, ("trainer", "optimizer", "name")),
        (
            {**BASE, "trainer": {**BASE["trainer"], "optimizer": {"name": "adam", "lr": 1}}},
            ("trainer", "optimizer", "lr"),
        ),
        ({**BASE, "trainer": {**BASE["trainer"], "optimizer": None}}, ("trainer", "optimizer")),
        ({**BASE, "trainer": None}, ("trainer",)),
    ],
    ids=["value", "key more", "key less", "name", "setting more", "map to nothing", "section to nothing"],
)
def test_others_may_not(new, path):
    assert changes(BASE, new) == [path]


def test_every_change_is_told():
    trainer = {**BASE["trainer"], "epochs": 9, "optimizer": {"name": "sgd", "lr": 1}}
    new = {**BASE, "seed": 2, "trainer": trainer}
    assert changes(BASE, new) == [("seed",), ("trainer", "optimizer", "name"), ("trainer", "optimizer", "lr")]
