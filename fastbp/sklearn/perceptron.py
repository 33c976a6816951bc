"""What both estimators do: rows to matrices, training, and what a fit leaves behind."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from fastbp.engine.forks import IMPORTS
from fastbp.errors import ConfigError, DataError, brief
from fastbp.numerics.splits import split
from fastbp.sklearn.callbacks import CallbackSupportMixin, Tasks, with_callbacks

if TYPE_CHECKING:
    from fastbp.data.frame import Frame
    from fastbp.data.outputs import Outputs
    from fastbp.data.recipe import Recipe
    from fastbp.model.network import Network
    from fastbp.sklearn.settings import Settings
    from fastbp.spec.coded import Coded
    from fastbp.spec.losses import Loss
    from fastbp.train.history import History

Array = NDArray[Any]
CHANGES = {
    *("optimizer", "learning_rate", "weight_decay", "epochs", "early_stopping", "patience", "validation_fraction"),
    *("class_weight", "random_state", "n_threads", "warm_start", "time_limit", "callbacks", "verbose"),
}  # settings that may change before training goes on


@dataclass
class Rows:
    """Rows with their targets: classes from 0, or numbers or labels side by side."""

    frame: Frame
    y: Array
    weight: Array | None

    def take(self, rows: Array) -> Rows:
        """Some of the rows."""
        return Rows(self.frame.take(rows), self.y[rows], None if self.weight is None else self.weight[rows])

    def as_a_set(self) -> Rows:
        """Equal rows as one with the sum of their weights, in an order that is that of no table."""
        X = self.frame.matrix
        assert isinstance(X, np.ndarray)
        table = np.column_stack([X, self.y]).astype(np.float64)
        _, first, place = np.unique(table, axis=0, return_index=True, return_inverse=True)
        weight = np.bincount(place.ravel(), self.weight)
        return replace(self.take(first), weight=None if (weight == 1.0).all() else weight)


class Perceptron(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]
    """A multi-layer perceptron behind scikit-learn's interface."""

    network_: Network
    recipe_: Recipe
    loss_curve_: list[float]
    t_: int

    @abstractmethod
    def _targets(self, y: Any, reset: bool, classes: Any = None) -> Array:
        """The targets of rows, after y has been checked; `reset` learns what y is."""

    @abstractmethod
    def _outputs(self, y: Any, targets: Array) -> Outputs:
        """What outputs mean, fitted to the training rows."""

    @abstractmethod
    def _loss_of(self) -> Loss:
        """The loss."""

    def _weighted(self, rows: Rows) -> Any:
        """The weights of training rows."""
        return rows.weight

    metric: str  # taken on validation rows

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
        said = self._settings()
        going_on = bool(self.warm_start) and hasattr(self, "network_")
        if going_on:
            self._go_on(said)
        seed = said.seed()
        tasks = Tasks(self, X, y, sample_weight)
        rows = self._rows(X, y, sample_weight, reset=not going_on)
        for name, one, other in (("X_val", X_val, y_val), ("y_val", y_val, X_val)):
            if one is not None and other is None:
                raise DataError(f"`{name}` is given, so `{'y_val' if name == 'X_val' else 'X_val'}` must be given too")
        early = said.stops_early(len(rows.y), X_val is not None)
        if rows.frame.matrix is not None and len(rows.y) <= said.batch_size:
            rows = rows.as_a_set()
        held_out = None
        if early and X_val is None:
            rows, held_out = self._divided(rows, said, seed)
        if not going_on:
            self._begin(X, y, rows, said, seed)
        if X_val is not None:
            held_out = self._rows(X_val, y_val, sample_weight_val, reset=False)
        history = self._train(said, rows, held_out, said.epochs, [*said.callbacks(early), tasks])
        self._keep(history, going_on, early)
        tasks.finish(self._trainer)
        return self

    def _settings(self) -> Settings:
        """The parameters, checked; the first fit of a process loads what trains, and the compiler with it."""
        with IMPORTS:
            from fastbp.sklearn.settings import Settings
        return Settings.of(self)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Any:
        """One epoch over some rows."""
        said = self._settings()
        if said.early:
            raise DataError("partial_fit does not support early_stopping=True")
        going_on = hasattr(self, "network_")
        if going_on:
            self._go_on(said)
        rows = self._rows(X, y, sample_weight, reset=not going_on, classes=classes)
        if not going_on:
            self._begin(X, y, rows, said, said.seed())
        self._keep(self._train(said, rows, None, 1, said.hooks), going_on, False)
        return self

    def _rows(self, X: Any, y: Any, sample_weight: Any, reset: bool, classes: Any = None) -> Rows:
        """Rows as they are trained on, without those of weight 0."""
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        from fastbp.sklearn.tables import frame_in

        frame = frame_in(self, X, reset, [] if reset else self._kept)
        checked = self._checked_y(y)
        check_consistent_length(_Long(len(frame)), checked)
        weight = None
        if sample_weight is not None:
            sized = np.empty((len(frame), 1))
            weight = _check_sample_weight(sample_weight, sized, dtype=np.float64, ensure_non_negative=True)
            there = np.flatnonzero(weight)
            if not len(there):
                raise ValueError("Sample weights must contain at least one non-zero number.")
            if len(there) < len(weight):
                frame, checked, weight = frame.take(there), checked[there], weight[there]
        return Rows(frame, self._targets(checked, reset, classes), weight)

    @abstractmethod
    def _checked_y(self, y: Any) -> Array:
        """The targets as an array."""

    @property
    def _kept(self) -> list[str]:
        """Columns of categories, in which numbers stay texts."""
        from fastbp.data.categories import Category

        return [part.name for part in self.recipe_.inputs.parts if isinstance(part, Category)]

    def _divided(self, rows: Rows, said: Settings, seed: int) -> tuple[Rows, Rows]:
        """Some rows to train on, and the others, which decide when to stop."""
        classes = rows.y if rows.y.dtype.kind == "i" and rows.y.ndim == 1 else None
        try:
            found = split(len(rows.y), seed, said.validation_fraction, 0.0, classes=classes)
        except DataError:
            must = f"must leave rows to train on and to stop by, of {len(rows.y)}"
            raise DataError("validation_fraction", must, f"`{said.validation_fraction}`") from None
        return rows.take(found["train"]), rows.take(found["validation"])

    def _begin(self, X: Any, y: Any, rows: Rows, said: Settings, seed: int) -> None:
        """A new network, and the preprocessing fitted to these rows."""
        from fastbp.data.raw import Raw
        from fastbp.data.recipe import Recipe
        from fastbp.sklearn.layers import graph_for
        from fastbp.sklearn.tables import inputs_for

        loss = self._loss_of()
        inputs = inputs_for(self, X, rows.frame)
        outputs = self._outputs(y, rows.y)
        graph = graph_for(self, inputs, outputs.width * loss.outputs_per_target, rows.frame)
        self.recipe_ = Recipe(inputs, outputs, loss.named, None, Raw(unseen=1.0))
        self._trainer = said.trainer(graph, loss, seed, self.dtype)
        self.network_ = self._trainer.net
        self.n_outputs_ = self.network_.outputs
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
        self._trainer.optimizer, self._trainer.threads = said.optimizer, said.threads

    def _train(self, said: Settings, rows: Rows, held_out: Rows | None, epochs: int, hooks: Any) -> History:
        trainer, outputs, dtype = self._trainer, self.recipe_.outputs, self.network_.dtype

        def ready(some: Rows, part: str) -> tuple[Array | Coded, Array]:
            y = some.y
            if outputs.task == "numbers":
                y = ((y - outputs.center) / outputs.spread).astype(dtype)
            return self._matrix(some.frame, part), y

        X, y = ready(rows, "train")
        validation: Any = None
        trainer.units = None
        if held_out is not None:
            if outputs.task == "numbers":
                from fastbp.train.held_out import Units

                trainer.units = Units(outputs.back, held_out.y)
            validation = (*ready(held_out, "validation"), held_out.weight)
        metrics = [self.metric] if validation is not None else []
        return trainer.fit(X, y, epochs, validation, hooks, self._weighted(rows), metrics)

    def _keep(self, history: History, going_on: bool, early: bool) -> None:
        """The attributes that a fit leaves behind."""
        before = going_on and hasattr(self, "loss_curve_")
        self.loss_curve_ = [*(self.loss_curve_ if before else []), *history.loss]
        self.n_iter_ = len(self.loss_curve_)
        self.t_ = history.samples + (self.t_ if before else 0)
        self.validation_scores_ = history.metrics[f"val_{self.metric}"] if early else None
        self.validation_loss_curve_ = history.val_loss if early else None
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None
        self.best_loss_ = min(history.val_loss) if early else min(self.loss_curve_)

    def _raw(self, X: Any) -> Array:
        """The outputs of the network for rows of X, as float64."""
        from fastbp.sklearn.tables import frame_in
        from fastbp.sklearn.threads import share

        check_is_fitted(self, "network_")
        frame = frame_in(self, X, False, self._kept)
        return self.network_.predict(self._matrix(frame), threads=share(self.n_threads)).astype(np.float64)

    def _matrix(self, frame: Frame, part: str = "") -> Array | Coded:
        from fastbp.sklearn.tables import hinting

        with hinting():
            return self.recipe_.matrix(frame, self.network_.dtype, part)

    def save(self, path: Any) -> None:
        """Write the network with its preprocessing, for `fb.load` and ``fastbp predict``."""
        check_is_fitted(self, "network_")
        self.network_.about = {"recipe": self.recipe_.to_data()}
        self.network_.save(path)

    @property
    def coefs_(self) -> list[Array]:
        """The weights of the linear layers, each (inputs, outputs)."""
        return self._of_linear("weight")

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of the linear layers."""
        return self._of_linear("bias")

    def _of_linear(self, part: str) -> list[Array]:
        from fastbp.spec.layers import Linear

        check_is_fitted(self, "network_")
        net = self.network_
        names = [f"{node.name}.{part}" for node in net.graph.nodes if isinstance(node.layer, Linear)]
        return [net.parameters[name] for name in names if name in net.parameters]

    @property
    def n_layers_(self) -> int:
        """The number of layers, with those of inputs and outputs."""
        return len(self.coefs_) + 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing != "refuse"
        tags.input_tags.categorical = True
        tags.non_deterministic = False
        return tags


class _Long:
    """Something of a length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length
