"""Write fastbp/train/known_answers.json: what every case of the self-test gives, and the kernels that it vouches for.

A case vouches for a kernel where it is the first to give another answer without it. Run this when what kernels compute
was changed on purpose, or a kernel was added; tests fail while the file is not current.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
from numba import types

from fastbp.engine import compiler, proof
from fastbp.engine.machine_code import FAST, Loader, object_of
from fastbp.kernels import flags, target
from fastbp.train import self_test

# They decide what runs, so that without them nothing does, or fill a table that nobody reads.
NEEDED = {"begin", "begin_batch", "work", "gate_groups", "keep_gradients_factors"}


@cache
def _loader() -> Loader:
    return Loader()


@cache
def nothing(real: str) -> int:
    """The address of a kernel that does nothing."""

    def does_nothing(op, me, r0, r1, z):  # type: ignore[no-untyped-def]
        pass

    signature = types.void(*[types.int64] * 4, flags.REALS[real])
    module, name = target.lower(does_nothing, signature, flags.OPTIONS, for_python=False)
    return _loader().address(object_of(module, name, f"nothing_{real}"), f"nothing_{real}")


def filled(shape: Any, dtype: Any = np.float64) -> Any:
    """In the place of `numpy.empty`, whose memory may hold the answer of an earlier run."""
    return np.full(shape, 7, dtype)


def notices(case: str, kernel: str, real: str, expected: str) -> bool:
    """Whether a case gives another answer than the expected one when a kernel does nothing."""
    key = (kernel, real, FAST)
    with proof.running(FAST):
        right = compiler._LOADED[key]
        compiler._LOADED[key] = nothing(real)
        try:
            with mock.patch.object(np, "empty", filled):
                return self_test.digest(case, real) != expected
        finally:
            compiler._LOADED[key] = right


def called(case: str, real: str) -> tuple[str, set[str]]:
    """The digest of a case, and the kernels that it asked for."""
    asked: set[str] = set()
    with proof.running(FAST):
        before = compiler._LOADED
        compiler._LOADED = Noting(before, asked, real)
        try:
            return self_test.digest(case, real), asked & set(compiler._kernels())
        finally:
            before.update(compiler._LOADED)
            compiler._LOADED = before


def is_noticed(case: str, kernel: str, seen: dict[str, tuple[str, set[str]]]) -> bool:
    """Whether a case notices the absence of a kernel in every precision in which it asks for it."""
    return all(notices(case, kernel, real, digest) for real, (digest, asked) in seen.items() if kernel in asked)


class Noting(dict):  # type: ignore[type-arg]
    """A dict that notes the names of what it is asked for in one precision."""

    def __init__(self, content: dict[tuple[str, str, str], object], asked: set[str], real: str) -> None:
        super().__init__(content)
        self.asked, self.real = asked, real

    def __contains__(self, key: object) -> bool:
        if key[1] == self.real:  # type: ignore[index]
            self.asked.add(key[0])  # type: ignore[index]
        return super().__contains__(key)


def answers() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    vouched: set[str] = {name for name in compiler._kernels() if not compiler.computes(name)}
    for case in self_test.cases():
        seen = {real: called(case, real) for real in compiler.REALS}
        new = (seen["float32"][1] | seen["float64"][1]) - vouched
        kernels = [kernel for kernel in sorted(new) if kernel in NEEDED or is_noticed(case, kernel, seen)]
        vouched.update(kernels)
        found[case] = {**{real: digest for real, (digest, _) in seen.items()}, "kernels": kernels}
    return found


def text() -> str:
    """What the file has to have."""
    return json.dumps(answers(), indent=1) + "\n"


if __name__ == "__main__":
    self_test.ANSWERS.write_text(text())
