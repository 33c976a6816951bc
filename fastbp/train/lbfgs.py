"""L-BFGS over all rows at once, with SciPy, for small tables and surrogates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.engine.forks import lock
from fastbp.errors import ConfigError, ConfigTypeError, DependencyError, DivergedError, brief
from fastbp.model.by_rows import complete
from fastbp.model.network import Network
from fastbp.spec.checks import flag, from_zero, whole
from fastbp.spec.losses import Loss
from fastbp.train.callbacks import Callback, callback, running
from fastbp.train.class_weights import row_weights
from fastbp.train.held_out import Units, held_out_of
from fastbp.train.history import History
from fastbp.train.parts import parted
from fastbp.train.shown import Shown, verbosity
from fastbp.train.snapshots import Snapshots
from fastbp.train.treatment import loss_for


class LBFGS(Snapshots):
    """Trains a network on all of its rows at once with limited-memory BFGS (Liu and Nocedal, 1989).

    Each iteration is a line search for Wolfe's conditions along -H g, with H an estimate of the inverse Hessian from
    recent changes of parameters and gradient. It needs no learning rate. It uses SciPy (``pip install
    "fastbp[lbfgs]"``), so the bits of a run depend on SciPy's version and the machine.

    Parameters
    ----------
    net : Network
        Without Dropout and BatchNorm, whose loss changes from call to call. float64 gets closer to the optimum.
    loss : str or Loss
    weight_decay : float, >= 0
        λ: the penalty λ/2 Σ θ² over weight matrices is added to the loss that is minimised.
    decay_all : bool
        Whether biases, norms and scales are in the penalty too.
    memory : int, >= 1
        Number of changes that H is estimated from.
    tolerance : float, >= 0
        The run ends when no element of the gradient is larger.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> net = fb.mlp([1, 8, 1], activation="tanh", seed=0, dtype="float64")
    >>> history = fb.LBFGS(net, loss="mse").fit(X, np.sin(3 * X), epochs=200)
    >>> history.loss[-1] < 1e-4
    True
    """

    net: Network

    def __init__(
        self,
        net: Network,
        loss: str | Loss = "cross_entropy",
        weight_decay: float = 0.0,
        decay_all: bool = False,
        memory: int = 10,
        tolerance: float = 1e-8,
    ) -> None:
        if not isinstance(net, Network):
            raise ConfigTypeError("net", "must be a fastbp Network", f"`{type(net).__name__}`")
        for node in net.graph.nodes:
            if node.layer.kind in ("dropout", "batch_norm"):
                raise ConfigError(
                    "net", "must have the same loss at each call for L-BFGS", f"one with `{node.layer!r}`"
                )
        self.net = net
        self.loss = loss
        self._loss = net.trained_with = loss_for(net, loss)
        self.weight_decay = from_zero("LBFGS.weight_decay", weight_decay)
        self.decay_all = flag("LBFGS.decay_all", decay_all)
        self.memory = whole("LBFGS.memory", memory, 1)
        self.tolerance = from_zero("LBFGS.tolerance", tolerance)
        self.steps_done = 0
        self.validating = False
        self.units: Units | None = None  # of metrics
        self._lock = lock("this trainer", writes=True)

    def __repr__(self) -> str:
        return f"LBFGS(loss={self.loss!r}, weight_decay={self.weight_decay}, memory={self.memory})"

    def __reduce__(self) -> Any:
        with self._lock:
            settings = self.net, self.loss, self.weight_decay, self.decay_all, self.memory, self.tolerance
            return LBFGS, settings, {name: getattr(self, name) for name in ("steps_done", "validating", "units")}

    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int = 100,
        validation: Any = None,
        callbacks: Sequence[Any] = (),
        sample_weight: Any = None,
        metrics: Sequence[str] = (),
        verbose: bool | int = False,
    ) -> History:
        """Train for `epochs` iterations, or until the gradient is small; arguments and result as for `Trainer.fit`.

        An epoch is an iteration, which evaluates all rows once and sometimes a few more times. `history.loss` is
        without the penalty.
        """
        try:
            from scipy.optimize import minimize
        except ImportError:
            raise DependencyError(
                "`LBFGS` needs SciPy, which is not installed", hint='pip install "fastbp[lbfgs]"'
            ) from None
        if not isinstance(callbacks, list | tuple):
            raise ConfigTypeError("callbacks", "must be a list of callbacks", f"`{brief(callbacks)}`")
        hooks = [callback(c) for c in callbacks]
        count = whole("epochs", epochs, 0)
        shown = verbosity(verbose)
        with self._lock:
            X, y, sample_weight, validation = parted(
                self.net, self._loss, X, y, validation, sample_weight, self.net.seed
            )
            sample_weight = row_weights(sample_weight, y)
            held_out = held_out_of(self.net, self._loss, validation, metrics, self.units)
            x = self.net.checked(X, y, self._loss, sample_weight)[0]
            complete(self.net, x)
            rows = len(x)
            history = History(metrics={f"val_{name}": [] for name in metrics})
            self.validating = held_out is not None
            hooks += [Shown(shown, count, rows)] if shown else []
            run = _Run(self, X, y, sample_weight, history, hooks, held_out, rows)
            with running(hooks, self, history):
                try:
                    if count:
                        self._minimise(minimize, run, count)
                finally:
                    self.net.flat = run.best
                if run.left:
                    raise run.left
            history.seconds = time.perf_counter() - run.begun
        return history

    def _minimise(self, minimize: Any, run: _Run, count: int) -> None:
        options = {"maxiter": count, "maxcor": self.memory, "gtol": self.tolerance, "ftol": 0.0, "maxfun": 100 * count}
        start = self.net.flat.astype(np.float64)
        found = minimize(run.loss, start, jac=True, method="L-BFGS-B", callback=run.iterated, options=options)
        if found.nit < count and not run.history.stopped:
            small = np.abs(found.jac).max() <= self.tolerance
            run.history.stopped = "the gradient is small" if small else "the loss cannot be made smaller"


class _Run:
    """One fit, as the two functions that SciPy calls."""

    def __init__(
        self, of: LBFGS, X: Any, y: Any, weights: Any, history: History, hooks: list[Callback], held_out: Any, rows: int
    ) -> None:
        self.of, self.history, self.hooks, self.held_out = of, history, hooks, held_out
        self.data = X, y, of._loss, weights
        self.begun = time.perf_counter()
        self.best = of.net.flat
        self.begun_well = False  # whether the loss was finite at the start
        self.left: StopIteration | None = None  # a callback's StopIteration, which SciPy takes as a stop
        self.samples = rows
        names = of.net.graph.decaying()
        sizes = [(name, array.size) for name, array in of.net.parameters.items()]
        decay = of.weight_decay
        self.decay = np.concatenate([np.full(n, decay if of.decay_all or name in names else 0.0) for name, n in sizes])

    def loss(self, theta: Any) -> tuple[float, Any]:
        """The loss with its penalty, and the gradient; infinite on overflow, so that the line search steps back."""
        net = self.of.net
        with np.errstate(over="ignore"):
            small = theta.astype(net.dtype)
        if not np.isfinite(small).all():
            return float("inf"), np.zeros_like(theta)
        X, y, loss, weights = self.data
        try:
            with net.lock:
                net.flat = small
                value, gradients = net.loss_and_gradients(X, y, loss, weights)
        except DivergedError:
            if not self.begun_well:
                raise
            return float("inf"), np.zeros_like(theta)
        self.begun_well = True
        self.history.samples += self.samples
        flat = np.concatenate([gradients[name].ravel() for name in net.parameters]).astype(np.float64)
        return value + 0.5 * float(self.decay @ (theta * theta)), flat + self.decay * theta

    def iterated(self, intermediate_result: Any) -> None:
        """The end of an iteration, which is an epoch."""
        of, history = self.of, self.history
        theta = intermediate_result.x
        if not np.isfinite(theta).all():
            last = of.net.graph.nodes[-1].name
            message = "steps must be finite; the parameters are those before the last step"
            hint = f"the penalty of `weight_decay` `{of.weight_decay}` or the loss is too large to be minimised"
            raise DivergedError(message, of.steps_done, last, hint)
        of.net.flat = self.best = theta.astype(of.net.dtype)
        of.steps_done += 1
        history.loss.append(float(intermediate_result.fun) - 0.5 * float(self.decay @ (theta * theta)))
        history.lr.append(1.0)
        if self.held_out is not None:
            self.held_out.measure(of.net, history)
        history.steps += 1
        history.seconds = time.perf_counter() - self.begun
        for hook in self.hooks:
            try:
                hook.epoch(of, history)  # type: ignore[arg-type]
            except StopIteration as error:
                self.left = error
                raise
        if history.stopped:
            raise StopIteration
