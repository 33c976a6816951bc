"""From a checked configuration to the objects it names: layers, loss, optimiser, schedule, trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.config import rules
from fastbp.config.check import checked, fail, path_of
from fastbp.config.naming import activation_of, linear_of, located, named
from fastbp.config.places import Path_
from fastbp.config.schema import Config, Schedules
from fastbp.config.space import flattened
from fastbp.config.text import Text, dotted
from fastbp.config.wiring import KEYS, Place, layer_table, placed, wired
from fastbp.errors import ConfigError


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
    linear_of(text, config, last=True)
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
    if config.sweep is not None:
        from fastbp.config.search import check_sweep

        check_sweep(text, config)
    rules.in_vain(text)
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


def _hidden(text: Text, config: Config) -> list[Any]:
    """The hidden layers of `network.hidden`, without the last Linear; none beside `network.layers`."""
    from fastbp.spec.catalogue import LAYERS
    from fastbp.spec.layers import Dropout, Linear, Scale

    network = config.network
    if network.layers is not None:
        return []
    activation, words = activation_of(text, config), linear_of(text, config)
    layers: list[Any] = [Scale()] if network.front_scale else []
    for i, width in enumerate(network.hidden if network.hidden is not None else [128]):
        try:
            layers.append(Linear(width, **words))
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
        tabm, last = plan.config.network.tabm, linear_of(text, plan.config, last=True)
        if tabm is None:
            layers = [*bins, *plan.hidden, Linear(outputs, **last)]
        else:
            tables = [Embedding(embeddings)] if embeddings else []
            layers = bins + of_members(
                plan.hidden,
                Linear(outputs, **last),
                tabm.k,
                mini=tabm.mini,
                average=average_for((plan.loss or loss).kind, outputs),
                embedded=bool(bins),
                chunks=chunks and chunks_behind([*tables, *bins], chunks, inputs),
            )
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
    rules.of_parameters(text, plan.config.trainer, graph)
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


def trainer_of(plan: Plan, net: Any, loss: Any, ranks: Any = None) -> Any:
    """The trainer of a network, by several ranks if they are given, or L-BFGS."""
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
            drop_last=said.drop_last,
            shards=said.shards,
            comm=ranks,
        )
    except ConfigError as error:
        key = next(iter(path_of(error.where or "")), "")
        if str(key).startswith("FASTBP_"):  # from the environment, not the file
            raise
        known = hasattr(said, str(key))
        where, path = (f"trainer.{error.where}", ("trainer", key)) if known else (error.where, ("trainer",))
        raise error.at(where=where, place=plan.text.place(path)) from None
