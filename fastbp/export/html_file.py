"""`fb.export.html`: a model as one page, in which inputs are moved and predictions follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from fastbp.autodiff.tracer import Tracer
from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.export.gated import Gated, gated
from fastbp.export.in_html.columns import columns_of_inputs, columns_of_tables
from fastbp.export.in_js.text import value
from fastbp.export.js_file import check_size, closure
from fastbp.export.model import Model, model_of
from fastbp.export.raw import tables_of
from fastbp.export.together import said
from fastbp.spec.checks import path_ending_in, texts
from fastbp.train.averages import probable
from fastbp.writing import whole

ENDING = ".html"
HERE = Path(__file__).parent / "in_html"
ENDS = ("softmax", "log_softmax", "sigmoid")  # layers behind which outputs are said as they are


def html(
    model: Any,
    path: str | PathLike[str],
    title: str | None = None,
    ranges: Mapping[Any, Any] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> list[Path]:
    """Write a page that predicts by itself: no server, nothing to load, also from a disk.

    Parameters
    ----------
    model : Network, Trainer, Pack, Ensemble, estimator of `fastbp.sklearn`, or path
    path : str or Path
        Ends in .html.
    title : str, optional
    ranges : dict of str to (float, float), optional
        Between what columns of numbers may be moved. By default what the recipe has kept of the training rows; of a
        network without a recipe from -3 to 3.
    inputs, outputs : list of str, optional
        Names for a model without a recipe, by default `x0`, `x1` and `y0`, `y1`.

    Returns
    -------
    list of Path
        What has been written.
    """
    file = path_ending_in("path", path, ENDING)
    if title is not None and not isinstance(title, str):
        raise ConfigTypeError("title", "must be a text", f"`{brief(title)}`")
    text = page(model_of(model), title or file.stem, ranges or {}, inputs, outputs)
    check_size(len(text))
    with whole(file) as out:
        out.write(text.encode())
    return [file]


def page(model: Model, title: str, ranges: Mapping[Any, Any], inputs: Any = None, outputs: Any = None) -> str:
    """The whole page."""
    about = _of_tables(model, ranges, inputs, outputs) if model.recipes else _of_arrays(model, ranges, inputs, outputs)
    networks = "one network" if len(model.members) == 1 else f"{len(model.members)} networks"
    about |= {"about": f"{networks.capitalize()}, computed by fastbp's export in this page; nothing is sent anywhere."}
    script = closure(model, _probabilities(model) if not model.recipes else None)
    parts = {
        "TITLE": escape(title),
        "STYLE": (HERE / "page.css").read_text(),
        "MODEL": script,
        "ABOUT": value(about),
        "SCRIPT": (HERE / "page.js").read_text(),
    }
    found = (HERE / "page.template.html").read_text()
    pieces = found.split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _of_tables(model: Model, ranges: Mapping[Any, Any], inputs: Any, outputs: Any) -> dict[str, Any]:
    for where, given in (("inputs", inputs), ("outputs", outputs)):
        if given is not None:
            raise ConfigError(where, "must be left out, as the model's recipe names them")
    tables = tables_of(model)
    said = tables.outcome
    array = tables.array or model.array
    about: dict[str, Any] = {"columns": columns_of_tables(model, tables, ranges), "rows": "array" if array else "named"}
    if said.task == "classes":
        keys = [f"{said.target} = {name}" for name in said.names]
        about |= {"task": "classes", "target": said.target}
    elif said.task == "labels":
        keys = [f"{name} probability" for name in said.names]
        about |= {"task": "labels"}
    else:
        keys = list(said.names)
        about |= {"task": "numbers"}
    return about | {"keys": keys, "names": list(said.names)}


def _of_arrays(model: Model, ranges: Mapping[Any, Any], inputs: Any, outputs: Any) -> dict[str, Any]:
    width = sum(width for _, width in model.inputs)
    count = _outputs(model)
    names = _names("inputs", inputs, width, "x")
    of = _names("outputs", outputs, count, "y")
    about = {"columns": columns_of_inputs(model, names, ranges), "rows": "plain", "names": of, "keys": of}
    return about | {"task": _task(model)}


def _names(where: str, given: Any, count: int, letter: str) -> list[str]:
    if given is None:
        return [f"{letter}{i}" for i in range(count)] if count > 1 else [letter]
    found = texts(where, given)
    if len(found) != count or len(set(found)) < count:
        raise ConfigError(where, f"must be {count} different names", f"`{brief(found)}`")
    return found


def _says_probabilities(model: Model) -> bool:
    """Whether outputs stand for probabilities that the page computes, as they are logits."""
    alone = not model.joined and len(model.net.graph.heads) == 1 and model.loss is not None
    return alone and probable(model.loss) and model.net.graph.ends[0].kind not in ENDS  # type: ignore[arg-type]


def _task(model: Model) -> str:
    if len(model.net.graph.heads) > 1 or model.loss is None:
        return "classes" if model.net.graph.ends[0].kind == "softmax" and len(model.net.graph.heads) == 1 else "numbers"
    if not probable(model.loss):
        return "numbers"
    return "labels" if "labels" in model.loss.tasks else "classes"


def _outputs(model: Model) -> int:
    made = _probabilities(model) or gated(model)
    return sum(made.gates.shape(number)[1] for number in made.outputs.values())


def _probabilities(model: Model) -> Gated | None:
    """The gates of a network whose outputs are logits, which a page says as probabilities."""
    if not _says_probabilities(model):
        return None
    made = gated(model)
    ((name, number),) = made.outputs.items()
    assert model.loss is not None
    made.outputs = {name: said(model.loss, Tracer(made.gates, number)).means.number}
    return made
