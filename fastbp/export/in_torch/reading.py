"""`fb.load_torch`: numbers that a network of PyTorch has, in a network of ours.

Tensors are taken by their names where these are those of `fb.export.torch`, whatever stands in front of all of them.
Otherwise a layer is taken by its place, which only numbers in names say: `fc1`, `fc2`.
Layers with names in words are taken by their shapes where these leave no choice. No order is guessed: that of a dict or
a file may be that of the alphabet.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.errors import (
    CheckpointError,
    ConfigError,
    ConfigTypeError,
    DataError,
    DataTypeError,
    ShapeError,
    brief,
    visible,
)
from fastbp.export.in_torch.layers import layers_of
from fastbp.export.in_torch.modules import Tensor
from fastbp.export.in_torch.tensors import Tensors, read
from fastbp.export.torch_file import modules_of
from fastbp.model.network import Network
from fastbp.spec.arrays import real_dtype
from fastbp.spec.checks import path_of
from fastbp.spec.graph import Graph

DENSE = "torch.strided"
COUNTER = "num_batches_tracked"  # which nothing here depends on
REAL = ("F64", "F32", "F16", "BF16")
Layers = dict[str, dict[str, Any]]  # name of a module -> its tensors by their names in it


def load_torch(source: Any, like: Any = None, inputs: Any = None, dtype: Any = None) -> Network:
    """A network with the parameters and running statistics of one of PyTorch.

    Parameters
    ----------
    source : str or Path, dict, or module of PyTorch
        A file in the format safetensors; a state dict, of tensors or of arrays; or the module itself. Pickled files,
        such as .pt and .pth, are not read, as they could run any program.
    like : Network or list of layers, optional
        The network that it is: of PyTorch's numbers only shapes are known, not activations. Not needed of a
        `nn.Sequential` of layers that are here too.
    inputs : int, optional
        Features of a row, with a list of layers.
    dtype : {"float32", "float64"}, optional
        By default that of a network that is given, else float64 if all tensors are.

    Returns
    -------
    Network
        A new one, which has the settings and the seed of `like`.

    Raises
    ------
    CheckpointError
        If the file is damaged, or its tensors are not those of such a network.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> state = {"fc.weight": np.ones((3, 2)), "fc.bias": np.zeros(3), "out.weight": np.ones((1, 3)), "out.bias": [0.5]}
    >>> net = fb.load_torch(state, like=[fb.Linear(3), fb.ReLU(), fb.Linear(1)], inputs=2)
    >>> net.predict([[1.0, 2.0]])
    array([[9.5]])
    """
    where, found = _found(source)
    if like is None and hasattr(source, "state_dict"):
        like, inputs = layers_of(source)
    net = _like(like, inputs, dtype, found)
    graph = net.graph
    wanted, targets = _wanted(graph, {**net.parameters, **net.states})
    given = _layers({name: array for name, array in found.items() if name.rpartition(".")[2] != COUNTER})
    for ours, theirs in _paired(where, wanted, given).items():
        for part, array in given[theirs].items():
            name, tensor = targets[ours, part]
            called = f"{theirs}.{part}" if theirs else part
            if found.kinds[called] not in REAL:
                must = f"must be of {', '.join(f'`{kind}`' for kind in REAL)}"
                raise DataTypeError(visible(called), must, f"`{found.kinds[called]}`", place=where)
            into = net.parameters if name in net.parameters else net.states
            try:
                into[name] = tensor.back(array)
            except DataError as error:
                raise error.at(where=visible(called), place=where) from None
    return net


def _found(source: Any) -> tuple[str, Tensors]:
    """What to call the source in messages, and its tensors as arrays."""
    if isinstance(source, str | bytes) or hasattr(source, "__fspath__"):
        file: Path = path_of("source", source)
        found = read(file)
        if found.words.get("format", "").startswith("fastbp-"):
            must = "is a file of fastbp, whose matrices are (in, out)"
            raise CheckpointError(file, must, hint="`fb.load` reads it")
        return str(file), found
    if callable(getattr(source, "state_dict", None)):
        source = source.state_dict()
    if not isinstance(source, Mapping):
        must = "must be a path, a state dict or a module of PyTorch"
        raise ConfigTypeError("source", must, f"`{brief(source)}`")
    found = Tensors()
    found.words, found.kinds = {}, {}
    for name, value in source.items():
        if not isinstance(name, str):
            raise ConfigTypeError("source", "must have names of tensors", f"`{brief(name)}`")
        found[name] = array = _array(name, value)
        found.kinds[name] = f"F{8 * array.itemsize}" if array.dtype.kind == "f" else str(array.dtype)
    return "source", found


def _array(name: str, value: Any) -> Any:
    """A tensor of PyTorch, or what NumPy takes, as an array."""
    if hasattr(value, "detach"):
        value = value.detach()
        if getattr(value, "is_meta", False) or str(getattr(value, "layout", DENSE)) != DENSE:
            raise ConfigTypeError(f"source[{name!r}]", "must be a dense tensor with numbers", f"`{brief(value)}`")
        value = value.cpu()
        if str(value.dtype) == "torch.bfloat16":  # which NumPy does not have
            value = value.float()
        value = value.numpy()
    if isinstance(value, Mapping):
        raise ConfigTypeError(f"source[{name!r}]", "must be an array", "a dict", "that may be the state dict itself")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise ConfigTypeError(f"source[{name!r}]", "must be an array", f"`{brief(value)}`") from None
    if array.dtype.kind not in "fiub":
        raise ConfigTypeError(f"source[{name!r}]", "must be an array of real numbers", f"dtype `{array.dtype}`")
    return array


def _like(like: Any, inputs: Any, dtype: Any, found: Tensors) -> Network:
    """The network to fill, a new one."""
    if isinstance(like, Network):
        if inputs is not None:
            raise ConfigError("inputs", "must be given with a list of layers only, as a network has its own")
        if dtype is None or real_dtype(dtype) == like.dtype:
            return copy.deepcopy(like)
        return Network.of_graph(like.graph, like.seed, dtype)
    if like is None:
        shapes = [array.shape for name, array in found.items() if array.ndim == 2]
        shown = ", fb.ReLU(), ".join(f"fb.Linear({shape[0]})" for shape in shapes[:8])
        hint = f"such as `like=[{shown}], inputs={shapes[0][1]}`" if shapes else None
        must = "must be a network or a list of layers, as tensors do not say which activations are between them"
        raise ConfigError("like", must, "`None`", hint)
    if not isinstance(like, Sequence) or isinstance(like, str):
        raise ConfigTypeError("like", "must be a network or a list of layers", f"`{brief(like)}`")
    if inputs is None:
        raise ConfigError("inputs", "must be given with a list of layers, the features of a row")
    real = {kind for kind in found.kinds.values() if kind in REAL}
    return Network(like, inputs, dtype=dtype or ("float64" if real == {"F64"} else "float32"))


def _wanted(graph: Graph, arrays: dict[str, Any]) -> tuple[Layers, dict[tuple[str, str], tuple[str, Tensor]]]:
    """Shapes of the tensors that are wanted, by module, and of each the name of our array."""
    layers: Layers = {}
    targets: dict[tuple[str, str], tuple[str, Tensor]] = {}
    for place, (node, module) in modules_of(graph).items():
        for part, tensor in module.tensors.items():
            name = node.parameter(part)
            owner, _, last = f"{place}.{tensor.name}".rpartition(".")
            layers.setdefault(owner, {})[last] = tensor.shape(arrays[name].shape)
            targets[owner, last] = name, tensor
    return layers, targets


def _layers(tensors: dict[str, Any]) -> Layers:
    """Tensors by the modules that they are of."""
    layers: Layers = {}
    for name, array in tensors.items():
        owner, _, last = name.rpartition(".")
        layers.setdefault(owner, {})[last] = array
    return layers


def _paired(where: str, wanted: Layers, given: Layers) -> dict[str, str]:
    """Which module of theirs is which of ours."""
    named = _by_name(wanted, given)
    if named is not None:
        pairs = named
    elif len(wanted) != len(given):
        ours, theirs = (
            f"{len(some)} ({', '.join(f'`{visible(n)}`' for n in [*some][:8])})" for some in (wanted, given)
        )
        raise CheckpointError(where, f"must have {ours} layers with tensors, as `like` has", theirs)
    elif len({re.sub(r"\d+", "#", name) for name in given}) == 1 or len(given) == 1:
        pairs = dict(zip(wanted, sorted(given, key=_numbers), strict=True))
    else:
        return _by_shape(where, wanted, given)
    for ours, theirs in pairs.items():
        _check(where, theirs, wanted[ours], given[theirs])
    return pairs


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _by_name(wanted: Layers, given: Layers) -> dict[str, str] | None:
    """Ours to theirs, where theirs are ours behind one prefix."""
    first = next(iter(wanted), None)
    for name in given:
        if first is None or not name.endswith(first):
            continue
        prefix = name.removesuffix(first)
        if (prefix == "" or prefix.endswith(".")) and {prefix + ours for ours in wanted} == set(given):
            return {ours: prefix + ours for ours in wanted}
    return None


def _by_shape(where: str, wanted: Layers, given: Layers) -> dict[str, str]:
    """Ours to theirs, where their shapes leave no choice."""

    def kinds(layers: Layers) -> dict[Any, list[str]]:
        found: dict[Any, list[str]] = {}
        for name, parts in layers.items():
            shapes = {part: getattr(value, "shape", value) for part, value in parts.items()}
            found.setdefault(tuple(sorted(shapes.items())), []).append(name)
        return found

    pairs: dict[str, str] = {}
    theirs = kinds(given)
    for kind, ours in kinds(wanted).items():
        some = theirs.get(kind, [])
        shapes = ", ".join(f"`{part}` of shape `{shape}`" for part, shape in kind)
        if len(some) != len(ours):
            must = f"must have {len(ours)} of the layers with {shapes}, as `like` has"
            raise CheckpointError(where, must, f"{len(some)}" + (f" (of {_listed(given)})" if not some else ""))
        if len(some) > 1 and len({re.sub(r"\d+", "#", name) for name in some}) > 1:
            must = f"must say by numbers in their names which of {_listed(some)} comes first"
            raise CheckpointError(where, must, hint=f"rename them in a dict as `like` has them: {_listed(ours)}")
        pairs |= zip(ours, sorted(some, key=_numbers), strict=True)
    return pairs


def _listed(names: Any) -> str:
    return ", ".join(f"`{visible(name)}`" for name in [*names][:8]) + (", ..." if len(names) > 8 else "")


def _check(where: str, name: str, wanted: dict[str, Any], given: dict[str, Any]) -> None:
    """The tensors of one module."""
    before = f"{name}." if name else ""
    for part in wanted:
        if part not in given:
            raise CheckpointError(where, f"must have `{visible(before + part)}`, as `like` has", _listed(given))
    for part, array in given.items():
        if part not in wanted:
            raise CheckpointError(where, "must have no tensors that `like` has not", f"`{visible(before + part)}`")
        if array.shape != tuple(wanted[part]):
            must = f"must have shape `{tuple(wanted[part])}`, as `like` has"
            turned = array.ndim == 2 and array.shape == tuple(wanted[part])[::-1]
            hint = "matrices of PyTorch are (out, in)" if turned else None
            raise ShapeError(visible(before + part), must, f"`{array.shape}`", hint, place=where)
