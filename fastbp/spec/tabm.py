"""TabM and TabM-mini of hidden layers (Gorishniy et al., 2025).

    mini   each member scales the inputs; the hidden layers are the same for all
    TabM   each hidden Linear has adapters of every member, of which only the first layer's r is random
    both   each member ends with a linear layer of its own

Random first numbers are signs, or normal where numbers are embedded; columns that stand for one column of a table have
the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from fastbp.errors import ConfigError
from fastbp.spec.bins import PiecewiseLinear, PiecewiseLinearEmbedding
from fastbp.spec.embeddings import OfColumns, PeriodicEmbedding
from fastbp.spec.initial import OF_ROWS, Init
from fastbp.spec.layers import Embedding, Layer, Linear
from fastbp.spec.members import AdaptedLinear, MemberLinear, Members, MemberScale


def of_members(
    hidden: Sequence[Layer],
    last: Linear,
    members: int,
    *,
    mini: bool,
    average: str,
    embedded: bool = False,
    chunks: Sequence[int] | None = None,
) -> list[Layer]:
    """The layers from the first hidden one on: `hidden` for all members, and of each a layer like `last`.

    `embedded` says whether numbers are, `chunks` how many inputs stand for each column.
    """
    first = Init("normal" if embedded else "signs")
    out: list[Layer] = [Members(members, average)]
    if mini:
        out += [MemberScale(first, chunks), *hidden]
    else:
        told: dict[str, Any] = {"adapter": first, "chunks": chunks}
        for layer in hidden:
            if isinstance(layer, Linear):
                layer, told = AdaptedLinear(layer.features, layer.bias, **told, **_drawn(layer)), {}
            out.append(layer)
    return [*out, MemberLinear(last.features, last.bias, **_drawn(last))]


def _drawn(layer: Linear) -> dict[str, Any]:
    """Initialisers of a layer, as far as it says any; refuses what a member's layer cannot have."""
    said = {"init": layer.init, "bias_init": layer.bias_init}
    if layer.ntk:
        raise ConfigError("tabm", "must be given with linear layers without `ntk`", "`ntk=True`")
    for init in said.values():
        if init is not None and init.name in OF_ROWS.values():
            must = "must be given with parameters that do not go by rows, as each member has others"
            raise ConfigError("tabm", must, f"`{init.name}`")
    return {name: init for name, init in said.items() if init is not None}


def chunks_behind(layers: Sequence[Layer], chunks: Sequence[int], inputs: int) -> list[int] | None:
    """How many outputs of first layers stand for each column, of `chunks` of inputs; None where that is unknown.

    Of tables it is a table's width. Bins stand behind all columns, what else numbers become in front, all that a column
    becomes together.
    """
    found = list(chunks)
    for layer in layers:
        if isinstance(layer, Embedding):
            firsts = accumulate(found, initial=0)
            found = [width for width, first in zip(found, firsts, strict=False) if first not in layer.columns]
            found += [width for _, width in layer.columns.values()]
        elif isinstance(layer, PiecewiseLinearEmbedding | PeriodicEmbedding):
            columns = layer.columns if layer.columns is not None else range(inputs)
            firsts = accumulate(found, initial=0)
            rest = [width for width, first in zip(found, firsts, strict=False) if first not in columns]
            found = [layer.features] * len(columns) + rest
        elif isinstance(layer, PiecewiseLinear):
            found += [len(edges) - 1 for edges in layer.columns.values()]
        elif isinstance(layer, OfColumns):
            count = len(layer.of_inputs(inputs))
            found = [(layer.outputs(inputs) - inputs) // count] * count + found
        inputs = layer.outputs(inputs)
    return found if sum(found) == inputs else None
