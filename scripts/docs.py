"""Writes docs/ops.md from the registry, docs/config.md from the schema, docs/presets.md from the presets, docs/words.md
from the table of other libraries' words, docs/trace.svg, and what type checkers see of the package,
fastbp/__init__.pyi: python scripts/docs.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import fastbp as fb
from fastbp.autodiff.expression import CALLS
from fastbp.autodiff.numpy_names import listed
from fastbp.config.describe import keys
from fastbp.config.presets import presets
from fastbp.config.schema import SECTIONS
from fastbp.lowering.registry import OPS
from fastbp.spec import gates
from fastbp.spec.catalogue import ACTIVATIONS, LAYERS, LOSSES
from fastbp.spec.elsewhere import NAMES, NETWORK_WORDS, SWEEP_WORDS, TRAINER_WORDS, WORDS
from fastbp.spec.embeddings import EMBEDDERS
from fastbp.spec.initial import BY_ROWS, INITIALISERS
from fastbp.train import callbacks, tensorboard, writers
from fastbp.train.catalogue import OPTIMIZERS
from fastbp.train.lbfgs import LBFGS
from fastbp.train.metrics import METRICS
from fastbp.train.schedules import SCHEDULES

PAGE = Path(__file__).parents[1] / "docs" / "ops.md"
CONFIG_PAGE = PAGE.with_name("config.md")
PRESETS_PAGE = PAGE.with_name("presets.md")
WORDS_PAGE = PAGE.with_name("words.md")
PICTURE = PAGE.with_name("trace.svg")
STUB = PAGE.parents[1] / "fastbp" / "__init__.pyi"
CALLBACKS = (
    callbacks.EarlyStopping,
    callbacks.ReduceLROnPlateau,
    callbacks.TimeBudget,
    writers.ModelCheckpoint,
    writers.CSVLogger,
    writers.JSONLogger,
    tensorboard.TensorBoard,
)

ABOUT = """# Everything there is

Written from `fastbp/lowering/registry.py` and the classes behind it by `scripts/docs.py`; a test fails where this page
is not what that writes. *Name* is what files and `loss="..."` or `activation="..."` use; the class behind it is in
`fastbp`, and its settings are its arguments and its keys in files, with their defaults.

In formulas x goes into a layer and y comes out, z goes into an activation or a loss, t are targets, dx is the gradient
of the loss in x; B rows, N outputs, K classes; g is a gradient, p a parameter, η the learning rate, λ the decay."""


GATES = """## Gates

What joins the branches of a network that is no chain, or takes a signal apart; x and y are signals of one width, and a
signal that goes into several layers gets the sum of their cotangents. In Python they are also written `x + y`, `x - y`,
`x * y`, `x / y`, `2 * x + 1`, `2 / x`, `x**3`, `x[:, 2:5]`, `x.sum()`, `x.mean()` and `fb.concat([x, y])`; in files
`from` says what they read."""


EMBEDDED = """## Numbers

`network.embed_numbers` of a configuration, and `embed_numbers` of the estimators, puts such a layer before the others,
its settings chosen by the training rows."""
FORMULAS = f"""Any other is a formula, `custom` in the registry: `fb.activation("x * tanh(softplus(x))")`, the text
alone where a name can stand, or `fb.activation(lambda x: ...)`. Likewise `fb.loss("abs(z - t) ** 3")` of an output z
and its target t, averaged over outputs, and a penalty of each weight w, `penalty="1e-4 * abs(w)"`. They are made of
numbers, `+ - * / **`, comparisons inside `where`, and of {", ".join(f"`{name}`" for name in sorted(CALLS))}."""


def show(value: Any) -> str:
    """A default as files have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    name = getattr(value, "name", None)
    if name is not None and hasattr(value, "scale"):
        return str(name)
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def settings(cls: type) -> str:
    """Settings of a class with their defaults, in the order of its arguments."""
    found = sorted(fields(cls), key=lambda field: field.kw_only)  # type: ignore[arg-type]
    return ", ".join(f"`{f.name}`" + ("" if f.default is MISSING else f" {show(f.default)}") for f in found)


def arguments(cls: type) -> str:
    """The same for a class that is no dataclass."""
    found = inspect.signature(cls).parameters.values()
    return ", ".join(f"`{a.name}`" + ("" if a.default is a.empty else f" {show(a.default)}") for a in found)


def summary(cls: type) -> str:
    """The first sentence of a docstring."""
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def table(*rows: Iterable[str]) -> str:
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def differentiable(classes: dict[str, type]) -> str:
    rows = [
        (f"`{name}`", f"`{cls.__name__}`", settings(cls), OPS[name].formula, OPS[name].derivative)
        for name, cls in classes.items()
    ]
    return table(("name", "class", "settings", "forward", "derivative"), *rows)


def sections() -> Iterator[str]:
    """The page, part by part."""
    yield ABOUT
    yield "## Layers\n\n`embedding` can only be the first layer. In training m is a mask of zeros and ones."
    joining = {name: cls for name, cls in LAYERS.items() if cls.__module__ == gates.__name__}
    apart = {*ACTIVATIONS, *joining, "custom"}
    yield differentiable(
        {name: cls for name, cls in LAYERS.items() if name not in apart and OPS[name].family != "softmax"}
    )
    yield EMBEDDED
    rows = [(f"`{name}`", settings(cls), summary(cls)) for name, cls in EMBEDDERS.items()]
    yield table(("name", "settings", "what it is"), *rows)
    yield GATES
    yield differentiable(joining)
    yield "## Activations\n\n`softmax` and `log_softmax` are for the last layer."
    shown = {name: cls for name, cls in LAYERS.items() if name in ACTIVATIONS or OPS[name].family == "softmax"}
    yield differentiable(shown)
    tanh = OPS["gelu_tanh"]
    yield f'`gelu` with `approximate` "tanh", as an activation also `gelu_tanh`: {tanh.formula}; {tanh.derivative}.'
    yield FORMULAS
    yield (
        "## Traced functions\n\n`fb.trace` takes functions of numbers, vectors and matrices, made of operators,"
        f" comparisons, indexing and\n{listed()}.\nOf equal numbers each has the same share of the derivative of their"
        " largest; sin and cos are NaN beyond 2⁵⁰, in float32 2²²."
    )
    yield (
        "## Losses\n\nOf one row; a batch has Σ ω ℓ / Σ ω, ω the sample weights, or Σ ω ℓ with `reduction` sum,"
        " in which ℓ is\nstill a mean over outputs where it says / N. `JointLoss` is Σ w ℓ over the outputs of a"
        ' network that has several:\n`fb.JointLoss(["cross_entropy", "mse"], weights=[1.0, 0.5])`, or a list of'
        " losses where all count the same."
    )
    yield differentiable(dict(LOSSES))
    yield (
        "## Optimisers\n\nWeight decay is L2, g + λ p in the place of g, or decoupled, p (1 - η λ) before the step;"
        " it goes to weights of\n`linear` and to tables of `embedding`, and to everything with `decay_all`."
    )
    rows = [(f"`{name}`", f"`{cls.__name__}`", settings(cls), cls.update) for name, cls in OPTIMIZERS.items()]
    rows.append(
        (
            "`lbfgs`",
            "`LBFGS`",
            arguments(LBFGS),
            "p ← p - a H g over all rows, H from the last changes, a by line search",
        )
    )
    yield table(("name", "class", "settings", "update"), *rows)
    yield "## Schedules\n\nWhat multiplies the learning rate at step t, after a linear warm-up of `warmup` steps."
    rows3 = [(f"`{name}`", f"`{cls.__name__}`", settings(cls), summary(cls)) for name, cls in SCHEDULES.items()]
    yield table(("name", "class", "settings", "factor"), *rows3)
    yield "## Initialisers\n\n`fb.Init(name, scale)`; I is the fan in, O the fan out, c the scale."
    rows3 = [
        (f"`{name}`", i.formula, i.scale or "none", show(i.default)) for name, i in (INITIALISERS | BY_ROWS).items()
    ]
    yield table(("name", "drawn", "scale", "default"), *rows3)
    yield "## Metrics\n\nOf `fit(metrics=[...])`, on validation rows, and of `fastbp.metrics`."
    rows3 = [
        (f"`{name}`", metric.formula, metric.kind, "up" if metric.higher_is_better else "down")
        for name, metric in METRICS.items()
    ]
    yield table(("name", "formula", "of", "better"), *rows3)
    yield "## Callbacks"
    yield table(
        ("class", "settings", "what it does"), *((f"`{c.__name__}`", arguments(c), summary(c)) for c in CALLBACKS)
    )


def page() -> str:
    """The whole page."""
    return "\n\n".join(sections()) + "\n"


ABOUT_CONFIG = """# Configurations

Written from `fastbp/config/schema.py` by `scripts/docs.py`; a test fails where this page is not what that writes.

A configuration is a .yaml, .toml or .json file. This one has all that must be in one, and two keys more:

```yaml
data:
  source: digits
network:
  hidden: [256, 128]
trainer:
  optimizer: {name: adamw, lr: 0.002}
```

`fastbp check FILE` says whether it can be run, `fastbp train FILE --print-config` prints it with every default, and
`fastbp schema` prints a JSON schema for editors. `fastbp init TABLE` writes one for a table.

`-c FILE` lays a further file over those before it, from left to right, and `--set trainer.epochs=5` sets one key over
all of them: maps are merged key by key, everything else is replaced, and another `name` leaves nothing of the settings
of the one below. Several `--set` may stand in any order: each gives other settings, and none of them is lost.

YAML is read by the rules of version 1.2 and holds what JSON can: `1e-3` is a number, `no` and `on` are strings, and a
key stands once. Files have at most 1 MiB and 32 levels. Aliases, tags and numbers that are not finite are refused, as
is every key that is not below."""

NAMED = """## What has a name

These keys take a name, or a map with `name` and settings, such as `{name: sgd, momentum: 0.9}`. Names, settings and
their defaults are on the page of [everything there is](ops.md)."""
PLACES = {
    "network.activation": "Activations",
    "network.layers": "Layers",
    "network.embed_numbers": "Numbers",
    "network.init": "Initialisers",
    "network.bias_init": "Initialisers",
    "network.last_init": "Initialisers",
    "trainer.loss": "Losses",
    "trainer.optimizer": "Optimisers",
    "trainer.schedule": "Schedules",
    "trainer.metrics": "Metrics",
}


def config_sections() -> Iterator[str]:
    """The page of configurations, part by part."""
    yield ABOUT_CONFIG
    for path, section in SECTIONS.items():
        yield f"## {f'`{path}`' if path else 'At the top'}\n\n{inspect.getdoc(section)}"
        rows = []
        for key in keys():
            parent, _, name = key.path.rpartition(".")
            if parent == path:
                rows.append((f"`{name}`", key.must, key.default, key.about))
        yield table(("key", "must be", "default", "what it means"), *rows)
    yield NAMED
    listed = ((f"`{key}`", f"[{title.lower()}](ops.md#{title.lower()})") for key, title in PLACES.items())
    yield table(("key", "names"), *listed)


def config_page() -> str:
    """The whole page of configurations."""
    return "\n\n".join(config_sections()) + "\n"


ABOUT_PRESETS = """# Presets

Written from `fastbp/config/presets` by `scripts/docs.py`; a test fails where this page is not what that writes.

A preset is keys of a configuration by a name: a network, its training, and how columns are prepared. Which values they
have depends on the rows that train: how many there are, what is to be predicted, how many columns are numbers. The same
table has the same keys on every machine."""

HOW_PRESETS = """## How one is used

```yaml
preset: plain
data: {path: configs/tables/loans.csv, target: repaid}
trainer: {optimizer: {lr: 0.001}}
```

The keys of the preset lie beneath the configuration's own, as those of a file beneath one that `-c` lays over it: here
the network and the optimiser are those of `plain`, and its learning rate is not. `network.layers` of the configuration
replaces the whole network of the preset. A key of the configuration is drawn no more by a preset with `pack.space`, and
factors of learning rates and decay go with the layers that they are of. Of the configuration's own `metrics` the first
chooses the best epoch, where the preset's measure is not among them and no `monitor` is said.

| command | what it does |
|---|---|
| `fastbp train CONFIG --preset NAME`, or `--set preset=NAME` | trains with the preset beneath the configuration |
| `fastbp train CONFIG --print-config` | prints all keys as they are then, those of the preset too |
| `fastbp init TABLE --preset NAME` | writes the preset out in full for a table, to be edited |
| `fastbp init TABLE --time-limit 10m` | writes `thorough` out, which ends with its ensemble when the time is over |
| `fastbp presets` | lists them |

The folder of a run has all keys and no preset, so that it goes on as it began whatever becomes of the preset.

`MLPClassifier(preset="plain")` and `MLPRegressor(preset="plain")` take parameters that are left at their defaults from
the preset; others win, and layers in `hidden` replace its network. From 100 rows on some are held out
(`validation_fraction`, or `X_val`) and choose the best epoch; `early_stopping=False` keeps the last. Presets that are
packs train all their members, and the ensemble that is chosen of them predicts:
[sklearn.md](sklearn.md#packs-of-presets). With `standard`, `plain` and `thorough` estimators find
[numbers that name things](sklearn.md#numbers-that-name-things), as `fastbp init` does.

A file in `fastbp/config/presets` with a list `PRESETS` adds some; the folder's docstring says how."""


def presets_page() -> str:
    """The page of presets."""
    rows = [(f"`{name}`", preset.about) for name, preset in presets().items()]
    return "\n\n".join([ABOUT_PRESETS, table(("preset", "what it is"), *rows), HOW_PRESETS]) + "\n"


ABOUT_WORDS = """# What others call it

Written from `fastbp/spec/elsewhere.py` by `scripts/docs.py`; a test fails where this page is not what that writes.

Arguments of PyTorch, Keras and scikit-learn that are called otherwise here. Whoever uses one gets it as a hint."""


def words_page() -> str:
    """The page of other libraries' words."""
    rows, sweeps = (
        [(f"`{w.theirs}`", w.whose, w.python, w.config or "as in Python") for w in words]
        for words in (WORDS, SWEEP_WORDS)
    )
    names = [(f"`{theirs}`", f"`{ours}`") for theirs, ours in NAMES.items()]
    head = "there", "of", "here, in Python", "here, in a configuration"
    parts = [ABOUT_WORDS, table(head, *rows), "## Sweeps", table(head, *sweeps)]
    for title, words in (("## Attributes of networks", NETWORK_WORDS), ("## Attributes of trainers", TRAINER_WORDS)):
        parts += [title, table(("there", "of", "here"), *((f"`{w.theirs}`", w.whose, w.python) for w in words))]
    parts += ["## Names of losses, metrics, activations, tasks, samplers and pruners", table(("there", "here"), *names)]
    return "\n\n".join(parts) + "\n"


def picture() -> str:
    """The function of the README, drawn at (3, -4)."""
    f = fb.trace(lambda x, y: (x + fb.sigmoid(y)) / (fb.sigmoid(x) + (x + y) ** 2))
    return str(f.draw(x=3, y=-4))


def stub() -> str:
    """The public names of the package, each from where it is."""
    lines = [
        "# Written by scripts/docs.py from fastbp/__init__.py; ruff would order it otherwise.",
        "# ruff: noqa: I001",
    ]
    for name in sorted({*fb.__all__, *fb._EXTRAS}):
        room = fb._ROOMS.get(name) or (f"fastbp.{name}" if name == "sklearn" else None)
        if room is not None:
            home, _, named = room.rpartition(".")
        elif name in fb._EXTRAS:
            home, named = fb._EXTRAS[name], name
        else:
            home, named = fb._HOME.get(name) or getattr(fb, name).__module__, name
        lines.append(f"from {home} import {named} as {name}")
    return "\n".join([*lines, "", "__version__: str", ""])


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    CONFIG_PAGE.write_text(config_page(), encoding="utf-8")
    PRESETS_PAGE.write_text(presets_page(), encoding="utf-8")
    WORDS_PAGE.write_text(words_page(), encoding="utf-8")
