"""Files of a run that are not as a run writes them: one sentence, whatever is in them."""

import json
from pathlib import Path

import pytest

from fastbp.cli.main import main

CONFIG = "data: {source: moons, rows: 60}\nnetwork: {hidden: [4]}\ntrainer: {epochs: 3}\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    (folder / "c.yaml").write_text(CONFIG)
    assert main(["train", str(folder / "c.yaml"), "--run-dir", str(folder / "run"), "-q"]) == 0
    return folder / "run"


@pytest.fixture
def run(written, tmp_path, monkeypatch, capsys):
    """A copy of a run."""
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    for file in written.iterdir():
        (Path("run") / file.name).write_bytes(file.read_bytes())
    capsys.readouterr()
    return Path("run")


ODD = [b"[]", b"3", b"null", b'"a"', b"{}", b"infinity", b"\xff", b'{"best_epoch": 99}', b"[" * 9999, b"1" * 5000]


@pytest.mark.parametrize("content", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["table", "json"])
def test_a_result_that_no_run_wrote(run, content, more, capsys):
    (run / "result.json").write_bytes(content)
    assert main(["show", "run", *more]) == 2
    assert capsys.readouterr().err == "fastbp: `run/result.json` must be JSON as a run writes it\n"


@pytest.mark.parametrize(
    ("key", "value"),
    [("metrics", {}), ("metrics", {"a": {"b": 1.0}, "c": {}}), ("seconds", None), ("best_epoch", "1"), ("run_dir", 3)],
)
def test_a_result_with_another_value(run, key, value, capsys):
    found = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**found, key: value}))
    assert main(["show", "run"]) == 2
    assert capsys.readouterr().err == "fastbp: `run/result.json` must be JSON as a run writes it\n"


@pytest.mark.parametrize("best", [99, -1])
def test_a_best_epoch_that_is_not_there_marks_none(run, best, capsys):
    found = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**found, "best_epoch": best}))
    assert main(["show", "run", "--epochs", "1"]) == 0
    assert "best\n" not in capsys.readouterr().out


LINES = [
    *(b"[]", b"3", b"null", b'"a"', b"{}", b"\xff", b'{"epoch": 7, "loss": 1, "lr": 1}', b'{"epoch": 1, "loss": 1}'),
    *(b'{"epoch": 1, "loss": "a", "lr": 1}', b'{"epoch": 1, "loss": 1e999, "lr": 1}'),
    b'{"epoch": 1, "loss": [], "lr": 1}',
    b'{"epoch": 1, "loss": %s, "lr": 1}' % (b"1" * 400),
]  # fmt: skip


@pytest.mark.parametrize("content", LINES, ids=range(len(LINES)))
def test_epochs_that_no_run_wrote(run, content, capsys):
    first, *_ = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(first + content + b"\n")
    assert main(["show", "run"]) == 2
    at = 1 if content == b"\xff" else 2
    assert capsys.readouterr().err == (
        f"fastbp: `run/metrics.jsonl` must be lines as a run writes them, but line {at} is not\n"
    )


def test_half_a_line_at_the_end_is_none(run, capsys):
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text + '{"epoch": 3, "lo')
    assert main(["show", "run", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["epochs"]) == 3
