"""Numbers of a pack's result, computed again in plain NumPy from the outputs of its networks."""

import csv
import json

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.text import read
from fastbp.model.network import Network
from fastbp.numerics.draws import bootstrap
from fastbp.runs.entrants import entrants_of, subjects_of
from fastbp.runs.pack_scores import Rows

MEMBERS, FOLDS = 4, 3
CONFIG = """
name: weighted
seed: 5
data: {path: TABLE, target: y, split: {test: 0.2}, columns: {w: weight}}
network: {hidden: [8]}
trainer: {epochs: 3, metrics: [accuracy], monitor: MONITOR, mode: MODE, optimizer: {name: adam, lr: 0.02}}
pack: {members: 4, folds: 3, bootstrap: 0.8, space: {trainer.optimizer.lr: {log: [0.003, 0.1]}}}
"""
MONITORS = [("val_loss", "auto"), ("val_accuracy", "auto"), ("val_accuracy", "min")]


@pytest.fixture(scope="module", params=MONITORS, ids=[" ".join(one) for one in MONITORS])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weighted")
    rng = np.random.default_rng(3)
    rows = ["a,b,w,y"]
    for _ in range(240):
        a, b = rng.normal(size=2)
        s = a * b + 0.5 * a + rng.normal() / 2
        rows.append(
            f"{a:.4f},{b:.4f},{rng.exponential() ** 2:.4f},{'high' if s > 0.5 else 'low' if s < -0.2 else 'mid'}"
        )
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    monitor, mode = request.param
    (folder / "c.yaml").write_text(
        CONFIG.replace("MONITOR", monitor).replace("MODE", mode).replace("TABLE", str(folder / "t.csv"))
    )
    assert main(["train", str(folder / "c.yaml"), "-q", "--run-dir", str(folder / "run")]) == 0
    return folder


class Again:
    """The run, its rows, and what each member says of them."""

    def __init__(self, folder):
        self.result = json.loads((folder / "run" / "result.json").read_text())
        self.subjects = subjects_of(plan_of(read(str(folder / "c.yaml"))))
        self.nets = fb.load(folder / "run" / "members.safetensors").members
        with (folder / "t.csv").open() as file:
            self.table = list(csv.DictReader(file))
        self.classes = sorted({row["y"] for row in self.table})

    def rows(self, part):
        parts = [subject.parts[part].rows for subject in self.subjects]
        return np.concatenate(parts) if part == "validation" else parts[0]

    def said(self, member, part):
        found = []
        for k, subject in enumerate(self.subjects):
            z = Network.predict(self.nets[FOLDS * member + k], subject.parts[part].X).astype(np.float64)
            e = np.exp(z - z.max(axis=1, keepdims=True))
            found.append(e / e.sum(axis=1, keepdims=True))
        return np.concatenate(found) if part == "validation" else np.mean(found, axis=0)

    def scores(self, p, part):
        rows = self.rows(part)
        w = np.array([float(self.table[i]["w"]) for i in rows])
        y = np.array([self.classes.index(self.table[i]["y"]) for i in rows])
        loss = np.average(-np.log(p[np.arange(len(y)), y]), weights=w)
        return {"loss": loss, "accuracy": np.average(p.argmax(axis=1) == y, weights=w)}


def test_no_network_saw_the_rows_that_it_is_asked_for(run):
    again = Again(run)
    every = set(range(240)) - set(again.rows("test").tolist())
    assert sorted(again.rows("validation").tolist()) == sorted(every)
    for subject in again.subjects:
        train, own = (set(subject.parts[name].rows.tolist()) for name in ("train", "validation"))
        assert train | own == every
        assert not train & own


def test_each_network_has_a_bootstrap_of_its_own(run):
    plan = plan_of(read(str(run / "c.yaml")))
    found = entrants_of(plan, subjects_of(plan))
    for one in found:
        count = len(one.subject.parts["train"])
        wanted = bootstrap(count, round(0.8 * count), 5, one.of.number, one.fold)
        assert one.member.rows.tolist() == wanted.tolist()
    assert len({one.member.rows.tobytes() for one in found}) == MEMBERS * FOLDS


def test_scores_of_members_and_ensembles_are_weighted_means_over_rows(run):
    again = Again(run)
    for part in ("validation", "test"):
        said = [again.said(member, part) for member in range(MEMBERS)]
        for member, p in enumerate(said):
            assert again.result["members"][member]["metrics"][part] == pytest.approx(again.scores(p, part), rel=1e-6)
        for one in again.result["ensembles"].values():
            counts = {int(member): count for member, count in one["members"].items()}
            mean = sum(count * said[member] for member, count in counts.items()) / sum(counts.values())
            assert one["metrics"][part] == pytest.approx(again.scores(mean, part), rel=1e-6)


def test_members_are_ranked_and_chosen_by_what_is_monitored(run):
    again = Again(run)
    measure = again.result["monitor"].removeprefix("val_")
    upwards = measure == "accuracy" and "mode: min" not in (run / "c.yaml").read_text()
    sign = -1.0 if upwards else 1.0
    said = [again.said(member, "validation") for member in range(MEMBERS)]
    worths = [sign * again.scores(p, "validation")[measure] for p in said]
    assert again.result["order"] == sorted(range(MEMBERS), key=lambda member: worths[member])
    order, total, best = [], 0.0, np.inf
    while len(order) < 50:
        each = [sign * again.scores((total + p) / (len(order) + 1), "validation")[measure] for p in said]
        if not min(each) < best - 1e-12:
            break
        best = min(each)
        order.append(each.index(best))
        total = total + said[order[-1]]
    counts = {str(member): order.count(member) for member in dict.fromkeys(order)}
    assert again.result["ensembles"]["greedy"]["members"] == counts


def test_members_together_are_a_weighted_mean(run):
    again = Again(run)
    nets = {member: again.nets[FOLDS * member : FOLDS * (member + 1)] for member in range(MEMBERS)}
    rows = Rows(nets, again.subjects, range(len(again.subjects)))
    for part in ("validation", "test"):
        wanted = (2 * again.said(0, part) + 3 * again.said(3, part)) / 5
        assert rows.together({0: 2, 3: 3}, part).mean == pytest.approx(wanted, rel=1e-9)
