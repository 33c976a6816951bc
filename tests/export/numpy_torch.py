"""As much of PyTorch as exported programs use, in NumPy: what they predict is known where PyTorch is not installed.

Where it is, the same tests run with both, so that this says what PyTorch says.
"""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from fastbp import reference
from fastbp.export.in_torch import tensors


class Tensor(np.ndarray):
    """An array with the methods of a tensor."""

    def long(self):
        return self.astype(np.int64)

    def to(self, dtype):
        return self.astype(dtype)

    def clone(self):
        return self.copy()

    def diff(self):
        return of(np.diff(np.asarray(self)))

    def log(self):
        return np.log(self)

    def new_tensor(self, number):
        return of(np.array(number, self.dtype))

    def expand(self, *shape):
        behind = (1,) * (len(shape) - self.ndim) + self.shape
        return of(
            np.broadcast_to(self, [have if want == -1 else want for have, want in zip(behind, shape, strict=True)])
        )

    def flatten(self, start):
        return self.reshape(*self.shape[:start], -1)

    def mean(self, axis, keepdim=False):
        return of(np.asarray(self).mean(axis=axis, keepdims=keepdim))

    def sum(self, axis, keepdim=False):
        return of(np.asarray(self).sum(axis=axis, keepdims=keepdim))


def of(array):
    return np.asarray(array).view(Tensor)


class Parameter(Tensor):
    def __new__(cls, array):
        return np.asarray(array, np.float32).view(cls)


class Module:
    """Tensors and modules by the names of attributes."""

    def __call__(self, x):
        y = self.forward(x)
        return tuple(map(of, y)) if isinstance(y, tuple) else of(y)

    def named(self, before=""):
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield from value.named(f"{before}{name}.")
            elif isinstance(value, Tensor):
                yield f"{before}{name}", self, name

    def state_dict(self):
        return {name: getattr(owner, own) for name, owner, own in self.named()}

    def load_state_dict(self, given):
        assert set(given) == {name for name, _, _ in self.named()}
        for name, owner, own in self.named():
            held = getattr(owner, own)
            assert given[name].shape == held.shape
            setattr(owner, own, of(given[name].astype(held.dtype)))

    def double(self):
        for _, owner, own in self.named():
            held = getattr(owner, own)
            setattr(owner, own, of(held.astype(np.float64)) if held.dtype.kind == "f" else held)

    def eval(self):
        pass


class Sequential(Module):
    def __init__(self, *modules):
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def forward(self, x):
        for module in vars(self).values():
            x = module(x)
        return x


class ModuleDict(Module):
    def __init__(self, modules):
        vars(self).update(modules)

    def __getitem__(self, name):
        return getattr(self, name)

    def items(self):
        return vars(self).items()


class Linear(Module):
    def __init__(self, inputs, outputs, bias=True):
        self.weight = Parameter(np.zeros((outputs, inputs)))
        if bias:
            self.bias = Parameter(np.zeros(outputs))

    def forward(self, x):
        return x @ self.weight.T + getattr(self, "bias", 0.0)


class Norm(Module):
    """Whatever is normalised, y = γ n + β."""

    def __init__(self, features, eps=1e-5, elementwise_affine=True, bias=True):
        self.eps = eps
        if elementwise_affine:
            self.weight = Parameter(np.zeros(features))
            if bias:
                self.bias = Parameter(np.zeros(features))

    def forward(self, x):
        return self.normal(np.asarray(x)) * getattr(self, "weight", 1.0) + getattr(self, "bias", 0.0)


class LayerNorm(Norm):
    def normal(self, x):
        away = x - x.mean(-1, keepdims=True)
        return away / np.sqrt((away * away).mean(-1, keepdims=True) + self.eps)


class RMSNorm(Norm):
    def __init__(self, features, eps=None, elementwise_affine=True):
        super().__init__(features, eps, elementwise_affine, bias=False)

    def normal(self, x):
        eps = np.finfo(x.dtype).eps if self.eps is None else x.dtype.type(self.eps)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


class BatchNorm1d(Norm):
    def __init__(self, features, eps, momentum, affine=True):
        super().__init__(features, eps, affine)
        self.running_mean, self.running_var = Parameter(np.zeros(features)), Parameter(np.zeros(features))
        self.num_batches_tracked = of(np.int64(0))

    def normal(self, x):
        return (x - self.running_mean) / np.sqrt(self.running_var + self.eps)


class PReLU(Module):
    def __init__(self, count):
        self.weight = Parameter(np.zeros(count))

    def forward(self, x):
        return np.where(x > 0, x, x * self.weight)


class Embedding(Module):
    def __init__(self, count, width):
        self.weight = Parameter(np.zeros((count, width)))

    def forward(self, x):
        return self.weight[x]


def of_reference(name, *order, **defaults):
    """A module of a function of the reference; arguments that are given come in this order."""

    class Function(Module):
        def __init__(self, *given, **named):
            self.settings = defaults | dict(zip(order, given, strict=False)) | named

        def forward(self, x):
            assert self.settings.pop("threshold", 40.0) == 40.0
            assert self.settings.pop("dim", -1) == -1
            rows = np.asarray(x).reshape(-1, x.shape[-1])
            forward = getattr(reference, f"{name}_forward")
            return forward(rows, **self.settings).reshape(x.shape)

    return Function


def gelu(approximate):
    return of_reference("gelu" if approximate == "none" else "gelu_tanh")()


def log_softmax(x, axis):
    below = np.asarray(x) - np.asarray(x).max(axis=axis, keepdims=True)
    return of(below - np.log(np.exp(below).sum(axis=axis, keepdims=True)))


def logsigmoid(x):
    return np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))


def logsumexp(x, axis):
    top = np.asarray(x).max(axis=axis)
    return of(top + np.log(np.exp(np.asarray(x) - top).sum(axis=axis)))


def where(chosen, x, y):
    """Of PyTorch's types: a number beside a tensor has the tensor's."""
    dtype = next(value.dtype for value in (x, y) if isinstance(value, Tensor))
    return of(np.where(chosen, x, y).astype(dtype))


nn = SimpleNamespace(
    **{made.__name__: made for made in (Module, Parameter, Sequential, ModuleDict, Linear, LayerNorm, RMSNorm)},
    **{made.__name__: made for made in (BatchNorm1d, PReLU, Embedding)},
    Identity=of_reference("identity"),
    Dropout=lambda p: of_reference("identity")(),
    ReLU=of_reference("relu"),
    LeakyReLU=of_reference("leaky_relu", "slope"),
    ELU=of_reference("elu", "alpha"),
    SELU=of_reference("selu"),
    GELU=gelu,
    SiLU=of_reference("silu"),
    Mish=of_reference("mish"),
    Softplus=of_reference("softplus", "beta"),
    Softsign=of_reference("softsign"),
    Sigmoid=of_reference("sigmoid"),
    Hardsigmoid=of_reference("hard_sigmoid"),
    Tanh=of_reference("tanh"),
    Hardtanh=of_reference("hardtanh", "low", "high"),
    Softmax=of_reference("softmax"),
    LogSoftmax=of_reference("log_softmax"),
)
F = SimpleNamespace(
    linear=lambda x, weight: x @ weight.T,
    log_softmax=log_softmax,
    logsigmoid=logsigmoid,
    softplus=lambda x, threshold: of(np.logaddexp(0.0, x)),
)
torch = SimpleNamespace(
    **{name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "arctan", "tanh")},
    **{name: getattr(np, name) for name in ("abs", "sign", "maximum", "minimum", "hypot", "pi", "inf", "nan")},
    sigmoid=lambda x: of(reference.sigmoid_forward(np.asarray(x))),
    erf=lambda x: of(np.vectorize(math.erf, otypes=[x.dtype])(x)),
    relu=lambda x: np.maximum(x, 0.0),
    cat=lambda parts, axis: of(np.concatenate(parts, axis)),
    einsum=lambda how, *parts: of(np.einsum(how, *parts)),
    ones=lambda *shape: np.ones(shape),
    zeros=lambda *shape: np.zeros(shape),
    full=np.full,
    tensor=lambda given, dtype, device=None: of(np.array(given, dtype)),
    logsumexp=logsumexp,
    where=where,
)
Tensor.device = None


def loaded(program):
    """The network of a program, which is given this in the place of what it imports."""
    lines = program.splitlines()
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    known = {
        "import torch": {"torch": torch},
        "from torch import nn": {"nn": nn},
        "from torch.nn import functional as F": {"F": F},
        "from safetensors.torch import load_file": {"load_file": lambda path: tensors.read(Path(path))},
    }
    given = {name: value for line in imports for name, value in known[line].items()}
    exec(compile("\n".join(line for line in lines if line not in imports), "program", "exec"), given)
    return given["net"]
