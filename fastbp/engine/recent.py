"""What was used last, so that plans for one question after another do not pile up."""

from __future__ import annotations

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(dict[Key, Value]):
    """A dict that forgets what was not used for long: it has room for so many, and as many more that came before.

    When it is full, everything becomes old, and what was old and not asked for since is forgotten. So a value that is
    there is found by the dict's own `get`, which notes nothing.

    Examples
    --------
    >>> recent = Recent(2)
    >>> for name in ("a", "b", "c", "d"):
    ...     recent[name] = name.upper()
    ...     found = recent.find("a")
    >>> recent.find("a"), recent.find("b"), recent.find("d")
    ('A', None, 'D')
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self._old: dict[Key, Value] = {}

    def find(self, key: Key) -> Value | None:
        """The value, or None where there is none or it is forgotten; one thread at a time."""
        value = self.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is not None:
                self[key] = value
        return value

    def __setitem__(self, key: Key, value: Value) -> None:
        if len(self) >= self.room and key not in self:
            self._old = dict(self)
            super().clear()
        super().__setitem__(key, value)

    def clear(self) -> None:
        super().clear()
        self._old.clear()
