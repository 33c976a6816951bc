"""Broken keys in `trainer`, but for what has a name."""

from __future__ import annotations

from tests.config.broken_forms import METRICS, trainer

CASES = {
    "epochs zero": (
        trainer("epochs: 0"),
        "c.yaml:3: `trainer.epochs` must be at least 1, got `0`",
    ),
    "epochs a fraction": (
        trainer("epochs: 1.5"),
        "c.yaml:3: `trainer.epochs` must be a whole number, got `1.5`",
    ),
    "epochs in powers of ten": (
        trainer("epochs: 1e3"),
        "c.yaml:3: `trainer.epochs` must be a whole number, got `1000.0`",
    ),
    "epochs a word": (
        trainer("epochs: ten"),
        "c.yaml:3: `trainer.epochs` must be a whole number, got `ten`",
    ),
    "batch_size zero": (
        trainer("batch_size: 0"),
        "c.yaml:3: `trainer.batch_size` must be at least 1, got `0`",
    ),
    "batch_size a string": (
        trainer("batch_size: '32'"),
        "c.yaml:3: `trainer.batch_size` must be a whole number, got the string `32`",
    ),
    "batch_size null": (
        trainer("batch_size: null"),
        "c.yaml:3: `trainer.batch_size` must be a whole number, got `null`",
    ),
    "clip_norm zero": (
        trainer("clip_norm: 0"),
        "c.yaml:3: `trainer.clip_norm` must be above 0, got `0`",
    ),
    "clip_norm a word": (
        trainer("clip_norm: one"),
        "c.yaml:3: `trainer.clip_norm` must be a number or `null`, got `one`",
    ),
    "clip_value negative": (
        trainer("clip_value: -1"),
        "c.yaml:3: `trainer.clip_value` must be above 0, got `-1`",
    ),
    "class_weight another word": (
        trainer("class_weight: even"),
        "c.yaml:3: `trainer.class_weight` must be `balanced` or a map such as `{yes: 2}`, got `even`",
    ),
    "drop_last a number": (
        trainer("drop_last: 1"),
        "c.yaml:3: `trainer.drop_last` must be `true` or `false`, got `1`",
    ),
    "shards no power of two": (
        trainer("shards: 6"),
        "c.yaml:3: `trainer.shards` must be a power of two, got `6`",
    ),
    "shards none": (
        trainer("shards: 0"),
        "c.yaml:3: `trainer.shards` must be at least 1, got `0`",
    ),
    "shards of less than a row": (
        trainer("shards: 64"),
        "c.yaml:3: `trainer.shards` must be at most 32, the rows of a batch, got `64`",
    ),
    "ties misspelt": (
        trainer("ties: later"),
        "c.yaml:3: `trainer.ties` must be one of `first`, `last`, got `later`\nhint: did you mean `last`?",
    ),
    "class_weight misspelt": (
        trainer("class_weight: Balance"),
        "c.yaml:3: `trainer.class_weight` must be `balanced` or a map such as `{yes: 2}`, got `Balance`\n"
        "hint: did you mean `balanced`?",
    ),
    "class_weight a number": (
        trainer("class_weight: 2"),
        "c.yaml:3: `trainer.class_weight` must be `balanced` or a map such as `{yes: 2}`, got `2`",
    ),
    "class_weight of a class negative": (
        trainer("class_weight: {a: 2, b: -1}"),
        "c.yaml:3: `trainer.class_weight.b` must be at least 0, got `-1`",
    ),
    "class_weight of a class a word": (
        trainer("class_weight: {a: 2, b: twice}"),
        "c.yaml:3: `trainer.class_weight.b` must be a number, got `twice`",
    ),
    "accumulate zero": (
        trainer("accumulate: 0"),
        "c.yaml:3: `trainer.accumulate` must be at least 1, got `0`",
    ),
    "ema one": (
        trainer("ema: 1"),
        "c.yaml:3: `trainer.ema` must be below 1, got `1`",
    ),
    "ema negative": (
        trainer("ema: -0.5"),
        "c.yaml:3: `trainer.ema` must be at least 0, got `-0.5`",
    ),
    "ema true": (
        trainer("ema: true"),
        "c.yaml:3: `trainer.ema` must be a number or `null`, got `true`",
    ),
    "lr_factors a list": (
        trainer("lr_factors: [1, 2]"),
        "c.yaml:3: `trainer.lr_factors` must be a map of keys to values or `null`, got a list",
    ),
    "lr_factors a word": (
        trainer("lr_factors:\n  0: 1\n  2: slow"),
        "c.yaml:5: `trainer.lr_factors.2` must be a number, got `slow`",
    ),
    "lr_factors negative": (
        trainer("lr_factors:\n  0: 1\n  2: -1"),
        "c.yaml:5: `trainer.lr_factors.2` must be at least 0, got `-1.0`",
    ),
    "lr_factors no layer": (
        trainer("lr_factors:\n  0: 1\n  7: 1"),
        "c.yaml:5: `trainer.lr_factors` must name layers or parameters, `0.weight`, `0.bias`, "
        "`2.weight`, `2.bias`, got `7`",
    ),
    "decay_factors true": (
        trainer("decay_factors: {0: true}"),
        "c.yaml:3: `trainer.decay_factors.0` must be a number, got `true`",
    ),
    "decay_factors no parameter": (
        trainer("decay_factors: {0.wieght: 1}"),
        "c.yaml:3: `trainer.decay_factors` must name layers or parameters, `0.weight`, `0.bias`, "
        "`2.weight`, `2.bias`, got `0.wieght`",
    ),
    "frozen a word": (
        trainer("frozen: all"),
        "c.yaml:3: `trainer.frozen` must be a list, got `all`",
    ),
    "frozen a number": (
        trainer("frozen: [0]"),
        "c.yaml:3: `trainer.frozen[0]` must be a string, got `0`",
    ),
    "frozen no layer": (
        trainer("frozen: ['0', '1']"),
        "c.yaml:3: `trainer.frozen` must name layers or parameters, `0.weight`, `0.bias`, `2.weight`, "
        "`2.bias`, got `1`",
    ),
    "frozen all": (
        trainer("frozen: ['0', '2']"),
        "c.yaml:3: `trainer.frozen` must leave a parameter to train",
    ),
    "metrics a word": (
        trainer("metrics: accuracy"),
        "c.yaml:3: `trainer.metrics` must be a list or `null`, got `accuracy`",
    ),
    "metric misspelt": (
        trainer("metrics:\n  - accuracy\n  - acuracy"),
        f"c.yaml:5: `trainer.metrics[1]` must be one of {METRICS}, got `acuracy`\nhint: did you mean `accuracy`?",
    ),
    "metric unknown": (
        trainer("metrics: [auc]"),
        f"c.yaml:3: `trainer.metrics[0]` must be one of {METRICS}, got `auc`\nhint: here this is `roc_auc`",
    ),
    "metric a number": (
        trainer("metrics: [1]"),
        "c.yaml:3: `trainer.metrics[0]` must be a string, got `1`",
    ),
    "metric top_0": (
        trainer("metrics: [top_0]"),
        f"c.yaml:3: `trainer.metrics[0]` must be one of {METRICS}, got `top_0`\nhint: did you mean `top_k`?",
    ),
    "metric of another loss": (
        trainer("metrics: [accuracy, r2]"),
        "c.yaml:3: `trainer.metrics[1]` must be one of `accuracy`, `top_k`, `balanced_accuracy`, "
        "`f1_macro`, `f1_micro`, `f1_weighted`, `precision`, `recall`, `log_loss`, `roc_auc`, "
        "`average_precision`, `brier`, `calibration_error`, `calibrated_log_loss` "
        "with loss `cross_entropy` and classes, got `r2`",
    ),
    "metric of a loss that is said": (
        "data: {source: friedman}\ntrainer:\n  loss: mae\n  metrics: [accuracy]\n",
        "c.yaml:4: `trainer.metrics[0]` must be one of `r2`, `mse`, `rmse`, `mae`, `mape`, "
        "`explained_variance`, `median_error` with loss `mae` and numbers, got `accuracy`",
    ),
    "monitor misspelt": (
        trainer("monitor: val_los"),
        "c.yaml:3: `trainer.monitor` must be one of `val_loss`, `loss`, `val_accuracy`, got `val_los`\n"
        "hint: did you mean `val_loss`?",
    ),
    "monitor not taken": (
        trainer("monitor: val_f1_macro"),
        "c.yaml:3: `trainer.monitor` must be one of `val_loss`, `loss`, `val_accuracy`, got `val_f1_macro`",
    ),
    "monitor a number": (
        trainer("monitor: 1"),
        "c.yaml:3: `trainer.monitor` must be a string or `null`, got `1`",
    ),
    "mode unknown": (
        trainer("mode: maximum"),
        "c.yaml:3: `trainer.mode` must be one of `auto`, `max`, `min`, got `maximum`\nhint: did you mean `max`?",
    ),
    "mode misspelt": (
        trainer("mode: mxa"),
        "c.yaml:3: `trainer.mode` must be one of `auto`, `max`, `min`, got `mxa`\nhint: did you mean `max`?",
    ),
    "calibrate by another method": (
        trainer("calibrate: platt"),
        "c.yaml:3: `trainer.calibrate` must be one of `temperature`, got `platt`",
    ),
    "early_stopping patience": (
        trainer("early_stopping:\n  patience: -1"),
        "c.yaml:4: `trainer.early_stopping.patience` must be at least 0, got `-1`",
    ),
    "early_stopping patience a fraction": (
        trainer("early_stopping:\n  patience: 2.5"),
        "c.yaml:4: `trainer.early_stopping.patience` must be a whole number, got `2.5`",
    ),
    "early_stopping min_delta": (
        trainer("early_stopping: {min_delta: -0.1}"),
        "c.yaml:3: `trainer.early_stopping.min_delta` must be at least 0, got `-0.1`",
    ),
    "reduce_lr factor one": (
        trainer("reduce_lr: {factor: 1}"),
        "c.yaml:3: `trainer.reduce_lr.factor` must be below 1, got `1`",
    ),
    "reduce_lr factor zero": (
        trainer("reduce_lr: {factor: 0}"),
        "c.yaml:3: `trainer.reduce_lr.factor` must be above 0, got `0`",
    ),
    "reduce_lr patience": (
        trainer("reduce_lr: {patience: few}"),
        "c.yaml:3: `trainer.reduce_lr.patience` must be a whole number, got `few`",
    ),
    "reduce_lr min_lr": (
        trainer("reduce_lr: {min_lr: -1}"),
        "c.yaml:3: `trainer.reduce_lr.min_lr` must be at least 0, got `-1`",
    ),
    "reduce_lr min_delta": (
        trainer("reduce_lr:\n  min_delta: 1%"),
        "c.yaml:4: `trainer.reduce_lr.min_delta` must be a number, got `1%`",
    ),
    "reduce_lr cooldown": (
        trainer("reduce_lr: {cooldown: 1.5}"),
        "c.yaml:3: `trainer.reduce_lr.cooldown` must be a whole number, got `1.5`",
    ),
    "time_limit a word": (
        trainer("time_limit: soon"),
        "c.yaml:3: `trainer.time_limit` must be seconds, or a number with s, m, h or d such as `10m`, got `soon`",
    ),
    "time_limit unit": (
        trainer("time_limit: 10min"),
        "c.yaml:3: `trainer.time_limit` must be seconds, or a number with s, m, h or d such as `10m`, got `10min`",
    ),
    "time_limit two units": (
        trainer("time_limit: 1h30m"),
        "c.yaml:3: `trainer.time_limit` must be seconds, or a number with s, m, h or d such as `10m`, got `1h30m`",
    ),
    "time_limit zero": (
        trainer("time_limit: 0"),
        "c.yaml:3: `trainer.time_limit` must be above 0, got `0.0`",
    ),
    "time_limit zero seconds": (
        trainer("time_limit: 0s"),
        "c.yaml:3: `trainer.time_limit` must be above 0, got `0s`",
    ),
    "time_limit negative": (
        trainer("time_limit: -5"),
        "c.yaml:3: `trainer.time_limit` must be above 0, got `-5.0`",
    ),
    "time_limit negative text": (
        trainer("time_limit: -5s"),
        "c.yaml:3: `trainer.time_limit` must be seconds, or a number with s, m, h or d such as `10m`, got `-5s`",
    ),
    "time_limit true": (
        trainer("time_limit: true"),
        "c.yaml:3: `trainer.time_limit` must be a number, a string or `null`, got `true`",
    ),
    "time_limit a list": (
        trainer("time_limit: [1, h]"),
        "c.yaml:3: `trainer.time_limit` must be a number, a string or `null`, got a list",
    ),
    "time_limit empty": (
        trainer("time_limit: ''"),
        "c.yaml:3: `trainer.time_limit` must be seconds, or a number with s, m, h or d such as `10m`"
        ", got an empty string",
    ),
    "time_limit huge": (
        trainer("time_limit: 9" + "0" * 30 + "s"),
        "c.yaml:3: `trainer.time_limit` must be seconds, or a number with s, m, h or d such as `10m`"
        ", got `9000000000000000000000000000000s`",
    ),
    "threads zero": (
        trainer("threads: 0"),
        "c.yaml:3: `trainer.threads` must be at least 1, got `0`",
    ),
    "threads too many": (
        trainer("threads: 1000"),
        "c.yaml:3: `trainer.threads` must be at most 256, got `1000`",
    ),
    "threads a word": (
        trainer("threads: all"),
        "c.yaml:3: `trainer.threads` must be a whole number or `null`, got `all`",
    ),
}
