"""The cases as data: a net, a batch, a loss, and what one training step costs in flops and bytes.

Flops of a step of a net of linear layers (B batch rows, I inputs, O outputs of each layer):

    forward   z  = x W      2 B I O
    vjp       dW = xᵀ dz    2 B I O
              dx = dz Wᵀ    2 B I O, not for the first layer: nobody asks for the gradient of the data

Activations, losses and Adam are left out, as everywhere. Bytes are the least a step can move:

    24 for each parameter                    Adam reads and writes p, m and v, four bytes each
    16 for each output of a layer and row    y and its δ are written once and read once
     4 for each input and row                the batch is read once, its targets are not counted
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DATA_BYTES = 32 * 2**20  # a data set stays below this, so that it does not drown the parameters' traffic
MOST_BATCHES = 256


@dataclass(frozen=True)
class Case:
    """A relu net trained by Adam on batches of one size.

    Attributes
    ----------
    name : str
    sizes : tuple of int
        Widths, the inputs first. Relu stands between the layers, not after the last.
    batch : int
        Rows of a batch.
    loss : {"cross_entropy", "mse"}
    lr : float
    residual : bool
        Whether the inner layers are blocks of two, h + W₂ relu(W₁ h): see `residual.py`.
    """

    kind: ClassVar[str] = "train"
    unit: ClassVar[str] = "step"

    name: str
    sizes: tuple[int, ...]
    batch: int
    loss: str = "cross_entropy"
    lr: float = 1e-3
    residual: bool = False

    @property
    def title(self) -> str:
        """What its row of a table is called."""
        return f"{self.name}, {self.batch}"

    def arrays(self) -> list[Array]:
        """The initial weights [W, b, W, b, ...], then the data set X and y."""
        return [*initial_weights(self), *data(self)]

    @property
    def layers(self) -> list[tuple[int, int]]:
        """The (inputs, outputs) of each linear layer."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum(i * o + o for i, o in self.layers)

    @property
    def flops(self) -> int:
        """Flops of one training step: three products a layer, two in the first."""
        products = [3 * i * o for i, o in self.layers]
        first = self.sizes[0] * self.sizes[1]
        return 2 * self.batch * (sum(products) - first)

    @property
    def bytes(self) -> int:
        """Bytes one training step has to move at least, in float32."""
        return 24 * self.parameters + self.batch * (4 * self.sizes[0] + 16 * sum(self.sizes[1:]))

    @property
    def batches(self) -> int:
        """The number of batches in the data set."""
        return int(np.clip(DATA_BYTES // (4 * self.batch * self.sizes[0]), 4, MOST_BATCHES))


@dataclass(frozen=True)
class Many(Case):
    """Many nets of a case, which begin from weights of their own.

    Attributes
    ----------
    members : int
    """

    kind: ClassVar[str] = "pack"

    members: int = 1

    @property
    def title(self) -> str:
        return f"{self.members} x {super().title}"

    def arrays(self) -> list[Array]:
        """The initial weights, with an axis of nets in front, then the data set X and y."""
        each = [initial_weights(self, seed) for seed in range(self.members)]
        return [*map(np.stack, zip(*each, strict=True)), *data(self)]

    @property
    def flops(self) -> int:
        return self.members * super().flops

    @property
    def bytes(self) -> int:
        return self.members * super().bytes

    @classmethod
    def of(cls, case: Case, members: int) -> Many:
        """So many nets of this case."""
        return cls(case.name, case.sizes, case.batch, case.loss, case.lr, members=members)


CASES = (
    Case("2-16-16-1", (2, 16, 16, 1), 32, loss="mse"),
    Case("17-64-64-6", (17, 64, 64, 6), 64),
    Case("64-128-64-10", (64, 128, 64, 10), 64),
    Case("784-128-10", (784, 128, 10), 64),
    Case("784-512-256-10", (784, 512, 256, 10), 128),
    Case("100-256x3-10", (100, 256, 256, 256, 10), 256),
    Case("1024x3-10", (1024, 1024, 1024, 10), 512),
    Case("100-256x17-10 residual", (100, *[256] * 17, 10), 256, residual=True),
    Case("2048x4-10", (2048, 2048, 2048, 2048, 10), 1024),
)


def named(substrings: Sequence[str]) -> list[Case]:
    """Return the cases whose name contains one of the substrings; all of them when there are none.

    >>> [case.name for case in named(["64-64", "784-1"])]
    ['17-64-64-6', '784-128-10']
    """
    return [case for case in CASES if not substrings or any(part in case.name for part in substrings)]


def initial_weights(case: Case, seed: int = 0) -> list[Array]:
    """Return [W, b, W, b, ...], float32, W (I, O), uniform in ±1/sqrt(I) as in PyTorch."""
    random = np.random.default_rng([seed, 1])
    weights: list[Array] = []
    for i, o in case.layers:
        for shape in [(i, o), (o,)]:
            weights.append(random.uniform(-(i**-0.5), i**-0.5, shape).astype(np.float32))
    return weights


def data(case: Case, seed: int = 0) -> tuple[Array, Array]:
    """Return X (rows, I) float32 and y: int64 classes, or float32 (rows, O) for mse.

    A random linear teacher with noise makes the targets, so the loss falls but a net cannot fit them exactly:
    gradients that fade to nothing would make the timed steps unlike anyone's training.
    """
    random = np.random.default_rng([seed, 2])
    rows, inputs, outputs = case.batch * case.batches, case.sizes[0], case.sizes[-1]
    X = random.standard_normal((rows, inputs), dtype=np.float32)
    teacher = random.standard_normal((inputs, outputs)) * inputs**-0.5
    z = X @ teacher + 0.5 * random.standard_normal((rows, outputs))
    if case.loss == "mse":
        return X, z.astype(np.float32)
    return X, z.argmax(axis=1).astype(np.int64)
