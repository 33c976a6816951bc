"""What is said of columns: settings that cannot be, or that a column's type would pass over."""

import pytest

from fastbp.config.schema import Data
from fastbp.data.plan import column_settings
from fastbp.data.prepare import prepare
from fastbp.errors import ConfigError


def message(call, *words):
    with pytest.raises(ConfigError) as caught:
        call(*words)
    return str(caught.value)


SETTINGS = {
    "a list": ([1], "`data.columns.a` must be a type or a map with `type`, got `[1]`"),
    "indicator": ({"indicator": 1}, "`data.columns.a.indicator` must be `true` or `false`, got `1`"),
    "size": ({"size": 0}, "`data.columns.a.size` must be a whole number, at least 1, got `0`"),
    "min_frequency": (
        {"min_frequency": 1.5},
        "`data.columns.a.min_frequency` must be a whole number, at least 1, got `1.5`",
    ),
    "endless": ({"size": float("inf")}, "`data.columns.a.size` must be a whole number, at least 1, got `inf`"),
    "value": ({"value": "x"}, "`data.columns.a.value` must be a finite number, got `x`"),
    "true": ({"value": True}, "`data.columns.a.value` must be a finite number, got `True`"),
    "a number's encoding": (
        {"type": "number", "encode": "embedding"},
        "`data.columns.a.encode` must not be given with type `number`",
    ),
    "a category's scale": (
        {"type": "category", "scale": "robust"},
        "`data.columns.a.scale` must not be given with type `category`",
    ),
    "what is ignored": (
        {"type": "ignore", "missing": "median"},
        "`data.columns.a.missing` must not be given with type `ignore`",
    ),
    "a date's value": ({"type": "date", "value": 1}, "`data.columns.a.value` must not be given with type `date`"),
    "words' scale": ({"type": "words", "scale": "none"}, "`data.columns.a.scale` must not be given with type `words`"),
    "a unit": ({"unit": "s"}, "`data.columns.a.unit` must be given with type `date` only"),
    "an order": ({"type": "category", "order": "day"}, "`data.columns.a.order` must be given with type `date` only"),
    "a constant date": (
        {"type": "date", "missing": "constant"},
        "`data.columns.a.missing` must be `mean`, `median` or `refuse` with type `date`, got `constant`",
    ),
    "nan": ({"value": float("nan")}, "`data.columns.a.value` must be a finite number, got `nan`"),
}


@pytest.mark.parametrize(("value", "wanted"), SETTINGS.values(), ids=SETTINGS)
def test_settings_of_a_column_that_cannot_be(value, wanted):
    assert message(column_settings, "a", value) == wanted


@pytest.mark.parametrize(("value", "key"), [("numbr", ""), ({"scale": "standrd"}, ".scale"), ({"tipe": 1}, "")])
def test_words_that_are_not_known_are_refused_with_those_that_are(value, key):
    text = message(column_settings, "a", value)
    assert text.startswith(f"`data.columns.a{key}` must be one of ")


INFERRED = {
    "size": ("encode: embedding", "must not be given with type `number`", "0 to 39"),
    "town": ("scale: robust", "must not be given with type `category`", "3 values: a, b, c"),
    "day": (
        "missing: constant",
        "must be `mean`, `median` or `refuse` with type `date`, got `constant`",
        "dates, such as 2024-01-01 and 2024-01-28",
    ),
    "once": ("scale: none", "must not be given with type `ignore`", "always 1"),
}


@pytest.mark.parametrize(("name", "said"), INFERRED.items(), ids=INFERRED)
def test_settings_that_an_inferred_type_would_pass_over_are_refused(tmp_path, name, said):
    (key, value), must, about = said[0].split(": "), *said[1:]
    rows = [f"{7 * i % 40},{'abc'[i % 3]},2024-01-{i % 28 + 1:02},1,{i % 2}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["size,town,day,once,y", *rows]) + "\n")
    data = Data(path=str(tmp_path / "t.csv"), target="y", columns={name: {key: value}})
    assert message(prepare, data, 0, "float32") == (
        f"`data.columns.{name}.{key}` {must}\n"
        f"hint: the type is inferred from the values, {about}; `type` says otherwise"
    )
