"""Plans as text: what it says of ops, buffers and tasks is what the records hold."""

import re

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.errors import ConfigError
from fastbp.kernels.optimizers import RULES
from fastbp.model.reading import OF_BATCHES, OF_ROWS

CHAIN = """\
train, batch 64, 2 workers, float32
phase 0  rows in blocks of 32  -> backward
  0 gather         X                            -> b1 (64)
  1 product        b1 (64), 0.weight, 0.bias    -> b2 (128)  epilogue relu
  2 product        b2 (128), 2.weight, 2.bias   -> b3 (128)
  3 cross_entropy  b3 (128)                     -> b4 (10)
  4 product        b4 (10), 2.weightᵀ, b2 (128) -> b3 (128)  epilogue relu_vjp
phase 1  weights: 0.weight 2, 2.weight 2  -> check
phase 2  weights: 0.weight 2, 2.weight 2  -> step"""


@pytest.fixture
def net():
    return fb.Network([fb.Linear(128), fb.ReLU(), fb.Linear(10)], inputs=64, seed=0)


def test_a_training_step_is_read_from_the_top(net, capsys):
    plan = net.plan("train", batch=64, loss="cross_entropy", optimizer="adam", threads=2)
    assert str(plan) == CHAIN
    plan.show()
    assert capsys.readouterr().out == f"{plan}\n"


@pytest.mark.parametrize("kind", [*OF_ROWS, *OF_BATCHES])
def test_every_op_of_every_plan_is_there_once(kind, net):
    plan = net.plan(kind, threads=2)
    named = re.findall(r"^ +\d+ (\w+)", str(plan), re.M)
    groups = [phase.groups for phase in plan.phases.records if phase.ops]
    ops = iter(op.name for op in plan.ops.records)
    expected = []
    for phase, count in zip([p for p in plan.phases.records if p.ops], groups, strict=True):
        parts = [[next(ops) for _ in range(phase.op_count)] for _ in range(count)]
        expected += parts[0]
    assert named == expected
    assert plan.title.startswith(kind)


@pytest.mark.parametrize("optimizer", [name for name in RULES if name != "keep_gradients"])
def test_a_plan_that_is_only_read_can_be_made_for_every_optimiser(optimizer, net):
    assert "-> step" in str(net.plan("train", optimizer=optimizer))


def test_columns_are_one_op_and_tasks_are_counted():
    net = fb.Network([fb.Linear(1024), fb.BatchNorm(), fb.ReLU(), fb.Linear(10)], inputs=784)
    text = str(net.plan("train", batch=64, threads=2, clip_norm=True))
    assert "2 groups of columns" in text
    assert "batch_norm_statistics" in text
    assert re.search(r"norm: \d+ pieces of the gradients  -> norm", text)
    assert re.search(r"update: 0.weight \d+, 1.weight \d+, 3.weight \d+  -> step", text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "trains"}, "`kind` must be one of"),
        ({"kind": "train", "optimizer": "adamw"}, "`optimizer` must be one of"),
        ({"kind": "train", "batch": 0}, "`batch` must be at least 1"),
    ],
)
def test_what_is_no_plan_is_refused(settings, message, net):
    with pytest.raises(ConfigError, match=message):
        net.plan(**settings)


def test_the_plan_of_a_configuration(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text("data: {source: digits}\nnetwork: {hidden: [16]}\ntrainer: {batch_size: 32}\n")
    assert main(["check", str(config), "--plan"]) == 0
    out = capsys.readouterr().out
    assert "train, batch 32" in out
    assert "cross_entropy" in out
    config.write_text(config.read_text().replace("batch_size: 32", "optimizer: lbfgs"))
    assert main(["check", str(config), "--plan"]) == 2
    assert "`lbfgs` has none" in capsys.readouterr().err


def test_a_plan_that_was_read_changes_nothing(net):
    before = net.flat
    net.plan("train").show()
    assert np.array_equal(net.flat, before)
