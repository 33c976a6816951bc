"""Files of networks: safetensors with natural arrays by name, and the layers as JSON in the header."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from fastbp.errors import CheckpointError, DataError, FastbpError
from fastbp.model.by_rows import asking
from fastbp.model.network import Network
from fastbp.model.sealed import sealed, unsealed, write
from fastbp.spec.checks import path_of
from fastbp.spec.graph_data import from_data, to_data

FORMATS = "fastbp-network-2", "fastbp-network-1"  # the second has no checksums


def save(net: Network, path: Any) -> None:
    """Write a network to `path`."""
    write(path, to_bytes(net))


def to_bytes(net: Network) -> bytes:
    """The contents of a network's file; values must be finite."""
    arrays = net.arrays()
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError(name, "must be finite to be saved", "NaN or infinity")
    header = {
        "format": FORMATS[0],
        "network": json.dumps(to_data(net.graph)),
        "dtype": net.dtype.name,
        "seed": str(net.seed),
    }
    if net.parameters.waiting:
        header["waiting"] = json.dumps(sorted(net.parameters.waiting))
    if net.about:
        header["about"] = json.dumps(net.about)
    return sealed(arrays, header)


def load(path: Any, callers: int = 0) -> Network:
    """Read a network that `Network.save` wrote.

    Parameters
    ----------
    path : str or Path
    callers : int
        Functions between the user's call and this one; warnings name the user's line.

    Raises
    ------
    CheckpointError
        If the file is not a network of fastbp, or is damaged.
    """
    file = path_of("path", path)
    if file.is_dir():
        raise IsADirectoryError(f"`{file}` must be a file that `Network.save` wrote, got a folder")
    if not file.is_file():
        raise FileNotFoundError(f"`{file}` must be a file that `Network.save` wrote, but does not exist")
    header, found = unsealed(file, "a network of fastbp", FORMATS, callers)
    try:
        graph = from_data(json.loads(header["network"]))
        net = Network._from_graph(graph, int(header["seed"]), header["dtype"])
        net.about = json.loads(header.get("about", "{}"))
        waiting = _waiting(net, json.loads(header.get("waiting", "[]")))
    except (KeyError, TypeError, ValueError, RecursionError, MemoryError, FastbpError) as error:
        raise CheckpointError(f"`{file}` has a network unknown to this version ({error})") from None
    wanted = {*net.parameters, *net.states}
    if set(found) != wanted:
        raise CheckpointError(file, f"must hold {sorted(wanted)}", f"{sorted(found)}")
    for name, array in found.items():
        if array.dtype != net.dtype:
            raise CheckpointError(f"`{file}` holds a damaged `{name}`: must be `{net.dtype}`, got `{array.dtype}`")
        try:
            (net.parameters if name in net.parameters else net.states)[name] = array
        except FastbpError:
            raise CheckpointError(f"`{file}` holds a damaged `{name}`: shape `{array.shape}`, or not finite") from None
    net.parameters.waiting = waiting
    return net


def _waiting(net: Network, names: Any) -> set[str]:
    """The parameters that rows of data are to complete, as a file says."""
    known = {name for node in net.graph.nodes for name in asking(node)}
    if not isinstance(names, list) or not known.issuperset(names):
        raise ValueError("`waiting` must name parameters by rows")
    return set(names)
