"""From a checked configuration to the objects it names: layers, loss, optimiser, schedule, trainer."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastbp.config.check import checked, fail, show, unknown
from fastbp.config.schema import Config
from fastbp.config.places import Path_
from fastbp.config.text import Text, dotted, visible
from fastbp.errors import ConfigError, not_one_of

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass
class Plan:
    """A configuration with what its names stand for; `loss` and `metrics` are None where the data decide."""

    text: Text
    config: Config
    loss: Any
    optimizer: Any
    schedule: Any
    layers: list[Any] | None
    hidden: list[Any]
    time_limit: float | None


def plan_of(text: Text) -> Plan:
    """Check everything that can be checked without the data."""
    from fastbp.model.activations import ACTIVATIONS
    from fastbp.model.layers import LAYERS
    from fastbp.model.losses import LOSSES, loss_of
    from fastbp.train import adam
    from fastbp.train.metrics import metric_named
    from fastbp.train.optimizers import OPTIMIZERS
    from fastbp.train.schedules import SCHEDULES

    assert adam  # whose import fills OPTIMIZERS
    loss_of("mse")  # fills LOSSES
    config = checked(text)
    trainer, network = config.trainer, config.network
    loss = None if trainer.loss is None else named(text, ("trainer", "loss"), trainer.loss, LOSSES)
    optimizer = named(text, ("trainer", "optimizer"), trainer.optimizer, {**OPTIMIZERS, "lbfgs": LBFGSSettings})
    schedule = None
    if trainer.schedule is not None:
        schedule = named(text, ("trainer", "schedule"), trainer.schedule, SCHEDULES)
    layers = None
    if network.layers is not None:
        given = [key for key in ("hidden", "norm", "dropout", "init") if getattr(network, key)]
        if given:
            raise fail(text, ("network", given[0]), "must not be given beside `network.layers`, got both")
        if not network.layers:
            raise fail(text, ("network", "layers"), "must hold a layer at least, got an empty list")
        table = {**ACTIVATIONS, **LAYERS}
        layers = [named(text, ("network", "layers", i), value, table) for i, value in enumerate(network.layers)]
    hidden = _hidden(text, config)
    for i, name in enumerate(trainer.metrics or ()):
        located(text, ("trainer", "metrics", i), lambda name=name: metric_named(name), "metric")
    if config.seed >= 2**64:
        raise fail(text, ("seed",), f"must be below 2**64, got `{config.seed}`")
    _check_data(text, config)
    return Plan(text, config, loss, optimizer, schedule, layers, hidden, _seconds(text, config))


@dataclass(frozen=True)
class LBFGSSettings:
    """L-BFGS over all rows, as an optimiser of a file."""

    kind = "lbfgs"
    weight_decay: float = 0.0
    decay_all: bool = False
    memory: int = 10
    tolerance: float = 1e-8

    def __post_init__(self) -> None:
        from fastbp.model.checks import flag, from_zero, whole

        from_zero("LBFGSSettings.weight_decay", self.weight_decay)
        flag("LBFGSSettings.decay_all", self.decay_all)
        whole("LBFGSSettings.memory", self.memory, 1)
        from_zero("LBFGSSettings.tolerance", self.tolerance)


def named(text: Text, path: Path_, value: Any, table: Mapping[str, Any]) -> Any:
    """The object that a name, or a map with `name` and settings, stands for."""
    settings: dict[str, Any] = {}
    if isinstance(value, dict):
        settings = dict(value)
        if "name" not in settings:
            raise fail(text, path, "must be a name, or a map with `name`, got a map without")
        name, at = settings.pop("name"), (*path, "name")
    else:
        name, at = value, path
    if not isinstance(name, str):
        raise fail(text, at, f"must be a name, got {show(name)}")
    if name not in table:
        raise ConfigError(text.place(at) + str(not_one_of(dotted(at), name, table)))
    cls = table[name]
    if not isinstance(cls, type):
        cls = type(cls())
    known = [f.name for f in dataclasses.fields(cls) if f.init]
    for key in settings:
        if key not in known:
            raise (
                unknown(text, path, key, known)
                if known
                else fail(
                    text, (*path, key), f"must not be given, as `{name}` has no settings, got {show(settings[key])}"
                )
            )
    needed = [
        f.name
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for key in needed:
        if key not in settings:
            raise fail(text, path, f"must have `{key}`, as `{name}` needs it, got none")
    for key in ("init", "bias_init"):
        if isinstance(settings.get(key), dict):
            settings[key] = _init(text, (*path, key), settings[key])
    make = table[name] if not isinstance(table[name], type) and not settings else cls
    return located(text, path, lambda: make(**settings), cls.__name__)


def _init(text: Text, path: Path_, value: dict[str, Any]) -> Any:
    from fastbp.model.initial import Init

    for key in value:
        if key not in ("name", "scale"):
            raise unknown(text, path, key, ("name", "scale"))
    if "name" not in value:
        raise fail(text, path, "must have `name`, got a map without")
    return Init(value["name"], value.get("scale"))


def located(text: Text, path: Path_, make: Any, inner: str) -> Any:
    """Make something; in its message `Inner.setting` becomes the path in the file."""
    try:
        return make()
    except ConfigError as error:
        message = str(error)
        found = re.match(rf"`{inner}(?:\.([A-Za-z_]+))?", message)
        if not found:
            raise type(error)(f"{text.place(path)}`{dotted(path)}`: {message}") from None
        whole = (*path, found[1]) if found[1] else path
        message = re.sub(rf"`{inner}(?=[.\[`])", f"`{dotted(path)}", message)
        raise type(error)(text.place(whole) + _as_in_files(message)) from None


def _as_in_files(message: str) -> str:
    return message.replace("got `None`", "got `null`").replace("True or False", "`true` or `false`")


def _hidden(text: Text, config: Config) -> list[Any]:
    """The hidden layers of `network.hidden`, without the last Linear."""
    from fastbp.model.activations import ACTIVATIONS
    from fastbp.model.initial import init_spec
    from fastbp.model.layers import LAYERS, Dropout, Linear

    network = config.network
    activation = named(text, ("network", "activation"), network.activation, ACTIVATIONS)
    init = network.init
    if init is not None:
        init = _init(text, ("network", "init"), init) if isinstance(init, dict) else init
        init = located(text, ("network", "init"), lambda: init_spec("init", init), "init")
    layers: list[Any] = []
    for width in network.hidden if network.hidden is not None else [128]:
        layers.append(Linear(width, init=init))
        if network.norm is not None:
            layers.append(LAYERS[network.norm]())
        layers.append(activation)
        if network.dropout:
            layers.append(Dropout(network.dropout))
    return layers


def _check_data(text: Text, config: Config) -> None:
    data = config.data
    given = [key for key in ("path", "train") if getattr(data, key) is not None]
    if data.source in (None, "files"):
        if not given:
            raise fail(text, ("data",), "must have `source`, `path` or `train`, got none of them")
        if len(given) == 2:
            raise fail(text, ("data", "train"), "must not be given beside `data.path`, got both")
        if data.path is not None and (data.validation is not None or data.test is not None):
            key = "validation" if data.validation is not None else "test"
            raise fail(text, ("data", key), "must stand beside `data.train`, got it beside `data.path`")
    elif given:
        raise fail(text, ("data", given[0]), f"must not be given with `source` {data.source}, got both")
    split = data.split
    if split.validation + split.test >= 1.0:
        where = ("data", "split")
        total = f"{split.validation + split.test:g}"
        raise fail(text, where, f"must leave rows to train on, got {total} for validation and test together")
    if split.folds is not None and split.fold >= split.folds:
        raise fail(text, ("data", "split", "fold"), f"must be below `folds`, {split.folds}, got `{split.fold}`")
    if split.group is not None and split.column is not None:
        raise fail(text, ("data", "split", "group"), "must not be given beside `column`, got both")
    from fastbp.data.prepare import column_settings

    for name, value in data.columns.items():
        path = ("data", "columns", name)
        try:
            column_settings(name, value)
        except ConfigError as error:
            raise ConfigError(text.place(path) + str(error)) from None


def _seconds(text: Text, config: Config) -> float | None:
    """`trainer.time_limit` in seconds."""
    value = config.trainer.time_limit
    if value is None:
        return None
    path = ("trainer", "time_limit")
    if isinstance(value, int | float):
        seconds = float(value)
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value)
        if not found:
            raise fail(text, path, f"must be seconds, or a number with s, m, h or d such as `10m`, got `{value}`")
        seconds = float(found[1]) * _UNITS[found[2]]
    if seconds <= 0.0:
        raise fail(text, path, f"must be above 0, got `{value}`")
    return seconds


def layers_of(plan: Plan, inputs: int, outputs: int, embeddings: dict[int, tuple[int, int]]) -> Any:
    """The graph for so many inputs and outputs; nothing is compiled or drawn for it."""
    from fastbp.model.graph import chain
    from fastbp.model.layers import Embedding, Linear

    text = plan.text
    if plan.layers is None:
        layers = [*plan.hidden, Linear(outputs, init=plan.hidden[0].init if plan.hidden else None)]
    else:
        layers = list(plan.layers)
    if embeddings and not isinstance(layers[0], Embedding):
        layers = [Embedding(embeddings), *layers]
    path: Path_ = ("network", "layers") if plan.layers is not None else ("network",)
    graph = located(text, path, lambda: chain(layers, inputs), "layers")
    if graph.outputs != outputs:
        message = f"must have {outputs} outputs, as many as the target has, got `{graph.outputs}`"
        raise fail(text, ("network", "layers"), message)
    return graph


def network_of(plan: Plan, inputs: int, outputs: int, embeddings: dict[int, tuple[int, int]]) -> Any:
    """The network for so many inputs and outputs."""
    from fastbp.model.network import Network

    graph = layers_of(plan, inputs, outputs, embeddings)
    layers = [node.layer for node in graph.nodes]
    return Network(layers, inputs=inputs, seed=plan.config.seed, dtype=plan.config.dtype)


def trainer_of(plan: Plan, net: Any, loss: Any) -> Any:
    """The trainer of a network, or L-BFGS."""
    from fastbp.train.lbfgs import LBFGS
    from fastbp.train.trainer import Trainer

    said = plan.config.trainer
    if isinstance(plan.optimizer, LBFGSSettings):
        return located(
            plan.text,
            ("trainer", "optimizer"),
            lambda: LBFGS(net, loss=loss, **dataclasses.asdict(plan.optimizer)),
            "LBFGS",
        )
    try:
        return Trainer(
            net,
            loss=loss,
            optimizer=plan.optimizer,
            batch_size=said.batch_size,
            threads=said.threads,
            schedule=plan.schedule,
            clip_norm=said.clip_norm,
            clip_value=said.clip_value,
            accumulate=said.accumulate,
            ema=said.ema,
            lr_factors=said.lr_factors,
            decay_factors=said.decay_factors,
            frozen=said.frozen,
        )
    except ConfigError as error:
        key = re.match(r"`([A-Za-z_]+)", str(error))
        path = ("trainer", key[1]) if key and hasattr(said, key[1]) else ("trainer",)
        message = re.sub(r"^`([A-Za-z_]+)", r"`trainer.\1", str(error)) if len(path) == 2 else str(error)
        raise ConfigError(plan.text.place(path) + message) from None
