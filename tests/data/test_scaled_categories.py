"""One-hot columns that are scaled as columns of numbers are, and what `auto` makes of categories with a limit."""

import numpy as np
import pytest

from fastbp.config.schema import Data, Split
from fastbp.data.categories import Category
from fastbp.data.columns import Column
from fastbp.data.frame import Frame
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.data.prepare import prepare
from fastbp.data.recipe import Recipe
from fastbp.data.stored import Stored
from fastbp.errors import CheckpointError

RNG = np.random.default_rng(0)


def frame(*values):
    return Frame(None, {f"c{i}": Column(f"c{i}", np.array(column, object)) for i, column in enumerate(values)}, "t")


def scaled(columns):
    """Columns of numbers, robust."""
    found = Inputs([Numbers(None, "robust", "mean")])
    rows = Frame(np.asarray(columns, np.float64), {}, "t")
    found.fit(rows)
    return found.matrix(rows, np.float64)


SHARES = {
    "even": [0.25, 0.25, 0.25, 0.25],
    "rare": [0.9, 0.08, 0.015, 0.005],
    "three": [0.5, 0.3, 0.2],
    "missing": [0.2, 0.2, 0.2, 0.4],
    "one": [1.0],
    "half": [0.5, 0.25, 0.25],
}


@pytest.mark.parametrize("case", SHARES)
@pytest.mark.parametrize("rows", [4, 41, 200])
def test_one_hot_columns_are_what_numbers_of_them_would_be(case, rows):
    codes = np.repeat(np.arange(len(SHARES[case])), np.round(np.array(SHARES[case]) * rows).astype(int))
    missing = 3 if case == "missing" else -1
    text = [None if code == missing else f"v{code}" for code in codes]
    category = Category("c0", "one_hot", scale="robust")
    category.fit(frame(text))
    out = np.zeros((len(codes), category.width))
    category.apply(frame(text), out)
    there = sorted({code for code in codes if code != missing})
    plain = np.stack([(codes == code) * 1.0 for code in there], axis=1)
    if len(there) == 2:
        plain = np.where(codes == missing, 0.0, np.where(codes == there[0], 1.0, -1.0))[:, None]
    np.testing.assert_allclose(out, scaled(plain), atol=1e-12)


@pytest.mark.parametrize("gone", [0, 3, 9])
def test_two_categories_are_one_column_and_a_missing_value_is_between_them(gone):
    text = ["a"] * 9 + ["b"] * 3 + [None] * gone
    category = Category("c0", "one_hot", scale="robust")
    category.fit(frame(text))
    out = np.zeros((len(text), 1))
    category.apply(frame(text), out)
    np.testing.assert_allclose(out, scaled(np.array([1.0] * 9 + [-1.0] * 3 + [0.0] * gone)[:, None]), atol=1e-12)
    new = np.zeros((2, 1))
    assert category.apply(frame(["new", None]), new).count == 1
    assert new[0] == new[1] == category.levels[0][0]


def test_what_training_did_not_see_is_none_of_the_categories():
    text = ["a", "b", "c", "c"]
    category = Category("c0", "one_hot", scale="robust")
    category.fit(frame(text))
    out = np.zeros((1, 3))
    category.apply(frame(["d"]), out)
    assert out[0].tolist() == [off for off, _ in category.levels]


def test_many_scaled_columns_are_in_full():
    text = [f"v{i % 20}" for i in range(200)]
    inputs = Inputs([Category("c0", "one_hot", scale="robust")])
    inputs.fit(frame(text))
    out = inputs.matrix(frame(text), np.float64)
    assert isinstance(out, np.ndarray)  # no codes, whose columns are 0 or 1
    plain = [[value == text[row] for value in sorted(set(text))] for row in range(200)]
    np.testing.assert_allclose(out, scaled(plain), atol=1e-12)


@pytest.mark.parametrize(
    ("most", "encodings"), [(2, ["one_hot", "embedding"]), (3, ["one_hot", "one_hot"]), (1, ["embedding"] * 2)]
)
def test_a_limit_says_which_categories_are_columns(most, encodings):
    inputs = Inputs([Category(f"c{i}", "auto", size=5, most=most, scale="robust") for i in range(2)])
    rows = frame(["a", "b", "a"], ["a", "b", "c"])
    inputs.fit(rows)
    assert [part.encode for part in inputs.categories] == encodings
    sizes = [size for _, size in inputs.embeddings().values()]
    assert sizes == [5] * encodings.count("embedding")
    again = Inputs.from_data(Stored(inputs.to_data(), "inputs"))
    assert again.matrix(rows).tolist() == inputs.matrix(rows).tolist()


def test_files_of_columns_that_are_not_scaled_are_as_they_always_were():
    category = Category("c0", "one_hot")
    category.fit(frame(["a", "b"]))
    assert set(category.to_data()) == {"name", "encode", "min_frequency", "size", "values", "rare", "unseen"}


@pytest.mark.parametrize(
    "change", [{"levels": []}, {"levels": [[0.0, 1.0]]}, {"scale": "none"}, {"levels": [[0.0, 1.0, 2.0]] * 3}]
)
def test_a_file_with_other_levels_is_refused(change):
    category = Category("c0", "one_hot", scale="robust")
    category.fit(frame(["a", "b", "c"]))
    with pytest.raises(CheckpointError, match="levels"):
        Category.from_data(Stored({"kind": "category", **category.to_data(), **change}, "inputs[0]"))


def test_a_configuration_has_all_three(tmp_path):
    rows = [f"{'ab'[i % 2]},{'xyz'[i % 3]},w{i % 5},{i},{'train' if i < 60 else 'test'}" for i in range(80)]
    path = tmp_path / "t.csv"
    path.write_text("f,g,h,y,part\n" + "\n".join(rows) + "\n")
    data = Data(path=str(path), target="y", task="numbers", split=Split(column="part"), encode="auto")
    data.most_one_hot, data.embed_size, data.scale_categories = 3, 4, "robust"
    found = prepare(data, 0, "float32")
    assert found.parts["train"].X.shape == (60, 1 + 3 + 1)
    assert found.recipe.inputs.embeddings() == {4: (6, 4)}
    assert {seen.name: seen.width for seen in found.seen if seen.type == "category"} == {"f": 1, "g": 3, "h": 4}
    assert Recipe.from_data(found.recipe.to_data()).to_data() == found.recipe.to_data()
