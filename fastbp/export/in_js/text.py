"""Texts of JavaScript: numbers, strings, comments, and expressions that know how strongly they hold together.

Whatever is the user's, such as the name of a class, stands in the file as a string or in a comment that neither ends
early nor ends the script of a page that holds it.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

ATOM, TIMES, PLUS, CHOICE = 3, 2, 1, 0  # how strongly an expression holds together


class Expression(NamedTuple):
    """A text, how strongly it holds together, and of a comparison the text that is true or false."""

    text: str
    level: int = ATOM
    test: str = ""

    def within(self, level: int) -> str:
        """The text where what stands around holds so strongly."""
        return self.text if self.level >= level else f"({self.text})"


def literal(value: float) -> Expression:
    """A number."""
    if math.isnan(value):
        return Expression("NaN")
    if math.isinf(value):
        return Expression("Infinity") if value > 0 else Expression("-Infinity", CHOICE)
    text = repr(float(value)).removesuffix(".0")
    return Expression(text, CHOICE if text.startswith("-") else ATOM)


def string(text: str) -> str:
    """A text as a string of JavaScript, which may stand in the script of a page."""
    return json.dumps(text).replace("<", "\\u003c").replace(">", "\\u003e")


def value(data: Any) -> str:
    """Lists, dicts, texts and numbers as JavaScript."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{string(str(key))}: {value(one)}" for key, one in data.items()) + "}"
    if isinstance(data, list | tuple):
        return "[" + ", ".join(map(value, data)) + "]"
    if data is None or isinstance(data, bool):
        return {None: "null", True: "true", False: "false"}[data]
    return string(data) if isinstance(data, str) else literal(data).text


def said(text: str) -> str:
    """A text within a comment."""
    return string(text)[1:-1].replace('\\"', '"').replace("*/", "*\\/")


def name_of(text: str, taken: set[str]) -> str:
    """A name for a variable that tells of this text, which none has that is taken; it is taken then."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", text)
    name, count = plain, 1
    while name in taken:
        count += 1
        name = f"{plain}_{count}"
    taken.add(name)
    return name


def wrapped(items: list[str], before: str, after: str, width: int = 112) -> str:
    """Items with commas between, in lines of that width."""
    lines, line = [], before
    for i, item in enumerate(items):
        piece = item + (", " if i < len(items) - 1 else "")
        if len(line) + len(piece) > width and line.strip():
            lines.append(line.rstrip())
            line = "  "
        line += piece
    return "\n".join([*lines, line + after])
