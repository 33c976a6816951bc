"""The temperature of a run's network or ensemble, and what it changes on each part of the rows."""

from __future__ import annotations

from typing import Any

from fastbp.data.prepare import Part
from fastbp.model.network import Network
from fastbp.runs.scores import score
from fastbp.runs.subject import Subject
from fastbp.train.temperature import TEMPERATURE, fitted

MEASURES = ["log_loss", "calibration_error"]


def temperature_of(net: Network, subject: Subject) -> float:
    """The temperature that the outputs of a network need on the validation rows."""
    part = subject.judged["validation"]
    return fitted(net.predict(part.X), part.y, subject.loss, part.weight)


def calibration_of(before: Any, after: Any, temperature: float, subject: Subject) -> dict[str, Any]:
    """Log loss and calibration error on every part, before and after."""
    return said(temperature, {name: (before, after, part) for name, part in subject.judged.items()}, subject)


def said(temperature: float, parts: dict[str, tuple[Any, Any, Part]], subject: Subject) -> dict[str, Any]:
    """As data of a result: for each part what speaks before and after, and the rows."""
    found = {}
    for name, (before, after, part) in parts.items():
        pair = [score(net, part, subject.loss, MEASURES, subject.recipe) for net in (before, after)]
        found[name] = {key: {k: one[k] for k in MEASURES} for key, one in zip(("before", "after"), pair, strict=True)}
    return {"method": TEMPERATURE, "temperature": temperature, "parts": found}
