"""`MLPRegressor`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_y

from fastbp.errors import ConfigError, DataError
from fastbp.sklearn.perceptron import Array, Perceptron
from fastbp.sklearn.there import with_several, without_folds
from fastbp.sklearn.words import hint_of
from fastbp.spec.checks import flag
from fastbp.spec.elsewhere import known_words

if TYPE_CHECKING:
    from fastbp.data.outputs import Outputs
    from fastbp.spec.losses import Loss


class MLPRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]
    """A multi-layer perceptron that predicts numbers.

    Parameters
    ----------
    hidden : tuple of int, or list of layers
        Widths of the hidden layers; or the layers, such as ``[fb.Linear(64), fb.ReLU()]``, or as a configuration has
        them, ``[{"name": "linear", "features": 64}, "relu"]``. A last linear layer follows.
    preset : str, optional
        Name of a preset, from which parameters come that are left at their defaults, for the rows at hand; from
        100 rows on some are held out and choose the best epoch. Of one that is a pack, such as "thorough", the ensemble
        is kept that is chosen of its members. `fastbp presets` lists them.
    loss : str or Loss
        A loss of numbers, such as "mse", "huber", "mae", "poisson" or ``fb.Quantile(q=0.9)``.
    activation : str, Layer, or a list with one for each hidden layer
        "relu", "gelu", "silu", "tanh" and so on, a formula such as "x * sigmoid(x)", or a layer of fastbp. Not where
        `hidden` lists layers.
    dropout : float, 0 <= dropout < 1
        Probability of dropout after each activation in training.
    norm : {"batch_norm", "layer_norm", "rms_norm"}, optional
        Between each hidden linear layer and its activation.
    residual : bool
        Whether what a hidden layer gets is added to what it gives, where both are of one width.
    optimizer : str or Optimizer
        A name such as "adamw", or one with settings such as ``fb.SGD(momentum=0.9)``.
    learning_rate, weight_decay : float, optional
        Instead of the optimiser's own.
    schedule : str or Schedule, optional
        Of the learning rate, such as "cosine"; constant by default.
    batch_size, epochs : int, >= 1
    early_stopping : bool or "auto"
        Whether rows that are held out decide when to stop, by their loss, and the best network is kept; "auto": above
        10,000 rows, or where `fit` gets `X_val`.
    patience : int, >= 1
        Epochs without improvement after which to stop.
    validation_fraction : float, 0 < fraction < 1
        Of the rows, to hold out; of each class the same, and not if `fit` gets `X_val`.
    categorical_features : "from_dtype", None, or list of str, int or bool
        Columns that are categories: those of a table whose type is a category, text or bool, and with the presets
        "standard", "plain" and "thorough" numbers that name things, as `fastbp init` finds them; none; or those listed,
        by name, index or mask. Those of an array are `x0`, `x1` and so on, and its numbers codes.
    encode : {"one_hot", "embedding", "auto"}
        What categories become: a column for each, or a row of a learned table; "auto": a table where many.
    min_frequency : int, >= 1
        Categories of fewer training rows than this are one, to which categories go that are new later.
    scale : {"standard", "robust", "quantile", "noisy_quantile", "auto", "none"}
        How numbers are scaled by what was fitted to the training rows; "auto": to quantiles where tails are heavy.
    scale_target : bool
        Whether y is standardised for training, and predictions are scaled back.
    clamp_target : bool
        Whether predictions stay between the least and the greatest y of the training rows.
    missing : {"mean", "median", "refuse"}
        What missing numbers become; "refuse" makes them an error.
    embed_numbers : str or dict, optional
        "piecewise_linear", or ``{"name": "piecewise_linear", "bins": 16}``: behind the numbers stands how far each has
        come through each bin between quantiles of the training rows. "pbld", "cosine" or "periodic": waves.
    tabm : int or dict, optional
        Number of members that share the hidden layers (TabM-mini), or ``{"k": 32, "mini": False}`` for adapters of
        each member in every layer (TabM); the prediction is the mean of theirs.
    random_state : int, RandomState or None
        An int is the seed of the network and of its trainer; None draws one.
    n_ens : int, >= 1
        How many networks there are, with seeds from that one on, trained at once; predictions are their mean.
    n_cv : int, >= 2, optional
        Folds of the rows: for each there are `n_ens` networks that are trained without it, and predict it.
    n_threads : int, optional
        At most so many; by default one per processor, or a worker's share of them inside a parallel search. No bit
        depends on it.
    dtype : {"float32", "float64"}
        Of the network. Rows may be of any type.
    warm_start : bool
        Whether `fit` goes on from where the last one ended, with its network, preprocessing and batches; rates, weights
        of classes and when to stop may be others.
    time_limit : float, > 0, optional
        Seconds after which training ends, in the middle of an epoch if need be.
    callbacks : list
        Callbacks of fastbp, such as ``fb.ReduceLROnPlateau()``, or functions f(trainer, history).
    verbose : bool
        Whether about 20 epochs are printed.

    Attributes
    ----------
    network_ : Network
        Where there is one; `networks_` is a list of all.
    ensemble_ : Ensemble
        Where there are several, all of them; as `network_` it takes rows that are prepared already.
    oof_predictions_ : array
        With `n_cv`, what the networks that were trained without a row say of it, for each row of X: numbers.
    recipe_ : Recipe
        The fitted preprocessing.
    coefs_, intercepts_ : list of array
        Of the linear layers.
    loss_curve_ : list of float
        The training loss of each epoch.
    validation_loss_curve_, validation_scores_ : list of float, or None
        After each epoch, where rows are held out: their scores are R².
    best_loss_ : float
        The lowest loss: of the rows that are held out, if some are, else of training.
    n_iter_, t_ : int
        Epochs, and rows that were trained on.
    n_features_in_, feature_names_in_, n_outputs_

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.sklearn import MLPRegressor
    >>> X = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> model = MLPRegressor(learning_rate=1e-2, random_state=0).fit(X, 1000.0 + 50.0 * X[:, 0] ** 2)
    >>> model.score(X, 1000.0 + 50.0 * X[:, 0] ** 2) > 0.95
    True
    """

    metric = "r2"
    metric_rows = 2
    out_activation_ = "identity"

    @partial(known_words, hints=hint_of)
    def __init__(
        self,
        hidden: Any = (128,),
        *,
        preset: str | None = None,
        loss: Any = "mse",
        activation: Any = "relu",
        dropout: float = 0.0,
        norm: str | None = None,
        residual: bool = False,
        optimizer: Any = "adamw",
        learning_rate: float | None = None,
        schedule: Any = None,
        weight_decay: float | None = None,
        batch_size: int = 32,
        epochs: int = 50,
        early_stopping: Any = "auto",
        patience: int = 10,
        validation_fraction: float = 0.1,
        categorical_features: Any = "from_dtype",
        encode: str = "one_hot",
        min_frequency: int = 1,
        scale: str = "standard",
        scale_target: bool = True,
        clamp_target: bool = False,
        missing: str = "mean",
        embed_numbers: Any = None,
        tabm: Any = None,
        random_state: Any = None,
        n_ens: int = 1,
        n_cv: int | None = None,
        n_threads: int | None = None,
        dtype: str = "float32",
        warm_start: bool = False,
        time_limit: float | None = None,
        callbacks: Any = (),
        verbose: Any = False,
    ) -> None:
        self.hidden = hidden
        self.preset = preset
        self.loss = loss
        self.activation = activation
        self.dropout = dropout
        self.norm = norm
        self.residual = residual
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.categorical_features = categorical_features
        self.encode = encode
        self.min_frequency = min_frequency
        self.scale = scale
        self.scale_target = scale_target
        self.clamp_target = clamp_target
        self.missing = missing
        self.embed_numbers = embed_numbers
        self.tabm = tabm
        self.random_state = random_state
        self.n_ens = n_ens
        self.n_cv = n_cv
        self.n_threads = n_threads
        self.dtype = dtype
        self.warm_start = warm_start
        self.time_limit = time_limit
        self.callbacks = callbacks
        self.verbose = verbose

    @available_if(without_folds)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train one epoch on some rows; the first call fits the preprocessing and the scale of y."""
        return self._partial_fit(X, y, sample_weight, None)

    def _checked_y(self, y: Any) -> Array:
        found = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
        if found.ndim == 2 and found.shape[1] == 1:
            found = column_or_1d(found, warn=True)
        return np.asarray(found, np.float64)

    def _targets(self, y: Array, reset: bool, classes: Any = None) -> Array:
        if reset:
            self._one = y.ndim == 1
            self._width = 1 if self._one else y.shape[1]
        y = y.reshape(len(y), -1)
        if y.shape[1] != self._width:
            must = f"must have as many columns as in the first fit, {self._width}"
            raise DataError("y", must, f"{y.shape[1]}")
        return y

    def _outputs(self, y: Any, targets: Array) -> Outputs:
        from fastbp.data.columns import Column
        from fastbp.data.frame import Frame
        from fastbp.data.outputs import Outputs
        from fastbp.sklearn.there import column_named

        several = [str(name) for name in getattr(y, "columns", [])] or [f"y{i}" for i in range(self._width)]
        names = [column_named(y, "target")] if self._one else several
        columns = {name: Column(name, targets[:, i]) for i, name in enumerate(names)}
        outputs = Outputs("numbers", names)
        scaled = flag("scale_target", self.scale_target) and self._loss_of().scaled
        outputs.fit(Frame(None, columns, "y"), scaled, flag("clamp_target", self._filled.clamp_target))
        return outputs

    def _loss_of(self) -> Loss:
        from fastbp.spec.catalogue import loss_of

        own: Loss | None = self._filled.beyond.loss if hasattr(self, "_filled") else None
        loss = own if own is not None else loss_of(self.loss)
        if "numbers" not in loss.tasks:
            raise ConfigError("loss", "must be one of numbers, such as `mse`", f"`{loss.named}`")
        return loss

    def predict(self, X: Any) -> Array:
        """The predicted numbers, shape (rows,) or (rows, outputs), in the units of y."""
        return self._meaning(self._raw(X))

    @available_if(with_several)  # type: ignore[untyped-decorator]
    def spread(self, X: Any) -> Array:
        """How far several networks are apart: the standard deviation of what `predict` is the mean of."""
        found = self._apart(X) * self.recipe_.outputs.spread
        return np.asarray(found[:, 0] if self._one else found)

    def _meaning(self, z: Array) -> Array:
        found = self.recipe_.outputs.unscaled(self._loss_of().predicted(z))
        return np.asarray(found[:, 0] if self._one else found)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
