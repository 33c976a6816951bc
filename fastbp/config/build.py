"""From a checked configuration to the objects it names: layers, loss, optimiser, schedule, trainer."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.config import rules
from fastbp.config.check import checked, fail, one_of, path_of, show, unknown
from fastbp.config.places import Path_
from fastbp.config.schema import Config, Schedules
from fastbp.config.space import flattened
from fastbp.config.text import Text, dotted
from fastbp.config.wiring import KEYS, Place, layer_table, placed, wired
from fastbp.errors import ConfigError, escaped, visible
from fastbp.spec.checks import is_formula


@dataclass
class Plan:
    """A configuration with its names resolved to objects; `loss` and `metrics` are None where the data decide."""

    text: Text
    config: Config
    loss: Any
    optimizer: Any
    schedule: Any
    schedules: dict[str, Any]
    layers: list[Any] | None
    places: list[Place]
    hidden: list[Any]
    embedder: Any  # of numbers, or None
    time_limit: float | None
    strict: bool = False  # whether categories that training rows do not have are refused in the others


def plan_of(text: Text) -> Plan:
    """Check all that can be checked without the data."""
    from fastbp.spec.catalogue import LOSSES
    from fastbp.spec.custom import Custom, CustomLoss
    from fastbp.spec.embeddings import EMBEDDERS
    from fastbp.spec.formulas import penalty_kernel
    from fastbp.train.catalogue import OPTIMIZERS, schedules_named
    from fastbp.train.metrics import metric_named
    from fastbp.train.schedules import SCHEDULES

    text = flattened(text)
    if "preset" in text.data:
        from fastbp.config.presets.laid import laid

        text = laid(text)
    config = checked(text)
    rules.together(text, config)
    trainer, network = config.trainer, config.network
    loss = None if trainer.loss is None else named(text, ("trainer", "loss"), trainer.loss, LOSSES, CustomLoss)
    optimizer = named(text, ("trainer", "optimizer"), trainer.optimizer, {**OPTIMIZERS, "lbfgs": LBFGSSettings})
    schedule = None
    if trainer.schedule is not None:
        schedule = named(text, ("trainer", "schedule"), trainer.schedule, SCHEDULES)
    schedules = {}
    for what in Schedules.__struct_fields__:
        if (value := getattr(trainer.schedules, what, None)) is not None:
            schedules[what] = named(text, ("trainer", "schedules", what), value, SCHEDULES)
    located(text, ("trainer", "schedules"), lambda: schedules_named(schedules), "schedules")
    layers = None
    places: list[Place] = []
    if network.layers is not None:
        table = layer_table()
        places, values = placed(text, network.layers)
        known: dict[str | None, Any] = {}
        layers = []
        for i, (place, value) in enumerate(zip(places, values, strict=True)):
            shared = known.get(place.share) if place.share is not None else None
            layers.append(shared or named(text, ("network", "layers", i), value, table, Custom, KEYS))
            known[place.name] = layers[-1]
    hidden, embedder = _hidden(text, config), None
    if network.embed_numbers is not None:
        embedder = named(text, ("network", "embed_numbers"), network.embed_numbers, EMBEDDERS)
    by_name = trainer.penalty if isinstance(trainer.penalty, dict) else {None: trainer.penalty}
    for key, formula in by_name.items():
        path: Path_ = ("trainer", "penalty") if key is None else ("trainer", "penalty", key)
        if formula is not None:
            located(text, path, lambda formula=formula: penalty_kernel(formula), "penalty")
    for i, name in enumerate(trainer.metrics or ()):
        located(text, ("trainer", "metrics", i), lambda name=name: metric_named(name), "metric")
    if isinstance(optimizer, LBFGSSettings):
        rules.without_steps(text, trainer)
        if config.pack is not None:
            raise fail(text, ("trainer", "optimizer"), "must have steps in a pack", "`lbfgs`")
    rules.of_target(text, config.data, loss)
    return Plan(
        text,
        config,
        loss,
        optimizer,
        schedule,
        schedules,
        layers,
        places,
        hidden,
        embedder,
        rules.seconds(text, trainer),
    )


@dataclass(frozen=True)
class LBFGSSettings:
    """L-BFGS over all rows, as an optimiser of a file."""

    kind = "lbfgs"
    weight_decay: float = 0.0
    decay_all: bool = False
    memory: int = 10
    tolerance: float = 1e-8

    def __post_init__(self) -> None:
        from fastbp.spec.checks import flag, from_zero, whole

        from_zero("LBFGSSettings.weight_decay", self.weight_decay)
        flag("LBFGSSettings.decay_all", self.decay_all)
        whole("LBFGSSettings.memory", self.memory, 1)
        from_zero("LBFGSSettings.tolerance", self.tolerance)


def named(
    text: Text, path: Path_, value: Any, table: Mapping[str, Any], formula: Any = None, beside: Sequence[str] = ()
) -> Any:
    """The object for a name, or for a map with `name` and settings.

    `formula` makes an object from a formula; keys `beside` are ignored.
    """
    settings: dict[str, Any] = {}
    if isinstance(value, dict):
        settings = dict(value)
        if "name" not in settings:
            raise fail(text, path, "must be a name, or a map that has `name`")
        name, at = settings.pop("name"), (*path, "name")
    else:
        name, at = value, path
    if not isinstance(name, str):
        must = "must be a name" if at != path else "must be a name, or a map with `name`"
        raise fail(text, at, must, show(name))
    if name not in table and formula is not None and is_formula(name):
        known = [f.name for f in dataclasses.fields(formula) if f.init and f.name != "formula"]
        for key in settings:
            if key not in known:
                raise (
                    unknown(text, path, key, known)
                    if known
                    else fail(text, (*path, key), "must not be given with a formula", show(settings[key]))
                )
        what = "loss" if formula.__name__ == "CustomLoss" else "activation"
        return located(text, path, lambda: formula(name, **settings), what)
    if name not in table:
        raise one_of(text, at, name, table)
    cls = table[name]
    if not isinstance(cls, type):
        cls = type(cls())
    known = [f.name for f in dataclasses.fields(cls) if f.init]
    for key in settings:
        if key not in known:
            near = [*known, *difflib.get_close_matches(key.lower(), beside, cutoff=0.75)]
            raise (
                unknown(text, path, key, near)
                if near
                else fail(text, (*path, key), f"must not be given, as `{name}` has no settings", show(settings[key]))
            )
    needed = [
        f.name
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for key in needed:
        if key not in settings:
            raise fail(text, path, f"must have `{key}`, which `{name}` requires")
    for key in ("init", "bias_init", "adapter"):
        if isinstance(settings.get(key), dict):
            settings[key] = _init(text, (*path, key), settings[key])
    make = table[name] if not isinstance(table[name], type) and not settings else cls
    return located(text, path, lambda: make(**settings), cls.__name__)


def _init(text: Text, path: Path_, value: dict[str, Any]) -> Any:
    from fastbp.spec.initial import INITIALISERS, Init

    for key in value:
        if key not in ("name", "scale"):
            raise unknown(text, path, key, ("name", "scale"))
    name, scale = value.get("name"), value.get("scale")
    if "name" not in value:
        raise fail(text, path, "must be a name, or a map that has `name`")
    if not isinstance(name, str):
        raise fail(text, (*path, "name"), "must be a name", show(name))
    if name not in INITIALISERS:
        raise one_of(text, (*path, "name"), name, INITIALISERS)
    return Init(name, scale)


def located(text: Text, path: Path_, make: Any, inner: str) -> Any:
    """Call `make`; in its messages `Inner.setting` becomes the path in the file."""
    try:
        return make()
    except ConfigError as error:
        where = error.where or ""
        outer, *rest = path_of(where) or ("",)
        if outer != inner:
            raise error.at(place=text.inside(path)) from None
        whole = (*path, *rest)
        must, got = _as_in_files(error, text, whole)
        moved = dotted(path) + where[len(inner) :]
        raise error.at(where=moved, must=must, got=got, place=text.place(whole)) from None


IN_FILES = {
    "must be True or False": "must be `true` or `false`",
    "must be a dict of column to (categories, width)": "must be a map of column to [categories, width]",
    "must be a list of columns, or None for all": "must be a list of columns, or null for all",
    "must be a dict of column to edges": "must be a map of column to edges",
    "must be (categories, width)": "must be [categories, width]",
    "must be a list of numbers or a dict of class to number": "must be a list of numbers or a map of class to number",
    "must be the name of an initialiser or a `fb.Init`": "must be the name of an initialiser, or a map with `name`",
    "must have a value if it is `constant`": "must have `scale` if it is `constant`",
}


def _as_in_files(error: ConfigError, text: Text, path: Path_) -> tuple[str, str | None]:
    """The words of an error about an argument, as those about a key; and the value as it stands in the file."""
    must, got = IN_FILES.get(error.must, error.must), "`null`" if error.got == "`None`" else error.got
    value: Any = text.data
    for part in path:
        if isinstance(value, dict):
            value = value.get(str(part))
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return must, got
    if isinstance(value, dict) and must == "must be a whole number":  # of a key
        return "must have whole numbers for keys", next((f"`{key}`" for key in value if got == f"`{key!r}`"), got)
    numbers = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if got == f"`{value!r}`" and not numbers:
        return must, show(value)
    return must, f"`{visible(value)}`" if isinstance(value, str) and got == f"`{escaped(value)}`" else got


def activation_of(text: Text, config: Config) -> Any:
    """The activation of `network.activation`."""
    from fastbp.spec.catalogue import ACTIVATIONS
    from fastbp.spec.custom import Custom

    return named(text, ("network", "activation"), config.network.activation, ACTIVATIONS, Custom)


def init_of(text: Text, config: Config) -> Any:
    """The initialiser of `network.init`, or None."""
    from fastbp.spec.initial import init_spec

    path, init = ("network", "init"), config.network.init
    if init is None:
        return None
    init = _init(text, path, init) if isinstance(init, dict) else init
    return located(text, path, lambda: init_spec("init", init), "init")


def _hidden(text: Text, config: Config) -> list[Any]:
    """The hidden layers of `network.hidden`, without the last Linear; none beside `network.layers`."""
    from fastbp.spec.catalogue import LAYERS
    from fastbp.spec.layers import Dropout, Linear

    network = config.network
    if network.layers is not None:
        return []
    activation, init = activation_of(text, config), init_of(text, config)
    layers: list[Any] = []
    for i, width in enumerate(network.hidden if network.hidden is not None else [128]):
        try:
            layers.append(Linear(width, init=init))
        except ConfigError as error:
            path = ("network", "hidden", i)
            raise error.at(where=dotted(path), place=text.place(path)) from None
        if network.norm is not None:
            layers.append(LAYERS[network.norm]())
        layers.append(activation)
        if network.dropout:
            layers.append(Dropout(network.dropout))
    return layers


def layers_of(
    plan: Plan,
    inputs: int,
    outputs: int,
    embeddings: dict[int, tuple[int, int]],
    numbers: Any = None,
    chunks: Sequence[int] | None = None,
    loss: Any = None,
) -> Any:
    """The graph for these numbers of inputs and outputs; compiles and draws nothing.

    `numbers` makes the layer of what embeds numbers, for the training rows; `chunks` are how many inputs stand for each
    column; `loss` is what the data decide where the configuration has none.
    """
    from fastbp.spec import gates
    from fastbp.spec.catalogue import OF_NUMBERS
    from fastbp.spec.graph import chain
    from fastbp.spec.initial import Init
    from fastbp.spec.layers import Embedding, Linear
    from fastbp.spec.members import average_for
    from fastbp.spec.tabm import chunks_behind, of_members

    text = plan.text
    if plan.layers is None:
        made = None if plan.embedder is None else numbers(plan.embedder)
        bins = [] if made is None else [made]
        tabm, init = plan.config.network.tabm, init_of(text, plan.config)
        if tabm is None:
            layers = [*bins, *plan.hidden, Linear(outputs, init=init)]
        else:
            tables = [Embedding(embeddings)] if embeddings else []
            average, found = average_for((plan.loss or loss).kind, outputs), None
            if chunks is not None:
                found = chunks_behind([*tables, *bins], chunks, inputs)
            told: dict[str, Any] = {"average": average, "embedded": bool(bins), "chunks": found, "init": init}
            layers = bins + of_members(plan.hidden, outputs, tabm.k, mini=tabm.mini, **told)
    else:
        layers = list(plan.layers)
    first = None
    if embeddings and not isinstance(layers[0], Embedding):
        first = Embedding(embeddings, Init("normal", plan.config.data.embed_std))
    chained = layers if first is None else [first, *layers]
    path: Path_ = ("network", "layers") if plan.layers is not None else ("network",)
    if plan.layers is not None and isinstance(layers[0], (Embedding, *OF_NUMBERS)):
        located(text, (*path, 0), lambda: layers[0].outputs(inputs), type(layers[0]).__name__)
    gated = plan.layers is not None and any(type(layer).__module__ == gates.__name__ for layer in layers)
    if gated or any(place != Place() for place in plan.places):
        graph = wired(text, layers, plan.places, inputs, first)
    else:
        graph = located(text, path, lambda: chain(chained, inputs), "layers")
    rules.of_parameters(text, plan.config.trainer, list(graph.parameters()))
    said = plan.loss
    if said is not None:
        located(text, ("trainer", "loss"), lambda: said.check_outputs(outputs), type(said).__name__)
    if graph.outputs != outputs:
        must = f"must have {outputs} outputs, as many as the target has"
        raise fail(text, ("network", "layers"), must, f"`{graph.outputs}`")
    return graph


def network_of(plan: Plan, *sizes: Any) -> Any:
    """The network for these numbers of inputs and outputs, as `layers_of` takes them."""
    from fastbp.model.network import Network

    graph = layers_of(plan, *sizes)
    return Network.of_graph(graph, plan.config.seed, plan.config.dtype)


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
            penalty=said.penalty,
            schedules=plan.schedules,
        )
    except ConfigError as error:
        key = next(iter(path_of(error.where or "")), "")
        if str(key).startswith("FASTBP_"):  # from the environment, not the file
            raise
        known = hasattr(said, str(key))
        where, path = (f"trainer.{error.where}", ("trainer", key)) if known else (error.where, ("trainer",))
        raise error.at(where=where, place=plan.text.place(path)) from None
