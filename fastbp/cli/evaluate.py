"""`fastbp evaluate`."""

from __future__ import annotations

import click

from fastbp.cli.options import Command, json_option, refuse_delimiter
from fastbp.cli.output import print_json, say, table


@click.command("evaluate", cls=Command)
@click.argument("model")
@click.argument("files", nargs=-1)
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME", help="By default those of the run.")
@click.option("--delimiter", help="Field delimiter of .csv files; by default as in training.")
@json_option
def command(
    model: str,
    files: tuple[str, ...],
    metrics: tuple[str, ...],
    delimiter: str | None,
    as_json: bool,
) -> None:
    """Loss and metrics of MODEL, a network or a run's folder, on FILES.

    Without FILES a run is evaluated on its own training, validation and test rows.
    """
    from fastbp.runs.prediction import Model, settings_of
    from fastbp.runs.scores import own_scores
    from fastbp.runs.subject import METRICS

    if delimiter is not None and not files:
        raise click.UsageError("`--delimiter` must be given together with FILES")
    refuse_delimiter(delimiter, files)
    found = Model.load(model)
    settings, loss, own = settings_of(model)
    names = list(metrics) or (own if own is not None else METRICS[found.recipe.outputs.task])
    if files:
        if delimiter:
            settings["delimiter"] = delimiter
        scores = {"files": found.evaluate(found.read(files, settings), names, loss)}
    else:
        scores = own_scores(model, found.net, names)
    if as_json:
        print_json({"model": str(found.path), "metrics": scores})
        return
    from fastbp.runs.progress import number

    columns = list(next(iter(scores.values())))
    say(table([["", *columns], *([s, *(number(v) for v in values.values())] for s, values in scores.items())]))
