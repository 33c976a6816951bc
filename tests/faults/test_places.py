"""Places that cannot be used: a stdout that is full, closed or read by nobody, folders that are gone or of others."""

import csv
import os
import tempfile
from pathlib import Path

import pytest

from fastbp.data import polars_files
from tests.faults import jobs
from tests.faults.server import CONFIG, NOBODY, can_run

pytestmark = pytest.mark.skipif(not can_run(), reason="the server wants a library that a compiler builds")
root_only = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can be another user")


@pytest.fixture(scope="module")
def trained(server):
    """A folder that everybody can read, with a table, a configuration and a run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with open(folder / "t.csv", "w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(["a", "b", "y"])
            out.writerows((f"{i / 9:.3f}", i % 7, "uv"[i % 2]) for i in range(200))
        text = CONFIG.replace(", norm: batch_norm", "").replace(
            "{source: spirals, rows: 200}", f"{{path: {folder / 't.csv'}, target: y}}"
        )
        (folder / "config.yaml").write_text(text)
        status, said, _ = server.run("train", str(folder / "config.yaml"), "-q", "--run-dir", str(folder / "run"))
        assert (status, said) == (0, "")
        yield folder


# Commands that print; RUN, CONFIG, TABLE and NEW stand for paths.
COMMANDS = {
    "help": ["--help"],
    "version": ["--version"],
    "train": ["train", "CONFIG", "-q", "--run-dir", "NEW"],
    "train-json": ["train", "CONFIG", "--json", "-q", "--run-dir", "NEW"],
    "train-loud": ["train", "CONFIG", "-v", "--run-dir", "NEW"],
    "print-config": ["train", "CONFIG", "--print-config"],
    "predict": ["predict", "RUN", "TABLE"],
    "evaluate": ["evaluate", "RUN"],
    "evaluate-json": ["evaluate", "RUN", "TABLE", "--json"],
    "check": ["check", "CONFIG"],
    "gradcheck": ["gradcheck", "CONFIG"],
    "init": ["init", "TABLE", "-o", "-"],
    "show": ["show", "RUN"],
    "show-json": ["show", "RUN", "--json"],
    "graph": ["show", "RUN", "--graph", "NEW.svg"],
    "doctor": ["doctor"],
    "schema": ["schema"],
}


def arguments(name, trained, folder):
    paths = {"RUN": trained / "run", "CONFIG": trained / "config.yaml", "TABLE": trained / "t.csv"}
    paths |= {"NEW": folder / "new", "NEW.svg": folder / "new.svg"}
    return [str(paths.get(word, word)) for word in COMMANDS[name]]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("stdout", ["/dev/full", "pipe", None], ids=["full", "unread", "closed"])
def test_stdout_that_takes_nothing(stdout, name, server, trained, tmp_path):
    command = arguments(name, trained, tmp_path)
    status, said, _ = server.run(*command, stdout=stdout)
    lines = [line for line in said.splitlines() if not line.startswith(("run folder", "Network", " "))]
    if stdout is None:
        assert status == 0, said
    else:
        assert status == 1, said
    full = "fastbp: `stdout` must be a file that can be written (No space left on device)"
    if name in ("help", "version"):  # which are click's
        full = "fastbp: No space left on device"
    if name != "train-loud":
        assert lines == ([full] if stdout == "/dev/full" else []), said
    assert "Traceback" not in said
    assert "at the end" not in said


@pytest.mark.parametrize("name", COMMANDS)
def test_a_current_folder_that_is_gone(name, server, trained, tmp_path):
    status, said, _ = server.run(*arguments(name, trained, tmp_path), cwd="")
    assert (status, said if name != "train-loud" else "") == (0, "")


# Folders of others


@pytest.fixture
def shared():
    """A folder that everybody can look into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


SENTENCES = {
    "train": "fastbp: `--run-dir` must be where folders can be made, got `NEW` (Permission denied)\n",
    "resume": "fastbp: `RUN/.lock` must be a file that can be written (Permission denied)\n",
    "predict": "fastbp: `NEW.csv` must be a file that can be written (Permission denied)\n",
    "graph": "fastbp: `NEW.svg` must be a file that can be written (Permission denied)\n",
    "init": "fastbp: `NEW.yaml` must be a file that can be written (Permission denied)\n",
}
WRITING = {
    "train": ["train", "CONFIG", "-q", "--run-dir", "NEW"],
    "resume": ["train", "--resume", "RUN", "-q", "--set", "trainer.epochs=5"],
    "predict": ["predict", "RUN", "TABLE", "-o", "NEW.csv"],
    "graph": ["show", "RUN", "--graph", "NEW.svg"],
    "init": ["init", "TABLE", "-o", "NEW.yaml"],
}


def filled(text, trained, folder):
    for word, path in (("RUN", trained / "run"), ("CONFIG", trained / "config.yaml"), ("TABLE", trained / "t.csv")):
        text = text.replace(word, str(path))
    return text.replace("NEW", str(folder / "new"))


@root_only
@pytest.mark.parametrize("name", WRITING)
def test_a_folder_of_another_user(name, server, trained, shared):
    before = {path: path.read_bytes() for path in (trained / "run").iterdir()}
    command = [filled(word, trained, shared) for word in WRITING[name]]
    status, said, _ = server.run(*command, uid=NOBODY)
    first, _, hint = said.partition("hint: ")
    assert (status, first) == (2 if name == "train" else 1, filled(SENTENCES[name], trained, shared))
    assert hint == "" or name == "resume"
    assert list(shared.iterdir()) == []
    assert {path: path.read_bytes() for path in (trained / "run").iterdir()} == before


@root_only
@pytest.mark.parametrize("name", ["predict-nothing", "evaluate", "show", "check"])
def test_what_only_reads_works_on_what_others_own(name, server, trained, shared):
    command = arguments(name.removesuffix("-nothing"), trained, shared)
    assert server.run(*command, uid=NOBODY)[:2] == (0, "")


CACHES = {
    "another user's": ({"FASTBP_CACHE_DIR": "FOLDER/cache"}, "belongs to another user"),
    "read only": ({"FASTBP_CACHE_DIR": "FOLDER/none/cache"}, "Permission denied"),
    "home of another": ({"HOME": "FOLDER"}, "Permission denied"),
    "no home": ({"HOME": "FOLDER/none/none"}, "Permission denied"),
}


@root_only
@pytest.mark.parametrize("name", CACHES)
def test_a_cache_folder_that_is_not_ours(name, server, shared):
    """One warning, and everything is right."""
    variables, why = CACHES[name]
    variables = {key: value.replace("FOLDER", str(shared)) for key, value in variables.items()}
    variables = {"XDG_CACHE_HOME": None, "FASTBP_CACHE_DIR": None, **variables}
    (shared / "cache").mkdir(mode=0o777)
    (shared / "cache").chmod(0o777)
    if name == "another user's":
        assert server.call(jobs.keep_nothing, variables=variables)[:2] == (0, "")
    status, said, _ = server.call(jobs.keep_nothing, variables=variables, uid=NOBODY)
    assert status == 0, said
    assert said.count("\n") == 1
    assert "fastbp cannot keep its compiled kernels: " in said
    assert why in said


# Temporary files


@pytest.mark.parametrize("place", ["missing", "file"])
def test_no_place_for_temporary_files(place, server, shared):
    """Rows that do not fit into memory want one."""
    (shared / "file").write_text("")
    status, said, _ = server.call(jobs.want_room, str(shared / place))
    assert status == 1
    assert said.startswith(f"fastbp: `{shared / place}` must be ")
    assert said.endswith("\nhint: the environment variable `TMPDIR` may name another folder\n")


def test_tables_are_read_where_there_is_no_place_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with polars_files._without_panics(RuntimeError):
        assert not (tmp_path / "missing").exists()
