"""`python -m bench export`: one row through what `fb.export` writes, beside the network in Python, in turns.

A call of C is one from C, of which each row depends on the call before; one of Python or ONNX Runtime is one from
Python, as their users make it. Nothing is timed before all agree: C with the network to the bit. emlearn writes the
same network from scikit-learn's, with its numbers rounded to six decimals; it has no derivatives.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastbp as fb
from bench import machine, report, timing
from bench.check import RefusedError

SIZES = (17, 64, 64, 6)
FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=off")
TASKS = ("predict", "jacobian")
Run = Callable[[int], Any]

LOOPS = """
#include "{header}"
void {name}(long calls, float *x, float *y)
{{
    for (long i = 0; i < calls; i++) {{
        x[0] = 0.5f * y[0];
        {call};
    }}
}}
"""


def compiled(folder: Path, compiler: str, *more: Path | str) -> ctypes.CDLL:
    """What is in the folder as a library."""
    target = folder / "library.so"
    sources = sorted(map(str, folder.glob("*.c")))
    command = [compiler, *FLAGS, "-shared", "-fPIC", *map(str, more), *sources, "-o", str(target), "-lm"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))


def from_c(library: ctypes.CDLL, name: str, x: Any, y: Any) -> Run:
    """So many calls from a loop in C."""
    loop = library[name]
    loop.argtypes, loop.restype = [ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p], None
    return lambda calls: loop(calls, x.ctypes.data, y.ctypes.data)


def from_python(call: Callable[[], Any]) -> Run:
    """So many calls from a loop in Python."""

    def run(calls: int) -> None:
        for _ in range(calls):
            call()

    return run


def ours(net: fb.Network, folder: Path, compiler: str, x: Any) -> dict[str, Run]:
    """The network's C by task, whose first call is checked."""
    fb.export.c(net, folder / "net.c", jacobian=True)
    for task in TASKS:
        text = LOOPS.format(header="net.h", name=f"many_{task}", call=f"net_{task}(x, y)")
        (folder / f"many_{task}.c").write_text(text)
    library, found = compiled(folder, compiler), {}
    for task, wanted in {"predict": net.predict(x), "jacobian": net.jacobian(x)}.items():
        y = np.zeros(wanted.shape, np.float32)
        y.flat[0] = 2.0 * x.flat[0]
        found[task] = from_c(library, f"many_{task}", x.copy(), y)
        found[task](1)
        if y.tobytes() != wanted.tobytes():
            raise RefusedError(f"{task} in C differs from that in Python")
    return found


def onnx(net: fb.Network, folder: Path, x: Any) -> dict[str, Run]:
    """ONNX Runtime on what is written for it."""
    runtime = importlib.import_module("onnxruntime")
    fb.export.onnx(net, folder / "net.onnx", jacobian=True)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    found = {}
    for task, file in {"predict": "net.onnx", "jacobian": "jac_net.onnx"}.items():
        session = runtime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
        given = {one.name: x if one.name == "x" else net.predict(x) for one in session.get_inputs()}
        y = session.run(None, given)[0]
        wanted = net.predict(x) if task == "predict" else net.jacobian(x)
        if not np.allclose(np.reshape(y, wanted.shape), wanted, rtol=1e-4, atol=1e-5):
            raise RefusedError(f"{task} of ONNX Runtime differs from ours")
        found[task] = from_python(partial(session.run, None, given))
    return found


def emlearn(net: fb.Network, folder: Path, compiler: str, x: Any) -> dict[str, Run]:
    """The same network of scikit-learn, as emlearn writes it."""
    convert, perceptrons = importlib.import_module("emlearn"), importlib.import_module("sklearn.neural_network")
    model = perceptrons.MLPRegressor(hidden_layer_sizes=SIZES[1:-1], activation="tanh", max_iter=1)
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not to converge
        model.fit(rng.normal(size=(8, SIZES[0])), rng.normal(size=(8, SIZES[-1])))
    model.coefs_ = [net.parameters[f"{2 * i}.weight"] for i in range(len(SIZES) - 1)]
    model.intercepts_ = [net.parameters[f"{2 * i}.bias"] for i in range(len(SIZES) - 1)]
    here = os.getcwd()
    os.chdir(folder)  # it leaves files behind
    try:
        convert.convert(model, method="inline").save(file="rival.h", name="rival")
    finally:
        os.chdir(here)
    call = f"rival_regress(x, {SIZES[0]}, y, {SIZES[-1]})"
    (folder / "many.c").write_text(LOOPS.format(header="rival.h", name="many_rival", call=call))
    library = compiled(folder, compiler, "-std=gnu99", "-ffp-contract=fast", f"-I{convert.includedir}")
    y = np.zeros(SIZES[-1], np.float32)
    y[0] = 2.0 * x.flat[0]
    run = from_c(library, "many_rival", x.copy(), y)
    run(1)
    if not np.allclose(y, net.predict(x)[0], atol=1e-3):
        raise RefusedError("what emlearn writes differs from ours")
    return {"predict": run}


def sides(folder: Path, compiler: str) -> dict[str, dict[str, Run]]:
    """Of each contender what it does, by task."""
    net = fb.mlp(list(SIZES), activation="tanh", seed=0)
    x = np.random.default_rng(0).normal(size=(1, SIZES[0])).astype(np.float32)
    y, J = net.predict(x), net.jacobian(x)
    python = {
        "predict": from_python(partial(net.predict, x, out=y)),
        "jacobian": from_python(partial(net.jacobian, x, out=J)),
    }
    found = {}
    for name in ("net", "rival"):
        (folder / name).mkdir()
    found["C"] = ours(net, folder / "net", compiler, x)
    found["Python, out="] = python
    if _there("onnx", "onnxruntime"):
        found["ONNX Runtime"] = onnx(net, folder, x)
    if _there("emlearn", "sklearn"):
        found["emlearn"] = emlearn(net, folder / "rival", compiler, x)
    return found


def _there(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def measure(found: dict[str, dict[str, Run]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Microseconds of a call of each contender, turn by turn, by task."""
    took = {}
    for task in TASKS:
        runs = {name: does[task] for name, does in found.items() if task in does}
        steps = {name: timing.pace(run).steps for name, run in runs.items()}
        turns = {i: partial(timing.turn, runs[name], steps[name]) for i, name in enumerate(runs)}
        times = timing.contest(turns, rounds)
        took[task] = {name: times[i] for i, name in enumerate(runs)}
    return took


def table(took: dict[str, dict[str, list[float]]]) -> str:
    """A row for each task: times of C, and those of the others over them."""
    rivals = list(dict.fromkeys(name for times in took.values() for name in times if name != "C"))
    lines = [report.row(["one row", "C, µs", *[f"{name} / C" for name in rivals]], head=True)]
    for task, times in took.items():
        cells = [task, report.spread(times["C"])]
        for name in rivals:
            ratios = [other / own for other, own in zip(times.get(name, []), times["C"], strict=False)]
            cells.append(report.spread(ratios, bold=True) if ratios else "")
        lines.append(report.row(cells))
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Time one row; 1 if something differs."""
    options = argparse.ArgumentParser(prog="python -m bench export", description="Time one row of what is exported.")
    options.add_argument("--rounds", type=int, default=7, help="turns of each contender (default: 7)")
    options.add_argument("--compiler", default="gcc", help="a C compiler (default: gcc)")
    given = options.parse_args(arguments)
    if shutil.which(given.compiler) is None:
        options.error(f"there is no compiler `{given.compiler}`")
    print(report.header({"task": "-".join(map(str, SIZES)) + " tanh, float32", **machine.facts(1)}), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(table(measure(sides(Path(folder), given.compiler), given.rounds)))
        except RefusedError as problem:
            print(problem, file=sys.stderr)
            return 1
    return 0
