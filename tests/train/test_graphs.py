"""Networks that are graphs in training: threads, callbacks, checkpoints, L-BFGS, and what is not finite."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.memory import view
from fastbp.errors import DivergedError
from fastbp.lowering import plans
from fastbp.train.checkpoints import load_state, state_of
from tests.model.random_graphs import network
from tests.model.some_graphs import CLASSES, JOINT, NUMBERS, RNG, X, Z, bits, residual, two_ways

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# Threads


@pytest.mark.parametrize("words", [{}, {"clip_norm": 0.5, "accumulate": 2, "ema": 0.5}], ids=["plain", "staged"])
@every_dtype
def test_threads_change_no_bit_of_a_graph(dtype, words, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    found = set()
    for threads in (1, 2, 3):
        net = two_ways(dtype)
        trainer = fb.Trainer(net, loss=JOINT, batch_size=41, threads=threads, **words)
        loss = trainer.run((X, Z), (CLASSES, NUMBERS), steps=7).loss
        outputs = net.predict((X, Z), threads=threads)
        found.add(bits(net) + np.array(loss).tobytes() + b"".join(y.tobytes() for y in outputs))
    assert len(found) == 1


@pytest.mark.parametrize("seed", range(0, 50, 4))
def test_threads_change_no_bit_of_a_random_graph(seed, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    rng, found = np.random.default_rng(seed), set()
    rows = None
    for threads in (1, 2, 3):
        net = network(seed, "float32")
        if rows is None:
            rows = rng.normal(size=(70, net.inputs))
            y = tuple(rng.normal(size=(70, width)) for width in net.graph.splits)
        several = len(y) > 1
        loss = ["mse"] * len(y) if several else "mse"
        trainer = fb.Trainer(net, loss=loss, optimizer=fb.Adam(1e-3), batch_size=33, threads=threads)
        history = trainer.run(rows, y if several else y[0], steps=6)
        u = np.ones((70, net.outputs))
        found.add(bits(net) + np.array(history.loss).tobytes() + net.vjp(rows, u).tobytes())
    assert len(found) == 1


# Training


def test_a_graph_learns():
    x, y = residual(tail=1)
    net = fb.Network(inputs=x, outputs=y, seed=0)
    target = np.sin(X[:, :1]) * X[:, 1:2]
    history = fb.Trainer(net, "mse", fb.Adam(1e-2), batch_size=30).fit(X, target, epochs=150)
    assert history.loss[-1] < 0.02 * history.loss[0]


def test_dropout_in_a_branch_is_one_mask_for_all_who_read_it():
    x = fb.Input(7)
    dropped = fb.Dropout(0.5)(fb.Linear(7)(x))
    net = fb.Network(inputs=x, outputs=dropped - dropped, dtype="float64")
    assert net.loss_and_gradients(X, 0.0 * X, "mse", training=True)[0] == 0.0


def test_dropouts_in_two_branches_have_masks_of_their_own():
    x, drop = fb.Input(7), fb.Dropout(0.5)
    h = fb.Linear(7)(x)
    net = fb.Network(inputs=x, outputs=drop(h) - drop(h), dtype="float64")
    assert net.loss_and_gradients(X, 0.0 * X, "mse", training=True)[0] > 0.0
    assert net.loss_and_gradients(X, 0.0 * X, "mse")[0] == 0.0


def test_batch_norm_in_a_branch_learns_the_statistics_of_what_it_reads():
    x = fb.Input(7)
    net = fb.Network(inputs=x, outputs=fb.Linear(4)(fb.BatchNorm()(2.0 * x, name="norm") + x), dtype="float64")
    fb.Trainer(net, batch_size=90).step(X, CLASSES)
    np.testing.assert_allclose(net.states["norm.running_mean"], 0.1 * 2.0 * X.mean(axis=0), rtol=1e-12)


def read_twice(widths, dtype="float64"):
    """Branches that are joined and read by two layers, so that their cotangents are cut out of a sum."""
    x = fb.Input(7)
    h = fb.concat([fb.Linear(width)(x) for width in widths])
    return fb.Network(inputs=x, outputs=fb.Linear(4)(h) + fb.Linear(4)(h[:, 1:]), dtype=dtype, seed=3)


@pytest.mark.parametrize("widths", [(3, 5), (5, 3), (1, 1), (8, 3), (17, 2, 6)], ids=str)
@every_dtype
def test_the_norm_that_is_clipped_is_of_the_gradients_alone(dtype, widths):
    net, limit = read_twice(widths, dtype), 1e-3
    _, gradients = net.loss_and_gradients(X, CLASSES)
    norm = np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in gradients.values()))
    before = net.flat.astype(np.float64)
    fb.Trainer(net, optimizer=fb.SGD(1.0), clip_norm=limit, threads=1).step(X, CLASSES)
    np.testing.assert_allclose(np.linalg.norm(net.flat - before), limit * norm / (norm + 1e-6), rtol=1e-3)


@pytest.mark.parametrize("words", [{"optimizer": "adam", "clip_norm": 0.01}, {"optimizer": "muon"}], ids=str)
@pytest.mark.parametrize("widths", [(3, 5), (17, 2, 6)], ids=str)
def test_what_pads_parameters_stays_zero(widths, words):
    net = read_twice(widths)
    trainer = fb.Trainer(net, threads=1, **words)
    trainer.run(X, CLASSES, steps=3)
    natural = net.flat
    raw = view(net.parameters.block.address, (net.parameters.block.size // 8,), np.float64)
    assert np.count_nonzero(raw) == np.count_nonzero(natural)


def test_fit_validates_and_stops_a_network_with_several_outputs():
    net = two_ways("float32")
    trainer = fb.Trainer(net, loss=JOINT, optimizer=fb.Adam(0.05), batch_size=32)
    held_out = (X[:30], Z[:30]), (CLASSES[:30], NUMBERS[:30])
    stop = fb.EarlyStopping(patience=3)
    rows, targets = (X[30:], Z[30:]), (CLASSES[30:], NUMBERS[30:])
    history = trainer.fit(rows, targets, epochs=200, validation=held_out, callbacks=[stop])
    assert len(history.val_loss) < 200
    best = min(history.val_loss)
    assert abs(net.evaluate(*held_out, JOINT) - best) <= 1e-6 * best


def test_run_and_fit_take_the_same_steps():
    nets = [two_ways(), two_ways()]
    fb.Trainer(nets[0], loss=JOINT, batch_size=90).run((X, Z), (CLASSES, NUMBERS), steps=3)
    fb.Trainer(nets[1], loss=JOINT, batch_size=90).fit({"x": X, "z": Z}, (CLASSES, NUMBERS), epochs=3)
    assert bits(nets[0]) == bits(nets[1])


def test_a_step_takes_rows_and_targets_in_every_form():
    forms = [
        ((X, Z), (CLASSES, NUMBERS)),
        (np.hstack([X, Z]), [CLASSES, NUMBERS]),
        ({"x": X, "z": Z}, (CLASSES, NUMBERS)),
    ]
    nets = [two_ways() for _ in forms]
    for net, (rows, targets) in zip(nets, forms, strict=True):
        trainer = fb.Trainer(net, loss=JOINT, batch_size=90)
        for _ in range(3):
            trainer.step(rows, targets)
    assert len({bits(net) for net in nets}) == 1


def test_a_run_that_was_cut_off_goes_on_to_the_same_bits():
    whole, cut = two_ways("float32"), two_ways("float32")
    fb.Trainer(whole, loss=JOINT, batch_size=32).run((X, Z), (CLASSES, NUMBERS), steps=6)
    first = fb.Trainer(cut, loss=JOINT, batch_size=32)
    first.run((X, Z), (CLASSES, NUMBERS), steps=3)  # a pass of three batches
    other = two_ways("float32", seed=9)
    second = fb.Trainer(other, loss=JOINT, batch_size=32, seed=3)
    load_state(second, *state_of(first))
    second.fit((X, Z), (CLASSES, NUMBERS), epochs=2, history=fb.History(loss=[0.0], steps=3))
    assert bits(other) == bits(whole)


def test_lbfgs_minimises_the_loss_of_a_graph():
    pytest.importorskip("scipy")
    x, z = fb.Input(7), fb.Input(3)
    h = fb.Tanh()(fb.Linear(8)(x)) * fb.Linear(8)(z)
    net = fb.Network(inputs=[x, z], outputs=[fb.Linear(4)(h), fb.Linear(2)(h + 1.0)], seed=0, dtype="float64")
    history = fb.LBFGS(net, loss=JOINT).fit((X, Z), (CLASSES, NUMBERS), epochs=30)
    assert history.loss[-1] < 0.8 * history.loss[0]
    assert history.samples % 90 == 0


def test_layers_are_frozen_and_slowed_by_their_names():
    x = fb.Input(7)
    h = fb.Linear(5)(x, name="trunk")
    net = fb.Network(inputs=x, outputs=fb.Linear(4)(h + fb.Linear(5)(x, name="side"), name="head"), dtype="float64")
    before = dict(net.parameters.items())
    _, gradients = net.loss_and_gradients(X, CLASSES)
    factors = {"head": 0.5, "side.bias": 0.25}
    fb.Trainer(net, optimizer=fb.SGD(1.0), batch_size=90, frozen=["trunk"], lr_factors=factors).step(X, CLASSES)
    for name, gradient in gradients.items():
        factor = {"trunk": 0.0, "head": 0.5, "side": 1.0}[name.split(".")[0]] if name != "side.bias" else 0.25
        np.testing.assert_allclose(net.parameters[name], before[name] - factor * gradient, rtol=1e-12, atol=1e-15)


def test_a_hundred_residual_blocks_work():
    x, y = residual(blocks=100, width=5)
    net = fb.Network(inputs=x, outputs=y, seed=0, dtype="float64")
    assert len(net.graph.nodes) == 402
    trainer = fb.Trainer(net, optimizer=fb.Adam(1e-3), batch_size=30)
    history = trainer.run(X, CLASSES, steps=30)
    assert history.loss[-1] < history.loss[0]
    v, u = RNG.normal(size=X.shape), RNG.normal(size=(90, 4))
    np.testing.assert_allclose((net.jvp(X, v) * u).sum(), (net.vjp(X, u) * v).sum(), rtol=1e-10)


# What is not finite


def broken(part, seed=0):
    """A network of which one layer's outputs overflow."""
    x = fb.Input(7)
    again = fb.Linear(5)
    h = again(fb.Linear(5)(x, name="first"), name="again")
    g = fb.Linear(5)(h, name="middle")
    out = fb.Linear(4)(again(g) + fb.Linear(5)(x, name="side"), name="last")
    net = fb.Network(inputs=x, outputs=out, seed=seed, dtype="float64")
    weight = net.parameters[f"{part}.weight"]
    net.parameters[f"{part}.weight"] = np.full_like(weight, 1e308)
    return net


@pytest.mark.parametrize("part", ["first", "again", "middle", "side", "last"])
def test_a_step_that_would_not_be_finite_names_its_layer_and_changes_nothing(part):
    net = broken(part)
    before = bits(net)
    with pytest.raises(DivergedError) as info:
        fb.Trainer(net, batch_size=90).step(X, CLASSES)
    node = next(node for node in net.graph.nodes if node.home == part)
    message = f"first in layer `{node.name}` ({node.layer}); the parameters are those before that step"
    assert message in str(info.value)
    assert info.value.layer == node.name
    assert bits(net) == before


def test_gradients_that_overflow_only_where_they_are_added_are_seen():
    """Each of two hundred uses of a weight has a gradient of 2e36."""
    x, layer = fb.Input(1), fb.Linear(1, bias=False, init="zeros")
    net = fb.Network(inputs=x, outputs=fb.Add()(*[layer(x) for _ in range(200)]))
    trainer = fb.Trainer(net, fb.HalfMSE(reduction="sum"), fb.SGD(1e-3), batch_size=1)
    with pytest.raises(DivergedError):
        trainer.step(np.full((1, 1), 1e18), np.full((1, 1), -2e18))
    assert net.flat.tolist() == [0.0]
