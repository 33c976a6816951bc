"""The twins as a whole: every one is reachable, complete, documented and shown."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

from fastbp import reference

FILES = [importlib.import_module(m.name) for m in pkgutil.iter_modules(reference.__path__, "fastbp.reference.")]
TWINS = {
    name: value
    for file in FILES
    for name, value in vars(file).items()
    if inspect.isfunction(value) and value.__module__ == file.__name__ and not name.startswith("_")
}


def test_every_twin_is_reached_through_the_package():
    assert len(TWINS) > 120
    for name, twin in TWINS.items():
        assert getattr(reference, name) is twin


def test_every_vjp_has_a_forward_and_a_jvp():
    ops = {name.removesuffix("_vjp") for name in TWINS if name.endswith("_vjp")}
    assert {"linear", "gelu", "prelu", "layer_norm", "embedding"} <= ops
    assert [op for op in ops if not {f"{op}_forward", f"{op}_jvp"} <= set(dir(reference))] == []


def test_every_twin_says_its_formula():
    assert [name for name, twin in TWINS.items() if not inspect.getdoc(twin)] == []


@pytest.mark.parametrize("name", ["Array", "BLOCK", "DROPOUT", "INIT", "LOW", "MLP", "Optimizer", "SHUFFLE", "State"])
def test_what_is_no_function_is_there_too(name):
    assert hasattr(reference, name)


def test_the_examples_in_the_docstrings_run():
    results = [doctest.testmod(file) for file in (reference, *FILES)]
    assert sum(result.attempted for result in results) >= 40
    assert sum(result.failed for result in results) == 0
