"""Where the boxes of a graph stand: in ranks from top to bottom, each below all that it reads.

An edge to a later rank takes a slot of its own in every rank between, so that it passes beside boxes and not through
them. The slots of a rank are ordered to have few crossings, by the positions of their neighbours (Sugiyama et al.,
1981), and then moved towards them as far as their widths allow, which is a regression in their order.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

Slot = tuple[Hashable, int]  # whose, and the rank; an edge's own slots belong to the pair of its ends
Edge = tuple[Hashable, Hashable]
LANE = 26.0  # width of a slot that an edge passes through
SWEEPS, MOVES = 8, 24


@dataclass(frozen=True)
class Layered:
    """Boxes and edges at their places.

    Attributes
    ----------
    x : dict of box to float
        The middle of each box.
    ways : dict of edge to list of float
        x at the rank of its start, at each between, and at that of its end.
    width : float
    """

    x: dict[Hashable, float]
    ways: dict[Edge, list[float]]
    width: float


def layered(
    ranks: Mapping[Hashable, int], edges: Sequence[Edge], widths: Mapping[Hashable, float], gap: float
) -> Layered:
    """Place boxes of these ranks and widths; an edge goes from a lower rank to a higher one."""
    rows: list[list[Slot]] = [[] for _ in range(max(ranks.values()) + 1)]
    for box, rank in ranks.items():
        rows[rank].append((box, rank))
    above: dict[Slot, list[Slot]] = {}
    below: dict[Slot, list[Slot]] = {}
    chains: dict[Edge, list[Slot]] = {}
    for edge in dict.fromkeys(edges):
        start, end = edge
        between = [(edge, rank) for rank in range(ranks[start] + 1, ranks[end])]
        for slot in between:
            rows[slot[1]].append(slot)
        chain = chains[edge] = [(start, ranks[start]), *between, (end, ranks[end])]
        for a, b in itertools.pairwise(chain):
            below.setdefault(a, []).append(b)
            above.setdefault(b, []).append(a)
    rows = _ordered(rows, above, below)
    wide = {slot: widths.get(slot[0], LANE) for row in rows for slot in row}
    x = _placed(rows, above, below, wide, gap)
    low = min(x[slot] - wide[slot] / 2 for slot in x)
    x = {slot: at - low for slot, at in x.items()}
    width = max(x[slot] + wide[slot] / 2 for slot in x)
    ways = {edge: [x[slot] for slot in chain] for edge, chain in chains.items()}
    return Layered({box: x[box, rank] for box, rank in ranks.items()}, ways, width)


def _ordered(
    rows: list[list[Slot]], above: Mapping[Slot, list[Slot]], below: Mapping[Slot, list[Slot]]
) -> list[list[Slot]]:
    """The order with the fewest crossings of several sweeps down and up."""
    best, fewest = [list(row) for row in rows], crossings(rows, below)
    for sweep in range(SWEEPS):
        near, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        at = {slot: float(i) for row in rows for i, slot in enumerate(row)}
        for row in order:
            middle = {slot: _mean([at[n] for n in near.get(slot, ())], at[slot]) for slot in row}
            row.sort(key=middle.__getitem__)
            at.update((slot, float(i)) for i, slot in enumerate(row))
        found = crossings(rows, below)
        if found < fewest:
            best, fewest = [list(row) for row in rows], found
    return best


def crossings(rows: Sequence[Sequence[Slot]], below: Mapping[Slot, list[Slot]]) -> int:
    """How many pairs of edges between neighbouring ranks cross."""
    total = 0
    for row, under in itertools.pairwise(rows):
        at = {slot: i for i, slot in enumerate(under)}
        ends = [sorted(at[b] for b in below.get(slot, ())) for slot in row]
        flat = [end for group in ends for end in group]
        total += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return total


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _placed(
    rows: list[list[Slot]],
    above: Mapping[Slot, list[Slot]],
    below: Mapping[Slot, list[Slot]],
    wide: Mapping[Slot, float],
    gap: float,
) -> dict[Slot, float]:
    """x of every slot: each rank in turn as near to its neighbours as its order and its widths allow."""
    x: dict[Slot, float] = {}
    for row in rows:
        x.update(zip(row, spaced([0.0] * len(row), [wide[s] for s in row], gap), strict=True))
    for move in range(MOVES):
        for row in rows if move % 2 == 0 else rows[::-1]:
            wanted = [_mean([x[n] for n in (*above.get(s, ()), *below.get(s, ()))], x[s]) for s in row]
            x.update(zip(row, spaced(wanted, [wide[s] for s in row], gap), strict=True))
    return x


def spaced(wanted: Sequence[float], widths: Sequence[float], gap: float) -> list[float]:
    """Middles as near to those wanted as may be, by least squares, in this order and without overlap."""
    offsets = [0.0]
    for a, b in itertools.pairwise(widths):
        offsets.append(offsets[-1] + (a + b) / 2 + gap)
    pools: list[tuple[float, int]] = []  # means of neighbours that would overlap, and how many they are
    for want, offset in zip(wanted, offsets, strict=False):
        mean, count = want - offset, 1
        while pools and pools[-1][0] > mean:
            other, more = pools.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        pools.append((mean, count))
    means = [mean for mean, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]
