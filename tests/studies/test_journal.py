"""The journal of a study: half lines, locks of processes that were killed, and several writers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastbp.errors import CheckpointError
from fastbp.studies.journal import Journal
from fastbp.studies.locks import Held, is_free

ROOT = Path(__file__).parents[2]


def log(number, op_code=4):
    return {"op_code": op_code, "worker_id": "w", "number": number}


def numbers(journal, start=0):
    return [one["number"] for one in journal.read_logs(start)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.log"


def test_lines_are_read_as_they_were_written(path):
    journal = Journal(path)
    journal.append_logs([log(0), log(1)])
    journal.append_logs([log(2)])
    assert numbers(journal) == [0, 1, 2]
    assert numbers(journal, 3) == []
    assert numbers(journal, 1) == [1, 2]
    assert numbers(Journal(path)) == [0, 1, 2]


def test_half_a_line_is_not_read_and_is_gone_behind_the_next_one(path):
    journal = Journal(path)
    journal.append_logs([log(0)])
    with open(path, "ab") as file:
        file.write(b'{"op_code":6,"trial_id":0,"sta')
    assert numbers(Journal(path)) == [0]
    journal.append_logs([log(1)])
    assert numbers(journal) == [0, 1]
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [0, 1]


def test_a_journal_of_half_a_line_alone_begins_again(path):
    path.write_bytes(b'{"op_co')
    journal = Journal(path)
    assert numbers(journal) == []
    journal.append_logs([log(0)])
    assert numbers(journal) == [0]


def test_a_long_half_line_is_cut_where_the_last_whole_one_ends(path):
    journal = Journal(path)
    journal.append_logs([log(0)])
    with open(path, "ab") as file:
        file.write(b"x" * 200_000)
    journal.append_logs([log(1)])
    assert numbers(Journal(path)) == [0, 1]


def test_a_line_that_is_none_is_named(path):
    path.write_bytes(b'{"number":0}\nno json\n')
    with pytest.raises(CheckpointError) as info:
        list(Journal(path).read_logs(0))
    assert str(info.value) == f"`{path}` must be lines of JSON, but line 2 is not"


HOLDER = """
import os, sys, time
from pathlib import Path
from fastbp.studies.journal import Journal
from fastbp.studies.locks import Held, locked
journal = Journal(Path(sys.argv[1]))
held = Held.take(Path(sys.argv[1] + ".lock"))
with locked(journal._handle, journal.path):
    os.write(journal._handle, b'{"half')
    print("held", flush=True)
    time.sleep(60)
"""


def started(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_a_killed_holder_blocks_nobody(path):
    holder = started(HOLDER, path)
    assert holder.stdout.readline() == "held\n"
    lock = path.with_name("journal.log.lock")
    assert Held.take(lock) is None
    assert not is_free(lock)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    begun = time.monotonic()
    journal = Journal(path)
    journal.append_logs([log(7)])
    assert time.monotonic() - begun < 1.0  # Optuna's own lock waits for 30 seconds
    assert numbers(journal) == [7]
    held = Held.take(lock)
    assert held is not None
    held.release()
    assert not lock.exists()


def test_a_lock_whose_file_was_removed_by_its_holder_is_taken_anew(tmp_path):
    path = tmp_path / "one.lock"
    first = Held.take(path)
    assert Held.take(path) is None
    first.release()
    second = Held.take(path)
    assert second is not None
    assert path.exists()
    second.release(remove=False)
    assert path.exists()
    assert is_free(path)


WRITER = """
import sys
from pathlib import Path
from fastbp.studies.journal import Journal
journal = Journal(Path(sys.argv[1]))
for i in range(200):
    journal.append_logs([{"op_code": 7, "worker_id": "w", "number": int(sys.argv[2]) + i}])
"""


def test_several_processes_write_whole_lines(path):
    writers = [started(WRITER, path, 1000 * k) for k in range(3)]
    for one in writers:
        assert one.wait(60) == 0
        one.stdout.close()
    found = numbers(Journal(path))
    assert sorted(found) == sorted(1000 * k + i for k in range(3) for i in range(200))
    for k in range(3):  # each in its order
        own = [n for n in found if n // 1000 == k]
        assert own == sorted(own)


def test_optuna_reads_it(path):
    optuna = pytest.importorskip("optuna")
    storage = optuna.storages.JournalStorage(Journal(path))
    study = optuna.create_study(storage=storage, study_name="s")
    study.tell(study.ask(), 0.5)
    theirs = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    assert optuna.load_study(study_name="s", storage=theirs).best_value == 0.5
