"""What commands print of a pack's run."""

from __future__ import annotations

import shutil
from typing import Any

from fastbp.cli.output import table
from fastbp.cli.report import calibrated, paragraphs

SHOWN = 10  # members, at most


def summary(result: dict[str, Any], told: bool = True, shown: int = SHOWN) -> str:
    """Members with their settings, the best first; ensembles beside the best one and the baseline."""
    from fastbp.errors import escaped
    from fastbp.train.progress import clock, rate

    lines = [members(result, shown), "", ensembles(result), ""]
    if told:
        width = shutil.get_terminal_size((100, 24)).columns
        lines += [paragraphs(result["report"], width, result["report"]["part"], whole=False), ""]
    if "calibration" in result:
        lines.append(calibrated(result["calibration"], result["report"]["part"]))
    speed = f"{rate(result['samples_per_second'])} rows/s"
    lines.append(f"{clock(result['seconds'])} for {result['steps']:,} steps, {speed}")
    if result.get("stopped"):
        again = f"`fastbp train --resume {result['run_dir']}` goes on"
        lines.append(escaped(f"stopped as {result['stopped']}; {again}"))
    lines.append(escaped(f"run folder {result['run_dir']}"))
    return "\n".join(lines)


def members(result: dict[str, Any], shown: int = SHOWN) -> str:
    """A row for each of the best members: its scores, its best epoch, and what was drawn for it."""
    from fastbp.config.space import brief_value, short_names
    from fastbp.train.progress import number

    of = {one["member"]: one for one in result["members"]}
    drawn = [name for name in result["members"][0]["settings"] if name != "seed"]
    first = of[result["order"][0]]["metrics"]
    parts = [part for part in first if part != "train" or len(first) == 1]
    heads = [f"{part} {name}" for part in parts for name in first[part]]
    rows = [["member", *heads, "best epoch", *short_names(drawn).values()]]
    for at in result["order"][:shown]:
        one = of[at]
        scores = [number(value) for part in parts for value in one["metrics"][part].values()]
        used = result.get("folds")
        epochs = [each["best_epoch"] for each in one["networks"] if used is None or each["fold"] in used]
        best = str(epochs[0]) if min(epochs) == max(epochs) else f"{min(epochs)} to {max(epochs)}"
        rows.append([str(at), *scores, best, *(brief_value(one["settings"][name]) for name in drawn)])
    left = len(result["order"]) - shown
    out = [at for at in of if at not in result["order"]]
    lost = [at for at in out if any(network["stopped"] for network in of[at]["networks"])]
    late = [at for at in out if at not in lost and not any(network["epochs"] for network in of[at]["networks"])]
    some = [at for at in out if at not in (*lost, *late)]
    more = [f"and {left:,} more"] if left > 0 else []
    for said, which in (
        ("without an epoch that stayed finite", lost),
        ("not trained on all folds yet", some),
        ("not trained for an epoch yet", late),
    ):
        more += [f"{said}: {', '.join(map(str, which))}"] if which else []
    if "folds" in result:
        used = result["folds"]
        said = f"folds {', '.join(map(str, used[:-1]))} and {used[-1]}" if len(used) > 1 else f"fold {used[0]}"
        more.append(f"of {said} only, as no member was trained to its end on all")
    return "\n".join([table(rows), *more])


def ensembles(result: dict[str, Any]) -> str:
    """A row for the best member and for each ensemble."""
    from fastbp.train.progress import number

    found = result["ensembles"]
    parts = [part for part in found["best"]["metrics"] if part != "train" or len(found["best"]["metrics"]) == 1]
    heads = [f"{part} {name}" for part in parts for name in found["best"]["metrics"][part]]
    rows = [["", "members", *heads]]
    for name, one in found.items():
        called = f"member {next(iter(one['members']))}" if name == "best" else f"{name} ensemble"
        scores = [number(value) for part in parts for value in one["metrics"][part].values()]
        rows.append([called, str(len(one["members"])), *scores])
    last, said = parts[-1], result["baseline"]
    blank = ["" for part in parts[:-1] for _ in found["best"]["metrics"][part]]
    rows.append(["baseline", "", *blank, *(number(said[name]) for name in found["best"]["metrics"][last])])
    return table(rows)


def standings(rows: list[dict[str, Any]], measure: str, upwards: bool) -> str:
    """A row for each network of a run that has not ended: its last epoch, and its best one."""
    from fastbp.train.progress import number

    of: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    for row in rows:
        of.setdefault(tuple(row[name] for name in ("member", "fold") if name in row), []).append(row)
    sign = -1.0 if upwards else 1.0
    found = []
    for key, own in of.items():
        known = [row for row in own if row.get(measure) is not None]
        best = min(known, key=lambda row: sign * row[measure], default=None)
        found.append((float("inf") if best is None else sign * best[measure], key, len(own), best))
    heads = ["member", "fold"][: len(found[0][1])]
    table_of = [[*heads, "epochs", f"best {measure}", "at"]]
    for _, key, count, best in sorted(found, key=lambda one: one[:2]):
        values = ["-", "-"] if best is None else [number(best[measure]), str(best["epoch"])]
        table_of.append([*map(str, key), str(count), *values])
    return table(table_of)
