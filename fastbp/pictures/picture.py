"""A picture: the text of an SVG, which notebooks show and files hold."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from fastbp.errors import ConfigError
from fastbp.writing import whole


class Picture:
    """An SVG; `str` is its text, and a notebook shows it.

    Parameters
    ----------
    svg : str

    Examples
    --------
    >>> import fastbp as fb
    >>> picture = fb.trace(lambda x, y: x * y).draw(x=3, y=-4)
    >>> str(picture)[:4]
    '<svg'
    """

    def __init__(self, svg: str) -> None:
        self._svg = svg

    def __str__(self) -> str:
        return self._svg

    def _repr_svg_(self) -> str:
        return self._svg

    def save(self, path: str | PathLike[str]) -> None:
        """Write the picture to a file, whose name ends in `.svg`."""
        if Path(path).suffix.lower() != ".svg":
            raise ConfigError("path", "must end in `.svg`, as that is what a picture is", f"`{path}`")
        with whole(Path(path)) as file:
            file.write(self._svg.encode())
