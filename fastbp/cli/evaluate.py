"""`fastbp evaluate`."""

from __future__ import annotations

import click

from fastbp.cli.options import output_options, table_options, table_settings
from fastbp.cli.output import print_json, say, table


@click.command("evaluate")
@click.argument("model")
@click.argument("files", nargs=-1)
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME", help="By default those of the run.")
@table_options
@output_options
def command(
    model: str,
    files: tuple[str, ...],
    metrics: tuple[str, ...],
    delimiter: str | None,
    encoding: str | None,
    strict: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Loss and metrics of MODEL, a network or a run's folder, on FILES, - for stdin.

    Without FILES a run is evaluated on its own training, validation and test rows.
    """
    from fastbp.runs.prediction import Model, settings_of
    from fastbp.runs.scores import own_scores
    from fastbp.runs.subject import METRICS

    found = Model.load(model)
    settings, loss, own = settings_of(model)
    names = list(metrics) or (own if own is not None else METRICS[found.recipe.outputs.task])
    if files:
        frame = found.read(files, table_settings(settings, delimiter, encoding))
        scores = {"files": found.evaluate(frame, names, loss, strict)}
    else:
        scores = own_scores(model, found.net, names)
    if as_json:
        print_json({"model": str(found.path), "metrics": scores})
        return
    from fastbp.runs.progress import number

    columns = list(next(iter(scores.values())))
    say(table([["", *columns], *([s, *(number(v) for v in values.values())] for s, values in scores.items())]))
