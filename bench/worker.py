"""The process one contender lives in: it answers requests on stdin until stdin closes.

    python -m bench.worker NAME THREADS

While it waits it sleeps in a read, so an idle worker takes no time from the one that is being timed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import IO, Any

import numpy.typing as npt

from bench import timing
from bench.cases import Case
from bench.rivals import CONTENDERS, Contender
from bench.wire import receive, send

Array = npt.NDArray[Any]
Reply = tuple[dict[str, Any], list[Array]]


class Desk:
    """One method for each request; `remote.Remote` has the other half of each."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender

    def versions(self) -> Reply:
        return {"versions": self.contender.versions()}, []

    def prepare(self, arrays: list[Array], case: dict[str, Any]) -> Reply:
        *weights, X, y = arrays
        self.problem = (Case(**{**case, "sizes": tuple(case["sizes"])}), weights, X, y)
        self.contender.prepare(*self.problem)
        return {}, []

    def follow(self, steps: int) -> Reply:
        self.contender.follow(steps)
        return {"losses": self.contender.losses}, []

    def run(self, steps: int) -> Reply:
        self.contender.run(steps)
        return {"loss": self.contender.loss}, []

    def parameters(self) -> Reply:
        return {}, self.contender.parameters()

    def pace(self) -> Reply:
        return asdict(timing.pace(self.contender.run)), []

    def turn(self, steps: int) -> Reply:
        self.contender.prepare(*self.problem)
        seconds = timing.turn(self.contender.run, steps)
        return {"seconds": seconds, "loss": self.contender.loss}, []


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
    name, threads = sys.argv[1:]
    serve(Desk(CONTENDERS[name](int(threads))), sys.stdin.buffer, outbox)


if __name__ == "__main__":
    main()
