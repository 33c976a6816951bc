"""Ensembles say what is wrong with their models, weights and rows in one sentence each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from tests.train.packs import CLASSES, INPUTS, data


def plain(inputs: int = INPUTS, outputs: int = CLASSES, loss: Any = "cross_entropy", **more: Any) -> fb.Network:
    net = fb.Network([fb.Linear(outputs)], inputs=inputs, **more)
    if loss is not None:
        fb.Trainer(net, loss=loss)
    return net


def several(loss: Any = None) -> fb.Network:
    x = fb.Input(INPUTS)
    return fb.Network(inputs=x, outputs=[fb.Linear(4)(x), fb.Linear(1)(x)])


X, Y = data()
PAIR = [plain(), plain()]
BAD: dict[str, tuple[Any, str]] = {
    "no models": (lambda: fb.Ensemble([]), "`models` must have at least one model, got none"),
    "no list": (
        lambda: fb.Ensemble("net"),
        "`models` must be a list of networks, packs, ensembles or paths, got `'net'`",
    ),
    "one network": (
        lambda: fb.Ensemble(3),
        "`models` must be a list of networks, packs, ensembles or paths, got `3`",
    ),
    "no model": (
        lambda: fb.Ensemble([PAIR[0], 3]),
        "`models[1]` must be a network, a pack, an ensemble or a path of one, got `int`",
    ),
    "inputs": (
        lambda: fb.Ensemble([*PAIR, plain(6)]),
        "`models[2]` must have `5` inputs as `models[0]` has, got `6`",
    ),
    "outputs": (
        lambda: fb.Ensemble([PAIR[0], plain(5, 3)]),
        "`models[1]` must have `4` outputs as `models[0]` has, got `3`",
    ),
    "of a pack": (
        lambda: fb.Ensemble([PAIR[0], fb.Pack(plain(5, 3), n=2)]),
        "`models[1].members[0]` must have `4` outputs as `models[0]` has, got `3`",
    ),
    "dtype": (
        lambda: fb.Ensemble([PAIR[0], plain(dtype="float64")]),
        "`models[1]` must have dtype `float32` as `models[0]` has, got `float64`",
    ),
    "losses": (
        lambda: fb.Ensemble([PAIR[0], plain(loss="mse")]),
        "`models[1]` must have a loss by which predictions mean the same as by `cross_entropy` of `models[0]`,"
        " got `mse`",
    ),
    "other loss": (
        lambda: fb.Ensemble(PAIR, loss="mse"),
        "`models[0]` must have a loss by which predictions mean the same as by `mse` of `loss`, got `cross_entropy`",
    ),
    "no loss": (
        lambda: fb.Ensemble([plain(loss=None)]),
        "`loss` must be given, as no trainer was made for these networks and their outputs may mean anything"
        '\nhint: `loss="cross_entropy"` takes them as logits',
    ),
    "joint loss": (
        lambda: fb.Ensemble([several()], loss="mse"),
        "`loss` must be a list of 2 losses, one for each output, got `'mse'`",
    ),
    "few weights": (
        lambda: fb.Ensemble(PAIR, [1.0]),
        "`weights` must have a number for each of the 2 models, got `1`",
    ),
    "no weights": (lambda: fb.Ensemble(PAIR, 1.0), "`weights` must be a list of numbers, got `1.0`"),
    "negative": (lambda: fb.Ensemble(PAIR, [1.0, -1.0]), "`weights[1]` must be at least 0, got `-1.0`"),
    "zeros": (lambda: fb.Ensemble(PAIR, [0, 0.0]), "`weights` must have one above 0, got only zeros"),
    "NaN": (lambda: fb.Ensemble(PAIR, [1, float("nan")]), "`weights[1]` must be finite, got `nan`"),
    "huge": (lambda: fb.Ensemble(PAIR, [1e308, 1e308]), "`weights` must have a sum of at most 1e+100, got `inf`"),
    "no rows": (lambda: fb.Ensemble(PAIR).evaluate(X[:0], Y[:0]), "`y` must not be empty, got shape `(0,)`"),
    "texts": (lambda: fb.Ensemble(PAIR, ["a", 1]), "`weights[0]` must be a number, got `'a'`"),
    "numbers as probabilities": (
        lambda: fb.Ensemble([plain(loss="mse")]).probabilities(X),
        "`loss` must be `cross_entropy` or `binary_cross_entropy` for outputs to be probabilities, got `mse`",
    ),
    "columns of arrays": (
        lambda: fb.Ensemble(PAIR).predict(X, probabilities=True),
        "`probabilities` must be given with a table only, as an array gets them anyway",
    ),
    "metric": (
        lambda: fb.Ensemble.greedy(PAIR, X, Y, "r2"),
        "`metric` must be one of `accuracy`, `top_k`, `balanced_accuracy`, `f1_macro`, `f1_micro`, `f1_weighted`,"
        " `precision`, `recall`, `log_loss`, `roc_auc`, `average_precision`, `brier`, `calibration_error`,"
        " `calibrated_log_loss` with loss"
        " `cross_entropy`, got `r2`",
    ),
    "metric of several": (
        lambda: fb.Ensemble.greedy([several()], X, (Y, X[:, :1]), "accuracy", loss=["cross_entropy", "mse"]),
        "`metric` must be `loss` for networks with several outputs, got `accuracy`",
    ),
    "size": (lambda: fb.Ensemble.greedy(PAIR, X, Y, size=0), "`size` must be at least 1, got `0`"),
    "replacement": (
        lambda: fb.Ensemble.greedy(PAIR, X, Y, replacement=1),
        "`replacement` must be True or False, got `1`",
    ),
    "stop": (lambda: fb.Ensemble.greedy(PAIR, X, Y, stop_early=None), "`stop_early` must be True or False, got `None`"),
    "no targets": (lambda: fb.Ensemble.greedy(PAIR, X), "`y` must be given with an array, got `None`"),
    "one target": (lambda: fb.Ensemble.greedy(PAIR, X, 3), "`y` must have targets for rows, got shape `()`"),
    "few targets": (
        lambda: fb.Ensemble.greedy(PAIR, X, Y[:7]),
        "`y` must have the 150 rows of X, got `7`",
    ),
    "few targets of a loss": (
        lambda: fb.Ensemble(PAIR).evaluate(X, Y[:7]),
        "`y` must have the 150 rows of X, got `7`",
    ),
    "classes": (
        lambda: fb.Ensemble.greedy(PAIR, X, Y + 1),
        "`y` must be between 0 and 3, the network's classes, got `4` at `[",
    ),
    "greedy size": (lambda: fb.Greedy(size=0), "`Greedy.size` must be at least 1, got `0`"),
    "greedy patience": (lambda: fb.Greedy(patience=-1), "`Greedy.patience` must be at least 0, got `-1`"),
    "no settings": (
        lambda: fb.Pack(PAIR).fit(X, Y, validation=(X, Y), ensemble=True),
        "`ensemble` must be `fb.Greedy(...)`, got `True`",
    ),
    "no validation": (
        lambda: fb.Pack(PAIR).fit(X, Y, ensemble=fb.Greedy()),
        "`ensemble` needs `validation`, rows by which it is chosen, the same for all members",
    ),
    "own validation": (
        lambda: fb.Pack(PAIR).fit(X, Y, validation_rows=[[0], [1]], ensemble=fb.Greedy()),
        "`ensemble` needs `validation`, rows by which it is chosen, the same for all members",
    ),
    "metric of a fit": (
        lambda: fb.Pack(PAIR).fit(X, Y, validation=(X, Y), ensemble=fb.Greedy(metric="accurancy")),
        "`Greedy.metric` must be one of `accuracy`, `top_k`, `balanced_accuracy`,",
    ),
    "metric of one class": (
        lambda: fb.Pack(PAIR).fit(X, Y, validation=(X[:9], 0 * Y[:9]), ensemble=fb.Greedy(metric="roc_auc")),
        "validation: `y` must have two or more classes, got only `0`",
    ),
    "keyword": (
        lambda: fb.Ensemble.greedy(PAIR, X, Y, most=3),
        "the arguments of `Ensemble.greedy` must be of `models`, `X`, `y`, `metric`,",
    ),
    "targets of no rows": (
        lambda: fb.Pack(PAIR).ensemble(y=Y),
        "`X` must be given with `y`, as rows decide which members are chosen",
    ),
    "size of all": (
        lambda: fb.Pack(PAIR).ensemble(size=3),
        "`X` must be given with `size`, as rows decide which members are chosen",
    ),
    "order of all": (
        lambda: fb.Pack(PAIR).ensemble(stop_early=False),
        "`X` must be given with `stop_early`, as rows decide which members are chosen",
    ),
    "nothing selected": (
        lambda: fb.Pack(PAIR).selected,
        "`selected` needs a `fit` with `ensemble=fb.Greedy(...)` of an epoch at least",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_one_sentence_says_what_is_wrong(name: str) -> None:
    make, message = BAD[name]
    before = [net.flat.tobytes() for net in PAIR]
    with pytest.raises(fb.FastbpError) as error:
        make()
    text = str(error.value)
    whole = not message.endswith(("`[", ","))
    assert text == message if whole else text.startswith(message)
    assert [net.flat.tobytes() for net in PAIR] == before  # before anything was trained


def test_a_path_that_is_not_there_or_no_network_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a text")
    with pytest.raises(FileNotFoundError, match=r"must be a file that `Network.save` wrote, but does not exist$"):
        fb.Ensemble([tmp_path / "none"])
    with pytest.raises(fb.CheckpointError, match=r"^models\[1\]: `.*text` must be a valid safetensors file"):
        fb.Ensemble([PAIR[0], tmp_path / "text"])


def changed(path: Path, name: str, change: Any) -> None:
    """Write the file with another word in its header, sealed as it should be."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    from fastbp.model.sealed import sealed

    with safe_open(path, "np") as file:
        words = dict(file.metadata())
    arrays = load_file(path)
    if name == "arrays":
        change(arrays)
    else:
        words[name] = json.dumps(change(json.loads(words[name])))
    path.write_bytes(sealed(arrays, words))


BROKEN: dict[str, tuple[str, Any, str]] = {
    "weights": ("members", lambda m: [{**m[0], "weight": -1.0}, m[1]], "`weights[0]` must be at least 0, got `-1.0`"),
    "only zeros": ("members", lambda m: [{**one, "weight": 0.0} for one in m], "`weights` must have one above 0"),
    "no members": ("members", lambda m: [], "list index out of range"),
    "shared": ("members", lambda m: [{**m[0], "layers": 7}, m[1]], "list index out of range"),
    "loss": ("loss", lambda one: "no_loss", "`loss` must be a loss, got `no_loss`"),
    "kind": ("loss", lambda one: {"kind": "no_loss"}, "'no_loss'"),
    "selection": ("selection", lambda one: {"chosen": []}, "missing required field `scores`"),
    "chosen": ("selection", lambda one: {**one, "chosen": ["a"]}, "Expected `int | array`, got `str`"),
    "about": ("shared", lambda one: [one[0], 3], "`about` must be an object, got `3`"),
    "number": ("members", lambda m: [{**m[0], "about": -1}, m[1]], "Expected `int` >= 0"),
    "missing": ("arrays", lambda a: a.pop("1/parameters/0.bias"), "`members` must hold"),
    "more": ("arrays", lambda a: a.update({"1/parameters/9": np.zeros(3)}), "`members` must hold"),
    "shape": (
        "arrays",
        lambda a: a.update({"1/parameters/0.bias": np.zeros(3, np.float32)}),
        "`parameters/0.bias` must have dtype `float32` and shape `(4,)`, got `float32` and `(3,)`",
    ),
    "not finite": (
        "arrays",
        lambda a: a.update({"0/parameters/0.bias": np.full(4, np.nan, np.float32)}),
        "`parameters['0.bias']` must be finite, got NaN or infinity",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_are_checked_before_they_are_used(name: str, tmp_path: Path) -> None:
    word, change, message = BROKEN[name]
    path = tmp_path / "e.safetensors"
    fb.Ensemble(PAIR).save(path)
    changed(path, word, change)
    wanted = re.escape(f"`{path}` has an ensemble unknown to this version (") + ".*" + re.escape(message)
    with pytest.raises(fb.CheckpointError, match=wanted):
        fb.load(path)


@pytest.mark.parametrize("at", [20, 200, -3])
def test_damage_is_found(at: int, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    fb.Ensemble(PAIR).save(path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(fb.CheckpointError):
        fb.load(path)


def test_what_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    one = fb.Ensemble(PAIR)
    one.members[1].parameters.block.write("0.bias", np.full(CLASSES, np.inf, np.float32))
    with pytest.raises(fb.DataError, match=r"^`members\[1\]` must have finite `parameters/0.bias` to be saved"):
        one.save(tmp_path / "e.safetensors")
    assert not list(tmp_path.iterdir())
