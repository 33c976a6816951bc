"""Networks of PyTorch as networks of ours."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError
from fastbp.export.in_torch import tensors
from tests.export.networks import NETWORKS, network

LAYERS = [fb.Linear(3), fb.ReLU(), fb.Linear(3), fb.ReLU(), fb.Linear(1)]
SHAPES = {"weight": [(3, 2), (3, 3), (1, 3)], "bias": [(3,), (3,), (1,)]}


def state(*names, seed=0, dtype=np.float32):
    """A state dict of three linear layers, of these names."""
    rng = np.random.default_rng(seed)
    return {
        f"{name}.{part}": rng.normal(size=SHAPES[part][i]).astype(dtype)
        for i, name in enumerate(names)
        for part in ("weight", "bias")
    }


def filled(given, names):
    """The network that a state dict must be, its layers in this order."""
    net = fb.Network(LAYERS, inputs=2, dtype=given[f"{names[0]}.weight"].dtype)
    for i, name in zip((0, 2, 4), names, strict=True):
        net.parameters[f"{i}.weight"] = given[f"{name}.weight"].T
        net.parameters[f"{i}.bias"] = given[f"{name}.bias"]
    return net


def refused(source, like=LAYERS, **more):
    more.setdefault("inputs", 2 if isinstance(like, list) else None)
    with pytest.raises(fb.FastbpError) as info:
        fb.load_torch(source, like, **more)
    return str(info.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_exported_comes_back(name, dtype, tmp_path):
    net, X = network(name, dtype)
    fb.export.torch(net, tmp_path / "net.safetensors")
    other = fb.Network(**NETWORKS[name], dtype=dtype, seed=7)
    found = fb.load_torch(tmp_path / "net.safetensors", like=other)
    scaled = "ntk=True" in repr(net)
    for part, array in net.arrays().items():
        back = found.arrays()[part]
        assert np.allclose(back, array, rtol=4.0 * np.finfo(dtype).eps) if scaled else np.array_equal(back, array)
    assert found.seed == other.seed
    assert found is not other
    assert scaled or np.array_equal(np.hstack(found.predict(X)), np.hstack(net.predict(X)))


@pytest.mark.parametrize(
    "names",
    [
        ("0", "2", "4"),
        ("net.0", "net.2", "net.4"),
        ("module.model.0", "module.model.2", "module.model.4"),
        ("0", "3", "6"),
        ("fc1", "fc2", "fc3"),
        ("layers.9.linear", "layers.10.linear", "layers.11.linear"),
        ("inside", "hidden", "head"),
        ("h0", "h1", "out"),
    ],
    ids=lambda names: names[-1],
)
def test_layers_are_found_by_their_names_their_numbers_or_their_shapes(names):
    given = state(*names)
    turned = dict(sorted(given.items(), reverse=True))
    for source in (given, turned):
        assert np.array_equal(fb.load_torch(source, LAYERS, inputs=2).flat, filled(given, names).flat)


def test_of_layers_that_are_alike_no_order_is_guessed():
    layers = [fb.Linear(2), fb.ReLU(), fb.Linear(2)]
    given = {
        f"{name}.{part}": np.ones((2, 2) if part == "weight" else 2) for name in "ab" for part in ("weight", "bias")
    }
    assert refused(given, layers) == (
        "`source` must say by numbers in their names which of `a`, `b` comes first\n"
        "hint: rename them in a dict as `like` has them: `0`, `2`"
    )


def test_layers_by_number_must_be_those_of_the_network_in_its_order():
    given = {"0.weight": np.ones((2, 2)), "1.weight": np.ones(2), "1.bias": np.ones(2)}
    layers = [fb.LayerNorm(), fb.Tanh(), fb.Linear(2, bias=False)]
    assert refused(given, layers) == "`source` must have `0.bias`, as `like` has, got `weight`"


def test_types_of_numbers_are_converted(tmp_path):
    given = state("0", "2", "4", dtype=np.float64)
    assert fb.load_torch(given, LAYERS, inputs=2).dtype == np.float64
    assert fb.load_torch(given, LAYERS, inputs=2, dtype="float32").dtype == np.float32
    like = fb.Network(LAYERS, inputs=2)
    assert fb.load_torch(given, like).dtype == np.float32
    assert fb.load_torch(given, like, dtype="float64").dtype == np.float64
    half = {name: array.astype(np.float16) for name, array in given.items()}
    (tmp_path / "half.safetensors").write_bytes(tensors.to_bytes(half, {}))
    found = fb.load_torch(tmp_path / "half.safetensors", LAYERS, inputs=2)
    assert found.dtype == np.float32
    assert np.array_equal(found.parameters["0.weight"], half["0.weight"].T.astype(np.float32))


def test_the_network_that_is_given_stays_as_it_is():
    like = fb.Network(LAYERS, inputs=2, seed=3)
    before = like.flat
    assert not np.array_equal(fb.load_torch(state("0", "2", "4"), like).flat, before)
    assert np.array_equal(like.flat, before)


def test_batches_that_pytorch_has_counted_may_be_there_or_not():
    layers = [fb.BatchNorm()]
    given = {f"0.{part}": np.full(2, 0.5) for part in ("weight", "bias", "running_mean", "running_var")}
    for source in (given, given | {"0.num_batches_tracked": np.int64(7)}):
        found = fb.load_torch(source, layers, inputs=2)
        assert found.states["0.running_var"].tolist() == [0.5, 0.5]


def test_what_does_not_fit_is_said_in_one_sentence(tmp_path):
    given = state("0", "2", "4")
    one = {"0.weight": np.ones((1, 2)), "0.bias": np.ones(1)}
    linear = [fb.Linear(1)]
    assert refused({**one, "0.bias": np.ones(2)}, linear) == (
        "source: `0.bias` must have shape `(1,)`, as `like` has, got `(2,)`"
    )
    assert refused({**one, "0.weight": np.ones((2, 1))}, linear) == (
        "source: `0.weight` must have shape `(1, 2)`, as `like` has, got `(2, 1)`\n"
        "hint: matrices of PyTorch are (out, in)"
    )
    assert refused({"0.weight": np.ones((1, 2))}, linear) == "`source` must have `0.bias`, as `like` has, got `weight`"
    assert refused({**one, "0.weight_g": np.ones(1)}, linear) == (
        "`source` must have no tensors that `like` has not, got `0.weight_g`"
    )
    assert refused(one) == "`source` must have 3 (`0`, `2`, `4`) layers with tensors, as `like` has, got 1 (`0`)"
    assert refused({}, linear) == "`source` must have 1 (`0`) layers with tensors, as `like` has, got 0 ()"
    assert (
        refused({**one, "0.bias": np.full(1, np.nan)}, linear) == "source: `0.bias` must be finite, got NaN or infinity"
    )
    assert refused({**one, "0.bias": np.full(1, 1e300)}, fb.Network(linear, 2)) == (
        "source: `0.bias` must be finite, got NaN or infinity"
    )
    assert refused({**one, "0.bias": np.ones(1, int)}, linear) == (
        "source: `0.bias` must be of `F64`, `F32`, `F16`, `BF16`, got `int64`"
    )
    norm = {f"1.{part}": -np.ones(2) for part in ("weight", "bias", "running_mean", "running_var")}
    assert refused(norm, [fb.BatchNorm()]) == "source: `1.running_var` must be at least 0, got `-1.0`"
    words = {f"{name}.{part}": given[f"{i}.{part}"] for i, name in zip("024", "abc", strict=True) for part in SHAPES}
    assert refused({**words, "c.bias": np.ones(2)}) == (
        "`source` must have 1 of the layers with `bias` of shape `(1,)`, `weight` of shape `(1, 3)`, as `like` has, "
        "got 0 (of `a`, `b`, `c`)"
    )


def test_arguments_that_are_none_are_said_in_one_sentence(tmp_path):
    given = state("0", "2", "4")
    assert refused(given, None, inputs=2) == (
        "`like` must be a network or a list of layers, as tensors do not say which activations are between them, "
        "got `None`\nhint: such as `like=[fb.Linear(3), fb.ReLU(), fb.Linear(3), fb.ReLU(), fb.Linear(1)], inputs=2`"
    )
    assert refused(given, LAYERS, inputs=None) == "`inputs` must be given with a list of layers, the features of a row"
    assert refused(given, fb.mlp([2, 1]), inputs=2) == (
        "`inputs` must be given with a list of layers only, as a network has its own"
    )
    assert refused(given, "relu") == "`like` must be a network or a list of layers, got `'relu'`"
    assert refused(7) == "`source` must be a path, a state dict or a module of PyTorch, got `7`"
    assert refused({0: np.ones(1)}) == "`source` must have names of tensors, got `0`"
    assert refused({"model": given, "epoch": 3}) == (
        "`source['model']` must be an array, got a dict\nhint: that may be the state dict itself"
    )
    assert refused({"a": "text"}) == "`source['a']` must be an array of real numbers, got dtype `<U4`"
    assert refused({"a": [[1.0], [1.0, 2.0]]}).startswith("`source['a']` must be an array, got ")
    assert refused(tmp_path) == f"`{tmp_path}` must be a safetensors file, got a folder"
    missing = tmp_path / "none.safetensors"
    assert refused(missing) == f"`{missing}` must be a safetensors file, but does not exist"


def test_a_file_of_ours_is_not_taken_for_one_of_pytorch(tmp_path):
    file = tmp_path / "net.safetensors"
    fb.mlp([2, 2]).save(file)
    assert refused(file, fb.mlp([2, 2])) == (
        f"`{file}` is a file of fastbp, whose matrices are (in, out)\nhint: `fb.load` reads it"
    )


# With PyTorch


def modules(torch):
    nn = torch.nn
    return {
        "norms": nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4, eps=1e-3), nn.LayerNorm(4), nn.RMSNorm(4), nn.PReLU(4), nn.Linear(4, 2)
        ),
        "activations": nn.Sequential(
            *(nn.Linear(3, 3), nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.5), nn.SELU(), nn.GELU("tanh"), nn.GELU()),
            *(nn.SiLU(), nn.Mish(), nn.Softplus(2.0), nn.Softsign(), nn.Sigmoid(), nn.Hardsigmoid()),
            *(nn.Tanh(), nn.ReLU6(), nn.Hardtanh(-0.5, 0.5), nn.Identity(), nn.PReLU(), nn.Dropout(0.5), nn.Softmax(1)),
        ),
        "clipped": nn.Sequential(nn.Flatten(), nn.ReLU6(), nn.Linear(3, 2)),
        "inside": nn.Sequential(nn.Sequential(nn.Linear(3, 5), nn.Tanh()), nn.Sequential(nn.Linear(5, 1, bias=False))),
        "plain norms": nn.Sequential(
            nn.BatchNorm1d(3, affine=False), nn.LayerNorm(3, elementwise_affine=False), nn.LayerNorm(3, bias=False),
            nn.RMSNorm(3, elementwise_affine=False), nn.LogSoftmax(dim=-1),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["norms", "activations", "clipped", "inside", "plain norms"])
def test_a_sequential_is_known_by_its_modules(name, dtype):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = modules(torch)[name].to(getattr(torch, dtype))
    X = 5.0 * torch.randn(40, 3, dtype=getattr(torch, dtype))
    with torch.no_grad():
        module.train()(X)  # which moves the statistics
        expected = module.eval()(X).numpy()
    net = fb.load_torch(module)
    assert net.dtype == dtype
    assert np.abs(net.predict(X.numpy()) - expected).max() < (1e-6 if dtype == "float32" else 1e-12)


def test_a_module_that_is_no_sequential_needs_a_network():
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)

        def forward(self, x):
            return self.out(torch.relu(self.hidden(x)))

    net = Net()
    must = "`like` must be given for a module that is no `nn.Sequential` of layers that are here too, got "
    assert refused(net, None) == f"{must}`Net`"
    assert refused(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Conv1d(2, 2, 1))), None) == (
        f"{must}`Conv1d` at `1.0`"
    )
    assert refused(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Softmax(dim=0)), None) == (
        "`like` must be given for a module with a `Softmax` that is not over features, got `0`"
    )
    assert refused(torch.nn.Sequential(torch.nn.ReLU()), None) == (
        "`like` must be given for a module without a layer that says how many inputs it has"
    )
    X = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(X)).numpy()
    layers = [fb.Linear(3), fb.ReLU(), fb.Linear(1)]
    for source in (net, net.state_dict(), {**net.state_dict()}):
        assert np.allclose(fb.load_torch(source, layers, inputs=2).predict(X), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_files_of_pytorch_are_read_in_all_its_types(dtype, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    module = module.to(getattr(torch, dtype))
    save_file(module.state_dict(), tmp_path / "net.safetensors")
    layers = [fb.Linear(3), fb.Tanh(), fb.Linear(1)]
    found = fb.load_torch(tmp_path / "net.safetensors", layers, inputs=2)
    assert np.array_equal(found.parameters["0.weight"], module[0].weight.detach().double().numpy().T)
    assert np.array_equal(fb.load_torch(module.state_dict(), layers, inputs=2).flat, found.flat)


def mutant(given, rng):
    """A state dict with one or two things that are otherwise."""
    given = dict(given)
    for name in rng.permutation([*given])[: rng.integers(1, 3)].tolist():
        array = np.asarray(given.pop(name))
        odd = [
            "",
            ".",
            "..",
            "weight",
            "0.weight.",
            ".0.weight",
            "é.bias",
            "9" * 40 + ".weight",
            f"{name}.{name}",
            "a b",
        ]
        match rng.integers(9):
            case 0:
                pass  # it is not there
            case 1:
                given[odd[rng.integers(len(odd))]] = array
            case 2:
                given[name] = array.T.copy()
            case 3:
                given[name] = array.astype([np.int8, bool, np.float16, np.longdouble, complex, object][rng.integers(6)])
            case 4:
                given[name] = array[..., None][rng.integers(2) :]
            case 5:
                given[name] = array.ravel()[0]
            case 6:
                given[name] = [None, "x", {}, [], [[]], float("nan"), 10**400][rng.integers(7)]
            case 7:
                given[name] = np.where(
                    rng.random(array.shape) < 0.5, np.float64(array), [np.nan, np.inf, 1e300][rng.integers(3)]
                )
            case 8:
                given[name], given[f"{name}_g"] = array, array
    return given


def test_every_mutant_of_a_state_dict_is_a_network_or_refused_in_one_sentence():
    rng = np.random.default_rng(0)
    layers = [fb.Linear(3), fb.BatchNorm(), fb.Linear(3), fb.ReLU(), fb.Linear(1)]
    norm = {f"net.1.{part}": np.full(3, 0.5) for part in ("weight", "bias", "running_mean", "running_var")}
    given = state("net.0", "net.2", "net.4") | norm | {"net.1.num_batches_tracked": np.int64(3)}
    like = fb.Network(layers, inputs=2)
    loaded, refusals = 0, set()
    for _ in range(1000):
        try:
            found = fb.load_torch(mutant(given, rng), like)
        except fb.FastbpError as error:
            refusals.add(str(error))
            continue
        loaded += 1
        assert np.isfinite(found.flat).all()
    assert 50 < loaded < 500
    assert [said for said in refusals if said.count("\n") > 1 or "\n" in said.replace("\nhint: ", "")] == []


@pytest.mark.parametrize("kind", ["meta", "sparse"])
def test_tensors_without_numbers_side_by_side_are_refused(kind):
    torch = pytest.importorskip("torch")
    weight = torch.zeros(1, 2, device="meta") if kind == "meta" else torch.eye(1, 2).to_sparse()
    with pytest.raises(ConfigError) as error:
        fb.load_torch({"0.weight": weight, "0.bias": torch.zeros(1)}, like=fb.mlp([2, 1]))
    assert "`source['0.weight']` must be a dense tensor with numbers, got `" in str(error.value)


def test_a_layout_that_is_not_dense_is_refused_without_torch():
    class Sparse:
        layout, is_meta = "torch.sparse_coo", False

        def detach(self):
            return self

    with pytest.raises(ConfigError, match=r"`source\['0.weight'\]` must be a dense tensor with numbers"):
        fb.load_torch({"0.weight": Sparse(), "0.bias": np.zeros(1)}, like=fb.mlp([2, 1]))
