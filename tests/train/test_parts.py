"""Parts of the rows that a seed chooses: `validation=0.2`, and folds."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, DataError, ShapeError
from fastbp.numerics.splits import split
from fastbp.spec.catalogue import loss_of
from fastbp.train.parts import Rows

RNG = np.random.default_rng(0)
X = RNG.standard_normal((100, 4)).astype("f4")
Y = np.repeat([0, 1, 2], [70, 20, 10])
T = RNG.standard_normal((100, 1))
W = RNG.uniform(0.5, 2.0, 100)


def trainer_of(loss="cross_entropy", outputs=3, **settings):
    return fb.Trainer(fb.mlp([4, 8, outputs], seed=1), loss=loss, batch_size=16, **settings)


@pytest.mark.parametrize("classes", [True, False], ids=["classes", "numbers"])
@pytest.mark.parametrize("seed", [0, 7])
def test_a_fraction_is_the_part_that_a_configuration_would_split_off(classes, seed):
    y, loss, outputs = (Y, "cross_entropy", 3) if classes else (T, "mse", 1)
    part = split(100, seed, 0.3, 0.0, classes=Y if classes else None)
    train, held_out = part["train"], part["validation"]
    a, b = (trainer_of(loss, outputs, seed=seed) for _ in range(2))
    found = a.fit(X, y, 3, validation=0.3, sample_weight=W)
    known = b.fit(X[train], y[train], 3, validation=(X[held_out], y[held_out], W[held_out]), sample_weight=W[train])
    assert (found.loss, found.val_loss) == (known.loss, known.val_loss)
    assert found.samples == 3 * len(train)
    if classes:
        assert [(Y[held_out] == c).sum() for c in range(3)] == [21, 6, 3]


def test_another_seed_holds_out_other_rows():
    losses = {trainer_of(seed=seed).fit(X, Y, 0, validation=0.3).first_step for seed in (0, 1)}
    found = [Rows(trainer_of().net, loss_of("cross_entropy"), X, Y).part(0.3, seed)[1].tolist() for seed in (0, 1)]
    assert losses == {0}
    assert found[0] != found[1]


def test_weights_by_class_are_of_the_training_rows():
    part = split(100, 1, 0.25, 0.0, classes=Y)
    train, held_out = part["train"], part["validation"]
    a, b = (trainer_of() for _ in range(2))
    found = a.fit(X, Y, 2, validation=0.25, sample_weight="balanced")
    known = b.fit(X[train], Y[train], 2, validation=(X[held_out], Y[held_out]), sample_weight="balanced")
    assert (found.loss, found.val_loss) == (known.loss, known.val_loss)


def test_several_inputs_and_outputs_are_split_alike():
    x, z = fb.Input(2, name="x"), fb.Input(2, name="z")
    h = fb.Linear(8)(fb.concat([x, z]))
    outputs = [fb.Linear(3)(h), fb.Linear(1)(h)]
    part = split(100, 0, 0.2, 0.0)
    train, held_out = part["train"], part["validation"]
    histories = []
    for way in ("fraction", "rows"):
        trainer = fb.Trainer(fb.Network(inputs=[x, z], outputs=outputs, seed=0), loss=["cross_entropy", "mse"])
        if way == "fraction":
            histories.append(trainer.fit({"x": X[:, :2], "z": X[:, 2:]}, (Y, T), 2, validation=0.2))
        else:
            held = (X[held_out], (Y[held_out], T[held_out]))
            histories.append(trainer.fit(X[train], (Y[train], T[train]), 2, validation=held))
    assert histories[0].val_loss == histories[1].val_loss
    assert histories[0].loss == histories[1].loss


def test_lbfgs_holds_out_the_same_rows():
    pytest.importorskip("scipy")
    part = split(100, 1, 0.2, 0.0, classes=Y)
    train, held_out = part["train"], part["validation"]
    nets = [fb.mlp([4, 8, 3], activation="tanh", seed=1) for _ in range(2)]
    found = fb.LBFGS(nets[0]).fit(X, Y, 3, validation=0.2)
    known = fb.LBFGS(nets[1]).fit(X[train], Y[train], 3, validation=(X[held_out], Y[held_out]))
    assert (found.loss, found.val_loss) == (known.loss, known.val_loss)


BAD = {
    "zero": (0.0, "`validation` must be above 0 and below 1 as a part of the rows, got `0.0`"),
    "one": (1, "`validation` must be above 0 and below 1 as a part of the rows, got `1.0`"),
    "nan": (float("nan"), "`validation` must be above 0 and below 1 as a part of the rows, got `nan`"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_part_is_refused(case):
    value, message = BAD[case]
    trainer = trainer_of()
    before = trainer.net.flat
    with pytest.raises(ConfigError) as info:
        trainer.fit(X, Y, 1, validation=value)
    assert str(info.value) == message
    assert np.array_equal(trainer.net.flat, before)


def test_too_few_rows_to_split_are_refused():
    with pytest.raises(DataError) as info:
        trainer_of().fit(X[:2], Y[:2], 1, validation=0.01)
    assert str(info.value) == "`validation` must leave rows in every part, but `validation` gets none of 2 rows"


def test_rows_are_checked_as_in_a_fit_before_they_are_split():
    with pytest.raises(ShapeError) as parted:
        trainer_of().fit(X[:, :3], Y, 1, validation=0.2)
    with pytest.raises(ShapeError) as whole:
        trainer_of().fit(X[:, :3], Y, 1)
    assert str(parted.value) == str(whole.value)


@pytest.mark.parametrize("seed", range(20))
def test_every_fold_has_every_class_and_every_row_is_in_one(seed):
    rng = np.random.default_rng(seed)
    folds = int(rng.integers(2, 7))
    y = rng.permutation(np.repeat(np.arange(4), rng.integers(folds, 40, size=4)))
    rows = Rows(fb.mlp([1, 4]), loss_of("cross_entropy"), np.zeros((len(y), 1)), y)
    found = rows.folds(folds, seed)
    assert np.array_equal(np.sort(np.concatenate([fold for _, fold in found])), np.arange(len(y)))
    for others, fold in found:
        assert np.array_equal(np.sort(np.concatenate([others, fold])), np.arange(len(y)))
        assert len(np.unique(y[fold])) == len(np.unique(y[others])) == 4
        for c in range(4):
            assert abs((y[fold] == c).sum() - (y == c).sum() / folds) < 2
