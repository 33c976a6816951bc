"""The bench's end of a worker: the face of a contender, spoken over pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy.typing as npt

from bench.calls import Call
from bench.cases import Case
from bench.timing import Pace, Turn
from bench.wire import receive, send

Array = npt.NDArray[Any]
ROOT = Path(__file__).parents[1]
# The pools of OpenBLAS would spin for 100 ms, into the turn of the next; 2**22 clock ticks are 4 ms.
OPENBLAS_PATIENCE = "22"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class WorkerError(Exception):
    """A worker reported an exception or died."""


class Remote:
    """A contender in a process of its own.

    Parameters
    ----------
    kind : {"train", "predict"}
        What it does.
    name : str
        A key of `bench.contenders.CONTENDERS[kind]`.
    threads : int
        How many threads it may use.
    team : str
        Of fastbp: "auto" if it chooses how many of them it takes, "all" if it takes all.
    """

    def __init__(self, kind: str, name: str, threads: int, team: str = "auto") -> None:
        self.kind, self.name, self.threads = kind, name, threads
        self.losses: list[float] = []
        self.loss = float("nan")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", kind, name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C is for the bench, which then closes the pipes
            env={
                **os.environ,
                **dict.fromkeys(THREAD_VARIABLES, str(threads)),
                "OPENBLAS_THREAD_TIMEOUT": OPENBLAS_PATIENCE,
                "FASTBP_TEAM": team,
            },
        )
        self.versions: dict[str, str] = self._ask("versions")[0]["versions"]

    def _ask(self, do: str, *arrays: Array, **fields: Any) -> tuple[dict[str, Any], list[Array]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            send(self.process.stdin, {"do": do, **fields}, arrays)
            reply, out = receive(self.process.stdout)
        except (BrokenPipeError, EOFError):
            self.process.kill()
            status = self.process.wait()
            raise WorkerError(f"the worker of `{self.name}` died during `{do}` with status {status}") from None
        if "error" in reply:
            raise WorkerError(f"the worker of `{self.name}` failed in `{do}`: {reply['error']}")
        return reply, out

    def prepare(self, case: Case | Call, weights: list[Array], *data: Array) -> None:
        """Start anew; later turns of training start from here too."""
        self._ask("prepare", *weights, *data, case=asdict(case))

    def follow(self, steps: int) -> None:
        """Train on the batches in their order and keep the losses."""
        self.losses = self._ask("follow", steps=steps)[0]["losses"]

    def run(self, steps: int) -> None:
        """Do what is timed."""
        self.loss = self._ask("run", steps=steps)[0]["loss"]

    def parameters(self) -> list[Array]:
        """Return [W, b, W, b, ...]."""
        return self._ask("parameters")[1]

    def answers(self) -> Array:
        """Return the outputs for all rows."""
        return self._ask("answers")[1][0]

    def answer(self) -> Array:
        """Return the outputs of the last call."""
        return self._ask("answer")[1][0]

    def peak(self, threads: int) -> float:
        """Measure the peak of that many cores, in GFLOP/s."""
        return float(self._ask("peak", threads=threads)[0]["peak"])

    def pace(self) -> Pace:
        """Find how many steps or calls fill a portion."""
        return Pace(**self._ask("pace")[0])

    def turn(self, steps: int) -> Turn:
        """Take one timed turn; training begins again from the prepared weights."""
        return Turn(**self._ask("turn", steps=steps)[0])

    def close(self) -> None:
        """Let the worker end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
