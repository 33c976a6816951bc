"""From a configuration to matrices: every source, divisions, and what is learned from training rows only."""

import numpy as np
import pytest

from fastbp.config.schema import Data, Split
from fastbp.data import digits
from fastbp.data.frame import Column, Frame
from fastbp.data.prepare import prepare, task_of
from fastbp.data.synthetic import SYNTHETIC
from fastbp.errors import ConfigError, DataError, DataWarning
from fastbp.spec.catalogue import loss_of


def write(folder, rows=100, name="t.csv", **replaced):
    """A table with a column of each kind; `replaced` gives columns other values."""
    columns = {
        "age": [str(20 + i % 37) for i in range(rows)],
        "job": [("cook", "baker", "smith")[i % 3] for i in range(rows)],
        "part": [("train", "train", "validation", "test")[i % 4] for i in range(rows)],
        "house": [str(i // 5) for i in range(rows)],
        "w": [str(i % 3) for i in range(rows)],
        "y": [("no", "yes")[i % 7 < 3] for i in range(rows)],
        **replaced,
    }
    path = folder / name
    lines = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def message(error, call, *words, **more):
    with pytest.raises(error) as caught:
        call(*words, **more)
    return str(caught.value)


def shapes(prepared):
    return {name: (part.X.shape, part.y.shape) for name, part in prepared.parts.items()}


@pytest.mark.parametrize("source", SYNTHETIC)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_synthetic_sets(source, dtype):
    found = prepare(Data(source=source, rows=200, noise=0.05), 1, dtype)
    width = 10 if source == "friedman" else 2
    wide = (1,) if source == "friedman" else ()
    assert shapes(found) == {
        "train": ((140, width), (140, *wide)),
        "validation": ((30, width), (30, *wide)),
        "test": ((30, width), (30, *wide)),
    }
    for part in found.parts.values():
        assert part.X.dtype == dtype
        assert part.y.dtype == (dtype if wide else np.int64)
        assert part.weight is None
        assert len(part) == len(part.X)
    outputs = found.recipe.outputs
    names = {"moons": ["0", "1"], "friedman": ["target"]}.get(source, ["0", "1", "2"])
    assert (outputs.task, outputs.names) == ("numbers" if wide else "classes", names)
    train = found.parts["train"].X.astype(np.float64)
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-6)


@pytest.mark.parametrize("source", SYNTHETIC)
def test_synthetic_sets_are_pure_functions_of_the_seed(source):
    made = [SYNTHETIC[source](50, 0.1, 4, seed) for seed in (3, 3, 4)]
    assert np.array_equal(made[0][0], made[1][0])
    assert np.array_equal(made[0][1], made[1][1])
    assert not np.array_equal(made[0][0], made[2][0])
    assert set(made[0][1].tolist()) == {"moons": {0, 1}}.get(source, {0, 1, 2, 3}) or source == "friedman"


@pytest.mark.parametrize("source", SYNTHETIC)
def test_nothing_of_the_machine_makes_synthetic_sets(source, monkeypatch):
    X, y = SYNTHETIC[source](50, 0.1, 4, 3)
    for name in ("sin", "cos", "exp", "log", "power", "hypot"):
        monkeypatch.setattr(np, name, None)
    again = SYNTHETIC[source](50, 0.1, 4, 3)
    assert (again[0].tobytes(), again[1].tobytes()) == (X.tobytes(), y.tobytes())


def test_without_noise_synthetic_sets_are_their_formulas():
    X, y = SYNTHETIC["friedman"](100, 0.0, 0, 0)
    a, b, c, d, e = X[:, :5].T
    np.testing.assert_allclose(y, 10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e)
    X, y = SYNTHETIC["moons"](100, 0.0, 0, 0)
    np.testing.assert_allclose(np.hypot(X[:, 0] - y, X[:, 1] - y / 2), 1)
    height, along = np.where(y == 0, X[:, 1], 0.5 - X[:, 1]), X[:, 0] - y
    assert (height >= 0).all()  # one half opens down, the other up
    assert (along[y == 0].min() < -0.9, along[y == 1].max() > 0.9) == (True, True)
    X, y = SYNTHETIC["spirals"](100, 0.0, 3, 0)
    angle = 4 * np.hypot(*X.T) + 2 * np.pi * y / 3
    np.testing.assert_allclose(np.hypot(*X.T)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), X, atol=1e-12)


def test_digits_have_their_own_parts_unless_a_split_is_asked_for():
    found = prepare(Data(source="digits", scale="none"), 5, "float32")
    for name, part in found.parts.items():
        X, y = digits(name)
        assert np.array_equal(part.X, X)
        assert np.array_equal(part.y, y)
    assert found.recipe.outputs.names == [str(i) for i in range(10)]
    other = prepare(Data(source="digits", split=Split(validation=0.0, test=0.5)), 5, "float32")
    assert {name: len(part) for name, part in other.parts.items()} == {"train": 898, "test": 899} or {
        name: len(part) for name, part in other.parts.items()
    } == {"train": 899, "test": 898}


def test_a_table_with_a_column_of_each_kind(tmp_path):
    columns = {"part": "ignore", "house": "ignore", "w": "weight"}
    found = prepare(Data(path=str(write(tmp_path)), target="y", columns=columns), 0, "float32")
    assert shapes(found) == {
        "train": ((70, 4), (70,)),
        "validation": ((15, 4), (15,)),
        "test": ((15, 4), (15,)),
    }
    recipe = found.recipe
    age, job = recipe.inputs.parts
    assert (age.name, job.name, job.values) == ("age", "job", ["baker", "cook", "smith"])
    assert (recipe.outputs.names, recipe.loss, recipe.weight) == (["no", "yes"], "cross_entropy", "w")
    assert set(found.parts["train"].weight.tolist()) == {0.0, 1.0, 2.0}


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")  # ages that training did not see
def test_settings_of_columns_override_those_of_all(tmp_path):
    columns = {
        "age": {"type": "category", "min_frequency": 2.0},
        "job": {"encode": "embedding", "size": 4.0},
        "house": {"scale": "none"},
        "part": "ignore",
        "w": "ignore",
    }
    data = Data(path=str(write(tmp_path)), target="y", columns=columns, scale="robust")
    inputs = prepare(data, 0, "float32").recipe.inputs
    age, job, house = inputs.parts
    assert (age.encode, age.min_frequency) == ("one_hot", 2)
    assert (job.encode, job.size) == ("embedding", 4)
    assert isinstance(job.size, int)
    assert house.scale == "none"


def test_nothing_is_learned_from_validation_and_test_rows(tmp_path):
    data = Data(path=str(write(tmp_path)), target="y", split=Split(column="part"), unseen=1.0)
    wanted = prepare(data, 0, "float64")
    ages = [str(20 + i % 37) if i % 4 < 2 else str(1000 * i) for i in range(100)]
    jobs = [("cook", "baker", "smith")[i % 3] if i % 4 < 2 else "king" for i in range(100)]
    write(tmp_path, age=ages, job=jobs)
    with pytest.warns(DataWarning, match="column `job` has values that training did not see in 25 of 25 rows"):
        found = prepare(data, 0, "float64")
    assert found.recipe.to_data() == wanted.recipe.to_data()
    assert found.parts["train"].X.tobytes() == wanted.parts["train"].X.tobytes()
    assert found.parts["test"].X.tobytes() != wanted.parts["test"].X.tobytes()


def test_a_column_says_the_part(tmp_path):
    found = prepare(Data(path=str(write(tmp_path)), target="y", split=Split(column="part")), 0, "float32")
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 50, "validation": 25, "test": 25}
    assert [part.name for part in found.recipe.inputs.parts] == ["age", "job", "house", "w"]
    for value, shown in (("valid", "`valid`"), ("", "none")):
        path = write(tmp_path, part=["train"] * 50 + [value] * 50)
        data = Data(path=str(path), target="y", split=Split(column="part"))
        assert message(DataError, prepare, data, 0, "float32") == (
            f"{path}:52: column `part` must be `train`, `validation` or `test`, got {shown}"
        )
    path = write(tmp_path, part=["test"] * 100)
    assert message(DataError, prepare, Data(path=str(path), target="y", split=Split(column="part")), 0, "float32") == (
        f"{path}: column `part` must be `train` for some rows"
    )


def test_a_group_stays_in_one_part(tmp_path):
    data = Data(path=str(write(tmp_path)), target="y", split=Split(group="house"), columns={"w": {"scale": "none"}})
    found = prepare(data, 0, "float32")
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 70, "validation": 15, "test": 15}
    assert [part.name for part in found.recipe.inputs.parts] == ["age", "job", "part", "w"]
    data.split.stratify = True
    assert message(ConfigError, prepare, data, 0, "float32") == (
        "`data.split.stratify` must be false where `data.split.group` is given, got true"
    )


def test_a_group_is_a_value_however_it_is_written(tmp_path):
    houses = [("250.0", "250.00", "2.5e2", "x", "y", "z")[i % 6] for i in range(120)]
    data = Data(path=str(write(tmp_path, 120, house=houses, age=list(map(str, range(120))))), target="age")
    data.columns = {"house": "category", **dict.fromkeys(("job", "part", "y"), "ignore")}
    data.task, data.split = "numbers", Split(group="house", validation=0.25, test=0.25)
    rows = {name: part.numbers[:, 0].astype(int) for name, part in prepare(data, 0, "float64").parts.items()}
    assert sorted(np.concatenate(list(rows.values()))) == list(range(120))
    assert sum(any(i % 6 < 3 for i in found) for found in rows.values()) == 1  # all of that house are in one part


def test_stratified_parts_are_for_classes(tmp_path):
    data = Data(path=str(write(tmp_path)), target="age", task="numbers", split=Split(stratify=True))
    assert message(ConfigError, prepare, data, 0, "float32") == (
        "`data.split.stratify` must be false where targets are numbers, got true"
    )


def test_folds_validate_on_each_row_once(tmp_path):
    path = str(write(tmp_path, age=[str(i * 37 % 100) for i in range(100)]))
    seen = []
    for fold in range(4):
        said = Split(folds=4, fold=fold, test=0.2)
        found = prepare(Data(path=path, target="y", scale="none", split=said), 0, "float32")
        seen += found.parts["validation"].X[:, 0].tolist()
        test = found.parts["test"].X[:, 0].tolist()
    assert sorted(seen + test) == list(range(100))


def test_the_seed_of_the_split_may_be_its_own(tmp_path):
    path = str(write(tmp_path))
    found = [prepare(Data(path=path, target="y", split=Split(seed=7)), seed, "float32") for seed in (0, 1)]
    assert found[0].parts["test"].X.tobytes() == found[1].parts["test"].X.tobytes()


def test_files_for_each_part(tmp_path):
    paths = {
        "train": str(write(tmp_path, 60)),
        "validation": str(write(tmp_path, 30, "v.csv")),
        "test": str(write(tmp_path, 20, "e.csv")),
    }
    found = prepare(Data(**paths, target="y"), 0, "float32")
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 60, "validation": 30, "test": 20}
    del paths["validation"]
    found = prepare(Data(**paths, target="y", split=Split(validation=0.2)), 0, "float32")
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 48, "validation": 12, "test": 20}
    found = prepare(Data(**paths, target="y", split=Split(validation=0.0)), 0, "float32")
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 60, "test": 20}
    write(tmp_path, 20, "e.csv", y=["maybe"] * 20)
    assert message(DataError, prepare, Data(**paths, target="y"), 0, "float32") == (
        f"{tmp_path / 'e.csv'}:2: target `y` must be a class seen in training, got `maybe`"
    )


@pytest.mark.parametrize(
    ("weights", "found"), [("-1", "`-1.0`"), ("inf", "`inf`"), ("", "none")], ids=["negative", "infinite", "missing"]
)
def test_weights_must_be_weights(tmp_path, weights, found):
    path = write(tmp_path, w=["1"] * 40 + [weights] + ["1"] * 59, part=["train"] * 100)
    data = Data(path=str(path), target="y", columns={"w": "weight"}, split=Split(column="part"))
    assert message(DataError, prepare, data, 0, "float32") == (
        f"{path}:42: weight `w` must be finite and at least 0, got {found}"
    )


def test_mistakes_in_data_columns(tmp_path):
    path = str(write(tmp_path))
    data = Data(path=path, target="y", columns={"w": "weight", "age": "weight"})
    assert message(ConfigError, prepare, data, 0, "float32") == (
        "`data.columns` must have one weight column, got `age` and `w`"
    )
    assert message(DataError, prepare, Data(path=path, target="y", columns={"ages": "number"}), 0, "float32") == (
        f"{path}: there must be a column `ages`, got `age`, `job`, `part`, `house`, `w`, `y`\nhint: did you mean `age`?"
    )
    assert message(ConfigError, prepare, Data(path=path), 0, "float32") == (
        f"`data.target` must name what to predict in {path}; there are `age`, `job`, `part`, `house`, `w`, `y`"
    )
    assert message(DataError, prepare, Data(path=path, target="z"), 0, "float32").startswith(
        f"{path}: there must be a column `z`, got `age`"
    )


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")  # all values are different ones
def test_a_mistake_among_many_numbers_is_named_instead_of_making_categories(tmp_path):
    ages = [f"{i}.5" for i in range(300)]
    path = write(tmp_path, 300, age=[*ages[:200], "x7", *ages[201:]])
    data = Data(path=str(path), target="y")
    assert message(DataError, prepare, data, 0, "float32") == f"{path}:202: column `age` must be a number, got `x7`"
    data.columns, data.split = {"age": "category"}, Split(validation=0.0, test=0.0)
    assert "x7" in prepare(data, 0, "float32").recipe.inputs.parts[0].values
    path = write(tmp_path, 300, age=[f"{i}{'a' if i % 3 else ''}" for i in range(300)])
    assert prepare(Data(path=str(path), target="y"), 0, "float32").recipe.inputs.parts[0].values


@pytest.mark.parametrize(
    ("loss", "target", "task", "known"),
    [
        ("mse", "y", "classes", "cross_entropy"),
        ("binary_cross_entropy", "y", "classes", "cross_entropy"),
        ("cross_entropy", "age", "numbers", "mse"),
        ("binary_cross_entropy", "age", "numbers", "mse"),
        ("mse", "w", "labels", "binary_cross_entropy"),
    ],
)
def test_a_loss_for_other_targets_is_refused(tmp_path, loss, target, task, known):
    data = Data(path=str(write(tmp_path)), target=target, task=task)
    assert message(ConfigError, prepare, data, 0, "float32", loss_of(loss)) == (
        f"`trainer.loss` must be one for {task}, such as `{known}`, as target `{target}` is, got `{loss}`\n"
        "hint: set `data.task` if the kind of target was inferred wrongly"
    )


def test_counts_are_not_scaled_and_other_numbers_are(tmp_path):
    data = Data(path=str(write(tmp_path)), target="age", task="numbers")
    counts = prepare(data, 0, "float64", loss_of("poisson"))
    assert counts.parts["train"].y.min() >= 20
    numbers = prepare(data, 0, "float64", loss_of("mse"))
    np.testing.assert_allclose(numbers.parts["train"].y.std(), 1)
    data.scale_target = False
    assert prepare(data, 0, "float64", loss_of("mse")).parts["train"].y.min() >= 20


def test_targets_are_transformed_by_what_training_rows_have(tmp_path):
    data = Data(path=str(write(tmp_path)), target="age", task="numbers", split=Split(column="part"))
    data.target_transform = "log"
    parts = prepare(data, 0, "float64").parts
    train = np.log([20.0 + i % 37 for i in range(100) if i % 4 < 2])
    test = np.log([20.0 + i % 37 for i in range(100) if i % 4 == 3])
    np.testing.assert_allclose(parts["test"].y[:, 0], (test - train.mean()) / train.std(), atol=1e-13)
    assert parts["test"].numbers[:, 0].tolist() == [20.0 + i % 37 for i in range(100) if i % 4 == 3]
    data.scale_target = False
    np.testing.assert_allclose(prepare(data, 0, "float64").parts["test"].y[:, 0], test, atol=1e-13)


@pytest.mark.parametrize(
    ("said", "target", "loss", "wanted"),
    [
        (
            "log",
            "y",
            None,
            "`data.target_transform` must be `none` where targets are classes, got `log`\n"
            "hint: `data.task: numbers` has numbers predicted as such",
        ),
        (
            "sqrt",
            "age",
            "poisson",
            "`data.target_transform` must be `none` with loss `poisson`, which takes numbers as they are, got `sqrt`",
        ),
        (
            {"aged": "log"},
            "age",
            None,
            "`data.target_transform` must be one of `age`, got `aged`\nhint: did you mean `age`?",
        ),
    ],
    ids=["classes", "counts", "no target"],
)
def test_transforms_that_do_not_fit_the_target_are_refused(tmp_path, said, target, loss, wanted):
    data = Data(path=str(write(tmp_path)), target=target, task="numbers" if target == "age" else None)
    data.target_transform = said
    assert message(ConfigError, prepare, data, 0, "float32", None if loss is None else loss_of(loss)) == wanted


def frame(**columns):
    found = {}
    for name, values in columns.items():
        found[name] = Column(name, np.array(values, object if isinstance(values[0], str) else float))
    return Frame(None, found, "t.csv")


@pytest.mark.parametrize(
    ("columns", "task"),
    [
        ({"y": ["a", "b"]}, "classes"),
        ({"y": [0.0, 1.0, 0.0]}, "classes"),
        ({"y": [0.5, 1.0, 0.0]}, "numbers"),
        ({"y": list(range(50))}, "numbers"),
        ({"y": [i % 5 for i in range(50)]}, "classes"),
        ({"a": [0, 1], "b": [1, 1]}, "labels"),
        ({"a": [0, 1], "b": [1, 2]}, "numbers"),
    ],
)
def test_the_task_is_seen_in_the_target(columns, task):
    assert task_of(frame(**columns), list(columns), None) == task
    assert task_of(frame(**columns), list(columns), "numbers") == "numbers"


def test_targets_of_no_task_are_refused():
    mixed = frame(a=["x", "y"], b=[0, 1])
    assert message(ConfigError, task_of, mixed, ["a", "b"], None) == (
        "`data.target` must be one column of classes or several of numbers, got several of texts"
    )
    assert message(ConfigError, task_of, mixed, ["a", "b"], "classes") == (
        "`data.task` `classes` must have one target column, got 2"
    )


@pytest.mark.parametrize("target", [None, "y", ["y"], ["y0", "y1"]], ids=str)
def test_archives_name_their_targets(tmp_path, target):
    X = np.random.default_rng(0).random((60, 3))
    wide = target == ["y0", "y1"] or target == ["y"]
    np.savez(tmp_path / "t.npz", X=X, y=X[:, :2] if wide else np.arange(60) % 3)
    found = prepare(Data(path=str(tmp_path / "t.npz"), target=target), 0, "float32")
    assert found.recipe.outputs.columns == (["y0", "y1"] if wide else ["y"])
    assert found.parts["train"].X.shape == (42, 3)


def test_a_table_with_too_few_rows_for_its_parts_is_refused(tmp_path):
    path = write(tmp_path, 3)
    assert message(DataError, prepare, Data(path=str(path), target="y"), 0, "float32") == (
        "`data.split` must leave rows in every part, but `test` gets none of 3 rows"
    )


def test_a_target_that_an_archive_has_not_is_refused(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.ones((6, 3)), y=np.arange(6))
    assert message(DataError, prepare, Data(path=str(tmp_path / "t.npz"), target="z"), 0, "float32") == (
        f"{tmp_path / 't.npz'}: there must be a column `z`, got `y`"
    )


def test_classes_have_no_least_and_no_greatest_one(tmp_path):
    data = Data(path=str(write(tmp_path)), target="y", clamp_target=True)
    wanted = "`data.clamp_target` must be `false` where targets are classes, got `true`"
    assert message(ConfigError, prepare, data, 0, "float32", None) == wanted
