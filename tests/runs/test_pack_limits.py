"""Runs with `pack` whose time is up: what there was then is what they end with."""

import csv
import io
import json

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.pack import configuration
from fastbp.config.text import as_yaml, read
from fastbp.runs.pack_training import PackTraining

FOLDS = """
data: {source: friedman, rows: 600, noise: 1.0, split: {test: 0.2}}
network: {hidden: [12]}
trainer: {epochs: 6, threads: 2, optimizer: {name: adam, lr: 0.01}, metrics: [r2]}
pack: {members: 3, folds: 4, undrawn: 1, space: {trainer.optimizer.lr: [0.001, 0.02]}}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without a limit."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "c.yaml").write_text(FOLDS)
    assert main(["train", str(folder / "c.yaml"), "-q", "--run-dir", str(folder / "whole")]) == 0
    return folder


def cut(folder, out, monkeypatch, enough):
    """The result of a run that ends as soon as there is enough of the networks, behind one region or another."""

    def between(self, before=PackTraining._between):
        if enough(self.runners):
            self.plan.time_limit = 1e-9
        before(self)

    with monkeypatch.context() as patched:
        patched.setattr(PackTraining, "_between", between)
        assert main(["train", str(folder / "c.yaml"), "-q", "--run-dir", str(out), "--time-limit", "1h"]) == 0
    return json.loads((out / "result.json").read_text())


def alone(folder, member, fold):
    """The best network of a member on a fold, as it is trained alone."""
    config = folder / f"{member}-{fold}.yaml"
    if not config.exists():
        config.write_text(as_yaml(configuration(plan_of(read(folder / "c.yaml")), member, fold)))
        assert main(["train", str(config), "-q", "--run-dir", str(folder / f"run-{member}-{fold}")]) == 0
    return fb.load(folder / f"run-{member}-{fold}" / "best.safetensors")


def test_a_limit_that_is_over_at_once_leaves_an_epoch_of_the_first_network(whole, tmp_path, capsys):
    assert main(["train", str(whole / "c.yaml"), "-q", "--run-dir", str(tmp_path / "r"), "--time-limit", "0.001"]) == 0
    out = capsys.readouterr().out
    assert "of fold 0 only, as no member was trained to its end on all\n" in out
    assert "stopped as the time limit of 0.001 seconds is reached" in out
    assert "not trained on all folds yet" not in out
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    epochs = [network["epochs"] for one in result["members"] for network in one["networks"]]
    assert epochs[0] >= 1
    assert not any(epochs[1:])  # all threads trained the first one
    assert result["folds"] == [0]
    assert len(fb.load(tmp_path / "r").members) == 1
    assert main(["train", "--resume", str(tmp_path / "r"), "-q"]) == 0
    again = json.loads((tmp_path / "r" / "result.json").read_text())
    assert "folds" not in again
    assert again["ensembles"] == json.loads((whole / "whole" / "result.json").read_text())["ensembles"]


@pytest.mark.parametrize("count", [1, 3])
def test_until_a_member_has_settled_on_all_folds_those_that_have_are_the_result(
    count, whole, tmp_path, monkeypatch, capsys
):
    def enough(runners):
        """One more has an epoch, with which it would be worse."""
        settled = [one for one in runners if one.settled]
        return len(settled) >= count and any(one.best_arrays and not one.settled for one in runners)

    result = cut(whole, tmp_path / "r", monkeypatch, enough)
    folds = result["folds"]
    done = [network["fold"] for network in result["members"][0]["networks"] if network["epochs"] == 6]
    assert folds == done
    assert count <= len(folds) < 4
    assert (result["order"], result["ensemble"]) == ([0], "uniform")
    found = fb.load(tmp_path / "r")
    assert [net.flat.tobytes() for net in found.members] == [alone(whole, 0, k).flat.tobytes() for k in folds]
    heads, *rows = csv.reader(io.StringIO((tmp_path / "r" / "out_of_fold.csv").read_text()))
    assert heads[:2] == ["row", "fold"]
    assert {int(fold) for _, fold, _, _ in rows} == set(folds)
    y, z = (np.array([float(row[i]) for row in rows]) for i in (2, 3))
    r2 = 1.0 - ((y - z) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert result["members"][0]["metrics"]["validation"]["r2"] == pytest.approx(r2, rel=1e-6)
    said = f"of fold{'s' if len(folds) > 1 else ''} {' and '.join(', '.join(map(str, folds)).rsplit(', ', 1))} only"
    assert said in capsys.readouterr().out


def test_once_a_member_has_settled_what_is_chosen_is_no_worse(whole, tmp_path, monkeypatch, capsys):
    def enough(runners):
        return all(one.settled for one in runners[:4]) and all(one.best_arrays for one in runners[4:8])

    result = cut(whole, tmp_path / "r", monkeypatch, enough)
    assert "folds" not in result
    first = result["members"][0]["metrics"]["validation"]["loss"]
    full = json.loads((whole / "whole" / "result.json").read_text())
    assert first == full["members"][0]["metrics"]["validation"]["loss"]
    assert result["ensembles"][result["ensemble"]]["metrics"]["validation"]["loss"] <= first
    assert "trained to its end" not in capsys.readouterr().out


def test_members_of_which_nothing_is_drawn_are_the_configuration_itself(whole):
    plan = plan_of(read(whole / "c.yaml"))
    own = configuration(plan, 0)
    assert (own["trainer"], own["network"], own["seed"]) == (plan.text.data["trainer"], plan.text.data["network"], 0)
    assert configuration(plan, 1)["trainer"]["optimizer"]["lr"] in (0.001, 0.02)
    result = json.loads((whole / "whole" / "result.json").read_text())
    assert result["members"][0]["settings"] == {"seed": 0, "trainer.optimizer.lr": 0.01}


def test_more_such_members_than_there_are_are_refused(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(FOLDS.replace("undrawn: 1", "undrawn: 4"))
    assert main(["check", str(tmp_path / "c.yaml")]) == 2
    assert capsys.readouterr().err == (
        f"fastbp: {tmp_path}/c.yaml:5: `pack.undrawn` must be at most 3, the members, got `4`\n"
    )
