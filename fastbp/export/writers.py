"""Which writer a file is written by, from its ending."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Writer:
    """A function that writes models.

    Attributes
    ----------
    name : str
        Of the function ``(model, path, **options)``, which is public in `fastbp.export` and returns the files it
        wrote, or the text of a program that reads the file.
    home : str
        The module that has it; not one of its name, which would take its place.
    what : str
        What it writes, for messages and help.
    options : tuple of str
        Options of `fastbp export` that it takes, as arguments of these names; `no_preprocessing` as `preprocessing`.
    """

    name: str
    home: str
    what: str
    options: tuple[str, ...] = ()


# By the ending of the file.
WRITERS: dict[str, Writer] = {
    ".onnx": Writer("onnx", "fastbp.export.onnx_file", "ONNX", ("jacobian", "opset", "no_preprocessing", "numbers")),
    ".c": Writer("c", "fastbp.export.c_file", "C99", ("name", "jacobian", "casadi", "no_preprocessing", "numbers")),
    ".js": Writer("js", "fastbp.export.js_file", "JavaScript", ("no_preprocessing",)),
    ".mjs": Writer("js", "fastbp.export.js_file", "JavaScript", ("no_preprocessing",)),
    ".cjs": Writer("js", "fastbp.export.js_file", "JavaScript", ("no_preprocessing",)),
    ".html": Writer("html", "fastbp.export.html_file", "a page", ("title", "ranges")),
    ".safetensors": Writer("torch", "fastbp.export.torch_file", "tensors of PyTorch"),
}
