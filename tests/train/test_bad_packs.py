"""Packs say what is wrong with their settings and data in one sentence each."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from tests.train.packs import CLASSES, INPUTS, ROWS, data, digest, networks


def plain(inputs: int = INPUTS, outputs: int = CLASSES, **more: Any) -> fb.Network:
    return fb.Network([fb.Linear(outputs)], inputs=inputs, **more)


ONE = plain()
PAIR = [plain(), plain()]
BAD: dict[str, tuple[Any, str]] = {
    "no members": (lambda: fb.Pack([]), "`nets` must have at least one network, got none"),
    "no list": (lambda: fb.Pack("ab"), "`nets` must be a list of networks, or one network, got `'ab'`"),
    "no network": (lambda: fb.Pack([ONE, 3]), "`nets[1]` must be a fastbp Network, got `int`"),
    "one alone": (
        lambda: fb.Pack(ONE),
        "`n` must be given with one network: the number of members that are made like it",
    ),
    "n of 0": (lambda: fb.Pack(ONE, n=0), "`n` must be at least 1, got `0`"),
    "n of a list": (lambda: fb.Pack(PAIR, n=2), "`n` must be left out where `nets` is a list"),
    "twice": (lambda: fb.Pack([*PAIR, PAIR[0]]), "`nets[2]` must be another network than `nets[0]`"),
    "inputs": (lambda: fb.Pack([ONE, plain(6)]), "`nets[1]` must have `5` inputs as `nets[0]` has, got `6`"),
    "outputs": (
        lambda: fb.Pack([ONE, plain(5, 3)]),
        "`nets[1]` must have `4` outputs as `nets[0]` has, got `3`",
    ),
    "dtype": (
        lambda: fb.Pack([ONE, plain(dtype="float64")]),
        "`nets[1]` must have dtype `float32` as `nets[0]` has, got `float64`",
    ),
    "unequal": (
        lambda: fb.Pack(PAIR, batch_size=[1, 2, 3]),
        "`batch_size` must have a value for each of the 2 members, got `3`",
    ),
    "seeds": (lambda: fb.Pack(ONE, n=2, seed=[1]), "`seed` must have a value for each of the 2 members, got `1`"),
    "batch": (lambda: fb.Pack(PAIR, batch_size=[1, 0]), "`batch_size[1]` must be at least 1, got `0`"),
    "batch of all": (lambda: fb.Pack(PAIR, batch_size=0), "`batch_size` must be at least 1, got `0`"),
    "rows": (
        lambda: fb.Pack(PAIR, rows=[[0, 1]]),
        "`rows` must have a list for each of the 2 members, got `1`",
    ),
    "rows of a number": (
        lambda: fb.Pack(PAIR, rows=3),
        "`rows` must be a list of row numbers for each member, got `3`",
    ),
    "no rows": (lambda: fb.Pack(PAIR, rows=[[0], []]), "`rows[1]` must have at least one row, got none"),
    "row numbers": (
        lambda: fb.Pack(PAIR, rows=[[0], [-1]]),
        "`rows[1]` must be at least 0 and below 2**32, got `-1`",
    ),
    "fractions": (lambda: fb.Pack(PAIR, rows=[[0], [0.5]]), "`rows[1]` must be whole numbers, got dtype `float64`"),
    "masks": (
        lambda: fb.Pack(PAIR, rows=[[0], [True]]),
        "`rows[1]` must be whole numbers, got dtype `bool`\nhint: numpy.flatnonzero(mask) are the rows of a mask",
    ),
    "tables": (lambda: fb.Pack(PAIR, rows=[[0], [[1]]]), "`rows[1]` must be a list of row numbers, got shape `(1, 1)`"),
    "row of X": (
        lambda: fb.Pack(PAIR, rows=[[0], [ROWS]]).run(*data(), steps=1),
        "`rows[1]` must be below 150, the rows of X, got `150`",
    ),
    "held-out row": (
        lambda: fb.Pack(PAIR).fit(*data(), validation_rows=[[0], [ROWS]]),
        "`validation_rows[1]` must be below 150, the rows of X, got `150`",
    ),
    "both": (
        lambda: fb.Pack(PAIR).fit(*data(), validation=data(), validation_rows=[[0], [1]]),
        "`validation_rows` must be left out where `validation` is given",
    ),
    "validation": (
        lambda: fb.Pack(PAIR).fit(*data(), validation=3),
        "`validation` must be (X, y) or (X, y, sample_weight), got `3`",
    ),
    "validation X": (
        lambda: fb.Pack(PAIR).fit(*data(), validation=(data()[0][:, :3], data()[1])),
        "validation: `X` must have shape `(rows, 5)`, got `(150, 3)`",
    ),
    "patience": (
        lambda: fb.Pack(PAIR).fit(*data(), patience=[1, -1]),
        "`patience[1]` must be at least 0, got `-1`",
    ),
    "weight": (
        lambda: fb.Pack(PAIR).fit(*data(), sample_weight="balance"),
        "`sample_weight` must be `balanced` or a number for each class, got `'balance'`",
    ),
    "weight of a class": (
        lambda: fb.Pack(PAIR).fit(*data(), sample_weight={CLASSES: 1.0}),
        "`sample_weight` must name classes of `y`, got `4`",
    ),
    "weights of classes and a row of X": (
        lambda: fb.Pack(PAIR, rows=[[0], [ROWS]]).fit(*data(), sample_weight="balanced"),
        "`rows[1]` must be below 150, the rows of X, got `150`",
    ),
    "steps": (lambda: fb.Pack(PAIR).run(*data(), steps=-1), "`steps` must be at least 0, got `-1`"),
    "member": (
        lambda: fb.Pack(PAIR).copy_member(0, 2),
        "`target` must be at least 0 and below 2, the members, got `2`",
    ),
    "other layers": (
        lambda: fb.Pack(networks()).copy_member(0, 1),
        "`target` must be a member with the parameters, moments and averages of the source",
    ),
    "other optimiser": (
        lambda: setattr(fb.Pack(PAIR), "optimizers", [fb.Adam(lr=0.1), fb.SGD(lr=0.1)]),
        "`optimizers[1]` must stay the same kind as `Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0,"
        " amsgrad=False, decoupled=False, decay_all=False)`, got `SGD(lr=0.1, momentum=0.0, nesterov=False,"
        " weight_decay=0.0, decoupled=False, decay_all=False)`",
    ),
    "word": (
        lambda: fb.Pack(PAIR, learning_rate=0.1),  # type: ignore[call-arg]
        "the arguments of `Pack` must be of `nets`, `loss`, `optimizer`, `batch_size`, `threads`, `seed`, `schedule`,"
        " `clip_norm`, `clip_value`, `accumulate`, `ema`, `lr_factors`, `decay_factors`, `frozen`, `penalty`, `rows`,"
        " `n`, `schedules`, `drop_last`, got `learning_rate`\nhint: here this is `optimizer=fb.Adam(lr=1e-3)`",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_in_one_sentence_before_anything_runs(case: str) -> None:
    call, message = BAD[case]
    before = [digest(net) for net in PAIR]
    with pytest.raises(fb.FastbpError, match=f"^{re.escape(message)}$"):
        call()
    assert [digest(net) for net in PAIR] == before


@pytest.mark.parametrize("use", ["run", "predict"])
def test_rows_are_checked_for_the_codes_of_every_member(use: str) -> None:
    X, y = data()
    X[7, 0] = 5.0
    pack = fb.Pack(networks())  # the last has an embedding
    message = "`X` must hold whole codes between 0 and 2 in column 0, got `5.0` at `[7, 0]`"
    with pytest.raises(fb.DataError, match=f"^{re.escape(message)}$"):
        pack.run(X, y, steps=1) if use == "run" else pack.predict(X)


def test_optimizers_of_which_one_is_of_another_kind_change_none() -> None:
    pack = fb.Pack([plain(), plain()])
    before = pack.optimizers
    with pytest.raises(fb.ConfigError):
        pack.optimizers = [fb.Adam(lr=0.1), fb.SGD(lr=0.1)]
    assert pack.optimizers == before


def test_rows_that_the_user_changes_later_are_those_that_were_given() -> None:
    X, y = data()
    rows = np.arange(9, dtype=np.uint32)
    packs = [fb.Pack([plain(seed=3)], rows=[given]) for given in (rows, rows.copy())]
    rows[:] = ROWS + 1
    for pack in packs:
        pack.run(X, y, steps=3)
    assert digest(packs[0].members[0]) == digest(packs[1].members[0])
