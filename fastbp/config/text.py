"""Configuration files as data, with the line of each value: YAML 1.2, TOML and JSON.

YAML is restricted to what JSON can hold: `yes`, `no` and `on` are strings, `1e-3` is a number, keys are strings and
occur once. Aliases, tags, several documents, more than 1 MiB or 100,000 keys and values, and nesting beyond 32 are
refused.
"""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastbp.config.places import DEEPEST, Lines, Path_, tokens, wrong
from fastbp.errors import ConfigError, DependencyError, visible

CONFIGS = (".yaml", ".yml", ".toml", ".json")
MOST_BYTES = 1 << 20
MOST_VALUES = 100_000
DIGITS = 4300  # of an integer; the limit of Python's parser
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".nan": math.nan, ".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf}


# PyYAML's messages for frequent mistakes, ours, and whether to report where the mistake began.
_PROBLEMS = (
    ("could not find expected ':'", "a key without `:`", True),
    ("found unexpected end of stream", "a quote that is not closed", True),
    ("but got '<stream end>'", "a bracket that is not closed", True),
    ("expected <block end>", "a line that does not fit those above it", False),
    ("mapping values are not allowed here", "a `:` in a wrong place", False),
)


@dataclass
class Text:
    """A configuration: its data, and the place of each part.

    Attributes
    ----------
    data : dict
    places : dict of path to (file, line)
        Paths are tuples of keys and indices; lines count from 1.
    """

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Path_, tuple[str, int]] = field(default_factory=dict)

    def place(self, path: Path_) -> str | None:
        """`file:line` of a value or, if it was not written, of its nearest parent; or nothing."""
        for size in range(len(path), -1, -1):
            if path[:size] in self.places:
                file, line = self.places[path[:size]]
                return f"{file}:{line}" if line else file
        return None

    def inside(self, path: Path_) -> str:
        """The place of an error about something in the value at a path, which has names of its own."""
        place = self.place(path)
        return f"{place}: `{dotted(path)}`" if place else f"`{dotted(path)}`"


def dotted(path: Path_) -> str:
    """A path as shown in messages.

    Examples
    --------
    >>> dotted(("network", "layers", 1, "p"))
    'network.layers[1].p'
    """
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def scalar(text: str) -> Any:
    """The value of a plain YAML scalar.

    Examples
    --------
    >>> [scalar(t) for t in ("1e-3", "no", "0x1F", "null", "true", "1_000", "010")]
    [0.001, 'no', 31, None, True, '1_000', 10]
    """
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.fullmatch(text):
        if _too_long(text):
            return math.copysign(math.inf, -1 if text[0] == "-" else 1)
        return int(text)
    if _OCT.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _SPECIAL.get(text.lower(), text)


def _too_long(text: str) -> bool:
    """Whether a text is an integer too long for Python's parser."""
    return len(text) > DIGITS and _INT.fullmatch(text) is not None


def _instead(path: str | Path) -> str | None:
    """What to do with a run's folder or a table in the place of a configuration."""
    from fastbp.data.files import FRAMES, TABLES, suffix_of

    ran = Path(path, "config.yaml")
    if ran.is_file():
        return f"the configuration of that run is `{ran}`; `--resume {path}` goes on with it"
    table = Path(path).is_file() and suffix_of(path) in (*TABLES, *FRAMES)
    return f"`fastbp init {path}` writes a configuration for a table" if table else None


def read(path: str | Path) -> Text:
    """Read a configuration file; its suffix gives the format: .yaml, .yml, .toml or .json."""
    name = str(path)
    suffix = Path(path).suffix.lower()
    if suffix not in CONFIGS:
        raise wrong(name, "must end in `.yaml`, `.yml`, `.toml` or `.json`", f"`{suffix}`").at(hint=_instead(path))
    try:
        if not Path(path).is_file() and not Path(path).is_dir() and Path(path).exists():  # reading a pipe would block
            raise wrong(name, "must be a regular file")
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise wrong(name, f"must be readable ({error.strerror})") from None
    if len(raw) > MOST_BYTES:
        raise wrong(name, "must have at most 1 MiB", "more")
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise wrong(f"{name}:{line}", "must be UTF-8", f"byte `0x{raw[error.start]:02x}`") from None
    return parse(content, name, suffix)


def parse(content: str, name: str = "config", suffix: str = ".yaml") -> Text:
    """Parse a configuration."""
    if suffix == ".toml":
        out = _toml(content, name)
    elif suffix == ".json":
        out = _json(content, name)
    else:
        out = parse_yaml(content, name)
    return out


def _must_be_keys(data: Any, name: str, line: int) -> None:
    if not isinstance(data, dict):
        got = "nothing" if data is None else "a list" if isinstance(data, list) else f"`{visible(str(data))}`"
        raise wrong(f"{name}:{line}", "must be keys with values", got)


def _broken(kind: str, problem: str) -> tuple[str, str | None]:
    """What a file must be, and is, by a parser's error."""
    if "'\\t'" in problem:
        return f"in {kind} must be indented with spaces", "a tab"
    flat = re.sub(r"\('([^)]*)',?\)", lambda found: "'" + found[1].replace("', '", ".") + "'", problem)
    said = re.sub(r"'([^']+)'", r"`\1`", flat.replace("\n", " "))
    return f"must be valid {kind}: {said[:1].lower()}{said[1:]}", None


def _twice(name: str, line: int, path: Path_, first: int) -> ConfigError:
    must = f"must be given once, but is on line {first} too"
    return ConfigError(visible(dotted(path)), must, place=f"{name}:{line}")


# YAML


def parse_yaml(content: str, name: str, option: str | None = None) -> Text:
    """A file, or the value of an option, which errors then name."""
    import yaml

    out = Text()

    def fail(line: int, must: str, got: str | None = None) -> ConfigError:
        return ConfigError(option, must, got) if option else wrong(f"{name}:{line}", must, got)

    try:
        # Depth and aliases are checked on events, before anything is built.
        depth = count = 0
        for event in yaml.parse(content, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1
            count += isinstance(event, yaml.NodeEvent)
            if count > MOST_VALUES:
                raise fail(line, f"must have at most {MOST_VALUES} keys and values", "more")
            if isinstance(event, yaml.ScalarEvent) and event.style is None and _too_long(event.value):
                raise fail(line, f"must have numbers of at most {DIGITS} digits", "more")
            if isinstance(event, yaml.AliasEvent):
                raise fail(line, "must have no aliases", f"`*{event.anchor}`")
            if getattr(event, "anchor", None):
                raise fail(line, "must have no anchors", f"`&{event.anchor}`")
            if getattr(event, "tag", None):
                tag = event.tag.replace("tag:yaml.org,2002:", "!!")
                raise fail(line, "must have no tags", f"`{tag}`")
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise fail(line, f"must be nested at most {DEEPEST} deep", "more")
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                depth -= 1
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        if "single document" in str(error.context) or "but found another document" in str(error.problem):
            raise fail(line, "must be one document, without a second one after `---`") from None
        problem = error.problem or ""
        for part, got, begun in _PROBLEMS:
            if part in problem:
                line = error.context_mark.line + 1 if begun and error.context_mark else line
                raise fail(line, "must be valid YAML", got) from None
        raise fail(line, *_broken("YAML", problem)) from None
    except yaml.YAMLError as error:
        line = content[: getattr(error, "position", 0)].count("\n") + 1
        raise fail(line, "must be valid YAML: a character is not allowed") from None

    def build(node: Any, path: Path_) -> Any:
        out.places.setdefault(path, (name, node.start_mark.line + 1))
        if isinstance(node, yaml.ScalarNode):
            return scalar(node.value) if node.style is None else node.value
        if isinstance(node, yaml.SequenceNode):
            return [build(item, (*path, i)) for i, item in enumerate(node.value)]
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                wanted, got = "must have strings for keys", "a map" if isinstance(key, yaml.MappingNode) else "a list"
                here = f"{name}:{key.start_mark.line + 1}"
                raise ConfigError(dotted(path), wanted, got, place=here) if path else wrong(here, wanted, got)
            if key.value in found:
                first = out.places[(*path, key.value)][1]
                raise _twice(name, key.start_mark.line + 1, (*path, key.value), first)
            out.places[(*path, key.value)] = (name, key.start_mark.line + 1)
            found[key.value] = build(value, (*path, key.value))
        return found

    data: Any = build(root, ()) if root is not None else None
    _must_be_keys(data, name, root.start_mark.line + 1 if root is not None else 1)
    out.data = data
    return out


# TOML and JSON


def _toml(content: str, name: str) -> Text:
    try:
        import tomllib
    except ImportError:
        needed = "a config in TOML needs Python 3.11 or newer"
        raise DependencyError(needed, hint="write it in YAML", place=name) from None
    content = content.replace("\r\n", "\n")
    lines = Lines(tokens(content, name), name)
    try:
        data = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at (?:line (\d+).*|end of document)\)$", str(error))
        line = (found and found[1]) or content.count("\n") + (not content.endswith("\n"))
        said = _broken("TOML", str(error)[: found.start() if found else None])
        raise wrong(f"{name}:{line}", *said) from None
    except ValueError:  # the limit of Python's parser
        raise wrong(name, "must have numbers of at most 4300 digits", "more") from None
    lines.toml()
    return Text(data, {path: (name, line) for path, line in lines.places.items()})


def _json(content: str, name: str) -> Text:
    lines = Lines(tokens(content, name), name)
    try:
        data = json.loads(content)
    except json.JSONDecodeError as error:
        raise wrong(f"{name}:{error.lineno}", *_broken("JSON", error.msg)) from None
    except ValueError:
        raise wrong(name, "must have numbers of at most 4300 digits", "more") from None
    first = len(content) - len(content.lstrip())
    _must_be_keys(data, name, content.count("\n", 0, first) + 1)
    lines.json()
    if lines.again is not None:
        path, before, line = lines.again
        raise _twice(name, line, path, before)
    return Text(data, {path: (name, line) for path, line in lines.places.items()})


def one_line(value: str | float) -> str:
    """A string or number as YAML on one line, of any length and content.

    Examples
    --------
    >>> print(one_line("two\\nlines"), one_line("no"), one_line("plain"))
    "two\\nlines" 'no' plain
    """
    return as_yaml({"k": value}, sys.maxsize)[3:].strip()


def as_yaml(data: dict[str, Any], width: int = 110) -> str:
    """Write a configuration as YAML that reads back to the same data."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
            return super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:
            return True  # no aliases: a shared value is written twice

    def string(dumper: Any, value: str) -> Any:
        plain = value.isprintable() and scalar(value) == value and isinstance(scalar(value), str)
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')

    def number(dumper: Any, value: float) -> Any:
        if not math.isfinite(value):
            return dumper.represent_float(value)
        mantissa, e, exponent = repr(value).partition("e")
        whole = mantissa if "." in mantissa else f"{mantissa}.0"  # PyYAML would tag a float without a point
        return dumper.represent_scalar("tag:yaml.org,2002:float", whole + e + exponent)

    def listed(dumper: Any, value: list[Any]) -> Any:
        flat = all(not isinstance(v, list | dict) for v in value)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flat)

    Dumper.add_representer(str, string)
    Dumper.add_representer(float, number)
    Dumper.add_representer(list, listed)
    return str(yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=width))
