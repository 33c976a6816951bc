"""The hidden layers of an estimator: from widths and names to a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastbp.config.build import layers_of
from fastbp.config.naming import named
from fastbp.config.schema import Data, TabM
from fastbp.config.text import Text
from fastbp.config.wiring import layer_table
from fastbp.data.frame import Frame
from fastbp.data.inputs import Inputs
from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.spec.catalogue import LAYERS, activation_named
from fastbp.spec.checks import chance, flag, whole
from fastbp.spec.custom import Custom
from fastbp.spec.embeddings import EMBEDDERS
from fastbp.spec.graph import Graph, chain, graph_of
from fastbp.spec.initial import Init
from fastbp.spec.layers import Dropout, Embedding, Layer, Linear, Scale
from fastbp.spec.losses import Loss
from fastbp.spec.members import average_for
from fastbp.spec.signals import Input
from fastbp.spec.tabm import chunks_behind, of_members

NORMS = ("batch_norm", "layer_norm", "rms_norm")
WIDTHS = "must be widths such as `(128, 64)`, or layers such as `[fb.Linear(64), fb.ReLU()]`"


def graph_for(
    estimator: Any, inputs: Inputs, outputs: int, frame: Frame, loss: Loss, matrix: Callable[[], Any] | None = None
) -> Graph:
    """The graph of an estimator's network: tables of categories and bins of numbers first, where there are such.

    `matrix` gives the rows as a network takes them, where several ask for them.
    """
    tables, beyond = inputs.embeddings(), getattr(estimator, "beyond", None)
    if beyond is not None and beyond.layers is not None:
        return layers_of(beyond.layers, inputs.width, outputs, tables)  # type: ignore[no-any-return]
    blocks = blocks_of(estimator)
    last = Linear(outputs, **({} if beyond is None else beyond.last))
    std = Data().embed_std if beyond is None else beyond.embed_std
    first: list[Layer] = [Embedding(tables, Init("normal", std))] if tables else []
    embedder = embedder_of(estimator)
    if embedder is not None:
        rows = inputs.matrix(frame, estimator.dtype) if matrix is None else matrix()
        bins = embedder.layer(rows, inputs.numbers(), tuple(tables))
        first += [bins] if bins is not None else []
    embedded = len(first) > bool(tables)
    front: list[Layer] = [Scale()] if beyond is not None and beyond.front_scale else []
    tabm = tabm_of(estimator)
    if tabm is not None:
        hidden = of_members(
            [*front, *(layer for block in blocks for layer in block)],
            last,
            tabm.k,
            mini=tabm.mini,
            average=average_for(loss.kind, outputs),
            embedded=embedded,
            chunks=chunks_behind(first, inputs.chunks(), inputs.width),
        )
        return chain([*first, *hidden], inputs.width)
    first += front
    if not estimator.residual:
        return chain([*first, *(layer for block in blocks for layer in block), last], inputs.width)
    signal = x = Input(inputs.width)
    for layer in first:
        signal = layer(signal)
    for block in blocks:
        before = signal
        for layer in block:
            signal = layer(signal)
        if before.features == signal.features:
            signal = before + signal
    return graph_of(None, x, last(signal))


def tabm_of(estimator: Any) -> TabM | None:
    """Members of the network, as a configuration has them; None for one."""
    given = estimator.tabm
    if given is None:
        return None
    found = given if isinstance(given, TabM) else _tabm_said(given)
    for name, refused in (("residual", True), ("norm", "batch_norm")):
        if getattr(estimator, name) == refused:
            raise ConfigError(name, "must not be given with `tabm`", f"`{refused}`")
    return found


def _tabm_said(given: Any) -> TabM:
    said = {"k": given} if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(said, Mapping):
        raise ConfigTypeError("tabm", "must be a whole number, or a dict with `k`", f"`{brief(given)}`")
    for key in said:
        if key not in TabM.__struct_fields__:
            raise not_one_of("tabm", key, TabM.__struct_fields__)
    found = TabM(**said)
    whole("tabm.k", found.k, 2)
    flag("tabm.mini", found.mini)
    return found


def embedder_of(estimator: Any) -> Any:
    """What embeds numbers, by its name or as a configuration has it; None for nothing."""
    given = estimator.embed_numbers
    return None if given is None else named(Text(), ("embed_numbers",), given, EMBEDDERS)


def blocks_of(estimator: Any) -> list[list[Layer]]:
    """The hidden layers: a list for each width, or one for all where layers are given."""
    hidden = estimator.hidden
    if isinstance(hidden, int) and not isinstance(hidden, bool):
        hidden = (hidden,)
    listed = isinstance(hidden, Sequence) and not isinstance(hidden, str | bytes)
    if not listed and getattr(hidden, "ndim", 0) != 1:
        raise ConfigTypeError("hidden", WIDTHS, f"`{brief(hidden)}`")
    made = _activations(estimator.activation, len(hidden))
    norm, p = estimator.norm, chance("dropout", estimator.dropout)
    if norm is not None and norm not in NORMS:
        raise not_one_of("norm", norm, NORMS)
    residual = flag("residual", estimator.residual)
    layers = [value for value in hidden if isinstance(value, Layer | str | Mapping)]
    if layers:
        if len(layers) < len(hidden):
            raise ConfigTypeError("hidden", WIDTHS, f"`{brief(hidden)}`")
        activation = None if estimator.activation == "relu" else estimator.activation
        for name, value in (("activation", activation), ("norm", norm), ("dropout", p), ("residual", residual)):
            if value:
                raise ConfigError(name, "must not be given where `hidden` lists layers", f"`{value}`")
        return [[_layer(i, value) for i, value in enumerate(layers)]]
    blocks: list[list[Layer]] = []
    for i, width in enumerate(hidden):
        words = beyond.linear if (beyond := getattr(estimator, "beyond", None)) else {}
        block: list[Layer] = [Linear(whole(f"hidden[{i}]", width, 1), **words)]
        if norm is not None:
            block.append(LAYERS[norm]())
        block.append(made[i])
        if p:
            block.append(Dropout(p))
        blocks.append(block)
    return blocks


def _activations(given: Any, count: int) -> list[Layer]:
    """The activation of each hidden layer: one for all, or a list with one for each."""
    if isinstance(given, list | tuple):
        if len(given) != count:
            raise ConfigError("activation", f"must have one for each of the {count} hidden layers", f"{len(given)}")
        places = [(f"activation[{i}]", one) for i, one in enumerate(given)]
    else:
        places = [("activation", given)] * count
    return [one if isinstance(one, Layer) else activation_named(where, one) for where, one in places]


def _layer(i: int, value: Any) -> Layer:
    """A layer as given, or the one that a configuration's entry names."""
    if isinstance(value, Layer):
        return value
    entry = dict(value) if isinstance(value, Mapping) else value
    found: Layer = named(Text(), ("hidden", i), entry, layer_table(), Custom)
    return found
