"""Write fastbp/train/known_answers.json: what every case of the self-test gives, and the kernels that it vouches for.

Run it when what kernels compute was changed on purpose; a test fails while the file is not current.
"""

from __future__ import annotations

import json

from fastbp.engine import compiler
from fastbp.train import self_test


def answers() -> dict[str, dict[str, object]]:
    compiler._prove = lambda name, real: None  # or answers would be compared while they are made
    found: dict[str, dict[str, object]] = {}
    vouched: set[str] = set()
    for case in self_test.cases():
        digests = {real: self_test.digest(case, real) for real in compiler.REALS}
        called = {name for name, _ in compiler.loaded()} & set(compiler._kernels())
        found[case] = {**digests, "kernels": sorted(called - vouched - set(compiler.NOT_ASKED))}
        vouched |= called
    return found


if __name__ == "__main__":
    self_test.ANSWERS.write_text(json.dumps(answers(), indent=1) + "\n")
