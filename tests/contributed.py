"""Uses what CONTRIBUTING.md adds, in a copy of the package: `python tests/contributed.py float32 CONFIG`.

The copy is first on the path. Everything is compared with its twin in NumPy, and gradients with central differences of
the twin's loss in float64. Prints JSON of what the rest of the test looks at.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import fastbp as fb
from fastbp import reference
from fastbp.cli.main import main
from fastbp.export.in_js.table import ELEMENTWISE
from fastbp.export.in_js.text import Expression
from fastbp.train import self_test

STEP = 1e-5
TOLERANCE = {"float32": 2e-5, "float64": 1e-8}
SETTINGS = {"lr": 0.01, "beta": 0.8}
RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(60, 4)), RNG.normal(size=(60, 3)) * 3.0
LAYERS = {"activation": [fb.Linear(9), fb.HardSwish(), fb.Linear(3)], "other": [fb.Linear(9), fb.Tanh(), fb.Linear(3)]}


def close(found: Any, expected: Any, dtype: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def twin(net: fb.Network, loss: str, dtype: str) -> reference.MLP:
    """The same network in NumPy."""
    layers: list[Any] = []
    for i, node in enumerate(net.graph.nodes):
        if node.layer.kind == "linear":
            layers.append(("linear", *(net.parameters[f"{i}.{part}"].astype(dtype) for part in ("weight", "bias"))))
        else:
            layers.append((node.layer.kind,))
    return reference.MLP(layers, loss)


def differences(net: fb.Network, loss: str) -> np.ndarray:
    """Central differences of the twin's loss in every parameter."""
    model, found = twin(net, loss, "float64"), []
    for at in range(model.theta.size):
        around = []
        for h in (STEP, -STEP):
            model.theta[at] += h
            around.append(reference.LOSSES[loss](model.forward(X), T)[0])
            model.theta[at] -= h
        found.append((around[0] - around[1]) / (2 * STEP))
    return np.array(found)


def trained(layers: list[Any], loss: str, optimizer: Any, rule: Any, dtype: str) -> list[float]:
    """Train, compare each step with the twin's and the first gradient with differences; the losses."""
    net = fb.Network(layers, inputs=4, seed=1, dtype=dtype)
    model = twin(net, loss, dtype)
    value, gradients = net.loss_and_gradients(X, T, loss=loss)
    close(value, reference.LOSSES[loss](model.forward(X), T)[0], dtype)
    close(np.concatenate([g.ravel() for g in gradients.values()]), differences(net, loss), dtype)
    trainer = fb.Trainer(net, loss=loss, optimizer=optimizer, batch_size=60)
    losses = []
    for _ in range(10):
        losses.append(float(trainer.step(X, T)))
        close(losses[-1], model.step(X, T, rule), dtype)
        close(np.concatenate([p.ravel() for p in net.parameters.values()]), model.theta, dtype)
    return losses


def curves(values: Any) -> Any:
    z = values.astype(np.float64)
    return {"forward": reference.hard_swish_forward(z), "vjp": reference.hard_swish_vjp(np.ones_like(z), z)}


def the_kernel_is_the_twin(dtype: str) -> None:
    z = np.concatenate([np.linspace(-5.0, 5.0, 37), [1e4, -1e4, 3.0, -3.0]]).astype(dtype)[None]
    net = fb.Network([fb.HardSwish()], inputs=z.shape[1], dtype=dtype)
    expected = curves(z)
    close(net.predict(z), expected["forward"], dtype)
    close(net.vjp(z, np.ones_like(z)), expected["vjp"], dtype)
    slope = fb.trace(lambda x: fb.HardSwish().traced(x).sum(), dtype="float64").gradient(z[0, :37].astype(np.float64))[
        0
    ]
    close(slope, expected["vjp"][0, :37], "float64")


def others() -> None:
    """The layer and the gate."""
    net = fb.Network([fb.Linear(5), fb.Shift(), fb.Tanh(), fb.Shift(), fb.Linear(3)], inputs=4, seed=1, dtype="float64")
    net.parameters["3.bias"] = np.linspace(-1.0, 1.0, 5)
    theta, v, at = net.flat.copy(), np.linspace(-1.0, 1.0, net.flat.size), {}
    for h in (STEP, -STEP, 0.0):
        net.flat = theta + h * v
        loss, gradients = net.loss_and_gradients(X, T, loss="mse")
        at[h] = loss, np.concatenate([g.ravel() for g in gradients.values()])
    slope, bend = ((at[STEP][i] - at[-STEP][i]) / (2 * STEP) for i in (0, 1))
    np.testing.assert_allclose(at[0.0][1] @ v, slope, rtol=1e-8)
    np.testing.assert_allclose(net.hessian_vector(X, T, v, loss="mse"), bend, rtol=1e-6, atol=1e-8)
    expected = reference.shift_forward(X, np.arange(4.0))
    alone = fb.Network([fb.Shift()], inputs=4, dtype="float64")
    alone.parameters["0.bias"] = np.arange(4.0)
    close(alone.predict(X), expected, "float64")
    close(alone.parameter_vjp(X, X)["0.bias"], reference.shift_vjp(X, np.arange(4.0))[1], "float64")
    close(alone.jvp(X, X), reference.shift_jvp(X, np.zeros(4)), "float64")
    F = fb.trace(lambda x, y: np.fmax(x, y).sum(), dtype="float64")
    x, y = np.array([1.0, np.nan, 2.0, 3.0]), np.array([0.0, 5.0, 4.0, 3.0])
    assert float(F(x, y)) == 1.0 + 5.0 + 4.0 + 3.0
    assert [list(map(float, g)) for g in F.gradient(x[2:], y[2:])] == [[0.0, 0.5], [1.0, 0.5]]
    assert ELEMENTWISE["fmax"](Expression("a"), Expression("b")).text.endswith("Number.isNaN(b) ? a : Math.max(a, b)")


def checked(dtype: str) -> list[str]:
    """Train with all of it while every kernel runs beside its twin; the names of the kernels that did."""
    layers = [fb.Linear(9), fb.HardSwish(), fb.Shift(), fb.Tanh(), fb.Shift(), fb.Linear(3)]
    net = fb.Network(layers, inputs=4, seed=1, dtype=dtype)
    with patch.dict(os.environ, FASTBP_PLAN="check"):
        trainer = fb.Trainer(net, loss="cauchy", optimizer=fb.Signum(**SETTINGS), batch_size=13)
        trainer.fit(X, T, epochs=2)
        for product in (net.vjp, net.jvp):
            product(X, np.ones((60, 3 if product == net.vjp else 4)))
    plan: Any = trainer._batch_plan
    assert plan.watcher.thunks
    return [*{op.name for op in plan.ops.records}, plan.update.kernel]


def pages(root: Path) -> dict[str, str]:
    """What scripts/docs.py would write of the copy."""
    spec = importlib.util.spec_from_file_location("docs", root / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    return {"page": docs.page(), "stub": docs.stub()}


def descent(lr: float) -> tuple[Any, Any]:
    """An optimiser, and its twin."""
    return fb.SGD(lr), lambda *now: reference.sgd(*now, lr=lr)


def run(dtype: str, config: str) -> dict[str, Any]:
    the_kernel_is_the_twin(dtype)
    found: dict[str, Any] = {"home": str(Path(fb.__file__).parents[1]), "code": main(["train", config, "-q"])}
    found["losses"] = {
        "activation": trained(LAYERS["activation"], "mse", *descent(0.05), dtype),
        "loss": trained(LAYERS["other"], "cauchy", *descent(3.0), dtype),
        "optimiser": trained(
            LAYERS["other"], "mse", fb.Signum(**SETTINGS), lambda *now: reference.signum(*now, **SETTINGS), dtype
        ),
    }
    found["watched"] = checked(dtype)
    if dtype == "float64":
        others()
        found |= pages(Path(found["home"])) | {
            "cases": list(self_test.cases()),
            "names": main(["names", "trainer.loss"]),
        }
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(run(*sys.argv[1:])))
