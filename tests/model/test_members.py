"""Networks of members: what they compute, against NumPy and against networks of one member each."""

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.errors import ConfigError, ShapeError

K = 5
AVERAGES = {"values": ("mse", 3), "softmax": ("cross_entropy", 3), "sigmoid": ("binary_cross_entropy", 2)}
every_average = pytest.mark.parametrize("average", AVERAGES)
every_kind = pytest.mark.parametrize("kind", ["mini", "adapted"])


def layers_of(kind, average, outputs, dropout=0.0):
    drop = [fb.Dropout(dropout)] if dropout else []
    if kind == "mini":
        body = [fb.MemberScale(), fb.Linear(20), fb.ReLU(), *drop, fb.Linear(9), fb.Tanh()]
    else:
        body = [fb.AdaptedLinear(20, adapter="signs"), fb.ReLU(), *drop, fb.AdaptedLinear(9), fb.Tanh()]
    return [fb.Members(K, average), *body, fb.MemberLinear(outputs)]


def network(kind, average, dtype="float64", dropout=0.0, inputs=4):
    _, outputs = AVERAGES[average]
    net = fb.Network(layers_of(kind, average, outputs, dropout), inputs=inputs, seed=3, dtype=dtype)
    rng = np.random.default_rng(1)
    net.flat = net.flat + 0.2 * rng.normal(size=net.flat.size)
    return net


def rows(average, count=37, inputs=4):
    rng = np.random.default_rng(2)
    _, outputs = AVERAGES[average]
    X = rng.normal(size=(count, inputs))
    y = {
        "values": rng.normal(size=(count, outputs)),
        "softmax": rng.integers(0, outputs, count),
        "sigmoid": rng.integers(0, 2, (count, outputs)).astype(float),
    }[average]
    return X, y


def alone(net, member):
    """The network that one member is."""
    layers = []
    for layer in net.layers[1:]:
        if isinstance(layer, fb.MemberScale):
            layer = fb.Scale()
        elif isinstance(layer, fb.MemberLinear):
            layer = fb.Linear(layer.features)
        elif isinstance(layer, fb.AdaptedLinear):
            layers.append(fb.Scale())
            layer = fb.Linear(layer.features)
        layers.append(layer)
    one = fb.Network(layers, inputs=net.inputs, dtype=net.dtype)
    at = 0
    for number, layer in enumerate(net.layers[1:], 1):
        own = {name.split(".")[1]: net.parameters[name] for name in net.parameters if name.split(".")[0] == str(number)}
        if isinstance(layer, fb.AdaptedLinear):
            # s ∘ ((r ∘ x) W) + b is a scale and a linear layer of the weights W s
            one.parameters[f"{at}.weight"] = own["r"][member]
            one.parameters[f"{at + 1}.weight"] = own["weight"] * own["s"][member]
            one.parameters[f"{at + 1}.bias"] = own["bias"][member]
            at += 1
        else:
            for part, values in own.items():
                each = values[member] if part in layer.own else values
                one.parameters[f"{at}.{part}"] = each
        at += 1
    return one


@every_average
@every_kind
def test_each_member_is_a_network_and_their_mean_the_prediction(kind, average):
    net, (X, _) = network(kind, average), rows(average)
    each = net.members(X)
    assert each.shape == (K, len(X), net.outputs)
    for member in range(K):
        np.testing.assert_allclose(each[member], alone(net, member).predict(X), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(net.predict(X), reference.members_forward(each, average), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(net.members(X[0]), each[:, 0])


@every_average
@every_kind
def test_the_loss_is_the_mean_of_losses_and_not_the_loss_of_the_mean(kind, average):
    net, (X, y) = network(kind, average), rows(average)
    loss, _ = AVERAGES[average]
    losses = [alone(net, member).evaluate(X, y, loss) for member in range(K)]
    assert net.evaluate(X, y, loss) == pytest.approx(np.mean(losses), rel=1e-12)
    assert net.loss_and_gradients(X, y, loss)[0] == pytest.approx(np.mean(losses), rel=1e-12)


def test_probabilities_are_the_mean_of_members_probabilities():
    net, (X, _) = network("mini", "softmax"), rows("softmax")
    each = reference.softmax_forward(net.members(X).reshape(-1, 3)).reshape(K, -1, 3)
    np.testing.assert_allclose(net.probabilities(X), each.mean(axis=0), rtol=1e-12)
    net = network("mini", "sigmoid")
    np.testing.assert_allclose(net.probabilities(X), (1 / (1 + np.exp(-net.members(X)))).mean(axis=0), rtol=1e-12)


def test_members_that_are_certain_have_finite_logits():
    """In float32 a probability of exp(-200) is 0, and its logarithm not a number that the network could give."""
    net = fb.Network([fb.Members(2, "softmax"), fb.MemberScale("ones")], inputs=3)
    assert net.predict([[0.0, 200.0, -300.0]])[0] == pytest.approx([-200.0, 0.0, -500.0])
    net = fb.Network([fb.Members(2, "sigmoid"), fb.MemberScale("ones")], inputs=3)
    assert net.predict([[0.0, 200.0, -300.0]])[0] == pytest.approx([0.0, 200.0, -300.0], abs=1e-4)


@every_average
@every_kind
def test_gradients_are_central_differences(kind, average):
    net, (X, y) = network(kind, average), rows(average)
    loss, _ = AVERAGES[average]
    _, gradients = net.loss_and_gradients(X, y, loss)
    at, step = net.flat, 1e-6
    for seed in range(3):
        v = np.random.default_rng(seed).normal(size=at.size)
        sides = []
        for sign in (1, -1):
            net.flat = at + sign * step * v
            sides.append(net.evaluate(X, y, loss))
        net.flat = at
        found = np.concatenate([g.ravel() for g in gradients.values()]) @ v
        assert found == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-6, abs=1e-8)


@every_average
@every_kind
def test_the_jacobian_is_that_of_the_mean_prediction(kind, average):
    net, (X, _) = network(kind, average), rows(average, 5)
    J, step = net.jacobian(X, mode="reverse"), 1e-6
    np.testing.assert_allclose(J, net.jacobian(X, mode="forward"), rtol=1e-10, atol=1e-13)
    for i in range(net.inputs):
        e = step * np.eye(net.inputs)[i]
        slope = (net.predict(X + e) - net.predict(X - e)) / (2 * step)
        np.testing.assert_allclose(J[:, :, i], slope, rtol=1e-5, atol=1e-8)


@every_kind
def test_gradients_of_frozen_parts_are_left_out(kind):
    X, y = rows("values")
    names = [name for name in network(kind, "values").parameters if not name.startswith("7.")]
    for frozen in names:
        net = network(kind, "values")
        before = net.parameters[frozen]
        fb.Trainer(net, loss="mse", batch_size=16, frozen=[frozen]).run(X, y, steps=3)
        np.testing.assert_array_equal(net.parameters[frozen], before)
        whole = network(kind, "values")
        fb.Trainer(whole, loss="mse", batch_size=16, frozen=[frozen], optimizer="sgd").run(X, y, steps=1)
        other = network(kind, "values")
        fb.Trainer(other, loss="mse", batch_size=16, optimizer="sgd").run(X, y, steps=1)
        for name in whole.parameters:
            if name != frozen:
                np.testing.assert_array_equal(whole.parameters[name], other.parameters[name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_average
@every_kind
def test_bits_do_not_depend_on_threads_and_a_file_holds_all(kind, average, dtype, tmp_path):
    X, y = rows(average, 200)
    loss, _ = AVERAGES[average]
    found = []
    for threads in (1, 2, 3):
        net = network(kind, average, dtype, dropout=0.1)
        trainer = fb.Trainer(net, loss=loss, batch_size=48, threads=threads, optimizer=fb.AdamW(lr=1e-2), clip_norm=1.0)
        trainer.fit(X, y, epochs=3)
        found.append((net.flat, net.predict(X, threads=threads), net.members(X)))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    net.save(tmp_path / "net.safetensors")
    again = fb.load(tmp_path / "net.safetensors")
    assert again.graph == net.graph
    np.testing.assert_array_equal(again.members(X), net.members(X))
    np.testing.assert_array_equal(again.predict(X), net.predict(X))


def test_members_drop_different_features():
    net = fb.Network([fb.Members(2), fb.MemberScale("ones"), fb.Dropout(0.5), fb.MemberLinear(1)], inputs=8)
    net.parameters["3.weight"] = np.ones((2, 8, 1))
    net.parameters["3.bias"] = np.zeros((2, 1))
    _, gradients = net.loss_and_gradients(np.ones((4, 8)), np.zeros((4, 1)), "mse", training=True)
    one, other = gradients["3.weight"]
    assert (one == 0).sum() + (other == 0).sum() < 16
    assert not np.array_equal(one, other)


def test_layers_in_front_of_members_are_computed_once_and_learn_from_all():
    X, y = rows("values")
    front = [fb.Linear(6), fb.BatchNorm(), fb.SiLU()]
    net = fb.Network([*front, *layers_of("mini", "values", 3)], inputs=4, seed=0, dtype="float64")
    text = str(net.plan("train", batch=32, optimizer="adam"))
    assert text.count("0.weight, 0.bias") == 1
    assert text.count("4.weight[") == 2 * K  # there and back
    _, gradients = net.loss_and_gradients(X, y, "mse")
    v = np.random.default_rng(0).normal(size=(4, 6))
    at, sides = net.parameters["0.weight"], []
    for sign in (1, -1):
        net.parameters["0.weight"] = at + sign * 1e-6 * v
        sides.append(net.evaluate(X, y, "mse"))
    assert (gradients["0.weight"] * v).sum() == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6)


def test_branches_behind_members_may_read_what_is_in_front():
    x = fb.Input(4)
    h = fb.Linear(6)(x)
    m = fb.MemberScale()(fb.Members(3)(h))
    net = fb.Network(inputs=x, outputs=fb.MemberLinear(2)(fb.Tanh()(m) + h), seed=0, dtype="float64")
    p, X = net.parameters, np.random.default_rng(0).normal(size=(9, 4))
    h = X @ p["0.weight"] + p["0.bias"]
    scale, last = (next(p[name] for name in p if name.startswith(start)) for start in ("2.weight", "5.weight"))
    z = [(np.tanh(h * s) + h) @ w + b for s, w, b in zip(scale, last, p["5.bias"], strict=True)]
    np.testing.assert_allclose(net.predict(X), np.mean(z, axis=0), rtol=1e-12)
    J = net.jacobian(X)
    np.testing.assert_allclose(J, net.jacobian(X, mode="forward"), rtol=1e-10, atol=1e-14)


def test_first_numbers():
    net = fb.Network([fb.Members(64), fb.MemberScale(chunks=[1, 3, 2]), fb.MemberLinear(1)], inputs=6, seed=0)
    s = net.parameters["1.weight"]
    assert set(np.unique(s)) == {-1.0, 1.0}
    np.testing.assert_array_equal(s[:, 1:4], np.repeat(s[:, 1:2], 3, axis=1))
    np.testing.assert_array_equal(s[:, 4], s[:, 5])
    assert not np.array_equal(s[:, 0], s[:, 1])
    assert not np.array_equal(s[:, 1], s[:, 4])
    assert abs(s.mean()) < 0.2
    heads = net.parameters["2.weight"]
    assert np.abs(heads).max() <= 6**-0.5
    assert len(np.unique(heads)) == heads.size
    net = fb.Network(
        [fb.Members(8), fb.AdaptedLinear(5, adapter="normal", chunks=[2, 4]), fb.MemberLinear(1)], inputs=6
    )
    p = net.parameters
    assert (p["1.s"] == 1.0).all()
    assert (p["1.bias"] == p["1.bias"][0]).all()
    np.testing.assert_array_equal(p["1.r"][:, 0], p["1.r"][:, 1])
    assert len(np.unique(p["1.r"])) == 16


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: fb.Network([fb.MemberScale(), fb.Members()], inputs=2),
            "`layers[0]` is a MemberScale, which must stand behind `Members`",
        ),
        (
            lambda: fb.Network([fb.Members(), fb.BatchNorm()], inputs=2),
            "`layers[1]` is a BatchNorm, which must stand before `Members`, as it keeps statistics of its rows",
        ),
        (
            lambda: fb.Network([fb.Members(), fb.Members()], inputs=2),
            "`layers[1]` is a second Members, of which a network must have one",
        ),
        (lambda: fb.Members(1), "`Members.count` must be at least 2, got `1`"),
        (
            lambda: fb.Members(3, "mean"),
            "`Members.average` must be one of `values`, `softmax`, `sigmoid`, got `mean`",
        ),
        (lambda: fb.MemberScale(chunks=3), "`MemberScale.chunks` must be a list of whole numbers, got `3`"),
        (
            lambda: fb.Trainer(network("mini", "values"), loss="cross_entropy"),
            "`Members.average` must be `softmax` with `cross_entropy`, for predictions to be the mean of probabilities,"
            " got `values`",
        ),
        (
            lambda: fb.Trainer(network("mini", "softmax"), loss="mse"),
            "`Members.average` must be `values` with `mse`, for predictions to be the mean of values, got `softmax`",
        ),
        (lambda: fb.mlp([2, 1]).members([[0, 0]]), "`members` needs a network with `fb.Members` among its layers"),
    ],
)
def test_what_cannot_be_is_said(make, said):
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == said


@every_kind
@every_average
def test_products_with_the_hessian_are_differences_of_gradients(kind, average):
    loss, _ = AVERAGES[average]
    net, (X, y) = network(kind, average), rows(average, 11)
    net = fb.Network([fb.Linear(6), fb.Tanh(), *smooth(net.layers)], inputs=4, seed=1, dtype="float64")
    rng = np.random.default_rng(0)
    v, weights, here, h = rng.normal(size=net.flat.size), rng.random(11), net.flat, 1e-5

    def gradient(at):
        net.flat = at
        _, found = net.loss_and_gradients(X, y, loss=loss, sample_weight=weights)
        return np.concatenate([part.ravel() for part in found.values()])

    by_differences = (gradient(here + h * v) - gradient(here - h * v)) / (2.0 * h)
    net.flat = here
    found = net.hessian_vector(X, y, v, loss=loss, sample_weight=weights)
    np.testing.assert_allclose(found, by_differences, rtol=1e-6, atol=1e-8 * np.abs(by_differences).max())


def smooth(layers):
    """Activations without a kink, across which differences are none."""
    return [fb.SiLU() if isinstance(layer, fb.ReLU) else layer for layer in layers]


def test_outputs_are_one_and_from_behind_members():
    x = fb.Input(3)
    h = fb.Members(2)(x)
    with pytest.raises(ConfigError, match="`outputs` must be one of a network with `Members`, got `2`"):
        fb.Network(inputs=x, outputs=[fb.MemberLinear(1)(h), fb.MemberLinear(2)(h)])
    with pytest.raises(ShapeError, match=r"`MemberScale.chunks` must add up to 3, the inputs, got `4`"):
        fb.Network([fb.Members(2), fb.MemberScale(chunks=[2, 2])], inputs=3)


def test_a_pack_has_networks_of_members_with_the_bits_that_they_have_alone():
    X, y = rows("softmax", 120)
    settings = {"loss": "cross_entropy", "batch_size": 32, "optimizer": fb.Adam(lr=1e-2)}
    pack = fb.Pack(network("adapted", "softmax", dropout=0.1), n=3, **settings)
    pack.fit(X, y, epochs=4, validation=(X[:40], y[:40]), patience=2)
    for member in pack.members:
        alone = fb.Network.of_graph(member.graph, member.seed, member.dtype)
        stop = fb.EarlyStopping(patience=2)
        fb.Trainer(alone, **settings).fit(X, y, epochs=4, validation=(X[:40], y[:40]), callbacks=[stop])
        np.testing.assert_array_equal(alone.flat, member.flat)


def test_a_step_cut_into_layers_for_few_rows_has_the_same_bits():
    """Of 16 rows and wide layers each product is a phase, cut by columns."""
    X, y = rows("values", 16)
    found = []
    for threads in (1, 4):
        layers = [fb.Members(2), fb.MemberScale(), fb.Linear(96), fb.ReLU(), fb.Linear(96), fb.MemberLinear(3)]
        net = fb.Network(layers, inputs=4, seed=0)
        trainer = fb.Trainer(net, loss="mse", batch_size=16, threads=threads)
        trainer.run(X, y, steps=5)
        found.append(net.flat)
    np.testing.assert_array_equal(*found)


def test_parameters_are_counted_with_all_members():
    net = network("mini", "values")
    assert sum(node.count for node in net.graph.nodes) == net.flat.size
    assert f"{net.flat.size:,} parameters" in net._repr_html_()


@every_average
@every_kind
def test_ops_stand_beside_their_twins(kind, average, monkeypatch):
    monkeypatch.setenv("FASTBP_PLAN", "check")
    net, (X, y) = network(kind, average, "float32", dropout=0.2), rows(average, 40)
    loss, _ = AVERAGES[average]
    fb.Trainer(net, loss=loss, batch_size=16, threads=2).fit(X, y, epochs=2)
    net.predict(X)
    net.members(X)
    net.jacobian(X[:3], mode="reverse")
    net.jacobian(X[:3], mode="forward")
