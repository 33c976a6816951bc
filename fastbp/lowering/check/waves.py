"""The twins of waves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import reference
from fastbp.kernels.trigonometry import CIRCLE32, CIRCLE64
from fastbp.lowering.check.call import Call
from fastbp.lowering.check.ops import twin
from fastbp.lowering.check.values import Output

Array = NDArray[Any]
ULPS = 3.0  # of a sine or cosine


def _wave(name: str, of: Callable[[Array, float], tuple[Array, Array]]) -> None:
    def both(call: Call) -> list[Output]:
        x, a = call.a(), call.real(call.op.setting_1)
        most = (CIRCLE32 if call.dtype == np.float32 else CIRCLE64).most
        known = np.abs(a * x) < most
        y, slope = of(np.where(known, x, 0.0), a)
        # a x is rounded, which moves the wave by its slope and the slope by the wave
        off = call.eps * np.abs(a * x)
        found = [call.out(np.where(known, y, np.nan), ULPS * call.eps * np.abs(y) + off)]
        if call.op.y.start:
            bound = abs(a) * (ULPS * call.eps + off)
            found.append(call.out(np.where(known, slope, np.nan), bound, "y"))
        return found

    twin(f"wave_{name}")(both)


_wave("cosine", reference.wave_cosine_forward)
_wave("sine", reference.wave_sine_forward)
