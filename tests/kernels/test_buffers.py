"""Every kernel writes all of what is its own and nothing else: outputs begin as NaN, inputs keep their bytes."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from fastbp.engine.compiler import _kernels
from fastbp.kernels.ops import EPILOGUE_RELU
from fastbp.lowering.registry import OPS
from tests.kernels import branch_calls, calls, gate_calls, layer_calls
from tests.kernels.every_kernel import SEED, STEP, cases, normal
from tests.kernels.harness import DTYPES, SHAPES, Machine, Panels, same_bits

KERNELS = sorted(name for name in _kernels() if "custom_" not in name)  # those of formulas are other tests'
ELEMENTWISE = sorted(
    {k for op in OPS.values() if op.family == "elementwise" for k in (op.forward, op.vjp, op.jvp) if k}
)
GATES = {
    f"gate_{name}": lambda m, x, y, r0=0, r1=None, over=False, n=name, k=count: gate_calls.elementwise(
        m, n, [x, y, x][:k], r0, r1, over
    )
    for name, count in gate_calls.INPUTS.items()
}
# Kernels that take a block of rows, as a function of (machine, x, y, r0, r1) to lines of panels.
BLOCKWISE = {
    **{
        name: lambda m, x, y, r0, r1, name=name: calls.elementwise(m, name, x, y, r0, r1).lines()
        for name in ELEMENTWISE
    },
    **{name: lambda m, x, y, r0, r1, run=run: run(m, x, y, r0, r1).lines() for name, run in GATES.items()},
    "dropout": lambda m, x, y, r0, r1: calls.dropout(m, x, 0.3, 4, r0, r1).lines(),
    "product": lambda m, x, y, r0, r1: calls.product(m, x, normal(m.real, x.shape[1], 35), r0=r0, r1=r1).lines(),
    "cross_entropy": lambda m, x, y, r0, r1: calls.loss(m, "cross_entropy", x, y.argmax(1), r0=r0, r1=r1).dz.lines(),
    "mse": lambda m, x, y, r0, r1: calls.loss(m, "mse", x, y, r0=r0, r1=r1).dz.lines(),
    "dot": lambda m, x, y, r0, r1: calls.loss(m, "dot", x, y, r0=r0, r1=r1).dz.lines(),
    **{
        name: lambda m, x, y, r0, r1, name=name: calls.elementwise(m, name, x, y, r0, r1, setting_1=1).lines()
        for name in (*branch_calls.PAIRS, *branch_calls.ALONE)
    },
    "branch_copy": lambda m, x, y, r0, r1: branch_calls.copy(m, x, 7, 2, 250, 270, r0, r1).lines(),
    "branch_clear": lambda m, x, y, r0, r1: branch_calls.clear(m, *x.shape, r0, r1).lines(),
    "branch_row_sum": lambda m, x, y, r0, r1: branch_calls.row_sum(m, x, 0.5, r0, r1).lines(),
    "branch_repeat": lambda m, x, y, r0, r1: branch_calls.repeat(m, x[:, :1], 40, 0.5, r0, r1).lines(),
}

every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@cache
def machines(dtype):
    """Every case, run: kernel called last -> [(shape, machine)]."""
    out = {kernel: [] for kernel in KERNELS}
    for case in cases(dtype):
        m = Machine(dtype, seed=SEED, step=STEP)
        case.run(m)
        for kernel in m.called:
            out[kernel].append((case.shape, m))
    return out


def machine(dtype):
    return Machine(dtype, seed=SEED, step=STEP)


@every_dtype
@every_kernel
def test_every_kernel_is_among_the_cases(kernel, dtype):
    assert len(machines(dtype)[kernel]) > 10


@every_dtype
@every_kernel
def test_every_element_of_every_output_is_written(kernel, dtype):
    left = [(shape, m.unwritten()) for shape, m in machines(dtype)[kernel]]
    assert [(shape, names) for shape, names in left if names] == []


@every_dtype
@every_kernel
def test_inputs_and_what_lies_behind_outputs_keep_their_bytes(kernel, dtype):
    changed = [(shape, m.overrun()) for shape, m in machines(dtype)[kernel]]
    assert [(shape, names) for shape, names in changed if names] == []


@every_dtype
def test_a_row_left_out_is_seen(dtype):
    m = machine(dtype)
    m.more_behind = -1
    calls.elementwise(m, "tanh_forward", normal(dtype, 5, 3))
    assert (m.unwritten(), m.overrun()) == (["c"], [])


@every_dtype
def test_a_row_too_many_is_seen(dtype):
    m = machine(dtype)
    m.more_behind = 1
    calls.elementwise(m, "relu_vjp", normal(dtype, 5, 3), np.ones((5, 3), dtype))
    assert (m.unwritten(), m.overrun()) == ([], ["c"])


@every_dtype
def test_an_input_that_is_written_is_seen(dtype):
    m = machine(dtype)
    source = m.given("a", normal(dtype, 5, 3))
    m.run("relu_forward", 0, 5, a=source, c=source, panels=1)
    assert m.overrun() == ["a"]


@pytest.mark.parametrize("blocks", [(0, 1, 2, 21), (0, 8, 13, 21), (0, 16, 21), (0, 17, 20, 21)], ids=str)
@every_dtype
@pytest.mark.parametrize("kernel", BLOCKWISE)
def test_rows_have_the_same_bits_in_any_block(kernel, dtype, blocks):
    x, y = normal(dtype, 21, 300), normal(dtype, 300, 21).T.copy()
    whole = BLOCKWISE[kernel](machine(dtype), x, y, 0, 21)
    for r0, r1 in pairwise(blocks):
        m = machine(dtype)
        assert same_bits(BLOCKWISE[kernel](m, x, y, r0, r1)[r0:r1], whole[r0:r1])
        assert (m.unwritten(), m.overrun()) == ([], [])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@every_dtype
@pytest.mark.parametrize("kernel", [*ELEMENTWISE, *GATES, *branch_calls.PAIRS, *branch_calls.ALONE, "dropout"])
def test_a_result_may_overwrite_its_operand(kernel, dtype, shape):
    x, y = normal(dtype, *shape), normal(dtype, *shape, 1)[:, :, 0]
    apart, over = (
        calls.dropout(machine(dtype), x, 0.3, over=over)
        if kernel == "dropout"
        else GATES[kernel](machine(dtype), x, y, over=over)
        if kernel in GATES
        else calls.elementwise(machine(dtype), kernel, x, y, over=over)
        for over in (False, True)
    )
    assert same_bits(apart.lines(), over.lines())


@every_dtype
@pytest.mark.parametrize("kernel", ["gather", "product", "mse", "cross_entropy"])
def test_what_pads_the_last_panel_is_zero(kernel, dtype):
    x, y = normal(dtype, 9, 5), normal(dtype, 9, 5)
    m = machine(dtype)
    out = {
        "gather": lambda: calls.gather(m, x, None, 9),
        "product": lambda: calls.product(m, x, normal(dtype, 5, 5), normal(dtype, 5), epilogue=EPILOGUE_RELU),
        "mse": lambda: calls.loss(m, "mse", x, y).dz,
        "cross_entropy": lambda: calls.loss(m, "cross_entropy", x, y.argmax(1)).dz,
    }[kernel]()
    assert out.padding().size == 9 * (m.in_line - 5)
    assert not out.padding().any()


@every_dtype
@pytest.mark.parametrize("kernel", [*layer_calls.ROW_BY_ROW, *layer_calls.COLUMN_BY_COLUMN])
def test_what_pads_what_a_layer_puts_out_is_zero(kernel, dtype):
    """Whatever pads what the kernels of rows read; those of columns find zeros there."""
    padded = 0
    for shape, m in machines(dtype)[kernel]:
        for buffer in m.buffers:
            if isinstance(buffer, Panels) and buffer.name in ("c", "y"):
                assert not buffer.padding().any(), f"{buffer.name} of {shape}"
                padded += buffer.padding().size
    assert padded > 0
