"""What was measured, kept in the cache: a file for each model, set and seed, with what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import Any

import fastbp
from bench.tabular import places


@once
def of_ours() -> str:
    """A digest of all files of the package."""
    found = hashlib.sha256()
    folder = Path(fastbp.__file__).parent
    for file in sorted(folder.rglob("*.py")):
        found.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
    return found.hexdigest()[:16]


def kept(model: str, name: str, seed: int, depends: str, measure: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """What was measured, or is now, of a model whose version or digest is `depends`."""
    file = places.cache() / "results" / model / f"{name}-{seed}.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        if found["of"] == depends:
            return found
    found = {"of": depends, **measure()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found))
    return found
