"""The result of a pack's run."""

from __future__ import annotations

import json
from typing import Any


def finished(run: Any) -> dict[str, Any]:
    found = {
        "members": [{**one.entrant.named, "best": one.best, "stopped": one.history.stopped} for one in run.runners]
    }
    run.folder.write(run.folder.result, json.dumps(found))
    return found
