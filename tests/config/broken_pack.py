"""Broken keys in `pack`: what members are drawn from, and draws that are no configuration."""

from __future__ import annotations

from tests.config.broken_forms import OPTIMIZERS, data

MOONS = "data: {source: moons, rows: 60}\n"
MEANS = "must be a list, or a map with `choice`, `log`, `uniform`, `int` or `log_int`, or with `width` and `depth`"
ONLY = "must not differ by member, as only keys of `network` and `trainer` may"
SAME = "must not differ by member, as all are trained and compared in one way"


def pack(body: str, more: str = "") -> str:
    return f"{MOONS}{more}pack: {{{body}}}\n"


def drawn(key: str, among: str, more: str = "") -> str:
    return pack(f"members: 9, space: {{{key}: {among}}}", more)


LR = "trainer.optimizer.lr"
AT = f"c.yaml:2: `pack.space.{LR}"

CASES = {
    "no map": (MOONS + "pack: 3", "c.yaml:2: `pack` must be a map of keys to values or `null`, got `3`"),
    "unknown key": (
        pack("member: 2"),
        "c.yaml:2: `pack` must have known keys only, got `member`\nhint: did you mean `members`?",
    ),
    "no members": (pack("members: 0"), "c.yaml:2: `pack.members` must be at least 1, got `0`"),
    "one fold": (pack("folds: 1"), "c.yaml:2: `pack.folds` must be at least 2, got `1`"),
    "more folds than rows": (
        pack("folds: 100"),
        "c.yaml:2: `pack.folds` must be at most the rows, or groups of rows, that are not for the test, got `100`",
    ),
    "a fold without a class": (
        data("source: blobs\nrows: 4\nsplit: {test: 0.0}") + "pack: {folds: 4}",
        "c.yaml:5: `pack.folds` must leave rows of every class to train on, but fold 1 leaves none of `1`",
    ),
    "fewer undrawn than none": (pack("undrawn: -1"), "c.yaml:2: `pack.undrawn` must be at least 0, got `-1`"),
    "bootstrap of nothing": (pack("bootstrap: 0"), "c.yaml:2: `pack.bootstrap` must be above 0, got `0`"),
    "bootstrap above 1": (pack("bootstrap: 1.5"), "c.yaml:2: `pack.bootstrap` must be at most 1, got `1.5`"),
    "bootstrap a word": (
        pack("bootstrap: often"),
        "c.yaml:2: `pack.bootstrap` must be a number, `true` or `false`, got `often`",
    ),
    "two kinds of folds": (
        "data: {source: moons, split: {folds: 2}}\npack: {folds: 3}",
        "c.yaml:1: `data.split.folds` must not be given together with `pack.folds`",
    ),
    "folds and a column of parts": (
        "data: {path: t.csv, split: {column: part}}\npack: {folds: 3}",
        "c.yaml:1: `data.split.column` must not be given together with `pack.folds`",
    ),
    "folds and validation rows": (
        "data: {train: t.csv, validation: v.csv}\npack: {folds: 3}",
        "c.yaml:1: `data.validation` must not be given together with `pack.folds`",
    ),
    "folds and epochs chosen meanwhile": (
        "data: {source: moons}\npack: {folds: 3, online: {}}",
        "c.yaml:2: `pack.online` must not be given together with `pack.folds`",
    ),
    "epochs chosen by nothing": (
        "data: {source: moons, split: {validation: 0}}\npack: {members: 2, online: {}}",
        "c.yaml:2: `pack.online` must have validation rows to choose by",
    ),
    "another key of epochs chosen meanwhile": (
        pack("online: {sizes: 3}"),
        "c.yaml:2: `pack.online` must have known keys only, got `sizes`\nhint: did you mean `size`?",
    ),
    "an ensemble of none": (
        pack("online: {size: 0}"),
        "c.yaml:2: `pack.online.size` must be at least 1, got `0`",
    ),
    "no patience of an ensemble": (
        pack("online: {patience: 0}"),
        "c.yaml:2: `pack.online.patience` must be at least 1, got `0`",
    ),
    "a drawn value of one bound": (
        drawn("network.dropout", "[0, {uniform: [0.5]}]"),
        "c.yaml:2: `pack.space.network.dropout[1].uniform` must be two numbers, the lower first, got a list",
    ),
    "a drawn value that is none": (
        drawn("network.dropout", "[{uniform: [0.9, 2]}]"),
        "c.yaml:2: `network.dropout` of member 0 must be below 1, got `1.1413293761092622`",
    ),
    "without steps": (
        pack("members: 2", "trainer: {optimizer: lbfgs}\n"),
        "c.yaml:2: `trainer.optimizer` must have steps in a pack, got `lbfgs`",
    ),
    "seed of rows that are there": (
        "data: {source: digits, seed: 3}",
        "c.yaml:1: `data.seed` must be given with a synthetic `data.source` only, not with `digits`",
    ),
    "space a list": (pack("space: [3]"), "c.yaml:2: `pack.space` must be a map of keys to values, got a list"),
    "space of an unknown key": (
        drawn("network.dropot", "[0.1]"),
        "c.yaml:2: `pack.space` must have keys of `network`, got `network.dropot`"
        "\nhint: did you mean `network.dropout`?",
    ),
    "space of an unknown section": (
        drawn("netwrk.dropout", "[0.1]"),
        "c.yaml:2: `pack.space` must have keys of `network` or `trainer`, got `netwrk.dropout`"
        "\nhint: did you mean `network.dropout`?",
    ),
    "space of a section": (
        drawn("network", "[0.1]"),
        "c.yaml:2: `pack.space` must have keys of `network`, got `network`",
    ),
    "space of nothing": (
        drawn("''", "[0.1]"),
        "c.yaml:2: `pack.space` must have keys of `network` or `trainer`, got an empty string",
    ),
    "space of data": (drawn("data.scale", "[standard]"), f"c.yaml:2: `pack.space.data.scale` {ONLY}"),
    "space of seeds": (drawn("seed", "[1]"), f"c.yaml:2: `pack.space.seed` {ONLY}"),
    "space of losses": (drawn("trainer.loss", "[mse]"), f"c.yaml:2: `pack.space.trainer.loss` {SAME}"),
    "space of threads": (drawn("trainer.threads", "[1]"), f"c.yaml:2: `pack.space.trainer.threads` {SAME}"),
    "a number": (drawn(LR, "0.1"), f"{AT}` {MEANS}, got `0.1`"),
    "no value": (drawn(LR, "[]"), f"{AT}` must have at least one value, got an empty list"),
    "no choice": (drawn(LR, "{choice: []}"), f"{AT}.choice` must have at least one value, got an empty list"),
    "a choice of one": (drawn(LR, "{choice: 3}"), f"{AT}.choice` must be a list of values, got `3`"),
    "an empty map": (drawn(LR, "{}"), f"{AT}` {MEANS}, got an empty map"),
    "an unknown way": (drawn(LR, "{lg: [0.1, 2]}"), f"{AT}` {MEANS}, got a map with `lg`"),
    "two ways": (
        drawn(LR, "{log: [0.1, 2], int: [1, 2]}"),
        f"{AT}` {MEANS}, got a map with `log` and `int`",
    ),
    "width without depth": (
        drawn("network.hidden", "{width: [3]}"),
        f"c.yaml:2: `pack.space.network.hidden` {MEANS}, got a map with `width`",
    ),
    "log of zero": (drawn(LR, "{log: [0, 0.1]}"), f"{AT}.log[0]` must be above 0, got `0`"),
    "bounds reversed": (
        drawn(LR, "{log: [0.1, 0.01]}"),
        f"{AT}.log` must have the lower number first, got `[0.1, 0.01]`",
    ),
    "one bound": (drawn(LR, "{uniform: [0.1]}"), f"{AT}.uniform` must be two numbers, the lower first, got a list"),
    "bounds of words": (
        drawn(LR, "{uniform: [a, b]}"),
        f"{AT}.uniform` must be two numbers, the lower first, got a list",
    ),
    "bounds of truth": (
        drawn(LR, "{uniform: [false, true]}"),
        f"{AT}.uniform` must be two numbers, the lower first, got a list",
    ),
    "whole bounds": (
        drawn(LR, "{int: [0.1, 2]}"),
        f"{AT}.int` must be two whole numbers, the lower first, got a list",
    ),
    "as maps": (
        pack("space: {trainer: {optimizer: {lr: {log: [2, 1]}}}}"),
        f"{AT}.log` must have the lower number first, got `[2, 1]`",
    ),
    "a drawn value out of range": (
        drawn(LR, "{uniform: [-0.1, 0.1]}"),
        f"c.yaml:2: `{LR}` of member 1 must be above 0, got `-0.01137333084693945`",
    ),
    "a drawn name": (
        drawn("trainer.optimizer", "[adm]"),
        f"c.yaml:2: `trainer.optimizer` of member 0 must be one of {OPTIMIZERS}, got `adm`\nhint: did you mean `adam`?",
    ),
    "a setting that the optimiser does not have": (
        drawn("trainer.optimizer.momentum", "[0.1]"),
        "c.yaml:2: `trainer.optimizer` of member 0 must have known keys only, got `momentum`"
        "\nhint: there are `amsgrad`, `betas`, `decay_all`, `decoupled`, `eps`, `lr`, `weight_decay`",
    ),
    "settings of no schedule": (
        drawn("trainer.schedule.warmup", "[1, 3]"),
        "c.yaml:2: `trainer.schedule` of member 0 must be a name, or a map that has `name`",
    ),
    "a drawn optimiser without steps": (
        drawn("trainer.optimizer", "[lbfgs, adam]"),
        "c.yaml:2: `trainer.optimizer` of member 2 must have steps in a pack, got `lbfgs`",
    ),
    "a width that is none": (
        drawn("network.hidden", "{width: [8, x], depth: 1}"),
        "c.yaml:2: `network.hidden[0]` of member 1 must be a whole number, got `x`",
    ),
    "half a layer": (
        drawn("network.hidden", "{width: 8, depth: {uniform: [1, 2]}}"),
        "c.yaml:2: `network.hidden` of member 0 must have a whole `depth` from 0 to 100, got `1.9977818221099168`",
    ),
    "a layer of no list": (
        drawn("'network.hidden[0]'", "[8]"),
        "c.yaml:2: `pack.space.network.hidden[0]` of member 0 must be in a list, but `network.hidden` of the"
        " configuration is none",
    ),
    "a layer beyond the list": (
        drawn("'network.hidden[1]'", "[8]", "network: {hidden: [4]}\n"),
        "c.yaml:3: `pack.space.network.hidden[1]` of member 0 must be one of the 1 of `network.hidden`",
    ),
    "a key within a number": (
        drawn("trainer.batch_size.x", "[8]", "trainer: {batch_size: 4}\n"),
        "c.yaml:3: `pack.space.trainer.batch_size.x` of member 0 must be in a map, but `trainer.batch_size` of the"
        " configuration is none",
    ),
    "frozen for a member": (
        drawn("trainer.frozen", "[['0.weigh']]"),
        "c.yaml:2: `trainer.frozen` of member 0 must name layers or parameters, `0.weight`, `0.bias`, `2.weight`,"
        " `2.bias`, got `0.weigh`",
    ),
}
