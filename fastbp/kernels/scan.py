"""Looking at whole arrays before anything is trained on them: one pass at the speed of memory."""

from __future__ import annotations

from fastbp.kernels.flags import kernel
from fastbp.kernels.lines import largest_lane, magnitude_bits
from fastbp.kernels.memory import bytes_of, load, load_first, zero_bits
from fastbp.kernels.vector import LINE
from fastbp.kernels.words import WORDS


@kernel(None, WORDS)
def scan_reals(array, result, r0, r1, z):
    """Write the bits of the largest magnitude in numbers r0 to r1 of `array` to `result`; NaN and inf are largest."""
    item = bytes_of(z)
    in_line = LINE // item
    first = zero_bits(z)
    second = zero_bits(z)
    i = r0
    while i + 2 * in_line <= r1:
        first = magnitude_bits(first, load(array + i * item, z))
        second = magnitude_bits(second, load(array + i * item + LINE, z))
        i += 2 * in_line
    while i < r1:
        first = magnitude_bits(first, load_first(array + i * item, min(in_line, r1 - i), z))
        i += in_line
    result[0] = max(largest_lane(first), largest_lane(second))


@kernel(WORDS, WORDS)
def scan_labels(labels, result, r0, r1, z):
    """Write the index of the first of the r0 `labels` that is not in 0 .. r1 - 1 to `result`; -1 if there is none."""
    result[0] = -1
    for i in range(r0):
        label = labels[i]
        if label < 0 or label >= r1:
            result[0] = i
            return
