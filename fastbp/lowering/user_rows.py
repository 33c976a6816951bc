"""Which of a user's rows a plan reads: those of an array, or rows with codes that stand for some of their columns.

Where the first layer is a Linear that nothing else stands beside, it multiplies the codes as they are (`counts` of a
plan); in other networks a gather brings them to their full width, batch by batch.
"""

from __future__ import annotations

from typing import Any

from fastbp.engine.compiler import kernel_address
from fastbp.engine.plan import Plan
from fastbp.spec.coded import Coded
from fastbp.spec.graph import INPUT, Graph
from fastbp.spec.layers import Linear

CODED = "gather_coded"


def counts_for(graph: Graph, x: Any) -> tuple[int, ...]:
    """What a plan for these rows is lowered for: their `counts`, if its first layer can multiply codes."""
    if not isinstance(x, Coded):
        return ()
    readers = [node for node in graph.nodes if INPUT in node.sources]
    if len(readers) > 1:
        return ()
    first = readers[0]
    alone = sum(node.home == first.home for node in graph.nodes) == 1
    return x.counts if alone and isinstance(first.layer, Linear) and not first.layer.ntk else ()


def read_rows(plan: Plan, x: Any, counts: tuple[int, ...] = ()) -> Any:
    """Have the first op of a plan, which is a gather, read these rows; returns the array with their numbers.

    `counts` are those that the plan was lowered for.
    """
    gather = plan.ops.records[0]
    array = x.narrow if isinstance(x, Coded) else x
    if not counts and (isinstance(x, Coded) or reads_codes(plan)):
        gather.name = CODED if isinstance(x, Coded) else "gather"
        gather.kernel = kernel_address(gather.name, plan.real)
        gather.a.stride = array.itemsize * array.shape[1]
        gather.tables, gather.count = (x.table.ctypes.data, len(x.counts)) if isinstance(x, Coded) else (0, 0)
    gather.a.start = array.ctypes.data
    return array


def reads_codes(plan: Plan) -> bool:
    """Whether it reads rows with codes that a gather brings to their full width, as it last did."""
    return bool(plan.ops.records[0].name == CODED)
