"""What an evaluation says, as text: scores of every part, and the report of one of them."""

from __future__ import annotations

from typing import Any

from fastbp.cli.output import table
from fastbp.pictures.page import short

MOST = 20  # classes that are shown where little is to be said
LONGEST = 24  # characters of a class beside a table
LABELS = {"roc_auc": "ROC AUC", "average_precision": "average precision", "f1": "F1", "brier": "Brier score"}
CALIBRATED = {"log_loss": "log loss", "calibration_error": "calibration error"}
SCORES = ("precision", "recall", "f1")


def scores(metrics: dict[str, dict[str, float]], baseline: dict[str, float] | None = None) -> str:
    """A row for each part, and one for what says the same of every row."""
    from fastbp.train.progress import number

    rows = {**metrics, **({"baseline": baseline} if baseline else {})}
    names = list(next(iter(metrics.values())))
    return table([["", *names], *([part, *(number(found[name]) for name in names)] for part, found in rows.items())])


def paragraphs(report: dict[str, Any], width: int, part: str = "", whole: bool = True) -> str:
    """A report as tables; where it need not be `whole`, those that are short enough."""
    rows = f"{part} rows" if part else "rows"
    head = f"{report['rows']:,} {rows}"
    if report["task"] == "numbers":
        named = ("rmse", "mae", "median_error", "r2")
        each = [[_cut(c["name"]), *(amount(c[n]) for n in named[:-1]), _said(c["r2"])] for c in report["columns"]]
        return table([[head, *named], *each])
    found = []
    if whole or len(report["each"]) <= MOST:
        found.append(_classes(report, head))
    if report.get("confusion") and (whole or len(report["confusion"]) <= MOST):
        matrix = _matrix(report)
        fits = max(map(len, matrix.splitlines())) <= width
        found.append(matrix if fits else _mistakes(report))
    elif report.get("mistakes"):
        found.append(_mistakes(report))
    lines = []
    if "binary" in report:
        said = {name: value for name, value in report["binary"].items() if name != "positive"}
        lines.append(f"`{_cut(report['binary']['positive'])}` as the positive class: {_listed(said)}")
    if "brier" in report:
        lines.append(
            _listed({"log loss": report["log_loss"], "brier": report["brier"]})
            + f", calibration error {_said(report['calibration_error'])}"
        )
    if lines:
        found.append("\n".join(lines))
    if whole and "calibration" in report:
        found.append(_calibration(report["calibration"]))
    return "\n\n".join(found)


def calibrated(found: dict[str, Any], part: str) -> str:
    """What a temperature has changed on the rows of a part."""
    both = found["parts"][part]
    pairs = [
        f"{label} {_said(both['before'][name])} → {_said(both['after'][name])}" for name, label in CALIBRATED.items()
    ]
    return f"temperature {found['temperature']:.4g}: {', '.join(pairs)} on {part} rows"


def _cut(name: str) -> str:
    return short(name, LONGEST)


def _said(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.3e}"


def amount(value: float, least: float = 0.01) -> str:
    """A number in units of its own, of which four places say nothing where it is small."""
    return _said(value) if value == 0.0 or abs(value) >= least else f"{value:.3e}"


def _rows(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _listed(values: dict[str, float | None]) -> str:
    return ", ".join(f"{LABELS.get(name, name)} {_said(value)}" for name, value in values.items())


def _classes(report: dict[str, Any], head: str) -> str:
    areas = [name for name in ("roc_auc", "average_precision") if name in report["each"][0]]
    rows = [[head, *(LABELS.get(name, name) for name in (*SCORES, *areas)), "support"]]
    for row in report["each"]:
        rows.append([_cut(row["name"]), *(_said(row[name]) for name in (*SCORES, *areas)), _rows(row["support"])])
    for name, means in report["averages"].items():
        rows.append([f"{name} mean", *(_said(means[score]) for score in SCORES), *("" for _ in areas), ""])
    return table(rows)


def _matrix(report: dict[str, Any]) -> str:
    names = [row["name"] for row in report["each"]]
    rows = [["true \\ predicted", *(short(name, 10) for name in names)]]
    for name, counts in zip(names, report["confusion"], strict=True):
        rows.append([_cut(name), *(_rows(count) if count else "." for count in counts)])
    return table(rows)


def _mistakes(report: dict[str, Any]) -> str:
    if not report["mistakes"]:
        return "no row is taken for one of another class"
    pairs = [[_cut(m["class"]), _cut(m["taken_for"]), _rows(m["rows"])] for m in report["mistakes"]]
    return table([["most often", "taken for", "rows"], *pairs])


def _calibration(found: dict[str, Any]) -> str:
    rows = [[f"probability of {_cut(found['of'])}", "rows", "mean", "came true"]]
    for b in found["bins"]:
        rows.append([f"{b['low']:.2g} to {b['high']:.2g}", _rows(b["rows"]), _said(b["predicted"]), _said(b["actual"])])
    return table(rows)
