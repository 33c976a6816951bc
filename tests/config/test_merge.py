"""Several files over each other, single keys over files, and writing what was read."""

import math
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastbp.config.check import checked
from fastbp.config.merging import merge, override, overrides
from fastbp.config.text import as_yaml, parse
from fastbp.errors import ConfigError

SPACE = {"pack": {"space": {"a.b": {"uniform": [1, 2]}}}}


def laid(*contents):
    text = parse(contents[0], "f0")
    for i, content in enumerate(contents[1:], 1):
        text = merge(text, parse(content, f"f{i}"))
    return text


@pytest.mark.parametrize(
    ("contents", "data"),
    [
        (["a: 1", "b: 2"], {"a": 1, "b": 2}),
        (["a: 1", "a: 2", "a: 3"], {"a": 3}),
        (["a: {b: 1, c: 2}", "a: {c: 3, d: 4}"], {"a": {"b": 1, "c": 3, "d": 4}}),
        (["a: [1, 2, 3]", "a: [4]"], {"a": [4]}),
        (["a: {b: 1}", "a: 2"], {"a": 2}),
        (["a: 1", "a: {b: 2}"], {"a": {"b": 2}}),
        (["a: {b: 1}", "a: null"], {"a": None}),
        (["a: {b: {c: 1}}", "a: {b: {d: 2}}", "a: {b: {c: 3}}"], {"a": {"b": {"c": 3, "d": 2}}}),
        (["o: {name: x, lr: 1}", "o: {lr: 2}"], {"o": {"name": "x", "lr": 2}}),
        (["o: {name: x, lr: 1}", "o: {name: x, m: 2}"], {"o": {"name": "x", "lr": 1, "m": 2}}),
        (["o: {name: x, lr: 1}", "o: {name: y}"], {"o": {"name": "y"}}),
        (["o: {name: x, lr: 1}", "o: y"], {"o": "y"}),
        (["name: a\nseed: 1", "name: b"], {"name": "b", "seed": 1}),
        (
            ["trainer: {optimizer: x}", "trainer: {optimizer: {lr: 2}}"],
            {"trainer": {"optimizer": {"name": "x", "lr": 2}}},
        ),
        (
            ["trainer: {optimizer: x}", "trainer: {optimizer: {name: y, lr: 2}}"],
            {"trainer": {"optimizer": {"name": "y", "lr": 2}}},
        ),
        (["data: {columns: {a: x}}", "data: {columns: {a: {size: 2}}}"], {"data": {"columns": {"a": {"size": 2}}}}),
        (["pack: {space: {a.b: {log: [1, 2]}}}", "pack: {space: {a.b: {uniform: [1, 2]}}}"], SPACE),
        (["pack: {space: {a.b: [3]}}", "pack: {space: {a: {b: {uniform: [1, 2]}}}}"], SPACE),
        (["pack: {space: {a: {b: [3]}}}", "pack: {space: {a.b: {uniform: [1, 2]}}}"], SPACE),
    ],
    ids=str,
)
def test_files_are_laid_over_each_other_from_left_to_right(contents, data):
    assert laid(*contents).data == data


def test_what_lies_below_stays_as_it_was():
    below, above = parse("a: {b: 1, c: {d: 2}}"), parse("a: {c: {d: 3}}")
    merge(below, above)
    assert below.data == {"a": {"b": 1, "c": {"d": 2}}}
    assert above.data == {"a": {"c": {"d": 3}}}


def test_a_message_names_the_file_that_said_it_last():
    text = laid("trainer:\n  epochs: 1\n  batch_size: 0", "\n\ntrainer: {epochs: 0}", "name: x")
    with pytest.raises(ConfigError, match=r"^f1:3: `trainer.epochs` must be at least 1, got `0`$"):
        checked(text)
    with pytest.raises(ConfigError, match=r"^f0:3: `trainer.batch_size` must be at least 1, got `0`$"):
        checked(merge(text, parse("trainer: {epochs: 1}", "f3")))


def test_places_of_what_was_replaced_are_forgotten():
    text = laid("o:\n  name: x\n  lr: 1", "o: {name: y}")
    assert ("o", "lr") not in text.places
    assert text.places["o", "name"] == ("f1", 1)


# --set


@pytest.mark.parametrize(
    ("expression", "data"),
    [
        ("seed=5", {"seed": 5}),
        ("trainer.epochs=5", {"trainer": {"epochs": 5}}),
        (" trainer.epochs = 5", {"trainer": {"epochs": 5}}),
        ("trainer.optimizer.lr=1e-3", {"trainer": {"optimizer": {"lr": 0.001}}}),
        ("name=no", {"name": "no"}),
        ("name='5'", {"name": "5"}),
        ("name=", {"name": ""}),
        ("name=a=b", {"name": "a=b"}),
        ("name=a.b", {"name": "a.b"}),
        ("network.hidden=[64, 32]", {"network": {"hidden": [64, 32]}}),
        ("trainer.optimizer={name: sgd, lr: 0.1}", {"trainer": {"optimizer": {"name": "sgd", "lr": 0.1}}}),
        ("trainer.clip_norm=null", {"trainer": {"clip_norm": None}}),
        ("trainer.clip_norm=~", {"trainer": {"clip_norm": None}}),
        ("data.header=false", {"data": {"header": False}}),
        ("data.delimiter=';'", {"data": {"delimiter": ";"}}),
    ],
)
def test_set_means(expression, data):
    assert override(expression).data == data


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("epochs", "`--set` must be a path and a value, such as `trainer.epochs=5`, got `epochs`"),
        ("=5", "`--set` must be a path and a value, such as `trainer.epochs=5`, got `=5`"),
        ("a..b=5", "`--set` must be a path and a value, such as `trainer.epochs=5`, got `a..b=5`"),
        (".a=5", "`--set` must be a path and a value, such as `trainer.epochs=5`, got `.a=5`"),
        ("", "`--set` must be a path and a value, such as `trainer.epochs=5`, got ``"),
        ("a.b=[1", "`--set a.b` must be valid YAML, got a bracket that is not closed"),
        ("a=b: c", "`--set a` must be valid YAML, got a `:` in a wrong place"),
        ("a='x", "`--set a` must be valid YAML, got a quote that is not closed"),
        ("a=*x", "`--set a` must have no aliases, got `*x`"),
        ("a=!!int 3", "`--set a` must have no tags, got `!!int`"),
        ("a=1\nb: 2", "`--set a` must be one value on one line"),
    ],
)
def test_set_that_is_refused(expression, message):
    with pytest.raises(ConfigError) as info:
        override(expression)
    assert str(info.value) == message


def test_set_wins_over_files_and_says_so():
    text = merge(parse("trainer: {epochs: 3, optimizer: sgd}", "f"), override("trainer.epochs=0"))
    with pytest.raises(ConfigError, match=r"^--set trainer.epochs=0: `trainer.epochs` must be at least 1, got `0`$"):
        checked(text)
    text = merge(text, override("trainer.optimizer.lr=0.5"))
    assert text.data == {"trainer": {"epochs": 0, "optimizer": {"name": "sgd", "lr": 0.5}}}


# Writing


def same(a, b):
    """Whether two values are equal to the bit and of the same types."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


STRINGS = [
    *(
        "",
        " ",
        "  x  ",
        "1",
        "-1",
        "1.5",
        "1e5",
        "1E-3",
        "0x1F",
        "0o17",
        "010",
        ".5",
        "5.",
        ".inf",
        "-.INF",
        ".nan",
        "+1",
    ),
    *(
        "true",
        "False",
        "null",
        "Null",
        "~",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "=",
        "<<",
        "-",
        "?",
        ":",
        "- a",
        "? a",
        "a: b",
    ),
    *(
        "a #b",
        "#a",
        "*a",
        "&a",
        "!a",
        "!!int 1",
        "@a",
        "`a`",
        "%a",
        "|",
        ">",
        "{",
        "[",
        "}",
        "]",
        ",",
        "'",
        '"',
        "it's",
    ),
    *(
        "---",
        "...",
        "a\nb",
        "\n",
        "a\n",
        "\ta",
        "a\tb",
        "\\",
        "\\n",
        "é",
        "名前",
        "😀",
        "\u2028",
        "\u00a0",
        "\ufeff",
        "\x85",
    ),
    *("\x00", "\x07", "\x1b[0m", "\x7f", "2026-01-02", "12:30", "1_000", "0b1", "x" * 300, "word " * 60, "a/b.csv"),
]
NUMBERS = [
    *(0, 1, -1, 2**63, -(2**63), 2**64 - 1, 10**18, 0.0, -0.0, 0.1, 1.0, -1.5, 1e-3, 1e5, 1e16, 1e17, 1e22, 1e-300),
    *(
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        0.1 + 0.2,
        1 / 3,
        123456789.123456789,
        math.inf,
        -math.inf,
    ),
    math.nan,
]


@pytest.mark.parametrize(
    "value", [*STRINGS, *NUMBERS, None, True, False, [], {}, [[]], [{}], {"a": {}}, {"a": []}], ids=repr
)
def test_writing_and_reading_gives_the_same_value(value):
    for data in ({"k": value}, {"k": [value, value]}, {"k": {"a": value, "b": [{"c": value}]}}):
        assert same(parse(as_yaml(data)).data, data)


@pytest.mark.parametrize("key", [k for k in STRINGS if len(k) < 100], ids=repr)
def test_writing_and_reading_gives_the_same_key(key):
    data = {key: 1, "other": {key: [2]}} if key != "other" else {}
    assert same(parse(as_yaml(data)).data, data)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | TEXT | st.sampled_from(STRINGS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
@example({"a": [1e16, "\x85", {}]})
def test_writing_and_reading_gives_the_same_data(data):
    assert same(parse(as_yaml(data)).data, data)


def test_what_is_written_is_short_and_in_order():
    data = {
        "name": "a",
        "network": {"hidden": [64, 32], "layers": [{"name": "relu"}]},
        "lr": 0.001,
        "no": "no",
        "x": "1",
    }
    assert as_yaml(data) == (
        "name: a\nnetwork:\n  hidden: [64, 32]\n  layers:\n    - name: relu\nlr: 0.001\n'no': 'no'\nx: \"1\"\n"
    )


@pytest.mark.parametrize(
    "expressions",
    [
        ["trainer.optimizer.lr=1e30", "trainer.optimizer.name=sgd"],
        ["trainer.optimizer.name=sgd", "trainer.optimizer.lr=1e30"],
        ["trainer.optimizer=sgd", "trainer.optimizer.lr=1e30"],
        ["trainer.optimizer.lr=1e30", "trainer.optimizer=sgd"],
        ["trainer.optimizer={lr: 1e30}", "trainer.optimizer.name=sgd"],
        ["trainer.optimizer={name: sgd, lr: 1e30}"],
    ],
    ids=str,
)
def test_no_setting_is_lost_whatever_the_order(expressions):
    below = parse("trainer: {epochs: 2, optimizer: {name: adam, lr: 0.1, eps: 1e-6}}")
    found = merge(below, overrides(expressions))
    assert found.data == {"trainer": {"epochs": 2, "optimizer": {"name": "sgd", "lr": 1e30}}}
    assert found.place(("trainer", "optimizer", "lr")) == f"--set {next(e for e in expressions if 'lr' in e)}"


@pytest.mark.parametrize("over", ["trainer: {optimizer: adam}", "trainer: {optimizer: {name: adam}}"])
def test_the_name_that_is_there_keeps_its_settings(over):
    optimizer = {"name": "adam", "lr": 0.1}
    assert laid("trainer: {optimizer: {name: adam, lr: 0.1}}", over).data == {"trainer": {"optimizer": optimizer}}


@pytest.mark.parametrize(
    ("expressions", "message"),
    [
        (["seed=1", "seed=2"], "`--set` must give `seed` once, got `1` and `2`"),
        (["seed=1", "seed=1"], "`--set` must give `seed` once, got `1` and `1`"),
        (["a.b=1", "a=null"], "`--set` must give `a` once, got a map and `null`"),
        (["a={b: 1}", "a.b=2"], "`--set` must give `a.b` once, got `1` and `2`"),
        (["a=[1]", "a=[2]"], "`--set` must give `a` once, got a list and a list"),
        (
            ["trainer.loss=mse", "trainer.loss={name: huber, delta: 1}"],
            "`--set` must give `trainer.loss.name` once, got `mse` and `huber`",
        ),
    ],
)  # fmt: skip
def test_a_setting_that_is_given_twice_is_refused(expressions, message):
    for order in (expressions, expressions[::-1]):
        with pytest.raises(ConfigError) as info:
            overrides(order)
        if order is expressions:
            assert str(info.value) == message
