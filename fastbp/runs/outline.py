"""The outline of a configuration, without compiling: layers, shapes, parameters, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.config.build import LBFGSSettings, Plan, plan_of, trainer_of
from fastbp.config.space import said as in_words
from fastbp.config.text import CONFIGS, read
from fastbp.data.plan import Seen
from fastbp.data.prepare import Part
from fastbp.data.rowstore import StoredPart
from fastbp.data.streamed import Told
from fastbp.errors import ConfigError, visible
from fastbp.lowering.user_rows import counts_for
from fastbp.model.files import load
from fastbp.runs.entrants import each_entrant, subjects_of
from fastbp.runs.passes import Passes
from fastbp.runs.subject import Subject, resolved_of, subject_of
from fastbp.spec.graph import INPUT, Graph
from fastbp.train.progress import Progress

LISTED = 10  # classes, at most


@dataclass
class Row:
    """A layer; `reads` are the names of its sources, empty in a chain."""

    index: int
    name: str
    layer: str
    reads: list[str]
    inputs: int
    outputs: int
    parameters: int


@dataclass
class PackOutline:
    """What there is of a pack: how many members and networks, what each key is drawn from, and the range of sizes."""

    members: int
    folds: int | None
    networks: int
    rows: list[int]
    space: dict[str, str]
    parameters: list[int]


@dataclass
class Outline:
    """The output of `fastbp check`."""

    layers: list[Row]
    rows: dict[str, int]
    columns: list[Seen]
    task: str
    targets: list[str]
    shares: dict[str, float]
    transforms: dict[str, str]
    parameters: int
    steps: int
    shards: int
    memory: int
    resolved: dict[str, Any]
    pack: PackOutline | None = None

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "rows": self.rows,
            "columns": [asdict(column) for column in self.columns],
            "task": self.task,
            "targets": self.targets,
            "shares": self.shares,
            "transforms": self.transforms,
            "parameters": self.parameters,
            "steps_per_epoch": self.steps,
            "shards": self.shards,
            "memory_bytes": self.memory,
            **({} if self.pack is None else {"pack": asdict(self.pack)}),
            "config": self.resolved,
        }


def layers_in(path: str) -> list[Row]:
    """The layers of the network in a file, or of a configuration's."""
    if Path(path).suffix.lower() in CONFIGS:
        return rows_of(subject_of(plan_of(read(path))).graph())
    return rows_of(load(path).graph)


def rows_of(graph: Graph) -> list[Row]:
    """The layers of a graph."""
    layers = []
    chained = all(node.sources == (node.index - 1,) for node in graph.nodes)
    for node in graph.nodes:
        reads = [] if chained else ["inputs" if s == INPUT else graph.nodes[s].name for s in node.sources]
        kind = type(node.layer).__name__
        layers.append(Row(node.index, node.name, kind, reads, sum(node.widths), node.outputs, node.count))
    return layers


def outline(plan: Plan, quiet: bool = True) -> Outline:
    """Read the data and infer every shape."""
    config = plan.config
    told = Passes(Progress(quiet=quiet))
    subjects = [subject_of(plan, True, told)] if config.pack is None else subjects_of(plan, look=True)
    subject = subjects[0]
    graph = subject.graph()
    layers = rows_of(graph)
    count = sum(layer.parameters for layer in layers)
    rows = {name: len(part) for name, part in subject.parts.items()}
    batch = min(config.trainer.batch_size, rows["train"])
    data = sum(_data(part) for each in subjects for part in each.parts.values())
    memory = data + (_memory(plan, graph, count, batch) if config.pack is None else 0)
    pack = None
    if config.pack is not None:
        pack, more = _packed(plan, subjects)
        memory += more
    steps = rows["train"] // batch if config.trainer.drop_last else -(-rows["train"] // batch)
    names = subject.recipe.outputs.names
    shares = shares_of(names, subject.judged["train"].y) if subject.task == "classes" else {}
    outputs = subject.recipe.outputs
    pairs = zip(outputs.columns, outputs.transforms, strict=True) if outputs.transformed else ()
    transforms = {name: transform.name for name, transform in pairs}
    said = names, shares, transforms
    every = resolved_of(plan, subject)
    return Outline(
        layers, rows, subject.seen, subject.task, *said, count, steps, config.trainer.shards, memory, every, pack
    )


def _packed(plan: Plan, subjects: list[Subject]) -> tuple[PackOutline, int]:
    """What there is of a pack, and the bytes of its networks."""
    said = plan.config.pack
    assert said is not None
    rows, sizes, memory = [], [], 0
    for one in each_entrant(plan, subjects):
        graph, config = one.member.net.graph, one.of.plan
        rows.append(one.rows)
        sizes.append(sum(prod(shape) for shape in graph.parameters().values()))
        memory += _memory(config, graph, sizes[-1], min(config.config.trainer.batch_size, one.rows))
    space = {name: in_words(among) for name, among in said.space.items()}
    ranges = [[min(numbers), max(numbers)] for numbers in (rows, sizes)]
    return PackOutline(said.members, said.folds, len(rows), ranges[0], space, ranges[1]), memory


def listed(names: Sequence[str], shares: Mapping[str, float]) -> str:
    """Classes with their shares, ten of them at most.

    Examples
    --------
    >>> listed(["no", "yes"], {"no": 0.996, "yes": 0.004})
    '2 classes: no 99.6%, yes 0.4%'
    """
    digits = 1 if any(shares[name] < 0.01 for name in names) else 0
    said = [f"{visible(name)} {shares[name]:.{digits}%}" for name in names[:LISTED]]
    return f"{len(names):,} classes: {', '.join(said + ['...'] * (len(names) > LISTED))}"


def shares_of(names: list[str], y: Any) -> dict[str, float]:
    """The share of the training rows that each class has."""
    counts = np.bincount(y, minlength=len(names))
    return {name: float(count) / len(y) for name, count in zip(names, counts, strict=True)}


def _data(part: Part) -> int:
    """Bytes of rows."""
    return int(part.X.nbytes) if isinstance(part, StoredPart) else int(part.X.nbytes + part.y.nbytes)


def _memory(plan: Plan, graph: Graph, parameters: int, batch: int) -> int:
    """Bytes: parameters with their transposed copies and moments, two numbers an activation of the batch."""
    item = np.dtype(plan.config.dtype).itemsize
    moments = 0 if isinstance(plan.optimizer, LBFGSSettings) else plan.optimizer.moments
    trainer = plan.config.trainer
    copies = 2 + moments + (trainer.ema is not None) + (trainer.accumulate > 1 or trainer.clip_norm is not None)
    values = graph.inputs + 2 * sum(node.outputs for node in graph.nodes)
    return item * (copies * parameters + values * batch)


def training_plan(plan: Plan) -> str:
    """The plan of a training step."""
    if isinstance(plan.optimizer, LBFGSSettings):
        raise ConfigError("`--plan` needs an optimiser with steps, and `lbfgs` has none")
    if plan.config.pack is not None:
        raise ConfigError("`--plan` prints the plan of one network, and there are those of a `pack`")
    subject = subject_of(plan, told=Told())
    trainer = trainer_of(plan, subject.network(), subject.loss)
    batch = min(trainer.batch_size, len(subject.parts["train"]))
    return str(trainer._plan(batch, counts_for(trainer.net.graph, subject.judged["train"].X)))
