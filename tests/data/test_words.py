"""Free text in a fixed number of columns: against the formula, by hand."""

import json
import math
import zlib

import numpy as np
import pytest

from fastbp.data.frame import Column, Frame
from fastbp.data.stored import Stored
from fastbp.data.words import NORM, Words
from fastbp.errors import CheckpointError

TEXTS = ["The cat sat. The cat!", "a dog's day", None, "cat", "--"]


def frame(*texts):
    return Frame(None, {"t": Column("t", np.array(texts, object))}, "t.csv")


def encoded(part, *texts):
    out = np.full((len(texts), part.width), np.nan)
    part.apply(frame(*texts), out)
    return out


def fitted(size=256):
    part = Words("t", size)
    part.fit(frame(*TEXTS))
    return part


def column(word, size=256):
    return zlib.crc32(word.encode()) % size


def test_words_are_counted_in_their_columns():
    assert len({column(w) for w in ("the", "cat", "sat", "a", "dog's", "day")}) == 6
    found = encoded(fitted(), *TEXTS)
    weight = {"the": math.log(6 / 2) + 1, "cat": math.log(6 / 3) + 1, "sat": math.log(6 / 2) + 1}
    wanted = np.zeros(256)
    for word, count in (("the", 2), ("cat", 2), ("sat", 1)):
        wanted[column(word)] = weight[word] * (1 + math.log(count))
    wanted *= NORM / np.linalg.norm(wanted)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-12)
    assert set(np.flatnonzero(found[1])) == {column("a"), column("dog's"), column("day")}
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [NORM, NORM, 0, NORM, 0])


def test_a_text_of_any_length_and_of_new_words_has_the_same_columns():
    part = fitted(8)
    found = encoded(part, "word " * 10_000 + "cat", "nothing of this was seen", "Größe ÉTÉ 東京 x_y")
    assert found.shape == (3, 8)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), NORM)
    np.testing.assert_array_equal(encoded(part, "größe été 東京 y x"), found[2:])


def test_columns_are_the_same_in_every_process():
    assert np.flatnonzero(encoded(fitted(256), "cat")).tolist() == [zlib.crc32(b"cat") % 256] == [168]


def test_what_was_written_is_read_and_what_was_not_is_refused():
    data = json.loads(json.dumps({"kind": "words", **fitted(16).to_data()}))
    again = Words.from_data(Stored(data, "inputs[0]"))
    np.testing.assert_array_equal(encoded(again, *TEXTS), encoded(fitted(16), *TEXTS))
    for key, value, wanted in (
        ("size", 0, "`inputs[0].size` must be a whole number, at least 1, got `0`"),
        ("size", 8, "`inputs[0].weights` must have 8 numbers, got 16"),
        ("weights", [0.0] * 16, "`inputs[0].weights[0]` must be above 0, got `0.0`"),
        ("name", None, "`inputs[0].name` must be a text, got `null`"),
    ):
        with pytest.raises(CheckpointError) as caught:
            Words.from_data(Stored({**data, key: value}, "inputs[0]"))
        assert str(caught.value) == wanted
