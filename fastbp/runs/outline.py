"""What a configuration would run, without compiling anything: layers, shapes, parameters, memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastbp.config.build import LBFGSSettings, Plan, layers_of
from fastbp.config.resolve import resolved
from fastbp.data.prepare import LOSS_OF, prepare
from fastbp.model.graph import Graph
from fastbp.model.losses import loss_of
from fastbp.runs.training import METRICS


@dataclass
class Outline:
    """What `fastbp check` shows; a layer is (index, class, inputs, outputs, parameters)."""

    layers: list[tuple[int, str, int, int, int]]
    rows: dict[str, int]
    task: str
    targets: list[str]
    parameters: int
    steps: int
    memory: int
    resolved: dict[str, Any]

    def data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        keys = ("index", "layer", "inputs", "outputs", "parameters")
        return {
            "layers": [dict(zip(keys, layer, strict=True)) for layer in self.layers],
            "rows": self.rows,
            "task": self.task,
            "targets": self.targets,
            "parameters": self.parameters,
            "steps_per_epoch": self.steps,
            "memory_bytes": self.memory,
            "config": self.resolved,
        }


def outline(plan: Plan) -> Outline:
    """Read the data and infer every shape."""
    config = plan.config
    prepared = prepare(config.data, config.seed, config.dtype, plan.loss)
    recipe = prepared.recipe
    loss = plan.loss if plan.loss is not None else loss_of(LOSS_OF[recipe.outputs.task])
    width = recipe.outputs.width * (2 if loss.kind == "gaussian_nll" else 1)
    graph = layers_of(plan, recipe.inputs.width, width, recipe.inputs.embeddings())
    loss.check_outputs(width)
    layers = []
    for node in graph.nodes:
        count = sum(prod(shape) for _, shape, _, _ in node.layer.draws(node.inputs).values())
        layers.append((node.index, type(node.layer).__name__, node.inputs, node.outputs, count))
    count = sum(layer[4] for layer in layers)
    rows = {name: len(part) for name, part in prepared.parts.items()}
    batch = min(config.trainer.batch_size, rows["train"])
    metrics = config.trainer.metrics
    names = METRICS[recipe.outputs.task] if metrics is None else list(metrics)
    memory = _memory(plan, graph, count, batch) + sum(part.X.nbytes + part.y.nbytes for part in prepared.parts.values())
    steps = -(-rows["train"] // batch)
    settings = resolved(plan, loss, names, recipe.outputs.task)
    return Outline(layers, rows, recipe.outputs.task, recipe.outputs.names, count, steps, memory, settings)


def _memory(plan: Plan, graph: Graph, parameters: int, batch: int) -> int:
    """Bytes: parameters with their transposed copies and moments, two numbers an activation of the batch."""
    item = np.dtype(plan.config.dtype).itemsize
    moments = 0 if isinstance(plan.optimizer, LBFGSSettings) else plan.optimizer.moments
    trainer = plan.config.trainer
    copies = 2 + moments + (trainer.ema is not None) + (trainer.accumulate > 1 or trainer.clip_norm is not None)
    values = graph.inputs + 2 * sum(node.outputs for node in graph.nodes)
    return item * (copies * parameters + values * batch)
