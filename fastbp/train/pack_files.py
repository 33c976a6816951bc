"""Files of packs: safetensors with the arrays of every member, and its layers and settings as JSON in the header.

    3/parameters/0.weight    of member 3; likewise states, moment 1 and so on, average, and the order of a begun epoch
    3/rows                   those that it is trained on, where they are not all

Layers and settings that members share stand in the header once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.errors import CheckpointError, ConfigError, DataError, FastbpError
from fastbp.lowering.batch_plan import PLACE
from fastbp.model.network import Network
from fastbp.model.sealed import sealed, unsealed, write
from fastbp.spec.catalogue import LOSSES
from fastbp.spec.custom import CustomLoss
from fastbp.spec.graph import Graph
from fastbp.spec.graph_data import from_data, to_data
from fastbp.spec.joint_loss import JointLoss
from fastbp.train.catalogue import OPTIMIZERS
from fastbp.train.members import Member
from fastbp.train.pack import Pack
from fastbp.train.pack_settings import row_lists
from fastbp.train.pickled import parts, rebuilt
from fastbp.train.schedules import SCHEDULES
from fastbp.train.trainer import Trainer
from fastbp.train.treatment import Before

FORMAT = "fastbp-pack-1"
WHAT = "a pack of fastbp"
KINDS: dict[str, Any] = {
    "loss": {**LOSSES, CustomLoss.kind: CustomLoss, JointLoss.kind: JointLoss},
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
Parts = tuple[Network, dict[str, Any], dict[str, Any], dict[str, Any], int, Any]


def parts_of(pack: Pack) -> list[Parts]:
    """Of each member the network, settings, arrays, numbers, size of batches and rows."""
    with pack._lock:
        return [(*parts(member.trainer)[1][1:6], member.rows) for member in pack._members]


def pack_of(found: list[Parts], threads: int | None = None) -> Pack:
    """The pack of these parts."""
    members = []
    for net, settings, arrays, numbers, batch, rows in found:
        members.append(Member(rebuilt(Trainer, net, settings, arrays, numbers, batch, rows), rows))
    return Pack._of(members, threads)


def save(pack: Pack, path: Any) -> None:
    """Write a pack to `path`."""
    write(path, to_bytes(pack))


def to_bytes(pack: Pack) -> bytes:
    """The contents of a pack's file; values must be finite."""
    arrays: dict[str, Any] = {}
    shared: dict[str, int] = {}  # JSON of layers and settings, and its number
    members = []
    for i, (net, settings, own, numbers, batch, rows) in enumerate(parts_of(pack)):
        for name, array in own.items():
            if not np.isfinite(array).all():
                raise DataError(f"members[{i}]", f"must have finite `{name}` to be saved", "NaN or infinity")
            arrays[f"{i}/{name}"] = array
        if rows is not None:
            arrays[f"{i}/rows"] = rows
        one = {name: plain(name, value) for name, value in settings.items() if name not in ("threads", "seed")}
        layers, setting = (shared.setdefault(json.dumps(what), len(shared)) for what in (to_data(net.graph), one))
        numbers = numbers | {"layers": layers, "settings": setting, "batch": batch}
        members.append(numbers | {"seed": settings["seed"], "net seed": net.seed, "about": net.about})
    header = {"format": FORMAT, "dtype": pack.members[0].dtype.name, "members": json.dumps(members)}
    return sealed(arrays, header | {"shared": json.dumps([json.loads(text) for text in shared])})


def plain(name: str, value: Any) -> Any:
    """A setting as JSON data."""
    if name == "schedules":
        return {key: plain("schedule", one) for key, one in value.items()}
    if name not in KINDS or value is None or isinstance(value, str):
        return value
    if KINDS[name].get(value.kind) is not type(value):
        raise ConfigError(name, "must be one of fastbp to be saved", f"`{type(value).__name__}`")
    return {"kind": value.kind, **{key: _data(one) for key, one in _settings(value).items()}}


def _settings(value: Any) -> dict[str, Any]:
    """What a loss, schedule or optimiser is made of."""
    return value.settings() if hasattr(value, "settings") else dict(vars(value))


def _data(value: Any) -> Any:
    """An argument of such as JSON data; those of a joint loss are losses."""
    if isinstance(value, list | tuple):
        return [_data(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return plain("loss", value) if hasattr(value, "kind") else value


def made(name: str, data: Any) -> Any:
    """A setting from JSON data."""
    if name == "schedules":
        return Before({key: made("schedule", one) for key, one in data.items()})
    if not isinstance(data, dict) or "kind" not in data:
        return data
    return KINDS[name][data["kind"]](**{key: _value(one) for key, one in data.items() if key != "kind"})


def _value(data: Any) -> Any:
    if isinstance(data, list):
        return tuple(_value(one) for one in data)
    return made("loss", data)


def load(path: Path, callers: int = 0) -> Pack:
    """Read a pack that `Pack.save` wrote."""
    words, arrays = unsealed(path, WHAT, (FORMAT, ""), callers)
    try:
        shared, members = json.loads(words["shared"]), json.loads(words["members"])
        owned: list[dict[str, Any]] = [{} for _ in members]
        for name, array in arrays.items():
            member, _, own = name.partition("/")
            owned[int(member)][own] = array
        graphs = {i: from_data(shared[i]) for i in {one["layers"] for one in members}}
        return pack_of([_parts(words["dtype"], graphs, shared, *one) for one in zip(members, owned, strict=True)])
    except (KeyError, TypeError, ValueError, IndexError, RecursionError, MemoryError, FastbpError) as error:
        raise CheckpointError(f"`{path}` has a pack unknown to this version ({error})") from None


def _parts(
    dtype: str, graphs: dict[int, Graph], shared: list[Any], member: dict[str, Any], arrays: dict[str, Any]
) -> Parts:
    net = Network._from_graph(graphs[member["layers"]], member["net seed"], dtype)
    net.about = member["about"]
    settings = {name: made(name, value) for name, value in shared[member["settings"]].items()}
    rows, place = arrays.pop("rows", None), member["place"]
    if rows is not None:
        (rows,) = row_lists([rows], 1)
    if place is not None:
        place = {name: place[name] for name in PLACE}
    rates = {name: member[name] for name in settings["optimizer"].rates}
    numbers = {"steps_done": member["steps_done"], **rates, "place": place, "waiting": member.get("waiting", [])}
    return net, {**settings, "seed": member["seed"], "threads": 1}, arrays, numbers, member["batch"], rows
