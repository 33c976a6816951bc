"""Every vector width gives the same bits: all kernels, and networks trained, with registers of 16, 8 and 4 float32."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from fastbp.engine.compiler import _kernels
from tests.kernels import calls, every_kernel
from tests.kernels.harness import Machine

ROOT = Path(__file__).parents[2]


@cache
def computed(lanes):
    """Lanes used, digest of the kernels, digest of the networks, in a process of its own."""
    environment = os.environ | {"FASTBP_QUIET": "1", "FASTBP_LANES": str(lanes)}
    fill = [sys.executable, "-m", "fastbp", "warmup"]  # with a process for each processor
    subprocess.run(fill, cwd=ROOT, env=environment, capture_output=True, check=True)
    command = [sys.executable, "-m", "tests.kernels.every_kernel"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    used, *digests = done.stdout.split()
    return int(used), digests


@pytest.mark.parametrize("lanes", [8, 4])
def test_fewer_lanes_give_the_same_bits(lanes):
    widest, expected = computed(16)
    if widest <= lanes:
        pytest.skip(f"this machine's registers have {widest} lanes")
    used, digests = computed(lanes)
    assert used == lanes
    assert digests == expected


def test_the_digest_covers_every_kernel(monkeypatch):
    called = set()

    class Watched(Machine):
        def call(self, kernel, *rest):
            called.add(kernel)
            super().call(kernel, *rest)

    monkeypatch.setattr(every_kernel, "Machine", Watched)
    every_kernel.digest()
    ours = {name for name in _kernels() if "custom_" not in name}  # not those of formulas in other tests
    assert ours - called == set()


def test_the_digest_sees_one_bit(monkeypatch):
    before = every_kernel.digest()
    product = calls.product

    def almost(m, *args, **words):
        out = product(m, *args, **words)
        if (m.real, out.rows) == ("float64", 23):
            out.content[0, 22, 5] ^= 1
        return out

    monkeypatch.setattr(calls, "product", almost)
    assert every_kernel.digest() != before
