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


@pytest.mark.parametrize("best", [99, 0, -1])
def test_a_best_epoch_that_is_not_there_marks_none(run, best, capsys):
    found = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**found, "best_epoch": best}))
    assert main(["show", "run", "--epochs", "1"]) == 0
    assert "best\n" not in capsys.readouterr().out


LINES = [
    *(b"[]", b"3", b"null", b'"a"', b"{}", b"\xff", b'{"epoch": 8, "loss": 1, "lr": 1}', b'{"epoch": 2, "loss": 1}'),
    *(b'{"epoch": 2, "loss": "a", "lr": 1}', b'{"epoch": 2, "loss": 1e999, "lr": 1}'),
    b'{"epoch": 2, "loss": [], "lr": 1}',
    b'{"epoch": 2, "loss": %s, "lr": 1}' % (b"1" * 400),
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
    (run / "metrics.jsonl").write_text(text + '{"epoch": 4, "lo')
    assert main(["show", "run", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["epochs"]) == 3


def as_before(run):
    """The files of a run as the version wrote them that counted epochs from 0."""
    found = json.loads((run / "result.json").read_text())
    del found["format"]
    (run / "result.json").write_text(json.dumps({**found, "best_epoch": found["best_epoch"] - 1}))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    told = [json.dumps({**row, "epoch": row["epoch"] - 1}) + "\n" for row in rows]
    (run / "metrics.jsonl").write_text("".join(told))


def test_epochs_that_an_older_version_counted_from_0_are_counted_from_1(run, capsys):
    assert main(["show", "run", "--json"]) == 0
    now = capsys.readouterr().out
    as_before(run)
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["epoch"] == 0
    assert main(["show", "run", "--json"]) == 0
    old = json.loads(capsys.readouterr().out)
    now = json.loads(now)
    assert [row["epoch"] for row in old["epochs"]] == [1, 2, 3]
    assert old["epochs"] == now["epochs"]
    assert old["result"]["best_epoch"] == now["result"]["best_epoch"]


def test_a_run_of_an_older_version_goes_on_and_counts_from_1(run, capsys):
    as_before(run)
    assert main(["train", "--resume", "run", "-q", "--set", "trainer.epochs=5"]) == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    best = min(rows, key=lambda row: row["val_loss"])["epoch"]
    assert json.loads((run / "result.json").read_text())["best_epoch"] == best
    assert (run / "history.csv").read_text().splitlines()[-1].startswith("5,")
