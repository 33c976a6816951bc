"""Initial parameters by rows of data: against NumPy, and whoever completes them."""

import copy
import hashlib
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, DataError
from fastbp.model import by_rows
from fastbp.model.files import FORMATS
from fastbp.model.sealed import sealed, unsealed, write
from fastbp.spec.coded import Coded
from fastbp.train.checkpoints import load_state, state_of
from tests.model.chains import DTYPES

RNG = np.random.default_rng(1)
X = RNG.normal(3.0, 2.0, size=(200, 5))
Y = np.arange(200) % 3

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def block(width, **words):
    return fb.Linear(width, init="std", bias_init="he5", **words)


def network(dtype="float64", seed=4, ntk=True, p=0.3):
    layers = [
        fb.Scale(),
        block(40, ntk=ntk),
        fb.SELU(),
        fb.Identity() if p is None else fb.Dropout(p),
        block(17, ntk=ntk),
        fb.Parametric("mish"),
    ]
    return fb.Network([*layers, block(3, ntk=ntk)], inputs=5, seed=seed, dtype=dtype)


def before(net, index, X):
    """What goes into a layer."""
    graph = net.graph.nodes[:index]
    rest = fb.Network([node.layer for node in graph], inputs=5, dtype=net.dtype)
    for name in rest.parameters:
        rest.parameters[name] = net.parameters[name]
    return rest.predict(X).astype(np.float64)


@every_dtype
@pytest.mark.parametrize("ntk", [True, False])
def test_each_layer_is_that_of_a_standard_normal_draw_whose_outputs_have_variance_1(dtype, ntk):
    net, plain = network(dtype, ntk=ntk), network(dtype, ntk=ntk)
    fb.initialize(net, X)
    off = 1e-12 if dtype == "float64" else 1e-4
    for index in (1, 4, 6):
        x = before(net, index, X) / (np.sqrt(net.graph.nodes[index].inputs) if ntk else 1.0)
        drawn = plain.parameters[f"{index}.weight"].astype(np.float64)
        np.testing.assert_allclose(net.parameters[f"{index}.weight"], drawn / (x @ drawn).std(axis=0), rtol=off)


@every_dtype
def test_each_bias_is_less_a_mean_of_five_rows(dtype):
    net = fb.initialize(network(dtype), X)
    for index in (1, 4, 6):
        z = before(net, index, X) / np.sqrt(net.graph.nodes[index].inputs) @ net.parameters[f"{index}.weight"]
        b = -net.parameters[f"{index}.bias"]
        assert ((z.min(axis=0) <= b) & (b <= z.max(axis=0))).all()
    # A mean of five with exponential shares: its variance is a third of that of one row.
    wide = fb.initialize(fb.Network([block(4000)], inputs=5, dtype=dtype), X)
    z = X @ wide.parameters["0.weight"]
    spread = (-wide.parameters["0.bias"] - z.mean(axis=0)) / z.std(axis=0)
    assert abs(spread.mean()) < 0.04
    assert spread.var() == pytest.approx(1 / 3, abs=0.03)


def test_another_seed_and_other_rows_are_others_and_the_same_are_the_same():
    first = fb.initialize(network(), X).flat
    assert fb.initialize(network(), X).flat.tobytes() == first.tobytes()
    assert (fb.initialize(network(seed=5), X).flat != first).any()
    assert (fb.initialize(network(), X[1:]).flat != first).any()


def test_a_second_time_is_as_the_first_whatever_was_learned():
    net = network()
    first = fb.initialize(net, X).flat
    fb.Trainer(net).fit(X, Y, epochs=1)
    net.parameters["0.weight"] = np.ones(5)
    net.parameters["5.weight"] = np.ones(17)
    assert fb.initialize(net, X).flat.tobytes() == first.tobytes()


def test_a_column_that_is_the_same_in_every_row_stays_as_drawn():
    net, plain = (fb.Network([block(4)], inputs=5, seed=1) for _ in range(2))
    fb.initialize(net, np.zeros((9, 5)))
    assert net.parameters["0.weight"].tobytes() == plain.parameters["0.weight"].tobytes()
    assert not net.parameters["0.bias"].any()


FITS = {
    "fit": lambda net: fb.Trainer(net).fit(X, Y, epochs=0),
    "run": lambda net: fb.Trainer(net).run(X, Y, steps=0),
    "pack": lambda net: fb.Pack([net]).fit(X, Y, epochs=0),
    "lbfgs": lambda net: fb.LBFGS(net).fit(X, Y, epochs=0),
}


@pytest.mark.parametrize("how", FITS)
def test_the_first_training_completes_what_nobody_has(how):
    net = network(p=None)
    FITS[how](net)
    first = net.flat
    assert first.tobytes() == fb.initialize(network(), X).flat.tobytes()
    FITS[how](net)
    assert net.flat.tobytes() == first.tobytes()


def test_a_single_step_completes_it_by_its_rows():
    net, other = network(), fb.initialize(network(), X)
    fb.Trainer(net, optimizer=fb.SGD(0.1)).step(X, Y)
    fb.Trainer(other, optimizer=fb.SGD(0.1)).step(X, Y)
    assert net.flat.tobytes() == other.flat.tobytes()


def test_members_of_a_pack_are_completed_by_their_own_rows():
    nets, rows = [network(seed=1), network(seed=2)], [np.arange(100), np.array([5, 5, 9, 120, 7])]
    fb.Pack(nets, rows=rows).fit(X, Y, epochs=0)
    for net, own in zip(nets, rows, strict=True):
        assert net.flat.tobytes() == fb.initialize(network(seed=net.seed), X[own]).flat.tobytes()


def test_what_was_assigned_is_not_drawn_again():
    net = network()
    mine = RNG.normal(size=(5, 40))
    net.parameters["1.weight"] = mine
    fb.Trainer(net).fit(X, Y, epochs=0)
    np.testing.assert_array_equal(net.parameters["1.weight"], mine)
    assert net.parameters["4.weight"].tobytes() != network().parameters["4.weight"].tobytes()
    again = network()
    again.flat = net.flat
    fb.Trainer(again).fit(X, Y, epochs=0)
    assert again.flat.tobytes() == net.flat.tobytes()


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_wait_as_their_original_does(way):
    net = network()
    early = way(net)
    fb.initialize(net, X)
    late = way(net)
    for one in (early, late):
        fb.Trainer(one).fit(X, Y, epochs=0)
        assert one.flat.tobytes() == net.flat.tobytes()


def test_a_checkpoint_before_the_first_step_keeps_what_waits():
    begun, other = fb.Trainer(network()), fb.Trainer(network(seed=9))
    load_state(other, *state_of(begun))
    other.fit(X, Y, epochs=0)
    assert other.net.parameters["1.weight"].tobytes() != begun.net.parameters["1.weight"].tobytes()
    begun.fit(X, Y, epochs=0)
    done = fb.Trainer(network(seed=9))
    load_state(done, *state_of(begun))
    done.fit(X, Y, epochs=0)
    assert done.net.flat.tobytes() == begun.net.flat.tobytes()


def test_an_average_of_parameters_begins_where_they_do():
    trainer = fb.Trainer(network(), ema=0.5, batch_size=200)
    trainer.fit(X, Y, epochs=1)
    assert trainer.averaged.flat.tobytes() == trainer.net.flat.tobytes()


def test_of_many_rows_some_are_enough(monkeypatch):
    monkeypatch.setattr(by_rows, "ROWS", 50)
    net = fb.initialize(network(), X)
    z = before(net, 1, X) / np.sqrt(5) @ net.parameters["1.weight"]
    assert 0.5 < z.std(axis=0).min() < z.std(axis=0).max() < 2.0
    assert (z.std(axis=0) != 1.0).any()


def test_codes_are_completed_as_the_rows_that_they_stand_for():
    narrow = np.hstack([RNG.normal(size=(60, 2)), RNG.integers(0, 4, (60, 1))]).astype(np.float32)
    rows = Coded(narrow, (0, 0, 3))
    short, full = (fb.Network([block(20), fb.Tanh(), block(2)], inputs=5) for _ in range(2))
    by_rows.complete(short, rows)
    by_rows.complete(full, np.asarray(rows))
    assert short.flat.tobytes() == full.flat.tobytes()


def test_layers_of_a_graph_are_completed_behind_tables_and_with_several_inputs():
    a, b = fb.Input(3, name="a"), fb.Input(2, name="b")
    shared = block(7)
    h = fb.concat([fb.Tanh()(shared(fb.Linear(4)(a))), fb.Tanh()(shared(fb.Linear(4)(b)))])
    net = fb.Network(inputs=[a, b], outputs=[block(2)(h), block(1)(h)], seed=3)
    rows = X.astype(np.float32)
    fb.initialize(net, rows)
    found = net.predict([rows[:, :3], rows[:, 3:]])
    np.testing.assert_allclose(np.hstack(found).std(axis=0), 1.0, rtol=1e-4)
    coded = np.hstack([rows, (np.arange(200) % 4)[:, None]])
    tables = fb.Network([fb.Embedding({5: (4, 3)}), block(6), fb.ReLU(), block(2)], inputs=6, seed=3)
    np.testing.assert_allclose(fb.initialize(tables, coded).predict(coded).std(axis=0), 1.0, rtol=1e-4)


def test_only_parts_of_linear_layers_ask_for_rows():
    with pytest.raises(ConfigError) as error:
        fb.initialize(fb.Network([fb.Linear(3)], inputs=5), X)
    assert str(error.value) == '`net` must have a layer with `init="std"` or `bias_init="he5"`, got none'
    for make in (lambda: fb.Scale(init="std"), lambda: fb.Linear(3, init="he5"), lambda: fb.Linear(3, bias_init="std")):
        with pytest.raises(ConfigError, match="must be one of `torch`"):
            make()


DIGESTS = {"float32": "516b71554714d14e", "float64": "a08226179cf44d7b"}


@every_dtype
def test_the_bits_are_those_that_were_written_down(dtype):
    net = network(dtype)
    rows = np.linspace(-2.0, 3.0, 35).reshape(7, 5) ** 3
    found = hashlib.sha256(fb.initialize(net, rows.astype(dtype)).flat.tobytes()).hexdigest()[:16]
    assert found == DIGESTS[dtype]


def test_behind_members_fewer_rows_are_enough(monkeypatch):
    monkeypatch.setattr(by_rows, "ROWS", 100)
    net = fb.Network([fb.Members(4), fb.MemberScale("normal"), block(6)], inputs=5, seed=2, dtype="float64")
    found, each = [], fb.Network.members
    monkeypatch.setattr(fb.Network, "members", lambda own, X: found.append(each(own, X)) or found[-1])
    fb.initialize(net, X)
    assert found[0].shape == (4, 25, 6)
    np.testing.assert_allclose(found[0].reshape(-1, 6).std(axis=0), spread_of(net), rtol=1e-12)


def spread_of(net):
    """By which the second layer's draw was divided."""
    plain = fb.Network(net.layers, inputs=5, seed=2, dtype="float64").parameters["2.weight"]
    return (plain / net.parameters["2.weight"])[0]


@pytest.mark.parametrize("average", ["values", "softmax", "sigmoid"])
@every_dtype
def test_behind_members_the_rows_of_all_count(average, dtype):
    """Not what they predict together, which varies less, or is a logarithm."""
    net = fb.Network([fb.Members(4, average), fb.MemberScale("normal"), block(6)], inputs=5, seed=2, dtype=dtype)
    z = fb.initialize(net, X).members(X).astype(np.float64).reshape(-1, 6)
    np.testing.assert_allclose(z.std(axis=0), 1.0, rtol=1e-12 if dtype == "float64" else 1e-5)
    scaled = X[None] * net.parameters["1.weight"][:, None]
    z = (scaled.reshape(-1, 5) @ net.parameters["2.weight"]).astype(np.float64)
    b = -net.parameters["2.bias"]
    assert ((z.min(axis=0) < b) & (b < z.max(axis=0))).all()


def test_rows_that_are_refused_change_nothing():
    """Neither what the first layer has made of them before the second finds no finite numbers, nor what waits."""
    x = fb.Input(5)
    h = fb.concat([fb.Tanh()(block(6)(x)), fb.PBLD()(x)])
    net, other = (fb.Network(inputs=x, outputs=block(3)(h), seed=2) for _ in range(2))
    before = net.flat.tobytes()
    bad = X.copy()
    bad[3] = 1e12  # of which float32 knows no cosine
    with pytest.raises(DataError, match=r"^`X` must have finite outputs of layer `4`, which begins by them, got NaN"):
        fb.Trainer(net).fit(bad, Y, epochs=1)
    assert net.flat.tobytes() == before
    for one in (net, other):
        fb.Trainer(one).fit(X, Y, epochs=0)
    assert net.flat.tobytes() == other.flat.tobytes()


def test_a_file_keeps_what_waits(tmp_path):
    net = network()
    net.save(tmp_path / "begun.safetensors")
    early = fb.load(tmp_path / "begun.safetensors")
    assert early.parameters.waiting == net.parameters.waiting != set()
    fb.initialize(net, X)
    net.save(tmp_path / "done.safetensors")
    late = fb.load(tmp_path / "done.safetensors")
    for one in (early, late):
        fb.Trainer(one).fit(X, Y, epochs=0)
        assert one.flat.tobytes() == net.flat.tobytes()


@pytest.mark.parametrize("said", ['["0.weight"]', '"1.weight"', "[[]]", "[0", "{}"])
def test_a_file_that_waits_for_something_else_is_refused(said, tmp_path):
    net = fb.initialize(network(), X)
    arrays, header = unsealed(_saved(net, tmp_path), "a network of fastbp", FORMATS)[::-1]
    write(tmp_path / "odd.safetensors", sealed(arrays, {**header, "waiting": said}))
    with pytest.raises(fb.CheckpointError, match="has a network unknown to this version"):
        fb.load(tmp_path / "odd.safetensors")


def _saved(net, folder):
    net.save(folder / "net.safetensors")
    return folder / "net.safetensors"
