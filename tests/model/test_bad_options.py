"""Settings that cannot be, of everything that has settings, and the sentence for each."""

import inspect

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError, FastbpError

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
Y = np.arange(6) % 3
INITIALISERS = (
    "`torch`, `he_normal`, `he_uniform`, `glorot_normal`, `glorot_uniform`, `lecun_normal`, `lecun_uniform`, `normal`, "
    "`uniform`, `truncated_normal`, `truncated_normal_3`, `orthogonal`, `signs`, `zeros`, `ones`, `constant`"
)
PUBLIC = {name: kind for name in fb.__all__ if isinstance(kind := getattr(fb, name), type)}
# Or none that are not looked at elsewhere: those of packs and ensembles in train/test_bad_packs.py and
# train/test_bad_ensembles.py, of TensorBoard in its own file.
NO_SETTINGS = [
    *("Callback", "CrossValidation", "Ensemble", "Greedy", "History", "Init", "Network", "Pack", "TensorBoard"),
]
CLASSES = {name: kind for name, kind in PUBLIC.items() if not issubclass(kind, FastbpError) and name not in NO_SETTINGS}


def refused(kind, make, message):
    with pytest.raises(kind) as info:
        make()
    assert type(info.value) is kind
    assert str(info.value) == message


def net(*layers, **settings):
    return fb.Network(layers or [fb.Linear(3)], **{"inputs": 4, **settings})


def trainer(*layers, **settings):
    return fb.Trainer(net(*layers), **settings)


# Settings by what they must be: "class.setting", and values that are not so.

NEEDED = {
    **{name: {"features": 3} for name in ("Linear", "MemberLinear", "AdaptedLinear")},
    "Slice": {"start": 0, "stop": 2}, "Repeat": {"features": 2},
    "Embedding": {"columns": {0: (3, 2)}}, "Step": {"every": 2},
    "PiecewiseLinearEmbedding": {"columns": {0: [0.0, 1.0]}},
    "MultiStep": {"milestones": [2]}, "Exponential": {"gamma": 0.5}, "CosineRestarts": {"first": 3},
    "TimeBudget": {"seconds": 1.0}, **{name: {"path": "x"} for name in ("ModelCheckpoint", "CSVLogger", "JSONLogger")},
    "LBFGS": {"net": fb.Network([fb.Linear(3)], inputs=4)}, "Trainer": {"net": fb.Network([fb.Linear(3)], inputs=4)},
    "Windows": {"X": np.zeros((3, 2))},
}  # fmt: skip
ADAMS = ["Adam", "AdamW", "NAdam", "RAdam"]
RULES = [*ADAMS, "Muon", "Lion", "SGD", "Adagrad", "RMSprop", "Adadelta"]


def having(setting, names=CLASSES):
    return [f"{name}.{setting}" for name in names if setting in inspect.signature(CLASSES[name]).parameters]


ABOVE_0 = [
    "LayerNorm.eps", "RMSNorm.eps", "BatchNorm.eps", "Softplus.beta", "Huber.delta", "MultiMargin.margin",
    "BinaryCrossEntropy.pos_weight", "Polynomial.power", "OneCycle.div", "OneCycle.final_div", "TimeBudget.seconds",
    "Trainer.clip_norm", "Trainer.clip_value",
    "Muon.muon_lr", *having("lr", RULES), *having("eps", RULES), *having("gamma", ["Step", "MultiStep", "Exponential"]),
    *having("sigma"),
]  # fmt: skip
FROM_0 = [
    "LeakyReLU.negative_slope", "ELU.alpha", "Adagrad.lr_decay", "Adagrad.initial", "NAdam.momentum_decay",
    "ReduceLROnPlateau.min_lr", "LBFGS.tolerance", *having("weight_decay"), *having("min_delta"),
]  # fmt: skip
BELOW_1 = [
    "Dropout.p", "SGD.momentum", "Muon.momentum", "RMSprop.momentum", "RMSprop.alpha", "Adadelta.rho", "OneCycle.warm",
    "FlatCosine.flat", "Trainer.ema",
]  # fmt: skip
UP_TO_1 = ["BatchNorm.momentum", "CrossEntropy.label_smoothing", *having("end")]
INSIDE = ["Quantile.q"]
FINITE = [
    "PReLU.init", "Parametric.init", "Hardtanh.min_val", "Hardtanh.max_val", "Affine.factor", "Affine.shift",
    "Reciprocal.numerator",
]  # fmt: skip
REAL = {
    **dict.fromkeys(ABOVE_0, ("must be above 0", [0.0, -1.0])),
    **dict.fromkeys(FROM_0, ("must be at least 0", [-0.01])),
    **dict.fromkeys(BELOW_1, ("must be at least 0 and below 1", [-0.5, 1.0, 2.0])),
    **dict.fromkeys(UP_TO_1, ("must be between 0 and 1", [-0.1, 1.1, 2.0])),
    **dict.fromkeys(INSIDE, ("must be above 0 and below 1", [0.0, 1.0, -0.5, 1.5])),
    **dict.fromkeys(FINITE, ("must be finite", [float("nan"), float("inf")])),
    "ReduceLROnPlateau.factor": ("must be above 0 and below 1", [1.0, 2.0]),
}
WHOLE = {
    **dict.fromkeys(["Repeat.features", "Slice.stop"], 1),
    "Slice.start": 0,
    **dict.fromkeys(["MemberLinear.features", "AdaptedLinear.features"], 1),
    "Members.count": 2,
    **dict.fromkeys(["Linear.features", "Step.every", "CosineRestarts.first", "CosineRestarts.multiply"], 1),
    **dict.fromkeys(["MultiMargin.p", "ModelCheckpoint.every", "LBFGS.memory", *having("steps")], 1),
    **dict.fromkeys(["Trainer.batch_size", "Trainer.accumulate", "Trainer.shards", *having("frequencies")], 1),
    **dict.fromkeys([f"{name}.features" for name in ("PBLD", "PeriodicEmbedding", "PiecewiseLinearEmbedding")], 1),
    **dict.fromkeys(["Windows.block_rows", "Windows.window_blocks"], 1),
    **dict.fromkeys([*having("warmup"), *having("patience"), "ReduceLROnPlateau.cooldown"], 0),
}
FLAGS = [
    setting
    for name in ("bias", "ntk", "affine", "per_feature", "nesterov", "decoupled", "decay_all", "centered", "amsgrad")
    for setting in having(name)
] + [
    "EarlyStopping.restore_best",
    "ModelCheckpoint.save_best_only",
    "CSVLogger.append",
    "JSONLogger.append",
    "Trainer.drop_last",
]
CHOICES = {
    **dict.fromkeys(having("reduction"), "`mean`, `sum`"),
    **dict.fromkeys(having("mode"), "`auto`, `min`, `max`"),
    "GELU.approximate": "`none`, `tanh`",
    "EarlyStopping.ties": "`first`, `last`",
    "Members.average": "`values`, `softmax`, `sigmoid`",
}
INITS = [
    *("Linear.init", "Linear.bias_init", "Scale.init", "Embedding.init", "MemberScale.init"),
    *(f"{name}Linear.{init}" for name in ("Member", "Adapted") for init in ("init", "bias_init")),
    "AdaptedLinear.adapter",
]
PATHS = having("path")
MONITORS = having("monitor")
# Those with a section of their own below, or in test_bad_settings, test_members.py, spec/test_bins.py,
# spec/test_embeddings.py or train/test_scheduled.py.
APART = [
    *having("columns"), "CrossEntropy.class_weights", "CrossEntropy.ignore_index",
    "MultiStep.milestones",
    *having("betas"), *(f"Trainer.{name}" for name in ("net", "loss", "optimizer", "threads", "seed", "schedule")),
    *(f"Trainer.{name}" for name in ("lr_factors", "decay_factors", "frozen", "penalty", "schedules")),
    "MemberScale.chunks", "AdaptedLinear.chunks", "LBFGS.net", "LBFGS.loss", "Parametric.activation",
    "JointLoss.losses", "JointLoss.weights", "Trainer.comm", "Windows.X",
]  # fmt: skip


def make(where, value):
    name, setting = where.split(".")
    return CLASSES[name](**{**NEEDED.get(name, {}), setting: value})


def shown(where):
    """Settings of trainers and of rows in windows go by their name alone."""
    return where.removeprefix("Trainer.").removeprefix("Windows.")


def test_every_setting_has_a_case():
    cases = {*REAL, *WHOLE, *FLAGS, *CHOICES, *INITS, *PATHS, *MONITORS, *APART}
    there = {f"{name}.{setting}" for name, kind in CLASSES.items() for setting in inspect.signature(kind).parameters}
    assert there == cases


@pytest.mark.parametrize(("where", "value"), [(where, value) for where in REAL for value in REAL[where][1]])
def test_a_number_outside_its_domain_is_refused(where, value):
    refused(ConfigError, lambda: make(where, value), f"`{shown(where)}` {REAL[where][0]}, got `{value}`")


@pytest.mark.parametrize("where", REAL)
def test_a_number_is_finite(where):
    for value in (float("nan"), float("inf")):
        refused(ConfigError, lambda v=value: make(where, v), f"`{shown(where)}` must be finite, got `{value}`")


@pytest.mark.parametrize("where", REAL)
def test_a_number_is_no_text_and_no_switch(where):
    for value in (True, "0.5"):
        message = f"`{shown(where)}` must be a number, got `{value!r}`"
        refused(ConfigTypeError, lambda v=value: make(where, v), message)


@pytest.mark.parametrize("where", WHOLE)
def test_a_whole_number_has_a_limit_below(where):
    least = WHOLE[where]
    message = f"`{shown(where)}` must be at least {least}, got `{least - 1}`"
    refused(ConfigError, lambda: make(where, least - 1), message)


@pytest.mark.parametrize("where", WHOLE)
def test_a_whole_number_is_whole(where):
    for value in (1.5, True, "2"):
        message = f"`{shown(where)}` must be a whole number, got `{value!r}`"
        refused(ConfigTypeError, lambda v=value: make(where, v), message)


@pytest.mark.parametrize("where", FLAGS)
def test_a_switch_is_true_or_false(where):
    for value in (1, None, "yes"):
        message = f"`{shown(where)}` must be True or False, got `{value!r}`"
        refused(ConfigTypeError, lambda v=value: make(where, v), message)


@pytest.mark.parametrize("where", CHOICES)
def test_a_choice_is_one_of_a_few(where):
    for value in ("xyzzy", None, 3):
        message = f"`{where}` must be one of {CHOICES[where]}, got `{value}`"
        refused(ConfigError, lambda v=value: make(where, v), message)


@pytest.mark.parametrize("where", INITS)
def test_an_initialiser_is_known_and_has_the_scale_it_needs(where):
    known = INITIALISERS + {"Linear.init": ", `std`", "Linear.bias_init": ", `he5`"}.get(where, "")
    message = f"`{where}` must be one of {known}, got `xyzzy`"
    refused(ConfigError, lambda: make(where, "xyzzy"), message)
    refused(ConfigError, lambda: make(where, fb.Init("xyzzy")), message)
    message = f"`{where}` must be one of {known}, got `he_norml`\nhint: did you mean `he_normal`?"
    refused(ConfigError, lambda: make(where, "he_norml"), message)
    message = f"`{where}` must be the name of an initialiser or a `fb.Init`, got `3`"
    refused(ConfigTypeError, lambda: make(where, 3), message)
    for scale in (-1.0, 0.0):
        message = f"`{where}.scale` must be above 0, got `{scale}`"
        refused(ConfigError, lambda s=scale: make(where, fb.Init("normal", s)), message)
    message = f"`{where}.scale` must be a number, got `'1'`"
    refused(ConfigTypeError, lambda: make(where, fb.Init("he_normal", "1")), message)
    message = f"`{where}.scale` must be finite, got `nan`"
    refused(ConfigError, lambda: make(where, fb.Init("constant", float("nan"))), message)
    message = f"`{where}` must have no scale if it is `zeros`, got `2.0`"
    refused(ConfigError, lambda: make(where, fb.Init("zeros", 2.0)), message)
    message = f"`{where}` must have a value if it is `constant`, got `None`"
    refused(ConfigError, lambda: make(where, "constant"), message)


@pytest.mark.parametrize("where", PATHS)
def test_a_path_is_a_path(where):
    for value in (None, "", 3, b"x"):
        refused(ConfigTypeError, lambda v=value: make(where, v), f"`{where}` must be a path, got `{value!r}`")


@pytest.mark.parametrize("where", MONITORS)
def test_what_is_watched_is_a_name(where):
    message = f"`{where}` must be a name such as `val_loss`, got `3`"
    refused(ConfigTypeError, lambda: make(where, 3), message)


@pytest.mark.parametrize("where", having("betas"))
def test_betas_are_two_from_0_to_below_1(where):
    refused(ConfigTypeError, lambda: make(where, 0.9), f"`{where}` must be two numbers, got `0.9`")
    refused(ConfigTypeError, lambda: make(where, (0.9,)), f"`{where}` must be two numbers, got `(0.9,)`")
    for i, betas in enumerate([(1.0, 0.9), (0.9, 1.0)]):
        message = f"`{where}[{i}]` must be at least 0 and below 1, got `1.0`"
        refused(ConfigError, lambda b=betas: make(where, b), message)


# Settings that do not go together, or are made of other things.

EMBEDDING = "must be a dict of column to (categories, width)"
CLASS_WEIGHTS = "must be a list of numbers or a dict of class to number"
PARTS = "`0.weight`, `0.bias`, `2.weight`, `2.bias`"


def two(**settings):
    return trainer(fb.Linear(5), fb.Tanh(), fb.Linear(3), **settings)


def weighted(value):
    return lambda: trainer(loss=fb.CrossEntropy(class_weights=value))


SENTENCES = [
    (lambda: fb.Embedding(None), f"TypeError `Embedding.columns` {EMBEDDING}, got `None`"),
    (lambda: fb.Embedding({}), f"TypeError `Embedding.columns` {EMBEDDING}, got `{{}}`"),
    (lambda: fb.Embedding([(3, 2)]), f"TypeError `Embedding.columns` {EMBEDDING}, got `[(3, 2)]`"),
    (lambda: fb.Embedding({-1: (3, 2)}), "`Embedding.columns` must be at least 0, got `-1`"),
    (lambda: fb.Embedding({"a": (3, 2)}), "TypeError `Embedding.columns` must be a whole number, got `'a'`"),
    (lambda: fb.Embedding({0: 3}), "TypeError `Embedding.columns[0]` must be (categories, width), got `3`"),
    (lambda: fb.Embedding({0: (3,)}), "TypeError `Embedding.columns[0]` must be (categories, width), got `(3,)`"),
    (lambda: fb.Embedding({0: (0, 2)}), "`Embedding.columns[0][0]` must be at least 1, got `0`"),
    (lambda: fb.Embedding({0: (3, 0)}), "`Embedding.columns[0][1]` must be at least 1, got `0`"),
    (lambda: fb.Embedding({0: (3.0, 2)}), "TypeError `Embedding.columns[0][0]` must be a whole number, got `3.0`"),
    (lambda: fb.Embedding({0: (3, 2), "0": (5, 1)}), "`Embedding.columns` must name each column once, got `0` twice"),
    (lambda: net(fb.Embedding({4: (3, 2)})), "`Embedding.columns` must be below 4, the inputs, got `4`"),
    (
        lambda: net(fb.ReLU(), fb.Embedding({0: (3, 2)})),
        "`layers[1]` is an Embedding, which must be the first layer",
    ),
    (lambda: fb.Hardtanh(2, 1), "`Hardtanh.max_val` must be above `min_val`, 2.0, got `1.0`"),
    (lambda: fb.Hardtanh(1, 1), "`Hardtanh.max_val` must be above `min_val`, 1.0, got `1.0`"),
    (
        lambda: fb.GELU("tnah"),
        "`GELU.approximate` must be one of `none`, `tanh`, got `tnah`\nhint: did you mean `tanh`?",
    ),
    (weighted({7: 1.0}), "`CrossEntropy.class_weights` must name classes below 3, the network's outputs, got `7`"),
    (weighted([1, 1, 1, 1]), "`CrossEntropy.class_weights` must name classes below 3, the network's outputs, got `3`"),
    (weighted([1, 2]), "`CrossEntropy.class_weights` must have one number for each of 3 outputs, got `2`"),
    (weighted([1, -1, 1]), "`CrossEntropy.class_weights[1]` must be at least 0, got `-1.0`"),
    (weighted({1: float("nan")}), "`CrossEntropy.class_weights[1]` must be finite, got `nan`"),
    (weighted([0, 0, 0]), "`CrossEntropy.class_weights` must have one above 0"),
    (weighted("balanced"), f"TypeError `CrossEntropy.class_weights` {CLASS_WEIGHTS}, got `'balanced'`"),
    (weighted(3), f"TypeError `CrossEntropy.class_weights` {CLASS_WEIGHTS}, got `3`"),
    (weighted({-1: 1.0}), "`CrossEntropy.class_weights` must be at least 0, got `-1`"),
    (weighted({"a": 1.0}), "TypeError `CrossEntropy.class_weights` must be a whole number, got `'a'`"),
    (weighted({0: 1.0, "0": 2.0}), "`CrossEntropy.class_weights` must name a class once, got `0` twice"),
    (
        lambda: fb.CrossEntropy(ignore_index=1.5),
        "TypeError `CrossEntropy.ignore_index` must be a whole number, got `1.5`",
    ),
    (
        lambda: trainer(loss=fb.BinaryCrossEntropy(pos_weight=[1, 2])),
        "`BinaryCrossEntropy.pos_weight` must have one number for each of 3 outputs, got `2`",
    ),
    (
        lambda: fb.BinaryCrossEntropy(pos_weight=[1, 0, 2]),
        "`BinaryCrossEntropy.pos_weight[1]` must be above 0, got `0.0`",
    ),
    (
        lambda: fb.BinaryCrossEntropy(pos_weight=[]),
        "TypeError `BinaryCrossEntropy.pos_weight` must be a number or a list of numbers, got `[]`",
    ),
    (
        lambda: fb.BinaryCrossEntropy(pos_weight=[[1], [1, 2]]),
        "TypeError `BinaryCrossEntropy.pos_weight` must be a number or a list of numbers, got `[[1], [1, 2]]`",
    ),
    (lambda: fb.Quantile([0.5, 1.0]), "`Quantile.q[1]` must be above 0 and below 1, got `1.0`"),
    (lambda: trainer(loss=fb.Quantile([0.1, 0.9])), "`Quantile.q` must have one number for each of 3 outputs, got `2`"),
    (lambda: fb.MultiMargin(p=3), "`MultiMargin.p` must be 1 or 2, got `3`"),
    (
        lambda: trainer(loss="gaussian_nll"),
        "`loss` gaussian_nll must have an even number of outputs, means and log variances, got `3`",
    ),
    (
        lambda: trainer(loss=fb.Huber),
        "TypeError `loss` must be the name of a loss, or one such as `fb.Huber(delta=1.0)`, "
        "got `<class 'fastbp.spec.number_losses.Huber'>`",
    ),
    (
        lambda: trainer(fb.Linear(3), fb.Softmax()),
        "`loss` cross_entropy takes scores and does the softmax itself, got a network that ends in Softmax\n"
        "hint: leave Softmax out",
    ),
    (lambda: fb.SGD(nesterov=True), "`SGD.momentum` must be above 0 with `nesterov`, got `0.0`"),
    (lambda: fb.Cosine(steps=5, warmup=5), "`Cosine.warmup` must be below `steps`, `5`, got `5`"),
    (lambda: fb.Cosine(steps=2**53), "`Cosine.steps` must be below 2**53, got `9007199254740992`"),
    (lambda: fb.MultiStep([4, 2]), "`MultiStep.milestones` must be ascending, got `[4, 2]`"),
    (lambda: fb.MultiStep([2, 2]), "`MultiStep.milestones` must be ascending, got `[2, 2]`"),
    (lambda: fb.MultiStep([0, 2]), "`MultiStep.milestones[0]` must be at least 1, got `0`"),
    (lambda: fb.MultiStep("12"), "TypeError `MultiStep.milestones` must be a list of whole numbers, got `'12'`"),
    (
        lambda: trainer(schedule=0.5),
        "TypeError `schedule` must be a schedule such as `fb.Cosine()`, got `0.5`",
    ),
    (
        lambda: trainer(schedule=fb.Cosine()).step(X, Y),
        "`Cosine.steps` must be given if the length of the run is unknown, got `None`",
    ),
    (lambda: two(lr_factors=[1]), "TypeError `lr_factors` must be a dict of layer or parameter to number, got `[1]`"),
    (lambda: two(lr_factors={"1": 0.5}), f"`lr_factors` must name layers or parameters, {PARTS}, got `1`"),
    (lambda: two(lr_factors={"0.w": 0.5}), f"`lr_factors` must name layers or parameters, {PARTS}, got `0.w`"),
    (lambda: two(lr_factors={"0": -1}), "`lr_factors['0']` must be at least 0, got `-1.0`"),
    (lambda: two(lr_factors={"0": None}), "TypeError `lr_factors['0']` must be a number, got `None`"),
    (lambda: two(decay_factors={"x": 1.0}), f"`decay_factors` must name layers or parameters, {PARTS}, got `x`"),
    (lambda: two(decay_factors={"2.bias": -1.0}), "`decay_factors['2.bias']` must be at least 0, got `-1.0`"),
    (lambda: two(frozen="0"), "TypeError `frozen` must be a list of layers or parameters, got `'0'`"),
    (lambda: two(frozen=["7"]), f"`frozen` must name layers or parameters, {PARTS}, got `7`"),
    (lambda: two(frozen=["0", "2"]), "`frozen` must leave a parameter to train"),
    (lambda: trainer().averaged, "`averaged` needs a Trainer with `ema`"),
    (lambda: fb.LBFGS("x"), "TypeError `net` must be a fastbp Network, got `str`"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_the_sentence(action, sentence):
    kind = ConfigTypeError if sentence.startswith("TypeError ") else ConfigError
    refused(kind, action, sentence.removeprefix("TypeError "))
