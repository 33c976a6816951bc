"""A commented configuration for a table: what was found in it, what a first network begins with, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.config.check import checked
from fastbp.config.presets import Known, Preset, presets
from fastbp.config.presets.known import known_of
from fastbp.config.presets.plain import BENT, BINS_ROWS, batch_of, decay_of, finer, metrics_of, rate_of
from fastbp.config.presets.standard import epochs, standard
from fastbp.config.schema import Data
from fastbp.config.text import MOST_BYTES, as_yaml, one_line, parse_yaml
from fastbp.data.files import read_paths
from fastbp.data.frame import Frame, missing_column
from fastbp.data.goal import Goal, bent
from fastbp.data.kinds import kinds_of
from fastbp.data.leaks import leaks_of, say_leaks
from fastbp.data.numbers import scale_of
from fastbp.data.outputs import ordered
from fastbp.data.prepare import task_of
from fastbp.data.rows import without_targets
from fastbp.data.sampled import sampled
from fastbp.data.streamed import Sources, Told, streams
from fastbp.data.things import nearly_names, things_of
from fastbp.data.unseen import by_value
from fastbp.errors import ConfigError, DataError, not_one_of, visible
from fastbp.runs.choices import TRAINS, Choice, choice_of, doubt_of, encoded
from fastbp.runs.outline import listed

WIDEST = 60  # width of a key with its type; notes are aligned behind it
FEW = 0.4  # of an equal share, below which a class is rare and classes may be weighted
LUCKY = [
    "# One run may be lucky: compare it with those of other seeds, `fastbp train FILE --set seed=1`, or of folds,",
    "# `--set data.split.folds=5 --set data.split.fold=0` and so on, which validate on every row once.",
]
MOST_DOUBTS = 20  # in the file and in print; more are counted


@dataclass(frozen=True)
class Start:
    """The text of a configuration, and sentences on what was not certain."""

    text: str
    doubts: list[str]


def starter(
    path: str,
    targets: Sequence[str],
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    preset: str | None = None,
    limit: str | float | None = None,
    max_memory: str | None = None,
    told: Told | None = None,
) -> Start:
    """A configuration for the table at `path`, with the keys of a preset, or of `standard` with a word on each.

    `limit` is the time that training may take. Of a table that needs more than `max_memory` some rows are looked at.

    Names and values of the table are quoted, or escaped in comments, so a table cannot inject keys.
    """
    if any("\ud800" <= c <= "\udfff" for c in path):
        raise ConfigError(f"a table must have a path in Unicode, as configurations are, got `{path}`")
    if preset is not None and preset not in presets():
        raise not_one_of("--preset", visible(preset), presets())
    data = Data(path=path, delimiter=delimiter, encoding=encoding, header=header, max_memory=max_memory)
    sources = streams(data)
    if sources is not None and preset is not None:
        where, got = ("--preset", visible(preset)) if limit is None else ("--time-limit", limit)
        raise ConfigError(where, "must be left out where rows do not fit into memory", f"`{got}`")
    frame, rows = _read(data, sources, told or Told())
    names = list(frame.columns)
    if not targets:
        found = "y" if "y" in names else "target" if "target" in names else names[-1] if names else "y"
        targets = [found]
    for i, target in enumerate(targets):
        if target not in frame.columns:
            raise missing_column(frame, target)
        if target in targets[:i]:
            raise ConfigError("--target", "must name each column once", f"`{target}` twice")
    if frame.matrix is None and len(targets) == len(names):
        raise _nothing_beside(frame, targets)
    gone = without_targets(frame, targets)
    unseen = f"what columns are, by {len(frame):,} of {rows:,} rows" * (rows > len(frame))
    lines = [f"# {rows:,} rows of {visible(path)}.", f"name: {one_line(_slug(path))}", "seed: 0", "", "data:"]
    lines += [f"  path: {one_line(path)}"]
    lines += [f"  {key}: {one_line(v)}" for key, v in (("delimiter", delimiter), ("encoding", encoding)) if v]
    lines += [] if header else ["  header: false"]
    lines += [f"  max_memory: {one_line(max_memory)}"] if max_memory is not None and sources is not None else []
    if len(targets) == 1:
        lines.append(f"  target: {one_line(targets[0])}")
    else:
        lines += ["  target:", *(f"    - {one_line(target)}" for target in targets)]
    if gone.any():
        lines.append(
            f"  missing_target: drop  # {gone.sum():,} of {len(gone):,} rows have no target; refuse is the default"
        )
        rows = round(rows * (1.0 - gone.mean()))
        frame = frame.take(np.flatnonzero(~gone))
    task = task_of(frame, targets, None)
    goal = Goal.of(frame, targets, task)
    trains = round(TRAINS * rows)
    choices = _choices(frame, [name for name in names if name not in targets], targets, task, goal, trains)
    lines += [f"  task: {task}  # classes, numbers, or labels for several of 0 and 1"]
    if task == "classes":
        lines += _classes(frame, targets[0])
    elif task == "numbers":
        lines += _transform(frame, targets)
    own: dict[str, Any] = {}
    known = _known(frame, choices, targets, task, goal, trains)
    if preset is not None:
        known, own = _keys(lines + _columns(choices), presets()[preset])
        if limit is not None:
            own["trainer"] = {**own.get("trainer", {}), "time_limit": limit}
    lines += _columns(choices, "scale" in own.get("data", {}))
    lines += _prepared(own.pop("data", {}), _any_missing(frame, targets))
    lines += ["  split:", "    validation: 0.15", "    test: 0.15", ""]
    if preset is None:
        lines += [*_network(known), "", *_trainer(known, goal), ""]
    else:
        lines += [f"# The preset {preset} for {known.rows:,} rows that train.", f"# {presets()[preset].about}"]
        lines += [*as_yaml(own).splitlines(), ""]
    lines += LUCKY * ("pack" not in own)
    unsure = (unseen, doubt_of(frame, targets, task), *(c.doubt for c in choices.values()))
    doubts = [doubt for doubt in unsure if doubt]
    if len(doubts) > MOST_DOUBTS:
        doubts = [*doubts[:MOST_DOUBTS], f"and {len(doubts) - MOST_DOUBTS:,} more columns, see above"]
    lines += ["#" * ("pack" not in own), "# Not certain:", *(f"# - {doubt}" for doubt in doubts)] if doubts else []
    text = "\n".join(lines) + "\n"
    if len(text.encode()) > MOST_BYTES:
        raise DataError(f"{path}: must have columns whose names fit into a config of 1 MiB")
    return Start(text, doubts)


def _read(data: Data, sources: Sources | None, told: Told) -> tuple[Frame, int]:
    """The rows of a table, or those that are looked at where it does not fit into memory; and how many it has."""
    if sources is not None:
        return sampled(data, sources, 0, told)
    assert data.path is not None
    frame = read_paths(data.path, data)
    return frame, len(frame)


def _choices(
    frame: Frame, inputs: Sequence[str], targets: Sequence[str], task: str, goal: Goal, trains: int
) -> dict[str, Choice]:
    """What becomes of each column; warns of those that alone tell a target."""
    if frame.matrix is not None:
        return {}
    leaks = leaks_of(frame, inputs, targets, task)
    kinds = kinds_of(frame, inputs)
    names = [n for n, kind in kinds.items() if kind.name == "category" and nearly_names(frame.columns[n])]
    if len(names) == sum(kind.name != "ignore" for kind in kinds.values()):
        names = []  # nothing would be left to predict from
    told = things_of(frame, kinds, goal, names)
    choices = {n: choice_of(frame.columns[n], kind, goal, n in names, told.get(n)) for n, kind in kinds.items()}
    choices = encoded(choices, trains)
    for name, target in leaks.items():
        about = f"{choices[name].about}; alone tells `{visible(target)}`"
        choices[name] = replace(choices[name], about=about, inferred=False)
    say_leaks(frame.origin, leaks)
    return choices


def _nothing_beside(frame: Frame, targets: Sequence[str]) -> DataError:
    """The error for a table that has targets only."""
    shown = " and ".join(f"`{visible(target)}`" for target in targets)
    hint = (
        "`--delimiter` says what divides the fields of a line"
        if len(targets) == 1 and frame.lines is not None
        else None
    )
    return DataError(f"{frame.origin}: must have a column beside the target {shown} to predict from", hint=hint)


def _classes(frame: Frame, target: str) -> list[str]:
    """A comment with the shares of the classes."""
    counts = by_value(Counter(text for text in frame.texts(target).tolist() if text is not None))
    shares = {name: count / counts.total() for name, count in counts.items()}
    return [f"  # {listed(ordered(set(shares)), shares)}"] if shares else []


def _transform(frame: Frame, targets: Sequence[str]) -> list[str]:
    """The line of `data.target_transform`, which says where a logarithm may be better."""
    heavy = []
    for name in targets:
        column = frame.columns[name]
        y = np.sort(column.values[np.isfinite(column.values)]) if column.values.dtype.kind == "f" else np.zeros(0)
        if len(y) and y[0] >= 0.0 and scale_of(y) == "quantile":
            heavy.append(f"{visible(name)} has a heavy tail, so {'log' if y[0] > 0.0 else 'log1p'} may be better")
    note = f"; {', '.join(heavy[:3])}" if heavy else ""
    return [f"  target_transform: none  # or log, log1p, sqrt, quantile{note}"]


def _columns(choices: dict[str, Choice], scaled: bool = False) -> list[str]:
    """The lines of `data.columns`; of very many columns only those that would not be inferred.

    Where all columns are `scaled` in one way, none has another.
    """
    if scaled:
        choices = {n: replace(c, entry="number" if c.amounts else c.entry) for n, c in choices.items()}
    head = "  columns:  # number, category, date, words, ignore or weight"
    if (
        sum(len(name) + len(choice.entry) + len(choice.about) + 40 for name, choice in choices.items())
        > MOST_BYTES // 2
    ):
        choices = {name: choice for name, choice in choices.items() if not choice.inferred}
        head += "; the others are inferred"
    entries = [(_entry(one_line(name), choice.entry), choice.about) for name, choice in choices.items()]
    width = max((len(entry) for entry, _ in entries if len(entry) <= WIDEST), default=0)
    return [head] * bool(entries) + [f"    {entry.ljust(width)}  # {about}" for entry, about in entries]


def _entry(key: str, kind: str) -> str:
    """A key and its value; YAML needs a question mark before keys longer than 1,024 characters."""
    return f"{key}: {kind}" if len(key) <= 1000 else f"? {key}\n    : {kind}"


def _known(
    frame: Frame, choices: dict[str, Choice], targets: Sequence[str], task: str, goal: Goal, trains: int
) -> Known:
    """What is known of the table before it is split."""
    inputs = sum(choice.width for choice in choices.values()) if frame.matrix is None else frame.matrix.shape[1]
    amounts = [name for name, choice in choices.items() if choice.amounts]
    outputs = len(goal.classes) or len(targets)
    return Known(
        *(task, trains, outputs, len(amounts), 0, (), inputs - len(amounts)),
        lambda bins, least: bent(frame, amounts, goal, bins, least),
    )


def _keys(lines: list[str], preset: Preset) -> tuple[Known, dict[str, Any]]:
    """What is known of the rows that train, by a configuration's lines, and the keys of a preset for them."""
    known = known_of(checked(parse_yaml("\n".join(lines), "config")))
    return known, preset.keys(known)


def _prepared(own: dict[str, Any], missing: bool) -> list[str]:
    """The lines of how all columns are prepared: as a preset's `own` keys say, or as `plain` has it."""
    said = {"scale": "standard", "missing": "mean", "indicator": missing, "encode": "auto", **own}
    words = {
        "scale": "of the other numbers; auto takes quantiles where tails are heavy; or robust, none",
        "missing": "or median, constant, refuse",
        "indicator": "an indicator column for missing numbers",
        "encode": "a column for each category where they are few, else a learned table; or one_hot, embedding",
    }
    words |= {"scale": "", "encode": ""} if own else {}
    lines = []
    for key, value in said.items():
        about = f"  # {words[key]}" if words.get(key) else ""
        lines += [f"  {line}" for line in (as_yaml({key: value}).rstrip("\n") + about).splitlines()]
    return lines


def _network(known: Known) -> list[str]:
    network = standard(known)["network"]
    hidden, drop, tabm = network["hidden"], network["dropout"], network.get("tabm")
    why = "against learning rows by heart" if drop else "such as 0.1 if validation gets worse early"
    others = ", ".join(name for name in ("relu", "gelu", "silu", "mish") if name != network["activation"])
    lines = [
        "network:",
        f"  hidden: [{', '.join(map(str, hidden))}]  # for {known.rows:,} rows that train and {known.inputs:,} inputs",
        f"  activation: {network['activation']}  # or {others}, tanh, ...",
        f"  dropout: {drop:g}  # {why}",
    ]
    if known.bent is not None:
        lines.append(_bins(known, known.bent, network["embed_numbers"]))
    if tabm is None:
        return lines
    why = f"{tabm['k']} members share the hidden layers and predict together, for as many times the arithmetic; or null"
    return [*lines, f"  tabm: {_map(tabm)}  # {why}"]


def _bins(known: Known, more: float, bins: dict[str, Any] | None) -> str:
    """The line of bins of numbers, which tell so much more than straight lines."""
    if bins is None:
        why = "rows are few" if known.rows < BINS_ROWS else "columns of numbers are many"
        if more < BENT:
            why = f"their bins tell only {max(0.0, more):.3f} more"
        return f"  embed_numbers: null  # or piecewise_linear, which bends the way of numbers; {why}"
    why = f"bins of a number tell {more:.3f} more than a straight line"
    why += f", finer ones beside numbers that many rows share {finer(known, bins['bins']):.3f} more" * ("least" in bins)
    return f"  embed_numbers: {_map(bins)}  # {why}"


def _map(keys: dict[str, Any]) -> str:
    """A map on one line of YAML."""
    return "{" + ", ".join(f"{key}: {one_line(value)}" for key, value in keys.items()) + "}"


def _trainer(known: Known, goal: Goal) -> list[str]:
    rows = known.rows
    batch = batch_of(rows)
    metrics, why = metrics_of(known)
    return [
        "trainer:",
        f"  epochs: {epochs(known)}  # of {-(-rows // batch):,} steps",
        f"  batch_size: {batch}",
        "  optimizer:",
        "    name: adamw",
        f"    lr: {rate_of(batch):g}  # try three times lower and higher first",
        f"    weight_decay: {decay_of(known.task):g}",
        "  # Four waves, each twice as long as the last: the rate is 0 after 1/15, 3/15, 7/15 and all of the epochs,",
        "  # when the network has settled. That of the best epoch is kept, so nothing has to stop early.",
        "  schedule: cos_log4",
        *_weights(goal),
        f"  metrics: [{', '.join(metrics)}]  # {why}",
    ]


def _weights(goal: Goal) -> list[str]:
    """How classes may be weighted, where one is rare."""
    if not goal.counts or min(goal.counts) * len(goal.counts) >= FEW * sum(goal.counts):
        return []
    least = int(np.argmin(goal.counts))
    share = f"{100.0 * goal.counts[least] / sum(goal.counts):.2g}% of the rows"
    rare = visible(goal.classes[least])
    return [
        f"  # {rare} has {share}. Where all classes matter alike, weigh them, though probabilities suffer:",
        "  # class_weight: balanced",
    ]


def _slug(path: str) -> str:
    stem = Path(path).name.split(".")[0]
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem).strip("-._")
    return kept[:64] or "run"


def _any_missing(frame: Frame, targets: Sequence[str]) -> bool:
    numbers = [c.values for n, c in frame.columns.items() if n not in targets and c.values.dtype.kind == "f"]
    return any(np.isnan(v).any() for v in numbers)
