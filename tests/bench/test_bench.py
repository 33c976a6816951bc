"""What the bench counts, compares and prints; nothing is timed here."""

import functools
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from bench import __main__ as cli
from bench import cases, check, report, timing, wire
from bench.cases import Case
from bench.remote import Remote, WorkerError
from bench.rivals import CONTENDERS, Numpy
from bench.session import Entry, Result, Session
from bench.timing import Duel, Pace, Turn

TINY = Case("3-8-4-2", (3, 8, 4, 2), 16)
BLOCKS = Case("3-8x5-2 residual", (3, 8, 8, 8, 8, 8, 2), 16, residual=True)


def problem(case=TINY):
    X, y = cases.data(case)
    rows = 4 * case.batch
    return case, cases.initial_weights(case), X[:rows], y[:rows]


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


def test_parameters_are_compared_even_where_losses_agree():
    start = [np.zeros((2, 2)), np.zeros(2)]
    right = check.Outcome([1.0], [np.full((2, 2), 0.5), np.full(2, 0.5)])
    wrong = check.Outcome([1.0], [np.full((2, 2), 0.5), np.array([0.5, 0.4])])
    assert check.disagreement(right, right, start) is None
    assert (
        check.disagreement(wrong, right, start) == "are 0.071 apart in the bias of linear layer 0, which moved by 0.5"
    )


# Workers


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("case", [TINY, replace(TINY, loss="mse"), BLOCKS], ids=["classes", "numbers", "residual"])
def test_a_contender_agrees_with_numpy(name, case):
    if not CONTENDERS[name].available():
        pytest.skip(f"{name} is not installed")
    worker = Remote(name, 1)
    try:
        check.compare({"here": Numpy(1), "there": worker}, *problem(case))
    finally:
        worker.close()


def test_a_worker_tells_what_failed_and_lives_on():
    worker = Remote("numpy", 1)
    with pytest.raises(WorkerError) as caught:
        worker.run(1)
    assert str(caught.value) == (
        "the worker of `numpy` failed in `run`: AttributeError: 'Numpy' object has no attribute 'start'"
    )
    worker.prepare(*problem())
    worker.run(1)
    worker.close()
    assert worker.process.returncode == 0


def test_the_death_of_a_worker_is_told():
    worker = Remote("numpy", 1)
    worker.process.kill()
    worker.process.wait()
    with pytest.raises(WorkerError) as caught:
        worker.parameters()
    assert str(caught.value) == "the worker of `numpy` died during `parameters` with status -9"
    worker.close()


def test_a_message_comes_out_as_it_went_in():
    stream = io.BytesIO()
    arrays = [np.arange(6.0).reshape(2, 3), np.array(7, np.int64), np.zeros((0, 4), np.float32)]
    wire.send(stream, {"do": "prepare"}, arrays)
    wire.send(stream, {"done": True})
    stream.seek(0)
    header, received = wire.receive(stream)
    assert header == {"do": "prepare"}
    for sent, got in zip(arrays, received, strict=True):
        assert (sent.dtype, sent.shape) == (got.dtype, got.shape)
        np.testing.assert_array_equal(sent, got)
    assert wire.receive(stream) == ({"done": True}, [])
    with pytest.raises(EOFError):
        wire.receive(stream)


def test_a_pickle_is_refused():
    stream = io.BytesIO()
    wire.send(stream, {}, [np.array([{}], object)])
    stream.seek(0)
    with pytest.raises(ValueError, match="allow_pickle"):
        wire.receive(stream)


# Order of turns


def test_pace_fills_a_portion(monkeypatch):
    monkeypatch.setattr(timing, "timed", lambda run, steps: steps * 2.0**-10)
    pace = timing.pace(lambda steps: None, portion=0.25)
    assert (pace.steps, pace.seconds) == (256, 2.0**-10)


def test_a_step_longer_than_a_portion_is_taken_once(monkeypatch):
    monkeypatch.setattr(timing, "timed", lambda run, steps: steps * 2.0)
    assert timing.pace(lambda steps: None, portion=0.25) == Pace(1, 2.0)


def test_contenders_alternate():
    order = []

    def side(name, seconds):
        order.append(name)
        return seconds

    duel = timing.duel(functools.partial(side, "ours", 2e-6), functools.partial(side, "rival", 6e-6), 3, pause=0)
    assert order == ["ours", "rival"] * 3
    assert duel.ratios == pytest.approx([3, 3, 3])


class Local(Numpy):
    """A worker in this process whose times are made up: more threads are slower, `wrong` learns too fast."""

    turns = 0

    def __init__(self, name, threads):
        super().__init__(threads)
        self.name = name
        self.versions = {"numpy": "made up"}

    def prepare(self, case, weights, X, y):
        super().prepare(replace(case, lr=2 * case.lr) if self.name == "wrong" else case, weights, X, y)

    def pace(self):
        return Pace(1, 1e-6 * self.threads)

    def turn(self, steps):
        Local.turns += 1
        return Turn(1e-6 * self.threads, 0.5)

    def close(self):
        pass


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(Local, "turns", 0)


@pytest.mark.usefixtures("no_pause")
def test_the_fastest_thread_count_of_a_rival_is_timed():
    with Session(["rival"], threads=2, rounds=3, ours="ours", start=Local) as session:
        result = session.measure(TINY)
    assert [(entry.name, entry.threads) for entry in result.entries] == [("ours", 2), ("rival", 1)]
    assert result.duels["rival"].ratios == pytest.approx([0.5, 0.5, 0.5])


@pytest.mark.usefixtures("no_pause")
def test_a_refused_case_is_never_timed():
    session = Session(["wrong"], threads=1, rounds=1, ours="ours", start=Local)
    with pytest.raises(check.RefusedError, match=r"^case `3-8-4-2` is not timed: "):
        session.measure(TINY)
    assert Local.turns == 0


# Report


def result():
    entries = [
        Entry("fastbp", 2, 9000, [20.0, 25.0, 24.0], 2.25, 1.5),
        Entry("torch", 1, 900, [300.0, 250.0, 240.0], 2.25, 1.75),
    ]
    duels = {"torch": Duel([20.0, 25.0, 24.0], [300.0, 250.0, 240.0])}
    return Result(cases.named(["64-128"])[0], entries, duels)


def test_the_main_table():
    assert report.ratio_head("fastbp", ["torch", "jax"]) == (
        "| net, batch | fastbp µs | GFLOP/s | torch/fastbp | jax/fastbp |\n|---|---|---|---|---|"
    )
    # (2·64·128 + 3·128·64 + 3·64·10) 2·64 = 5.49 Mflop in 24 µs
    assert report.ratio_row(result(), ["torch"]) == (
        "| 64-128-64-10, 64 | 24.0 (20.0..25.0) | 229 | **10.0** (10.0..15.0) |"
    )


def test_the_table_of_contenders():
    assert report.details([result()]).splitlines()[2:] == [
        "| 64-128-64-10, 64 | fastbp | 2 | 24.0 (20.0..25.0) | 229 | 2.250000 | 1.500000 | 9000 |",
        "| 64-128-64-10, 64 | torch | 1 | 250 (240..300) | 22.0 | 2.250000 | 1.750000 | 900 |",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0514, "0.051"), (2.8, "2.80"), (23.06, "23.1"), (187.4, "187"), (226714.0, "226714")],
)
def test_numbers_have_three_digits_and_no_exponent(number, text):
    assert report.digits(number) == text


# Command line


@pytest.mark.usefixtures("no_pause")
def test_a_session_prints_its_tables_and_writes_json(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cli, "Session", functools.partial(Session, start=Local))
    file = tmp_path / "bench.json"
    arguments = [
        "--cases",
        "2-16",
        "--rounds",
        "2",
        "--rivals",
        "numpy",
        "--threads",
        "1",
        "--json",
        str(file),
    ]
    assert cli.main(arguments) == 0
    assert "\n| 2-16-16-1, 32 | 1.00 (1.00..1.00) | 56.3 | **1.00** (1.00..1.00) |\n" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert written["header"]["threads"] == "1"
    assert written["results"][0]["case"]["flops"] == 56320
    assert written["results"][0]["duels"]["numpy"]["ratios"] == [1.0, 1.0]
    assert written["refused"] == []


@pytest.mark.usefixtures("no_pause")
def test_a_refused_case_has_a_message_and_no_row(monkeypatch, capsys):
    monkeypatch.setattr(cli, "Session", functools.partial(Session, start=Local))
    assert cli.main(["--cases", "2-16", "--rivals", "numpy", "--threads", "1"], ours="wrong") == 1
    out, err = capsys.readouterr()
    assert "| 2-16-16-1" not in out
    assert err.startswith("case `2-16-16-1` is not timed: after 20 steps on the same batches, `numpy` and `wrong`")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rivals", "tensorflow"], "each name must be one of `torch`, `jax`, `numpy`, got `tensorflow`"),
        (["--rounds", "0"], "must be an integer of at least 1, got `0`"),
        (["--json", "/nowhere/at/all.json"], "must be in a folder that exists, got `/nowhere/at/all.json`"),
        (["--cases", "9-9"], "`--cases` matches none of `2-16-16-1`, `17-64-64-6`, "),
    ],
    ids=["rival", "rounds", "json", "cases"],
)
def test_bad_options_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
