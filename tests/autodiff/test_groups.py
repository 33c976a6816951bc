"""Gates that go over blocks together compute what they compute one by one, whatever the blocks."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff import groups
from fastbp.autodiff.program import Program
from fastbp.engine.ops import Ops
from tests.kernels.harness import same_bits


def f(X, row, column, number):
    """Every way of repeating, inside long groups, with a sum in the middle."""
    z = np.tanh(X * row + column) * number
    p = np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)
    w = np.where(p > np.mean(p, axis=0), p * 2.0, z - row) + np.sin(column) * X
    return np.sum(w * w * column) + np.sum(w, axis=0) @ row


def arguments(rows, width, dtype):
    rng = np.random.default_rng((rows, width))
    shapes = (rows, width), (width,), (rows, 1), ()
    return [rng.normal(size=s).astype(dtype) if s else float(rng.normal()) for s in shapes]


SHAPES = [(1, 1), (1, 5000), (3, 17), (700, 1), (700, 70), (65, 600), (257, 16)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_blocks_of_any_size_give_the_same_bits(shape, dtype, monkeypatch):
    args = arguments(*shape, dtype)
    found = []
    for lines in (1, 100, 384, 10**9):
        monkeypatch.setattr(groups, "L1_LINES", lines)
        F = fb.trace(f, dtype=dtype)
        found.append([np.asarray(v) for v in (F(*args), *F.gradient(*args), *F.hessian_vector(args, args))])
    for others in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_memory_that_is_used_again_changes_no_bit(shape, monkeypatch):
    args = arguments(*shape, "float64")
    found = []
    for _ in range(2):
        F = fb.trace(f)
        found.append([np.asarray(v) for v in (F(*args), *F.gradient(*args), *F.hessian_vector(args, args))])
        monkeypatch.setattr(Ops, "places", lambda self, ops, moments, among: {})
    assert all(same_bits(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_value_is_numpys_and_the_gradient_its_differences(shape):
    args = arguments(*shape, "float64")
    F = fb.trace(f)
    size = np.abs(args[0]).sum() + 1.0
    assert abs(F(*args) - f(*args)) < 1e-11 * size
    gradient, tangents = F.gradient(*args), arguments(*shape[::-1], "float64")
    tangents = [
        np.resize(t, np.shape(a)) * 1.0 if np.shape(a) else float(t) for t, a in zip(tangents, args, strict=True)
    ]
    moved = sum(float(np.sum(g * t)) for g, t in zip(gradient, tangents, strict=True))
    assert abs(moved - F.jvp(args, tangents)) < 1e-10 * size


def groups_of(F, kind):
    """The kernels of every group of a program, and how many blocks it keeps to itself."""
    seen = []
    records = Program._records

    def watched(self, found):
        seen.append([([op.name for op in group.ops], group.count) for group in found])
        return records(self, found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Program, "_records", watched)
        kind(F)
    return seen[1]


def test_a_sum_in_the_middle_waits_and_what_passes_between_gates_stays_inside():
    X = np.ones((300, 300))
    F = fb.trace(lambda X: np.sum(np.exp(X) * np.sin(X)))
    first, group, *rest = groups_of(F, lambda F: F.gradient(X))
    assert first == (["gather"], 0)
    assert sorted(group[0]) == ["gate_add", "gate_cos", "gate_exp", "gate_multiply", "gate_multiply", "gate_sin"]
    assert group[1] > 0
    assert [kernels for kernels, _ in rest] == [["gate_sum_all"], ["gate_copy"], ["scatter"]]


def test_a_group_ends_where_its_result_is_needed_whole():
    X = np.ones((300, 300))
    found = groups_of(fb.trace(lambda X: np.exp(X) - np.sum(np.exp(X), axis=1, keepdims=True)), lambda F: F(X))
    kernels = [kernels for kernels, _ in found]
    assert [kernel for (kernel,) in kernels] == [
        *("gather", "gate_exp", "gate_sum_columns", "gate_reshape", "gate_repeat", "gate_subtract", "scatter")
    ]
