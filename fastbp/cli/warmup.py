"""`fastbp warmup`."""

from __future__ import annotations

import click


@click.command("warmup")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
def command(quiet: bool) -> None:
    """Compile every kernel into the cache, in both precisions, so that nothing is compiled later: for images."""
    import time

    from fastbp.engine import cache
    from fastbp.engine.compiler import compile_all

    begun = time.perf_counter()
    count = compile_all()
    if not quiet:
        click.echo(f"{count} kernels are in {cache.folder()}, {time.perf_counter() - begun:.1f} s", err=True)
