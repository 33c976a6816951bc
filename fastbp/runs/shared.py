"""Prepared rows as files that all ranks map: the first reads and prepares the table, once.

What is mapped is read where it is used, so a rank has in memory what its shards' rows need. The files stand in `.rows`
in the run's folder while it trains, so that must be where all ranks see it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.config.build import Plan
from fastbp.data.prepare import Part
from fastbp.data.recipe import Recipe
from fastbp.model import files
from fastbp.model.network import Network
from fastbp.runs.folder import ROWS
from fastbp.runs.subject import Subject, subject_of
from fastbp.spec.arrays import Scanned, largest
from fastbp.spec.catalogue import loss_of
from fastbp.spec.coded import Coded
from fastbp.train.ranks import Ranks
from fastbp.writing import naming

NETWORK = "net.safetensors"


class Shared:
    """A run's rows, for all ranks.

    Attributes
    ----------
    subject : Subject
    net : Network
        As it is drawn, the same on all.
    """

    def __init__(self, plan: Plan, folder: Path, ranks: Ranks) -> None:
        self._folder = folder / ROWS
        self._read: list[Subject] = []  # on the first rank
        said = json.loads(ranks.first(lambda: json.dumps(self._prepare(plan))))
        parts = {name: self._opened(name, one) for name, one in said["parts"].items()}
        if not self._read:
            loss = plan.loss if plan.loss is not None else loss_of(said["loss"])
            recipe = Recipe.from_data(said["recipe"])
            self.subject = Subject(plan, parts, recipe, loss, said["metrics"], said["resolved"], [])
        else:
            self.subject = self._read[0]
            for name, part in self.subject.parts.items():  # what was read is let go
                part.X, part.y, part.weight = parts[name].X, parts[name].y, parts[name].weight
        self.subject.__dict__["fingerprint"] = said["fingerprint"]
        self.net: Network = files.load(self._folder / NETWORK)
        self.net.about = {"recipe": said["recipe"]}

    def _prepare(self, plan: Plan) -> dict[str, Any]:
        """Prepare and write the rows, on the first rank; returns what others need to know."""
        subject = subject_of(plan)
        self._read.append(subject)
        net = subject.network()
        with naming(self._folder):
            self._folder.mkdir()
        with naming(self._folder / NETWORK):
            (self._folder / NETWORK).write_bytes(files.to_bytes(net))
        parts = {name: self._written(name, part) for name, part in subject.parts.items()}
        said = {"loss": subject.loss.named, "metrics": subject.metrics, "resolved": subject.resolved}
        return {**said, "parts": parts, "recipe": subject.recipe.to_data(), "fingerprint": subject.fingerprint}

    def _written(self, name: str, part: Part) -> dict[str, Any]:
        x = part.X.narrow if isinstance(part.X, Coded) else part.X
        arrays = {"X": x, "y": part.y, "weight": part.weight, "numbers": part.numbers}
        there = {key: array for key, array in arrays.items() if array is not None}
        for key, array in there.items():
            path = self._path(name, key)
            with naming(path):
                np.save(path, array)
        counts = list(part.X.counts) if isinstance(part.X, Coded) else None
        return {"arrays": list(there), "counts": counts, "largest": int(largest("X", x)) if len(x) else None}

    def _opened(self, name: str, said: dict[str, Any]) -> Part:
        found = {key: np.load(self._path(name, key), mmap_mode="r") for key in said["arrays"]}
        x = Scanned.of(found["X"], said["largest"])
        X: Any = x if said["counts"] is None else Coded(x, tuple(said["counts"]))
        return Part(X, np.asarray(found["y"]), found.get("weight"), found.get("numbers"))

    def _path(self, part: str, key: str) -> Path:
        return self._folder / f"{part}.{key}.npy"
