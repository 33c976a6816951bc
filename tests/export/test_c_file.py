"""C files of networks: the same bits as Python, by every compiler there is, and without a warning."""

from __future__ import annotations

import hashlib
import re
import subprocess

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError, FileError
from fastbp.export.in_c.calls import CALLS, FORMULAS
from fastbp.export.in_c.together import side_by_side
from fastbp.lowering.registry import OPS
from tests.export.c_compiled import COMPILERS, CPP, ELSEWHERE, Library, any_way, bits, compiled, every_way, proved
from tests.export.c_networks import NETWORKS, shaken
from tests.model import gate_cases, layer_cases, random_graphs
from tests.model.random_networks import ACTIVATIONS, LOSSES, Decks, random_layers, random_loss, random_rows

RNG = np.random.default_rng(0)
ROWS = 1000
ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1e-310, 1e30]
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
if not COMPILERS.keys() & {"gcc", "clang"}:
    pytest.skip("no C compiler on this machine", allow_module_level=True)


def odd_rows(net, rows):
    """Rows of all sizes, some of numbers that are none or nearly none."""
    x = RNG.normal(size=(rows, net.inputs)) * np.exp(2.0 * RNG.normal(size=(rows, 1)))
    for i, number in enumerate(ODD):
        x[i, i % net.inputs :] = number
    return x.astype(net.dtype)


def compare(net, x, library, derivatives=True):
    """Every function has the bits of the network's."""
    x = np.asarray(x, net.dtype)
    assert np.array_equal(bits(library("predict", net.outputs, x)), bits(side_by_side(net.predict(x))))
    if not derivatives:
        return
    u = RNG.normal(size=(len(x), net.outputs)).astype(net.dtype)
    v = RNG.normal(size=(len(x), net.inputs)).astype(net.dtype)
    splits = np.cumsum(net.graph.splits)[:-1]
    apart = tuple(np.split(u, splits, axis=1)) if len(splits) else u
    assert np.array_equal(bits(library("vjp", net.inputs, x, u)), bits(net.vjp(x, apart)))
    assert np.array_equal(bits(library("jvp", net.outputs, x, v)), bits(net.jvp(x, v)))
    whole = library("jacobian", net.inputs * net.outputs, x).reshape(len(x), net.outputs, net.inputs)
    assert np.array_equal(bits(whole), bits(net.jacobian(x)))


@every_dtype
@every_way
@pytest.mark.parametrize("name", NETWORKS)
def test_a_thousand_rows_have_the_same_bits_however_it_is_compiled(name, way, dtype, tmp_path):
    net = shaken(NETWORKS[name](dtype))
    fb.export.c(net, tmp_path / "net.c", jacobian=True)
    library = Library(way, tmp_path / "net.c", tmp_path)
    x = odd_rows(net, ROWS)
    compare(net, x, library)
    plain = RNG.normal(size=(ROWS, net.inputs)).astype(dtype)
    said = [
        hashlib.sha256(y.tobytes()).hexdigest() for y in (library("predict", net.outputs, plain), net.predict(plain))
    ]
    assert said[0] == said[1]


@every_dtype
@pytest.mark.parametrize("seed", range(6))
def test_random_chains_have_the_same_bits(seed, dtype, tmp_path):
    rng = np.random.default_rng(seed)
    decks = Decks(rng)
    for i in range(4):
        _, loss, outputs = random_loss(decks, LOSSES)
        layers, inputs = random_layers(decks, loss, outputs, beyond_torch=True)
        net = shaken(fb.Network(layers, inputs=inputs, seed=i, dtype=dtype))
        fb.export.c(net, tmp_path / f"net{i}.c", jacobian=True)
        codes = isinstance(layers[0], fb.Embedding)
        x = random_rows(rng, layers, inputs, 30) if codes else odd_rows(net, 30)
        compare(net, x, Library(any_way(), tmp_path / f"net{i}.c", tmp_path))


@every_dtype
@pytest.mark.parametrize("seed", range(8))
def test_random_graphs_have_the_same_bits(seed, dtype, tmp_path):
    inputs = [fb.Input(width) for width in random_graphs.input_widths(seed)]
    outputs = random_graphs.outputs_of(seed, random_graphs.OfSignals(), inputs)
    net = shaken(fb.Network(inputs=inputs, outputs=outputs, seed=seed, dtype=dtype))
    fb.export.c(net, tmp_path / "net.c", jacobian=True)
    compare(net, odd_rows(net, 30), Library(any_way(), tmp_path / "net.c", tmp_path))


@every_dtype
@pytest.mark.parametrize("op", sorted(layer_cases.LAYER_CASES))
def test_every_layer_has_the_same_bits(op, dtype, tmp_path):
    for i, case in enumerate(layer_cases.LAYER_CASES[op]):
        net = shaken(fb.Network(case.layers, inputs=18, seed=i, dtype=dtype))
        fb.export.c(net, tmp_path / f"net{i}.c", jacobian=True)
        x = odd_rows(net, 30)
        for column, count in net.graph.codes():
            x[:, column] = RNG.integers(0, count, len(x))
        compare(net, x, Library(any_way(), tmp_path / f"net{i}.c", tmp_path))


@every_dtype
@pytest.mark.parametrize("gate", sorted(gate_cases.GATE_CASES))
def test_every_gate_has_the_same_bits(gate, dtype, tmp_path):
    for i, case in enumerate(gate_cases.GATE_CASES[gate]):
        inputs = [fb.Input(width) for width in case.widths(18)]
        net = fb.Network(inputs=inputs, outputs=case.of(*inputs), seed=0, dtype=dtype)
        fb.export.c(net, tmp_path / f"net{i}.c", jacobian=True)
        compare(net, odd_rows(net, 30), Library(any_way(), tmp_path / f"net{i}.c", tmp_path))


@every_dtype
@every_way
def test_activations_of_subnormals_are_what_they_are_in_python(way, dtype, tmp_path):
    for i, layer in enumerate([fb.Identity(), *ACTIVATIONS]):
        net = fb.Network([layer], inputs=8, seed=0, dtype=dtype)
        if way != any_way() and i % 7 != 5:
            continue
        fb.export.c(net, tmp_path / f"net{i}.c", jacobian=True)
        x = (np.linspace(-1.0, 1.0, 80) * (4e-38 if dtype == "float32" else 6e-308)).reshape(10, 8).astype(dtype)
        compare(net, x, Library(way, tmp_path / f"net{i}.c", tmp_path))


@every_dtype
@every_way
def test_a_product_with_one_brings_subnormals_to_zero(way, dtype, tmp_path):
    x = fb.Input(2)
    net = fb.Network(inputs=x, outputs=fb.Affine(-1.0, 0.5)(x), dtype=dtype)
    fb.export.c(net, tmp_path / "net.c", jacobian=True)
    u = np.array([[1e-40, -1e-40] if dtype == "float32" else [1e-310, -1e-310]], dtype)
    found = Library(way, tmp_path / "net.c", tmp_path)("vjp", 2, np.ones((1, 2), dtype), u)
    assert np.array_equal(bits(found), bits(net.vjp(np.ones((1, 2), dtype), u)))
    assert found[0].tolist() == [0.0, 0.0]


@every_dtype
def test_formulas_of_users_have_the_same_bits(dtype, tmp_path):
    text = "x * sigmoid(2 * x) + sin(x) - cos(x) / 3 + log1p(x * x) + expm1(-x * x) + abs(x) ** 1.5"
    second = fb.activation(
        lambda x: np.where(x > 0.5, np.hypot(x, 2.0), np.maximum(np.sign(x) * 0.3, fb.erf(x))) - np.arctan(x)
    )
    layers = [fb.Linear(19), fb.activation(text), fb.Linear(7), second, fb.Linear(3)]
    net = shaken(fb.Network(layers, inputs=4, seed=0, dtype=dtype))
    fb.export.c(net, tmp_path / "net.c", jacobian=True)
    compare(net, odd_rows(net, 200), Library(any_way(), tmp_path / "net.c", tmp_path))


def test_every_kernel_of_a_prediction_or_its_derivatives_is_known_in_c():
    training = {"weights", "columns", "coded_weights", "coded_product", "prelu_columns", "embedding_rows", "dropout"}
    training |= {"embedding_update", "batch_norm_statistics", "batch_norm_sums", "batch_norm_vjp", "batch_norm_columns"}
    named = {
        name
        for op in OPS.values()
        if op.family != "loss"
        for names in (op.forward, op.vjp, op.jvp)
        for name in names.split()
    }
    assert sorted(named - training - CALLS.keys() - FORMULAS.keys()) == []


@pytest.mark.parametrize(("way", "standard"), [(way, "-std=c99") for way in ("gcc -O2", "clang -O1")] + CPP)
def test_the_file_proves_itself_without_a_warning_also_as_cpp(way, standard, tmp_path):
    net = shaken(NETWORKS["norms"]("float32"))
    fb.export.c(net, tmp_path / "net.c", jacobian=True)
    said = "net: all numbers of 8 rows have the same bits\n"
    for more in ((), ("-DNET_STATIC",), ("-DNET_NO_DERIVATIVES",), ("-DNET_KEEP_SUBNORMALS",)):
        assert proved(tmp_path / "net.c", way, *more, standard=standard) == (0, said)


@every_dtype
@pytest.mark.parametrize("way", ELSEWHERE)
def test_other_processors_have_the_same_bits(way, dtype, tmp_path):
    fb.export.c(shaken(NETWORKS["norms"](dtype)), tmp_path / "net.c", jacobian=True)
    assert proved(tmp_path / "net.c", way)[0] == 0


@pytest.mark.parametrize("function", ["predict", "vjp", "jvp", "jacobian"])
def test_a_changed_constant_is_found_by_the_program(function, tmp_path):
    fb.export.c(NETWORKS["tanh"]("float32"), tmp_path / "net.c", jacobian=True)
    text = (tmp_path / "net.c").read_text()
    label = "p_2_weight_transposed" if function == "vjp" else "p_2_weight"
    begin = text.index("{", text.index(f"const float {label}["))
    number = re.search(r"-?\d\.\d+", text[begin:]).group()
    digit = str((int(number[-1]) + 4) % 10)
    place = begin + text[begin:].index(number) + len(number) - 1
    (tmp_path / "net.c").write_text(text[:place] + digit + text[place + 1 :])
    status, said = proved(tmp_path / "net.c", any_way())
    assert status == 1
    assert re.search(rf"^net_{function}, row \d, number \d+: must be -?0x\S+, got -?0x\S+$", said, re.MULTILINE)


def test_sums_in_another_order_are_found_by_the_program(tmp_path):
    fb.export.c(NETWORKS["softmax"]("float32"), tmp_path / "net.c", jacobian=True)
    text = (tmp_path / "net.c").read_text()
    changed = text.replace("lanes[i] = lanes[i] + lanes[i + half];", "lanes[i] = lanes[2 * i] + lanes[2 * i + 1];")
    assert changed != text
    (tmp_path / "net.c").write_text(changed)
    assert proved(tmp_path / "net.c", any_way())[0] == 1


def test_the_header_says_how_large_constants_and_arrays_are(tmp_path):
    fb.export.c(NETWORKS["tanh"]("float64"), tmp_path / "net.c", jacobian=True)
    text, header = (tmp_path / "net.c").read_text(), (tmp_path / "net.h").read_text()
    main, derived = text.split("#ifdef NET_SELF_TEST")[0].split("#ifndef NET_NO_DERIVATIVES")
    sizes = [
        8 * sum(map(int, re.findall(r"^static const double \w+\[(\d+)\]", part, re.M))) for part in (main, derived)
    ]
    assert sizes == [8 * (17 * 64 + 64 + 64 * 64 + 64 + 64 * 6 + 6), 8 * (64 * 17 + 64 * 64 + 6 * 64)]
    assert f"Constants (ROM): {sizes[0]} bytes, and {sizes[1]} of derivatives." in header
    of_predict = main[main.index("void predict_row") :]
    arrays = 8 * sum(map(int, re.findall(r"WORK real \w+\[(\d+)\]", of_predict)))
    assert f"bytes: predict {arrays}, " in header


def test_without_derivatives_there_are_none(tmp_path):
    fb.export.c(NETWORKS["tanh"]("float32"), tmp_path / "net.c")
    assert "jacobian" not in (tmp_path / "net.c").read_text() + (tmp_path / "net.h").read_text()
    assert proved(tmp_path / "net.c", any_way())[0] == 0


def test_inputs_and_outputs_are_named_in_the_header(tmp_path):
    a, b = fb.Input(3, name="speed"), fb.Input(2, name="wind")
    h = fb.concat([fb.Tanh()(fb.Linear(4)(a)), b])
    net = fb.Network(inputs=[a, b], outputs=[fb.Linear(2)(h, name="force"), fb.Linear(1)(h, name="torque")])
    fb.export.c(net, tmp_path / "net.c", jacobian=True)
    header = (tmp_path / "net.h").read_text()
    assert "   x: speed 0..2, wind 3..4 of type float\n   y: force 0..1, torque 2..2 of type float\n" in header


def test_a_code_that_is_none_gives_nan(tmp_path):
    net = fb.Network([fb.Embedding({1: (4, 3)}), fb.Linear(2)], inputs=2, seed=0)
    fb.export.c(net, tmp_path / "net.c", jacobian=True)
    found = Library(any_way(), tmp_path / "net.c", tmp_path)("predict", 2, np.array([[0, 3], [0, 4], [0, -1]], "f4"))
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True]
    assert "x[1] is a code from 0 to 3; y is NaN for any other" in (tmp_path / "net.h").read_text()


BAD = {
    "must end in `.c`, got `net.cpp`": lambda net, folder: fb.export.c(net, folder / "net.cpp"),
    "must have a name of at most 40 letters, digits and underscores that begins with a letter, got `my-net`\n"
    'hint: a name is given as `name="net"` (`--name net`)': lambda net, folder: fb.export.c(net, folder / "my-net.c"),
    "must not be a name that C or the file itself has, got `double`\n"
    'hint: a name is given as `name="net"` (`--name net`)': lambda net, folder: fb.export.c(net, folder / "double.c"),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_paths_are_refused_in_one_sentence(said, tmp_path):
    with pytest.raises(ConfigError) as error:
        BAD[said](NETWORKS["tanh"]("float32"), tmp_path)
    assert str(error.value) == f"`path` {said}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["2nd", "a b", "", "_a", "été", "x" * 41])
def test_bad_names_are_refused_in_one_sentence(name, tmp_path):
    with pytest.raises(ConfigError) as error:
        fb.export.c(NETWORKS["tanh"]("float32"), tmp_path / "net.c", name=name)
    must = "must be a name of at most 40 letters, digits and underscores that begins with a letter"
    assert str(error.value) == f"`name` {must}, got `{name}`"


@pytest.mark.parametrize("name", ["printf", "uint32_t", "INT64_C", "sinf", "fabsl", "casadi_int", "y0"])
def test_a_name_of_a_header_is_refused_where_a_function_has_it_alone(name, tmp_path):
    net = NETWORKS["tanh"]("float32")
    with pytest.raises(ConfigError) as error:
        fb.export.c(net, tmp_path / "net.c", name=name, casadi=True)
    assert str(error.value) == f"`name` must not be a name that C or the file itself has, got `{name}`"
    fb.export.c(net, tmp_path / "net.c", name=name, jacobian=True)
    compiled(any_way(), tmp_path / "net.c", tmp_path / "net", f"-D{name.upper()}_SELF_TEST")
    assert subprocess.run([tmp_path / "net"], capture_output=True, check=False).returncode == 0


def test_nothing_is_left_where_the_header_cannot_be_written(tmp_path):
    (tmp_path / "net.h").mkdir()
    with pytest.raises(FileError, match="must be a file that can be written"):
        fb.export.c(NETWORKS["tanh"]("float32"), tmp_path / "net.c")
    assert [path.name for path in tmp_path.iterdir()] == ["net.h"]


@pytest.mark.parametrize("numbers", ["age", 5, None, [1]])
@pytest.mark.parametrize("writer", ["c", "onnx"])
def test_columns_that_are_numbers_are_a_list_of_texts(writer, numbers, tmp_path):
    with pytest.raises(ConfigTypeError, match=r"^`numbers` must be a list of texts, got `"):
        getattr(fb.export, writer)(NETWORKS["tanh"]("float32"), tmp_path / f"net.{writer}", numbers=numbers)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "casadi"), [("stored", False), ("predict_row", True), ("tanh_forward", True)])
def test_a_name_that_the_file_has_itself_is_refused_in_one_sentence(name, casadi, tmp_path):
    with pytest.raises(ConfigError) as error:
        fb.export.c(NETWORKS["tanh"]("float32"), tmp_path / "net.c", name=name, jacobian=True, casadi=casadi)
    made = {"stored": "stored_jacobian"}.get(name, name)
    assert str(error.value) == f"`name` must not make names that the file has, as `{made}`, got `{name}`"
