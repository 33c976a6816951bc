"""Runs a sweep in a process that kills itself at a chosen moment: python dies.py FOLDER MOMENT COUNT WORDS"""

import json
import os
import signal
import sys

from fastbp.runs import saving
from fastbp.studies import folder, journal, optuna_parts, trial_run
from fastbp.studies.python import sweep

CONFIG = {
    "name": "tiny",
    "data": {"source": "blobs", "rows": 90, "noise": 2.0},
    "network": {"hidden": [8]},
    "trainer": {"epochs": 6},
    "run": {"checkpoint_seconds": 0.0},
}
SPACE = {
    "trainer.optimizer.lr": {"log": [1e-3, 1e-1]},
    "trainer.batch_size": [8, 16],
    "network.dropout": {"uniform": [0, 0.5]},
}
TRIALS = 14  # of which those behind the tenth are chosen by what is known of the others


def run(path, keep="run", together=1, jobs=1, trials=TRIALS, **words):
    return sweep(CONFIG, SPACE, trials=trials, storage=path, keep=keep, together=together, jobs=jobs, **words)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def behind(cls, name, count, before=False, when=lambda *_, **__: True):
    """Die behind the call of a method, or before it, when it is called for this time."""
    method, left = getattr(cls, name), [count]

    def new(self, *arguments, **words):
        left[0] -= when(self, *arguments, **words)
        if before and left[0] == 0:
            die()
        found = method(self, *arguments, **words)
        if left[0] == 0:
            die()
        return found

    setattr(cls, name, new)


def at_a_lock(count):
    """Die when a trial has been asked for, and is not held yet."""
    take, left = folder.Held.take, [count]

    def new(path):
        left[0] -= 1
        if left[0] == 0:
            die()
        return take(path)

    folder.Held.take = new


def half_a_line(count):
    """Die within a line."""
    left = [count]
    write = os.write

    def new(handle, content):
        left[0] -= 1
        if left[0] == 0:
            write(handle, bytes(content)[: len(content) // 2])
            die()
        return write(handle, content)

    journal.os.write = new


MOMENTS = {
    "asked": at_a_lock,
    "first setting": lambda n: behind(optuna_parts.Answers, "number", n),
    "folder": lambda n: behind(trial_run.TrialRun, "open_folder", n),
    "report": lambda n: behind(trial_run.TrialRun, "report", n),
    "checkpoint": lambda n: behind(trial_run.TrialRun, "save", n, when=lambda self, history, done=False: not done),
    "last checkpoint": lambda n: behind(trial_run.TrialRun, "save_networks", n, when=lambda self, *more: self.pruned),
    "trained": lambda n: behind(trial_run.TrialRun, "finished", n),
    "result": lambda n: behind(folder.StudyFolder, "write_result", n),
    "told": lambda n: behind(folder.Held, "release", n, before=True),
    "cleared": lambda n: behind(folder.StudyFolder, "clear", n, before=True),
    "half a line": half_a_line,
}

if __name__ == "__main__":
    path, moment, count, words = sys.argv[1:]
    saving.WRITING = 1e9  # a checkpoint behind every epoch, however long writing takes
    MOMENTS[moment](int(count))
    run(path, **json.loads(words))
