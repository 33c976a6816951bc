"""`fastbp evaluate`."""

from __future__ import annotations

import shutil
from typing import Any

import click

from fastbp.cli.options import Command, json_option, refuse_dialect, table_options, table_settings, tables_by_options
from fastbp.cli.output import print_json, say


@click.command("evaluate", cls=Command)
@click.argument("model")
@click.argument("files", nargs=-1)
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME", help="By default those of the run.")
@click.option("--part", metavar="NAME", help="Report on these rows of the run: train, validation or test, the default.")
@click.option("--positive", metavar="CLASS", help="The one of two classes to report on; by default the second.")
@click.option("--pictures", metavar="DIR", help="Write confusion and calibration to this folder, as SVG and CSV.")
@table_options
@json_option
def command(
    model: str,
    files: tuple[str, ...],
    metrics: tuple[str, ...],
    part: str | None,
    positive: str | None,
    pictures: str | None,
    delimiter: str | None,
    encoding: str | None,
    no_header: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Loss, metrics and a report of MODEL, a network, an ensemble or a run's folder, on FILES, - for stdin.

    Without FILES a run is evaluated on its own training, validation and test rows.
    """
    from fastbp.runs.prediction import model_at, settings_of
    from fastbp.runs.scores import part_named, score, told
    from fastbp.runs.subject import METRICS

    if files and part is not None:
        raise click.UsageError("`--part` must be left out where files are given")
    for option, given in (
        ("delimiter", delimiter),
        ("encoding", encoding),
        ("no-header", no_header),
        ("strict", strict),
    ):
        if given and not files:
            raise click.UsageError(f"`--{option}` must be given together with FILES")
    refuse_dialect(delimiter, encoding, no_header, files)
    found = model_at(model)
    task = found.recipe.outputs.task
    if positive is not None and task != "classes":
        raise click.UsageError(f"`--positive` must be given for classes, but `{model}` predicts {task}")
    settings, said, own = settings_of(model)
    names = list(metrics) or (own if own is not None else METRICS[task])
    if files:
        loss, recipe = found.loss(said), found.recipe
        with tables_by_options():
            rows = found.read(files, table_settings(settings, delimiter, encoding, no_header))
        parts, last = {"files": found.part(rows, strict)}, "files"
    else:
        from fastbp.runs.ensembles import own_rows

        parts, loss, recipe = own_rows(model, found)
        last = part_named(parts, part)
    scores_of = {name: score(found.net, rows, loss, names, recipe) for name, rows in parts.items()}
    report = told(found.net, parts[last], loss, recipe, positive)
    if pictures is not None:
        _draw(report, last, pictures)
    if as_json:
        print_json({"model": str(found.path), "metrics": scores_of, "report": {"part": last, **report}})
        return
    from fastbp.cli.report import paragraphs, scores

    width = shutil.get_terminal_size((100, 24)).columns
    say(scores(scores_of) + "\n\n" + paragraphs(report, width, "" if files else last))


def _draw(report: dict[str, Any], part: str, folder: str) -> None:
    from pathlib import Path

    from fastbp.runs.scores import files_of
    from fastbp.writing import naming, whole

    with naming(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in files_of(report, part).items():
        with whole(Path(folder) / name) as file:
            file.write(text.encode())
