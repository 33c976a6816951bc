"""PyTorch's compiler.

The fastest of several ways to compile a training step: one graph of everything, forward, backward and Adam written out,
which Inductor fuses, called through C++ instead of Python. Compiling only the forward pass and calling the fused Adam
takes two to three times as long for small nets, and longer than eager.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.calls import Call
from bench.cases import Case
from bench.contenders.face import Predictor, portions_of
from bench.contenders.torch import TorchPredictor, TorchTrainer

Array = npt.NDArray[Any]


class CompiledTrainer(TorchTrainer):
    """`torch.compile` of a whole step, its state updated in place, on batches cut beforehand."""

    name = "torch.compile"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        settings: Any = importlib.import_module("torch._inductor.config")
        settings.cpp_wrapper = True
        self.case: Case | None = None

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        torch, shape = self.torch, replace(case, lr=0.0)  # the rate is an argument
        if shape != self.case:
            self.case = shape
            torch.compiler.reset()
            self.program = torch.compile(self.step_of(case, weights), fullgraph=True, dynamic=False)
        p = [torch.tensor(np.ascontiguousarray(weight.T)) for weight in weights]
        self.state = p, [torch.zeros_like(a) for a in p], [torch.zeros_like(a) for a in p], torch.zeros(())
        self.rate = torch.tensor(case.lr)
        whole = zip(torch.tensor(X).split(case.batch), torch.tensor(y).split(case.batch), strict=True)
        self.batches, self.at = list(whole), 0

    def step_of(self, case: Case, weights: list[Array]) -> Any:
        """A step as a function of state, rate and batch."""
        torch, net, criterion = self.torch, self.net(case, weights), self.loss_of(case)
        names = [name for name, _ in net.named_parameters()]

        def loss_of(p: list[Any], x: Any, y: Any) -> Any:
            return criterion(torch.func.functional_call(net, dict(zip(names, p, strict=True)), (x,)), y)

        def step(p: list[Any], m: list[Any], v: list[Any], t: Any, rate: Any, x: Any, y: Any) -> Any:
            gradients, loss = torch.func.grad_and_value(loss_of)(p, x, y)
            t.add_(1.0)
            # 1 - 0.999**t in float32 would lose four digits.
            size = rate / -torch.expm1(t * math.log(0.9))
            root = torch.sqrt(-torch.expm1(t * math.log(0.999)))
            for a, first, second, g in zip(p, m, v, gradients, strict=True):
                first.mul_(0.9).add_(g, alpha=0.1)
                second.mul_(0.999).add_(g * g, alpha=0.001)
                a.sub_(size * first / (torch.sqrt(second) / root + 1e-8))
            return loss

        return step

    def run(self, steps: int) -> None:
        program, state, rate, batches, at = self.program, self.state, self.rate, self.batches, self.at
        for _ in range(steps):
            loss = program(*state, rate, *batches[at])
            at = (at + 1) % len(batches)
        self.at, self.last = at, loss

    def parameters(self) -> list[Array]:
        return [np.array(p.numpy().T) for p in self.state[0]]


class CompiledPredictor(TorchPredictor):
    """`torch.compile` of `nn.Sequential` with its parameters as constants; it writes into no buffer of the caller's."""

    name = "torch.compile"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        settings: Any = importlib.import_module("torch._inductor.config")
        settings.cpp_wrapper = settings.freezing = True

    def prepare(self, call: Call, weights: list[Array], X: Array) -> None:
        self.torch.compiler.reset()
        self.portions = [self.torch.from_numpy(portion) for portion in portions_of(call, X)]
        layers = list(zip(call.sizes[:-1], call.sizes[1:], strict=True))
        self.predict = self.torch.compile(self.model_of(layers, weights).eval(), fullgraph=True, dynamic=False)

    def run(self, count: int) -> None:
        # In inference mode each call takes twice as long.
        with self.torch.no_grad():
            Predictor.run(self, count)
