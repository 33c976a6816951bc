"""Packs go on with the same bits from a file, from a pickle and as a copy."""

from __future__ import annotations

import copy
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.train import pack_files
from tests.train.packs import CLASSES, INPUTS, ROWS, data, digest, networks

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "own": {
        "optimizer": [fb.Adam(lr=0.01), fb.SGD(lr=0.1, momentum=0.9), fb.NAdam(betas=(0.8, 0.99)), "lion", fb.AdamW()],
        "schedule": [None, fb.Cosine(steps=90), fb.MultiStep(milestones=[5, 30], gamma=0.5), None, "constant"],
        "batch_size": [32, 7, 64, 500, 33],
        "accumulate": [1, 2, 1, 3, 1],
        "ema": [None, 0.9, 0.5, None, None],
        "seed": [2**64 - 1, 0, 5, 6, 7],
        "rows": [range(100), [3, 3, 3, 9], range(ROWS), range(5, 60), [0]],
        "loss": fb.CrossEntropy(label_smoothing=0.1, class_weights={0: 2.0, 3: 0.5}),
    },
    "formulas": {"loss": fb.loss("abs(z - t) ** 1.5"), "penalty": lambda w: 1e-3 * w * w, "frozen": ["0"]},
    "shared": {"loss": fb.Quantile(q=[0.1, 0.2, 0.5, 0.9]), "clip_norm": 0.5, "lr_factors": {"0": 0.5}},
}


def made(name: str) -> tuple[fb.Pack, Any, Any]:
    X, y = data()
    settings = SETTINGS[name]
    if not isinstance(settings.get("loss", fb.CrossEntropy()), fb.CrossEntropy):
        y = np.eye(CLASSES)[y]
    return fb.Pack(networks(), threads=2, **settings), X, y


def loaded(pack: fb.Pack, path: Path) -> fb.Pack:
    pack.save(path)
    found: fb.Pack = fb.load(path)
    return found


WAYS: dict[str, Any] = {
    "file": loaded,
    "pickle": lambda pack, path: pickle.loads(pickle.dumps(pack)),
    "copy": lambda pack, path: copy.copy(pack),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_pack_goes_on_with_the_same_bits(name: str, way: str, tmp_path: Path) -> None:
    pack, X, y = made(name)
    pack.members[0].about = {"made": "here"}
    pack.run(X, y, steps=17)  # in the middle of epochs
    other = WAYS[way](pack, tmp_path / "pack.safetensors")
    assert other is not pack
    assert [one.seed for one in other.members] == [one.seed for one in pack.members]
    assert (other.optimizers, other.steps_done) == (pack.optimizers, pack.steps_done)
    assert pack_files.plain("loss", other._members[0].trainer._loss) == pack_files.plain(
        "loss", pack._members[0].trainer._loss
    )
    before = [digest(net) for net in pack.members]
    assert [digest(net) for net in other.members] == before
    losses = other.run(X, y, steps=40)
    assert [digest(net) for net in pack.members] == before
    assert np.array_equal(losses, pack.run(X, y, steps=40))
    pack.fit(X, y, epochs=2)
    other.fit(X, y, epochs=2)
    assert [digest(net) for net in other.members] == [digest(net) for net in pack.members]
    assert [digest(net) for net in other.evaluated] == [digest(net) for net in pack.evaluated]
    if way == "file":
        assert [net.about for net in other.members] == [net.about for net in pack.members]


def test_a_pack_that_has_seen_no_rows_begins_by_those_that_come(tmp_path: Path) -> None:
    layers = [fb.Linear(6, init="std", bias_init="he5"), fb.Tanh(), fb.Linear(CLASSES, init="std")]
    pack = fb.Pack([fb.Network(layers, inputs=INPUTS, seed=seed) for seed in (1, 2)])
    again, done = loaded(pack, tmp_path / "begun"), pack.fit(*data(), epochs=1)
    late = loaded(pack, tmp_path / "done")
    assert not late.members[0].parameters.waiting
    again.fit(*data(), epochs=1)
    assert len(done) == 2
    assert [one.flat.tobytes() for one in again.members] == [one.flat.tobytes() for one in pack.members]


def test_a_file_holds_natural_arrays_by_name(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    pack, X, y = made("own")
    pack.run(X, y, steps=1)
    pack.save(tmp_path / "pack.safetensors")
    arrays = load_file(tmp_path / "pack.safetensors")
    assert np.array_equal(arrays["1/parameters/0.weight"], pack.members[1].parameters["0.weight"])
    assert np.array_equal(arrays["1/rows"], [3, 3, 3, 9])
    assert "0/moment 1/0.weight" in arrays
    assert pack_files.to_bytes(pack) == (tmp_path / "pack.safetensors").read_bytes()


def damaged(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def other_order(content: bytes) -> bytes:
    """A file whose first member's epoch has rows that it must not have."""
    from safetensors.numpy import load

    arrays = load(content)
    size = int.from_bytes(content[:8], "little")
    words = json.loads(content[8 : 8 + size])["__metadata__"]
    arrays["0/order"] = arrays["0/order"] + np.uint32(1000)
    return pack_files.sealed(arrays, {name: word for name, word in words.items() if "xxh3" not in name})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged, "`PATH` is damaged: its checksum is wrong"),
        (other_order, "`PATH` has a pack unknown to this version (`order` must be a permutation of the rows)"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    pack, X, y = made("own")
    pack.run(X, y, steps=1)
    path = tmp_path / "pack.safetensors"
    pack.save(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(fb.CheckpointError, match=f"^{re.escape(message.replace('PATH', str(path)))}$"):
        fb.load(path)


def test_what_cannot_be_saved_is_said(tmp_path: Path) -> None:
    pack = fb.Pack(fb.mlp([INPUTS, 8, CLASSES]), n=2)
    with pytest.raises(fb.ConfigError, match=r"^`path` must be a path, got `3`$"):
        pack.save(3)

    class Other(fb.Adam):
        pass

    with pytest.raises(fb.ConfigError, match=r"^`optimizer` must be one of fastbp to be saved, got `Other`$"):
        fb.Pack(fb.mlp([INPUTS, 8, CLASSES]), n=2, optimizer=Other()).save(tmp_path / "pack.safetensors")
    assert not list(tmp_path.iterdir())
