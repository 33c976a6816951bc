"""How many threads an estimator takes: its share, where joblib runs several at once.

joblib tells worker processes their share as `NUMBA_NUM_THREADS`; of its worker threads each takes one.
"""

from __future__ import annotations

import os
from typing import Any

from joblib.parallel import get_active_backend

from fastbp.engine.threads import chosen
from fastbp.errors import ConfigError


def share(n_threads: Any) -> int:
    """The number of threads for `n_threads`; None is all processors, or a worker's share of them."""
    if n_threads is not None:
        try:
            return chosen(n_threads)
        except ConfigError as error:
            raise error.at(where="n_threads") from None
    backend, _ = get_active_backend()
    if not getattr(backend, "nesting_level", 0):
        return chosen(None)
    told = os.environ.get("NUMBA_NUM_THREADS", "")
    return min(chosen(None), int(told)) if told.isdecimal() and int(told) else 1
