"""PyTorch eager."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.calls import Call
from bench.cases import Case
from bench.contenders import residual
from bench.contenders.face import Contender, Predictor, Trainer, pairs_of, portions_of

Array = npt.NDArray[Any]


class OfTorch(Contender):
    """What all of PyTorch share."""

    modules = ("torch",)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.torch = importlib.import_module("torch")
        self.torch.set_num_threads(threads)
        # Dead relus leave Adam's m in the subnormals, which are tens of times slower.
        self.torch.set_flush_denormal(True)

    def versions(self) -> dict[str, str]:
        backends = self.torch.backends
        parts = [name for name in ("mkl", "mkldnn", "openmp") if getattr(backends, name).is_available()]
        return {"torch": version("torch"), "torch's BLAS": "+".join(parts) or "unknown"}

    def model_of(self, layers: list[tuple[int, int]], weights: list[Array]) -> Any:
        """The chain as `nn.Sequential`."""
        modules: list[Any] = []
        for inputs, outputs in layers:
            modules += [self.torch.nn.Linear(inputs, outputs), self.torch.nn.ReLU()]
        return self.filled(self.torch.nn.Sequential(*modules[:-1]), weights)

    def filled(self, model: Any, weights: list[Array]) -> Any:
        """The model with these parameters."""
        with self.torch.no_grad():
            for parameter, weight in zip(model.parameters(), weights, strict=True):
                parameter.copy_(self.torch.tensor(weight.T))
        return model


class TorchTrainer(OfTorch, Trainer):
    """`nn.Sequential`, fused Adam, batches that are views of one tensor."""

    name = "torch"

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        torch = self.torch
        self.model = self.net(case, weights)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=case.lr, fused=True)
        self.criterion = self.loss_of(case)
        self.X, self.y, self.batch, self.start = torch.tensor(X), torch.tensor(y), case.batch, 0

    def net(self, case: Case, weights: list[Array]) -> Any:
        if case.residual:
            return self.filled(residual.of_torch(case), weights)
        return self.model_of(case.layers, weights)

    def loss_of(self, case: Case) -> Any:
        functional = self.torch.nn.functional
        return functional.mse_loss if case.loss == "mse" else functional.cross_entropy

    def run(self, steps: int) -> None:
        model, optimizer, criterion = self.model, self.optimizer, self.criterion
        X, y, batch, start, rows = self.X, self.y, self.batch, self.start, len(self.X)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = criterion(model(X[start : start + batch]), y[start : start + batch])
            loss.backward()
            optimizer.step()
            start = (start + batch) % rows
        self.start, self.last = start, loss.detach()

    @property
    def loss(self) -> float:
        return float(self.last)

    def parameters(self) -> list[Array]:
        return [np.array(parameter.detach().numpy().T) for parameter in self.model.parameters()]


class TorchPredictor(OfTorch, Predictor):
    """`nn.Sequential` in inference mode; with a buffer of the caller's, `addmm` into buffers made beforehand."""

    name = "torch"

    def prepare(self, call: Call, weights: list[Array], X: Array) -> None:
        torch = self.torch
        self.portions = [torch.from_numpy(portion) for portion in portions_of(call, X)]
        layers = pairs_of(weights)
        if not call.out:
            self.predict = self.model_of([W.shape for W, _ in layers], weights)
            return
        parts = [(torch.tensor(W), torch.tensor(b), torch.empty(call.rows, b.size)) for W, b in layers]

        def predict(x: Any) -> Any:
            for number, (W, b, out) in enumerate(parts, 1):
                x = torch.addmm(b, x, W, out=out)
                if number < len(parts):
                    x = x.relu_()
            return x

        self.predict = predict

    def run(self, count: int) -> None:
        with self.torch.inference_mode():
            super().run(count)
