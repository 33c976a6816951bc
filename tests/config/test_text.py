"""What files mean: YAML by the rules of version 1.2, TOML and JSON, and where in a file each value stands."""

import math
import os
import time

import pytest

from fastbp.config.build import plan_of
from fastbp.config.text import parse, read
from fastbp.errors import ConfigError

KINDS = [".yaml", ".json", ".toml"]


def refused(make, message):
    with pytest.raises(ConfigError) as info:
        make()
    assert str(info.value) == message


def need(suffix):
    if suffix == ".toml":
        pytest.importorskip("tomllib")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-17", -17),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("1e+3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", -0.0),
        ("1.5e", "1.5e"),
        ("e3", "e3"),
        (".", "."),
        (".inf", math.inf),
        ("+.INF", math.inf),
        ("-.Inf", -math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("~", None),
        ("", None),
        ("none", "none"),
        ("None", "None"),
        ("2026-01-02", "2026-01-02"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("''", ""),
        ("'null'", "null"),
        ('"a\\tb"', "a\tb"),
        ("a b # a comment", "a b"),
        ("a#b", "a#b"),
        ("=", "="),
        ("|\n  two\n  lines", "two\nlines"),
        (">\n  one\n  line", "one line"),
        ("[1, no, 1e1]", [1, "no", 10.0]),
        ("{a: 1, b: }", {"a": 1, "b": None}),
        ("[]", []),
        ("{}", {}),
    ],
    ids=lambda v: repr(v),
)
def test_a_scalar_of_yaml_means(written, value):
    found = parse(f"x: {written}").data["x"]
    assert (found, type(found)) == (value, type(value))
    assert math.copysign(1, found) == math.copysign(1, value) if isinstance(value, float) else True


def test_nan_of_yaml_is_a_number():
    assert math.isnan(parse("x: .NaN").data["x"])


def test_keys_of_yaml_are_strings():
    assert parse("1: a\ntrue: b\nnull: c\n1.0: d\n").data == {"1": "a", "true": "b", "null": "c", "1.0": "d"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\na: 2", "f.yaml:2: `a` must be given once, but is on line 1 too"),
        ("a:\n  b: 1\n  'b': 2", "f.yaml:3: `a.b` must be given once, but is on line 2 too"),
        ("a: [{b: 1, b: 2}]", "f.yaml:1: `a[0].b` must be given once, but is on line 1 too"),
        ("a: *b", "f.yaml:1: a config must have no aliases, got `*b`"),
        ("a: &b 1", "f.yaml:1: a config must have no anchors, got `&b`"),
        ("a: &b\n  c: *b", "f.yaml:1: a config must have no anchors, got `&b`"),
        ("a: !!str 1", "f.yaml:1: a config must have no tags, got `!!str`"),
        ("a: !b 1", "f.yaml:1: a config must have no tags, got `!b`"),
        ("a: 1\n---\nb: 2", "f.yaml:2: a config must be one document, without a second one after `---`"),
        ("a: 1\n...\n---\nb: 2", "f.yaml:3: a config must be one document, without a second one after `---`"),
        ("a:\n\tb: 1", "f.yaml:2: a config in YAML must be indented with spaces, got a tab"),
        ("a: \x00", "f.yaml:1: a config must be valid YAML: a character is not allowed"),
        ("a: 1\n\n\x0bb: 2", "f.yaml:3: a config must be valid YAML: a character is not allowed"),
        ("- a", "f.yaml:1: a config must be keys with values, got a list"),
        ("\n\nword", "f.yaml:3: a config must be keys with values, got `word`"),
        ("", "f.yaml:1: a config must be keys with values, got nothing"),
        ("# nothing", "f.yaml:1: a config must be keys with values, got nothing"),
        ("---\n", "f.yaml:2: a config must be keys with values, got nothing"),
        ("null", "f.yaml:1: a config must be keys with values, got nothing"),
        ("[a]: 1", "f.yaml:1: a config must have strings for keys, got a list"),
        ("{a: {{b: 1}: 2}}", "f.yaml:1: `a` must have strings for keys, got a map"),
    ],
    ids=repr,
)
def test_yaml_that_is_refused(content, message):
    refused(lambda: parse(content, "f.yaml"), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "f.json:1: a config must be valid JSON: expecting value"),
        ("[1]", "f.json:1: a config must be keys with values, got a list"),
        ("\n null", "f.json:2: a config must be keys with values, got nothing"),
        ('{"a": 1,\n"a": 2}', "f.json:2: `a` must be given once, but is on line 1 too"),
        ('{"a": [{"b": 1},\n{"c": 1,\n"c": 2}]}', "f.json:3: `a[1].c` must be given once, but is on line 2 too"),
        ('{"a": 1\n"b": 2}', "f.json:2: a config must be valid JSON: expecting `,` delimiter"),
        (
            "{'a': 1}",
            "f.json:1: a config must be valid JSON: expecting property name enclosed in double quotes",
        ),
        ('{"a": "x\x00"}', "f.json:1: a config must be valid JSON: invalid control character at"),
        ('{"a": ' + "9" * 5000 + "}", "f.json: a config must have numbers of at most 4300 digits, got more"),
    ],
    ids=lambda v: repr(v)[:40],
)
def test_json_that_is_refused(content, message):
    refused(lambda: parse(content, "f.json", ".json"), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a = 1\na = 2", "f.toml:2: a config must be valid TOML: cannot overwrite a value"),
        ("[a.b]\n[a.b]", "f.toml:2: a config must be valid TOML: cannot declare `a.b` twice"),
        ("a = 1\nb", "f.toml:2: a config must be valid TOML: expected `=` after a key in a key/value pair"),
        ("a = yes", "f.toml:1: a config must be valid TOML: invalid value"),
        (
            "a = 010",
            "f.toml:1: a config must be valid TOML: expected newline or end of document after a statement",
        ),
        ("a = '''x", "f.toml:1: a config must be valid TOML: expected \"'''\""),
        ("a = " + "9" * 5000, "f.toml: a config must have numbers of at most 4300 digits, got more"),
    ],
    ids=lambda v: repr(v)[:40],
)
def test_toml_that_is_refused(content, message):
    need(".toml")
    refused(lambda: parse(content, "f.toml", ".toml"), message)


def nested(suffix, depth):
    """A file with so many maps and lists in each other, the outermost map included."""
    lists = "[" * (depth - 1) + "]" * (depth - 1)
    return {".yaml": f"\na: {lists}\n", ".json": f'\n{{"a": {lists}}}', ".toml": f"\na = {lists}\n"}[suffix]


@pytest.mark.parametrize("suffix", KINDS)
def test_32_levels_are_enough_and_33_too_many(suffix):
    need(suffix)
    depth, found = 0, parse(nested(suffix, 32), "f", suffix).data
    while found:
        depth, found = depth + 1, found["a"] if isinstance(found, dict) else found[0]
    assert depth == 31  # the 32nd is empty
    message = "f:2: a config must be nested at most 32 deep, got more"
    refused(lambda: parse(nested(suffix, 33), "f", suffix), message)
    refused(lambda: parse(nested(suffix, 100_000), "f", suffix), message)


def test_dots_of_toml_are_levels():
    need(".toml")
    parse(".".join("a" * 32) + " = 1", "f", ".toml")
    refused(
        lambda: parse(".".join("a" * 33) + " = 1", "f", ".toml"),
        "f:1: a config must be nested at most 32 deep, got more",
    )


# Files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff", "f.yaml:1: a config must be UTF-8, got byte `0xff`"),
        (b"a: 1\nb: caf\xe9\n", "f.yaml:2: a config must be UTF-8, got byte `0xe9`"),
        ("a: 1".encode("utf-16"), "f.yaml:1: a config must be UTF-8, got byte `0xff`"),
        (b"#" * (2**20 + 1), "f.yaml: a config must have at most 1 MiB, got more"),
    ],
    ids=["a byte", "Latin-1", "UTF-16", "too large"],
)
def test_a_file_that_is_refused(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.yaml").write_bytes(content)
    refused(lambda: read("f.yaml"), message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.yaml", "none.yaml: a config must be readable (No such file or directory)"),
        ("folder.yaml", "folder.yaml: a config must be readable (Is a directory)"),
        ("c.ini", "c.ini: a config must end in `.yaml`, `.yml`, `.toml` or `.json`, got `.ini`"),
        ("config", "config: a config must end in `.yaml`, `.yml`, `.toml` or `.json`, got ``"),
    ],
)
def test_a_path_that_is_refused(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    refused(lambda: read(name), message)


def test_a_file_of_exactly_1_mib_is_read(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\n#".ljust(2**20, b"x"))
    assert read(path).data == {"a": 1}


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_marks_and_ends_of_lines_do_not_matter(suffix, mark, end, tmp_path):
    need(suffix)
    lines = {".yaml": ["a: 1", "b: x"], ".json": ['{"a": 1,', '"b": "x"}'], ".toml": ["a = 1", "b = 'x'"]}[suffix]
    path = tmp_path / f"f{suffix}"
    path.write_bytes(mark + end.join([*lines, ""]).encode())
    text = read(path)
    assert text.data == {"a": 1, "b": "x"}
    assert text.places["b",] == (str(path), 2)


@pytest.mark.parametrize("name", ["f.YAML", "f.yml"])
def test_other_endings_are_yaml_too(name, tmp_path):
    (tmp_path / name).write_text("a: no")
    assert read(tmp_path / name).data == {"a": "no"}


# Places


JSON = """{
  "name": "trainer: {",
  "trainer":
  {"metrics": ["a",
     "b", {"c": 1}], "lr\\u0061": 2},
  "a.b": {"c": "\\"d\\": 5",
          "d": 6}}"""
TOML = """# trainer.epochs = 1
name = "[trainer]"
text = \"\"\"
epochs = 3
\"\"\"\"
[trainer]  # optimizer
'epochs' = 3
optimizer = {name = "a", lr.x = [1,
  2]}
b."c d".e = 1979-05-27T07:32:00Z
[[layers]]
name = 'x'
[[layers]]
[layers.init]
scale = 1.5
"""


def test_places_of_json_are_those_of_the_keys():
    places = parse(JSON, "f", ".json").places
    assert {path: line for path, (_, line) in places.items()} == {
        (): 1,
        ("name",): 2,
        ("trainer",): 3,
        ("trainer", "metrics"): 4,
        ("trainer", "metrics", 0): 4,
        ("trainer", "metrics", 1): 5,
        ("trainer", "metrics", 2): 5,
        ("trainer", "metrics", 2, "c"): 5,
        ("trainer", "lra"): 5,
        ("a.b",): 6,
        ("a.b", "c"): 6,
        ("a.b", "d"): 7,
    }


def test_places_of_toml_are_those_of_the_keys():
    need(".toml")
    places = parse(TOML, "f", ".toml").places
    assert {path: line for path, (_, line) in places.items()} == {
        (): 1,
        ("name",): 2,
        ("text",): 3,
        ("trainer",): 6,
        ("trainer", "epochs"): 7,
        ("trainer", "optimizer"): 8,
        ("trainer", "optimizer", "name"): 8,
        ("trainer", "optimizer", "lr"): 8,
        ("trainer", "optimizer", "lr", "x"): 8,
        ("trainer", "optimizer", "lr", "x", 0): 8,
        ("trainer", "optimizer", "lr", "x", 1): 9,
        ("trainer", "b"): 10,
        ("trainer", "b", "c d"): 10,
        ("trainer", "b", "c d", "e"): 10,
        ("layers",): 11,
        ("layers", 0): 11,
        ("layers", 0, "name"): 12,
        ("layers", 1): 13,
        ("layers", 1, "init"): 14,
        ("layers", 1, "init", "scale"): 15,
    }


@pytest.mark.parametrize(("content", "suffix"), [(JSON, ".json"), (TOML, ".toml"), ("a: [1, {b: 2}]", ".yaml")])
def test_every_value_has_a_place(content, suffix):
    need(suffix)
    text = parse(content, "f", suffix)
    paths = {()}

    def walk(value, path):
        paths.add(path)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in items:
            walk(child, (*path, key))

    walk(text.data, ())
    assert set(text.places) == paths


# Sizes


def error_of(content, suffix=".yaml"):
    with pytest.raises(ConfigError) as caught:
        parse(content, "c" + suffix, suffix)
    return str(caught.value)


@pytest.mark.parametrize("content", ["a." * 100_000 + "a = 1\n", f"[{'a.' * 100_000}a]\nb = 1\n"], ids=["key", "table"])
def test_a_key_of_very_many_parts_is_refused_before_it_is_parsed(content):
    begun = time.perf_counter()
    assert error_of(content, ".toml") == "c.toml:1: a config must be nested at most 32 deep, got more"
    assert time.perf_counter() - begun < 2.0


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".yaml", "a: [" + "1," * 200_000 + "]"),
        (".json", '{"a": [' + "1," * 200_000 + "1]}"),
        (".toml", "a = [" + "1," * 200_000 + "1]"),
    ],
)
def test_more_values_than_a_configuration_has_are_error_of(suffix, content):
    assert error_of(content, suffix) == f"c{suffix}:1: a config must have at most 100000 keys and values, got more"


def test_the_time_of_maps_in_json_grows_as_they_do():
    def seconds(keys):
        begun = time.process_time()
        parse("{" + ",".join(f'"k{i}": 1' for i in range(keys)) + "}", "c.json", ".json")
        return time.process_time() - begun

    seconds(10)
    few, many = (min(seconds(keys) for _ in range(3)) for keys in (5_000, 40_000))  # of a busy machine the best
    assert many < 24 * few  # 64, if it grew as their square


def test_numbers_of_many_digits_are_numbers_of_many_digits():
    assert parse("seed: " + "9" * 4300).data["seed"] == int("9" * 4300)
    assert error_of("a: 1\nseed: " + "9" * 900_000) == (
        "c.yaml:2: a config must have numbers of at most 4300 digits, got more"
    )
    assert parse("name: '" + "9" * 5000 + "'").data["name"] == "9" * 5000
    with pytest.raises(ConfigError) as caught:
        plan_of(parse("data: {source: digits}\nseed: " + "9" * 4300))
    assert str(caught.value) == "config:2: `seed` must be below 2**64, got a number of 14285 bits"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "c.yaml")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "c.yaml")
    assert str(caught.value) == f"{tmp_path}/c.yaml: a config must be a regular file"
