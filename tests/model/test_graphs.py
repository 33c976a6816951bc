"""Networks that are graphs: names and order, shared layers, several inputs and outputs, files and copies."""

import copy
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine import threads as team
from fastbp.lowering import plans
from tests.model.random_graphs import network
from tests.model.some_graphs import CLASSES, JOINT, NUMBERS, RNG, X, Z, bits, residual, two_ways

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# Names and order


def test_parameters_are_called_by_number_in_the_order_in_which_layers_were_called():
    x = fb.Input(5)
    late = fb.Linear(4)
    a = fb.Linear(3)(x)
    b = fb.Tanh()(late(x))
    net = fb.Network(inputs=x, outputs=fb.Linear(2)(fb.concat([b, a])))
    assert {name: value.shape for name, value in net.parameters.items()} == {
        "0.weight": (5, 3),
        "0.bias": (3,),
        "1.weight": (5, 4),
        "1.bias": (4,),
        "4.weight": (7, 2),
        "4.bias": (2,),
    }


def test_parameters_are_called_by_the_name_that_a_layer_was_given():
    x = fb.Input(5)
    net = fb.Network(inputs=x, outputs=fb.Linear(2)(fb.LayerNorm()(x, name="norm_1"), name="head-a"))
    assert list(net.parameters) == ["norm_1.weight", "norm_1.bias", "head-a.weight", "head-a.bias"]


@pytest.mark.parametrize("call", [0, 1])
def test_a_shared_layer_is_called_by_the_name_that_any_call_says(call):
    x, layer = fb.Input(4), fb.Linear(4)
    names = [{}, {}]
    names[call] = {"name": "both"}
    net = fb.Network(inputs=x, outputs=layer(layer(x, **names[0]), **names[1]))
    assert list(net.parameters) == ["both.weight", "both.bias"]


def test_names_of_inputs_and_of_layers_do_not_meet():
    a, b = fb.Input(2, name="a"), fb.Input(3)
    h = fb.concat([fb.Linear(2)(a, name="a"), fb.Linear(2)(b, name="input1"), fb.Linear(2)(b, name="b")])
    net = fb.Network(inputs=[a, b], outputs=[h, fb.Linear(1)(h, name="outputs")])
    assert {name.split(".")[0] for name in net.parameters} == {"a", "input1", "b", "outputs"}


def test_what_no_output_depends_on_is_left_out():
    x = fb.Input(4)
    h = fb.Linear(3)(x)
    fb.Linear(100)(h)
    assert list(fb.Network(inputs=x, outputs=fb.Tanh()(h)).parameters) == ["0.weight", "0.bias"]


def test_the_same_signals_make_several_networks():
    x, y = residual()
    one, other = fb.Network(inputs=x, outputs=y, seed=1), fb.Network(inputs=x, outputs=y, seed=1)
    fb.Trainer(one).run(X, CLASSES, steps=3)
    assert bits(one) != bits(other)
    assert bits(fb.Network(inputs=x, outputs=y, seed=1)) == bits(other)


def test_a_network_says_what_it_is():
    x = fb.Input(4)
    again = fb.Linear(4)
    shown = [
        fb.Network(inputs=x, outputs=fb.Tanh()(x)),
        fb.Network(inputs=x, outputs=fb.Tanh()(x) + x),
        fb.Network(inputs=x, outputs=again(again(x))),
        two_ways(),
    ]
    assert [repr(net) for net in shown] == [
        "Network([Tanh()], inputs=4, dtype='float32')",
        "Network(inputs=4, outputs=4, layers=2, dtype='float32')",
        "Network(inputs=4, outputs=4, layers=2, dtype='float32')",
        "Network(inputs=[7, 3], outputs=[4, 2], layers=17, dtype='float64')",
    ]


def test_a_signal_says_what_it_is():
    x = fb.Input(4)
    assert [repr(x), repr(fb.Tanh()(x))] == ["Signal(features=4, of=Input)", "Signal(features=4, of=Tanh())"]


# A chain of signals is a list of layers

LAYERS = [fb.Linear(19), fb.ReLU(), fb.Dropout(0.2), fb.Linear(17), fb.BatchNorm(), fb.PReLU(), fb.Linear(4)]


def chained(dtype):
    x = h = fb.Input(7)
    for layer in LAYERS:
        h = layer(h)
    return fb.Network(inputs=x, outputs=h, seed=4, dtype=dtype), fb.Network(LAYERS, inputs=7, seed=4, dtype=dtype)


@every_dtype
def test_a_chain_of_signals_begins_as_the_list(dtype):
    ours, listed = chained(dtype)
    assert list(ours.parameters) == list(listed.parameters)
    assert bits(ours) == bits(listed)
    assert repr(ours) == repr(listed)


@every_dtype
def test_a_chain_of_signals_is_trained_to_the_bits_of_the_list(dtype):
    ours, listed = chained(dtype)
    losses = [fb.Trainer(net, batch_size=32).run(X, CLASSES, steps=9).loss for net in (ours, listed)]
    assert losses[0] == losses[1]
    assert bits(ours) == bits(listed)
    assert ours.predict(X).tobytes() == listed.predict(X).tobytes()


def test_a_chain_of_signals_is_the_file_of_the_list(tmp_path):
    for name, net in zip("ab", chained("float32"), strict=True):
        net.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# Shared layers

SHARED = {
    "linear": lambda: fb.Linear(7),
    "no bias": lambda: fb.Linear(7, bias=False),
    "ntk": lambda: fb.Linear(7, ntk=True),
    "prelu": fb.PReLU,
    "prelu each": lambda: fb.PReLU(per_feature=True),
    "parametric": lambda: fb.Parametric("mish", init=0.5),
    "scale": fb.Scale,
    "layer_norm": fb.LayerNorm,
    "rms_norm": fb.RMSNorm,
}


def pair_of(make, count=2):
    """A layer used `count` times, and as many layers with its numbers."""
    nets = []
    for layers in ([make()] * count, [make() for _ in range(count)]):
        x = h = fb.Input(7)
        for layer in layers:
            h = fb.Tanh()(layer(h))
        nets.append(fb.Network(inputs=x, outputs=h, seed=2, dtype="float64"))
    shared, apart = nets
    for name, value in shared.parameters.items():
        shared.parameters[name] = value + 0.1 * np.random.default_rng(1).normal(size=value.shape)
        for i in range(count):
            apart.parameters[f"{2 * i}.{name.split('.')[1]}"] = shared.parameters[name]
    return shared, apart


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("kind", SHARED)
def test_gradients_of_a_shared_layer_are_the_sum_of_those_of_several(kind, count):
    shared, apart = pair_of(SHARED[kind], count)
    y = NUMBERS[:, :1] * np.ones(7)
    (one, found), (other, parts) = (net.loss_and_gradients(X, y, "mse") for net in (shared, apart))
    assert one == other
    for name, gradient in found.items():
        part = name.split(".")[1]
        expected = sum(parts[f"{2 * i}.{part}"] for i in range(count))
        np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", SHARED)
def test_a_shared_layer_predicts_as_several_of_its_numbers(kind):
    shared, apart = pair_of(SHARED[kind])
    assert shared.predict(X).tobytes() == apart.predict(X).tobytes()
    assert shared.vjp(X, X).tobytes() == apart.vjp(X, X).tobytes()
    assert shared.jvp(X, X).tobytes() == apart.jvp(X, X).tobytes()


def test_a_frozen_weight_that_is_shared_stays_while_its_bias_learns():
    shared, _ = pair_of(SHARED["linear"])
    before = {name: value.copy() for name, value in shared.parameters.items()}
    _, found = shared.loss_and_gradients(X, X, "mse")
    fb.Trainer(shared, "mse", fb.SGD(0.5), batch_size=90, frozen=["0.weight"]).step(X, X)
    np.testing.assert_array_equal(shared.parameters["0.weight"], before["0.weight"])
    np.testing.assert_allclose(shared.parameters["0.bias"], before["0.bias"] - 0.5 * found["0.bias"], rtol=1e-12)


# Several inputs and outputs


def test_several_inputs_come_as_a_tuple_a_dict_a_list_or_side_by_side():
    net = two_ways()
    expected = [y.tobytes() for y in net.predict((X, Z))]
    for rows in ({"x": X, "z": Z}, {"z": Z, "x": X}, [X, Z], np.hstack([X, Z]), (X.tolist(), Z.tolist())):
        assert [y.tobytes() for y in net.predict(rows)] == expected


def test_one_row_of_several_inputs_is_answered_with_one():
    net = two_ways()
    whole = net.predict((X, Z))
    for rows in ((X[0], Z[0]), {"x": X[0], "z": Z[0]}, np.hstack([X[0], Z[0]])):
        for one, all_of_them in zip(net.predict(rows), whole, strict=True):
            assert one.shape == all_of_them.shape[1:]
            assert one.tobytes() == all_of_them[0].tobytes()


def test_no_rows_are_answered_with_no_rows():
    net = two_ways()
    assert [y.shape for y in net.predict((X[:0], Z[:0]))] == [(0, 4), (0, 2)]
    assert net.jacobian((X[:0], Z[:0])).shape == (0, 6, 10)


def test_several_outputs_are_written_side_by_side_where_that_is_said():
    net, out = two_ways(), np.empty((90, 6))
    found = net.predict((X, Z), out=out)
    assert [y.shape for y in found] == [(90, 4), (90, 2)]
    assert all(np.shares_memory(y, out) for y in found)
    assert np.hstack(net.predict((X, Z))).tobytes() == out.tobytes()


def test_products_take_and_give_inputs_and_outputs_side_by_side():
    net = two_ways()
    u, v = (RNG.normal(size=(90, 4)), NUMBERS), (X[::-1].copy(), Z)
    assert net.vjp((X, Z), u).tobytes() == net.vjp(np.hstack([X, Z]), np.hstack(u)).tobytes()
    assert net.jvp((X, Z), v).tobytes() == net.jvp(np.hstack([X, Z]), np.hstack(v)).tobytes()
    assert net.jacobian((X, Z)).shape == (90, 6, 10)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobians_of_many_rows_have_the_bits_of_each(mode, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    net = two_ways()
    whole = net.jacobian((X, Z), mode)
    for i in (0, 1, 63, 64, 89):
        assert net.jacobian((X[i], Z[i]), mode).tobytes() == whole[i].tobytes()


def test_products_that_are_cut_into_calls_have_the_same_bits(monkeypatch):
    u, v = RNG.normal(size=(90, 6)), RNG.normal(size=(90, 10))
    ways = [
        lambda net: net.jacobian((X, Z), "forward"),
        lambda net: net.jacobian((X, Z), "reverse"),
        lambda net: net.input_gradient((X, Z), 4),
        lambda net: net.vjp((X, Z), u),
        lambda net: net.jvp((X, Z), v),
    ]
    expected = [way(two_ways()).tobytes() for way in ways]
    monkeypatch.setattr(plans, "CALL_WORK", 1)  # 64 rows of each thread in a call
    monkeypatch.setattr(team, "chosen", lambda given: 1)
    assert [way(two_ways()).tobytes() for way in ways] == expected


def test_results_may_be_written_over_what_they_are_made_of():
    x = fb.Input(7)
    net = fb.Network(inputs=x, outputs=fb.Tanh()(fb.Linear(7)(x)) + x, seed=0, dtype="float64")
    expected = [net.vjp(X, X), net.jvp(X, X), net.input_gradient(X, 3)]
    for make, wanted in zip((net.vjp, net.jvp), expected[:2], strict=True):
        rows, other = X.copy(), X.copy()
        assert make(rows, other, out=rows).tobytes() == wanted.tobytes()
        rows = X.copy()
        assert make(rows, other, out=other).tobytes() == wanted.tobytes()
    rows = X.copy()
    assert net.input_gradient(rows, 3, out=rows).tobytes() == expected[2].tobytes()


def test_targets_of_several_outputs_are_a_tuple_and_their_losses_add():
    net = two_ways()
    value, gradients = net.loss_and_gradients((X, Z), (CLASSES, NUMBERS), JOINT)
    parts = [fb.JointLoss(["cross_entropy", "mse"], weights=w) for w in ([1.0, 0.0], [0.0, 1.0])]
    (one, of_one), (other, of_other) = (net.loss_and_gradients((X, Z), (CLASSES, NUMBERS), part) for part in parts)
    assert abs(value - (one + 0.5 * other)) <= 1e-14 * value
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, of_one[name] + 0.5 * of_other[name], rtol=1e-11, atol=1e-15)


def test_a_joint_loss_is_that_of_each_output_alone():
    net = two_ways()
    outputs = net.predict((X, Z))
    identity = [fb.Network([fb.Identity()], inputs=y.shape[1], dtype="float64") for y in outputs]
    weights = RNG.random(90)
    for sample_weight in (None, weights):
        one = identity[0].evaluate(outputs[0], CLASSES, "cross_entropy", sample_weight)
        other = identity[1].evaluate(outputs[1], NUMBERS, "mse", sample_weight)
        found = net.evaluate((X, Z), (CLASSES, NUMBERS), JOINT, sample_weight)
        assert abs(found - (one + 0.5 * other)) <= 1e-13 * found


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_joint_loss_takes_the_reduction_of_its_losses(reduction):
    loss = fb.JointLoss([fb.CrossEntropy(reduction=reduction), fb.MSE(reduction=reduction)])
    assert loss.reduction == reduction
    rows = 90 if reduction == "sum" else 1
    expected = rows * two_ways().evaluate((X, Z), (CLASSES, NUMBERS), ["cross_entropy", "mse"])
    assert abs(two_ways().evaluate((X, Z), (CLASSES, NUMBERS), loss) - expected) <= 1e-12 * expected


def test_the_same_output_twice_gets_the_cotangents_of_both():
    x = fb.Input(7)
    h = fb.Linear(3)(x)
    net, one = (fb.Network(inputs=x, outputs=out, seed=0, dtype="float64") for out in ([h, h], h))
    first, second = net.predict(X)
    assert first.tobytes() == second.tobytes() == one.predict(X).tobytes()
    np.testing.assert_allclose(net.vjp(X, (Z, 2.0 * Z)), one.vjp(X, 3.0 * Z), rtol=1e-13, atol=1e-15)
    _, found = net.loss_and_gradients(X, (Z, Z), ["mse", "mse"])
    _, expected = one.loss_and_gradients(X, Z, "mse")
    np.testing.assert_allclose(found["0.weight"], 2.0 * expected["0.weight"], rtol=1e-13)


def test_an_output_that_others_read_is_an_output_and_a_source():
    x = fb.Input(7)
    h = fb.ReLU()(fb.Linear(5)(x))
    y = fb.Linear(3)(h)
    net = fb.Network(inputs=x, outputs=[h, y], seed=0, dtype="float64")
    apart = [fb.Network(inputs=x, outputs=out, seed=0, dtype="float64") for out in (h, y)]
    u = RNG.normal(size=(90, 5)), RNG.normal(size=(90, 3))
    apart[0].flat = net.flat[: apart[0].flat.size]
    apart[1].flat = net.flat
    for ours, other in zip(net.predict(X), apart, strict=True):
        assert ours.tobytes() == other.predict(X).tobytes()
    expected = sum(other.vjp(X, part) for other, part in zip(apart, u, strict=True))
    np.testing.assert_allclose(net.vjp(X, u), expected, rtol=1e-13, atol=1e-14)


def test_an_input_that_nothing_reads_has_no_gradient():
    x, z = fb.Input(7), fb.Input(3)
    net = fb.Network(inputs=[x, z], outputs=fb.Tanh()(x), dtype="float64")
    found = net.vjp((X, Z), X)
    assert (found[:, 7:] == 0.0).all()
    assert (net.jacobian((X[:2], Z[:2]))[:, :, 7:] == 0.0).all()


def test_codes_may_come_in_any_input():
    a, b = fb.Input(2, name="a"), fb.Input(3, name="b")
    tables = fb.Embedding({1: (4, 5)})(b[:, 1:])
    net = fb.Network(inputs=[a, b], outputs=fb.Linear(2)(fb.concat([a, tables])), dtype="float64")
    rows = np.stack([X[:, 0], X[:, 1], np.arange(90) % 4], axis=1)
    assert net.predict((X[:, :2], rows)).shape == (90, 2)
    rows[7, 2] = 4.0
    with pytest.raises(fb.DataError) as info:
        net.predict((X[:, :2], rows))
    assert str(info.value) == "`X` must hold whole codes between 0 and 3 in column 4, got `4.0` at `[7, 4]`"


# Files and copies


@pytest.mark.parametrize("seed", range(0, 50, 3))
def test_a_file_gives_the_same_network(seed, tmp_path):
    net = network(seed)
    net.save(tmp_path / "net")
    other = fb.load(tmp_path / "net")
    assert other.graph == net.graph
    rows = np.random.default_rng(seed).normal(size=(9, net.inputs))
    for ours, theirs in zip(net.predict(rows), other.predict(rows), strict=True):
        assert ours.tobytes() == theirs.tobytes()


COPIES = {
    "pickle": lambda net, folder: pickle.loads(pickle.dumps(net)),
    "copy": lambda net, folder: copy.copy(net),
    "deepcopy": lambda net, folder: copy.deepcopy(net),
    "file": lambda net, folder: (net.save(folder / "net"), fb.load(folder / "net"))[1],
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_goes_on_to_the_same_bits(how, tmp_path):
    net = two_ways("float32")
    fb.Trainer(net, loss=JOINT, batch_size=32).run((X, Z), (CLASSES, NUMBERS), steps=3)
    other = COPIES[how](net, tmp_path)
    assert bits(other) == bits(net)
    for each in (net, other):
        fb.Trainer(each, loss=JOINT, batch_size=32).run((X, Z), (CLASSES, NUMBERS), steps=3)
    assert bits(other) == bits(net)


def test_a_graph_of_one_seed_is_one_file(tmp_path):
    for name in "ab":
        two_ways().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
