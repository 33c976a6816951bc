"""What PyTorch, Keras and scikit-learn call what is called otherwise here: one table, for messages and for readers."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from fastbp.errors import ConfigTypeError

P = ParamSpec("P")
R = TypeVar("R")
Hints = Callable[[str], str | None]


class Word(NamedTuple):
    """A word of another library, whose it is, and what to write here, in Python and in configurations."""

    theirs: str
    whose: str
    python: str
    config: str = ""


T, K, S = "PyTorch", "Keras", "scikit-learn"
CLOSE = 0.7  # how alike an argument is that may have been meant; `rate` is no `calibrate`
NO_GPU = "leave it out: everything runs on the CPU"

WORDS = (
    # Layers
    Word("in_features", T, "leave it out: a layer's inputs are the outputs of the layer before"),
    Word("out_features", T, "`fb.Linear(features)`", "`features`"),
    Word("num_features", T, "leave it out: a norm has as many features as the layer before"),
    Word("normalized_shape", T, "leave it out: a norm has as many features as the layer before"),
    Word("elementwise_affine", T, "`affine=`", "`affine`"),
    Word("num_embeddings", T, "`fb.Embedding({column: (categories, width)})`", "`data.encode: embedding`"),
    Word("embedding_dim", T, "`fb.Embedding({column: (categories, width)})`", "`data.encode: embedding`"),
    Word("units", K, "`fb.Linear(features)`", "`features`"),
    Word("rate", K, "`fb.Dropout(p)`", "`p`"),
    Word("use_bias", K, "`bias=`", "`bias`"),
    Word("epsilon", K, "`eps=`", "`eps`"),
    Word("kernel_initializer", K, "`init=` of `fb.Linear`", "`init`"),
    Word("bias_initializer", K, "`bias_init=` of `fb.Linear`", "`bias_init`"),
    Word("kernel_regularizer", K, '`penalty="1e-4 * w**2"` of `fb.Trainer`', "`trainer.penalty`"),
    Word("input_shape", K, "`fb.Network(layers, inputs=64)`", "leave it out: the data have so many inputs"),
    Word("input_dim", K, "`fb.Network(layers, inputs=64)`", "leave it out: the data have so many inputs"),
    Word("hidden_layer_sizes", S, "`fb.mlp([inputs, 128, 64, outputs])`", "`network.hidden: [128, 64]`"),
    # Losses
    Word("criterion", T, "`loss=` of `fb.Trainer`", "`trainer.loss`"),
    Word("from_logits", K, "leave it out: losses take a network's raw outputs"),
    Word("class_weight", K, "`loss=fb.CrossEntropy(class_weights={2: 5.0})`", "`trainer.loss.class_weights`"),
    # Optimisers and schedules
    Word("learning_rate", K, "`optimizer=fb.Adam(lr=1e-3)`", "`trainer.optimizer.lr`"),
    Word("learning_rate_init", S, "`optimizer=fb.Adam(lr=1e-3)`", "`trainer.optimizer.lr`"),
    Word("lr", T, "`optimizer=fb.Adam(lr=1e-3)`", "`trainer.optimizer.lr`"),
    Word("alpha", S, "`optimizer=fb.AdamW(weight_decay=0.01)`", "`trainer.optimizer.weight_decay`"),
    Word("solver", S, "`optimizer=`", "`trainer.optimizer`"),
    Word("beta_1", K, "`betas=(0.9, 0.999)`", "`betas: [0.9, 0.999]`"),
    Word("beta_2", K, "`betas=(0.9, 0.999)`", "`betas: [0.9, 0.999]`"),
    Word("params", T, "`fb.Trainer(net, optimizer=...)`: a trainer gives the optimiser its parameters"),
    Word("clipnorm", K, "`clip_norm=` of `fb.Trainer`", "`trainer.clip_norm`"),
    Word("global_clipnorm", K, "`clip_norm=` of `fb.Trainer`", "`trainer.clip_norm`"),
    Word("clipvalue", K, "`clip_value=` of `fb.Trainer`", "`trainer.clip_value`"),
    Word("max_norm", T, "`clip_norm=` of `fb.Trainer`", "`trainer.clip_norm`"),
    Word("ema_momentum", K, "`ema=0.99` of `fb.Trainer`", "`trainer.ema`"),
    Word("lr_scheduler", T, "`schedule=` of `fb.Trainer`", "`trainer.schedule`"),
    Word("scheduler", T, "`schedule=` of `fb.Trainer`", "`trainer.schedule`"),
    Word("T_max", T, "`steps=` of `fb.Cosine`, in steps", "`steps`"),
    Word("eta_min", T, "`end=` of `fb.Cosine`, as a part of the rate", "`end`"),
    Word("step_size", T, "`every=` of `fb.Step`, in steps", "`every`"),
    # Training
    Word("max_iter", S, "`epochs=` of `fit`", "`trainer.epochs`"),
    Word("max_epochs", T, "`epochs=` of `fit`", "`trainer.epochs`"),
    Word("validation_data", K, "`validation=(X, y)` of `fit`", "`data.validation`, or a part of `data.split`"),
    Word("validation_split", K, "`validation=0.2` of `fit`", "`data.split.validation`"),
    Word("validation_fraction", S, "`validation=0.2` of `fit`", "`data.split.validation`"),
    Word("early_stopping", S, "`callbacks=[fb.EarlyStopping(patience=5)]` of `fit`", "`trainer.early_stopping`"),
    Word("n_iter_no_change", S, "`fb.EarlyStopping(patience=10)`", "`trainer.early_stopping.patience`"),
    Word("tol", S, "`fb.EarlyStopping(min_delta=1e-4)`", "`trainer.early_stopping.min_delta`"),
    Word("restore_best_weights", K, "`fb.EarlyStopping(restore_best=True)`", "leave it out: the best is kept"),
    Word("initial_epoch", K, "`history=` of `fit`, that of the epochs before", "`fastbp train --resume`"),
    Word("steps_per_epoch", K, "`trainer.run(X, y, steps)`"),
    Word("verbose", K, "`verbose=` of `fit`", "`fastbp train -q`"),
    Word("shuffle", K, "leave it out: rows are shuffled anew in each epoch"),
    Word("device", T, NO_GPU),
    Word("random_state", S, "`seed=`", "`seed`"),
    Word("n_jobs", S, "`threads=`", "`trainer.threads`"),
    Word("num_workers", T, "`threads=`", "`trainer.threads`"),
)

O, W, Y = "Optuna", "Weights & Biases", "Ray Tune"

SWEEP_WORDS = (  # of `fb.sweep`, and of a section `sweep`
    Word("n_trials", O, "`trials=`", "`trials`"),
    Word("n_iter", S, "`trials=`", "`trials`"),
    Word("num_samples", Y, "`trials=`", "`trials`"),
    Word("count", W, "`trials=`", "`trials`"),
    Word("method", W, "`sampler=`", "`sampler`"),
    Word("search_alg", Y, "`sampler=`", "`sampler`"),
    Word("scheduler", Y, "`pruner=`", "`pruner`"),
    Word("early_terminate", W, "`pruner=`", "`pruner`"),
    Word("parameters", W, "`space=`", "`space`"),
    Word("param_space", Y, "`space=`", "`space`"),
    Word("param_grid", S, "`space=`", "`space`"),
    Word("param_distributions", S, "`space=`", "`space`"),
    Word("metric", W, "`trainer.monitor` of the configuration", "`trainer.monitor`"),
    Word("scoring", S, "`trainer.monitor` of the configuration", "`trainer.monitor`"),
    Word("direction", O, "`mode=` of functions, and `trainer.mode` of configurations", "`trainer.mode`"),
    Word("n_jobs", O, "`jobs=`", "`--jobs` of `fastbp sweep`"),
    Word("jobs", S, "`jobs=`", "`--jobs` of `fastbp sweep`"),
    Word("storage", O, "`storage=`, a folder", "`--storage` of `fastbp sweep`, a folder"),
    Word("study_name", O, "`storage=`, a folder", "`name` of the configuration, or `--storage`"),
    Word("timeout", O, "`--time-limit` of `fastbp sweep`"),
    Word("time_limit", O, "`--time-limit` of `fastbp sweep`"),
    Word("random_state", S, "`seed=`", "`seed`"),
)

NETWORK_WORDS = (  # attributes of networks
    Word("forward", T, "`net.predict(X)`"),
    Word("backward", T, "`net.loss_and_gradients(X, y)`, or of a cotangent `net.parameter_vjp(X, u)`"),
    Word("zero_grad", T, "leave it out: gradients are of one call, and never added up"),
    Word("train", T, "leave it out: trainers train, and `net.predict` has no dropout"),
    Word("eval", T, "leave it out: `net.predict` has no dropout"),
    Word("state_dict", T, "`net.arrays()`, and `net.flat` as one vector"),
    Word("load_state_dict", T, "`net.flat = other.flat`, and `fb.load_torch` for a state of PyTorch"),
    Word("named_parameters", T, "`net.parameters.items()`"),
    Word("requires_grad_", T, "`frozen=` of `fb.Trainer`"),
    Word("to", T, NO_GPU),
    Word("double", T, '`fb.Network(layers, inputs, dtype="float64")`'),
    Word("clone", T, "`copy.deepcopy(net)`"),
    Word("copy", T, "`copy.deepcopy(net)`"),
    Word("compile", K, "`fb.Trainer(net, loss=..., optimizer=...)`"),
    Word("fit", K, "`fb.Trainer(net, loss=...).fit(X, y)`"),
    Word("partial_fit", S, "`trainer.step(X, y)`"),
    Word("summary", K, "`print(net)`, or a picture by `net.draw()`"),
    Word("weights", K, "`net.parameters`"),
    Word("get_weights", K, "`net.arrays()`, and `net.flat` as one vector"),
    Word("set_weights", K, "`net.flat = vector`, or `net.parameters[name] = array`"),
)
PACK_WORDS = (  # arguments of `Pack.fit`, which trainers have too
    Word("callbacks", K, "`patience=`, with which members leave"),
    Word("early_stopping", S, "`patience=`, with which members leave"),
    Word("n_iter_no_change", S, "`patience=`"),
    Word("metrics", K, "`fb.metrics.evaluate` of what `pack.predict_members(X)` says"),
    Word("validation_split", K, "`validation=(X, y)`, or `validation_rows=` with rows of X for each member"),
    Word("validation_fraction", S, "`validation=(X, y)`, or `validation_rows=` with rows of X for each member"),
    Word("steps_per_epoch", K, "`pack.run(X, y, steps)`"),
    Word("verbose", K, "leave it out: a pack says nothing while it trains"),
)
TRAINER_WORDS = (  # attributes of trainers
    Word("train", T, "`trainer.fit(X, y)`"),
    Word("zero_grad", T, "leave it out: gradients are of one step, and added up by `accumulate=`"),
    Word("state_dict", T, "`pickle.dumps(trainer)`"),
    Word("param_groups", T, "`trainer.optimizer`, and `lr_factors=` of `fb.Trainer`"),
    Word("model", K, "`trainer.net`"),
    Word("learning_rate", K, "`trainer.lr`"),
    Word("train_on_batch", K, "`trainer.step(X, y)`"),
    Word("partial_fit", S, "`trainer.step(X, y)`"),
    Word("apply_gradients", K, '`trainer.step(X, u)` of cotangents u with the loss `fb.loss("z * t")`'),
    Word("predict", K, "`trainer.net.predict(X)`"),
    Word("evaluate", K, "`trainer.net.evaluate(X, y, loss=trainer.loss)`"),
    Word("save", K, "`trainer.net.save(path)`, or `pickle.dump(trainer, file)` to go on from"),
)

NAMES = {
    "bayes": "tpe",
    "bayesian": "tpe",
    "randomsearch": "random",
    "gridsearch": "grid",
    "asha": "halving",
    "nop": "none",
    "regression": "numbers",
    "classification": "classes",
    "multiclass": "classes",
    "binary": "classes",
    "multilabel": "labels",
    "f1": "f1_macro",
    "acc": "accuracy",
    "auc": "roc_auc",
    "roc_auc_score": "roc_auc",
    "mean_squared_error": "mse",
    "mse_loss": "mse",
    "l2": "mse",
    "mean_absolute_error": "mae",
    "l1_loss": "mae",
    "categorical_crossentropy": "cross_entropy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "crossentropy": "cross_entropy",
    "bce": "binary_cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "logistic": "sigmoid",
    "swish": "silu",
}


def hint(theirs: str, config: bool = False, words: Iterable[Word] = WORDS) -> str | None:
    """A hint about a word of another library, or nothing.

    Examples
    --------
    >>> hint("random_state")
    'here this is `seed=`'
    >>> hint("max_iter", config=True)
    'here this is `trainer.epochs`'
    """
    for word in words:
        if word.theirs == theirs:
            ours = (word.config if config else "") or word.python
            return ours if ours.startswith("leave") else f"here this is {ours}"
    return None


def hint_of_pack(theirs: str) -> str | None:
    """A hint about an argument of `Pack.fit`, or nothing."""
    return hint(theirs, words=(*PACK_WORDS, *WORDS))


def hint_of_name(value: Any, names: Iterable[str]) -> str | None:
    """A hint about a name that other libraries use, or nothing."""
    ours = NAMES.get(value.lower()) if isinstance(value, str) else None
    return f"here this is `{ours}`" if ours is not None and ours in {*names} else None


def refuse(where: str, words: Iterable[str], known: Iterable[str], hints: Hints = hint) -> None:
    """Raise for the first keyword that is not known."""
    names = [name for name in known if name not in ("self", "cls")]
    for word in words:
        if word not in names:
            listed = ", ".join(f"`{name}`" for name in names) or "none"
            close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=CLOSE)
            hint = hints(word) or (f"did you mean `{close[0]}`?" if close else None)
            raise ConfigTypeError(f"the arguments of `{where}` must be of {listed}", got=f"`{word}`", hint=hint)


def known_words(function: Callable[P, R], hints: Hints = hint) -> Callable[P, R]:
    """A function that refuses keywords it does not have, with a hint if another library has them."""
    names = tuple(inspect.signature(function).parameters)
    where = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def checked(*args: P.args, **words: P.kwargs) -> R:
        if not words.keys() <= {*names}:
            refuse(where, words, names, hints)
        return function(*args, **words)

    return checked


class KnownWords:
    """A class of settings that refuses keywords it does not have, with a hint if another library has them."""

    if not TYPE_CHECKING:  # which would see a constructor that takes anything

        def __new__(cls, *args, **words):
            if words:
                names = inspect.signature(cls.__init__).parameters
                if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in names.values()):
                    refuse(cls.__name__, words, names)
            return super().__new__(cls)


class Theirs:
    """An attribute that another library has: there is none, and what it is called here is said.

    `__getattr__` would say it, too, but a class that has it looks up every attribute in more time.
    """

    def __init__(self, name: str, said: str | None) -> None:
        self.name, self.said = name, said

    def __get__(self, one: Any, kind: type) -> Any:
        for base in kind.__mro__:  # a class that stands behind may have it
            found = vars(base).get(self.name, self)
            if not isinstance(found, Theirs):
                return found.__get__(one, kind) if hasattr(found, "__get__") else found
        raise AttributeError(f"{kind.__name__!r} object has no attribute {self.name!r}, {self.said}")


class KnownAttributes:
    """A class whose instances say of an attribute that another library has what it is called here."""

    _theirs: tuple[Word, ...] = ()

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        for word in vars(cls).get("_theirs", ()):
            setattr(cls, word.theirs, Theirs(word.theirs, hint(word.theirs, words=[word])))

    def __dir__(self) -> list[str]:
        names = {word.theirs for word in self._theirs}
        return [name for name in super().__dir__() if name not in names or hasattr(self, name)]
