"""The twin of waves."""

from __future__ import annotations

import numpy as np

from fastbp import reference
from fastbp.kernels.trigonometry import CIRCLE32, CIRCLE64
from fastbp.lowering.check.call import Call
from fastbp.lowering.check.ops import twin
from fastbp.lowering.check.values import Output

ULPS = 3.0  # of a sine or cosine


@twin("wave_cosine")
def wave_cosine(call: Call) -> list[Output]:
    x, a = call.a(), call.real(call.op.setting_1)
    most = (CIRCLE32 if call.dtype == np.float32 else CIRCLE64).most
    known = np.abs(a * x) < most
    y, slope = reference.wave_cosine_forward(np.where(known, x, 0.0), a)
    # a x is rounded, which moves the wave by its slope and the slope by the wave
    off = call.eps * np.abs(a * x)
    found = [call.out(np.where(known, y, np.nan), ULPS * call.eps * np.abs(y) + off)]
    if call.op.y.start:
        found.append(call.out(np.where(known, slope, np.nan), abs(a) * (ULPS * call.eps + off), "y"))
    return found
