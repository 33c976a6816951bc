"""Muon: steps of hidden weights against NumPy and torch, the same bits however they are computed, and going on."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.lowering import plans
from fastbp.train.checkpoints import load_state, state_of
from tests.kernels import turn_calls
from tests.kernels.harness import DTYPES, Machine, same_bits

WIDTHS = (37, 90, 70, 140)  # hidden weights higher than wide and wider than high, of one and of several blocks
LR, MUON_LR, DECAY = 0.01, 0.05, 0.1
# After some steps, as a part of the largest weight.
TOLERANCE = {"float32": 2e-6, "float64": 2e-14}

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def no_step_is_too_small(monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    monkeypatch.setenv("FASTBP_TEAM", "all")


def network(dtype="float32", widths=WIDTHS):
    layers = [part for width in widths for part in (fb.Linear(width), fb.Tanh())]
    return fb.Network([*layers, fb.Linear(5)], inputs=21, seed=3, dtype=dtype)


def rows(dtype="float32", count=96):
    rng = np.random.default_rng(7)
    return rng.normal(size=(count, 21)).astype(dtype), rng.integers(0, 5, count)


def muon(**words):
    return fb.Muon(**{"lr": LR, "muon_lr": MUON_LR, "weight_decay": DECAY, **words})


def trained(dtype="float32", optimizer=None, steps=4, threads=1, **words):
    net = network(dtype)
    trainer = fb.Trainer(net, "cross_entropy", optimizer or muon(), batch_size=16, threads=threads, **words)
    trainer.run(*rows(dtype), steps)
    return net


def in_numpy(dtype, steps, factor=lambda t: 1.0, factors=None, frozen=(), clip_norm=0.0):
    """The same steps in float64, each on all rows."""
    net, (x, y), states = network("float64"), rows(dtype), {}
    start = network(dtype)
    for name in net.parameters:
        net.parameters[name] = start.parameters[name].astype(np.float64)
    hidden = net.graph.hidden()
    for t in range(steps):
        _, found = net.loss_and_gradients(x.astype(np.float64), y, loss="cross_entropy")
        if clip_norm:
            clipped, _ = reference.clip_norm(list(found.values()), clip_norm)
            found = dict(zip(found, clipped, strict=True))
        for name, g in found.items():
            if name in frozen:
                continue
            p, state, rate = net.parameters[name], states.get(name, {}), factor(t) * (factors or {}).get(name, 1.0)
            if name in hidden:
                p, state = reference.muon(p, g, state, LR * rate, MUON_LR * rate, weight_decay=DECAY)
            else:
                decay = DECAY if name.endswith("weight") else 0.0
                p, state = reference.adamw(p, g, state, LR * rate, weight_decay=decay)
            net.parameters[name], states[name] = p, state
    return net


def assert_near(net, expected):
    for name, want in expected.parameters.items():
        got = net.parameters[name].astype(np.float64)
        assert np.abs(got - want).max() <= TOLERANCE[net.dtype.name] * max(1.0, np.abs(want).max()), name


CASES = {
    "plain": ({}, {}),
    "clipped": ({"clip_norm": 0.05}, {"clip_norm": 0.05}),
    "factors": (
        {"lr_factors": {"2.weight": 0.25, "0": 3.0}},
        {"factors": {"2.weight": 0.25, "0.weight": 3.0, "0.bias": 3.0}},
    ),
    "frozen": ({"frozen": ["2.weight"]}, {"frozen": ("2.weight",)}),
    "schedule": ({"schedule": fb.Exponential(gamma=0.5)}, {"factor": lambda t: 0.5**t}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@every_dtype
def test_steps_are_those_of_the_twin(dtype, case):
    words, same = CASES[case]
    net = network(dtype)
    trainer = fb.Trainer(net, "cross_entropy", muon(), batch_size=96, threads=2, **words)
    for _ in range(4):
        trainer.step(*rows(dtype))
    assert_near(net, in_numpy(dtype, 4, **same))


def test_the_twin_takes_the_steps_of_torch(monkeypatch):
    """Of large gradients: torch takes the larger of their norm and 1e-7, not the sum."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda own: own.double())  # what it makes orthogonal, in full
    rng = np.random.default_rng(1)
    for shape in ((40, 70), (70, 40), (64, 64), (3, 1)):
        p, state = rng.normal(size=shape), {}
        theirs = torch.nn.Parameter(torch.from_numpy(p.T.copy()))
        optimizer = torch.optim.Muon([theirs], lr=MUON_LR, weight_decay=DECAY)
        for _ in range(5):
            g = 1e8 * rng.normal(size=shape)
            p, state = reference.muon(p, g, state, LR, MUON_LR, weight_decay=DECAY)
            theirs.grad = torch.from_numpy(g.T.copy())
            optimizer.step()
        assert np.abs(p - theirs.detach().numpy().T).max() < 1e-12


def test_singular_values_of_a_step_are_near_one():
    before, after = network("float64"), trained("float64", muon(weight_decay=0.0), steps=1)
    for name in ("2.weight", "4.weight", "6.weight"):
        moved = after.parameters[name] - before.parameters[name]
        inputs, outputs = moved.shape
        values = np.linalg.svd(moved / MUON_LR / max(1.0, outputs / inputs) ** 0.5, compute_uv=False)
        large = values[:10]  # of a batch of 16 rows and 5 classes not all have a direction
        assert ((large > 0.6) & (large < 1.21)).all()


@every_dtype
def test_the_threads_change_no_bit(dtype):
    words = {"clip_norm": 0.5, "accumulate": 2, "ema": 0.75}
    alone = [trained(dtype).flat, trained(dtype, **words).flat]
    for threads in (2, 3):
        found = [trained(dtype, threads=threads).flat, trained(dtype, threads=threads, **words).flat]
        assert all(same_bits(*pair) for pair in zip(alone, found, strict=True))


def test_what_is_hidden():
    x = fb.Input(4)
    first, shared = fb.Linear(6), fb.Linear(6)
    h = shared(shared(first(x)))
    net = fb.Network(inputs=x, outputs=[fb.Linear(2)(fb.Tanh()(h)), fb.Linear(1)(x)], seed=0)
    names = [name for name in net.parameters if name.endswith("weight")]
    assert net.graph.hidden() == set(names[:2])
    assert fb.mlp([3, 2]).graph.hidden() == set()
    assert fb.mlp([3, 5, 5, 2]).graph.hidden() == {"0.weight", "2.weight"}


def of_members(kind, dtype="float64"):
    """Two hidden layers of three members, which share their matrices."""
    body = {
        "mini": [fb.MemberScale(), fb.Linear(40), fb.Tanh(), fb.Linear(30), fb.Tanh()],
        "adapted": [fb.AdaptedLinear(40, adapter="signs"), fb.Tanh(), fb.AdaptedLinear(30), fb.Tanh()],
    }
    layers = [fb.Members(3, "softmax"), *body[kind], fb.MemberLinear(5)]
    return fb.Network(layers, inputs=21, seed=3, dtype=dtype)


@pytest.mark.parametrize("kind", ["mini", "adapted"])
def test_matrices_that_members_share_are_hidden(kind):
    """Their steps are those of the twin; a member's own ones, at the end too, are AdamW's."""
    hidden = {"mini": {"2.weight", "4.weight"}, "adapted": {"1.weight", "3.weight"}}[kind]
    net, twin, states, (x, y) = of_members(kind), of_members(kind), {}, rows("float64")
    assert net.graph.hidden() == hidden
    trainer = fb.Trainer(net, "cross_entropy", muon(), batch_size=96, threads=2)
    for _ in range(3):
        trainer.step(x, y)
        for name, g in twin.loss_and_gradients(x, y, loss="cross_entropy")[1].items():
            p, state = twin.parameters[name], states.get(name, {})
            if name in hidden:
                p, state = reference.muon(p, g, state, LR, MUON_LR, weight_decay=DECAY)
            else:
                decay = DECAY if name in net.graph.decaying() else 0.0
                p, state = reference.adamw(p, g, state, LR, weight_decay=decay)
            twin.parameters[name], states[name] = p, state
    assert_near(net, twin)


def test_a_network_without_hidden_weights_takes_the_steps_of_adamw():
    x, y = rows()
    nets = [fb.Network([fb.Linear(5)], inputs=21, seed=0) for _ in range(2)]
    for net, optimizer in zip(nets, (muon(), fb.AdamW(LR, weight_decay=DECAY)), strict=True):
        fb.Trainer(net, optimizer=optimizer, batch_size=16).run(x, y, 5)
    assert same_bits(nets[0].flat, nets[1].flat)


def test_members_of_a_pack_have_the_bits_that_they_have_alone():
    x, y = rows()
    rates = (0.01, 0.1, 0.001)
    optimizers = [muon(muon_lr=rate, weight_decay=rate) for rate in rates]
    pack = fb.Pack([network(widths=WIDTHS[: i + 1]) for i in range(3)], optimizer=optimizers, batch_size=16, threads=2)
    pack.fit(x, y, epochs=3)
    for i, optimizer in enumerate(optimizers):
        net = network(widths=WIDTHS[: i + 1])
        fb.Trainer(net, optimizer=optimizer, batch_size=16).fit(x, y, epochs=3)
        assert same_bits(pack.members[i].flat, net.flat)


def test_training_goes_on_with_the_same_bits():
    """Both rates have been lowered by a plateau that is no power of two."""
    x, y = rows()
    hook = lambda: fb.ReduceLROnPlateau(monitor="loss", factor=0.7, patience=1, min_delta=10.0)  # noqa: E731
    whole = fb.Trainer(network(), optimizer=muon(), batch_size=16)
    history = whole.fit(x, y, epochs=4, callbacks=[hook()])
    assert whole.optimizer.lr < 0.4 * LR
    assert whole.optimizer.muon_lr / whole.optimizer.lr == pytest.approx(MUON_LR / LR, rel=1e-12)
    again, so_far = fb.Trainer(network(), optimizer=muon(), batch_size=16), copy.deepcopy(history)
    load_state(again, *state_of(whole))
    assert again.optimizer == whole.optimizer
    whole.fit(x, y, epochs=7, history=history)
    again.fit(x, y, epochs=7, history=so_far)
    assert same_bits(again.net.flat, whole.net.flat)
    assert history.loss == so_far.loss


@every_dtype
def test_directions_of_any_magnitude_become_orthogonal(dtype):
    """Squares that no number of the dtype holds are summed as those of smaller ones."""
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(20, 40))
    huge = {"float32": 1e30, "float64": 1e200}[dtype]
    for size in (1e-15, 1.0, huge):
        u = (size * unit).astype(dtype)
        m = Machine(dtype)
        direction, squares = turn_calls.momentum(m, u, u)
        sums = np.square((direction / (size if size > 1 else 1.0)).astype(np.float64)).sum()
        assert squares.min() < 0 or squares.sum() == pytest.approx(sums * (size if size > 1 else 1.0) ** 2, rel=1e-5)
    net = network(dtype)
    x, y = rows(dtype)
    before = {name: net.parameters[name].copy() for name in net.parameters}
    fb.Trainer(net, fb.CrossEntropy(class_weights=[1e30] * 5), muon(), batch_size=96).step(x, y)
    assert all(np.isfinite(net.parameters[name]).all() for name in before)


@pytest.mark.parametrize("momentum", [0.0, 0.95])
@every_dtype
def test_steps_stay_within_bounds_that_are_carried_on(dtype, momentum):
    """So none is tried on copies, however far it goes."""
    net = network(dtype)
    x, y = rows(dtype)
    trainer = fb.Trainer(net, "cross_entropy", muon(muon_lr=3.0, momentum=momentum, lr=1e-3), batch_size=96)
    for _ in range(12):
        trainer.step(x, y)
        update = trainer._step_plan.head.update
        assert max(np.abs(net.parameters[name]).max() for name in net.parameters) <= update.now.parameters
        assert float(np.abs(trainer._update.moments[0].read("2.weight")).max()) <= update.now.moment_1
    assert np.abs(net.parameters["2.weight"]).max() > 1.5
    assert update.tried == 0


def test_a_step_that_would_overflow_is_not_begun():
    net = network()
    x, y = rows()
    before = net.flat.copy()
    trainer = fb.Trainer(net, optimizer=fb.Muon(1e30, muon_lr=1e38, weight_decay=1e20), batch_size=96)
    with pytest.raises(fb.DivergedError, match="parameters must stay finite"):
        trainer.run(x, y, 3)
    assert same_bits(net.flat, before)


def test_a_plan_shows_the_turns():
    trainer = fb.Trainer(network(), optimizer=muon(), batch_size=16, threads=1)
    trainer.run(*rows(), 1)
    text = str(trainer._batch_plan)
    assert text.count("muon_gram: ") == 5
    assert re.search(r"\nphase 20  muon_end: \d parts of directions  -> directions\nphase 21  update: ", text)
