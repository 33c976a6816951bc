"""The processes of a sweep on this machine: started, watched, and started again where one was killed, which is said."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from fastbp.engine.threads import processors
from fastbp.errors import ConfigError, DataWarning, FastbpError, line
from fastbp.runs.stopping import TIME_IS_UP, Signals, Stopped

EVERY = 0.2  # seconds between looks at the study
LAST = 5.0  # seconds in which a process ends that was told to, before it is killed at a second request
MOST_DEATHS = 30  # processes in a row that were killed before any trial ended
UNGUARDED = 81  # exit code of a process that runs its program's file, as Python has it do first, and comes to the sweep
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTBP_NUM_THREADS")


class Task(Protocol):
    """What each process does; it is pickled."""

    def __call__(self, signals: Signals) -> None:
        """Work until nothing is left."""


def fitting(jobs: int | None, threads: int, trials: int) -> int:
    """How many processes of so many threads: as many as asked for, and never more threads than processors."""
    most = max(1, processors() // threads)
    return max(1, min(most if jobs is None else jobs, most, trials))


class Process:
    """One of them."""

    def __init__(self, task: Task, number: int, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.heard, said = context.Pipe(duplex=False)
        self.it = context.Process(target=_main, args=(task, number, said), name=f"fastbp-sweep-{number}")
        with _environment(threads):
            self.it.start()
        said.close()

    def message(self) -> tuple[str, Any]:
        """What it said at its end; nothing if it was killed."""
        try:
            if self.heard.poll():
                found: tuple[str, Any] = self.heard.recv()
                return found
        except (EOFError, OSError):
            pass
        return "", None

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"process {self.number + 1} (pid {self.it.pid})"


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What a process begins with: as many threads as its trials have."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        yield
    finally:
        for name in THREADS:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


def run_together(
    task: Task,
    jobs: int,
    threads: int,
    say: Callable[[str], None],
    look: Callable[[], int],
    limit: float | None = None,
) -> None:
    """Run a task in so many processes, to its end.

    Parameters
    ----------
    say : callable
        Prints a line.
    look : callable
        Shows where the study stands, and returns how many trials have ended.
    limit : float, optional
        Seconds after which all are stopped.

    Raises
    ------
    Stopped
        At the first signal, or after the limit; every process has stopped then, with checkpoints.
    FastbpError
        The first error of a process, when all have ended.
    """
    _must_have_processes()
    party = _Party(task, jobs, threads, say, look, limit)
    try:
        party.run()
    finally:
        party.kill()


def _must_have_processes() -> None:
    """Refuse to start processes from where Python starts none."""
    here, main = multiprocessing.current_process(), sys.modules["__main__"]
    if getattr(here, "_inheriting", False):
        raise SystemExit(UNGUARDED)
    if here.daemon:
        raise ConfigError("jobs", "must be 1 in a process of `multiprocessing.Pool`, which may start no others")
    file = getattr(main, "__file__", None) if main.__spec__ is None else None
    if file is not None and not os.path.exists(file):
        must = "must be 1 in a program without a file, which other processes would read"
        raise ConfigError("jobs", must, f"`{file}`")


class _Party:
    def __init__(
        self,
        task: Task,
        jobs: int,
        threads: int,
        say: Callable[[str], None],
        look: Callable[[], int],
        limit: float | None,
    ) -> None:
        self.begun, self.limit = time.monotonic(), limit
        self.task, self.threads, self.say, self.look = task, threads, say, look
        self.signals = Signals()
        self.stop: Stopped | None = None
        self.error: BaseException | None = None
        self.ended, self.deaths = 0, 0
        self.alive = [Process(task, number, threads) for number in range(jobs)]

    def run(self) -> None:
        with self.signals:
            while self.alive:
                wait([one.it.sentinel for one in self.alive], EVERY)
                self._count(self.look())
                try:
                    self._check()
                except Stopped as stop:
                    if self.stop is None:
                        self.stop = stop
                        self._end_all()
                for one in [one for one in self.alive if not one.it.is_alive()]:
                    self.alive.remove(one)
                    self._ended(one)
        self.look()
        if self.stop is not None:
            raise self.stop
        if self.error is not None:
            raise self.error

    def _check(self) -> None:
        self.signals.check()
        if self.limit is not None and time.monotonic() - self.begun >= self.limit:
            raise Stopped(f"the time limit of {self.limit:g} seconds is reached", TIME_IS_UP)

    def _count(self, ended: int) -> None:
        if ended > self.ended:
            self.ended, self.deaths = ended, 0

    def _ended(self, one: Process) -> None:
        one.it.join()
        kind, what = one.message()
        code = one.it.exitcode or 0
        ending = self.stop is not None or self.error is not None
        if kind == "done" or (kind == "stopped" and ending):
            return
        if kind == "error" or (not kind and code >= 0):  # it could not even begin where there is no message
            why = f"{one.name} ended with code {code}, which it says more of above"
            if self.error is None and code == UNGUARDED:
                why = "as each process reads the program's file first"
                self.error = ConfigError("sweep", f'must be called below `if __name__ == "__main__":`, {why}')
            elif self.error is None:
                self.error = what if kind == "error" else FastbpError(why)
            self._end_all()
            return
        why = f"was ended by {_signal(-code)}" if code < 0 else f"was {what}"
        if ending:
            if code != -signal.SIGTERM:  # else it was told to end before it could listen
                self.say(f"{one.name} {why}")
            return
        self.deaths += 1
        if self.deaths > MOST_DEATHS:
            hint = "the last trials may need more memory than there is"
            self.error = FastbpError(
                f"{self.deaths} processes were ended before a trial was, the last {why[4:]}", hint=hint
            )
            self._end_all()
            return
        new = Process(self.task, one.number, self.threads)
        self.alive.append(new)
        self.say(f"{one.name} {why}; pid {new.it.pid} is in its place, and goes on with what it had begun")

    def _end_all(self) -> None:
        for one in self.alive:
            one.it.terminate()

    def kill(self) -> None:
        """End what is left, at once."""
        for one in self.alive:
            one.it.kill()
        for one in self.alive:
            one.it.join(LAST)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _main(task: Task, number: int, said: Connection) -> None:
    """What a process runs."""
    signals = Signals()
    with signals:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, for all processes: the first one passes it on
        threading.Thread(target=_watch, args=(signals,), daemon=True).start()
        warnings.formatwarning = lambda message, *_: "\n".join(map(line, f"fastbp: {message}".split("\n"))) + "\n"
        if number:
            warnings.simplefilter("ignore", DataWarning)  # the first process says the same
        try:
            task(signals)
            answer: tuple[str, Any] = ("done", None)
        except Stopped as stop:
            answer = ("stopped", str(stop))
        except BaseException as error:
            if not isinstance(error, FastbpError):
                traceback.print_exc()
            answer = ("error", error)
    with contextlib.suppress(OSError):  # who started it is gone
        try:
            said.send(answer)
        except (TypeError, AttributeError, pickle.PicklingError):
            said.send(("error", FastbpError(f"{type(answer[1]).__name__}: {answer[1]}")))
    said.close()


def _watch(signals: Signals) -> None:
    """Stop when the process that started this one is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        signals.received = signals.received or signal.SIGTERM
