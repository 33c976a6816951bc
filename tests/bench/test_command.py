"""The command line of the bench, with made-up times and with small real runs."""

import functools
import json
import re

import pytest

import fastbp as fb
from bench import __main__ as cli
from bench import calls, cases, check, machine, packs, readme, scaling
from bench.session import Session
from fastbp.kernels import levels
from tests.bench.made_up import ROW, TINY, Local

# Command line


@pytest.mark.usefixtures("no_pause")
def test_a_session_prints_its_tables_and_writes_json(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cli, "Session", functools.partial(Session, start=Local))
    file = tmp_path / "bench.json"
    arguments = [
        *("--tasks", "train"),
        "--cases",
        "2-16",
        "--rounds",
        "2",
        "--rivals",
        "numpy",
        "--threads",
        "1",
        "--json",
        str(file),
    ]
    assert cli.main(arguments) == 0
    assert "\n| 2-16-16-1, 32 | 1.00 (1.00..1.00) | 56.3 | 56 % | **1.00** (1.00..1.00) |\n" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert written["header"]["threads"] == "1"
    assert written["results"][0]["case"]["flops"] == 56320
    assert written["results"][0]["duels"]["numpy"]["ratios"] == [1.0, 1.0]
    assert written["refused"] == []


def test_a_small_run_of_everything_writes_the_readme(monkeypatch, capsys, tmp_path):
    """Both tasks with real workers, on nets of a few numbers."""
    file = tmp_path / "README.md"
    file.write_text(f"# Title\n\n{readme.section('Abacus', 'slow')}\nend\n")
    monkeypatch.setattr(readme, "README", file)
    monkeypatch.setattr(machine, "kind", lambda: "Toy")
    monkeypatch.setattr(cases, "CASES", (TINY,))
    monkeypatch.setattr(calls, "CALLS", (ROW,))
    assert cli.main(["--rivals", "numpy", "--rounds", "1", "--threads", "2", "--report"]) == 0
    out, written = capsys.readouterr().out, file.read_text()
    row = re.search(r"^\| 3-8-4-2, 16 \| .* % \| \*\*.*$", out, re.M)[0]
    call = re.search(r"^\| 3-8-2, 1 row \| .* % \| \*\*.*$", out, re.M)[0]
    choice = re.search(r"^\| 3-8-4-2, 16 \| 1 .* of the best, [12] \|$", out, re.M)
    assert written.startswith(f"# Title\n\n{readme.section('Abacus', 'slow')}\n<!-- bench of Toy -->\n")
    assert choice
    assert all(line in written.splitlines() for line in (row, call))


@pytest.mark.usefixtures("no_pause")
def test_threads_are_compared_with_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(scaling, "measure", functools.partial(scaling.measure, start=Local))
    file = tmp_path / "scaling.json"
    arguments = ["--scaling", "--cases", "2-16", "--threads", "5", "--rounds", "2", "--json", str(file)]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert "| net, batch | contender | 1 thread, µs | 2 threads | 4 threads |\n" in out
    # Those made up take longer with more threads.
    line = "| 2-16-16-1, 32 | fastbp | 1.00 (1.00..1.00) | 0.50 (0.50..0.50) | 0.25 (0.25..0.25) |\n"
    assert line in out
    assert json.loads(file.read_text())["scaling"][0]["speedups"]["4"] == [0.25, 0.25]


def test_real_workers_scale(monkeypatch, capsys):
    monkeypatch.setattr(cases, "CASES", (TINY,))
    assert cli.main(["--scaling", "--threads", "2", "--rounds", "1"]) == 0
    assert re.search(r"^\| 3-8-4-2, 16 \| fastbp \| \d\S* \(.*\) \| \d\S* \(.*\) \|$", capsys.readouterr().out, re.M)


def test_results_that_depend_on_threads_are_refused():
    with pytest.raises(check.RefusedError, match="`wrong on 2` and `wrong on 1` have the losses"):
        next(scaling.measure("wrong", [TINY], 2, 1, start=lambda kind, name, t: Local(kind, name if t > 1 else "", t)))


@pytest.mark.usefixtures("no_pause")
def test_a_pack_is_measured_beside_its_members_alone(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cases, "CASES", (TINY,))
    monkeypatch.setattr(packs, "MEMBERS", {TINY.name: 3})
    file = tmp_path / "packs.json"
    assert cli.main(["--packs", "--threads", "2", "--rounds", "2", "--json", str(file)]) == 0
    number = r"\d\S* \(\S*\.\.\S*\)"
    row = rf"^\| 3 x 3-8-4-2, 16 \| {number} \| {number} \| \*\*\d\S*\*\* \(\S*\) \|$"
    assert re.search(row, capsys.readouterr().out, re.M)
    (found,) = json.loads(file.read_text())["packs"]
    assert found["members"] == 3
    assert found["ratios"] == [
        alone / pack for alone, pack in zip(found["alone micros"], found["pack micros"], strict=True)
    ]


@pytest.mark.usefixtures("no_pause")
def test_a_pack_whose_members_differ_from_those_alone_is_refused(monkeypatch, capsys):
    made = iter(range(100))
    monkeypatch.setattr(cases, "CASES", (TINY,))
    monkeypatch.setattr(packs, "MEMBERS", {TINY.name: 2})
    monkeypatch.setattr(packs, "network", lambda case, seed: fb.mlp(list(case.sizes), seed=next(made)))
    assert cli.main(["--packs", "--threads", "1", "--rounds", "1"]) == 1
    out, err = capsys.readouterr()
    assert err == "3-8-4-2: member 0 of the pack differs from the network that was trained alone\n"
    assert "3-8-4-2" not in out


@pytest.mark.usefixtures("no_pause")
def test_a_refused_case_has_a_message_and_no_row(monkeypatch, capsys):
    monkeypatch.setattr(cli, "Session", functools.partial(Session, start=Local))
    assert cli.main(["--tasks", "train", "--cases", "2-16", "--rivals", "numpy", "--threads", "1"], ours="wrong") == 1
    out, err = capsys.readouterr()
    assert "| 2-16-16-1" not in out
    assert err.startswith("case `2-16-16-1` is not timed: after 20 steps on the same batches, `numpy` and `wrong`")


ALL_CASES = "`--report` must be of all cases, without `--cases`, `--tasks`, `--scaling` and"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--rivals", "tensorflow"],
            "each name must be one of `torch`, `torch.compile`, `jax`, `jax-step`, `numpy`, `onnx`, got `tensorflow`",
        ),
        (["--tasks", "rest"], "each name must be one of `train`, `predict`, got `rest`"),
        (["--report", "--cases", "2-16"], ALL_CASES),
        (["--report", "--tasks", "train"], ALL_CASES),
        (["--rounds", "0"], "must be an integer of at least 1, got `0`"),
        (["--json", "/nowhere/at/all.json"], "must be in a folder that exists, got `/nowhere/at/all.json`"),
        (["--cases", "9-9"], "`--cases` matches none of `2-16-16-1`, `17-64-64-6`, "),
    ],
    ids=["rival", "task", "part", "half", "rounds", "json", "cases"],
)
def test_bad_options_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_report_is_of_the_registers_that_the_machine_has(monkeypatch, capsys):
    widest = levels.level()
    monkeypatch.setattr(levels, "runnable", lambda: [widest._replace(lanes=2 * widest.lanes), widest])
    with pytest.raises(SystemExit) as caught:
        cli.main(["--report"])
    assert caught.value.code == 2
    message = "`--report` must be of the widest registers of the machine, without `FASTBP_LANES`"
    assert message in capsys.readouterr().err
