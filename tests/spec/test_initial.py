"""Initial values: their distribution, their bits, and what they depend on."""

import hashlib
from dataclasses import replace
from math import erf, sqrt

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.model.parameters import Parameters, initialise
from fastbp.numerics.philox import uniform, uniform_at
from fastbp.spec.graph import chain
from fastbp.spec.initial import INITIALISERS, Init, draw, init_spec
from fastbp.spec.layers import Linear

I, O = 300, 500
N = I * O
SOME = {name: Init(name, -0.75 if name == "constant" else None) for name in INITIALISERS}

every_initialiser = pytest.mark.parametrize("name", INITIALISERS)


def drawn(init, shape=(I, O), fans=None, seed=7, tensor=4):
    init = Init(init) if isinstance(init, str) else init
    fan_in, fan_out = fans or (shape[0], shape[-1])
    return draw(init, shape, fan_in, fan_out, seed, tensor)


def within(value, expected, deviation, sigmas=4.0):
    assert abs(value - expected) <= sigmas * deviation, (value, expected, deviation)


# Distributions

VARIANCE = {"he": 2 / I, "glorot": 2 / (I + O), "lecun": 1 / I}
NORMAL = {
    **{f"{name}_normal": sqrt(variance) for name, variance in VARIANCE.items()},
    "normal": 1.0,
}
BOUND = {
    **{f"{name}_uniform": sqrt(3 * variance) for name, variance in VARIANCE.items()},
    "uniform": 0.05,
    "torch": 1 / sqrt(I),
}
TRUNCATED = {"truncated_normal": 2, "truncated_normal_3": 3}  # at how many standard deviations
SHAPED = {"signs", "orthogonal", "zeros", "ones", "constant"}
GAINS = [name for name in INITIALISERS if INITIALISERS[name].scale and name not in ("constant", "orthogonal")]


def test_every_initialiser_has_its_distribution_tested():
    assert {*NORMAL, *BOUND, *TRUNCATED, *SHAPED} == set(INITIALISERS)


@pytest.mark.parametrize("name", NORMAL)
def test_normal_numbers_have_their_moments(name):
    x = drawn(name).ravel() / NORMAL[name]
    within(x.mean(), 0, 1 / sqrt(N))
    within((x**2).mean(), 1, sqrt(2 / N))
    within((x**3).mean(), 0, sqrt(15 / N))
    within((x**4).mean(), 3, sqrt(96 / N))
    assert 3.5 < abs(x).max() < 6.8


@pytest.mark.parametrize("name", BOUND)
def test_uniform_numbers_have_their_moments_and_fill_their_range(name):
    x = drawn(name).ravel() / BOUND[name]
    within(x.mean(), 0, sqrt(1 / 3 / N))
    within((x**2).mean(), 1 / 3, sqrt(4 / 45 / N))
    assert 1 - 20 / N < abs(x).max() <= 1
    assert x.min() < -1 + 40 / N


def inside(end):
    """How much of a normal distribution is between ±end."""
    return erf(end / sqrt(2))


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated_normal_numbers_have_their_moments_and_end_where_they_are_cut(name):
    x, end = drawn(name).ravel() / 0.02, TRUNCATED[name]
    # by integrating the density
    density = np.exp(-(end**2) / 2) / sqrt(2 * np.pi) / inside(end)
    variance, fourth = 1 - 2 * end * density, 3 - (2 * end**3 + 6 * end) * density
    within(x.mean(), 0, sqrt(variance / N))
    within((x**2).mean(), variance, sqrt((fourth - variance**2) / N))
    assert end - 0.001 < abs(x).max() <= end * (1 + 1e-15)


def distance(x, distribution):
    """The largest difference of two distribution functions (Kolmogorov and Smirnov), as a multiple of 1 / √n."""
    expected = np.array([distribution(v) for v in np.sort(x)])
    steps = np.arange(len(x) + 1) / len(x)
    return max((steps[1:] - expected).max(), (expected - steps[:-1]).max()) * sqrt(len(x))


def normal_below(x):
    return 0.5 * (1 + erf(x / sqrt(2)))


DISTRIBUTIONS = {
    "normal": normal_below,
    "truncated_normal": lambda x: (normal_below(x / 0.02) - normal_below(-2)) / inside(2),
    "truncated_normal_3": lambda x: (normal_below(x / 0.02) - normal_below(-3)) / inside(3),
    "uniform": lambda x: (x / 0.05 + 1) / 2,
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("tensor", range(4))
def test_numbers_follow_their_distribution(name, tensor):
    x = drawn(name, (20000,), tensor=tensor)
    assert distance(x, DISTRIBUTIONS[name]) < 1.63  # 1 in 100 exceeds it


def test_the_distance_sees_another_distribution():
    assert distance(drawn("normal", (20000,)) * 1.05, normal_below) > 1.63
    assert distance(drawn("uniform", (20000,)) + 0.002, DISTRIBUTIONS["uniform"]) > 1.63


def test_neighbours_are_independent():
    z = drawn("normal", (N,))
    for lag in (1, 2, 3, 4):
        within((z[:-lag] * z[lag:]).mean(), 0, 1 / sqrt(N))
        within((z[:-lag] ** 2 * z[lag:] ** 2).mean(), 1, sqrt(8 / N))


def test_tensors_and_seeds_are_independent():
    z = drawn("normal", (N,))
    for other in (
        drawn("normal", (N,), tensor=5),
        drawn("normal", (N,), seed=8),
        drawn("normal", (N,), seed=7 + 2**32),
    ):
        within((z * other).mean(), 0, 1 / sqrt(N))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 3), (5, 8), (31, 33), (64, 64), (200, 70), (70, 200)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape):
    for seed in range(3):
        q = drawn("orthogonal", shape, seed=seed)
        q = q if shape[0] <= shape[1] else q.T
        assert abs(q @ q.T - np.eye(len(q))).max() < 1e-14


def test_orthogonal_matrices_of_512_are_orthonormal():
    q = drawn("orthogonal", (512, 512))
    assert abs(q @ q.T - np.eye(512)).max() < 1e-14


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (40, 40)], ids=["wide", "tall", "square"])
def test_orthogonal_is_the_q_of_normal_numbers_with_an_r_of_positive_diagonal(shape):
    z = drawn("normal", shape)
    tall = shape[0] > shape[1]
    q, r = np.linalg.qr(z if tall else z.T)
    q = q * np.sign(np.diag(r))
    np.testing.assert_allclose(drawn("orthogonal", shape), q if tall else q.T, atol=1e-11)


def test_orthogonal_matrices_are_spread_evenly():
    q = np.array([drawn("orthogonal", (4, 4), seed=seed) for seed in range(500)])
    for i in range(4):
        for j in range(4):
            within(q[:, i, j].mean(), 0, 0.5 / sqrt(500))
            within((q[:, i, j] ** 2).mean(), 1 / 4, sqrt(1 / 8 - 1 / 16) / sqrt(500))


@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("ones", 1.0), ("constant", -0.75)])
def test_a_constant_is_the_same_everywhere(name, value):
    np.testing.assert_array_equal(drawn(SOME[name], (3, 4)), np.full((3, 4), value))


@pytest.mark.parametrize("name", GAINS)
def test_numbers_are_proportional_to_the_scale(name):
    default = INITIALISERS[name].default
    np.testing.assert_allclose(drawn(Init(name, 3 * default)), 3 * drawn(name), rtol=1e-15)


def test_an_orthogonal_matrix_is_proportional_to_its_gain():
    np.testing.assert_array_equal(drawn(Init("orthogonal", 2.0), (9, 5)), 2 * drawn("orthogonal", (9, 5)))


FANS = {
    "torch": lambda i, o: 1 / sqrt(i),
    **{f"he_{kind}": lambda i, o: 1 / sqrt(i) for kind in ("normal", "uniform")},
    **{f"lecun_{kind}": lambda i, o: 1 / sqrt(i) for kind in ("normal", "uniform")},
    **{f"glorot_{kind}": lambda i, o: 1 / sqrt(i + o) for kind in ("normal", "uniform")},
}


@every_initialiser
def test_fans_matter_where_the_formula_says(name):
    scale = FANS.get(name, lambda i, o: 1.0)
    ratio = scale(10, 50) / scale(40, 80)
    first, second = (drawn(SOME[name], (6, 7), fans) for fans in ((10, 50), (40, 80)))
    np.testing.assert_allclose(first, ratio * second, rtol=1e-15)


# Bits

# The first digits of SHA-256 over float64.
DIGESTS = {
    "torch": "fafd47ab83782ad3",
    "he_normal": "9535c7fd101e09bb",
    "he_uniform": "aa88adeb4539765b",
    "glorot_normal": "651c525c81750e99",
    "glorot_uniform": "b5d986e21dfb584a",
    "lecun_normal": "53a48783cf297567",
    "lecun_uniform": "d5f6814101e25d65",
    "normal": "9c37bded15ed60e2",
    "uniform": "54d47c01a61e6419",
    "truncated_normal": "83fad10273f6f0f0",
    "truncated_normal_3": "70d9f1505f61488a",
    "orthogonal": "fdd393d7d2ac6642",
    "signs": "ffb41ad827dd7312",
    "zeros": "680feec2e27d76f7",
    "ones": "71350acff5c91020",
    "constant": "dcefa2a11bff8a60",
    "orthogonal wide": "3dbc97e4d596f336",
}


@every_initialiser
def test_bits_are_those_of_every_machine(name):
    values = drawn(SOME[name], (37, 29), seed=2**40 + 3)
    assert values.dtype == np.float64
    assert hashlib.sha256(values.tobytes()).hexdigest()[:16] == DIGESTS[name]


def test_bits_of_another_orthogonal_matrix_are_those_of_every_machine():
    values = drawn("orthogonal", (50, 131))
    assert hashlib.sha256(values.tobytes()).hexdigest()[:16] == DIGESTS["orthogonal wide"]


@every_initialiser
def test_the_same_arguments_give_the_same_bits(name):
    first, second = drawn(SOME[name], (11, 13)), drawn(SOME[name], (11, 13))
    assert first.tobytes() == second.tobytes()
    assert first is not second


def test_signs_are_as_likely_as_each_other():
    x = drawn("signs").ravel()
    assert set(x) == {-1.0, 1.0}
    within(x.mean(), 0, 1 / sqrt(N))
    within((x[1:] * x[:-1]).mean(), 0, 1 / sqrt(N))
    for other in (drawn("signs", seed=8), drawn("signs", tensor=5)):
        within((x * other.ravel()).mean(), 0, 1 / sqrt(N))


@pytest.mark.parametrize("name", sorted(set(INITIALISERS) - {"signs", "zeros", "ones", "constant"}))
def test_another_seed_or_tensor_gives_other_numbers(name):
    drawings = [drawn(name, (11, 13)), drawn(name, (11, 13), seed=8), drawn(name, (11, 13), seed=7 + 2**32)]
    drawings += [drawn(name, (11, 13), tensor=5)]
    for i, one in enumerate(drawings):
        for other in drawings[:i]:
            assert not (one == other).any()


@pytest.mark.parametrize("count", [1, 2, 3, 1001, 32768, 32769])
@pytest.mark.parametrize("name", sorted(set(INITIALISERS) - {"orthogonal"}))
def test_an_element_depends_on_its_place_alone(name, count):
    few, many = (drawn(SOME[name], (n,), fans=(5, 6)) for n in (count, 70001))
    assert few.tobytes() == many[:count].tobytes()
    assert drawn(SOME[name], (1, count), fans=(5, 6)).tobytes() == few.tobytes()


def test_normal_numbers_are_pairs_of_the_stream():
    u = (reference.philox_stream(1000, 7, reference.INIT, c2=4) + 0.5) * 2.0**-32
    r, angle = np.sqrt(-2 * np.log(u[::2])), 2 * np.pi * u[1::2]
    expected = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1).ravel()
    np.testing.assert_allclose(drawn("normal", (999,)), expected[:999], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated_numbers_are_the_first_of_their_place_that_are_near_enough(name):
    expected = drawn("normal", (4000,))
    for attempt in range(1, 6):
        u = (reference.philox_stream(4000, 7, reference.INIT, c1=attempt, c2=4) + 0.5) * 2.0**-32
        r, angle = np.sqrt(-2 * np.log(u[::2])), 2 * np.pi * u[1::2]
        again = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1).ravel()
        expected = np.where(abs(expected) > TRUNCATED[name], again, expected)
    np.testing.assert_allclose(drawn(name, (4000,)), 0.02 * expected, rtol=1e-14, atol=1e-14)


def test_a_number_of_the_stream_is_found_by_its_place():
    places = np.array([0, 5, 3, 1000, 5])
    np.testing.assert_array_equal(uniform_at(places, 2**35 + 1, 9), uniform(1001, 2**35 + 1, 9)[places])
    assert not (uniform_at(places, 2**35 + 1, 9, attempt=1) == uniform_at(places, 2**35 + 1, 9)).any()


# Networks


def test_a_network_is_drawn_as_pytorch_does_unless_it_says_otherwise():
    net = fb.Network([fb.Linear(9), fb.Tanh(), fb.Linear(4, bias=False)], inputs=5, seed=2**33 + 1, dtype="float64")
    shapes = {"0.weight": ((5, 9), 5, 0), "0.bias": ((9,), 5, 1), "2.weight": ((9, 4), 9, 4)}
    assert set(net.parameters) == set(shapes)
    for name, (shape, inputs, tensor) in shapes.items():
        expected = reference.uniform_init(shape, 1 / sqrt(inputs), 2**33 + 1, tensor, np.float64)
        assert net.parameters[name].tobytes() == expected.tobytes()


class Drawn(Linear):
    """A linear layer that says how it is drawn."""

    kind = ""

    def draws(self, inputs):
        fans = inputs, self.features
        out = {"weight": (Init("he_normal"), (inputs, self.features), *fans)}
        return {**out, "bias": (Init("constant", 0.5), (self.features,), *fans)} if self.bias else out


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_says_how_it_is_drawn(bias):
    graph = chain([Linear(6), Linear(3)], 5)
    graph = replace(graph, nodes=(graph.nodes[0], replace(graph.nodes[1], layer=Drawn(3, bias))))
    parameters = Parameters(graph.parameters(), np.dtype("float64"))
    initialise(graph, parameters, 11)
    expected = reference.uniform_init((5, 6), 1 / sqrt(5), 11, 0, np.float64)
    assert parameters["0.weight"].tobytes() == expected.tobytes()
    assert parameters["1.weight"].tobytes() == draw(Init("he_normal"), (6, 3), 6, 3, 11, 2).tobytes()
    assert ("1.bias" in parameters) == bias
    if bias:
        assert parameters["1.bias"].tolist() == [0.5] * 3


# Settings


def test_every_initialiser_says_what_it_draws():
    for known in INITIALISERS.values():
        assert known.formula
        assert known.default is None or known.scale


@every_initialiser
def test_a_name_becomes_an_init_with_its_default(name):
    if name != "constant":
        assert init_spec("init", name) == Init(name, INITIALISERS[name].default)
    assert init_spec("init", SOME[name]) == Init(name, -0.75 if name == "constant" else INITIALISERS[name].default)


def test_a_scale_of_any_number_will_do():
    assert init_spec("init", Init("normal", np.float32(0.5))) == Init("normal", 0.5)
    assert type(init_spec("init", Init("normal", 2)).scale) is float
    assert init_spec("init", Init("constant", 0)) == Init("constant", 0.0)


def refused(kind, value, message):
    with pytest.raises(kind) as info:
        init_spec("Linear.init", value)
    assert type(info.value) is kind
    assert str(info.value) == message


NAMES = ", ".join(f"`{name}`" for name in INITIALISERS)


@pytest.mark.parametrize(("value", "meant"), [("he_norml", "he_normal"), ("Orthogonal", "orthogonal")])
def test_a_name_that_is_nearly_right_comes_with_a_hint(value, meant):
    message = f"`Linear.init` must be one of {NAMES}, got `{value}`\nhint: did you mean `{meant}`?"
    refused(ConfigError, value, message)
    refused(ConfigError, Init(value), message)


@pytest.mark.parametrize("value", [None, 3, ["normal"]], ids=repr)
def test_what_is_no_name_is_refused(value):
    refused(ConfigTypeError, value, f"`Linear.init` must be the name of an initialiser or a `fb.Init`, got `{value!r}`")
    refused(ConfigError, Init(value), f"`Linear.init` must be one of {NAMES}, got `{value}`")


@pytest.mark.parametrize("name", [*GAINS, "orthogonal"])
@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_scale_is_above_0(name, scale):
    refused(ConfigError, Init(name, scale), f"`Linear.init.scale` must be above 0, got `{scale}`")


@pytest.mark.parametrize("name", [*GAINS, "orthogonal", "constant"])
def test_a_scale_is_a_finite_number(name):
    refused(ConfigError, Init(name, float("nan")), "`Linear.init.scale` must be finite, got `nan`")
    refused(ConfigTypeError, Init(name, "2"), "`Linear.init.scale` must be a number, got `'2'`")


@pytest.mark.parametrize("name", ["torch", "zeros", "ones"])
def test_what_has_no_scale_takes_none(name):
    refused(ConfigError, Init(name, 2.0), f"`Linear.init` must have no scale if it is `{name}`, got `2.0`")


@pytest.mark.parametrize("value", ["constant", Init("constant")], ids=repr)
def test_a_constant_needs_its_value(value):
    refused(ConfigError, value, "`Linear.init` must have a value if it is `constant`, got `None`")


def test_only_matrices_are_orthogonal():
    with pytest.raises(ConfigError) as info:
        drawn("orthogonal", (5,))
    assert str(info.value) == "`orthogonal` needs a matrix, got shape `(5,)`"
