"""What both estimators do: rows to matrices, training, and what a fit leaves behind."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_consistent_length

from fastbp.engine.forks import IMPORTS
from fastbp.errors import ConfigError, DataError, brief
from fastbp.sklearn.callbacks import CallbackSupportMixin, Tasks, with_callbacks
from fastbp.sklearn.explainable import Explainable
from fastbp.sklearn.fitted import Fitted
from fastbp.sklearn.rows import Rows, restoring

if TYPE_CHECKING:
    from fastbp.data.frame import Frame
    from fastbp.data.outputs import Outputs
    from fastbp.sklearn.members import Folds, Part
    from fastbp.sklearn.settings import Settings
    from fastbp.spec.coded import Coded
    from fastbp.spec.losses import Loss
    from fastbp.train.history import History

Array = NDArray[Any]
CHANGES = {
    *("optimizer", "learning_rate", "weight_decay", "epochs", "early_stopping", "patience", "validation_fraction"),
    *("calibrate", "class_weight", "random_state", "n_threads", "warm_start", "time_limit", "callbacks", "verbose"),
}  # settings that may change before training goes on


class Perceptron(CallbackSupportMixin, Explainable, Fitted, BaseEstimator):  # type: ignore[misc]
    """A multi-layer perceptron behind scikit-learn's interface."""

    loss_curve_: list[float]
    t_: int
    temperature_: float
    _learns: Any  # a trainer, or a pack
    _dtype: np.dtype[Any]
    _filled: Any  # the parameters, with those of a preset

    @abstractmethod
    def _targets(self, y: Any, reset: bool, classes: Any = None) -> Array:
        """The targets of rows, after y has been checked; `reset` learns what y is."""

    @abstractmethod
    def _outputs(self, y: Any, targets: Array) -> Outputs:
        """What outputs mean, fitted to the training rows."""

    @abstractmethod
    def _loss_of(self) -> Loss:
        """The loss."""

    @abstractmethod
    def _meaning(self, z: Array) -> Array:
        """What outputs of the network say: probabilities, or numbers in the units of y."""

    def _weighted(self, y: Array, weight: Array | None) -> Any:
        """The weights of training rows."""
        return weight

    metric: str  # taken on validation rows
    metric_rows: int  # that it needs

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Fit to training rows.

        Parameters
        ----------
        X : array or table, shape (rows, features)
            Numbers; in tables of pandas, Polars or Arrow also categories, texts and dates. Missing values are NaN.
        y : array, shape (rows,) or (rows, outputs)
        sample_weight : array, shape (rows,), optional
            A weight of 0 is as if the row were not there.
        X_val, y_val, sample_weight_val : optional
            Rows that decide when to stop, instead of some of X.
        """
        from fastbp.sklearn.presets import settled

        said, before = self._settings(), vars(self).copy()
        going_on = bool(self.warm_start) and getattr(self, "_learns", None) is not None
        if going_on:
            self._go_on(said)
        seed = said.seed()
        for name, one, other in (("X_val", X_val, y_val), ("y_val", y_val, X_val)):
            if one is not None and other is None:
                raise DataError(f"`{name}` is given, so `{'y_val' if name == 'X_val' else 'X_val'}` must be given too")
        if said.n_cv and X_val is not None:
            raise ConfigError("n_cv", "must be None where `X_val` is given", f"`{said.n_cv}`")
        rows = self._rows(X, y, sample_weight, reset=not going_on, soft=vars(self).get("_soft"))
        said, rows = settled(self, said, X, y, rows, going_on)
        tasks = Tasks(self, X, y, sample_weight, alone=not said.several)
        if said.n_cv and X_val is not None:
            raise DataError(f"`X_val` must be left out with the preset `{self.preset}`, which validates on folds")
        early = said.stops_early(len(rows.y), X_val is not None)
        if said.calibrate and not early and not said.n_cv:
            must = "must be None where no rows are held out, by `early_stopping=True`, `X_val` or `n_cv`"
            raise ConfigError("calibrate", must, f"`{self.calibrate}`")
        if rows.frame.matrix is not None and len(rows.y) <= said.batch_size:
            rows = rows.as_a_set()
        folds = rows.folds(said.n_cv, seed) if said.n_cv else []
        held_out = None
        if early and X_val is None and not folds:
            rows, held_out = said.divided(rows, seed)
        if not going_on:
            self._begin(X, y, rows, said, seed, folds)
        if X_val is not None:
            with restoring(self, before):
                held_out = self._rows(X_val, y_val, sample_weight_val, reset=False)
                held_out.ready = self._ready(held_out, "validation")
        tasks.start()
        self._train(said, rows, held_out, said.epochs, early, going_on, tasks, folds)
        tasks.finish()
        return self

    def _settings(self) -> Settings:
        """The parameters, checked; the first fit of a process loads what trains, and the compiler with it."""
        with IMPORTS:
            from fastbp.sklearn.settings import Settings
        return Settings.of(self)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Any:
        """One epoch over some rows."""
        from fastbp.sklearn.presets import settled

        said = self._settings()
        if said.early:
            raise DataError("partial_fit does not support early_stopping=True")
        if said.calibrate:
            raise DataError("partial_fit does not support calibrate, for which it has no rows")
        going_on = getattr(self, "_learns", None) is not None
        if going_on:
            self._go_on(said)
        rows = self._rows(X, y, sample_weight, reset=not going_on, classes=classes)
        said, rows = settled(self, said, X, y, rows, going_on)
        if said.pack is not None:
            raise DataError(f"partial_fit does not support the preset `{self.preset}`, of which an ensemble is kept")
        if not going_on:
            self._begin(X, y, rows, said, said.seed())
        self._train(said, rows, None, 1, False, going_on)
        return self

    def _rows(
        self, X: Any, y: Any, sample_weight: Any, reset: bool, classes: Any = None, soft: Array | None = None
    ) -> Rows:
        """Rows as they are trained on, without those of weight 0."""
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        from fastbp.sklearn.tables import frame_in

        frame = frame_in(self, X, reset, [] if reset else self._kept)
        checked = self._checked_y(y)
        check_consistent_length(_Long(len(frame)), checked)
        weight, place, left_out = None, np.arange(len(frame)), None
        if sample_weight is not None:
            sized = np.empty((len(frame), 1))
            weight = _check_sample_weight(sample_weight, sized, dtype=np.float64, ensure_non_negative=True)
            there = np.flatnonzero(weight)
            if not len(there):
                raise ValueError("Sample weights must contain at least one non-zero number.")
            if len(there) < len(weight):
                place = np.where(weight > 0.0, np.cumsum(weight > 0.0) - 1, -1)
                left_out = frame.take(np.flatnonzero(weight == 0.0))
                frame, checked, weight = frame.take(there), checked[there], weight[there]
                soft = None if soft is None else soft[there]
        return Rows(frame, self._targets(checked, reset, classes), weight, place, left_out, soft)

    @abstractmethod
    def _checked_y(self, y: Any) -> Array:
        """The targets as an array."""

    @property
    def _kept(self) -> list[str]:
        """Columns of categories, in which numbers stay texts."""
        return [part.name for part in self.recipe_.inputs.categories]

    def _begin(self, X: Any, y: Any, rows: Rows, said: Settings, seed: int, folds: Folds = ()) -> None:
        """A new network, or several, and the preprocessing fitted to these rows."""
        from fastbp.data.recipe import Recipe
        from fastbp.sklearn.layers import graph_for
        from fastbp.sklearn.tables import inputs_for, raw_of

        loss = self._loss_of()
        inputs = inputs_for(self._filled, X, rows.frame)
        outputs = self._outputs(y, rows.y)
        width = outputs.width * loss.outputs_per_target
        self.recipe_ = Recipe(inputs, outputs, loss.named, None, raw_of(rows.frame))
        for name in ("network_", "ensemble_", "oof_predictions_", "temperature_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if said.pack is not None:
            from fastbp.sklearn.drawn import pack_of as drawn_of

            self._learns = drawn_of(self, said, inputs, width, rows, loss, seed, folds)
        else:
            graph = graph_for(self._filled, inputs, width, rows.frame, loss)
            if said.several:
                from fastbp.sklearn.members import pack_of

                self._learns = pack_of(said, graph, loss, seed, self._filled.dtype, folds)
            else:
                self._learns = said.trainer(graph, loss, seed, self._filled.dtype)
                self.network_ = self._learns.evaluated
        self._dtype, self.n_outputs_ = np.dtype(self._filled.dtype), width
        self._begun = self._lasting()

    def _lasting(self) -> dict[str, str]:
        """The settings that last as long as a network is trained."""
        return {name: brief(value) for name, value in self.get_params(deep=False).items() if name not in CHANGES}

    def _go_on(self, said: Settings) -> None:
        """Before training goes on: settings of the optimiser may be others, those of the network may not."""
        for name, now in self._lasting().items():
            if now != self._begun.get(name, now):
                must = f"must stay `{self._begun[name]}` where training goes on"
                raise ConfigError(name, must, f"`{now}`", hint="`sklearn.clone` of it starts anew")
        if said.several:
            from fastbp.sklearn.members import go_on

            go_on(self._learns, said)
        else:
            self._learns.optimizer, self._learns.threads = said.optimizer, said.threads

    def _train(
        self,
        said: Settings,
        rows: Rows,
        held_out: Rows | None,
        epochs: int,
        early: bool,
        going_on: bool,
        tasks: Tasks | None = None,
        folds: Folds = (),
    ) -> None:
        """Train, and keep the attributes that a fit leaves behind; `early` is whether rows decide when to stop."""
        X, y = self._ready(rows, "train")
        validation = None if held_out is None else (*self._ready(held_out, "validation"), held_out.weight)
        fewest = min([len(fold) for _, fold in folds] or [0 if held_out is None else len(held_out.y)])
        metrics = said.metrics(self.metric) if early and fewest >= self.metric_rows and rows.soft is None else []
        if not said.several:
            trainer: Any = self._learns
            trainer.units = None if held_out is None else self._units(held_out.y)
            hooks = [*said.callbacks(early, measured=metrics), *([] if tasks is None else [tasks])]
            weights = self._weighted(rows.y, rows.weight)
            self._keep([trainer.fit(X, y, epochs, validation, hooks, weights, metrics)], going_on, early)
            self.network_ = trainer.evaluated  # a running average, if the preset has one
            if said.calibrate and held_out is not None and validation is not None:
                self._temper(self.network_.predict(validation[0]), held_out, said)
            return
        from fastbp.sklearn.members import Part, ensemble_of, out_of_fold, train

        pack: Any = self._learns
        parts = [self._part(rows, X, y, *fold, early) for fold in folds]
        if not folds:
            units = None if held_out is None else self._units(held_out.y)
            parts = [Part(self._weighted(rows.y, rows.weight), validation, units)]
        loss = self._loss_of()
        if said.pack is not None:
            from fastbp.sklearn.drawn import Fit

            drawn = Fit(self, pack, said, rows, X, y, parts, [fold for _, fold in folds], metrics)
            self.ensemble_ = drawn.run()
            self._keep([one for one in pack.histories if one.val_loss or (one.loss and not early)], False, early)
        else:
            drawn = None
            self._keep(train(pack, said, X, y, parts, epochs, metrics), going_on, early)
            self.ensemble_ = ensemble_of(pack, loss, self.recipe_.to_data())
        if folds:
            each = out_of_fold(pack, loss, X, folds, said.threads) if drawn is None else drawn.out_of_fold()
            if said.calibrate:
                self._temper(each, rows, said)
                each = each / self.temperature_
            z = each[rows.place]
            if rows.left_out is not None:
                z[rows.place < 0] = self.ensemble_.together(self._matrix(rows.left_out), said.threads)
            self.oof_predictions_ = self._meaning(z)
        elif said.calibrate and held_out is not None and validation is not None:
            self._temper(self.ensemble_.together(validation[0], said.threads), held_out, said)
        if folds or said.pack is not None:
            self._learns = None  # nothing goes on

    def _temper(self, z: Array, rows: Rows, said: Settings) -> None:
        """Keep the temperature of outputs for these rows; an ensemble has it itself."""
        from fastbp.train.temperature import fitted

        there = np.flatnonzero(~np.isnan(z).any(axis=1))  # all, but where a time limit left folds without a network
        z, rows = z[there], rows.take(there)
        self.temperature_ = fitted(z, rows.y, self._loss_of(), rows.weight)
        if said.several:
            self.ensemble_ = self.ensemble_.tempered(self.temperature_)

    def _part(self, rows: Rows, X: Any, y: Array, others: Array, fold: Array, early: bool) -> Part:
        """What the members of a fold are given."""
        from fastbp.sklearn.members import Part

        own = rows.weight
        weights = self._weighted(rows.y[others], None if own is None else own[others])
        if weights is not None:
            weights, known = np.zeros(len(rows.y)), weights
            weights[others] = known
        held_out = (X[fold], y[fold], None if own is None else own[fold]) if early else None
        return Part(weights, held_out, self._units(rows.y[fold]))

    def _ready(self, rows: Rows, part: str) -> tuple[Array | Coded, Array]:
        """Rows as a network takes them, with their targets."""
        outputs, y = self.recipe_.outputs, rows.y if rows.soft is None else rows.soft
        if outputs.task == "numbers":
            y = ((y - outputs.center) / outputs.spread).astype(self._dtype)
        return rows.ready or (self._matrix(rows.frame, part), y)

    def _units(self, y: Array) -> Any:
        """The units in which metrics are taken of these targets."""
        outputs = self.recipe_.outputs
        if outputs.task != "numbers":
            return None
        from fastbp.train.held_out import Units

        return Units(outputs.back, y)

    def _keep(self, histories: list[History], going_on: bool, early: bool) -> None:
        """The attributes that a fit leaves behind: of several networks means."""
        before = going_on and hasattr(self, "loss_curve_")
        self.loss_curve_ = [*(self.loss_curve_ if before else []), *_mean([one.loss for one in histories])]
        self.n_iter_ = len(self.loss_curve_)
        self.t_ = sum(one.samples for one in histories) + (self.t_ if before else 0)
        scores = [one.metrics[f"val_{self.metric}"] for one in histories if one.metrics]
        self.validation_scores_ = _mean(scores) if scores else None
        self.validation_loss_curve_ = _mean([one.val_loss for one in histories]) if early else None
        self.best_validation_score_ = float(np.mean([max(one) for one in scores])) if scores else None
        least = [min(one.val_loss) for one in histories] if early else [min(self.loss_curve_)]
        self.best_loss_ = float(np.mean(least))

    def _read(self, X: Any) -> Array | Coded:
        """Rows of X as networks take them."""
        from fastbp.sklearn.tables import frame_in

        self._check_fitted()
        return self._matrix(frame_in(self, X, False, self._kept))

    def _raw(self, X: Any) -> Array:
        """The outputs of the network for rows of X, as float64; of several what one would say instead of them."""
        from fastbp.sklearn.threads import share

        rows = self._read(X)
        if hasattr(self, "ensemble_"):
            found: Array = self.ensemble_.together(rows, share(self.n_threads))
            return found
        return self.network_.predict(rows, threads=share(self.n_threads)) / np.float64(
            getattr(self, "temperature_", 1.0)
        )

    def _apart(self, X: Any) -> Array:
        """The standard deviation of what several networks say of rows of X, (rows, outputs), as float64."""
        from fastbp.sklearn.threads import share

        rows = self._read(X)
        return np.asarray(self.ensemble_.spread(rows, share(self.n_threads)), np.float64)

    def _matrix(self, frame: Frame, part: str = "") -> Array | Coded:
        from fastbp.sklearn.tables import hinting

        with hinting():
            return self.recipe_.matrix(frame, self._dtype, part)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing != "refuse"
        tags.input_tags.categorical = True
        tags.non_deterministic = False
        return tags


def _mean(curves: list[list[float]]) -> list[float]:
    """The mean curve of networks, of which each counts as long as it was trained."""
    longest = max(map(len, curves))
    return [float(np.mean([curve[at] for curve in curves if len(curve) > at])) for at in range(longest)]


class _Long:
    """Something of a length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length
