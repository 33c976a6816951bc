"""The registry is complete: nothing runs that the ladder does not know of."""

import inspect

import pytest

from fastbp import reference
from fastbp.engine.compiler import _kernels
from fastbp.kernels.flags import KERNELS
from fastbp.model.layers import LAYERS
from fastbp.model.losses import LOSSES
from fastbp.model.registry import OPS, PLUMBING
from fastbp.train.optimizers import Optimizer
from tests.kernels.climbs import CLIMBS
from tests.kernels.test_ladder import DIFFERENTIABLE

every_op = pytest.mark.parametrize("name", OPS)

# The functions of `fastbp.reference` that an op of each family must have, behind its `twin`.
TWINS = {
    "linear": ("_forward", "_vjp", "_jvp"),
    "elementwise": ("_forward", "_vjp", "_jvp"),
    "noise": ("_forward", "_vjp", "_jvp", "_mask"),
    "loss": ("", "_rows"),
    "optimizer": ("",),
}


def named():
    """Every kernel that the registry accounts for."""
    names = {kernel for op in OPS.values() for kernel in f"{op.forward} {op.vjp} {op.jvp}".split()}
    updates = {op.forward for op in OPS.values() if op.family == "optimizer"} | {"keep_gradients"}
    return names | {f"{update}_factors" for update in updates} | set(PLUMBING)


def unknown_kernels():
    return sorted(set(_kernels()) - named())


def optimizers(of=Optimizer):
    """Every class of optimisers below this one."""
    return [c for child in of.__subclasses__() for c in (child, *optimizers(child))]


def test_every_kernel_is_named_by_an_op_or_is_plumbing():
    assert unknown_kernels() == []


def test_a_kernel_that_nobody_names_is_found(monkeypatch):
    _kernels()
    monkeypatch.setitem(KERNELS, "swish_forward", lambda op, me, r0, r1, z: None)
    assert unknown_kernels() == ["swish_forward"]


def test_every_name_in_the_registry_is_a_kernel():
    assert sorted(named() - set(_kernels())) == []


@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_has_an_op(kind):
    assert OPS[kind].family in ("linear", "elementwise", "noise")


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_an_op(name):
    assert OPS[name].family == "loss"


@pytest.mark.parametrize("kind", optimizers(), ids=lambda kind: kind.__name__)
def test_every_optimizer_has_an_op_with_its_kernel(kind):
    op = OPS[kind.__name__.lower()]
    assert (op.family, op.forward) == ("optimizer", kind.kernel)


@every_op
def test_every_op_is_something_a_user_can_name(name):
    assert name in {*LAYERS, *LOSSES, *(kind.__name__.lower() for kind in optimizers())}


@every_op
def test_every_op_has_documented_twins(name):
    op = OPS[name]
    for part in TWINS[op.family]:
        assert inspect.getdoc(getattr(reference, f"{op.twin}{part}"))


@every_op
def test_every_op_says_its_formula_and_its_derivative(name):
    op = OPS[name]
    assert "=" in op.formula or "←" in op.formula
    assert ("=" in op.derivative) == (op.family != "optimizer")


@every_op
def test_the_derivation_of_every_kernel_stands_in_its_module(name):
    op = OPS[name]
    for kernel in f"{op.forward} {op.vjp} {op.jvp}".split():
        text = inspect.getdoc(inspect.getmodule(_kernels()[kernel])) or ""
        words = ("←",) if op.family == "optimizer" else ("dz =",) if op.family == "loss" else ("vjp",)
        assert all(word in text for word in words)


@every_op
def test_every_op_climbs_or_is_an_optimizer(name):
    assert (name in DIFFERENTIABLE and OPS[name].family in CLIMBS) != (OPS[name].family == "optimizer")
