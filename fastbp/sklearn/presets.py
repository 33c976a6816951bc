"""An estimator with a preset: its parameters that are left at their defaults are those of the preset.

What a preset has beyond them, such as lists of layers or an average of the parameters, is in `Beyond`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.spec.layers import Layer

if TYPE_CHECKING:
    from fastbp.config.build import Plan
    from fastbp.config.schema import Pack
    from fastbp.data.inputs import Inputs
    from fastbp.data.outputs import Outputs
    from fastbp.sklearn.rows import Rows
    from fastbp.sklearn.settings import Settings
    from fastbp.spec.graph import Graph
    from fastbp.spec.losses import Loss
    from fastbp.train.optimizers import Optimizer

DATA = ("scale", "missing", "encode", "min_frequency", "clamp_target")
NETWORK = ("hidden", "activation", "dropout", "norm", "embed_numbers", "tabm")
TRAINER = ("batch_size", "epochs", "class_weight")
OTHERS = ("optimizer", "schedule", "loss", "early_stopping", "monitor", "mode", "ties", "metrics", "threads", "seed")
# What `network.layers` says, too.
SHORT = ("hidden", "activation", "norm", "dropout", "residual", "embed_numbers", "tabm")
CATEGORIES = {"scale": "scale_categories", "most": "most_one_hot", "size": "embed_size"}
TAKEN = {
    "data": {*DATA, *CATEGORIES.values(), "indicator", "embed_std"},
    "network": {*NETWORK, "layers", "front_scale", "ntk", "init", "bias_init", "last_init"},
    "trainer": {*TRAINER, *OTHERS},
    "pack": {"members", "folds", "undrawn", "space", "online"},
}


@dataclass
class Beyond:
    """What a preset says that no parameter does.

    Attributes
    ----------
    steps : dict
        Further arguments of a trainer.
    monitor, mode, ties : str
        By what the best epoch is chosen.
    patience : int or None
        Epochs without improvement after which training ends; None for never.
    loss : Loss or None
    layers : Plan or None
        A configuration that lists all layers.
    linear, last : dict
        Settings of every linear layer, and of the last one.
    front_scale : bool
        Whether each input of the first of them has a learned factor.
    categories : dict
        How categories are encoded.
    indicator : bool
        Whether missing numbers get a column.
    embed_std : float
        Of tables of categories.
    pack : Pack or None
        What a configuration says of its pack, where members are drawn, or an ensemble of epochs is chosen.
    """

    steps: dict[str, Any] = field(default_factory=dict)
    monitor: str = "val_loss"
    mode: str = "auto"
    ties: str = "first"
    patience: int | None = None
    loss: Loss | None = None
    layers: Plan | None = None
    linear: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    front_scale: bool = False
    categories: dict[str, Any] = field(default_factory=dict)
    indicator: bool = False
    embed_std: float = 0.03
    pack: Pack | None = None

    def of(self, graph: Graph, loss: Loss, optimizer: Optimizer) -> dict[str, Any]:
        """The arguments of a trainer of this network: factors and schedules are those of what it has."""
        from fastbp.train.treatment import nothing_of

        found = dict(self.steps)
        given = found.get("schedules") or {}
        found |= {
            "schedules": {name: one for name, one in given.items() if not nothing_of(name, graph, loss, optimizer)}
        }
        for key in ("lr_factors", "decay_factors"):
            if found.get(key):
                found[key] = {name: factor for name, factor in found[key].items() if graph.named(name)}
        return found


def settled(estimator: Any, said: Settings, X: Any, y: Any, rows: Rows, going_on: bool) -> tuple[Settings, Rows]:
    """The settings with those of the preset, which go by the first rows, as do categories; and the rows with these.

    What goes on goes on by what was settled first.
    """
    from fastbp.config.presets import presets
    from fastbp.sklearn.names import with_names
    from fastbp.sklearn.settings import Settings
    from fastbp.sklearn.tables import inputs_for

    categories = estimator.categorical_features
    if not going_on:
        estimator._filled, estimator._preset_keys = filled(estimator, None), None
        if estimator.preset is not None:
            if presets()[estimator.preset].names:
                rows, categories = with_names(estimator, X, rows)
                estimator._filled.categorical_features = categories
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they come when the rows are prepared
                inputs, outputs = inputs_for(estimator._filled, X, rows.frame), estimator._outputs(y, rows.y)
            estimator._preset_keys = keys_for(estimator, inputs, outputs, rows)
    estimator._filled = filled(estimator, estimator._preset_keys)
    estimator._filled.categorical_features = categories
    return said if estimator._preset_keys is None else Settings.of(estimator._filled), rows


def keys_for(estimator: Any, inputs: Inputs, outputs: Outputs, rows: Rows) -> dict[str, Any]:
    """The keys of an estimator's preset for its training rows."""
    from fastbp.config.presets import Known, presets

    preset = presets()[estimator.preset]
    goal = rows.goal(outputs.names if outputs.task == "classes" else ())
    keys = preset.keys(Known.of(inputs, outputs.task, outputs.width, rows.frame, goal))
    taken = {**TAKEN, "trainer": TAKEN["trainer"] | further()}
    for section, settings in keys.items():
        for key in settings if section in taken else ():
            if key not in taken[section] and settings[key] is not None:
                hint = f"`fastbp train CONFIG --preset {preset.name}` trains it"
                raise ConfigError("preset", f"must be one without `{section}.{key}`", f"`{preset.name}`", hint)
    return keys


def further() -> set[str]:
    """Keys of `trainer` that are arguments of a trainer, and parameters of no estimator."""
    from fastbp.config.schema import Trainer as Keys
    from fastbp.train.trainer import Trainer

    return set(inspect.signature(Trainer).parameters) & set(Keys.__struct_fields__) - {*TRAINER, *OTHERS}


def check_preset(estimator: Any) -> None:
    """Refuse a preset that there is not."""
    if estimator.preset is None:
        return
    from fastbp.config.presets import presets

    if not isinstance(estimator.preset, str):
        raise ConfigTypeError("preset", "must be a name or None", f"`{brief(estimator.preset)}`")
    if estimator.preset not in presets():
        raise not_one_of("preset", estimator.preset, presets())


def filled(estimator: Any, keys: dict[str, Any] | None) -> Any:
    """The parameters of an estimator, with `keys` for those that are left at their defaults."""
    given = estimator.get_params(deep=False)
    out = SimpleNamespace(**given, beyond=Beyond())
    if keys is None:
        return out
    from fastbp.config.build import plan_of
    from fastbp.config.naming import activation_of, linear_of
    from fastbp.config.text import Text

    rows = {**keys.get("data", {}), "source": "files", "path": "X"}
    plan = plan_of(Text({**keys, "data": rows}))
    defaults = {name: one.default for name, one in inspect.signature(type(estimator).__init__).parameters.items()}
    left = {name for name, value in given.items() if _is(value, defaults[name])}
    config, network = plan.config, keys.get("network", {})
    own = "hidden" not in left and lists_layers(given["hidden"])  # they replace the network of the preset
    found: dict[str, Any] = {name: getattr(config.data, name) for name in DATA if name in rows and name in given}
    found |= {name: getattr(config.network, name) for name in NETWORK if name in network and not own}
    found |= {"activation": activation_of(plan.text, config)} if "activation" in found else {}
    trainer = keys.get("trainer", {})
    found |= {name: getattr(config.trainer, name) for name in TRAINER if name in trainer}
    found |= {"optimizer": plan.optimizer} if "optimizer" in trainer else {}
    found |= {"schedule": plan.schedule} if "schedule" in trainer else {}
    found |= {"loss": plan.loss} if plan.loss is not None else {}
    found |= {"dtype": config.dtype} if "dtype" in keys else {}
    if config.pack is not None:
        found |= {"n_ens": config.pack.members, "n_cv": config.pack.folds}
    for name, value in found.items():
        if name in left:
            setattr(out, name, value)
    early, patience = config.trainer.early_stopping, None
    if "patience" not in left:
        patience = given["patience"]
    elif early is not None:
        patience = early.patience
    out.beyond = Beyond(
        steps={name: getattr(plan, name, getattr(config.trainer, name)) for name in further() if name in trainer},
        monitor=config.trainer.monitor or "val_loss",
        mode=config.trainer.mode,
        ties=config.trainer.ties,
        patience=patience,
        loss=plan.loss if "loss" not in given or "loss" in left else None,
        linear={} if own else linear_of(plan.text, config),
        last={} if own else linear_of(plan.text, config, last=True),
        front_scale=config.network.front_scale and not own,
        categories={own: getattr(config.data, name) for own, name in CATEGORIES.items()},
        indicator=config.data.indicator,
        embed_std=config.data.embed_std,
        pack=config.pack if config.pack is not None and (config.pack.space or config.pack.online) else None,
    )
    if plan.layers is not None and "hidden" in left:
        for name in SHORT:
            if name not in left:
                must = f"must be left out with the preset `{estimator.preset}`, which lists its layers"
                raise ConfigError(name, must, f"`{brief(given[name])}`", hint="`hidden=` replaces them")
        out.beyond.layers, out.hidden = plan, ()
    return out


def lists_layers(hidden: Any) -> bool:
    """Whether these are layers, not widths."""
    listed = isinstance(hidden, Sequence) and not isinstance(hidden, str | bytes)
    return listed and any(isinstance(one, Layer | str | Mapping) for one in hidden)


def _is(value: Any, default: Any) -> bool:
    """Whether a parameter is its default."""
    plain = type(value) is type(default) and isinstance(value, int | float | str | tuple)
    return value is default or (plain and value == default)
