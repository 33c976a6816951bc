"""`scripts/verify-ranks`: the digests of six cases by ranks and threads, which must be those of one process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.launched import run

PROGRAMS = str(Path(__file__).with_name("rank_programs.py"))


def digests(ranks: int, *arguments: str) -> dict[str, Any]:
    """The digest of each case, the same on all ranks."""
    code, out, err = run(ranks, PROGRAMS, "table", *arguments, seconds=1200.0)
    if code:
        raise SystemExit(err)
    found: dict[str, Any] = json.loads(out)
    return found["found"] if found["same"] else {}


def main(counts: list[int]) -> int:
    """Print the table, a line for each; the exit code."""
    must = digests(1, "1", "alone")
    print("ranks threads  " + "".join(f"{name:14}" for name in must))
    print("alone       1  " + "".join(f"{value[:12]:14}" for value in must.values()), flush=True)
    wrong = 0
    for count in counts:
        for threads in (1, 2):
            found = digests(count, str(threads))
            wrong += found != must
            same = [
                f"{found.get(name, '')[:12]:14}" if found.get(name) != must[name] else f"{'same':14}" for name in must
            ]
            print(f"{count:5} {threads:7}  " + "".join(same), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main([int(text) for text in sys.argv[1:]] or [1, 2, 4, 8]))
