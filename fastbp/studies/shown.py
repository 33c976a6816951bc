"""A study as it is shown: ranked trials, what settings were worth, and the Optuna study under it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from fastbp.config.build import plan_of
from fastbp.config.search import search_of
from fastbp.config.space import short_names
from fastbp.config.text import Text, as_yaml, read
from fastbp.errors import CheckpointError, ConfigError, DataError, visible
from fastbp.pictures.bars import Bar, bars
from fastbp.runs.folder import table
from fastbp.studies.folder import Opened, StudyFolder
from fastbp.studies.optuna_parts import quietly
from fastbp.studies.sweeping import measure_of
from fastbp.studies.table import Row, importance, ranked
from fastbp.writing import whole, write_together


class Study:
    """The trials of a sweep.

    As a sequence it has a dict for each trial, the best first, so ``pandas.DataFrame(study)`` is a table.

    Attributes
    ----------
    folder : StudyFolder
    optuna : optuna.Study
    rows : list of Row
        The trials, the best first.
    """

    def __init__(self, opened: Opened, measure: str = "value") -> None:
        self._opened, self.measure = opened, measure
        self.folder, self.optuna = opened.folder, opened.study
        self.rows: list[Row] = ranked(opened.frozen(), opened.upwards)

    @property
    def best(self) -> Row:
        """The best trial."""
        if not self.rows or self.rows[0].state != "complete":
            raise DataError("a study must have a trial that is complete, to have a best one")
        return self.rows[0]

    @property
    def best_value(self) -> float:
        """Its value."""
        value = self.best.value
        assert value is not None
        return value

    @property
    def best_settings(self) -> dict[str, Any]:
        """What was chosen for it, by the keys of the configuration."""
        return self.best.settings

    @property
    def best_run(self) -> Path | None:
        """The folder of its run, which `fb.load` takes, if it was kept."""
        found = self.folder.run(self.best.number)
        return found if found.is_dir() else None

    @cached_property
    def importance(self) -> dict[str, float]:
        """What each setting was worth: shares that add up to 1, the largest first."""
        return importance(self._opened)

    def data(self) -> dict[str, Any]:
        """As JSON."""
        trials = [row.data() for row in self.rows]
        said = {"folder": str(self.folder.path), "measure": self.measure, "upwards": self._opened.upwards}
        return {**said, "importance": self.importance, "trials": trials}

    def draw(self) -> Path | None:
        """Write the picture of importance to the study's folder, if there is something to draw."""
        if not self.importance:
            return None
        names = short_names(self.importance)
        panel = [Bar(names[name], value) for name, value in self.importance.items()]
        picture = bars(f"What settings were worth in {self.folder.path.name}", [panel], ["importance"])
        write_together({self.folder.importance: str(picture).encode()}, lasting=False)
        return self.folder.importance

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([row.flat() for row in self.rows])

    def __repr__(self) -> str:
        if not self.rows or self.rows[0].state != "complete":
            return f"Study(trials={len(self)})"
        return f"Study(trials={len(self)}, best {self.measure}={self.best_value:.6g} of trial {self.best.number})"


def study_at(path: str) -> Study:
    """The study in a folder."""
    folder = StudyFolder(path)
    if not folder.journal.is_file():
        raise CheckpointError(path, "must be the folder of a sweep, but has no `journal.log`")
    with quietly():
        return Study(Opened(folder), _measure(folder))


def _measure(folder: StudyFolder) -> str:
    """What its trials are compared by."""
    if not folder.config.is_file():
        return "value"
    return measure_of(plan_of(read(folder.config)))


def best_configuration(study: Study) -> Text:
    """The configuration of the best trial, as `fastbp train` takes it."""
    folder = study.folder
    if not folder.config.is_file():
        raise CheckpointError(folder.path, "must be a sweep of a configuration, to have that of its best trial")
    return search_of(plan_of(read(folder.config)), probe=False).space.configuration(study.best_settings)


def save(study: Study, path: str) -> None:
    """Write all trials to a .csv or .json file, or the configuration of the best to a .yaml file."""
    ending = Path(path).suffix
    if ending in (".yaml", ".yml"):
        content = as_yaml(best_configuration(study).data)
    elif ending == ".json":
        content = json.dumps(study.data(), indent=2) + "\n"
    elif ending == ".csv":
        rows = list(study)
        settings = [{"trial": 0, "state": "", "value": None, **dict.fromkeys(row.settings)} for row in study.rows]
        names = list(dict.fromkeys(name for row in [*sorted(settings, key=len, reverse=True), *rows] for name in row))
        content = table([{name: row.get(name) for name in names} for row in rows])
    else:
        raise ConfigError("--output", "must end in .csv, .json or .yaml", f"`{visible(path)}`")
    with whole(path) as file:
        file.write(content.encode())
