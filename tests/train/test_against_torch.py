"""The trainer against torch: the same parameters, the same batches, the same losses for 200 steps."""

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from tests.model.chains import DTYPES, build, data

torch = pytest.importorskip("torch")

# After 200 steps, absolute.
TOLERANCE = {"float32": 5e-4, "float64": 1e-9}
STEPS, ROWS, BATCH = 200, 50, 16
OPTIMIZERS = {
    "sgd": (fb.SGD(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (fb.SGD(0.02, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)),
    "adam": (fb.Adam(2e-3), lambda p: torch.optim.Adam(p, lr=2e-3)),
    "adamw": (fb.AdamW(2e-3, decay_all=True), lambda p: torch.optim.AdamW(p, lr=2e-3)),
}
CASES = [
    ("L", "sgd", "cross_entropy"),
    ("LrL", "adam", "cross_entropy"),
    ("LrdL", "sgd", "cross_entropy"),
    ("LtLsL", "momentum", "mse"),
    ("tLrL", "adamw", "cross_entropy"),
    ("LiLdrL", "adamw", "mse"),
    ("LsLt", "adam", "mse"),
    ("LLL", "momentum", "cross_entropy"),
    ("rLtsL", "adam", "mse"),
    ("LrLrLrL", "adamw", "cross_entropy"),
    ("LtLtLs", "sgd", "mse"),
    ("siLrtLi", "momentum", "cross_entropy"),
]


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks are slow on many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def in_torch(net):
    """The same network as a torch.nn.Sequential; torch's weights are (out, in)."""
    layers, inputs = [], net.inputs
    kinds = {
        fb.ReLU: torch.nn.ReLU,
        fb.Tanh: torch.nn.Tanh,
        fb.Sigmoid: torch.nn.Sigmoid,
        fb.Identity: torch.nn.Identity,
    }
    for node, layer in enumerate(net.layers):
        if isinstance(layer, fb.Linear):
            linear = torch.nn.Linear(inputs, layer.features, layer.bias, dtype=getattr(torch, net.dtype.name))
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(net.parameters[f"{node}.weight"].T.copy()))
                if layer.bias:
                    linear.bias.copy_(torch.from_numpy(net.parameters[f"{node}.bias"].copy()))
            layers.append(linear)
            inputs = layer.features
        else:
            layers.append(torch.nn.Dropout(layer.p) if isinstance(layer, fb.Dropout) else kinds[type(layer)]())
    return torch.nn.Sequential(*layers)


def natural(sequential):
    """Name -> array, as fastbp has them."""
    return {name: p.detach().numpy().T for name, p in sequential.named_parameters()}


def train(sequential, make, loss, X, y, seed):
    """Losses of steps over the batches that a trainer takes."""
    optimizer = make(sequential.parameters())
    measure = torch.nn.functional.cross_entropy if loss == "cross_entropy" else torch.nn.functional.mse_loss
    losses = []
    per_pass = -(-ROWS // BATCH)
    for step in range(STEPS):
        epoch, batch = divmod(step, per_pass)
        rows = reference.permutation(ROWS, seed, epoch)[batch * BATCH : batch * BATCH + BATCH]
        optimizer.zero_grad()
        value = measure(sequential(torch.from_numpy(X[rows])), torch.from_numpy(y[rows]))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("code", "optimizer", "loss"), CASES)
def test_run_follows_torch(code, optimizer, loss, dtype):
    rule, make = OPTIMIZERS[optimizer]
    net = build(code, 7, dtype, p=0.0, outputs=4)
    X, y = data(net, ROWS, loss)
    sequential = in_torch(net)
    start = net.flat
    losses = train(sequential, make, loss, X, y, net.seed)
    history = fb.Trainer(net, loss=loss, optimizer=rule, batch_size=BATCH).run(X, y, steps=STEPS)
    found = natural(sequential)
    assert set(found) == set(net.parameters)
    for name, expected in found.items():
        np.testing.assert_allclose(net.parameters[name], expected, rtol=0, atol=TOLERANCE[dtype], err_msg=name)
    means = [np.average(losses[i : i + 4], weights=[16, 16, 16, 2]) for i in range(0, STEPS, 4)]
    np.testing.assert_allclose(history.loss, means, rtol=0, atol=TOLERANCE[dtype])
    assert np.abs(net.flat - start).max() > 20 * TOLERANCE[dtype]  # there was something to follow
