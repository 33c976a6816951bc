"""`fastbp warmup`."""

from __future__ import annotations

import click

from fastbp.cli.options import Command
from fastbp.cli.output import say


@click.command("warmup", cls=Command)
@click.option("--jobs", type=click.IntRange(1, 256), help="Number of processes; by default one per processor.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
def command(jobs: int | None, quiet: bool) -> None:
    """Compile every kernel into the cache, in both precisions (for container images)."""
    import os
    import time

    from fastbp.engine import cache, compiler, threads
    from fastbp.engine.build import compile_missing

    begun = time.perf_counter()
    if quiet:
        os.environ["FASTBP_QUIET"] = "1"
    count = compile_missing(jobs or threads.processors())
    if not quiet:
        spent = time.perf_counter() - begun
        there = len(compiler.everything())
        say(f"{there} kernels are in {cache.folder()}, {count} compiled, {spent:.1f} s", err=True)
