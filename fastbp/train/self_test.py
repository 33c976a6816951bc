"""The self-test: known answers of every kernel, computed where it will run.

The same sources give the same bits on every machine, so results are known beforehand, to the last bit:
`known_answers.json` has, for each case below, a digest of its results in both precisions, and the kernels it proves:
those that no earlier case calls. Before a kernel's first use on a machine its case runs (`engine.proof`); `fastbp
doctor` runs all. Inputs are fractions of whole numbers; rows and widths cover every tail of a register tile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.function import trace
from fastbp.autodiff.functions import erf, sigmoid, softplus, tanh
from fastbp.autodiff.functions import relu as relu_of
from fastbp.engine.threads import alone
from fastbp.errors import DataError, DivergedError
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.exchange import Alone
from fastbp.model.network import Network
from fastbp.spec.activations import LogSoftmax, PReLU, Softmax
from fastbp.spec.bins import PiecewiseLinear
from fastbp.spec.catalogue import ACTIVATIONS, LOSSES
from fastbp.spec.class_losses import CrossEntropy
from fastbp.spec.coded import Coded
from fastbp.spec.embeddings import PBLD
from fastbp.spec.gates import Add, Affine, Concat, Divide, Mean, Multiply, Reciprocal, Repeat, Slice, Subtract, Sum
from fastbp.spec.joint_loss import JointLoss
from fastbp.spec.layers import BatchNorm, Dropout, Embedding, LayerNorm, Linear, RMSNorm, Scale
from fastbp.spec.members import AdaptedLinear, MemberLinear, Members
from fastbp.spec.signals import Input
from fastbp.train import adam
from fastbp.train.catalogue import OPTIMIZERS
from fastbp.train.optimizers import SGD, RMSprop
from fastbp.train.trainer import Trainer

ANSWERS = Path(__file__).with_name("known_answers.json")
ROWS = (*range(1, 18), 40)  # every tail of a tile of rows
SIZES = ((5, 1), (3, 17), (18, 33), (40, 50))  # inputs and outputs: one panel to four, odd and even

COMMON = 3  # the first cases, which cover what most networks need

Arrays = list[NDArray[Any]]


def numbers(dtype: str, *shape: int, salt: int = 0) -> NDArray[Any]:
    """Fractions between -2 and 2, the same on every machine."""
    index = np.arange(int(np.prod(shape))) + 31 * salt
    return (((index * 7919 + 104729) % 2003 - 1001) / 512).astype(dtype).reshape(shape)


def chain(dtype: str, inputs: int, *layers: Any) -> Network:
    return Network(list(layers), inputs=inputs, seed=7, dtype=dtype)


def products(dtype: str) -> Arrays:
    """z = x W + b at every tail."""
    found = []
    for inputs, outputs in SIZES:
        net = chain(dtype, inputs, Linear(outputs, bias_init="normal"))
        found += [net.predict(numbers(dtype, rows, inputs), threads=1) for rows in ROWS]
    return found


def gradients(dtype: str) -> Arrays:
    """Gradients of weights and biases of two layers at every tail, with the kernels most networks need."""
    found: Arrays = []
    for number, (inputs, outputs) in enumerate(SIZES):
        net = chain(dtype, inputs, Linear(outputs), *relu(), Linear(inputs))
        for rows in (1, 2 + number, 6 + number, 17):
            total, gradients = net.loss_and_gradients(numbers(dtype, rows, inputs), np.arange(rows) % inputs)
            found += [np.asarray(total), *gradients.values()]
    return found


def behind_a_norm(dtype: str) -> Arrays:
    """A ReLU that is no product's epilogue."""
    layers = [Linear(19), LayerNorm(), *relu(), Linear(3)]
    x = numbers(dtype, 7, 6)
    net = chain(dtype, 6, *layers)
    found = trained(dtype, CrossEntropy(), classes(), layers, SGD(lr=0.1))
    return [*found, net.vjp(x, numbers(dtype, 7, 3)), net.jvp(x, x)]


def relu() -> list[Any]:
    return [ACTIVATIONS["relu"]()]


def trained(dtype: str, loss: Any, y: NDArray[Any], layers: list[Any], optimizer: Any, **settings: Any) -> Arrays:
    """Parameters and loss after some steps over batches of 8 and a last one of 5."""
    net = chain(dtype, 6, *layers)
    x = numbers(dtype, 21, 6)
    x[:, 2] = np.arange(21) % 4
    kind = settings.pop("kind", Trainer)
    trainer = kind(net, loss=loss, optimizer=optimizer, batch_size=8, threads=1, seed=3, **settings)
    history = trainer.run(x, y, steps=5)
    return [np.asarray(history.loss), net.flat, net.states.flat(), net.predict(x, threads=1)]


def classes() -> NDArray[Any]:
    return np.arange(21) * 5 % 3


def training(dtype: str) -> Arrays:
    """A classifier, Adam, batches that do not divide the rows."""
    return trained(dtype, CrossEntropy(), classes(), [Linear(19), *relu(), Linear(3)], adam.Adam(lr=0.01))


def products_with_jacobians(dtype: str) -> Arrays:
    net = chain(dtype, 6, Linear(9), *relu(), Linear(4))
    x = numbers(dtype, 5, 6)
    both = [net.jacobian(x, mode, out=np.full((5, 4, 6), 7, dtype)) for mode in ("forward", "reverse")]
    return [*both, net.input_gradient(x, 1), net.parameter_vjp(x, numbers(dtype, 5, 4))["0.weight"]]


def layer(made: Callable[[], Any]) -> Callable[[str], Arrays]:
    """One layer between two others: trained, and its products with tangents and cotangents."""

    def run(dtype: str) -> Arrays:
        x = numbers(dtype, 7, 6)
        net = chain(dtype, 6, Linear(19), made(), Linear(3))
        found = trained(dtype, CrossEntropy(), classes(), [Linear(19), made(), Linear(3)], SGD(lr=0.1))
        return [*found, net.vjp(x, numbers(dtype, 7, 3)), net.jvp(x, x)]

    return run


def embedding(dtype: str) -> Arrays:
    layers = [Embedding({2: (4, 3)}), Linear(5), Linear(3)]
    x = numbers(dtype, 7, 6)
    x[:, 2] = np.arange(7) % 4
    net = chain(dtype, 6, *layers)
    found = trained(dtype, CrossEntropy(), classes(), layers, adam.AdamW(lr=0.01))
    found += trained(dtype, CrossEntropy(), classes(), layers, adam.Adam(lr=0.01), clip_norm=0.1)
    return [*found, net.vjp(x, numbers(dtype, 7, 3)), net.jvp(x, numbers(dtype, 7, 6))]


def members(dtype: str) -> Arrays:
    """What members predict together, and Jacobians of it; the bias of adapters is added while rows are scaled."""
    found = []
    for average in ("softmax", "sigmoid"):
        net = chain(dtype, 5, Members(3, average), AdaptedLinear(17, adapter="normal"), MemberLinear(3))
        X = numbers(dtype, 7, 5)
        found += [net.predict(X, threads=1), net.jacobian(X, mode="reverse"), net.jacobian(X, mode="forward")]
    return found


def piecewise_linear(dtype: str) -> Arrays:
    """Bins that share panels, of columns that are learned and of rows."""
    return layer(lambda: PiecewiseLinear({2: (-1.0, 0.0, 0.25, 2.0), 17: tuple(i / 8 for i in range(-12, 13))}))(dtype)


def codes(dtype: str) -> Arrays:
    """Rows with codes, which a first Linear multiplies and other networks read in full."""
    x = numbers(dtype, 7, 4)
    x[:, 1], x[:, 3] = np.arange(7) % 4, np.arange(7) * 3 % 6
    rows, found = Coded(x, (0, 3, 0, 5)), []
    for layers in ([Linear(19), Linear(3)], [Scale(), Linear(3)]):
        net = chain(dtype, 10, *layers)
        found += [net.predict(rows), *net.loss_and_gradients(rows, np.arange(7) % 3)[1].values()]
    return found


def last(made: Callable[[], Any]) -> Callable[[str], Arrays]:
    """A final softmax, before a loss that does not include it."""

    def run(dtype: str) -> Arrays:
        x = numbers(dtype, 7, 6)
        net = chain(dtype, 6, Linear(3), made())
        found = trained(dtype, "mse", numbers(dtype, 21, 3), [Linear(3), made()], SGD(lr=0.1))
        return [*found, net.vjp(x, numbers(dtype, 7, 3)), net.jvp(x, x)]

    return run


def probabilities(dtype: str) -> Arrays:
    """Targets that are a probability for each class."""
    wanted = np.array([[8, 4, 4], [2, 6, 8], [16, 0, 0]], dtype)[np.arange(21) % 3] / 16
    return trained(dtype, CrossEntropy(), wanted, [Linear(3)], SGD(lr=0.1))


def loss_of(made: Callable[[], Any]) -> Callable[[str], Arrays]:
    def run(dtype: str) -> Arrays:
        loss = made()
        y: NDArray[Any] = classes() if loss.of_labels else np.abs(numbers(dtype, 21, 3)) / 4
        return trained(dtype, loss, y, [Linear(3 * loss.outputs_per_target)], SGD(lr=0.01))

    return run


def optimizer_of(made: Callable[[], Any]) -> Callable[[str], Arrays]:
    return lambda dtype: trained(dtype, CrossEntropy(), classes(), [Linear(19), Linear(3)], made())


def treated(dtype: str) -> Arrays:
    """Kept gradients: accumulated, clipped, averaged, with weights and smoothed targets."""
    loss = CrossEntropy(label_smoothing=0.1, class_weights=[1.0, 2.0, 3.0])
    layers = [Linear(19, ntk=True), BatchNorm(), PReLU(per_feature=True), Linear(3)]
    settings = {"clip_norm": 0.1, "accumulate": 2, "ema": 0.9}
    return trained(dtype, loss, classes(), layers, adam.AdamW(lr=0.01), **settings)


class Told(Trainer):
    """Trains by the sums of all ranks, which are its own."""

    def _plan(self, rows: int, counts: tuple[int, ...] = ()) -> BatchPlan:
        blocks = self.net.parameters.block, self.net.states.block
        words: Any = {"loss": self._loss, "update": self._update, "training": True, "counts": counts}
        return BatchPlan(self.net.graph, *blocks, 1, batch=rows, shards=self._shards, ranks=Alone(), **words)


def shards(dtype: str) -> Arrays:
    """Batches in shards, of one process and of one that is told the sums of all."""
    layers: list[Any] = [Embedding({2: (4, 3)}), Linear(19), BatchNorm(), PReLU(per_feature=True), Linear(3)]
    found = []
    for settings in ({"clip_norm": 0.1, "accumulate": 2}, {}):
        for kind in (Trainer, Told):
            words: dict[str, Any] = {**settings, "shards": 4, "kind": kind}
            found += trained(dtype, CrossEntropy(), classes(), layers, adam.AdamW(lr=0.01), **words)
    return found


def branches(dtype: str) -> Arrays:
    """Every gate between branches."""
    x = Input(6)
    h = Linear(17)(Concat()(x, Slice(1, 4)(x)))
    h = Subtract()(Add()(h, Repeat(17)(Mean()(h))), Multiply()(h, h))
    h = Divide()(h, Affine(1.0, 2.0)(Multiply()(h, h)))
    h = Multiply()(Reciprocal(2.0)(Affine(1.0, 3.0)(Multiply()(h, h))), Repeat(17)(Sum()(h)))
    net = Network(inputs=x, outputs=Linear(3)(h), seed=7, dtype=dtype)
    rows, t = numbers(dtype, 7, 6), numbers(dtype, 7, 3)
    found = list(net.loss_and_gradients(rows, t, loss="mse")[1].values())
    for again in (rows, -rows):  # in buffers that now hold other numbers
        found += [net.vjp(again, t), net.jvp(again, again)]
    return found


def gate(function: Callable[..., Any], count: int) -> Callable[[str], Arrays]:
    """A gate of traced functions: its value and its gradients, of a matrix and of a vector of odd size."""

    def run(dtype: str) -> Arrays:
        found = []
        for shape in ((3, 19), (1, 5)):
            given = [np.abs(numbers(dtype, *shape, salt=i)) + np.asarray(0.25, dtype) for i in range(count)]
            traced = trace(function, dtype=dtype)
            traced(*(2 * x for x in given))  # so that no result is right only because memory was zero
            value = np.asarray(traced(*given))
            found += [value, *traced.vjp(given, numbers(dtype, *value.shape, salt=5))]
        return found

    return run


def with_a_number(dtype: str) -> Arrays:
    """A number among the arguments of a traced function: its value and both gradients."""
    x, traced = numbers(dtype, 3, 19), trace(lambda x, a: x * a + np.exp(a), dtype=dtype)
    value = np.asarray(traced(x, 0.75))
    return [value, *map(np.asarray, traced.vjp((x, -1.5), value))]


def two_outputs(dtype: str) -> Arrays:
    """Losses of several outputs, added up."""
    x = Input(6)
    h = Linear(17)(x)
    net = Network(inputs=x, outputs=[Linear(3)(h), Linear(1)(h)], seed=7, dtype=dtype)
    targets, loss = (np.arange(7) % 3, numbers(dtype, 7, 1)), JointLoss(["cross_entropy", "mse"])
    total, gradients = net.loss_and_gradients(numbers(dtype, 7, 6), targets, loss=loss)
    return [np.asarray(total), *gradients.values()]


def orthogonal(dtype: str) -> Arrays:
    return [chain(dtype, 20, Linear(33, init="orthogonal")).flat]


def gates() -> dict[str, tuple[Callable[..., Any], int]]:
    """A function of one or two arrays for each gate of traced functions."""
    one = {
        **{name: getattr(np, name) for name in ("negative", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos")},
        **{name: getattr(np, name) for name in ("arctan", "abs", "sign")},
        "tanh": tanh,
        "sigmoid": sigmoid,
        "softplus": softplus,
        "erf": erf,
        "relu": relu_of,
        "sum": lambda x: np.sum(x, axis=-1) * np.sum(x) * np.sum(x, axis=0).sum(),
        "spread": lambda x: x * np.sum(x, axis=-1, keepdims=True) * np.sum(x, axis=0),
        "reshape": lambda x: np.exp(np.reshape(x, -1)),
        "transpose": lambda x: np.exp(np.transpose(x)),
        "take": lambda x: x[..., ::-2] * x[..., :1],
        "place": lambda x: np.concatenate([x, x[..., -1:] * x], axis=-1),
        "tied": lambda x: np.max(x, axis=-1) * np.min(x, axis=-1),
        "matmul": lambda x: np.matmul(x, np.transpose(x)),
    }
    two = {
        **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "power", "hypot")},
        **{name: getattr(np, name) for name in ("maximum", "minimum", "greater", "greater_equal", "less")},
        **{name: getattr(np, name) for name in ("less_equal", "equal", "not_equal")},
        "where": lambda x, y: np.where(x > y, x, y * y),
    }
    return {**{name: (f, 1) for name, f in one.items()}, **{name: (f, 2) for name, f in two.items()}}


@cache
def cases() -> dict[str, Callable[[str], Arrays]]:
    """Every case by name, those that most networks need first."""
    found: dict[str, Callable[[str], Arrays]] = {"products": products, "gradients": gradients, "training": training}
    found["jacobians"] = products_with_jacobians
    found |= {kind: optimizer_of(made) for kind, made in OPTIMIZERS.items()}
    found |= {kind: loss_of(made) for kind, made in LOSSES.items()}
    found |= {kind: layer(made) for kind, made in ACTIVATIONS.items()}
    norms = {"layer_norm": LayerNorm, "rms_norm": RMSNorm, "batch_norm": BatchNorm, "scale": Scale}
    found |= {kind: layer(made) for kind, made in norms.items()}
    found["relu behind a norm"] = behind_a_norm
    found |= {"dropout": layer(lambda: Dropout(0.3)), "embedding": embedding, "codes": codes}
    found["piecewise_linear"] = piecewise_linear
    found["members"] = members
    found |= {"softmax": last(Softmax), "log_softmax": last(LogSoftmax)}
    found["probabilities"] = probabilities
    found["plain momentum"] = optimizer_of(lambda: SGD(lr=0.1, momentum=0.9))
    found["centered"] = optimizer_of(lambda: RMSprop(centered=True, eps=1e-2))
    found["momentum"] = optimizer_of(lambda: SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01))
    found["amsgrad"] = optimizer_of(lambda: adam.Adam(amsgrad=True))
    found["rmsprop with momentum"] = optimizer_of(lambda: RMSprop(momentum=0.9))
    found["centered rmsprop"] = optimizer_of(lambda: RMSprop(centered=True, momentum=0.9, eps=1e-2))
    found |= {"treated": treated, "shards": shards, "branches": branches, "orthogonal": orthogonal}
    found |= {"two outputs": two_outputs}
    found["pbld"] = layer(lambda: PBLD([2, 17, 0], frequencies=18, sigma=1.0))
    found |= {f"gate {name}": gate(*how) for name, how in gates().items()}
    found["gate fill"] = with_a_number
    return found


def digest(case: str, dtype: str) -> str:
    """The digest of a case here: half of a SHA-256 over the bits of its results, or the error it raised."""
    out = hashlib.sha256()
    try:
        with alone():
            for array in cases()[case](dtype):
                whole = np.ascontiguousarray(array)
                out.update(whole.astype(whole.dtype.newbyteorder("<")).tobytes())
    except (DataError, DivergedError) as error:
        return f"{type(error).__name__}: {error}"
    return out.hexdigest()[:32]


@cache
def known() -> dict[str, dict[str, Any]]:
    """The table of answers: case -> digests by precision, and the kernels it proves."""
    return dict(json.loads(ANSWERS.read_text()))


@cache
def _case_of() -> dict[str, str]:
    return {kernel: case for case, answer in known().items() for kernel in answer["kernels"]}


def case_of(kernel: str) -> str | None:
    """The case that proves a kernel; None for kernels without numbers and for users' formulas."""
    return _case_of().get(kernel)


def is_right(case: str, dtype: str) -> bool:
    """Run a case and compare."""
    return bool(digest(case, dtype) == known()[case][dtype])
