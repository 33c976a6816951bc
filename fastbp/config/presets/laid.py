"""A configuration with the keys of its preset beneath its own."""

from __future__ import annotations

from typing import Any

from fastbp.config.check import checked, one_of
from fastbp.config.merging import merge, paths
from fastbp.config.presets import presets
from fastbp.config.presets.known import known_of
from fastbp.config.text import Text

SHORT = ("hidden", "activation", "norm", "dropout", "embed_numbers", "init")  # of a network, beside `layers`


def laid(text: Text) -> Text:
    """The same configuration in full: without the key `preset`, and with what that stands for."""
    name = text.data.get("preset")
    if name is None:
        return Text({key: value for key, value in text.data.items() if key != "preset"}, text.places)
    if not isinstance(name, str):
        checked(text)  # refuses it
    if name not in presets():
        raise one_of(text, ("preset",), name, presets())
    own = Text({key: value for key, value in text.data.items() if key != "preset"}, dict(text.places))
    found: dict[str, Any] = presets()[name].keys(known_of(checked(own)))
    if (own.data.get("network") or {}).get("layers") is not None:  # all layers are the configuration's own
        found["network"] = {key: value for key, value in found.get("network", {}).items() if key not in SHORT}
    return merge(Text(found, dict.fromkeys(paths(found), (f"preset {name}", 0))), own)
