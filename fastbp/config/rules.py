"""Rules between keys: those that need no data, and those that depend on the task."""

from __future__ import annotations

import math
import re
from typing import Any

from fastbp.config.check import fail, one_of, show, unknown
from fastbp.config.idle import idle
from fastbp.config.places import Path_
from fastbp.config.schema import Config, Data, Network, Split, Trainer
from fastbp.config.text import Text
from fastbp.data.sizes import limit_of
from fastbp.errors import ConfigError, visible

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SOURCES = {"friedman": "numbers", **dict.fromkeys(("digits", "spirals", "moons", "blobs"), "classes")}
_STEPS = (
    *("schedule", "schedules", "clip_norm", "clip_value", "accumulate", "ema", "lr_factors", "decay_factors", "frozen"),
    *("penalty", "drop_last", "shards"),
)


def together(text: Text, config: Config) -> None:
    """Refuse keys that exclude each other."""
    network = config.network
    if network.layers is not None:
        said = text.data.get("network", {})
        keys = tuple(key for key in network.__struct_fields__ if key != "layers")
        given = [key for key in keys if said.get(key) not in (None, 0)]
        if given:
            raise fail(text, ("network", given[0]), "must not be given together with `network.layers`")
        if not network.layers:
            raise fail(text, ("network", "layers"), "must have at least one layer", "an empty list")
    if network.tabm is not None:
        _members(text, network)
    if network.hidden == []:
        for key, plain in (("activation", ("relu", {"name": "relu"})), ("norm", (None,)), ("dropout", (0.0,))):
            if getattr(network, key) not in plain:
                raise fail(text, ("network", key), "must not be given without hidden layers", "`network.hidden` `[]`")
    _data(text, config.data)
    try:
        limit_of(config.data)
    except ConfigError as error:
        raise fail(text, ("data", "max_memory"), error.must, error.got) from None
    _split(text, config.data.split)
    _columns(text, config.data)
    if config.pack is not None and config.pack.folds is not None:
        _folds(text, config.data)
        if config.pack.online is not None:
            raise fail(text, ("pack", "online"), "must not be given together with `pack.folds`")
    if config.pack is not None and config.pack.undrawn > config.pack.members:
        must = f"must be at most {config.pack.members}, the members"
        raise fail(text, ("pack", "undrawn"), must, f"`{config.pack.undrawn}`")
    _shards(text, config.trainer)
    for key in ("lr_factors", "decay_factors"):
        for name, factor in (getattr(config.trainer, key) or {}).items():
            if factor < 0.0:
                raise fail(text, ("trainer", key, name), "must be at least 0", f"`{factor}`")


def in_vain(text: Text) -> None:
    """Refuse keys that would change nothing."""
    for path, must in idle(text.data):
        value: Any = text.data
        for key in path:
            value = value[key]
        raise fail(text, path, must, show(value))


def _members(text: Text, network: Network) -> None:
    """Refuse what members of one network do not have."""
    from fastbp.spec.initial import OF_ROWS

    if network.norm == "batch_norm":
        must = "must not be given with `network.tabm`, as it keeps statistics of its rows"
        raise fail(text, ("network", "norm"), must, "`batch_norm`")
    if network.ntk:
        raise fail(text, ("network", "ntk"), "must not be given with `network.tabm`", "true")
    for key in ("init", "bias_init", "last_init"):
        said = getattr(network, key)
        name = said.get("name") if isinstance(said, dict) else said
        if name in OF_ROWS.values():
            must = "must not go by rows with `network.tabm`, as each member has others"
            raise fail(text, ("network", key), must, f"`{name}`")


def _shards(text: Text, trainer: Trainer) -> None:
    """Refuse what a batch cannot be cut into."""
    shards, path = trainer.shards, ("trainer", "shards")
    if shards & (shards - 1):
        raise fail(text, path, "must be a power of two", f"`{shards}`")
    if shards > trainer.batch_size:
        raise fail(text, path, f"must be at most {trainer.batch_size}, the rows of a batch", f"`{shards}`")


def for_ranks(text: Text, config: Config, ranks: int) -> None:
    """Refuse what several ranks cannot train together."""
    if config.pack is not None:
        hint = "each of its networks is trained by one process: start it without `mpirun`"
        raise fail(text, ("pack",), f"must be left out for {ranks} ranks", hint=hint)
    said = config.trainer.optimizer
    if (said.get("name") if isinstance(said, dict) else said) == "lbfgs":
        raise fail(text, ("trainer", "optimizer"), f"must have steps for {ranks} ranks", "`lbfgs`")
    if config.trainer.shards < ranks:
        must = f"must be at least {ranks}, the number of ranks"
        raise fail(text, ("trainer", "shards"), must, f"`{config.trainer.shards}`")


def _folds(text: Text, data: Data) -> None:
    """Refuse what says otherwise which rows are validated on than the folds of a pack."""
    for key in ("folds", "column"):
        if getattr(data.split, key) is not None:
            raise fail(text, ("data", "split", key), "must not be given together with `pack.folds`")
    if data.validation is not None:
        raise fail(text, ("data", "validation"), "must not be given together with `pack.folds`")


def without_steps(text: Text, trainer: Trainer) -> None:
    """Refuse settings of steps with an optimiser that has none."""
    plain = Trainer()
    for key in (*_STEPS, "reduce_lr"):
        if getattr(trainer, key) != getattr(plain, key):
            raise fail(text, ("trainer", key), "must not be given with `lbfgs`, which has no steps")


def _data(text: Text, data: Data) -> None:
    """Rows come from one place."""
    source = data.source or "files"
    for key in ("path", "train", "validation", "test"):
        paths = getattr(data, key)
        if paths == "-" or (isinstance(paths, list) and "-" in paths):
            hint = "a run reads its table again, so stdin is for `predict` and `evaluate`"
            raise fail(text, ("data", key), "must name files", "`-`", hint)
    if source == "files":
        given = [key for key in ("path", "train") if getattr(data, key) is not None]
        if not given:
            found = "" if data.source else "`source`, "
            raise fail(text, ("data",), f"must have {found}`path` or `train`")
        if len(given) == 2:
            raise fail(text, ("data", "train"), "must not be given together with `data.path`")
        if data.path is not None and (data.validation is not None or data.test is not None):
            key = "validation" if data.validation is not None else "test"
            raise fail(text, ("data", key), "must be given together with `data.train`, not `data.path`")
    else:
        for key in ("path", "train", "validation", "test", "target", "columns"):
            if getattr(data, key):
                raise fail(text, ("data", key), f"must not be given with `data.source` `{source}`")
        task = _SOURCES[source]
        if data.task not in (None, task):
            raise fail(text, ("data", "task"), f"must be `{task}` with `data.source` `{source}`", f"`{data.task}`")
        plain = Data()
        for key in ("delimiter", "header"):
            if getattr(data, key) != getattr(plain, key):
                raise fail(text, ("data", key), f"must be given with files, not with `data.source` `{source}`")
    if source == "digits":
        for key in ("rows", "noise", "classes", "seed"):
            if getattr(data, key) != getattr(plain, key):
                message = f"must be given with a synthetic `data.source` only, not with `{source}`"
                raise fail(text, ("data", key), message)


def _split(text: Text, split: Split) -> None:
    here = ("data", "split")
    if split.validation + split.test >= 1.0:
        total = f"{split.validation + split.test:g}"
        raise fail(text, here, "must leave rows to train on", f"`{total}` for validation and test together")
    if split.folds is None and split.fold:
        raise fail(text, (*here, "fold"), "must be given together with `data.split.folds`", f"`{split.fold}` alone")
    if split.folds is not None and split.fold >= split.folds:
        raise fail(text, (*here, "fold"), f"must be below `data.split.folds`, {split.folds}", f"`{split.fold}`")
    for key, other in (("group", "column"), ("folds", "column"), ("stratify", "column"), ("stratify", "group")):
        if getattr(split, key) and getattr(split, other) is not None:
            raise fail(text, (*here, key), f"must not be given together with `data.split.{other}`")


def _columns(text: Text, data: Data) -> None:
    from fastbp.data.plan import KEYS, column_settings

    for name, value in data.columns.items():
        path: Path_ = ("data", "columns", name)
        for key in value if isinstance(value, dict) else ():
            if key not in KEYS:
                raise unknown(text, path, key, KEYS)
        try:
            settings = column_settings(name, value)
        except ConfigError as error:
            got = error.got if isinstance(value, str | dict) else show(value)
            inside = [k for k in value if (error.where or "").endswith(f".{k}")] if isinstance(value, dict) else []
            raise error.at(got=got, place=text.place((*path, *inside[:1]))) from None
        targets = [data.target] if isinstance(data.target, str) else data.target
        if settings.get("type") == "target" and targets is not None and name not in targets:
            raise fail(text, path, "must not be a target that `data.target` does not name")


def of_target(text: Text, data: Data, loss: Any) -> None:
    """Refuse settings that do not fit the targets, where the task is known without the data."""
    task = data.task or _SOURCES.get(data.source or "")
    if task is None:
        return
    if data.split.stratify and task != "classes":
        raise fail(text, ("data", "split", "stratify"), f"must be `false` where targets are {task}", "`true`")
    if data.clamp_target and task != "numbers":
        raise fail(text, ("data", "clamp_target"), f"must be `false` where targets are {task}", "`true`")
    if loss is None:
        return
    if task not in loss.tasks:
        from fastbp.data.prepare import LOSS_OF

        path: Path_ = ("trainer", "loss")
        said = loss.named
        raise fail(text, path, f"must be one for {task}, such as `{LOSS_OF[task]}`", f"`{said}`")


def seconds(text: Text, trainer: Trainer) -> float | None:
    """`trainer.time_limit` in seconds."""
    value = trainer.time_limit
    if value is None:
        return None
    path = ("trainer", "time_limit")
    if isinstance(value, int | float):
        found = float(value)
    else:
        matched = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]+)?)\s*([smhd])\s*", value)
        if not matched:
            raise fail(text, path, "must be seconds, or a number with s, m, h or d such as `10m`", show(value))
        found = float(matched[1]) * _UNITS[matched[2]]
    if not 0.0 < found < math.inf:
        raise fail(text, path, "must be above 0", show(value))
    return found


def of_parameters(text: Text, trainer: Trainer, graph: Any) -> None:
    """Refuse factors and freezing of unknown layers or parameters."""
    names = list(graph.parameters())
    for key in ("lr_factors", "decay_factors", "frozen", "penalty"):
        named = getattr(trainer, key)
        for i, name in enumerate(named if named and not isinstance(named, str) else ()):
            if not graph.named(name):
                place = text.place(("trainer", key, i if key == "frozen" else name))
                must = f"must name layers or parameters, {', '.join(f'`{known}`' for known in names)}"
                raise ConfigError(f"trainer.{key}", must, f"`{visible(name)}`", place=place)
    if names and {known for name in trainer.frozen for known in graph.named(name)} == set(names):
        raise fail(text, ("trainer", "frozen"), "must leave a parameter to train")


def of_task(
    text: Text, layers: list[Any] | None, loss: Any, metrics: list[str], task: str, monitor: str | None
) -> None:
    """Refuse metrics, a monitor and a last layer that do not fit the loss."""
    from fastbp.spec.members import Members, check_average
    from fastbp.train.metrics import fitting, metric_named

    for i, name in enumerate(metrics):
        try:
            metric_named(name, loss, task == "labels")
        except ConfigError:
            path: Path_ = ("trainer", "metrics", i)
            names = ", ".join(f"`{fit}`" for fit in fitting(loss, task == "labels"))
            must = f"must be one of {names} with loss `{loss.named}` and {task}"
            raise fail(text, path, must, f"`{name}`") from None
    known = ["val_loss", "loss", *(f"val_{name}" for name in metrics)]
    if monitor is not None and monitor not in known:
        raise one_of(text, ("trainer", "monitor"), monitor, known)
    if layers is not None and loss.contains and layers[-1].kind == loss.contains:
        message = f"must not be `{loss.contains}` with `{loss.kind}`, which applies the {loss.contains} itself"
        raise fail(text, ("network", "layers", len(layers) - 1), message)
    for i, layer in enumerate(layers or ()):
        if isinstance(layer, Members):
            outputs = getattr((layers or [])[-1], "features", 2)
            try:
                check_average(layer, loss.kind, outputs, f"network.layers[{i}].average")
            except ConfigError as error:
                raise error.at(place=text.place(("network", "layers", i))) from None
