"""`MLPClassifier`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_y

from fastbp.errors import ConfigError, ConfigTypeError, DataError, brief, visible
from fastbp.numerics.likely import log_sigmoid, log_softmax, sigmoid, softmax, with_numbers
from fastbp.sklearn.perceptron import Array, Perceptron
from fastbp.sklearn.there import with_several, without_folds
from fastbp.sklearn.words import hint_of
from fastbp.spec.checks import from_zero
from fastbp.spec.elsewhere import known_words

if TYPE_CHECKING:
    from fastbp.data.outputs import Outputs
    from fastbp.spec.losses import Loss


class MLPClassifier(ClassifierMixin, Perceptron):  # type: ignore[misc]
    """A multi-layer perceptron that tells classes apart, or gives a row several labels.

    Parameters
    ----------
    hidden : tuple of int, or list of layers
        Widths of the hidden layers; or the layers, such as ``[fb.Linear(64), fb.ReLU()]``, or as a configuration has
        them, ``[{"name": "linear", "features": 64}, "relu"]``. A last linear layer follows.
    preset : str, optional
        Name of a preset, from which parameters come that are left at their defaults, for the rows at hand; from
        100 rows on some are held out and choose the best epoch. Of one that is a pack, such as "thorough", the ensemble
        is kept that is chosen of its members. `fastbp presets` lists them.
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
    calibrate : "temperature", optional
        Rows that are held out also say by which number, `temperature_`, logits are divided, so that probabilities are
        neither too sure nor not sure enough; when to stop is then decided by their log loss after that. Of several
        networks it is what they say together, with `n_cv` of rows that they were not trained on.
    class_weight : "balanced", dict of class to number, or None
        Factors of the weights of training rows; "balanced" has all classes count the same.
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
        With `n_cv`, what the networks that were trained without a row say of it, for each row of X: probabilities.
    recipe_ : Recipe
        The fitted preprocessing.
    temperature_ : float
        With `calibrate`: outputs of `network_` are logits before it, `save` writes a network behind it.
    coefs_, intercepts_ : list of array
        Of the linear layers.
    loss_curve_ : list of float
        The training loss of each epoch.
    validation_loss_curve_, validation_scores_ : list of float, or None
        After each epoch, where rows are held out: their scores are accuracies.
    best_loss_ : float
        The lowest loss: of the rows that are held out, if some are, else of training.
    n_iter_, t_ : int
        Epochs, and rows that were trained on.
    n_features_in_, feature_names_in_, n_outputs_, classes_

    Examples
    --------
    >>> from fastbp.sklearn import MLPClassifier
    >>> import fastbp as fb
    >>> X, y = fb.data.digits("train")
    >>> model = MLPClassifier(hidden=(64,), epochs=20, random_state=0).fit(X, y)
    >>> model.score(*fb.data.digits("test")) > 0.95
    True
    """

    metric = "accuracy"
    metric_rows = 1

    @partial(known_words, hints=hint_of)
    def __init__(
        self,
        hidden: Any = (128,),
        *,
        preset: str | None = None,
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
        calibrate: str | None = None,
        class_weight: Any = None,
        categorical_features: Any = "from_dtype",
        encode: str = "one_hot",
        min_frequency: int = 1,
        scale: str = "standard",
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
        self.calibrate = calibrate
        self.class_weight = class_weight
        self.categorical_features = categorical_features
        self.encode = encode
        self.min_frequency = min_frequency
        self.scale = scale
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None) -> Any:
        """Train one epoch on some rows; the first call fits the preprocessing, and must name all `classes`."""
        if classes is None and not hasattr(self, "_begun"):
            raise DataError("classes must be passed on the first call to partial_fit.")
        return self._partial_fit(X, y, sample_weight, classes)

    def _fit_soft(self, X: Any, y: Any, classes: Array, soft: Array, sample_weight: Any) -> Any:
        """Fit to the probabilities of classes; y has one of these for each row, by which rows are divided."""
        self._soft, self._known = soft, classes
        try:
            return self.fit(X, y, sample_weight)
        finally:
            del self._soft, self._known

    def _checked_y(self, y: Any) -> Array:
        found = _check_y(y, multi_output=True, y_numeric=False, estimator=self)
        if found.ndim == 2 and found.shape[1] == 1:
            found = column_or_1d(found, warn=True)
        check_classification_targets(found)
        if type_of_target(found) == "multiclass-multioutput":
            raise DataError("y", "must be classes, or 0 and 1 for each of several labels", "several columns of classes")
        return np.asarray(found)

    def _targets(self, y: Array, reset: bool, classes: Any = None) -> Array:
        labels = y.ndim == 2
        if reset:
            classes = vars(self).get("_known", classes)
            self.classes_ = np.arange(y.shape[1]) if labels else np.unique(y if classes is None else classes)
            self._labels = labels
            if not labels and len(self.classes_) < 2:
                got = f"only one class, `{visible(str(self.classes_[0]))}`"
                raise DataError("y", "must have at least two classes", got)
        if labels != self._labels or (labels and y.shape[1] != len(self.classes_)):
            raise DataError("y", "must have the columns of the first fit", f"shape `{y.shape}`")
        if labels:
            return y.astype(self.dtype if reset else self._dtype)
        place = np.searchsorted(self.classes_, y)
        place = np.minimum(place, len(self.classes_) - 1)
        new = self.classes_[place] != y
        if new.any():
            shown = ", ".join(f"`{visible(str(c))}`" for c in self.classes_[:6]) + ", ..." * (len(self.classes_) > 6)
            raise DataError("y", f"must have classes of the first fit, {shown}", f"`{visible(str(y[new][0]))}`")
        return place.astype(np.int64)

    def _outputs(self, y: Any, targets: Array) -> Outputs:
        from fastbp.data.columns import Column
        from fastbp.data.frame import as_texts
        from fastbp.data.outputs import Outputs
        from fastbp.sklearn.there import column_named

        if self._labels:
            given = list(getattr(y, "columns", [])) or [f"y{i}" for i in self.classes_]
            names = [str(name) for name in given]
            return Outputs("labels", names, names, np.zeros(len(names)), np.ones(len(names)))
        kind = self.classes_.dtype.kind
        values = self.classes_.astype(np.float64) if kind in "fiu" else self.classes_.astype(str).astype(object)
        names = as_texts(Column("y", values)).tolist()
        return Outputs("classes", [column_named(y, "target")], names)

    def _loss_of(self) -> Loss:
        from fastbp.spec.catalogue import loss_of

        own: Loss | None = self._filled.beyond.loss if hasattr(self, "_filled") else None
        return own if own is not None else loss_of("binary_cross_entropy" if self._labels else "cross_entropy")

    def _weighted(self, y: Array, weight: Array | None) -> Any:
        given = self._filled.class_weight
        if given is None:
            return weight
        if self._labels:
            raise ConfigError("class_weight", "must be None where a row has several labels", f"`{brief(given)}`")
        own = np.ones(len(y)) if weight is None else weight
        if isinstance(given, str) and given == "balanced":
            sums = np.bincount(y, own, len(self.classes_))
            with np.errstate(divide="ignore"):
                by_class = own.sum() / ((sums > 0).sum() * sums)
            return own * by_class[y]
        if not isinstance(given, dict):
            must = 'must be "balanced", None, or a dict of class to number'
            raise ConfigTypeError("class_weight", must, f"`{brief(given)}`")
        by_class = np.ones(len(self.classes_))
        for name, number in given.items():
            found = np.flatnonzero(self.classes_ == name)
            if not len(found):
                raise ConfigError("class_weight", "must name classes of `y`", f"`{visible(str(name))}`")
            by_class[found] = from_zero(f"class_weight[{name!r}]", number)
        weights = own * by_class[y]
        if not weights.any():
            raise ConfigError("class_weight", "must be above 0 for a class of `y`", f"`{brief(given)}`")
        return np.asarray(weights)

    def decision_function(self, X: Any) -> Array:
        """Logits of the classes, shape (rows, classes); of two classes their difference, shape (rows,)."""
        z = self._raw(X)
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 and not self._labels else z

    def predict(self, X: Any) -> Array:
        """The class of each row, or 0 and 1 for each label."""
        z = with_numbers(self._raw(X))
        if self._labels:
            return (z > 0.0).astype(np.int64)
        return np.asarray(self.classes_[z.argmax(axis=1)])

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of `predict_proba`, which do not become minus infinity."""
        z = self._raw(X)
        return log_sigmoid(z) if self._labels else log_softmax(z)

    @available_if(with_several)  # type: ignore[untyped-decorator]
    def spread(self, X: Any) -> Array:
        """How far several networks are apart: the standard deviation of what `predict_proba` is the mean of."""
        return self._apart(X)

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes, or of each label, shape (rows, classes)."""
        return self._meaning(self._raw(X))

    def _meaning(self, z: Array) -> Array:
        return sigmoid(z) if self._labels else softmax(z)

    @property
    def out_activation_(self) -> str:
        """What makes probabilities of the outputs."""
        return "logistic" if self._labels else "softmax"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
