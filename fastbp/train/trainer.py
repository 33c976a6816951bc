"""The trainer: an optimiser, its state, and the three ways to take steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fastbp.engine import forks
from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.model.network import Network
from fastbp.spec.checks import seed_of, whole
from fastbp.spec.elsewhere import known_words
from fastbp.spec.losses import Loss
from fastbp.spec.windows import Windows
from fastbp.train.adam import Adam
from fastbp.train.callbacks import Callback, callback, running
from fastbp.train.calls import Pace, Rates
from fastbp.train.catalogue import optimizer_named, schedule_named
from fastbp.train.class_weights import row_weights
from fastbp.train.fed import apart, fed
from fastbp.train.held_out import HeldOut, Units, as_before, held_out_of
from fastbp.train.held_together import HeldTogether
from fastbp.train.history import History
from fastbp.train.optimizers import Optimizer
from fastbp.train.parts import parted
from fastbp.train.schedules import Constant, Schedule
from fastbp.train.settled import settled
from fastbp.train.shown import Shown, verbosity
from fastbp.train.stepping import Stepping
from fastbp.train.together import together, with_ranks
from fastbp.train.treatment import loss_for, others_of, penalty_data, treatment_of, update_of

MOST_SHARDS = 4096


def shards_of(shards: Any) -> int:
    """A number of shards, checked."""
    count = whole("shards", shards, 1)
    if count > MOST_SHARDS or count & (count - 1):
        raise ConfigError("shards", f"must be a power of two, at most {MOST_SHARDS}", f"`{count}`")
    return count


@settled
class Trainer(Stepping):
    """Trains one network.

    Parameters
    ----------
    net : Network
    loss : str or Loss
        A name such as "cross_entropy", "mse" or "huber", or a loss with settings such as ``fb.Huber(delta=0.5)``.
    optimizer : str or Optimizer
        A name such as "sgd", or an optimiser with settings; by default ``fb.Adam(lr=1e-3)``.
    batch_size : int, >= 1
    threads : int, optional
        At most so many, by default one per processor of this process. Results do not depend on it, to the bit.
    seed : int, optional
        Of dropout and of the order of batches; by default the network's.
    schedule : str or Schedule, optional
        A name such as "cosine", or one with settings. Multiplies the optimiser's learning rate at step t, counted over
        all steps of this trainer; without `steps` of its own it ends with the current `fit` or `run`.
    clip_norm : float, > 0, optional
        Limit of the norm of all gradients together, without those of what is `frozen`.
    clip_value : float, > 0, optional
        Limit of the magnitude of each gradient, behind `clip_norm`.
    accumulate : int, >= 1
        Number of batches of an optimiser step, whose gradients are averaged, a batch of fewer rows counting as much. A
        shorter group at the end of an epoch still makes a step.
    ema : float, 0 <= ema < 1, optional
        Decay of a running average of the parameters in each step, at first those behind the first step; validation uses
        the average, `averaged` returns it.
    lr_factors, decay_factors : dict of str to float, optional
        Layer or parameter, "2" or "2.bias", or kind of layers, "scale" or "linear.bias", to the factor of its learning
        rate or weight decay. All parameters that `decay_factors` stands for decay, biases and norms too.
    frozen : list of str
        Layers or parameters that are not trained.
    penalty : callable or str, or dict of str to such, optional
        A function r(w) such as ``lambda w: 1e-4 * abs(w)``, or "1e-4 * abs(w)"; its sum over the parameters that decay
        without `decay_all`, or over those named in a dict, is added to the loss of every batch in training, but not in
        reports; of tables the rows that occur in the batch.
    schedules : dict of str to (str or Schedule), optional
        As `schedule`, of "dropout", "weight_decay" or "label_smoothing": they multiply the probabilities of all dropout
        layers, the optimiser's weight decay, or the label smoothing of the loss.
    drop_last : bool
        Whether an epoch ends where fewer rows are left than a batch has; which these are is another matter each time.
    shards : int, a power of two
        Runs of rows into which a batch is cut: gradients are a sum for each, added in pairs. As many processes may
        train together, to the bit as one does.
    comm : mpi4py.MPI.Comm, optional
        Processes that train this network together, each its part of the shards, such as ``MPI.COMM_WORLD``; all are
        given the same settings, rows and calls. By default a process trains alone.

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

    @known_words
    def __init__(
        self,
        net: Network,
        loss: str | Loss = "cross_entropy",
        optimizer: str | Optimizer | None = None,
        batch_size: int = 32,
        threads: int | None = None,
        seed: int | None = None,
        schedule: str | Schedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        ema: float | None = None,
        lr_factors: dict[str, float] | None = None,
        decay_factors: dict[str, float] | None = None,
        frozen: Sequence[str] = (),
        penalty: Any = None,
        schedules: Mapping[str, str | Schedule] | None = None,
        drop_last: bool = False,
        shards: int = 1,
        comm: Any = None,
    ) -> None:
        if not isinstance(net, Network):
            raise ConfigTypeError("net", "must be a fastbp Network", f"`{type(net).__name__}`")
        optimizer = Adam() if optimizer is None else optimizer_named(optimizer)
        schedule = None if schedule is None else schedule_named(schedule)
        self._net = net
        self._loss = net.trained_with = loss_for(net, loss)
        self._given_loss = loss
        self._optimizer = optimizer
        self._rates = Rates(schedule or Constant(), others_of(schedules, net.graph, self._loss, optimizer))
        self._batch_size = whole("batch_size", batch_size, 1)
        self._shards = shards_of(shards)
        if self._shards > self._batch_size:
            must = f"must be at most {self._batch_size}, the rows of a batch"
            raise ConfigError("shards", must, f"`{self._shards}`")
        self._ranks = None if comm is None else with_ranks(comm, self._shards)
        self._threads = self._chosen(threads)
        self._seed = net.seed if seed is None else seed_of(seed)
        self.steps_done = 0
        self.validating = False
        self.units: Units | None = None  # of metrics
        self._update = update_of(
            net,
            optimizer,
            clip_norm,
            clip_value,
            accumulate,
            ema,
            treatment_of(net, lr_factors, decay_factors, frozen, penalty, optimizer),
            tuple(self._rates.others),
            drop_last,
        )
        factors = copy.copy(lr_factors), copy.copy(decay_factors)
        self._given = threads, *factors, list(frozen), penalty_data(penalty)
        self._average = self._update.average
        self._averaged: Network | None = None
        self._still = [name for name, way in (self._update.treatment or {}).items() if way is None]
        self._batch_plan: BatchPlan | None = None
        self._step_plan: BatchPlan | None = None
        self._small = self._converts = False
        self._position: Any = None  # where a fit is to be resumed
        self._pace = Pace()
        self._lock = forks.lock("this trainer", writes=True)
        self._fit: tuple[Any, int] | None = None  # the data of a fit that goes on, and its last step
        if self._ranks is not None:
            self._refuse_other_settings()
        self._own = frozenset(vars(self))  # what is set besides is a subclass's or the user's

    def __repr__(self) -> str:
        return (
            f"Trainer(loss={self.loss!r}, optimizer={self.optimizer}, batch_size={self.batch_size},"
            f" threads={self.threads}, seed={self.seed})"
        )

    def __reduce__(self) -> Any:
        from fastbp.train.pickled import parts

        return parts(self)

    @known_words
    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int = 1,
        validation: Any = None,
        callbacks: Sequence[Any] = (),
        sample_weight: Any = None,
        metrics: Sequence[str] = (),
        history: History | None = None,
        verbose: bool | int = False,
    ) -> History:
        """Train for `epochs` epochs over shuffled rows.

        Parameters
        ----------
        X : array, shape (rows, inputs)
            May be read in place, so it must not change meanwhile; nor may y. `fb.Windows` of rows stay in their file.
        y : array
            Targets for the loss: classes, shape (rows,), or numbers, shape (rows, outputs).
        epochs : int, >= 0
        validation : (X, y), (X, y, sample_weight), or float, 0 < validation < 1, optional
            Rows for loss and metrics after each epoch; or that part of the rows, which are then not trained on. The
            trainer's seed chooses them, with the same share of every class where `y` is a class for each row.
        callbacks : list
            `fb.EarlyStopping(...)`, other callbacks, or functions f(trainer, history) called after each epoch.
        sample_weight : array, shape (rows,), or "balanced", or dict of class to number, optional
            Weight of each row; by its class, so that all classes count the same; or by its class, 1 by default.
        metrics : list of str
            Names such as "accuracy" or "r2", taken on the validation rows: `history["val_accuracy"]`.
        history : History, optional
            Go on with a fit on the same rows from its history, as a trainer that was pickled does to the same bits;
            `epochs` includes the epochs done, and what is measured stays the same.
        verbose : bool or 2
            Whether to show the fit on stderr: one line that is drawn again on terminals and in notebooks, lines of a
            log elsewhere, or with 2 there too.
        """
        if not isinstance(callbacks, list | tuple):
            raise ConfigTypeError("callbacks", "must be a list of callbacks", f"`{brief(callbacks)}`")
        if history is not None and not isinstance(history, History):
            raise ConfigTypeError("history", "must be a History that `fit` returned", f"`{brief(history)}`")
        hooks, count = [callback(c) for c in callbacks], whole("epochs", epochs, 0)
        shown = verbosity(verbose)
        if self._ranks is not None and self._ranks.rank:
            hooks, shown = [hook for hook in hooks if not hook.on_first], 0
        with self._lock, together(self._ranks):
            x, t, top, validation = self._rows_of(X, y, sample_weight, validation)
            held_out = held_out_of(self.net, self._loss, validation, metrics, self.units, self.threads)
            if history is not None:
                as_before(history, held_out)
            self._refuse_other_rows(x, t, held_out, epochs=count, metrics=list(metrics))
            if held_out is not None and self._ranks is not None:
                held_out = HeldTogether(**vars(held_out), ranks=self._ranks)
            self.validating = held_out is not None
            hooks += [Shown(shown, count, len(x))] if shown else []
            going_on = history is not None
            if history is None:
                history = History(metrics={f"val_{name}": [] for name in metrics}, first_step=self.steps_done)
            last = self._rates.total = history.first_step + count * self.steps_of(len(x))
            begun = time.perf_counter() - history.seconds
            with running(hooks, self, history):
                plan = self._bound(x, t, top)
                if going_on and self._position is not None:
                    plan.set_position(self._position, len(x))
                else:
                    plan.new_epoch()
                self._position = None
                with self._fitting((x, t, top), last):
                    if held_out is not None and len(history.val_loss) < len(history.loss):  # of one left meanwhile
                        self._ended(hooks, history, held_out, begun)
                    while len(history.loss) < count and not history.stopped:
                        self._epoch(hooks, history)
                        self._ended(hooks, history, held_out, begun)
            history.seconds = time.perf_counter() - begun
            return history

    def _ended(self, hooks: list[Callback], history: History, held_out: HeldOut | None, begun: float) -> None:
        """Behind an epoch: what is measured, and callbacks."""
        if held_out is not None:
            held_out.measure(self.evaluated, history)
        history.seconds = time.perf_counter() - begun
        for hook in hooks:
            hook.epoch(self, history)
            self._back()
        self._agree_to_stop(history)

    def _rows_of(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> tuple[Any, Any, int, Any]:
        """Rows and targets of a fit, as plans read them, and the largest magnitude; and its validation rows."""
        if isinstance(X, Windows):
            return fed(self, X, y, sample_weight), None, 0, apart(validation)
        X, y, sample_weight, validation = parted(self.net, self._loss, X, y, validation, sample_weight, self.seed)
        return *self.net.checked(X, y, self._loss, row_weights(sample_weight, y)), validation

    @contextmanager
    def _fitting(self, data: Any, last: int) -> Iterator[None]:
        """A fit, which a copy made meanwhile goes on with, and this trainer too if it is left within an epoch."""
        outer, self._fit = self._fit, (data, last)
        try:
            yield
        except BaseException:
            self._position = self._back().position()
            raise
        finally:
            self._fit = outer
            if data[1] is None:
                data[0].rest()

    def _back(self) -> BatchPlan:
        """The plan of the fit; it stands before another epoch if there was other training meanwhile, by a callback."""
        plan, fit = self._batch_plan, self._fit
        assert fit
        data, self._rates.total = fit
        if plan is None or not (plan.feed is data[0] if data[1] is None else plan.reads(data[1])):
            plan = self._bound(*data)
            plan.new_epoch()
        return plan

    def _epoch(self, hooks: list[Callback], history: History) -> None:
        """One epoch, or the part of it before a hook ends the fit."""
        plan = self._back()
        losses: list[float] = []
        while not losses and not history.stopped:
            losses = self._chunk(plan, plan.head.data.total, 1)
            for hook in hooks if not losses else ():  # the end of an epoch is recorded first
                hook.chunk(self, history)
                plan = self._back()
            if not losses:
                self._agree_to_stop(history)
        history.samples += plan.head.data.total if losses else plan.head.step.epoch_rows
        history.loss += losses or [plan.epoch_loss]
        history.lr.append(float(plan.rates[plan.head.step.rate_at - 1]))
        history.steps = self.steps_done - history.first_step
