"""The process one contender lives in: it answers requests on stdin until stdin closes.

    python -m bench.worker KIND NAME THREADS

While it waits it sleeps in a read, so an idle worker takes no time from the one that is being timed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import IO, Any

import numpy.typing as npt

from bench import timing
from bench.calls import Call
from bench.cases import Case, Many
from bench.contenders import CONTENDERS
from bench.wire import receive, send

Array = npt.NDArray[Any]
Reply = tuple[dict[str, Any], list[Array]]
TASKS: dict[str, type[Case] | type[Call]] = {task.kind: task for task in (Case, Call, Many)}


class Desk:
    """One method for each request; `remote.Remote` has the other half of each."""

    def __init__(self, kind: str, contender: Any) -> None:
        self.kind, self.contender = kind, contender

    def versions(self) -> Reply:
        return {"versions": self.contender.versions()}, []

    def prepare(self, arrays: list[Array], case: dict[str, Any]) -> Reply:
        self.problem = (TASKS[self.kind](**{**case, "sizes": tuple(case["sizes"])}), *split(self.kind, arrays))
        self.contender.prepare(*self.problem)
        return {}, []

    def follow(self, steps: int) -> Reply:
        self.contender.follow(steps)
        return {"losses": self.contender.losses}, []

    def run(self, steps: int) -> Reply:
        self.contender.run(steps)
        return {"loss": self._loss()}, []

    def parameters(self) -> Reply:
        return {}, self.contender.parameters()

    def answers(self) -> Reply:
        return {}, [self.contender.answers()]

    def answer(self) -> Reply:
        return {}, [self.contender.answer()]

    def pace(self) -> Reply:
        return asdict(timing.pace(self.contender.run)), []

    def turn(self, steps: int) -> Reply:
        if self.kind != Call.kind:
            self.contender.prepare(*self.problem)
        seconds = timing.turn(self.contender.run, steps)
        return {"seconds": seconds, "loss": self._loss(), "team": self.contender.team}, []

    def peak(self, threads: int) -> Reply:
        from fastbp.runs.profile import peak

        return {"peak": peak(threads)}, []

    def _loss(self) -> float | None:
        return self.contender.loss if self.kind != Call.kind else None


def split(kind: str, arrays: list[Array]) -> tuple[Any, ...]:
    """The arrays of a task as `prepare` takes them: the weights, then X, and y if there is one."""
    given = 1 if kind == Call.kind else 2
    return (arrays[:-given], *arrays[-given:])


def serve(desk: Desk, inbox: IO[bytes], outbox: IO[bytes]) -> None:
    """Answer requests until the other side closes; an exception is an answer too."""
    while True:
        try:
            header, arrays = receive(inbox)
        except EOFError:
            return
        do = header.pop("do")
        try:
            if arrays:
                header["arrays"] = arrays
            reply, out = getattr(desk, do)(**header)
        except Exception as error:
            reply, out = {"error": f"{type(error).__name__}: {error}"}, []
        send(outbox, reply, out)


def main() -> None:
    """Serve on stdin and stdout; whatever else a library prints goes to stderr."""
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    kind, name, threads = sys.argv[1:]
    serve(Desk(kind, CONTENDERS[kind][name](int(threads))), sys.stdin.buffer, outbox)


if __name__ == "__main__":
    main()
