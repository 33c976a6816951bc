"""The schema of configurations: a struct per section, a line per key; messages, docs and the JSON schema read it.

Settings of layers, losses, optimisers and schedules are the fields of their classes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from fastbp.config.keys import Fraction, FromZero, Named, NotNegative, Positive, Seed, TargetTransform, Whole, about
from fastbp.config.keys import Section as Section
from fastbp.config.searchers import Sweep


class Split(Section):
    """How rows are split, unless the data have separate files."""

    validation: Annotated[Fraction, about("Fraction of the rows to validate on.")] = 0.15
    test: Annotated[Fraction, about("Fraction of the rows to test on, once, at the end.")] = 0.15
    stratify: Annotated[
        bool | None,
        about("Whether every class has the same share in each part; by default yes, where there are classes."),
    ] = None
    group: Annotated[str | None, about("Column whose equal values stay in one part.")] = None
    column: Annotated[str | None, about("Column that says `train`, `validation` or `test` for each row.")] = None
    folds: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        about("Split into this many folds instead; `fold` is the one to validate on."),
    ] = None
    fold: Annotated[FromZero, about("Index of the validation fold, from 0.")] = 0
    seed: Annotated[Seed | None, about("Seed of the split; by default the `seed` of the run.")] = None


class Data(Section):
    """Where rows come from, and how columns are preprocessed."""

    source: Annotated[
        Literal["digits", "spirals", "moons", "blobs", "friedman", "files"] | None,
        about("`files` (the default), the `digits` that come with fastbp, or a synthetic set."),
    ] = None
    rows: Annotated[Annotated[int, Meta(ge=1, le=100_000_000)], about("Rows of a synthetic set.")] = 1000
    noise: Annotated[NotNegative, about("Noise of a synthetic set.")] = 0.1
    classes: Annotated[Annotated[int, Meta(ge=2, le=10_000)], about("Number of classes of `spirals` and `blobs`.")] = 3
    seed: Annotated[Seed | None, about("Seed of a synthetic set; by default the `seed` of the run.")] = None
    path: Annotated[
        str | list[str] | None,
        about("File with all rows, or a folder or list of such: .csv, .tsv, .npz, .npy, .parquet, .arrow."),
    ] = None
    train: Annotated[str | list[str] | None, about("Files with the training rows, instead of `path`.")] = None
    validation: Annotated[str | list[str] | None, about("Files with the validation rows.")] = None
    test: Annotated[str | list[str] | None, about("Files with the test rows.")] = None
    target: Annotated[
        str | list[str] | None, about("Column, or columns, to predict; in .npz files the name of an array.")
    ] = None
    task: Annotated[
        Literal["classes", "numbers", "labels"] | None, about("The kind of target; by default inferred from the data.")
    ] = None
    columns: Annotated[
        dict[str, Any],
        about(
            "Column -> type, by default inferred: `number`, `category`, `date`, `words`, `ignore`, `target`, `weight`;"
            " or a map with `type`, `scale`, `missing`, `value`, `indicator`, `encode`, `min_frequency`, `size`,"
            " `unit`, `order`."
        ),
    ] = field(default_factory=dict)
    scale: Annotated[
        Literal["auto", "standard", "robust", "quantile", "noisy_quantile", "none"],
        about("How columns of numbers are scaled; `auto`: to quantiles where tails are heavy, else standard."),
    ] = "standard"
    missing: Annotated[
        Literal["mean", "median", "constant", "refuse"],
        about("Replacement of missing numbers; `refuse` makes them an error."),
    ] = "mean"
    indicator: Annotated[bool, about("Whether columns with missing numbers get an indicator column.")] = False
    encode: Annotated[
        Literal["auto", "one_hot", "embedding"],
        about("Encoding of categories: one column each, or a learned table; `auto`: a table where there are many."),
    ] = "one_hot"
    most_one_hot: Annotated[
        Whole | None, about("Categories up to which `auto` encodes one-hot; by default as many as the rows allow.")
    ] = None
    scale_categories: Annotated[
        Literal["none", "robust"],
        about("How one-hot columns are scaled; `robust`: as numbers are, and two categories are one column, 1 and -1."),
    ] = "none"
    embed_size: Annotated[
        Whole | None, about("Numbers in a row of such a table; by default half as many as categories, at most 50.")
    ] = None
    embed_std: Annotated[
        Positive,
        about("Standard deviation of the first numbers of tables made by `encode: embedding`."),
    ] = 0.03
    min_frequency: Annotated[
        Whole, about("Categories of fewer training rows than this are one, to which categories go that are new later.")
    ] = 1
    scale_target: Annotated[
        bool, about("Whether numbers to predict are standardised; predictions are scaled back.")
    ] = True
    clamp_target: Annotated[
        bool, about("Whether predicted numbers stay between the least and the greatest of the training rows.")
    ] = False
    target_transform: Annotated[
        TargetTransform | dict[str, TargetTransform],
        about(
            "What numbers to predict become before they are scaled, or target -> that, where there are several;"
            " predictions and metrics are in the units of the table.",
            {"price": "log"},
        ),
    ] = "none"
    delimiter: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1)] | None,
        about("Field delimiter of .csv files; by default found out: comma, semicolon, tab or bar."),
    ] = None
    encoding: Annotated[
        str | None,
        about("Encoding of .csv files, such as `latin-1`; by default UTF-8, or UTF-16 with a byte order mark."),
    ] = None
    decimal: Annotated[
        Literal[".", ","] | None, about("Decimal sign of numbers in texts; by default found out for each column.")
    ] = None
    missing_texts: Annotated[
        list[str], about("Texts of missing values, beside those that always are, such as `NA` and an empty field.")
    ] = field(default_factory=list)
    missing_target: Annotated[
        Literal["refuse", "drop"], about("Whether rows without a target are refused or dropped.")
    ] = "refuse"
    unseen: Annotated[
        Fraction,
        about(
            "Largest share of rows with a category that training did not see, above the share that is expected of new"
            " rows; more are refused."
        ),
    ] = 0.2
    header: Annotated[bool, about("Whether the first line of a .csv file has the column names.")] = True
    max_memory: Annotated[
        str | int | None,
        about(
            "Memory that a run may take, such as `1GB`: a table that needs more is streamed. By default one is that"
            " cannot be read into half of the free memory."
        ),
    ] = None
    stream: Annotated[bool | None, about("Whether rows stay in files; by default if memory is too small.")] = None
    store: Annotated[str | None, about("Folder of rows that stay in files; by default `rows` in `run.folder`.")] = None
    block_rows: Annotated[
        Whole | None, about("Rows that stay in files and are read together; by default 1 MiB of them, 8192 at most.")
    ] = None
    window_blocks: Annotated[Whole, about("So many blocks are in memory at a time, and shuffled.")] = 32
    split: Annotated[Split, about("How rows are divided.")] = field(default_factory=Split)


class TabM(Section):
    """Members that share their hidden layers, as in TabM (Gorishniy et al., 2025)."""

    k: Annotated[Annotated[int, Meta(ge=2)], about("Number of members.")] = 32
    mini: Annotated[
        bool,
        about(
            "TabM-mini: members differ in a scale of the inputs; otherwise each hidden layer has adapters of theirs."
        ),
    ] = True


class Network(Section):
    """The layers."""

    hidden: Annotated[
        list[Whole] | None,
        about("Widths of hidden layers, by default one of 128; a last Linear of the right width follows."),
    ] = None
    activation: Annotated[Named, about("Activation after each hidden layer.")] = "relu"
    norm: Annotated[
        Literal["batch_norm", "layer_norm", "rms_norm"] | None,
        about("Normalisation between each hidden Linear and its activation."),
    ] = None
    dropout: Annotated[
        Annotated[float, Meta(ge=0, lt=1)],
        about("Probability of dropout after each activation in training."),
    ] = 0.0
    embed_numbers: Annotated[
        Named,
        about(
            "What columns of numbers and dates become besides, by their training rows: `piecewise_linear`, how far a"
            " number has come through each bin between their quantiles, `pbld`, `cosine` or `periodic`, waves that are"
            " learned; by default nothing.",
            {"name": "piecewise_linear", "bins": 16},
        ),
    ] = None
    front_scale: Annotated[bool, about("Whether each input of the first Linear has a learned factor, 1 at first.")] = (
        False
    )
    ntk: Annotated[bool, about("Whether every Linear has the NTK parametrisation.")] = False
    init: Annotated[Named, about("Initialiser of weights; by default `torch`.")] = None
    bias_init: Annotated[Named, about("Initialiser of biases; by default `torch`.")] = None
    last_init: Annotated[
        Named, about("Initialiser of weights and biases of the last Linear; by default that of the others.")
    ] = None
    tabm: Annotated[
        TabM | None,
        about("The hidden layers are those of so many members, whose mean is predicted; by default there is one."),
    ] = None
    layers: Annotated[
        list[Any] | None,
        about(
            "All layers, instead of the keys above: names, or maps with `name` and settings. In a map `as` names"
            " the layer, `from` lists the layers that it reads (`inputs` are the rows of data; by default the layer"
            " before), and `share`, instead of `name`, names the layer whose parameters it shares."
        ),
    ] = None


class EarlyStopping(Section):
    """When to stop; the run keeps the network of the best epoch."""

    patience: Annotated[FromZero, about("Epochs without improvement.")] = 10
    min_delta: Annotated[NotNegative, about("Smallest change that counts as improvement.")] = 0.0


class ReduceLR(Section):
    """Lower the learning rate where the monitor does not improve."""

    factor: Annotated[Annotated[float, Meta(gt=0, lt=1)], about("Factor of the learning rate.")] = 0.5
    patience: Annotated[FromZero, about("Epochs without improvement.")] = 5
    min_lr: Annotated[NotNegative, about("The lowest rate.")] = 0.0
    cooldown: Annotated[FromZero, about("Epochs to wait after a reduction before counting again.")] = 0
    min_delta: Annotated[NotNegative, about("Smallest change that counts as improvement.")] = 1e-4


class Schedules(Section):
    """Schedules of what is not the learning rate: each multiplies it, step by step."""

    dropout: Annotated[Named, about("Of the probabilities of all dropout layers; by default constant.")] = None
    weight_decay: Annotated[Named, about("Of the optimiser's weight decay; by default constant.")] = None
    label_smoothing: Annotated[Named, about("Of the loss's label smoothing; by default constant.")] = None


class Trainer(Section):
    """How the network is trained."""

    epochs: Annotated[Whole, about("Number of epochs.")] = 20
    batch_size: Annotated[Whole, about("Rows of a step.")] = 32
    drop_last: Annotated[
        bool, about("Whether an epoch ends where fewer rows are left than a step has, which differ each time.")
    ] = False
    shards: Annotated[Whole, about("Parts of a batch, a power of two, summed apart; as many ranks at most.")] = 1
    loss: Annotated[
        Named, about("By default `cross_entropy` for classes, `binary_cross_entropy` for labels, `mse` for numbers.")
    ] = None
    class_weight: Annotated[
        Literal["balanced"] | dict[str, NotNegative] | None,
        about(
            "Weights of the training rows by their class, times their own: `balanced`, where all classes count the"
            " same, or class -> number, 1 for the others. Losses and metrics that are reported are without them.",
            {"yes": 2},
        ),
    ] = None
    optimizer: Annotated[Named, about("Optimiser.")] = "adam"
    schedule: Annotated[Named, about("Schedule of the learning rate; by default constant.")] = None
    schedules: Annotated[
        Schedules | None, about("Schedules of dropout, weight decay and label smoothing; by default they are constant.")
    ] = None
    clip_norm: Annotated[Positive | None, about("Limit of the global norm of the gradients.")] = None
    clip_value: Annotated[Positive | None, about("Limit of the magnitude of each gradient.")] = None
    accumulate: Annotated[Whole, about("Number of batches to accumulate per optimiser step.")] = 1
    ema: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        about("Decay of the running average of the parameters in each step; the run keeps the average."),
    ] = None
    lr_factors: Annotated[
        dict[str, float] | None,
        about("Layer, parameter or kind of layers, such as `2`, `2.bias` or `linear.bias` -> factor of its rate."),
    ] = None
    decay_factors: Annotated[dict[str, float] | None, about("The same for weight decay; all named have it.")] = None
    frozen: Annotated[list[str], about("Layers or parameters that are not trained.")] = field(default_factory=list)
    penalty: Annotated[
        str | dict[str, str] | None,
        about(
            "Formula of a weight w, such as `1e-4 * abs(w)`, that is trained on beside the loss: for all weights, or by"
            " layer or parameter."
        ),
    ] = None
    metrics: Annotated[
        list[str] | None, about("Measured after each epoch; by default `accuracy`, or `r2` and `rmse` for numbers.")
    ] = None
    monitor: Annotated[
        str | None, about("The measure that decides which epoch is best: `val_loss`, `loss`, or `val_` and a metric.")
    ] = None
    mode: Annotated[
        Literal["auto", "min", "max"], about("Whether lower or higher is better; `auto` decides by the metric.")
    ] = "auto"
    ties: Annotated[
        Literal["first", "last"], about("Which of equally good epochs is the best; an equal one is then no worse.")
    ] = "first"
    calibrate: Annotated[
        Literal["temperature"] | None,
        about(
            "By which number logits are divided, so that the log loss on the validation rows is least; by default none."
            " `val_calibrated_log_loss` among `metrics` is what is then left of it, and may be the monitor."
        ),
    ] = None
    early_stopping: Annotated[EarlyStopping | None, about("When to stop; by default only after the last epoch.")] = None
    reduce_lr: Annotated[ReduceLR | None, about("When to lower the learning rate; by default never.")] = None
    time_limit: Annotated[
        str | float | None, about("Such as `90s`, `10m` or `1.5h`; the run then stops and can be resumed.")
    ] = None
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        about("At most so many, by default one per processor; results do not depend on it, to the bit."),
    ] = None


class Online(Section):
    """An ensemble of epochs of members, chosen while they train."""

    size: Annotated[Annotated[int, Meta(ge=1)], about("Epochs of members that it has at most.")] = 32
    patience: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        about("The run ends after so many epochs in which it did not get better; null: it does not."),
    ] = 32


class Pack(Section):
    """Many networks that are trained at once, instead of one."""

    members: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)],
        about("Number of configurations: member i has the seed `seed` + i, and a draw of its own from `space`."),
    ] = 1
    folds: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        about("Train each member on each of so many folds of all rows but the test rows, as a network for each."),
    ] = None
    bootstrap: Annotated[
        bool | Annotated[float, Meta(gt=0, le=1)],
        about("Whether each network is trained on rows drawn anew from its own, as many, or this fraction of them."),
    ] = False
    space: Annotated[
        dict[str, Any],
        about(
            "Key of `network` or `trainer` -> what it is drawn from: a list, or `{choice: [...]}`;"
            " `{log: [low, high]}`, `{uniform: [low, high]}`, `{int: [low, high]}` or `{log_int: [low, high]}`;"
            " for equal numbers `{width: ..., depth: ...}`, each one or any of these. Values of lists may be drawn."
        ),
    ] = field(default_factory=dict)
    undrawn: Annotated[Annotated[int, Meta(ge=0)], about("So many members, the first, have nothing drawn.")] = 0
    online: Annotated[
        Online | None,
        about("Choose an ensemble of epochs after each epoch, by the monitored measure.", {"size": 16, "patience": 8}),
    ] = None


class Run(Section):
    """Files of the run."""

    folder: Annotated[str, about("Parent of run folders.")] = "runs"
    checkpoint_seconds: Annotated[
        NotNegative,
        about("Seconds between checkpoints, more on slow disks; every stop writes one."),
    ] = 15.0


class Config(Section):
    """A training run."""

    preset: Annotated[
        str | None,
        about("Name of a preset, whose keys lie beneath those that are given; `fastbp presets` lists them."),
    ] = None
    name: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")],
        about("Name of the run and of its folder."),
    ] = "run"
    seed: Annotated[
        Seed, about("Seed of initial parameters, dropout, the order of rows, the split and synthetic sets.")
    ] = 0
    dtype: Annotated[Literal["float32", "float64"], about("Type of parameters and arithmetic.")] = "float32"
    data: Annotated[Data, about("Where rows come from.")] = field(default_factory=Data)
    network: Annotated[Network, about("The layers.")] = field(default_factory=Network)
    trainer: Annotated[Trainer, about("How the network is trained.")] = field(default_factory=Trainer)
    pack: Annotated[Pack | None, about("Many networks that are trained at once, instead of one.")] = None
    sweep: Annotated[Sweep | None, about("A search for the best settings, by `fastbp sweep`.")] = None
    run: Annotated[Run, about("Files of the run.")] = field(default_factory=Run)


SECTIONS: dict[str, type[Section]] = {
    "": Config,
    "data": Data,
    "data.split": Split,
    "network": Network,
    "network.tabm": TabM,
    "trainer": Trainer,
    "trainer.schedules": Schedules,
    "trainer.early_stopping": EarlyStopping,
    "trainer.reduce_lr": ReduceLR,
    "pack": Pack,
    "pack.online": Online,
    "sweep": Sweep,
    "run": Run,
}
