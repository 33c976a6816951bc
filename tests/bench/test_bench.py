"""What the bench counts and compares; nothing is timed here."""

from dataclasses import replace

import numpy as np
import pytest

from bench import cases, check
from bench.calls import Call
from bench.cases import Case
from bench.contenders.plain import PlainPredictor
from bench.contenders.plain import PlainTrainer as Numpy
from tests.bench.made_up import ROW, TINY, TINY_CALLS, asked, problem

# Counts


def test_flops_are_those_counted_by_hand():
    # Multiply-adds a row: 2·16 + 16·16 + 16·1 = 304 forward, as many for dW, and 256 + 16 = 272 for dx.
    assert cases.CASES[0].flops == 2 * 32 * (304 + 304 + 272) == 56320


def test_flops_of_a_single_layer_have_no_dx():
    assert Case("5-7", (5, 7), 11).flops == 2 * (2 * 11 * 5 * 7)


def test_bytes_are_those_counted_by_hand():
    # 337 parameters; each of 32 rows has 2 inputs and 16 + 16 + 1 outputs.
    assert cases.CASES[0].bytes == 24 * 337 + 32 * (4 * 2 + 16 * 33) == 25240


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_a_name_says_the_sizes(case):
    sizes = []
    for part in case.name.split()[0].split("-"):
        width, _, times = part.partition("x")
        sizes += [int(width)] * int(times or 1)
    assert case.sizes == tuple(sizes)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_data_and_weights_fit_the_case(loss):
    case = replace(TINY, loss=loss)
    X, y = cases.data(case)
    assert X.shape == (case.batches * 16, 3)
    assert X.dtype == np.float32
    assert (y.shape, y.dtype) == (((len(X), 2), np.float32) if loss == "mse" else ((len(X),), np.int64))
    weights = cases.initial_weights(case)
    assert [w.shape for w in weights] == [(3, 8), (8,), (8, 4), (4,), (4, 2), (2,)]
    assert sum(w.size for w in weights) == case.parameters


def test_flops_of_a_call_are_those_counted_by_hand():
    assert Call((3, 8, 2), 5).flops == 2 * 5 * (3 * 8 + 8 * 2)


@pytest.mark.parametrize("call", TINY_CALLS, ids=lambda call: call.name)
def test_rows_lie_as_a_call_says(call):
    _, weights, X = asked(call)
    assert [w.shape for w in weights] == [(3, 8), (8,), (8, 2), (2,)]
    assert len(X) == {1: 512, 32: 512, 700: 700}[call.rows]
    assert X.strides == ((4, 4 * 700) if call.turned else (12, 4))


# Comparison


class WrongRate(Numpy):
    def prepare(self, case, weights, X, y):
        super().prepare(replace(case, lr=1.2 * case.lr), weights, X, y)


class NoBiases(Numpy):
    def run(self, steps):
        super().run(steps)
        for name, array in self.net.parameters.items():
            if name.endswith("bias"):
                array[:] = self.initial[name]

    def prepare(self, case, weights, X, y):
        super().prepare(case, weights, X, y)
        self.initial = {name: array.copy() for name, array in self.net.parameters.items()}


class OtherBatches(Numpy):
    def prepare(self, case, weights, X, y):
        super().prepare(case, weights, X[::-1], y[::-1])


class ShortRun(Numpy):
    def run(self, steps):
        super().run(max(1, steps - 1))


class Diverged(Numpy):
    @property
    def loss(self):
        return float("nan")


class Transposed(Numpy):
    def parameters(self):
        return [p.T for p in super().parameters()]


def test_equal_contenders_agree():
    losses = check.compare({"a": Numpy(1), "b": Numpy(1)}, *problem())
    assert losses["a"] == losses["b"] > 0


WRONG = {
    WrongRate: r"on the same batches, `wrong` and `right` have the losses \S+ and \S+ at number \d+$",
    NoBiases: r"on the same batches, `wrong` and `right` have the losses \S+ and \S+ at number \d+$",
    OtherBatches: r"on the same batches, `wrong` and `right` have the losses \S+ and \S+ at number 0$",
    ShortRun: r"5 steps of the timed loop on one batch, `wrong` and `right` have the losses \S+ and \S+ at",
    Diverged: r"on the same batches, `wrong` and `right` have the losses nan and \S+ at number 0$",
    Transposed: r"have the shapes \(8, 3\) and \(3, 8\) for the weight of linear layer 0$",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_contender_is_refused(wrong):
    with pytest.raises(check.RefusedError, match=WRONG[wrong]):
        check.compare({"right": Numpy(1), "wrong": wrong(1)}, *problem())


class Answer(PlainPredictor):
    """Answers like NumPy, but for what `changed` makes of it."""

    def prepare(self, call, weights, X):
        super().prepare(call, weights, X)
        right = self.predict
        self.predict = lambda x: self.changed(right(x))


class Off(Answer):
    def changed(self, y):
        return y + np.float32(1e-3)


class NoNumber(Answer):
    def changed(self, y):
        return np.where(np.arange(y.shape[1]) == 1, np.float32("nan"), y)


class Wide(Answer):
    def changed(self, y):
        return y.astype(np.float64)


class Lazy(PlainPredictor):
    """Right when it is asked, but its timed loop leaves the last call out."""

    def run(self, count):
        super().run(max(1, count - 1))


class Backwards(PlainPredictor):
    def prepare(self, call, weights, X):
        super().prepare(call, weights, X[::-1])


WRONG_ANSWERS = {
    Off: r": `wrong` and `right` answer \S+ and \S+ at row \d+, output \d$",
    NoNumber: r": `wrong` and `right` answer nan and \S+ at row 0, output 1$",
    Wide: r": `wrong` and `right` answer with float64 \(512, 2\) and float32 \(512, 2\)$",
    Lazy: r": in the timed loop, `wrong` and `right` answer \S+ and \S+ at row 0, output \d$",
    Backwards: r": `wrong` and `right` answer \S+ and \S+ at row \d+, output \d$",
}


@pytest.mark.parametrize("wrong", WRONG_ANSWERS, ids=lambda wrong: wrong.__name__)
def test_a_wrong_answer_is_refused(wrong):
    with pytest.raises(check.RefusedError, match="^call `3-8-2, 1 row` is not timed" + WRONG_ANSWERS[wrong]):
        check.compare_answers({"right": PlainPredictor(1), "wrong": wrong(1)}, *asked(ROW))


def test_equal_answers_agree_and_inputs_are_not_written():
    call, weights, X = asked(ROW)
    before = X.copy()
    check.compare_answers({"a": PlainPredictor(1), "b": PlainPredictor(1)}, call, weights, X)
    np.testing.assert_array_equal(X, before)


def test_parameters_are_compared_even_where_losses_agree():
    start = [np.zeros((2, 2)), np.zeros(2)]
    right = check.Outcome([1.0], [np.full((2, 2), 0.5), np.full(2, 0.5)])
    wrong = check.Outcome([1.0], [np.full((2, 2), 0.5), np.array([0.5, 0.4])])
    assert check.disagreement(right, right, start) is None
    assert (
        check.disagreement(wrong, right, start) == "are 0.071 apart in the bias of linear layer 0, which moved by 0.5"
    )
