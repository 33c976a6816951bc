"""The settings of an estimator, checked before anything is fitted, and the trainer that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from fastbp.errors import ConfigError, ConfigTypeError, DataError, brief, not_one_of
from fastbp.model.network import Network
from fastbp.sklearn.callbacks import Lines, Watched
from fastbp.sklearn.layers import blocks_of, embedder_of
from fastbp.sklearn.presets import Beyond, check_preset
from fastbp.sklearn.tables import check_encodings
from fastbp.sklearn.threads import share
from fastbp.spec.checks import flag, from_zero, positive, real, whole
from fastbp.spec.graph import Graph
from fastbp.spec.losses import Loss
from fastbp.train.callbacks import Callback, EarlyStopping, TimeBudget, callback
from fastbp.train.catalogue import optimizer_named, schedule_named
from fastbp.train.metrics import CALIBRATED
from fastbp.train.optimizers import Optimizer
from fastbp.train.schedules import Schedule
from fastbp.train.temperature import TEMPERATURE
from fastbp.train.trainer import Trainer

if TYPE_CHECKING:
    from fastbp.config.schema import Pack
    from fastbp.sklearn.rows import Rows

MANY = 10_000  # rows above which `early_stopping="auto"` stops early
SOME = 100  # rows from which it does with a preset


@dataclass(frozen=True)
class Settings:
    """What an estimator was given, in the right types."""

    optimizer: Optimizer
    schedule: Schedule | None
    batch_size: int
    epochs: int
    patience: int
    validation_fraction: float
    threads: int
    hooks: list[Callback]
    verbose: bool
    early: bool | None  # None: by the number of rows
    random_state: Any
    n_ens: int
    n_cv: int | None
    calibrate: bool
    preset: bool  # whether there is one
    beyond: Beyond

    @classmethod
    def of(cls, estimator: Any) -> Settings:
        """Check every parameter that needs no data, of an estimator or as a preset has filled them."""
        check_preset(estimator)
        blocks_of(estimator)
        embedder_of(estimator)
        check_encodings(estimator)
        if estimator.dtype not in ("float32", "float64"):
            raise not_one_of("dtype", estimator.dtype, ("float32", "float64"))
        fraction = real("validation_fraction", estimator.validation_fraction)
        if not 0.0 < fraction < 1.0:
            raise ConfigError("validation_fraction", "must be above 0 and below 1", f"`{fraction}`")
        warm = flag("warm_start", estimator.warm_start)
        n_cv = None if estimator.n_cv is None else whole("n_cv", estimator.n_cv, 2)
        if warm and n_cv is not None:
            raise ConfigError("warm_start", "must be False where `n_cv` is given", "`True`")
        beyond = getattr(estimator, "beyond", Beyond())
        if beyond.pack is not None:
            _check_drawn(estimator, beyond.pack, warm, n_cv)
        return cls(
            _optimizer(estimator),
            None if estimator.schedule is None else schedule_named(estimator.schedule),
            whole("batch_size", estimator.batch_size, 1),
            whole("epochs", estimator.epochs, 1),
            whole("patience", estimator.patience, 1),
            fraction,
            share(estimator.n_threads),
            _hooks(estimator),
            _verbose(estimator.verbose),
            _early(estimator.early_stopping),
            estimator.random_state,
            whole("n_ens", estimator.n_ens, 1),
            n_cv,
            _calibrate(estimator),
            estimator.preset is not None,
            beyond,
        )

    @property
    def several(self) -> bool:
        """Whether there are several networks."""
        return self.n_ens > 1 or self.n_cv is not None or self.pack is not None

    @property
    def pack(self) -> Pack | None:
        """That of the preset, where its members are drawn or epochs of them chosen."""
        return self.beyond.pack

    def stops_early(self, rows: int, given: bool) -> bool:
        """Whether a fit on so many rows stops early; `given` are the rows that decide."""
        if given and self.early is False:
            raise ConfigError("early_stopping", 'must be "auto" or True where `X_val` is given', "`False`")
        chosen = self.pack is not None and self.pack.online is not None
        if chosen and self.early is False:
            must = 'must be "auto" or True with a preset whose ensemble is chosen by rows that are held out'
            raise ConfigError("early_stopping", must, "`False`")
        return given or (rows > MANY or chosen or (self.preset and rows >= SOME) if self.early is None else self.early)

    def divided(self, rows: Rows, seed: int) -> tuple[Rows, Rows]:
        """Rows to train on, and those that are held out; an ensemble is chosen by the same where they are too few."""
        try:
            return rows.divided(self.validation_fraction, seed)
        except DataError:
            if self.early or len(rows.y) >= SOME:
                raise
            return rows, rows

    def seed(self) -> int:
        """The seed of a network: a whole number as it is, or drawn, as scikit-learn draws."""
        given = self.random_state
        if isinstance(given, int | np.integer) and not isinstance(given, bool):
            return whole("random_state", given, 0, 64)
        return int(check_random_state(given).randint(2**31 - 1))

    def trainer(self, graph: Graph, loss: Loss, seed: int, dtype: str) -> Trainer:
        """A new network, and its trainer."""
        net = Network.of_graph(graph, seed, dtype)
        settings: dict[str, Any] = {"schedule": self.schedule, **self.beyond.of(graph, loss, self.optimizer)}
        return Trainer(net, loss, self.optimizer, self.batch_size, self.threads, **settings)

    @property
    def monitor(self) -> str:
        """What decides when to stop, where it is measured."""
        said = self.beyond.monitor
        return f"val_{CALIBRATED}" if self.calibrate and said == "val_loss" else said

    def callbacks(self, early: bool, name: str = "", measured: Sequence[str] = ()) -> list[Callback]:
        """What happens between epochs; stopping comes last, so that all others see the last epoch.

        `name` is that of one of several networks; `measured` are metrics of rows that are held out.
        """
        hooks = [Watched(hook) for hook in self.hooks] if name else self.hooks
        lines = [Lines(self.epochs, name)] if self.verbose else []
        if not early:
            return [*hooks, *lines]
        said = self.beyond
        patience = self.patience if not self.preset else self.epochs if said.patience is None else said.patience
        monitor = self.monitor if self.monitor.removeprefix("val_") in measured else "val_loss"
        mode = said.mode if monitor == said.monitor else "auto"
        return [*hooks, *lines, EarlyStopping(patience, monitor=monitor, mode=mode, ties=said.ties)]

    def metrics(self, own: str) -> list[str]:
        """What is measured on rows that are held out: an estimator's own metric, and by which epochs are chosen."""
        name = self.monitor.removeprefix("val_")
        return [own] if name in (own, "loss") else [own, name]


def _check_drawn(estimator: Any, pack: Pack, warm: bool, n_cv: int | None) -> None:
    """Refuse what members of a preset cannot have that are drawn, or whose epochs are chosen."""
    if warm:
        must = f"must be False with the preset `{estimator.preset}`, of which an ensemble is kept"
        raise ConfigError("warm_start", must, "`True`")
    if n_cv is not None and pack.online is not None:
        must = f"must be None with the preset `{estimator.preset}`, which chooses its ensemble by the same rows"
        raise ConfigError("n_cv", must, f"`{n_cv}`")


def _optimizer(estimator: Any) -> Optimizer:
    found: Any = optimizer_named(estimator.optimizer)
    if estimator.learning_rate is not None:
        found = replace(found, lr=positive("learning_rate", estimator.learning_rate))
    if estimator.weight_decay is not None:
        decay = from_zero("weight_decay", estimator.weight_decay)
        if not hasattr(found, "weight_decay"):
            raise ConfigError("weight_decay", f"must be None with `{type(found).__name__}`", f"`{decay}`")
        found = replace(found, weight_decay=decay)
    made: Optimizer = found
    return made


def _hooks(estimator: Any) -> list[Callback]:
    given = estimator.callbacks
    if not isinstance(given, list | tuple):
        raise ConfigTypeError("callbacks", "must be a list of callbacks", f"`{brief(given)}`")
    hooks = [callback(one) for one in given]
    if estimator.time_limit is not None:
        hooks.append(TimeBudget(positive("time_limit", estimator.time_limit)))
    return hooks


def _verbose(given: Any) -> bool:
    if not isinstance(given, bool | int | np.bool_) or given < 0:
        raise ConfigTypeError("verbose", "must be True or False", f"`{brief(given)}`")
    return bool(given)


def _calibrate(estimator: Any) -> bool:
    given = getattr(estimator, "calibrate", None)
    if given is not None and given != TEMPERATURE:
        raise ConfigError("calibrate", f'must be "{TEMPERATURE}" or None', f"`{brief(given)}`")
    return given is not None


def _early(given: Any) -> bool | None:
    if isinstance(given, str) and given == "auto":
        return None
    if not isinstance(given, bool | np.bool_):
        raise ConfigTypeError("early_stopping", 'must be True, False or "auto"', f"`{brief(given)}`")
    return bool(given)
