"""The registry is complete: nothing runs that the ladder does not know of."""

import inspect
import re

import pytest

from fastbp import reference
from fastbp.autodiff import gates, structure
from fastbp.autodiff.structure import GATES
from fastbp.engine.compiler import _kernels
from fastbp.kernels.flags import KERNELS
from fastbp.kernels.optimizers import RULES
from fastbp.lowering.registry import OPS, PLUMBING
from fastbp.lowering.rules import RULES as LAYER_RULES
from fastbp.spec.catalogue import ACTIVATIONS, LAYERS, LOSSES
from fastbp.train.catalogue import OPTIMIZERS
from tests.autodiff.ladder import COMPARISONS, LADDER
from tests.kernels.test_ladder import DIFFERENTIABLE
from tests.model.gate_cases import GATE_CASES
from tests.model.layer_cases import LAYER_CASES

every_op = pytest.mark.parametrize("name", OPS)

EMBEDDED = ("pbld", "cosine", "periodic", "piecewise_linear_embedding")  # families
BRANCHES = ("pair", "affine", "reciprocal", "concat", "slice", "sum", "repeat")  # families
# The functions of `fastbp.reference` that an op of each family must have, behind its `twin`.
TWINS = {
    "linear": ("_forward", "_vjp", "_jvp"),
    "elementwise": ("_forward", "_vjp", "_jvp"),
    **dict.fromkeys(
        (
            "identity",
            "scale",
            "prelu",
            "parametric",
            "row_norm",
            "batch_norm",
            "softmax",
            "embedding",
            "bins",
            *EMBEDDED,
        ),
        ("_forward", "_vjp", "_jvp"),
    ),
    **dict.fromkeys(BRANCHES, ("_forward", "_vjp", "_jvp")),
    "noise": ("_forward", "_vjp", "_jvp", "_mask"),
    "loss": ("", "_rows"),
    "custom": (),  # the user's own formula is its twin
}


def named():
    """Every kernel that the registry accounts for."""
    names = {kernel for op in OPS.values() for kernel in f"{op.forward} {op.vjp} {op.jvp}".split()}
    rules = {kernel for name, rule in RULES.items() for kernel in (name, rule.prepare, rule.bounds)}
    gates = {kernel for gate in GATES.values() for kernel in gate.kernels}
    return names | rules | gates | {"multiply_vjp"} | set(PLUMBING)


ENOUGH: dict[str, dict] = {}  # settings without a default


def unknown_kernels():
    return sorted(name for name in set(_kernels()) - named() if "custom_" not in name)  # those of users' formulas


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
    assert OPS[kind].family in LAYER_RULES


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_an_op(name):
    assert OPS[name].family == "loss"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_a_rule_and_a_twin_and_says_what_a_step_does(name):
    assert OPTIMIZERS[name]().kernel in RULES
    assert inspect.getdoc(getattr(reference, name))
    assert "←" in OPTIMIZERS[name].update


@pytest.mark.parametrize("name", RULES)
def test_the_formula_of_every_rule_stands_in_its_module(name):
    assert "←" in inspect.getdoc(inspect.getmodule(_kernels()[name])) or name == "keep_gradients"


@every_op
def test_every_op_is_something_a_user_can_name(name):
    assert name in {*LAYERS, *LOSSES, *ACTIVATIONS}


@every_op
def test_every_op_has_documented_twins(name):
    op = OPS[name]
    for part in TWINS[op.family]:
        assert inspect.getdoc(getattr(reference, f"{op.twin}{part}"))


@every_op
def test_every_op_says_its_formula_and_its_derivative(name):
    op = OPS[name]
    assert "=" in op.formula
    assert "=" in op.derivative


@every_op
def test_the_derivation_of_every_kernel_stands_in_its_module(name):
    op = OPS[name]
    for kernel in f"{op.forward} {op.vjp} {op.jvp}".split():
        text = inspect.getdoc(inspect.getmodule(_kernels()[kernel])) or ""
        assert ("dz" if op.family == "loss" else "vjp") in text


def gates_that_do_not_climb():
    return sorted(set(GATES) ^ set(LADDER))


def test_every_gate_climbs():
    assert gates_that_do_not_climb() == []


def test_a_gate_that_does_not_climb_is_found(monkeypatch):
    monkeypatch.setitem(GATES, "swish", GATES["tanh"])
    assert gates_that_do_not_climb() == ["swish"]


@pytest.mark.parametrize("name", GATES)
def test_the_derivation_of_every_gate_stands_in_its_table(name):
    table = inspect.getdoc(gates if GATES[name].elementwise else structure)
    assert re.search(rf"^\s*(\w+, )*{'greater' if name in COMPARISONS else name}\b", table, re.MULTILINE)
    for kernel in GATES[name].kernels:
        assert "vjp" in inspect.getdoc(inspect.getmodule(_kernels()[kernel]))


@every_op
def test_every_op_climbs(name):
    families = (
        "scale",
        "prelu",
        "parametric",
        "row_norm",
        "batch_norm",
        "softmax",
        "embedding",
        "bins",
        "custom",
        *EMBEDDED,
    )
    in_networks = OPS[name].family in families
    gate = OPS[name].family in BRANCHES
    assert (name in DIFFERENTIABLE) + in_networks + gate == 1
    assert in_networks == (name in LAYER_CASES)
    assert gate == (name in GATE_CASES)


def gates_without_a_case():
    return sorted(name for name, op in OPS.items() if op.family in BRANCHES and not GATE_CASES.get(name))


def test_a_gate_without_a_case_is_found(monkeypatch):
    assert gates_without_a_case() == []
    monkeypatch.delitem(GATE_CASES, "divide")
    assert gates_without_a_case() == ["divide"]
