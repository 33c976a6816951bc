"""The trials of a study as a table, ranked, and what its settings were worth."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastbp.config.space import brief_value, short_names
from fastbp.studies.folder import STATES, TOLD, Opened
from fastbp.studies.optuna_parts import optuna, quietly

ORDER = ("complete", "pruned", "running", "failed")
FEWEST = 4  # trials of which importance can be said


@dataclass
class Row:
    """A trial.

    Attributes
    ----------
    number : int
        Counted from 0.
    state : str
        "complete", "pruned", "failed" or "running".
    value : float or None
        What the study is told of it; of one that was pruned, and one that is running, the last epoch's.
    settings : dict
        What was chosen for it, by the keys of the configuration.
    metrics : dict of dict
        Of each part of the rows.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    why: str = ""

    @property
    def about(self) -> str:
        """Its settings in few characters."""
        names = short_names(self.settings)
        return " ".join(f"{names[name]} {brief_value(value)}" for name, value in self.settings.items())

    def data(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = {"trial": self.number, "state": self.state, "value": self.value}
        found |= {"settings": self.settings, "metrics": self.metrics}
        found |= {"best_epoch": self.best_epoch, "epochs": self.epochs, "seconds": self.seconds}
        return {**found, "why": self.why} if self.why else found

    def flat(self) -> dict[str, Any]:
        """As a line of a table."""
        parts = {f"{part} {name}": value for part, each in self.metrics.items() for name, value in each.items()}
        found = {"trial": self.number, "state": self.state, "value": self.value, **self.settings, **parts}
        found |= {"best_epoch": self.best_epoch, "epochs": self.epochs, "seconds": self.seconds}
        return {**found, "why": self.why} if self.why else found


def row_of(frozen: Any) -> Row:
    """A trial of Optuna."""
    told = frozen.user_attrs.get(TOLD, {})
    value = frozen.value if frozen.state.is_finished() else None
    if value is None and frozen.last_step is not None:
        value = frozen.intermediate_values[frozen.last_step]
    seconds = told.get("seconds")
    if seconds is None and frozen.duration is not None:
        seconds = frozen.duration.total_seconds()
    return Row(
        frozen.number,
        STATES[frozen.state.name],
        value,
        told.get("settings") or dict(frozen.params),
        told.get("metrics", {}),
        told.get("epochs", frozen.last_step),
        told.get("best_epoch"),
        seconds,
        told.get("why", ""),
    )


def ranked(frozen: Iterable[Any], upwards: bool) -> list[Row]:
    """Trials as rows: those with a value, the best first; then those that were pruned, are running, and failed."""

    def key(row: Row) -> tuple[Any, ...]:
        value = float("inf") if row.value is None or row.value != row.value else row.value
        by_value = (-value if upwards and value != float("inf") else value) if row.state in ORDER[:2] else 0.0
        return ORDER.index(row.state), by_value, row.number

    return sorted(map(row_of, frozen), key=key)


def importance(opened: Opened) -> dict[str, float]:
    """What each setting was worth, the most important first: Optuna's PED-ANOVA, shares that add up to 1.

    It tells how far the settings of the best tenth are from those of all (Watanabe et al., 2023). A setting that only
    some trials have is left out, and there is nothing where few trials have ended.
    """
    study, state = opened.study, optuna().trial.TrialState.COMPLETE
    trials = study.get_trials(deepcopy=False, states=(state,))
    if len(trials) < FEWEST or len({one.value for one in trials}) < 2:
        return {}
    names = [name for name in trials[0].params if all(name in one.params for one in trials)]
    names = [name for name in names if len({one.params[name] for one in trials}) > 1]
    if not names:
        return {}
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge = optuna().importance.PedAnovaImportanceEvaluator()
        found = optuna().importance.get_param_importances(study, evaluator=judge, params=names)
    return {name: float(value) for name, value in found.items()}
