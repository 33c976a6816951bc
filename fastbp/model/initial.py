"""Initial parameters: a pure function of the seed."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.philox import uniform
from fastbp.model.graph import Graph
from fastbp.model.layers import Linear
from fastbp.model.parameters import Parameters


def initialise(graph: Graph, parameters: Parameters, seed: int) -> None:
    """Draw every parameter as PyTorch's Linear does: uniform between ±1/√I, weights and biases."""
    for node in graph.nodes:
        if isinstance(node.layer, Linear):
            bound = 1.0 / sqrt(node.inputs)
            for i, part in enumerate(("weight", "bias")):
                name = f"{node.index}.{part}"
                if name in parameters:
                    shape = parameters.block.slots[name].shape
                    parameters[name] = _between(shape, bound, seed, 2 * node.index + i)


def _between(shape: tuple[int, ...], bound: float, seed: int, tensor: int) -> NDArray[Any]:
    u = uniform(int(np.prod(shape)), seed, tensor)
    return ((2.0 * u - 1.0) * bound).reshape(shape)
