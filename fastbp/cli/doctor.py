"""`fastbp doctor`."""

from __future__ import annotations

import click

from fastbp.cli.options import Command
from fastbp.cli.output import print_json, say, table


@click.command("doctor", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--clean-cache", is_flag=True, help="Remove machine code of other versions, levels and settings instead.")
def command(as_json: bool, clean_cache: bool) -> None:
    """Show what fastbp detects on this machine, and how fast it is."""
    if clean_cache:
        _clean(as_json)
        return
    from fastbp.runs.machine import findings

    found = findings()
    if as_json:
        print_json(found)
        return
    found.pop("profile")  # which stands there in words as well
    say(table([[name.replace("_", " "), str(value)] for name, value in found.items()], right=False))


def _clean(as_json: bool) -> None:
    from fastbp.engine import cache

    files, size = cache.clean()
    if as_json:
        print_json({"cache_folder": str(cache.user_folder()), "removed_files": files, "removed_bytes": size})
        return
    say(f"removed {files} files, {size / 2**20:.1f} MiB, from {cache.user_folder()}")
