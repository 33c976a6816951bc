"""The kernels of gates against NumPy, at every tail, with operands that are repeated."""

import numpy as np
import pytest

from fastbp.autodiff.structure import GATES
from fastbp.kernels.records import Operand
from tests.kernels import calls, gate_calls
from tests.kernels.every_kernel import normal
from tests.kernels.harness import DTYPES, SHAPES, Machine, same_bits

ULPS = {"float32": 6e-7, "float64": 4e-15}
AWKWARD = [(rows, width) for rows in (1, 3, 8) for width in (1, 15, 16, 17, 33)]
POSITIVE = ("log", "sqrt", "power", "log1p")

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", AWKWARD, ids=lambda s: f"{s[0]}x{s[1]}")
every_gate = pytest.mark.parametrize("name", [n for n in gate_calls.INPUTS if n != "copy"])


def operands(name, dtype, shape):
    x, y, z = (normal(dtype, *shape, k)[..., k - 1] for k in (1, 2, 3))
    if name in POSITIVE:
        x = np.abs(x) + x.dtype.type(0.1)
    if name == "where":
        return [(x > 0).astype(dtype), y, z]
    return [x, np.round(y), z][: gate_calls.INPUTS[name]]


@every_dtype
@every_shape
@every_gate
def test_the_value_is_numpys(name, shape, dtype):
    for how in gate_calls.REPEATED:
        given = operands(name, dtype, shape)
        views = ("",) * (len(given) - 1) + (how if len(given) > 1 else "",)
        m = Machine(dtype)
        found = gate_calls.elementwise(m, name, given, repeated=views).read()
        read = [gate_calls.spread(v, w).astype(np.float64) for v, w in zip(given, views, strict=True)]
        with np.errstate(all="ignore"):
            expected = np.asarray(GATES[name].value(*read, note=None), np.float64)
        np.testing.assert_allclose(found, expected, rtol=ULPS[dtype] * (20 if name == "power" else 1), atol=1e-30)
        assert (m.unwritten(), m.overrun()) == ([], [])


@every_dtype
@every_shape
def test_copy_is_a_copy(shape, dtype):
    x = normal(dtype, *shape)
    assert same_bits(gate_calls.elementwise(Machine(dtype), "copy", [x]).read(), x)


@every_dtype
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0]], ids=lambda s: f"{s[0]}x{s[1]}")
def test_sums_are_numpys(shape, dtype):
    x = normal(dtype, *shape)
    exact, size = x.astype(np.float64), np.abs(x).sum() * ULPS[dtype]
    np.testing.assert_allclose(gate_calls.sum_rows(Machine(dtype), x).read()[0], exact.sum(0), rtol=0, atol=size)
    np.testing.assert_allclose(gate_calls.sum_columns(Machine(dtype), x).read()[0], exact.sum(1), rtol=0, atol=size)
    whole = gate_calls.sum_all(Machine(dtype), x).read()
    np.testing.assert_allclose(whole, exact.sum(), rtol=0, atol=size)
    assert (whole == whole[0, 0]).all()


@every_dtype
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0]], ids=lambda s: f"{s[0]}x{s[1]}")
def test_numbers_are_moved_to_their_places(shape, dtype):
    x = normal(dtype, *shape)
    rows, width = shape
    assert same_bits(gate_calls.transpose(Machine(dtype), x).read(), np.ascontiguousarray(x.T))
    assert same_bits(gate_calls.reshape(Machine(dtype), x, (width, rows)).read(), x.reshape(width, rows))
    assert same_bits(gate_calls.reshape(Machine(dtype), x, (1, x.size)).read(), x.reshape(1, -1))
    repeated = gate_calls.repeat(Machine(dtype), x, 17).read()
    assert same_bits(repeated, np.ascontiguousarray(np.broadcast_to(x[:, :1], (rows, 17))))
    picked = (rows - 1, -1, rows), (width // 2, 1, width - width // 2)
    assert same_bits(gate_calls.take(Machine(dtype), x, *picked).read(), x[::-1, width // 2 :].copy())
    part = normal(dtype, rows, width - width // 2, 1)[..., 0]
    expected = x.copy()
    expected[::-1, width // 2 :] = part
    assert same_bits(gate_calls.place(Machine(dtype), part, x, *picked).read(), expected)


@every_dtype
@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 600])
def test_outer_has_the_bits_of_the_weight_sweep(rows, dtype):
    x, u = normal(dtype, rows, 33), normal(dtype, rows, 17)
    found = gate_calls.outer(Machine(dtype), x, u).read()
    swept = calls.sweep_weights(Machine(dtype), x, u, np.zeros((33, 17), dtype)).written["gradients"][0]
    assert same_bits(found, np.ascontiguousarray(swept[:, :17]))


@every_dtype
def test_numbers_fill_their_lines(dtype):
    values = np.array([1.5, -2.0, 1e300, np.nan])
    found = gate_calls.fill(Machine(dtype), values).lines()
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, np.repeat(values.astype(dtype)[:, None], found.shape[1], 1))


@every_dtype
@every_gate
def test_an_operand_that_holds_one_block_is_read_and_written_from_its_first_row(name, dtype):
    given = operands(name, dtype, (8, 33))
    whole = gate_calls.elementwise(Machine(dtype), name, given).read()
    m = Machine(dtype)
    block = [v[5:8] for v in given]
    read = {letter: m.given(letter, values) for letter, values in zip(gate_calls.OPERANDS, block, strict=False)}
    target = m.panels("c", 3, 33)
    m.writes(target, 0, 3)
    held = {
        letter: Operand(start=kept.address, stride=kept.stride, row=64, back=64)
        for letter, kept in (read | {"c": target}).items()
    }
    m.run(f"gate_{name}", 5, 8, **held, panels=target.count)
    assert same_bits(target.read(), whole[5:8].copy())
    assert (m.unwritten(), m.overrun()) == ([], [])
