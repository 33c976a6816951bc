"""What packs predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastbp as fb
from tests.train.packs import CLASSES, ROWS, data, digest, networks


def softmax(z: Any) -> Any:
    e = np.exp(z.astype(np.float64) - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


SAID: dict[str, Any] = {
    "cross_entropy": softmax,
    "binary_cross_entropy": lambda z: 1 / (1 + np.exp(-z.astype(np.float64))),
    "mse": lambda z: z.astype(np.float64),
    "poisson": lambda z: np.exp(z.astype(np.float64)),
    "multi_margin": lambda z: z.astype(np.float64),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("loss", SAID)
def test_predictions_are_means_of_what_outputs_stand_for(loss: str, threads: int) -> None:
    X, _ = data(rows=700)
    pack = fb.Pack(networks(), loss=loss, threads=threads)
    outputs = pack.predict_members(X)
    for i, net in enumerate(pack.members):
        assert np.array_equal(outputs[i], net.predict(X))
    expected = SAID[loss](outputs)
    np.testing.assert_allclose(pack.predict(X), expected.mean(axis=0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(pack.spread(X), expected.std(axis=0), rtol=1e-5, atol=1e-7)
    assert pack.predict(X).dtype == np.float32
    assert np.array_equal(pack.predict(X[3]), pack.predict(X)[3])
    assert np.array_equal(pack.predict_members(X[3]), outputs[:, 3])


def test_networks_of_several_inputs_and_outputs() -> None:
    X, y = data()
    number = X[:, 1:2] ** 2

    def net(width: int) -> fb.Network:
        left, right = fb.Input(2, "left"), fb.Input(3, "right")
        h = fb.Tanh()(fb.Linear(width)(fb.concat([left, right])))
        return fb.Network(inputs=[left, right], outputs=[fb.Linear(CLASSES)(h), fb.Linear(1)(h)], seed=width)

    loss = fb.JointLoss(["cross_entropy", "mse"])
    pack = fb.Pack([net(8), net(9)], loss=loss, threads=2)
    parts = X[:, :2], X[:, 2:]
    pack.run(parts, (y, number), steps=30)
    for width, member in zip((8, 9), pack.members, strict=True):
        other = net(width)
        fb.Trainer(other, loss=loss, threads=1).run(parts, (y, number), steps=30)
        assert digest(other) == digest(member)
    both = [member.predict(parts) for member in pack.members]
    classes, numbers = pack.predict(parts)
    np.testing.assert_allclose(classes, np.mean([softmax(one[0]) for one in both], axis=0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(numbers, np.mean([one[1] for one in both], axis=0), rtol=1e-6, atol=1e-7)
    assert [one.shape for one in pack.predict_members(parts)] == [(2, ROWS, CLASSES), (2, ROWS, 1)]
    assert [one.shape for one in pack.spread(parts)] == [(ROWS, CLASSES), (ROWS, 1)]
