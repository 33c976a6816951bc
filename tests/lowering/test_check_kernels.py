"""`FASTBP_PLAN=check`: every kernel that has a twin is named when it moves one number by a thousandth."""

import re
from typing import NamedTuple

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.memory import view
from fastbp.errors import PlanError
from fastbp.kernels.fields import LINE
from fastbp.kernels.optimizers import RULES
from fastbp.lowering.check import ops, tasks, watcher
from fastbp.lowering.check.rows import Rows
from fastbp.spec.catalogue import LOSSES
from fastbp.spec.coded import Coded
from tests.lowering.spoiled import Spoiler, behind_task, move_largest
from tests.lowering.test_check import WORDS, every_plan
from tests.train import bits_of_ops

pytestmark = pytest.mark.usefixtures("checked")

USERS = {  # kernels of formulas, whose names are digests
    "branch_custom_": "a user's activation",
    "branch_custom_slope_": "its slope",
    "custom_loss_": "a user's loss",
    "custom_penalty_": "a user's penalty",
}
KERNELS = sorted(
    {*ops.TWINS, *(name for name, loss in LOSSES.items() if loss.formula), *RULES, *tasks.TILES, *tasks.TURNS, *USERS}
)


class Case(NamedTuple):
    """What is trained, and what is asked of it then."""

    layers: object
    loss: object
    optimizer: object
    targets: object = None
    words: dict = {}  # noqa: RUF012  of a case, which nobody changes

    def run(self):
        X, y = bits_of_ops.data(fb.MSE() if self.targets is not None else self.loss)
        net = bits_of_ops.network(self.layers, "float32")
        y = y if self.targets is None else self.targets
        every_plan(net, self.loss, self.optimizer, X, y, steps=2, words=self.words)
        if self.targets is not None:
            net.parameter_vjp(X, np.ones((len(X), net.outputs)))


class OfCodes(NamedTuple):
    """A network that is trained on rows with codes."""

    layers: list

    def run(self):
        rng = np.random.default_rng(0)
        x = np.hstack([rng.normal(size=(9, 2)), rng.integers(0, 6, (9, 1))]).astype(np.float32)
        trainer = fb.Trainer(fb.Network(self.layers, inputs=7), loss="mse", batch_size=5)
        trainer.fit(Coded(x, (0, 0, 5)), rng.normal(size=(9, 1)), epochs=1)


def cases():
    yield from (OfCodes([fb.Linear(19), fb.Linear(1)]), OfCodes([fb.Scale(), fb.Linear(1)]))
    for words in ({}, {"clip_norm": 0.1}):
        yield Case([*bits_of_ops.LAYERS["embedding"], fb.Linear(6)], fb.CrossEntropy(), fb.SGD(0.1), None, words)
    for number, (_, *case) in enumerate(bits_of_ops.cases()):
        yield Case(*case, words=WORDS[number % len(WORDS)])
    base, t = [fb.Linear(5), fb.Tanh(), fb.Linear(3)], np.full((bits_of_ops.ROWS, 3), 1.0 / 3.0)
    yield Case(base, fb.CrossEntropy(), fb.SGD(0.1), t)
    yield Case(base, fb.loss("abs(z - t) ** 3"), fb.SGD(0.1), t, {"penalty": "0.01 * w ** 2"})


CASES = list(cases())


def known(name):
    """The name of a kernel here."""
    return max((start for start in USERS if name.startswith(start)), key=len, default=name)


@pytest.fixture(scope="module")
def case_of():
    """The first case that each kernel runs in, with nothing changed."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTBP_PLAN", "check")

        def noting(kind, method, name_of):
            call = getattr(kind, method)

            def noted(own, run, record, *given):
                found.setdefault(known(name_of(own, record)), case)
                call(own, run, record, *given)

            patch.setattr(kind, method, noted)

        noting(Rows, "call", lambda own, address: own.plan.ops.records[own.index_of(address)].name)
        noting(tasks.Tasks, "call", lambda own, task: task.name)
        noting(tasks.Tasks, "call_lines", lambda own, name: name)
        for case in CASES:
            case.run()
    return found


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_that_moves_a_number_is_named(kernel, case_of):
    """For each of the outputs of a call in turn."""
    number, said = 0, rf"^(op \d+|kernel|task) `{re.escape(kernel)}\w*` of "
    while (found := spoiled(case_of[kernel], kernel, number)) is not None:
        assert re.match(said, found)
        number += 1
    assert number >= 1


def spoiled(case, kernel, number):
    """What is said when one of the outputs of a kernel's calls is another; None where there is no such output."""
    with pytest.MonkeyPatch.context() as patch:
        spoiler = Spoiler(patch, kernel, number)
        try:
            case.run()
        except PlanError as error:
            return str(error)
        return "nothing" if spoiler.done else None


# What tasks do beside handing gradients over.


def lines_of(own, address, first, count):
    return view(int(address) + first, (count * LINE // own.dtype.itemsize,), own.dtype)


def layer_of(own, task):
    layers = own.plan.layers
    return layers.records[(task.layer - layers.address) // layers.size]


def a_sum_of_squares(own, task):
    view(own.plan.head.update.norms, (task.number + 1,), np.float64)[task.number] *= 1.001


def an_average(own, task):
    """By a thousandth of what it moves in a step, which is about a thousandth of it."""
    weight = layer_of(own, task).weight
    lines_of(own, own.plan.update.average.address, weight.offset, 1)[0] *= 1.00001


def a_transposed_copy(own, task):
    if (copy := layer_of(own, task).transposed).start:
        move_largest(lines_of(own, copy.start, 0, 1))


def a_running_mean(own, task):
    move_largest(lines_of(own, layer_of(own, task).running_mean, 0, 1))


def a_running_variance(own, task):
    move_largest(lines_of(own, layer_of(own, task).running_variance, 0, 1))


def a_table_that_waits(own, task):
    layer = layer_of(own, task)
    move_largest(lines_of(own, own.plan.head.update.gradients, layer.weight.offset, layer.inputs))


BESIDE = [
    ("norm", a_sum_of_squares, "the sum of squares of piece 0 must be", {"clip_norm": 0.5}),
    ("weights", an_average, "the running average of `1.weight` must be", {"ema": 0.9}),
    ("update", an_average, "the running average of `2.weight` must be", {"ema": 0.9, "clip_norm": 0.5}),
    ("weights", a_transposed_copy, "the transposed copy of `1.weight` must be", {}),
    ("update", a_transposed_copy, "the transposed copy of `1.weight` must be", {"clip_norm": 0.5}),
    ("batch_norm_columns", a_running_mean, "the running mean of `2.weight` must be", {}),
    ("batch_norm_columns", a_running_variance, "the running variance of `2.weight` must be", {}),
    ("embedding_rows", a_table_that_waits, "the gradient that waits of `0.column1` must be", {"accumulate": 2}),
]


@pytest.mark.parametrize(("task", "change", "said", "words"), BESIDE)
def test_what_a_task_does_beside_is_named(task, change, said, words, monkeypatch):
    layers = [fb.Embedding({1: (4, 3)}), fb.Linear(9), fb.BatchNorm(), fb.Linear(6)]
    case = Case(layers, fb.CrossEntropy(), fb.SGD(1e-3), words=words)
    behind_task(monkeypatch, task, change)
    with pytest.raises(PlanError, match=f"^task `{task}` of .*: {re.escape(said)} "):
        case.run()


def test_a_transposed_copy_that_is_renewed_before_a_run_is_named(monkeypatch):
    net = fb.mlp([5, 4, 3])
    right = watcher.Watcher.transpose

    def spoiled(own):
        copy = own.plan.transposes.records[0].transposed
        move_largest(lines_of(own.tasks, copy.start, 0, 1))
        right(own)

    monkeypatch.setattr(watcher.Watcher, "transpose", spoiled)
    with pytest.raises(
        PlanError, match=r"^kernel `transpose_weights` of .*: the transposed copy of `\w+.weight` must be"
    ):
        net.vjp(np.ones((2, 5)), np.ones((2, 3)))
