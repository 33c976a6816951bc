"""Checkpoints that were damaged, or made by hand: one sentence before anything is touched, never another network."""

import copy
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save as safetensors

from fastbp.cli.main import main
from fastbp.errors import CheckpointError
from fastbp.runs.checkpoint import FORMATS, Checkpoint
from fastbp.runs.stopping import Signals, Stopped
from fastbp.train import calls
from fastbp.train.history import History

CONFIG = """
name: cut
data: {source: spirals, rows: 500}
network: {layers: [{name: linear, features: 16}, batch_norm, tanh, {name: linear, features: 3}]}
trainer:
  epochs: 5
  batch_size: 16
  ema: 0.9
  optimizer: {name: adamw, lr: 0.01}
  early_stopping: {patience: 3}
  reduce_lr: {patience: 2}
run: {checkpoint_seconds: 1000}
"""
STOP = 40  # calls of compiled code, one or a few steps each


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that was stopped in the middle of its second epoch or later."""
    path = tmp_path_factory.mktemp("runs")
    (path / "config.yaml").write_text(CONFIG)
    seen = []

    def check(self):
        seen.append(1)
        if len(seen) == STOP:
            raise Stopped("stopped", 75)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Signals, "check", check)
        patch.setattr(calls, "CALL_SECONDS", 1e-9)
        assert main(["train", str(path / "config.yaml"), "--run-dir", str(path / "run"), "-q"]) == 75
    return path / "run"


@pytest.fixture(scope="module")
def whole(folder):
    found = Checkpoint.load(folder / "checkpoint.safetensors")
    assert found.numbers["place"]["cursor"] > 0
    assert len(found.history.loss) > 0
    assert len(found.arrays["order"]) > 300
    return found


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "checkpoint.safetensors"}


def refused(folder, capsys):
    """What `--resume` says, with nothing touched."""
    before = contents(folder)
    capsys.readouterr()
    assert main(["train", "--resume", str(folder), "-q"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastbp: ")
    assert err.count("\n") == 1
    assert contents(folder) == before
    return err.removeprefix("fastbp: ").rstrip()


def test_the_run_goes_on_where_nothing_is_wrong(folder, whole, tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    for name, content in contents(folder).items():
        (target / name).write_bytes(content)
    (target / "checkpoint.safetensors").write_bytes(whole.to_bytes())
    assert main(["train", "--resume", str(target), "-q"]) == 0
    config = str(folder.parent / "config.yaml")
    assert main(["train", config, "--run-dir", str(tmp_path / "straight"), "-q"]) == 0
    for name in ("checkpoint", "best", "last"):
        ours, theirs = (p / f"{name}.safetensors" for p in (target, tmp_path / "straight"))
        assert without_seconds(ours) == without_seconds(theirs), name


def test_a_checkpoint_of_an_older_version_goes_on_with_a_note(folder, whole, tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    for name, content in contents(folder).items():
        (target / name).write_bytes(content)
    path = tmp_path / "new"
    path.write_bytes(whole.to_bytes())
    with safe_open(str(path), framework="numpy") as file:
        run = json.loads(file.metadata()["run"])
    run["best"]["epoch"] -= 1  # counted from 0 then
    for state in run["callbacks"].values():
        if "best_epoch" in state:
            state["best_epoch"] -= 1
    words = {"format": FORMATS[-1], "run": json.dumps(run)}
    (target / "checkpoint.safetensors").write_bytes(safetensors(whole.arrays, words))
    with pytest.warns(UserWarning, match="has no checksum"):
        assert main(["train", "--resume", str(target), "-q"]) == 0
    assert main(["train", str(folder.parent / "config.yaml"), "--run-dir", str(tmp_path / "straight"), "-q"]) == 0
    for name in ("checkpoint", "best", "last"):
        ours, theirs = (p / f"{name}.safetensors" for p in (target, tmp_path / "straight"))
        assert without_seconds(ours) == without_seconds(theirs), name


def without_seconds(path):
    with safe_open(str(path), framework="numpy") as file:
        arrays = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
        words = file.metadata()
    if "run" in words:  # but for the time that it took, and so for the checksum of that
        words = json.loads(words["run"])
        words["history"].pop("seconds")
    return arrays, words


def test_damage_anywhere_is_seen(folder, whole, tmp_path):
    """A bit flipped in every 16th byte, and the file cut at every 64th."""
    path = tmp_path / "checkpoint.safetensors"
    content = whole.to_bytes()
    tried = 0
    for at in range(0, len(content), 16):
        wrong = bytearray(content)
        wrong[at + at // 16 % 16 if at + 16 < len(content) else at] ^= 1 << at // 16 % 8
        for bad in (bytes(wrong), content[:at]) if at % 64 == 0 else (bytes(wrong),):
            path.write_bytes(bad)
            with pytest.raises(CheckpointError) as info:
                Checkpoint.load(path)
            assert str(info.value).startswith(f"`{path}` ")
            tried += 1
    assert tried > 500


def place(**words):
    return lambda c: c.numbers["place"].update(words)


def numbers(**words):
    return lambda c: c.numbers.update(words)


def history(**words):
    return lambda c: c.history.__dict__.update(words)


def best(**words):
    return lambda c: c.best.update(words)


def array(name, change):
    def apply(c):
        c.arrays[name] = change(c.arrays[name])

    return apply


def without(*names):
    def apply(c):
        for name in names:
            del c.arrays[name]

    return apply


def shuffled(order, first, value):
    order = order.copy()
    order[first] = value
    return order


WEIGHT = "parameters/0.weight"
WRONG = {
    "cursor far below": (place(cursor=-(10**9)), "must be a valid checkpoint: Expected `int` >= 0"),
    "cursor behind the epoch": (place(cursor=10**9), "`1000000000` rows done of an epoch of"),
    "cursor between batches": (place(cursor=17), "`17` rows done of an epoch of"),
    "other cursor": (place(cursor=16, pass_rows=16), "steps in all"),
    "other rows of the epoch": (place(pass_rows=0), "epoch `"),
    "other epoch": (place(epoch=7), "epoch `7` after"),
    "epoch beyond words": (place(epoch=2**70), "must be a valid checkpoint: Expected `int` <= 9223372036854775807"),
    "loss of the epoch": (place(pass_loss=float("nan")), "`pass_loss` that is not finite"),
    "weight of the epoch": (place(pass_weight=float("inf")), "`pass_weight` that is not finite"),
    "no place": (
        numbers(place=None),
        "must be a valid checkpoint: Expected `object`, got `null` - at `$.numbers.place`",
    ),
    "other steps": (numbers(steps_done=3), "`3` steps in all"),
    "steps as text": (numbers(steps_done="3"), "must be a valid checkpoint"),
    "another rate": (numbers(lr=0.02), "`0.02` as the learning rate"),
    "rate that is none": (numbers(lr=float("nan")), "`nan` as the learning rate"),
    "order beyond the rows": (array("order", lambda a: shuffled(a, 5, 2**32 - 1)), "permutation of the rows"),
    "order with one row twice": (array("order", lambda a: shuffled(a, 5, a[6])), "permutation of the rows"),
    "order of other whole numbers": (array("order", lambda a: a.astype(np.int64)), "permutation of the rows"),
    "order of fewer rows": (array("order", lambda a: np.sort(a)[:-1]), "an order of other rows"),
    "no order": (without("order"), "an order of other rows"),
    "weight of one number": (
        array(WEIGHT, lambda a: np.ones((1, 1), a.dtype)),
        f"`{WEIGHT}` must have shape `(2, 16)`",
    ),
    "weight of one row": (array(WEIGHT, lambda a: a[0]), f"`{WEIGHT}` must have shape `(2, 16)`"),
    "weight on its side": (array(WEIGHT, lambda a: a.T.copy()), f"`{WEIGHT}` must have shape `(2, 16)`"),
    "weight in another precision": (array(WEIGHT, lambda a: a.astype(float)), "and dtype `float32`, got"),
    "weight of whole numbers": (array(WEIGHT, lambda a: a.view(np.int32)), "and dtype `float32`, got"),
    "infinite weight": (array(WEIGHT, lambda a: a * np.inf), f"`{WEIGHT}` must be finite"),
    "no weight": (without(WEIGHT), f"must have `{WEIGHT}`"),
    "infinite moment": (array("moment 1/0.weight", lambda a: a + np.inf), "`moment 1/0.weight` must be finite"),
    "square below 0": (array("moment 1/3.bias", lambda a: a - 1.0), "`moment 1/3.bias` must be at least 0, got"),
    "variance below 0": (
        array("states/1.running_var", lambda a: -a),
        "`states/1.running_var` must be at least 0, got",
    ),
    "another array": (
        lambda c: c.arrays.update(other=np.zeros(3, np.float32)),
        "must have nothing else, got `other`",
    ),
    "no moment": (without("moment 0/3.bias"), "must have `moment 0/3.bias`"),
    "no average": (without("average/3.bias"), "must have `average/3.bias`"),
    "no statistics": (without("states/1.running_mean"), "must have `states/1.running_mean`"),
    "best of another size": (array("best/flat", lambda a: a[:-1]), "`best/flat` of shape"),
    "best that is not finite": (array("best/flat", lambda a: a * np.nan), "`best/flat` that is not finite"),
    "best without arrays": (without("best/flat"), "no `best/flat`"),
    "best without statistics": (without("best/states"), "no `best/states`"),
    "another best": (best(value=1e-3), "`0.001` as the best `val_loss`"),
    "best that is to come": (best(epoch=4), "epoch `4` as the best of"),
    "best of no epoch": (best(epoch=0), "epoch `0` as the best of"),
    "best before the first epoch": (best(epoch=-1), "epoch `-1` as the best of"),
    "fewer losses": (lambda c: c.history.loss.clear(), "of `lr`, where there must be 0"),
    "fewer rates": (lambda c: c.history.lr.pop(), "of `lr`, where there must be"),
    "fewer validation losses": (history(val_loss=[]), "0 of `val_loss`, where there must be"),
    "other metrics": (history(metrics={}), "metrics ``"),
    "loss that is none": (lambda c: c.history.loss.__setitem__(0, float("nan")), "a `loss` that is not finite"),
    "steps of the history": (history(steps=1), "`1` steps and"),
    "rows of the history": (history(samples=1), "`1` rows in"),
    "first step": (history(first_step=2), "steps and"),
    "time before the beginning": (history(seconds=-1.0), "`-1.0` seconds"),
    "time without end": (history(seconds=float("inf")), "`inf` seconds"),
    "patience": (lambda c: c.callbacks["early_stopping"].update(best_epoch=99), "epoch `99` as the best of"),
    "patience's best": (lambda c: c.callbacks["early_stopping"].update(best=0.5), "`0.5` as the best of"),
    "waiting": (lambda c: c.callbacks["reduce_lr"].update(waited=-1), "must be a valid checkpoint"),
    "a callback's words": (lambda c: c.callbacks.update(early_stopping={}), "must be a valid checkpoint"),
    "no patience": (lambda c: c.callbacks.pop("early_stopping"), "the state of `reduce_lr`"),
    "stopped in the middle of an epoch": (history(stopped="x"), "an end before the last epoch"),
    "an unknown callback": (lambda c: c.callbacks.update(other={}), "must be a valid checkpoint"),
    "other rows": (lambda c: setattr(c, "rows", "00000000"), "must be resumed with the same rows"),
    "done that is none": (lambda c: setattr(c, "done", 1), "must be a valid checkpoint"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_sentence(name, folder, whole, capsys):
    change, why = WRONG[name]
    wrong = copy.deepcopy(whole)
    change(wrong)
    (folder / "checkpoint.safetensors").write_bytes(wrong.to_bytes())
    assert why in refused(folder, capsys)


@pytest.mark.parametrize(
    "words",
    ["", "[]", "null", "3", '{"numbers": 1}', "[" * 100_000, '"x"', "{" + '"numbers":' * 3],
    ids=["empty", "list", "null", "number", "few", "deep", "text", "cut"],
)
def test_words_that_are_no_checkpoint_are_refused(words, folder, whole, capsys):
    arrays = dict(whole.arrays)
    (folder / "checkpoint.safetensors").write_bytes(safetensors(arrays, {"format": FORMATS[-1], "run": words}))
    with pytest.warns(UserWarning, match="has no checksum"):
        assert "must be a valid checkpoint: " in refused(folder, capsys)


def test_a_state_is_refused_before_anything_of_the_trainer_changes():
    import fastbp as fb
    from fastbp.train.checkpoints import load_state, state_of

    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    one, other = (fb.Trainer(fb.mlp([3, 8, 2], seed=seed), batch_size=8) for seed in (0, 1))
    for trainer in (one, other):
        trainer.run(X, y, steps=3)
    before, numbers_before = state_of(one)
    arrays, words = state_of(other)
    arrays["moment 1/2.bias"] = arrays["moment 1/2.bias"] * np.inf
    with pytest.raises(CheckpointError):
        load_state(one, arrays, words)
    after, numbers_after = state_of(one)
    assert numbers_after == numbers_before
    assert all(after[name].tobytes() == before[name].tobytes() for name in before)


def test_a_fit_does_not_go_on_with_the_order_of_other_rows():
    import fastbp as fb
    from fastbp.train.checkpoints import load_state, state_of

    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    one, other = (fb.Trainer(fb.mlp([3, 8, 2]), batch_size=8) for _ in range(2))
    one.run(X, y, steps=3)
    load_state(other, *state_of(one))
    with pytest.raises(CheckpointError, match="must go on with the 40 rows of its epoch, got 30"):
        other.fit(X[:30], y[:30], history=History())
