"""Places of the boxes of a graph."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from fastbp.pictures.layered import LANE, crossings, layered, spaced


@pytest.mark.parametrize("seed", range(30))
def test_spaced_is_the_nearest_without_overlap(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 8))
    wanted, widths = rng.normal(0, 30, count).tolist(), rng.uniform(5, 40, count).tolist()
    found = spaced(wanted, widths, 3.0)
    least = [(a + b) / 2 + 3.0 for a, b in pairwise(widths)]
    assert all(b - a >= m - 1e-9 for (a, b), m in zip(pairwise(found), least, strict=True))
    cost = np.square(np.subtract(found, wanted)).sum()
    for _ in range(300):  # nobody allowed is nearer
        other = np.add(found, rng.normal(0, 3, count))
        for i, m in enumerate(least):
            other[i + 1] = max(other[i + 1], other[i] + m)
        assert np.square(other - wanted).sum() >= cost - 1e-9


def test_crossings_are_pairs_of_edges_that_cross():
    rows = [[("a", 0), ("b", 0)], [("c", 1), ("d", 1)]]
    straight = {("a", 0): [("c", 1)], ("b", 0): [("d", 1)]}
    crossed = {("a", 0): [("d", 1)], ("b", 0): [("c", 1)]}
    whole = {("a", 0): [("c", 1), ("d", 1)], ("b", 0): [("c", 1), ("d", 1)]}
    assert [crossings(rows, below) for below in (straight, crossed, whole)] == [0, 1, 1]


def test_boxes_are_ordered_so_that_edges_do_not_cross():
    for order in permutations("cdef"):
        ranks = {"a": 0, "b": 0, **dict.fromkeys(order, 1)}
        edges = [("a", "c"), ("a", "d"), ("b", "e"), ("b", "f")]
        x = layered(ranks, edges, dict.fromkeys(ranks, 50.0), 10.0).x
        left, right = ("cd", "ef") if x["a"] < x["b"] else ("ef", "cd")
        assert max(x[k] for k in left) < min(x[k] for k in right)


def test_an_edge_over_several_ranks_passes_beside_the_boxes_between():
    ranks = {"a": 0, "b": 1, "c": 2, "d": 3}
    edges = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")]
    found = layered(ranks, edges, dict.fromkeys(ranks, 50.0), 10.0)
    way = found.ways["a", "d"]
    assert len(way) == 4
    for rank, box in ((1, "b"), (2, "c")):
        assert abs(way[rank] - found.x[box]) >= (50.0 + LANE) / 2 + 10.0 - 1e-9
    assert way[0] == found.x["a"]
    assert way[-1] == found.x["d"]
    assert found.width >= max(found.x.values()) + 25.0
