"""Exported pages, opened by Chromium where there is one, without a window."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "google-chrome", "chromium-browser") if (found := shutil.which(name))), ""
)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
WATCH = "<script>window.onerror = (message) => { document.documentElement.dataset.error = message; };</script>"
VOID = {"meta", "input", "br", "img", "line", "circle", "polyline"}


class Element:
    """An element of a page as it was when all had run."""

    def __init__(self, kind: str, attributes: dict[str, str | None]) -> None:
        self.kind, self.attributes = kind, attributes
        self.children: list[Element] = []
        self._texts: list[Any] = []

    def add(self, one: Any) -> None:
        self._texts.append(one)
        if isinstance(one, Element):
            self.children.append(one)

    @property
    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text for one in self._texts)

    def all(self, kind: str = "") -> list[Element]:
        """Those below it, of a kind."""
        found = []
        for child in self.children:
            found += [child] if kind in ("", child.kind) else []
            found += child.all(kind)
        return found

    def one(self, name: str) -> Element:
        """The element below it of this id."""
        (found,) = (one for one in self.all() if one.attributes.get("id") == name)
        return found


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.top = Element("", {})
        self._open = [self.top]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        made = Element(tag, dict(attrs))
        self._open[-1].add(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self._open[-1].add(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if any(one.kind == tag for one in self._open):
            while self._open.pop().kind != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._open[-1].add(data)


def opened(file: Path, then: str = "") -> Element:
    """The page after it was opened, and after a script that runs behind its own."""
    text = file.read_text()
    assert "<head>" in text
    before, after = text.rsplit("</body>", 1)
    later = f"<script>{then}\ndraw();</script>" if then else ""  # a browser without a window may have no frames
    changed = file.with_name(f"opened-{file.name}")
    changed.write_text(before.replace("<head>", f"<head>{WATCH}", 1) + later + "</body>" + after)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run(
        [CHROMIUM, *options, changed.resolve().as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    tree = _Tree()
    tree.feed(done.stdout)
    (root,) = tree.top.all("html")
    assert "data-error" not in root.attributes, root.attributes["data-error"]
    return root
