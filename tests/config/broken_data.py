"""Broken keys in `data` and `data.split`."""

from __future__ import annotations

from tests.config.broken_forms import SOURCES, data, split

CASES = {
    "source unknown": (
        data("source: mnist"),
        f"c.yaml:2: `data.source` must be one of {SOURCES}, got `mnist`\nhint: did you mean `moons`?",
    ),
    "source misspelt": (
        data("source: spiral"),
        f"c.yaml:2: `data.source` must be one of {SOURCES}, got `spiral`\nhint: did you mean `spirals`?",
    ),
    "source a map": (
        data("source: {name: digits}"),
        f"c.yaml:2: `data.source` must be one of {SOURCES}, got a map",
    ),
    "source a list": (
        data("source: [digits]"),
        f"c.yaml:2: `data.source` must be one of {SOURCES}, got a list",
    ),
    "rows zero": (
        data("source: moons\nrows: 0"),
        "c.yaml:3: `data.rows` must be at least 1, got `0`",
    ),
    "rows too many": (
        data("source: moons\nrows: 9000000000"),
        "c.yaml:3: `data.rows` must be at most 100000000, got `9000000000`",
    ),
    "rows a word": (
        data("source: moons\nrows: many"),
        "c.yaml:3: `data.rows` must be a whole number, got `many`",
    ),
    "rows beside digits": (
        data("source: digits\nrows: 100"),
        "c.yaml:3: `data.rows` must be given with a synthetic `data.source` only, not with `digits`",
    ),
    "classes beside digits": (
        data("source: digits\nclasses: 4"),
        "c.yaml:3: `data.classes` must be given with a synthetic `data.source` only, not with `digits`",
    ),
    "noise negative": (
        data("source: moons\nnoise: -0.1"),
        "c.yaml:3: `data.noise` must be at least 0, got `-0.1`",
    ),
    "classes one": (
        data("source: blobs\nclasses: 1"),
        "c.yaml:3: `data.classes` must be at least 2, got `1`",
    ),
    "classes too many": (
        data("source: blobs\nclasses: 1000000"),
        "c.yaml:3: `data.classes` must be at most 10000, got `1000000`",
    ),
    "path and train": (
        data("path: a.csv\ntrain: b.csv"),
        "c.yaml:3: `data.train` must not be given together with `data.path`",
    ),
    "path and test": (
        data("path: a.csv\ntest: b.csv"),
        "c.yaml:3: `data.test` must be given together with `data.train`, not `data.path`",
    ),
    "path and validation": (
        data("path: a.csv\nvalidation: b.csv"),
        "c.yaml:3: `data.validation` must be given together with `data.train`, not `data.path`",
    ),
    "path with digits": (
        data("source: digits\npath: a.csv"),
        "c.yaml:3: `data.path` must not be given with `data.source` `digits`",
    ),
    "train with moons": (
        data("source: moons\ntrain: a.csv"),
        "c.yaml:3: `data.train` must not be given with `data.source` `moons`",
    ),
    "validation with moons": (
        data("source: moons\nvalidation: a.csv"),
        "c.yaml:3: `data.validation` must not be given with `data.source` `moons`",
    ),
    "target with digits": (
        data("source: digits\ntarget: y"),
        "c.yaml:3: `data.target` must not be given with `data.source` `digits`",
    ),
    "columns with digits": (
        data("source: digits\ncolumns: {x: number}"),
        "c.yaml:3: `data.columns` must not be given with `data.source` `digits`",
    ),
    "task with friedman": (
        data("source: friedman\ntask: classes"),
        "c.yaml:3: `data.task` must be `numbers` with `data.source` `friedman`, got `classes`",
    ),
    "task with digits": (
        data("source: digits\ntask: numbers"),
        "c.yaml:3: `data.task` must be `classes` with `data.source` `digits`, got `numbers`",
    ),
    "files without a path": (
        data("source: files"),
        "c.yaml:1: `data` must have `path` or `train`",
    ),
    "only test": (
        data("test: b.csv"),
        "c.yaml:1: `data` must have `source`, `path` or `train`",
    ),
    "path a number": (
        data("path: 3"),
        "c.yaml:2: `data.path` must be a string, a list or `null`, got `3`",
    ),
    "path a list of numbers": (
        data("path: [a.csv, 3]"),
        "c.yaml:2: `data.path[1]` must be a string, got `3`",
    ),
    "target a map": (
        data("path: a.csv\ntarget: {name: y}"),
        "c.yaml:3: `data.target` must be a string, a list or `null`, got a map",
    ),
    "task unknown": (
        data("path: a.csv\ntask: regression"),
        "c.yaml:3: `data.task` must be one of `classes`, `labels`, `numbers`, got `regression`\n"
        "hint: here this is `numbers`",
    ),
    "task misspelt": (
        data("path: a.csv\ntask: class"),
        "c.yaml:3: `data.task` must be one of `classes`, `labels`, `numbers`, got `class`\n"
        "hint: did you mean `classes`?",
    ),
    "scale unknown": (
        data("source: digits\nscale: minmax"),
        "c.yaml:3: `data.scale` must be one of `auto`, `noisy_quantile`, `none`, `quantile`, `robust`,"
        " `standard`, got `minmax`",
    ),
    "scale misspelt": (
        data("source: digits\nscale: standart"),
        "c.yaml:3: `data.scale` must be one of `auto`, `noisy_quantile`, `none`, `quantile`, `robust`,"
        " `standard`, got `standart`\n"
        "hint: did you mean `standard`?",
    ),
    "scale null": (
        data("source: digits\nscale: null"),
        "c.yaml:3: `data.scale` must be one of `auto`, `noisy_quantile`, `none`, `quantile`, `robust`,"
        " `standard`, got `null`",
    ),
    "missing unknown": (
        data("source: digits\nmissing: zero"),
        "c.yaml:3: `data.missing` must be one of `constant`, `mean`, `median`, `refuse`, got `zero`",
    ),
    "indicator a word": (
        data("source: digits\nindicator: yes"),
        "c.yaml:3: `data.indicator` must be `true` or `false`, got `yes`",
    ),
    "indicator a number": (
        data("source: digits\nindicator: 1"),
        "c.yaml:3: `data.indicator` must be `true` or `false`, got `1`",
    ),
    "encode unknown": (
        data("source: digits\nencode: onehot"),
        "c.yaml:3: `data.encode` must be one of `auto`, `embedding`, `one_hot`, got `onehot`\n"
        "hint: did you mean `one_hot`?",
    ),
    "embed_std zero": (
        data("source: digits\nembed_std: 0"),
        "c.yaml:3: `data.embed_std` must be above 0, got `0`",
    ),
    "min_frequency zero": (
        data("source: digits\nmin_frequency: 0"),
        "c.yaml:3: `data.min_frequency` must be at least 1, got `0`",
    ),
    "target_transform misspelt": (
        data("source: friedman\ntarget_transform: logp"),
        "c.yaml:3: `data.target_transform` must be one of `log`, `log1p`, `none`, `quantile`, `sqrt`"
        " or a map such as `{price: log}`, got `logp`\nhint: did you mean `log1p`?",
    ),
    "target_transform of a target misspelt": (
        data("source: friedman\ntarget_transform: {a: log, b: sqr}"),
        "c.yaml:3: `data.target_transform.b` must be one of `log`, `log1p`, `none`, `quantile`, `sqrt`, got `sqr`\n"
        "hint: did you mean `sqrt`?",
    ),
    "target_transform of a target a number": (
        data("source: friedman\ntarget_transform: {a: 2}"),
        "c.yaml:3: `data.target_transform.a` must be one of `log`, `log1p`, `none`, `quantile`, `sqrt`, got `2`",
    ),
    "max_memory a word": (
        data("source: digits\nmax_memory: much"),
        "c.yaml:3: `data.max_memory` must be such as `1GB` or `512MiB`, got `much`",
    ),
    "stream of digits": (
        data("source: digits\nstream: true"),
        "c.yaml:3: `data.stream` must be false but for CSV, Parquet and Arrow files, got true",
    ),
    "store a number": (
        data("source: digits\nstore: 3"),
        "c.yaml:3: `data.store` must be a string or `null`, got `3`",
    ),
    "window_blocks zero": (
        data("source: digits\nwindow_blocks: 0"),
        "c.yaml:3: `data.window_blocks` must be at least 1, got `0`",
    ),
    "block_rows a fraction": (
        data("source: digits\nblock_rows: 0.5"),
        "c.yaml:3: `data.block_rows` must be a whole number or `null`, got `0.5`",
    ),
    "most_one_hot zero": (
        data("source: digits\nmost_one_hot: 0"),
        "c.yaml:3: `data.most_one_hot` must be at least 1, got `0`",
    ),
    "embed_size a fraction": (
        data("source: digits\nembed_size: 2.5"),
        "c.yaml:3: `data.embed_size` must be a whole number or `null`, got `2.5`",
    ),
    "scale_categories unknown": (
        data("source: digits\nscale_categories: standard"),
        "c.yaml:3: `data.scale_categories` must be one of `none`, `robust`, got `standard`",
    ),
    "clamp_target a word": (
        data("source: digits\nclamp_target: yes"),
        "c.yaml:3: `data.clamp_target` must be `true` or `false`, got `yes`",
    ),
    "scale_target a word": (
        data("source: digits\nscale_target: on"),
        "c.yaml:3: `data.scale_target` must be `true` or `false`, got `on`",
    ),
    "delimiter empty": (
        data("path: a.csv\ndelimiter: ''"),
        "c.yaml:3: `data.delimiter` must be one character, got an empty string",
    ),
    "delimiter two characters": (
        data("path: a.csv\ndelimiter: ';;'"),
        "c.yaml:3: `data.delimiter` must be one character, got `;;`",
    ),
    "delimiter a number": (
        data("path: a.csv\ndelimiter: 1"),
        "c.yaml:3: `data.delimiter` must be a string or `null`, got `1`",
    ),
    "encoding a number": (
        data("path: a.csv\nencoding: 8"),
        "c.yaml:3: `data.encoding` must be a string or `null`, got `8`",
    ),
    "decimal another sign": (
        data("path: a.csv\ndecimal: ';'"),
        "c.yaml:3: `data.decimal` must be one of `,`, `.`, got `;`",
    ),
    "missing_texts a text": (
        data("path: a.csv\nmissing_texts: none"),
        "c.yaml:3: `data.missing_texts` must be a list, got `none`",
    ),
    "missing_target unknown": (
        data("path: a.csv\nmissing_target: dropp"),
        "c.yaml:3: `data.missing_target` must be one of `drop`, `refuse`, got `dropp`\nhint: did you mean `drop`?",
    ),
    "unseen above one": (
        data("path: a.csv\nunseen: 1.5"),
        "c.yaml:3: `data.unseen` must be at most 1, got `1.5`",
    ),
    "path of stdin": (
        data("path: [a.csv, '-']"),
        "c.yaml:2: `data.path` must name files, got `-`\n"
        "hint: a run reads its table again, so stdin is for `predict` and `evaluate`",
    ),
    "header a word": (
        data("path: a.csv\nheader: no"),
        "c.yaml:3: `data.header` must be `true` or `false`, got `no`",
    ),
    "columns a list": (
        data("path: a.csv\ncolumns: [a, b]"),
        "c.yaml:3: `data.columns` must be a map of keys to values, got a list",
    ),
    "column type unknown": (
        data("path: a.csv\ncolumns:\n  a: number\n  b: numbr"),
        "c.yaml:5: `data.columns.b` must be one of `number`, `category`, `date`, `words`, `ignore`, `target`, `weight`"
        ", got `numbr`\n"
        "hint: did you mean `number`?",
    ),
    "column a number": (
        data("path: a.csv\ncolumns:\n  a: 3"),
        "c.yaml:4: `data.columns.a` must be a type or a map with `type`, got `3`",
    ),
    "column null": (
        data("path: a.csv\ncolumns:\n  a:"),
        "c.yaml:4: `data.columns.a` must be a type or a map with `type`, got `null`",
    ),
    "column a list": (
        data("path: a.csv\ncolumns:\n  a: [number]"),
        "c.yaml:4: `data.columns.a` must be a type or a map with `type`, got a list",
    ),
    "column setting unknown": (
        data("path: a.csv\ncolumns:\n  a:\n    type: number\n    scal: none"),
        "c.yaml:6: `data.columns.a` must have known keys only, got `scal`\nhint: did you mean `scale`?",
    ),
    "column scale unknown": (
        data("path: a.csv\ncolumns:\n  a:\n    type: number\n    scale: minmax"),
        "c.yaml:6: `data.columns.a.scale` must be one of `auto`, `standard`, `robust`, `quantile`, `noisy_quantile`,"
        " `none`, got `minmax`",
    ),
    "column missing unknown": (
        data("path: a.csv\ncolumns:\n  a:\n    missing: meen"),
        "c.yaml:5: `data.columns.a.missing` must be one of `mean`, `median`, `constant`, `refuse`"
        ", got `meen`\n"
        "hint: did you mean `mean`?",
    ),
    "column encode unknown": (
        data("path: a.csv\ncolumns:\n  a:\n    encode: embeding"),
        "c.yaml:5: `data.columns.a.encode` must be one of `auto`, `one_hot`, `embedding`, got `embeding`\n"
        "hint: did you mean `embedding`?",
    ),
    "column indicator a word": (
        data("path: a.csv\ncolumns:\n  a:\n    indicator: maybe"),
        "c.yaml:5: `data.columns.a.indicator` must be `true` or `false`, got `maybe`",
    ),
    "column value a word": (
        data("path: a.csv\ncolumns:\n  a:\n    value: zero"),
        "c.yaml:5: `data.columns.a.value` must be a finite number, got `zero`",
    ),
    "column value not finite": (
        data("path: a.csv\ncolumns:\n  a:\n    value: .nan"),
        "c.yaml:5: `data.columns.a.value` must be finite, got `nan`",
    ),
    "column size zero": (
        data("path: a.csv\ncolumns:\n  a:\n    size: 0"),
        "c.yaml:5: `data.columns.a.size` must be a whole number, at least 1, got `0`",
    ),
    "column size no whole number": (
        data("path: a.csv\ncolumns:\n  a:\n    size: 2.5"),
        "c.yaml:5: `data.columns.a.size` must be a whole number, at least 1, got `2.5`",
    ),
    "column min_frequency negative": (
        data("path: a.csv\ncolumns:\n  a:\n    min_frequency: -2"),
        "c.yaml:5: `data.columns.a.min_frequency` must be a whole number, at least 1, got `-2`",
    ),
    "column a target beside target": (
        data("path: a.csv\ntarget: y\ncolumns:\n  z: target"),
        "c.yaml:5: `data.columns.z` must not be a target that `data.target` does not name",
    ),
    "validation above one": (
        split("validation: 1.5"),
        "c.yaml:4: `data.split.validation` must be at most 1, got `1.5`",
    ),
    "validation negative": (
        split("validation: -0.1"),
        "c.yaml:4: `data.split.validation` must be at least 0, got `-0.1`",
    ),
    "test a map": (
        split("test: {rows: 100}"),
        "c.yaml:4: `data.split.test` must be a number, got a map",
    ),
    "validation a percentage": (
        split("validation: 15%"),
        "c.yaml:4: `data.split.validation` must be a number, got `15%`",
    ),
    "split leaves nothing": (
        split("validation: 0.5\ntest: 0.5"),
        "c.yaml:3: `data.split` must leave rows to train on, got `1` for validation and test together",
    ),
    "one fold": (
        split("folds: 1"),
        "c.yaml:4: `data.split.folds` must be at least 2, got `1`",
    ),
    "fold too large": (
        split("folds: 5\nfold: 5"),
        "c.yaml:5: `data.split.fold` must be below `data.split.folds`, 5, got `5`",
    ),
    "fold without folds": (
        split("fold: 2"),
        "c.yaml:4: `data.split.fold` must be given together with `data.split.folds`, got `2` alone",
    ),
    "fold negative": (
        split("folds: 5\nfold: -1"),
        "c.yaml:5: `data.split.fold` must be at least 0, got `-1`",
    ),
    "folds a word": (
        split("folds: five"),
        "c.yaml:4: `data.split.folds` must be a whole number or `null`, got `five`",
    ),
    "group and column": (
        split("group: a\ncolumn: b"),
        "c.yaml:4: `data.split.group` must not be given together with `data.split.column`",
    ),
    "folds and column": (
        split("folds: 3\ncolumn: b"),
        "c.yaml:4: `data.split.folds` must not be given together with `data.split.column`",
    ),
    "stratify and column": (
        split("stratify: true\ncolumn: b"),
        "c.yaml:4: `data.split.stratify` must not be given together with `data.split.column`",
    ),
    "stratify and group": (
        split("stratify: true\ngroup: b"),
        "c.yaml:4: `data.split.stratify` must not be given together with `data.split.group`",
    ),
    "stratify a word": (
        split("stratify: yes"),
        "c.yaml:4: `data.split.stratify` must be `true`, `false` or `null`, got `yes`",
    ),
    "group a list": (
        split("group: [a, b]"),
        "c.yaml:4: `data.split.group` must be a string or `null`, got a list",
    ),
    "split seed negative": (
        split("seed: -3"),
        "c.yaml:4: `data.split.seed` must be at least 0, got `-3`",
    ),
    "stratify numbers": (
        "data:\n  source: friedman\n  split: {stratify: true}\n",
        "c.yaml:3: `data.split.stratify` must be `false` where targets are numbers, got `true`",
    ),
    "clamp_target of classes": (
        data("source: digits\nclamp_target: true"),
        "c.yaml:3: `data.clamp_target` must be `false` where targets are classes, got `true`",
    ),
    "most_one_hot without auto": (
        data("path: none.csv\nmost_one_hot: 4\ncolumns: {a: {type: category, encode: embedding}}"),
        "c.yaml:3: `data.most_one_hot` must be left out where no `encode` is `auto`, got `4`",
    ),
    "embed_size without tables": (
        data("path: none.csv\nembed_size: 4"),
        "c.yaml:3: `data.embed_size` must be left out where every `encode` is `one_hot`, got `4`",
    ),
    "scale_categories without columns": (
        data("path: none.csv\nscale_categories: robust\nencode: embedding"),
        "c.yaml:3: `data.scale_categories` must be `none` where every `encode` is `embedding`, got `robust`",
    ),
    "folds beside files that do not exist": (
        data("path: none.csv\nsplit: {stratify: true}\ntask: numbers"),
        "c.yaml:3: `data.split.stratify` must be `false` where targets are numbers, got `true`",
    ),
}
