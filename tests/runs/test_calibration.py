"""`trainer.calibrate`: the network of a run, or the ensemble of a pack's, has a temperature of the validation rows."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.numerics.temperature import temperature
from fastbp.runs.scores import subject_at

TRAINER = "epochs: 40, optimizer: {name: adam, lr: 0.03}, metrics: [accuracy, calibrated_log_loss]"
CONFIG = f"""
data: {{path: t.csv, target: y, split: {{validation: 0.3, test: 0.3}}}}
network: {{hidden: [64]}}
trainer: {{{TRAINER}, calibrate: temperature, monitor: val_calibrated_log_loss}}
run: {{checkpoint_seconds: 0}}
"""
PACK = f"""
data: {{path: t.csv, target: y, split: {{test: 0.3}}}}
network: {{hidden: [64]}}
trainer: {{{TRAINER}, calibrate: temperature}}
pack: {{members: 2, folds: 3, space: {{trainer.optimizer.lr: [0.03]}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(0)
    lines = ["a,b,y"]
    for _ in range(500):
        a, b = rng.normal(size=2)
        lines.append(f"{a:.4f},{b:.4f},{'yes' if a * b + 0.5 * rng.normal() > 0 else 'no'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("t.csv").write_text("\n".join(lines) + "\n")
        for name, text in (("one", CONFIG), ("plain", CONFIG.replace("calibrate: temperature, ", "")), ("pack", PACK)):
            Path(f"{name}.yaml").write_text(text)
            assert main(["train", f"{name}.yaml", "--run-dir", name, "-q"]) == 0
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def result(name):
    return json.loads(Path(name, "result.json").read_text())


def test_the_best_network_has_a_temperature_and_is_else_the_same(here):
    one, plain = fb.load("one/best.safetensors"), fb.load("plain/best.safetensors")
    assert one.flat.tobytes() == plain.flat.tobytes()
    assert Path("one/last.safetensors").read_bytes() != Path("one/best.safetensors").read_bytes()
    assert len(fb.load("one/last.safetensors").layers) == len(plain.layers) == len(one.layers) - 1
    part = subject_at("one").parts["validation"]
    T = temperature(plain.predict(part.X), part.y)
    assert one.layers[-1] == fb.Affine(factor=1.0 / T)
    assert result("one")["calibration"]["temperature"] == T
    assert result("one")["best_epoch"] == result("plain")["best_epoch"]


def test_the_result_says_what_it_changed_on_each_part(here, capsys):
    said, subject = result("one")["calibration"], subject_at("one")
    assert list(said["parts"]) == ["train", "validation", "test"]
    for at, name in (("before", "plain"), ("after", "one")):
        net = fb.load(f"{name}/best.safetensors")
        for part, rows in subject.parts.items():
            z = net.predict(rows.X)
            for measure, value in said["parts"][part][at].items():
                assert value == fb.metrics.evaluate(measure, z, rows.y, loss="cross_entropy")
    assert said["parts"]["validation"]["after"]["log_loss"] < said["parts"]["validation"]["before"]["log_loss"]
    assert result("one")["report"]["log_loss"] == said["parts"]["test"]["after"]["log_loss"]
    assert main(["train", "--resume", "one", "--set", "trainer.epochs=41"]) == 0
    out = capsys.readouterr().out
    both = result("one")["calibration"]["parts"]["test"]
    line = next(line for line in out.splitlines() if line.startswith("temperature "))
    assert line == (
        f"temperature {result('one')['calibration']['temperature']:.4g}:"
        f" log loss {both['before']['log_loss']:.4f} → {both['after']['log_loss']:.4f},"
        f" calibration error {both['before']['calibration_error']:.4f} → {both['after']['calibration_error']:.4f}"
        " on test rows"
    )


def test_commands_predict_with_it(here, capsys):
    assert main(["predict", "one", "t.csv", "--probabilities", "-o", "p.csv"]) == 0
    net = fb.load("one")
    said = net.predict("t.csv", probabilities=True)["y = yes"]
    assert float(Path("p.csv").read_text().splitlines()[1].split(",")[-1]) == pytest.approx(said[0], rel=1e-6)
    assert main(["evaluate", "one", "--json"]) == 0
    capsys.readouterr()


def test_a_run_that_is_killed_and_resumed_has_the_same_bits(here, tmp_path):
    assert main(["train", "one.yaml", "--run-dir", str(tmp_path / "a"), "-q", "--set", "trainer.epochs=15"]) == 0
    assert main(["train", "--resume", str(tmp_path / "a"), "-q", "--set", "trainer.epochs=40"]) == 0
    assert main(["train", "one.yaml", "--run-dir", str(tmp_path / "b"), "-q"]) == 0
    a, b = (fb.load(tmp_path / name / "best.safetensors") for name in "ab")
    assert a.layers == b.layers
    assert a.flat.tobytes() == b.flat.tobytes()


def test_saving_after_every_epoch_changes_nothing(here, tmp_path, monkeypatch):
    from fastbp.runs import training

    saved = []
    counted = training.temperature_of
    monkeypatch.setattr(training, "temperature_of", lambda *of: saved.append(0) or counted(*of))
    monkeypatch.setattr(training.Training, "set_due", lambda self, seconds: setattr(self, "due", 0.0))
    assert main(["train", "one.yaml", "--run-dir", str(tmp_path / "a"), "-q"]) == 0
    assert len(saved) > 2  # once for each best epoch
    assert (tmp_path / "a" / "best.safetensors").read_bytes() == Path("one/best.safetensors").read_bytes()


def test_the_ensemble_of_a_pack_has_a_temperature_behind_its_mean(here, capsys):
    said, found = result("pack")["calibration"], fb.load("pack")
    assert found.temperature == said["temperature"] != 1.0
    assert list(said["parts"]) == ["validation", "test"]
    assert said["parts"]["validation"]["after"]["log_loss"] < said["parts"]["validation"]["before"]["log_loss"]
    name = result("pack")["ensemble"]
    capsys.readouterr()
    assert main(["evaluate", "pack", "-m", "log_loss", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)["metrics"]["test"]["log_loss"]
    assert scored == pytest.approx(said["parts"]["test"]["after"]["log_loss"], rel=1e-6)
    assert result("pack")["report"]["log_loss"] == said["parts"]["test"]["after"]["log_loss"]
    loss = result("pack")["ensembles"][name]["metrics"]["test"]["loss"]
    assert loss == pytest.approx(scored, rel=1e-5)
    assert all(member.layers[-1] == fb.Linear(2) for member in found.members)
    with open("pack/out_of_fold.csv", newline="") as file:
        own = [float(row[f"predicted y = {row['y']}"]) for row in csv.DictReader(file)]
    oof = float(-np.log(own).mean())
    assert oof == pytest.approx(said["parts"]["validation"]["after"]["log_loss"], rel=1e-5)


def test_a_pack_without_folds_calibrates_its_best_network_too(here, tmp_path):
    more = ["--set", "pack.folds=null", "--set", "data.split.validation=0.3", "--run-dir", str(tmp_path / "p"), "-q"]
    assert main(["train", "pack.yaml", *more]) == 0
    best = fb.load(tmp_path / "p" / "best.safetensors")
    assert isinstance(best.layers[-1], fb.Affine)
    part = subject_at(str(tmp_path / "p")).parts["validation"]
    assert temperature(best.predict(part.X), part.y) == pytest.approx(1.0, abs=1e-5)


def test_a_pack_of_networks_with_members_has_temperatures_behind_their_means(here, tmp_path):
    more = ["--set", "pack.folds=null", "--set", "data.split.validation=0.3", "--set", "network.tabm={k: 4}"]
    assert main(["train", "pack.yaml", *more, "--run-dir", str(tmp_path / "p"), "-q"]) == 0
    best = fb.load(tmp_path / "p" / "best.safetensors")
    part = subject_at(str(tmp_path / "p")).parts["validation"]
    T = temperature(best.members[0].predict(part.X), part.y)
    assert best.temperature == pytest.approx(T, rel=1e-6)
    assert fb.load(tmp_path / "p").temperature != 1.0


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["data.target=a", "trainer.metrics=[r2]", "trainer.monitor=val_r2"],
         "`trainer.calibrate` must be null with loss `mse`, whose outputs are no probabilities, got `temperature`"),
        (["data.split={test: 0.2, validation: 0}", "trainer.monitor=loss"],
         "`trainer.calibrate` must be null where there are no validation rows, got `temperature`"),
        (["network.tabm={k: 4}"],
         "`trainer.calibrate` must be null where a network has members, but for one with `pack`, got `temperature`"),
        (["trainer.calibrate=platt"], "`trainer.calibrate` must be one of `temperature`, got `platt`"),
    ],
)  # fmt: skip
def test_what_cannot_be_calibrated_is_one_sentence(here, sets, message, capsys):
    assert main(["check", "one.yaml", *(word for one in sets for word in ("--set", one))]) == 2
    assert message in capsys.readouterr().err
