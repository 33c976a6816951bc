"""The notebook and the page about records of fits do what they show."""

import json
import re
import sys
import types
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


def programs(name):
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.S)


def test_every_cell_of_the_notebook_runs_in_order(capsys):
    notebook = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
    names = {}
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        exec(compile(cell, "notebook.ipynb", "exec"), names)
    assert len(cells) == 8
    assert names["history"].val_accuracy[-1] > 0.95
    assert (names["p"].argmax(axis=1) == names["y_test"]).mean() > 0.95
    assert names["found"].mean["val_accuracy"] > 0.9
    assert len(capsys.readouterr().err.splitlines()) == 30  # of the fit that is shown
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")


def test_the_program_for_tensorboard_makes_a_folder_for_each_fit(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    monkeypatch.chdir(tmp_path)
    (program,) = [text for text in programs("experiments.md") if "TensorBoard" in text]
    exec(compile(program, "experiments.md", "exec"), {})
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["width-16", "width-64"]


class Recorded:
    """What is called of MLflow, where it is not installed."""

    def __init__(self):
        self.params, self.metrics = {}, []

    def module(self):
        from contextlib import nullcontext

        module = types.ModuleType("mlflow")
        module.start_run = nullcontext
        module.log_params = self.params.update
        module.log_metrics = lambda metrics, step: self.metrics.append((step, metrics))
        return module


def test_the_callback_for_mlflow_logs_every_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded = Recorded()
    monkeypatch.setitem(sys.modules, "mlflow", recorded.module())
    (program,) = [text for text in programs("experiments.md") if "mlflow" in text]
    names = {}
    exec(compile(program, "experiments.md", "exec"), names)
    history = names["history"]
    assert recorded.params == {"optimizer": names["trainer"].optimizer, "batch_size": 32}
    assert [step for step, _ in recorded.metrics] == [1, 2, 3]
    for at, (_, metrics) in enumerate(recorded.metrics):
        assert metrics == {name: history[name][at] for name in ("loss", "val_loss", "val_accuracy", "lr")}
