"""What a configuration may hold: a struct a section, a line a key. Messages, docs and the JSON schema come from here.

Settings of layers, losses, optimisers and schedules are not repeated: they are the fields of their classes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Whole = Annotated[int, Meta(ge=1)]
FromZero = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=0)]
Named = Any  # a name, or a map with `name` and settings


def about(text: str) -> Meta:
    """What a key means."""
    return Meta(description=text)


class Section(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=False):
    """Keys that are not there are refused."""


class Split(Section):
    """How rows are divided where the data do not say so themselves."""

    validation: Annotated[Fraction, about("Part of the rows to validate on.")] = 0.15
    test: Annotated[Fraction, about("Part of the rows to test on, once, at the end.")] = 0.15
    stratify: Annotated[
        bool | None,
        about("Whether every class has the same share in each part; by default it has, where there are classes."),
    ] = None
    group: Annotated[str | None, about("Column whose equal values stay in one part.")] = None
    column: Annotated[str | None, about("Column that says `train`, `validation` or `test` for each row.")] = None
    folds: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        about("Divide into this many folds instead; `fold` is the one to validate on."),
    ] = None
    fold: Annotated[FromZero, about("Which fold is validated on, from 0.")] = 0
    seed: Annotated[Seed | None, about("Seed of the division; by default the `seed` of the run.")] = None


class Data(Section):
    """Where rows come from, and what becomes of their columns."""

    source: Annotated[
        Literal["digits", "spirals", "moons", "blobs", "friedman", "files"] | None,
        about("`digits`, which come with fastbp, a synthetic set, or `files`, which is the default."),
    ] = None
    rows: Annotated[Annotated[int, Meta(ge=1, le=100_000_000)], about("Rows of a synthetic set.")] = 1000
    noise: Annotated[NotNegative, about("Noise of a synthetic set.")] = 0.1
    classes: Annotated[Annotated[int, Meta(ge=2, le=10_000)], about("Classes of spirals and blobs.")] = 3
    path: Annotated[
        str | list[str] | None,
        about("File with all rows, or a folder or list of such: .csv, .tsv, .npz, .npy, .parquet, .arrow."),
    ] = None
    train: Annotated[str | list[str] | None, about("Files with the training rows, in the place of `path`.")] = None
    validation: Annotated[str | list[str] | None, about("Files with the validation rows.")] = None
    test: Annotated[str | list[str] | None, about("Files with the test rows.")] = None
    target: Annotated[
        str | list[str] | None, about("Column, or columns, to predict; in .npz files the name of an array.")
    ] = None
    task: Annotated[
        Literal["classes", "numbers", "labels"] | None, about("What the target is; by default it is looked at.")
    ] = None
    columns: Annotated[
        dict[str, Any],
        about(
            "Column -> type, or a map with `type`, `scale`, `missing`, `value`, `indicator`, `encode`, `rare`, `size`."
        ),
    ] = field(default_factory=dict)
    scale: Annotated[Literal["standard", "robust", "quantile", "none"], about("How columns of numbers are scaled.")] = (
        "standard"
    )
    missing: Annotated[
        Literal["mean", "median", "constant", "refuse"],
        about("What a missing number becomes; `refuse` makes it an error."),
    ] = "mean"
    indicator: Annotated[bool, about("Whether columns with missing numbers get a second one that says where.")] = False
    encode: Annotated[
        Literal["one_hot", "embedding"], about("How categories go in: a column each, or a learned table.")
    ] = "one_hot"
    rare: Annotated[Whole, about("Categories seen less often than this in training count as unseen.")] = 1
    scale_target: Annotated[
        bool, about("Whether numbers to predict are standardised; predictions are scaled back.")
    ] = True
    delimiter: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1)], about("What stands between the fields of a .csv file.")
    ] = ","
    header: Annotated[bool, about("Whether the first line of a .csv file names its columns.")] = True
    split: Annotated[Split, about("How rows are divided.")] = field(default_factory=Split)


class Network(Section):
    """The layers."""

    hidden: Annotated[
        list[Whole] | None,
        about("Widths of hidden layers, by default one of 128; a last Linear of the right width follows."),
    ] = None
    activation: Annotated[Named, about("What follows each hidden layer.")] = "relu"
    norm: Annotated[
        Literal["batch_norm", "layer_norm", "rms_norm"] | None,
        about("What stands between each hidden Linear and its activation."),
    ] = None
    dropout: Annotated[
        Annotated[float, Meta(ge=0, lt=1)],
        about("Part of the features that is dropped after each activation while training."),
    ] = 0.0
    init: Annotated[Named, about("How weights are drawn; by default as `torch` does.")] = None
    layers: Annotated[
        list[Any] | None,
        about(
            "All layers, in the place of the keys above: names, or maps with `name` and settings. In such a map `as`"
            " names the layer, `from` says which layers it reads, `inputs` being the rows of data and the layer before"
            " the default, and `share` in the place of `name` whose parameters it has too."
        ),
    ] = None


class EarlyStopping(Section):
    """When to stop; the best epoch's network is what the run keeps."""

    patience: Annotated[FromZero, about("Epochs without improvement.")] = 10
    min_delta: Annotated[NotNegative, about("How much better counts as improvement.")] = 0.0


class ReduceLR(Section):
    """Lower the learning rate where the monitor does not improve."""

    factor: Annotated[Annotated[float, Meta(gt=0, lt=1)], about("What the rate is multiplied with.")] = 0.5
    patience: Annotated[FromZero, about("Epochs without improvement.")] = 5
    min_lr: Annotated[NotNegative, about("The lowest rate.")] = 0.0
    cooldown: Annotated[FromZero, about("Epochs after a reduction that are not counted.")] = 0
    min_delta: Annotated[NotNegative, about("How much better counts as improvement.")] = 1e-4


class Trainer(Section):
    """How the network is trained."""

    epochs: Annotated[Whole, about("Passes over the training rows.")] = 20
    batch_size: Annotated[Whole, about("Rows of a step.")] = 32
    loss: Annotated[
        Named, about("By default `cross_entropy` for classes, `binary_cross_entropy` for labels, `mse` for numbers.")
    ] = None
    optimizer: Annotated[Named, about("What makes steps out of gradients.")] = "adam"
    schedule: Annotated[
        Named, about("What multiplies the learning rate from step to step; by default nothing does.")
    ] = None
    clip_norm: Annotated[Positive | None, about("Limit of the norm of all gradients together.")] = None
    clip_value: Annotated[Positive | None, about("Limit of the magnitude of each gradient.")] = None
    accumulate: Annotated[Whole, about("Batches whose gradients make one step.")] = 1
    ema: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        about("How much of a running average of the parameters stays in each step; it is what is kept."),
    ] = None
    lr_factors: Annotated[
        dict[str, float] | None, about("Layer or parameter -> what multiplies its learning rate.")
    ] = None
    decay_factors: Annotated[
        dict[str, float] | None, about("Layer or parameter -> what multiplies its weight decay.")
    ] = None
    frozen: Annotated[list[str], about("Layers or parameters that are not trained.")] = field(default_factory=list)
    penalty: Annotated[
        str | dict[str, str] | None,
        about(
            "Formula of a weight w, such as `1e-4 * abs(w)`, that is trained on beside the loss: for all weights, or by"
            " layer or parameter."
        ),
    ] = None
    metrics: Annotated[
        list[str] | None, about("Taken after each epoch; by default `accuracy`, or `r2` and `rmse` for numbers.")
    ] = None
    monitor: Annotated[
        str | None, about("What says which epoch is the best: `val_loss`, `loss`, or `val_` and a metric.")
    ] = None
    mode: Annotated[
        Literal["auto", "min", "max"], about("Which way the monitor is better; `auto` knows it of every metric.")
    ] = "auto"
    early_stopping: Annotated[EarlyStopping | None, about("When to stop; by default only after the last epoch.")] = None
    reduce_lr: Annotated[ReduceLR | None, about("When to lower the learning rate; by default never.")] = None
    time_limit: Annotated[
        str | float | None, about("Such as `90s`, `10m` or `1.5h`; the run stops and can be resumed.")
    ] = None
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        about("By default the process's processors; the bits do not depend on it."),
    ] = None


class Run(Section):
    """What the run leaves behind."""

    folder: Annotated[str, about("Where run folders are made.")] = "runs"
    checkpoint_seconds: Annotated[
        NotNegative,
        about("Seconds from one checkpoint to the next, more on slow disks; there is one at every stop."),
    ] = 15.0


class Config(Section):
    """A training run."""

    name: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")],
        about("What the run is called; its folder is named after it."),
    ] = "run"
    seed: Annotated[
        Seed, about("Seed of initial parameters, dropout, the order of rows, the split and synthetic sets.")
    ] = 0
    dtype: Annotated[Literal["float32", "float64"], about("Type of parameters and arithmetic.")] = "float32"
    data: Annotated[Data, about("Where rows come from.")] = field(default_factory=Data)
    network: Annotated[Network, about("The layers.")] = field(default_factory=Network)
    trainer: Annotated[Trainer, about("How the network is trained.")] = field(default_factory=Trainer)
    run: Annotated[Run, about("What the run leaves behind.")] = field(default_factory=Run)


SECTIONS: dict[str, type[Section]] = {
    "": Config,
    "data": Data,
    "data.split": Split,
    "network": Network,
    "trainer": Trainer,
    "trainer.early_stopping": EarlyStopping,
    "trainer.reduce_lr": ReduceLR,
    "run": Run,
}
