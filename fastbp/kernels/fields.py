"""Records: named words in memory, described once as a class.

    class Matrix(Record):
        start = Word("address of the first line")
        stride = Word("bytes from one panel to the next")

From the description come the offsets, what compiled code reads and writes (`op.a.stride`, see `words.py`), and Python's
window on a record in memory, which is an instance of the class: `Matrix(words)` over an array of int64, or
`Matrix(start=..., stride=...)` with memory of its own. A field that the class does not have is an error in both.
"""

from __future__ import annotations

from operator import index
from struct import Struct
from typing import Any, ClassVar

import numpy as np

WORD = 8
DOUBLE = Struct("=d")
LINE = 64  # bytes of a line, in which kernels read and write
LINE_WORDS = LINE // WORD


class Field:
    """A field of a record; `doc` describes it.

    Attributes
    ----------
    name : str
        Its name in the record.
    offset, size : int
        Its place in words.
    align : int
        Its alignment in words.
    per_panel : bool
        Whether its address moves with the panels of the result, when an op is cut by columns.
    """

    size = 1
    align = 1

    def __init__(self, doc: str, *, per_panel: bool = False) -> None:
        self.doc = doc
        self.per_panel = per_panel
        self.name = ""
        self.offset = -1

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        if record is None:
            return self
        raise AttributeError(f"`{self.name}` cannot be read as a whole")

    def __set__(self, record: Any, value: Any) -> None:
        raise AttributeError(f"`{self.name}` cannot be written as a whole")


class Word(Field):
    """A whole number, or an address."""

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        return self if record is None else record.words.item(self.offset)

    def __set__(self, record: Any, value: Any) -> None:
        record.words[self.offset] = index(value)


class Real(Field):
    """A float64."""

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        return self if record is None else DOUBLE.unpack_from(record.words, self.offset * WORD)[0]

    def __set__(self, record: Any, value: Any) -> None:
        DOUBLE.pack_into(record.words, self.offset * WORD, value)


class Link(Word):
    """The address of one record or several of a kind; 0 where there is none."""

    def __init__(self, kind: str, doc: str) -> None:
        super().__init__(doc)
        self.kind = kind


class WordsAt(Word):
    """The address of whole numbers."""


class RealsAt(Word):
    """The address of float64 numbers."""


class Words(Field):
    """Whole numbers inside the record; `over` makes them another name for other fields."""

    kind: Any = np.int64

    def __init__(self, size: int, doc: str, *, over: str = "") -> None:
        super().__init__(doc)
        self.size = size
        self.over = over

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        return self if record is None else record.words[self.offset : self.offset + self.size].view(self.kind)

    def __set__(self, record: Any, value: Any) -> None:
        self.__get__(record)[...] = value


class Reals(Words):
    """The same for float64 numbers."""

    kind = np.float64


class WordLine(Words):
    """A whole number on a cache line of its own, to avoid false sharing."""

    align = LINE_WORDS

    def __init__(self, doc: str) -> None:
        super().__init__(LINE_WORDS, doc)


class Lines(Field):
    """Whole lines, used by address."""

    align = LINE_WORDS

    def __init__(self, count: int, doc: str) -> None:
        super().__init__(doc)
        self.size = count * LINE_WORDS


class Part(Field):
    """A record inside the record."""

    def __init__(self, kind: type[Record], doc: str, *, per_panel: bool = False) -> None:
        super().__init__(doc, per_panel=per_panel)
        self.kind = kind
        self.size = kind.size
        self.align = kind.align

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        if record is None:
            return self
        found = record.parts.get(self.name)
        if found is None:
            found = record.parts[self.name] = self.kind(record.words[self.offset : self.offset + self.size])
        return found

    def __set__(self, record: Any, value: Any) -> None:
        self.__get__(record).take(value)


class RecordMeta(type):
    """The metaclass of records: instances have slots for words and notes only, so other names are errors."""

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> RecordMeta:
        space.setdefault("__slots__", space.get("notes", ()))
        return super().__new__(cls, name, bases, space, **options)


class Record(metaclass=RecordMeta):
    """Words with names; see the module.

    `room=` sets the size of all subclasses in words, so that their records fit into one table; `line=True` aligns
    record and size to whole lines.
    """

    __slots__ = ("parts", "words")

    fields: ClassVar[dict[str, Field]] = {}
    size: ClassVar[int] = 0
    align: ClassVar[int] = 1
    room: ClassVar[int] = 0
    notes: ClassVar[tuple[str, ...]] = ()  # Python-only attributes of a record
    words: Any
    parts: dict[str, Record]  # records inside it, made on first access

    def __init_subclass__(cls, *, room: int = 0, line: bool = False) -> None:
        end = max((f.offset + f.size for f in cls.fields.values()), default=0)
        cls.fields = dict(cls.fields)
        cls.room = room or cls.room
        cls.align = max(cls.align, LINE_WORDS if line else 1)
        for name, field in vars(cls).items():
            if isinstance(field, Field):
                if isinstance(field, Words) and field.over:
                    field.offset = cls.fields[field.over].offset
                else:
                    field.offset = -(-end // field.align) * field.align
                    end = field.offset + field.size
                cls.align = max(cls.align, field.align)
                cls.fields[name] = field
        cls.size = cls.room or -(-end // cls.align) * cls.align
        if end > cls.size:
            raise TypeError(f"`{cls.__name__}` takes {end} words, more than the {cls.size} that its kind has")

    def __init__(self, words: Any = None, **values: Any) -> None:
        self.words = np.zeros(self.size, np.int64) if words is None else words
        self.parts = {}
        for name, value in values.items():
            setattr(self, name, value)

    def cell(self, name: str) -> Any:
        """One number as an array of one element, for fast access at every step."""
        field = self.fields[name]
        return self.words[field.offset : field.offset + 1].view(np.float64 if isinstance(field, Real) else np.int64)

    def take(self, value: Any) -> None:
        """Copy another record of this class; subclasses may take other values."""
        if not isinstance(value, type(self)) or value.size != self.size:
            raise TypeError(f"`{type(self).__name__}` cannot be made of `{type(value).__name__}`")
        self.words[:] = value.words

    def copy(self) -> Any:
        """The same record in memory of its own."""
        return self.at(self.words.copy())

    def at(self, words: Any) -> Any:
        """This record's kind and notes, over other words."""
        out = type(self)(words)
        for name in self.notes:
            if hasattr(self, name):
                setattr(out, name, getattr(self, name))
        return out

    def values(self) -> dict[str, Any]:
        """The values of fields that are not 0, without lines and aliases."""
        found = {
            name: getattr(self, name)
            for name, field in self.fields.items()
            if not isinstance(field, Lines) and not (isinstance(field, Words) and field.over)
        }
        return {
            name: value.values() if isinstance(value, Record) else value
            for name, value in found.items()
            if (value.words if isinstance(value, Record) else np.asarray(value)).any()
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.values().items())})"
