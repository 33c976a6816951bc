"""`fb.export.onnx`: a model as an ONNX file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.autodiff.function import Traced
from fastbp.errors import ConfigError, brief
from fastbp.export.gated import Gated, gated
from fastbp.export.in_onnx.gates import Value, Writing
from fastbp.export.in_onnx.graph import DEFAULT, OnnxGraph, opset_of
from fastbp.export.model import model_of
from fastbp.spec.checks import flag, path_ending_in, texts
from fastbp.writing import write_together

ENDING = ".onnx"
ROWS = "rows"  # the dimension of rows


def onnx(
    model: Any,
    path: Any,
    jacobian: bool = False,
    opset: int = DEFAULT,
    preprocessing: bool = True,
    numbers: Collection[str] = (),
    arguments: Any = None,
) -> list[Path]:
    """Write a model as an ONNX file.

    Of a model with a recipe, each column of its tables is an input (rows, 1) by its name: float64, NaN where a number
    is missing, texts for categories, empty where they are missing, and int64 for dates, microseconds since 1970. The
    columns of an array are one input, float32. Outputs are `label` and `probabilities`, or `predictions`.

    Parameters
    ----------
    model : Network, Trainer, Pack, Ensemble, estimator of `fastbp.sklearn`, traced function, or path
        A path is of a file that one of these was saved to, or of a run's folder.
    path : str or Path
        Ends in .onnx.
    jacobian : bool
        Whether derivatives in the inputs are written beside it, as CasADi looks for them, and the file itself in
        operators that CasADi imports into expressions.
    opset : int
        The version of ONNX's operators that are used.
    preprocessing : bool
        Whether a model with a recipe takes raw columns, rather than its network's inputs.
    numbers : list of str
        Columns of categories that are given as numbers, float64, rather than as texts.
    arguments : tuple
        Of a traced function: arguments for whose shapes the file is. Its gradient and so on are traced functions, too.

    Returns
    -------
    list of Path
        The files, the first is `path`.
    """
    file = path_ending_in("path", path, ENDING)
    opset, siblings = opset_of(opset), flag("jacobian", jacobian)
    if isinstance(model, Traced):
        return [_traced(model, file, siblings, opset, arguments)]
    if arguments is not None:
        raise ConfigError("arguments", "must be given for a traced function only", f"`{brief(arguments)}`")
    if not siblings:
        _check_alone(file)
    found = model_of(model)
    raw = flag("preprocessing", preprocessing) and bool(found.recipes)
    numbers = texts("numbers", numbers)
    if numbers and not raw:
        raise ConfigError("numbers", "must be given where rows are raw only", f"`{brief(numbers)}`")
    if raw and not siblings:
        from fastbp.export.in_onnx.model import tables_file

        write_together({file: tables_file(found, opset, file.stem, numbers)})
        return [file]
    if raw:
        from fastbp.export.gated_tables import gated_of_numbers

        of = gated_of_numbers(found, numbers)
    else:
        of = gated(found.bare())
    files = {file: network_file(of, opset, file.stem, plain=siblings)}
    if siblings:
        from fastbp.export.in_onnx.siblings import siblings_of

        files |= {_beside(file, mode): found for mode, found in siblings_of(of, opset, file.stem).items()}
    write_together(files)
    return list(files)


def _beside(file: Path, mode: str) -> Path:
    return file.with_name(f"{mode}_{file.name}")


def _check_alone(file: Path) -> None:
    """Refuse to leave derivatives of another model beside a file, as CasADi takes them for its own."""
    from fastbp.export.in_onnx.siblings import MODES

    for old in (_beside(file, mode) for mode in MODES):
        if old.exists():
            must = f"must have no derivatives of an earlier file beside it, as `{old.name}`"
            hint = "remove them, or write them anew by `jacobian=True` (`--jacobian`)"
            raise ConfigError("path", must, f"`{file}`", hint)


def _traced(model: Traced, file: Path, siblings: bool, opset: int, arguments: Any) -> Path:
    from fastbp.export.in_onnx.traced import traced_file

    if siblings:
        hint = "`fb.trace(lambda x: F.gradient(x)[0])` is a function of its own"
        raise ConfigError("jacobian", "must be False for a traced function", "`True`", hint)
    _check_alone(file)
    write_together({file: traced_file(model, arguments, opset, file.stem)})
    return file


def network_file(of: Gated, opset: int, name: str, plain: bool = False) -> bytes:
    """The networks of a model, from their inputs to what they predict; `plain` as for `Writing`."""
    graph = OnnxGraph(name, opset)
    graph.reserve(*of.inputs, *of.outputs)
    to = Writing(graph, of.gates, 1, of.names, plain)
    add_inputs(to, of)
    to.write(of.outputs.values())
    for out, number in of.outputs.items():
        finish(to, number, out)
    return graph.to_bytes()


def add_inputs(to: Writing, of: Gated) -> None:
    """Named inputs, rows of numbers; whole numbers where all of an input's columns are codes."""
    for name, number in of.inputs.items():
        width = of.gates.shape(number)[1]
        whole = of.only_codes(name)
        to.onnx.input(name, np.int64 if whole else of.gates.dtype, [ROWS, width])
        rows = to.onnx.node("Cast", name, to=to.type) if whole else name
        to.values[number] = Value(rows, frozenset({0}), width)
    first = next(iter(of.inputs))
    to.sizes[0] = lambda: size_of(to, first, 0)
    add_codes(to, of)


def add_codes(to: Writing, of: Gated) -> None:
    """The columns of codes as whole numbers."""
    for number, (name, at) in of.codes.items():
        if to.plain:
            ends = [to.onnx.constant(np.array([end], np.int64), "numbers") for end in (at, at + 1, 1)]
            to.codes[number] = to.onnx.node("Slice", to.operand(of.inputs[name]), *ends)
            continue
        column = to.onnx.node("Gather", name, to.onnx.constant(np.array(at, np.int64), "numbers"), axis=1)
        to.codes[number] = column if of.only_codes(name) else to.onnx.node("Cast", column, to=7)


def size_of(to: Writing, name: str, axis: int) -> str:
    """The length of an axis of a value, as an array of one."""
    shape = to.onnx.node("Shape", name)
    return to.onnx.node("Gather", shape, to.onnx.constant(np.array([axis], np.int64), "numbers"), axis=0)


def finish(to: Writing, number: int, name: str) -> None:
    """Have a node be an output of the file."""
    width = to.width(number)
    whole = to.wide(number, frozenset({0}))
    to.onnx.node("Identity", whole, name=name)
    to.onnx.output(name, to.gates.dtype, [ROWS, width])
