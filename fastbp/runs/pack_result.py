"""The result of a pack's run: members compared, ensembles of them, and what they say of rows they did not see."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.model.files import to_bytes
from fastbp.model.network import Network
from fastbp.runs.pack_scores import Rows
from fastbp.runs.scores import baseline, files_of
from fastbp.train import ensemble_files
from fastbp.train.ensemble import Ensemble
from fastbp.train.greedy import SIZE, forward
from fastbp.train.judge import LOSS
from fastbp.train.temperature import with_temperature
from fastbp.train.time_limits import compared
from fastbp.writing import write_together

if TYPE_CHECKING:
    from fastbp.runs.pack_training import PackTraining, Runner

FORMAT = "fastbp-pack-result-1"
Weights = Mapping[int, float]


def finished(run: PackTraining) -> dict[str, Any]:
    """Write ensembles, out-of-fold predictions, pictures and the result to the folder."""
    folder = run.folder
    of = run.of_member()
    every = [[(bool(one.best_arrays), one.settled) for one in each] for each in of.values()]
    whole, some = compared(every, bool(run.cut) and len(run.subjects) > 1)
    members, folds = list(of), [run.runners[k].entrant.fold for k in some]
    nets = {members[i]: [of[members[i]][k].network() for k in some] for i in whole}
    rows = Rows(nets, [run.subjects[k] for k in some], folds)
    scored = dict(rows.each_scores())
    seen, measure = (
        ("validation", run.measure.removeprefix("val_")) if "validation" in rows.parts() else ("train", LOSS)
    )
    sign = -1.0 if run.upwards else 1.0
    ranks = sorted(scored, key=lambda member: (_nan_last(sign * scored[member][seen][measure]), member))
    chosen = _ensembles(run, rows, ranks, measure)
    name = "greedy" if "greedy" in chosen else "uniform"
    teller, used = rows, chosen[name]
    warm = {each: rows.temperature(weights) for each, weights in chosen.items()}
    epochs = _epochs(run)
    if epochs is not None:
        name, (teller, used) = "online", epochs
        warm[name] = teller.temperature(used)
    calibrated = run.plan.config.trainer.calibrate is not None
    behind = calibrated and nets[ranks[0]][0].graph.members is not None  # the temperature stands behind a mean
    files = {
        folder.members: _file(rows, chosen["uniform"], warm["uniform"]),
        folder.ensemble: _file(teller, used, warm[name], run),
        folder.best: _best(nets[ranks[0]][0], run, warm["best"])
        if len(run.subjects) == 1 and not behind
        else _file(rows, chosen["best"], warm["best"]),
    }
    last = rows.parts()[-1]
    report = teller.told(used, last, warm[name])
    train, part, recipe = rows.first.parts["train"], rows.part(last), rows.first.recipe
    histories = [one.history for one in run.runners]
    seconds = max(history.seconds for history in histories)
    result: dict[str, Any] = {
        "format": FORMAT,
        "run_dir": str(folder.path),
        "monitor": run.measure,
        "members": [_member(member, of[member], scored.get(member)) for member in of],
        "order": ranks,
        **({"folds": folds} if len(folds) < len(run.subjects) else {}),
        "ensembles": {
            each: {
                "members": {str(member): weight for member, weight in weights.items()},
                "metrics": rows.scores(weights, warm[each]),
            }
            for each, weights in chosen.items()
        }
        | ({} if epochs is None else {"online": {"members": _called(run), "metrics": teller.scores(used, warm[name])}}),
        "ensemble": name,
        "stopped": run.cut,
        **({"calibration": teller.calibration(used, warm[name])} if calibrated else {}),
        "baseline": baseline(train, part, sum(rows.widths), rows.first.loss, rows.first.metrics, recipe),
        "report": {"part": last, **report},
        "steps": sum(history.steps for history in histories),
        "seconds": seconds,
        "samples_per_second": sum(history.samples for history in histories) / seconds if seconds else 0.0,
    }
    if rows.folds:
        files[folder.out_of_fold] = _out_of_fold(rows, used, warm[name]).encode()
    write_together(files)
    for name, text in files_of(result["report"], last).items():
        folder.write(folder.path / name, text)
    folder.write(folder.result, json.dumps(result, indent=2) + "\n")
    return result


def _nan_last(value: float) -> float:
    return value if value == value else float("inf")


def _ensembles(run: PackTraining, rows: Rows, ranks: list[int], measure: str) -> dict[str, Weights]:
    """Members and weights of the best one, of all, and where there are validation rows of the greedy choice."""
    found: dict[str, Weights] = {"best": {ranks[0]: 1}, "uniform": dict.fromkeys(sorted(ranks), 1)}
    if "validation" in rows.parts() and len(ranks) > 1:
        judge = rows.judge(measure)
        judge.upwards = run.upwards
        members = sorted(ranks)
        said = [judge.ready([rows.said(member, "validation")]) for member in members]
        order, _ = forward(said, judge, SIZE, True, True)
        if order:
            counts = Counter(members[i] for i in order)
            found["greedy"] = {member: counts[member] for member in dict.fromkeys(members[i] for i in order)}
    return found


def _epochs(run: PackTraining) -> tuple[Rows, Weights] | None:
    """The ensemble of epochs that was chosen meanwhile: its networks, each a member of its own."""
    if run.online is None or not run.online.best:
        return None
    nets = {i: [one.kept] for i, one in enumerate(run.online.best) if one.kept is not None}
    return Rows(nets, run.subjects, [None]), dict.fromkeys(nets, 1)


def _called(run: PackTraining) -> dict[str, int]:
    """The epochs of that ensemble."""
    assert run.online is not None
    return {f"{one.member} epoch {one.epoch}": 1 for one in run.online.best}


def _best(net: Network, run: PackTraining, temperature: float) -> bytes:
    """The file of a network, with its temperature if it is to have one: behind the mean, if it has members."""
    if run.plan.config.trainer.calibrate is None:
        return to_bytes(net)
    if net.graph.members is not None:
        alone = Ensemble.of([net], np.ones(1), run.subjects[0].loss, temperature=temperature)
        return ensemble_files.to_bytes(alone)
    return to_bytes(with_temperature(net, temperature))


def _file(rows: Rows, weights: Weights, temperature: float, run: PackTraining | None = None) -> bytes:
    """The file of an ensemble; of epochs, if the run chose some."""
    pairs = [(net, weight) for member, weight in weights.items() for net in rows.each[member]]
    nets, each = [net for net, _ in pairs], np.array([weight for _, weight in pairs], np.float64)
    online = run.online if run is not None and run.online is not None and run.online.best else None
    words: Any = {"chosen": [one.name for one in online.best], "scores": online.scores} if online else {}
    return ensemble_files.to_bytes(Ensemble.of(nets, each, rows.first.loss, temperature=temperature, **words))


def _member(number: int, every: list[Runner], metrics: Any) -> dict[str, Any]:
    """What there is to say of a member."""
    first = every[0].entrant
    networks = []
    for one in every:
        history, named = one.history, {"fold": one.entrant.fold} if one.entrant.fold is not None else {}
        at = {"best_epoch": one.best["epoch"], "best": one.best["value"], "epochs": len(history.loss)}
        networks.append({**named, **at, "steps": history.steps, "stopped": history.stopped})
    settings = {"seed": first.of.plan.config.seed, **first.of.drawn}
    return {"member": number, "settings": settings, "networks": networks, "metrics": metrics}


def _out_of_fold(rows: Rows, weights: Weights, temperature: float) -> str:
    """The out-of-fold predictions as CSV, in the order of the table."""
    part, recipe = rows.part("validation"), rows.first.recipe
    outputs = recipe.outputs
    numbers = part.rows if part.rows is not None else np.arange(len(part))
    if outputs.task == "classes":
        true = {outputs.columns[0]: [outputs.names[i] if i >= 0 else "" for i in part.y.tolist()]}
    else:
        values = part.numbers if part.numbers is not None else part.y.astype(np.int64)
        true = {name: values[:, i].tolist() for i, name in enumerate(outputs.columns)}
    said = rows.predictions(weights, temperature)
    columns = {
        "row": numbers.tolist(),
        "fold": rows.fold_of().tolist(),
        **true,
        **{f"predicted {name}": values.tolist() for name, values in said.items()},
    }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    table = list(zip(*columns.values(), strict=True))
    writer.writerows(table[i] for i in np.argsort(numbers, kind="stable"))
    return out.getvalue()
