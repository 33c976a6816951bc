"""A configuration together with its prepared data: splits, task, loss, metrics, sizes."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.config.build import LBFGSSettings, Plan, layers_of, network_of
from fastbp.config.check import fail, one_of, path_of, show
from fastbp.config.pack import members_of
from fastbp.config.resolve import resolved
from fastbp.config.text import as_yaml
from fastbp.data.plan import Seen
from fastbp.data.prepare import LOSS_OF, Part, Prepared, prepare
from fastbp.data.recipe import Recipe
from fastbp.data.rowstore import StoredPart
from fastbp.data.sizes import amount
from fastbp.data.streamed import Told, need_of, origin_of, streamed, streams
from fastbp.errors import ConfigError, DataError
from fastbp.model.network import Network
from fastbp.spec.catalogue import loss_of
from fastbp.spec.graph import Graph
from fastbp.spec.losses import Loss
from fastbp.spec.windows import ByClass, Source, counts_of
from fastbp.train.class_weights import by_class, of_counts

METRICS = {"classes": ["accuracy"], "labels": ["accuracy"], "numbers": ["r2", "rmse"]}


@dataclass
class Subject:
    """A plan with its data.

    Attributes
    ----------
    parts : dict of str to Part
        "train", and "validation" and "test" where there are such rows.
    recipe : Recipe
        What was learned from the training rows.
    loss, metrics
        Those of the plan, or defaults for the task.
    resolved : dict
        The configuration with every default.
    seen : list of Seen
        What the columns of the table are.
    """

    plan: Plan
    parts: dict[str, Part]
    recipe: Recipe
    loss: Any
    metrics: list[str]
    resolved: dict[str, Any]
    seen: list[Seen]
    stored: Any = None  # the `Rows`, where they stay in files

    @cached_property
    def judged(self) -> dict[str, Part]:
        """The parts on which it is judged: all, or some rows of each that stays in files."""
        return {name: part.some() if isinstance(part, StoredPart) else part for name, part in self.parts.items()}

    @property
    def task(self) -> str:
        """ "classes", "labels" or "numbers"."""
        return self.recipe.outputs.task

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the rows and of what was fitted to them."""
        found = zlib.crc32(json.dumps(self.recipe.to_data()).encode())
        if self.stored is not None:
            return f"{zlib.crc32(self.stored.check.encode(), found):08x}"
        for name, part in self.parts.items():
            found = zlib.crc32(name.encode(), found)
            for array in (getattr(part.X, "narrow", part.X), part.y, part.weight):
                if array is not None:
                    found = zlib.crc32(np.ascontiguousarray(array).data.cast("B"), found)
        return f"{found:08x}"

    @cached_property
    def training_weight(self) -> Any:
        """The weight of each training row: its own, times that of its class."""
        given, train = self.plan.config.trainer.class_weight, self.parts["train"]
        if given is None:
            return train.weight
        if self.stored is not None:
            return self._stored_weight(given)
        names, ignored = self.recipe.outputs.names, getattr(self.loss, "ignore_index", None)
        kept = train.y != ignored if ignored is not None else np.ones(len(train), bool)
        said = given if isinstance(given, str) else {names.index(name): number for name, number in given.items()}
        found = np.zeros(len(train))
        found[kept] = by_class(said, train.y[kept], "trainer.class_weight")
        return found if train.weight is None else found * train.weight

    def _stored_weight(self, given: Any) -> ByClass:
        """The same of rows that stay in files, as they are read."""
        train, names = self.parts["train"], self.recipe.outputs.names
        labels, weights = Source(train.y), np.zeros(len(names))
        counts = counts_of(labels, len(names))
        classes = np.array([i for i in np.flatnonzero(counts) if i != getattr(self.loss, "ignore_index", None)])
        said = given if isinstance(given, str) else {names.index(name): number for name, number in given.items()}
        weights[classes] = of_counts(said, classes, counts[classes], "trainer.class_weight")
        return ByClass(labels, weights, None if train.weight is None else Source(train.weight))

    def check_class_weight(self) -> None:
        """Refuse weights of classes that there are not."""
        given, path = self.plan.config.trainer.class_weight, ("trainer", "class_weight")
        if given is not None and self.task != "classes":
            raise fail(self.plan.text, path, f"must be left out where targets are {self.task}", show(given))
        for name in given if isinstance(given, dict) else ():
            if name not in self.recipe.outputs.names:
                raise one_of(self.plan.text, path, name, self.recipe.outputs.names)
        if isinstance(given, dict) and not any(given.get(name, 1.0) for name in self.recipe.outputs.names):
            raise fail(self.plan.text, path, "must have a class above 0")

    def check_calibration(self) -> None:
        """Refuse a temperature where there are no probabilities, or no rows that it is fitted to."""
        given, path = self.plan.config.trainer.calibrate, ("trainer", "calibrate")
        if given is not None and "probabilities" not in self.loss.metrics:
            must = f"must be null with loss `{self.loss.named}`, whose outputs are no probabilities"
            raise fail(self.plan.text, path, must, show(given))
        if given is not None and "validation" not in self.parts:
            raise fail(self.plan.text, path, "must be null where there are no validation rows", show(given))

    @property
    def settings(self) -> dict[str, Any]:
        """The run's settings without its data, as JSON."""
        said = {key: self.resolved[key] for key in ("dtype", "seed", "network", "trainer")}
        return dict(json.loads(json.dumps(said)))

    @property
    def sizes(self) -> tuple[int, int, dict[int, tuple[int, int]], Any, list[int], Loss]:
        """Inputs and outputs of the network, columns of categories with their tables, what embeds numbers, how many
        inputs stand for each column, and the loss.
        """
        inputs, outputs = self.recipe.inputs, self.recipe.outputs.width
        width = outputs * self.loss.outputs_per_target
        return inputs.width, width, inputs.embeddings(), self._embedded, inputs.chunks(), self.loss

    @cached_property
    def _embedded(self) -> Callable[[Any], Any]:
        """From an embedder to its layer for the training rows, or None where these have no use for it."""
        inputs = self.recipe.inputs
        return cache(
            lambda embedder: embedder.layer(self.judged["train"].X, inputs.numbers(), tuple(inputs.embeddings()))
        )

    def graph(self) -> Graph:
        """The layers; compiles and draws nothing."""
        graph: Graph = layers_of(self.plan, *self.sizes)
        self.loss.check_outputs(graph.outputs)
        given = self.plan.config.trainer.calibrate
        if given is not None and graph.members is not None and self.plan.config.pack is None:
            must = "must be null where a network has members, but for one with `pack`"
            raise fail(self.plan.text, ("trainer", "calibrate"), must, show(given))
        return graph

    def network(self) -> Network:
        """The network, with the recipe that turns tables into its inputs."""
        self.graph()
        net: Network = network_of(self.plan, *self.sizes)
        net.about = {"recipe": self.recipe.to_data()}
        return net


def subject_of(plan: Plan, look: bool = False, told: Told | None = None) -> Subject:
    """Read the data, `look` for inputs that tell a target; errors of settings that depend on it name their line.

    Rows that do not fit into memory stay in files for those who can be `told` of passes, and are refused elsewhere.
    """
    return subject_with(plan, *prepared_of(plan, look, told))


def prepared_of(plan: Plan, look: bool = False, told: Told | None = None) -> tuple[Prepared, Any]:
    """The data of a plan, and where its rows are stored if they stay in files."""
    config, stored = plan.config, None
    try:
        sources = streams(config.data)
        if sources is None:
            prepared = prepare(config.data, config.seed, config.dtype, plan.loss, plan.strict, look)
        else:
            refuse_streamed(plan)
            if told is None:
                streaming, need = (
                    "`check`, `train`, `evaluate`, `explain` and `predict`",
                    need_of(sources, config.data)[0],
                )
                must = f"must fit into memory for this command, as only {streaming} stream tables"
                raise DataError(f"{origin_of(sources)}: {must}, but needs about {amount(need)}")
            base = Path(config.data.store or Path(config.run.folder) / "rows").absolute()
            config.data.stream, config.data.store = True, str(base)
            said = config.seed, config.dtype, plan.loss, plan.strict
            prepared, stored = streamed(config.data, sources, *said, base, told)
    except ConfigError as error:
        raise error.at(place=plan.text.place(path_of(error.where)) if error.where else None) from None
    return prepared, stored


def subject_with(plan: Plan, prepared: Prepared, stored: Any = None) -> Subject:
    """A plan with these data, which are its own."""
    config = plan.config
    task = prepared.recipe.outputs.task
    loss = plan.loss if plan.loss is not None else loss_of(LOSS_OF[task])
    named = config.trainer.metrics
    metrics = METRICS[task] if named is None else list(named)
    every = resolved(plan, loss, metrics, task)
    found = Subject(plan, prepared.parts, prepared.recipe, loss, metrics, every, prepared.seen, stored)
    found.check_class_weight()
    found.check_calibration()
    return found


def refuse_streamed(plan: Plan) -> None:
    """Refuse what needs all rows in memory, before any is read."""
    if plan.config.pack is not None:
        raise fail(plan.text, ("pack",), "must be left out where rows do not fit into memory")
    if isinstance(plan.optimizer, LBFGSSettings):
        raise fail(plan.text, ("trainer", "optimizer"), "must have steps where rows do not fit into memory", "`lbfgs`")


def resolved_config(plan: Plan, told: Told | None = None) -> str:
    """The configuration with every default, some of which depend on the data."""
    subject = subject_of(plan, told=told)
    if plan.config.pack is not None:
        members_of(plan)  # refuses draws that are no configuration
    return as_yaml(resolved_of(plan, subject))


def resolved_of(plan: Plan, subject: Subject) -> dict[str, Any]:
    """A configuration with every default, for the rows of a run, or of a fold of it."""
    return resolved(plan, subject.loss, subject.metrics, subject.task)


def absolute(resolved: dict[str, Any]) -> dict[str, Any]:
    """A resolved configuration with absolute paths."""
    data = dict(resolved["data"])
    for key in ("path", "train", "validation", "test", "store"):
        value = data[key]
        if value is not None:
            data[key] = os.path.abspath(value) if isinstance(value, str) else [os.path.abspath(v) for v in value]
    return {**resolved, "data": data}
