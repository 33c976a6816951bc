"""Numbers that are codes."""

from __future__ import annotations

from collections.abc import Iterable


def are_codes(texts: Iterable[str | None]) -> bool:
    """Whether all texts are digits and some have a zero in front, as postcodes do; None is a missing one.

    Examples
    --------
    >>> are_codes(["01067", "80331"]), are_codes(["1067", "80331"]), are_codes(["0", "0.5"])
    (True, False, False)
    """
    some = False
    for text in texts:
        if text is not None:
            if not (text.isascii() and text.isdigit()):
                return False
            some = some or (len(text) > 1 and text[0] == "0")
    return some
