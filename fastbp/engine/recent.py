"""A cache of recent values, so that plans do not pile up."""

from __future__ import annotations

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(dict[Key, Value]):
    """A dict that forgets values not used for long: two generations of at most `room` values.

    When the young generation is full it becomes the old one, whose values are forgotten. A hit in the young one is a
    plain `dict.get` without bookkeeping.

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
        """The value, or None if it is missing or forgotten; not thread-safe."""
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
