"""Rivals as they are asked for from here: in processes of an environment that has them."""

from __future__ import annotations

import json
from functools import cache as once
from pathlib import Path

from bench.tabular import places

HERE = Path(__file__).resolve().parent
NEEDS = {
    **dict.fromkeys(("lightgbm", "catboost", "sklearn"), "its package"),
    **dict.fromkeys(("pytabkit-realmlp", "pytabkit-tabm"), "pytabkit and PyTorch"),
}
NAMES = tuple(NEEDS)


@once
def version(rival: str, python: Path | None) -> str:
    """The version of a rival's package; empty where there is none."""
    return places.called(_python(rival, python), HERE / "rivals.py", "version", rival, folder=HERE).strip()


def trained(folder: Path, rival: str, seed: int, python: Path | None) -> dict[str, float]:
    """What one training is measured to be."""
    printed = places.called(_python(rival, python), HERE / "rivals.py", folder, rival, str(seed), folder=HERE)
    found: dict[str, float] = json.loads(printed.strip().splitlines()[-1])
    return found


def _python(rival: str, given: Path | None) -> Path:
    return given if given is not None and rival in ("pytabkit-realmlp", "pytabkit-tabm") else places.environment()
