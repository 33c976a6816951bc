"""Line numbers of keys in TOML and JSON files; the standard parsers do not report them.

Files are tokenised a second time, for positions only; values come from the parsers.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from fastbp.errors import ConfigError

Path_ = tuple[str | int, ...]

DEEPEST = 32
MOST_TOKENS = 300_000  # keys, values and punctuation

_TOKEN = re.compile(
    r"""
      (?P<text> \"{3}(?:[^\\]|\\.)*?(?:\"{3,5}|\Z) | '{3}.*?(?:'{3,5}|\Z) | \"(?:[^\"\\\n]|\\.)*\"? | '[^'\n]*'? )
    | (?P<note> \#[^\n]* )
    | (?P<line> \n )
    | (?P<sign> [][{}=:,.] )
    | (?P<word> [^][{}=:,.\s\"'#]+ )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A token and its line, counted from 1."""

    kind: str
    text: str
    line: int


def tokens(content: str, name: str) -> list[Token]:
    """The tokens of a TOML or JSON file; refuses deep nesting before a parser sees it."""
    out: list[Token] = []
    line, depth, dots = 1, 0, 0
    for found in _TOKEN.finditer(content):
        kind, text = found.lastgroup or "", found[0]
        if kind != "note":
            out.append(Token(kind, text, line))
        line += text.count("\n")
        depth += (text in ("[", "{")) - (text in ("]", "}"))
        dots = 0 if text in ("=", ",", "\n") else dots + (text == ".")  # of a key in TOML
        if max(depth, dots) > DEEPEST:
            raise too_deep(name, line)
        if len(out) > MOST_TOKENS:
            raise wrong(f"{name}:{line}", "must have at most 100000 keys and values", "more")
    return out


def too_deep(name: str, line: int) -> ConfigError:
    """The error for a value nested too deep."""
    return wrong(f"{name}:{line}", f"must be nested at most {DEEPEST} deep", "more")


def wrong(place: str, must: str, got: str | None = None) -> ConfigError:
    """The error for a file as a whole."""
    return ConfigError(f"a config {must}", got=got, place=place)


class Lines:
    """Walks over the tokens of a valid file; `places` maps every path to its line."""

    def __init__(self, found: list[Token], name: str) -> None:
        self.tokens, self.name, self.at = [*found, Token("end", "", 1)], name, 0
        self.places: dict[Path_, int] = {(): 1}
        self.again: tuple[Path_, int, int] | None = None  # duplicate key in JSON: path, first line, second line

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    def skip(self, *texts: str) -> None:
        while self.now.text in texts and self.now.kind != "end":
            self.at += 1

    def json(self) -> None:
        """A JSON file."""
        self.skip("\n")
        self.value(())

    def toml(self) -> None:
        """A TOML file: keys with values, below headers."""
        table: Path_ = ()
        last: dict[Path_, int] = {}  # [[tables]] so far
        self.skip("\n")
        while self.now.kind != "end":
            if self.now.text == "[" and self.now.kind == "sign":
                line, many = self.now.line, self.tokens[self.at + 1].text == "["
                self.skip("[")
                keys = self.keys()
                self.skip("]")
                table = ()
                for i, key in enumerate(keys):
                    table = self.place((*table, key), line)
                    if many and i == len(keys) - 1:
                        last[table] = last.get(table, -1) + 1
                    if table in last:
                        table = self.place((*table, last[table]), line)
            else:
                self.pair(table)
            self.skip("\n")

    def pair(self, table: Path_) -> None:
        """A key, perhaps dotted, and its value."""
        line = self.now.line
        for key in self.keys():
            table = self.place((*table, key), line)
        self.skip("=", "\n")
        self.value(table)

    def place(self, path: Path_, line: int) -> Path_:
        if len(path) > DEEPEST:
            raise too_deep(self.name, line)
        self.places.setdefault(path, line)
        return path

    def keys(self) -> list[str]:
        """The parts of a key."""
        out = []
        while self.now.kind in ("text", "word") or self.now.text == ".":
            if self.now.text != ".":
                out.append(_plain(self.now.text))
            self.at += 1
        return out

    def value(self, path: Path_) -> None:
        """The value of a key."""
        opened = self.now.text if self.now.kind == "sign" else ""
        if opened in ("[", "{") and len(path) >= DEEPEST:
            raise too_deep(self.name, self.now.line)
        if opened == "[":
            self.at += 1
            count = 0
            self.skip("\n", ",")
            while self.now.text != "]" and self.now.kind != "end":
                self.value(self.place((*path, count), self.now.line))
                count += 1
                self.skip("\n", ",")
            self.at += 1
        elif opened == "{":
            self.at += 1
            self.skip("\n", ",")
            while self.now.text != "}" and self.now.kind != "end":
                self.member(path)
                self.skip("\n", ",")
            self.at += 1
        else:
            while self.now.kind not in ("line", "end") and self.now.text not in (",", "]", "}"):
                self.at += 1

    def member(self, path: Path_) -> None:
        """A key of a map in braces and its value."""
        if self.now.kind == "text" and self.tokens[self.at + 1].text != "=":
            following = self.at + 1
            while self.tokens[following].kind == "line":
                following += 1
            if self.tokens[following].text == ":":
                key, line = (*path, json.loads(self.now.text, strict=False)), self.now.line
                if key in self.places and self.again is None:
                    self.again = key, self.places[key], line
                self.at += 1
                self.skip("\n", ":")
                self.value(self.place(key, line))
                return
        self.pair(path)


def _plain(text: str) -> str:
    """A key of TOML without its quotes."""
    if text[0] == "'":
        return text[1:-1]
    if text[0] == '"':
        import tomllib

        return next(iter(tomllib.loads(f"{text} = 0")))
    return text
