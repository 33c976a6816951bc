"""Files of ensembles: safetensors with the arrays of every member, and all else as JSON in the header.

    3/parameters/0.weight    of member 3; likewise states

Layers, and what members know of raw tables, stand in the header once for all that share them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from fastbp.errors import CheckpointError, DataError, FastbpError, brief
from fastbp.model.draw import count_of
from fastbp.model.network import Network
from fastbp.model.sealed import sealed, unsealed, write
from fastbp.pictures.page import clean
from fastbp.spec.checks import positive
from fastbp.spec.graph_data import from_data, to_data
from fastbp.spec.losses import Loss
from fastbp.train.ensemble_models import Found, check_alike, check_weights
from fastbp.train.pack_files import made, plain

if TYPE_CHECKING:
    from fastbp.train.ensemble import Ensemble

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Written(msgspec.Struct, forbid_unknown_fields=True):
    """A member: numbers of its layers and of what it knows in `shared`, its seed, whose 64 bits are checked there."""

    layers: Count
    about: Count
    seed: int
    weight: float


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    """What was chosen."""

    chosen: list[int | tuple[int, int]]  # without limits, with which a union breaks in msgspec 0.22
    scores: list[float]
    metric: str | None


FORMAT = "fastbp-ensemble-1"
WHAT = "an ensemble of fastbp"


def save(ensemble: Ensemble, path: Any) -> None:
    """Write an ensemble to `path`."""
    write(path, to_bytes(ensemble))


def to_bytes(ensemble: Ensemble) -> bytes:
    """The contents of an ensemble's file; values must be finite."""
    arrays: dict[str, Any] = {}
    shared: dict[str, int] = {}  # JSON of layers and of what is known of tables, and its number
    members = []
    for i, (net, weight) in enumerate(zip(ensemble.members, ensemble.weights.tolist(), strict=True)):
        with net.lock:
            own = {f"parameters/{name}": array for name, array in net.parameters.items()}
            own |= {f"states/{name}": array for name, array in net.states.items()}
        for name, array in own.items():
            if not np.isfinite(array).all():
                raise DataError(f"members[{i}]", f"must have finite `{name}` to be saved", "NaN or infinity")
            arrays[f"{i}/{name}"] = array
        layers, about = (shared.setdefault(json.dumps(what), len(shared)) for what in (to_data(net.graph), net.about))
        members.append({"layers": layers, "about": about, "seed": net.seed, "weight": weight})
    chosen = [list(one) if isinstance(one, tuple) else one for one in ensemble.chosen]
    words = {
        "loss": plain("loss", ensemble.loss),
        "members": members,
        "shared": [json.loads(text) for text in shared],
        "selection": {"chosen": chosen, "scores": list(ensemble.scores), "metric": ensemble.metric},
    }
    header = {"format": FORMAT, "dtype": ensemble.dtype.name}
    if ensemble.temperature != 1.0:
        words["temperature"] = ensemble.temperature
    return sealed(arrays, header | {name: json.dumps(value) for name, value in words.items()})


def load(path: Path, finished: Callable[[Network], Network] = lambda net: net, callers: int = 0) -> Ensemble:
    """Read an ensemble that `Ensemble.save` wrote; `finished` may have its networks know more."""
    from fastbp.train.ensemble import Ensemble

    words, arrays = unsealed(path, WHAT, (FORMAT, ""), callers)
    try:
        shared = json.loads(words["shared"])
        members = msgspec.convert(json.loads(words["members"]), list[Written])
        selection = msgspec.convert(json.loads(words["selection"]), Selection)
        owned: list[dict[str, Any]] = [{} for _ in members]
        for name, array in arrays.items():
            member, _, own = name.partition("/")
            owned[int(member)][own] = array
        graphs = {i: from_data(shared[i]) for i in {one.layers for one in members}}
        nets = []
        for one, mine in zip(members, owned, strict=True):
            net = Network._from_graph(graphs[one.layers], one.seed, words["dtype"])
            net.about = shared[one.about]
            if not isinstance(net.about, dict):
                raise CheckpointError("about", "must be an object", f"`{brief(net.about)}`")
            _fill(net, mine)
            nets.append(finished(net))
        check_alike([Found(f"members[{i}]", i, net, 1.0, None) for i, net in enumerate(nets)])
        loss = made("loss", json.loads(words["loss"]))
        if not isinstance(loss, Loss):
            raise CheckpointError("loss", "must be a loss", f"`{loss}`")
        weights = check_weights([one.weight for one in members], len(nets))
        chosen = selection.chosen, selection.scores, selection.metric
        return Ensemble.of(
            nets, weights, loss, *chosen, positive("temperature", json.loads(words.get("temperature", "1.0")))
        )
    except (
        msgspec.ValidationError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        RecursionError,
        MemoryError,
        FastbpError,
    ) as error:
        raise CheckpointError(f"`{path}` has an ensemble unknown to this version ({error})") from None


def _fill(net: Network, arrays: dict[str, Any]) -> None:
    """Write the arrays of a member's file into it."""
    wanted = {*(f"parameters/{name}" for name in net.parameters), *(f"states/{name}" for name in net.states)}
    if set(arrays) != wanted:
        raise CheckpointError("members", f"must hold {sorted(wanted)}", f"{sorted(arrays)}")
    for name, array in arrays.items():
        kind, _, own = name.partition("/")
        block = net.parameters if kind == "parameters" else net.states
        if array.dtype != net.dtype or array.shape != (shape := block[own].shape):
            must = f"must have dtype `{net.dtype}` and shape `{shape}`"
            raise CheckpointError(name, must, f"`{array.dtype}` and `{array.shape}`")
        block[own] = array


def html(ensemble: Ensemble) -> str:
    """The HTML of an ensemble: a line for each member."""
    rows = ["<tr>" + "".join(f"<th>{name}</th>" for name in ("member", "weight", "network", "parameters")) + "</tr>"]
    for i, (net, weight) in enumerate(zip(ensemble.members, ensemble.weights.tolist(), strict=True)):
        total = sum(map(count_of, net.graph.nodes))
        cells = (str(i), f"{weight:g}", repr(net), f"{total:,}")
        rows.append("<tr>" + "".join(f"<td>{clean(cell)}</td>" for cell in cells) + "</tr>")
    return f"<div><b>{clean(repr(ensemble))}</b>\n<table>{''.join(rows)}</table></div>"
