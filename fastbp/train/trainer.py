"""The trainer: an optimiser, its state, and the three ways to take steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastbp.engine import threads as team
from fastbp.engine.panels import Block
from fastbp.errors import ConfigError, ConfigTypeError, DataError
from fastbp.kernels import layout as at
from fastbp.model import arrays
from fastbp.model.layers import seed_of, whole
from fastbp.model.losses import LOSSES, loss_named
from fastbp.model.network import Network
from fastbp.model.plans import BatchPlan, Update
from fastbp.train.callbacks import Callback, callback
from fastbp.train.history import History
from fastbp.train.optimizers import Adam, Optimizer

CALL_SECONDS = 0.05  # how long compiled code runs before Python may answer Ctrl-C and draw
# Multiplications below which one step is fastest in one call on one thread: starting a region and what Python does
# around it cost about 40 µs a call, which only `run` and `fit` spread over many steps.
ONE_CALL_WORK = 3_000_000
GROWTH = 4  # how much longer a call may be than the one before, while their time is being learned


class Trainer:
    """Trains one network.

    Parameters
    ----------
    net : Network
    loss : {"cross_entropy", "mse"}
        Of integer classes, or of rows of numbers; the mean over the batch, `mse` over all elements.
    optimizer : SGD, Adam or AdamW
        By default ``fb.Adam(lr=1e-3)``.
    batch_size : int, >= 1
    threads : int, optional
        By default as many as there are processors for this process. The bits do not depend on it.
    seed : int, optional
        Of dropout and of the order of batches; by default the network's.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> X = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    >>> net = fb.mlp([1, 16, 1], activation="tanh", seed=0)
    >>> trainer = fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=1e-2), batch_size=16)
    >>> history = trainer.fit(X, X**2, epochs=100)
    >>> history.loss[0] > 0.1, history.loss[-1] < 0.01
    (True, True)
    """

    def __init__(
        self,
        net: Network,
        loss: str = "cross_entropy",
        optimizer: Optimizer | None = None,
        batch_size: int = 32,
        threads: int | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise ConfigTypeError(f"`net` must be a fastbp Network, got `{type(net).__name__}`")
        if optimizer is None:
            optimizer = Adam()
        if not isinstance(optimizer, Optimizer):
            raise ConfigTypeError(f"`optimizer` must be an optimiser such as `fb.Adam(lr=1e-3)`, got `{optimizer!r}`")
        if not net.parameters:
            raise ConfigError("`net` must have parameters to train, got a network without `Linear` layers")
        self._net = net
        self._loss = loss_named(loss)
        self._optimizer = optimizer
        self._batch_size = whole("batch_size", batch_size, 1)
        self._threads = team.chosen(threads)
        self._seed = net.seed if seed is None else seed_of(seed)
        self.steps_done = 0
        self.validating = False
        slots = net.parameters.block.slots
        moments = tuple(Block(slots, net.dtype) for _ in range(optimizer.moments))
        self._update = Update(optimizer.kernel, tuple(optimizer.settings()), moments)
        self._batch_plan: BatchPlan | None = None
        self._step_plan: BatchPlan | None = None
        self._small = False
        self._of_labels = self.loss == "cross_entropy"
        self._seconds_per_step = 0.0
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return (
            f"Trainer(loss={self.loss!r}, optimizer={self.optimizer}, batch_size={self.batch_size},"
            f" threads={self.threads}, seed={self.seed})"
        )

    @property
    def net(self) -> Network:
        """The network that is trained."""
        return self._net

    @property
    def loss(self) -> str:
        """Name of the loss."""
        return self._loss

    @property
    def batch_size(self) -> int:
        """Rows of a full batch."""
        return self._batch_size

    @property
    def threads(self) -> int:
        """Threads that steps may use."""
        return self._threads

    @property
    def seed(self) -> int:
        """Of dropout and of the order of batches."""
        return self._seed

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser; one of the same kind with other settings may be assigned, and keeps its moments."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        old = self._optimizer
        if type(optimizer) is not type(old) or optimizer.moments != old.moments:
            raise ConfigError(f"`optimizer` must stay the same kind as `{old!r}`, got `{optimizer!r}`")
        with self._lock:
            self._optimizer = optimizer
            self._update = replace(self._update, settings=tuple(optimizer.settings()))
            for plan in (self._batch_plan, self._step_plan):
                if plan is not None:
                    plan.set_optimizer(self._update)

    def _plan(self, rows: int) -> BatchPlan:
        return BatchPlan(
            self.net.graph,
            self.net.parameters.block,
            self.threads,
            batch=rows,
            loss=self.loss,
            update=self._update,
            dropout=True,
        )

    def _checked(self, X: Any, y: Any) -> tuple[Any, Any, int]:
        x, top = arrays.training_rows("X", X, self.net.inputs, self.net.dtype)
        return x, LOSSES[self.loss]("y", y, len(x), self.net.outputs, self.net.dtype), top

    def _call(self, plan: BatchPlan, count: int, passes: int) -> list[float]:
        """One call of compiled code, and the bookkeeping around it."""
        parameters = self.net.parameters
        with self.net.lock:
            plan.refresh(parameters.version)
            plan.rates[:count] = self.optimizer.lr
            plan.head[at.STEP] = self.steps_done
            plan.head[at.SEED] = _signed(self.seed)
            # First: should Ctrl-C come between two lines here, every plan makes its transposed weights anew.
            parameters.version += 1
            try:
                return plan.steps(count, passes, self.threads)
            finally:
                self.steps_done = int(plan.head[at.STEP])
                plan.keep_version(parameters.version)

    def step(self, X: Any, y: Any) -> float:
        """One optimiser step on this batch, however many rows it has; returns its loss before the step."""
        with self._lock:
            return self._step(X, y)

    def _step(self, X: Any, y: Any) -> float:
        plan = self._step_plan
        if plan is not None and self._small and self._step_at_once(plan, X, y):
            return plan.loss
        x, t, top = self._checked(X, y)
        if plan is None or plan.batch < len(x):
            plan = self._step_plan = self._plan(max(len(x), self.batch_size))
            self._small = self.threads == 1 or plan.work < ONE_CALL_WORK
        plan.bind(x, t, top)
        self._call(plan, 1, 1)
        return plan.loss

    def _step_at_once(self, plan: BatchPlan, X: Any, y: Any) -> bool:
        """A step in one call, where the work is small and the arrays need no conversion; says whether it was one."""
        if type(X) is not np.ndarray or type(y) is not np.ndarray:
            return False
        size = X.shape
        if len(size) != 2 or size[1] != self.net.inputs or not 0 < size[0] <= plan.batch:
            return False
        if y.shape != ((size[0],) if self._of_labels else (size[0], self.net.outputs)):
            return False
        parameters = self.net.parameters
        with self.net.lock:
            plan.refresh(parameters.version)
            parameters.version += 1
            plan.head[at.STEP] = self.steps_done
            try:
                return plan.step(X, y, self.optimizer.lr, self.steps_done, _signed(self.seed))
            finally:
                self.steps_done = int(plan.head[at.STEP])
                plan.keep_version(parameters.version)

    def run(self, X: Any, y: Any, steps: int) -> History:
        """That many steps over shuffled batches, in compiled code; the next `run` goes on in the same pass.

        Returns
        -------
        History
            Its `loss` has one mean for each pass over X, the last of the steps done in a pass that is not complete.
        """
        with self._lock:
            return self._run(X, y, whole("steps", steps, 0))

    def _run(self, X: Any, y: Any, steps: int) -> History:
        history = History()
        x, t, top = self._checked(X, y)
        plan = self._bound(x, t, top)
        start = plan.place
        begun = time.perf_counter()
        first = self.steps_done
        while self.steps_done - first < steps:
            history.loss += self._chunk(plan, steps - (self.steps_done - first), BatchPlan.CALL)
        if plan.head[at.PASS_ROWS]:
            history.loss.append(plan.pass_loss)
        history.seconds = time.perf_counter() - begun
        history.steps = steps
        history.samples = plan.rows_since(start)
        return history

    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int = 1,
        validation: tuple[Any, Any] | None = None,
        callbacks: Sequence[Any] = (),
    ) -> History:
        """Train for that many passes over shuffled rows.

        Parameters
        ----------
        X : array, shape (rows, inputs)
        y : array
            Classes, shape (rows,), or numbers, shape (rows, outputs).
        epochs : int, >= 0
        validation : (X, y), optional
            Rows on which the loss is taken after each epoch.
        callbacks : list
            `fb.EarlyStopping(...)`, other callbacks, or functions f(trainer, history) called after each epoch.
        """
        if not isinstance(callbacks, list | tuple):
            raise ConfigTypeError(f"`callbacks` must be a list of callbacks, got `{callbacks!r}`")
        hooks = [callback(c) for c in callbacks]
        with self._lock:
            return self._fit(X, y, whole("epochs", epochs, 0), validation, hooks)

    def _fit(self, X: Any, y: Any, epochs: int, validation: Any, hooks: list[Callback]) -> History:
        x, t, top = self._checked(X, y)
        held_out = self._validation(validation)
        self.validating = held_out is not None
        history = History()
        for hook in hooks:
            hook.begin(self, history)  # may refuse, and then nothing has changed
        plan = self._bound(x, t, top)
        plan.new_pass()
        begun = time.perf_counter()
        first = self.steps_done
        try:
            for _ in range(epochs):
                self._bound(x, t, top)  # a callback may have trained on other rows meanwhile
                ended: list[float] = []
                while not ended:
                    ended = self._chunk(plan, len(x), 1)
                history.loss += ended
                if held_out is not None:
                    history.val_loss.append(self.net.evaluate(*held_out, loss=self.loss))
                history.steps = self.steps_done - first
                history.samples += len(x)
                history.seconds = time.perf_counter() - begun
                for hook in hooks:
                    hook.epoch(self, history)
                if history.stopped:
                    break
        finally:
            for hook in hooks:
                hook.end(self, history)
        history.seconds = time.perf_counter() - begun
        return history

    def _validation(self, validation: Any) -> tuple[Any, Any] | None:
        if validation is None:
            return None
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise ConfigTypeError(f"`validation` must be a pair (X, y), got `{type(validation).__name__}`")
        try:
            x, t, _ = self._checked(*validation)
        except DataError as error:
            raise type(error)(f"validation: {error}") from None
        return x, t

    def _bound(self, x: Any, t: Any, top: int) -> BatchPlan:
        plan, rows = self._batch_plan, min(self.batch_size, len(x))
        if plan is None or plan.batch < rows:
            epoch = plan.place[0] + 1 if plan else 0
            plan = self._batch_plan = self._plan(rows)
            plan.head[at.EPOCH] = epoch
        plan.head[at.BATCH] = rows
        plan.bind(x, t, top, shuffled=True)
        return plan

    def _chunk(self, plan: BatchPlan, steps: int, passes: int) -> list[float]:
        """As many of `steps` as fit into one call."""
        fits = 1 if not self._seconds_per_step else max(1, int(CALL_SECONDS / self._seconds_per_step))
        count = min(steps, fits, BatchPlan.CALL)
        before, begun = self.steps_done, time.perf_counter()
        ended = self._call(plan, count, passes)
        done = self.steps_done - before
        measured = (time.perf_counter() - begun) / max(done, 1)
        # The first call may be slow for reasons of its own: never believe more than a few times the last estimate.
        limit = self._seconds_per_step / GROWTH
        self._seconds_per_step = max(measured, limit)
        return ended

    def snapshot(self, into: Block | None = None) -> Block:
        """A copy of the network's parameters, to be given to `restore`."""
        block = into or Block(self.net.parameters.block.slots, self.net.dtype)
        block.copy_from(self.net.parameters.block)
        return block

    def restore(self, block: Block) -> None:
        """Put the parameters of a snapshot back."""
        self.net.parameters.block.copy_from(block)
        self.net.parameters.version += 1


def _signed(seed: int) -> int:
    """The 64 bits of a seed as the signed word that a plan holds."""
    return seed - 2**64 if seed >= 2**63 else seed
