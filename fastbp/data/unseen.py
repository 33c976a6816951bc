"""Values of categories that training did not see: how they are told from others, counted, said and refused.

A value that training did not see is all zeros, or row 0 of an embedding, so a column of them says nothing to a network.
Often it is only written in another way than in training, so what means the same is the same value:

    10, 10.0, 1e1     numbers are compared by value, unless training had one with zeros in front: then 02301 is not 2301
    True, true, 1     where training saw booleans only, or 0 and 1 only
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fastbp.data.columns import FALSE, TRUE, has_zeros, is_plain
from fastbp.errors import DataError, DataWarning, tell, visible

FEW = 20  # rows of which the share of unseen values says nothing
_WHOLE = re.compile(r"[-+]?\d{1,300}(\.0*)?", re.ASCII)


class Keys:
    """What makes values of a column the same, by the values that training saw."""

    def __init__(self, values: Iterable[str]) -> None:
        values = [value.strip() for value in values]
        self.exact = any(map(has_zeros, values))
        words = {self._by_value(value) for value in values}
        self.codes: dict[str, str] = {}
        if words and words <= TRUE | FALSE:
            self.codes = {**dict.fromkeys((*TRUE, "1"), "True"), **dict.fromkeys((*FALSE, "0"), "False")}
        elif words and words <= {"0", "1"}:
            self.codes = {**dict.fromkeys(TRUE, "1"), **dict.fromkeys(FALSE, "0")}

    def __call__(self, value: str) -> str:
        """The text that stands for a value and for all that are the same."""
        key = self._by_value(value.strip())
        return self.codes.get(key, key)

    def _by_value(self, value: str) -> str:
        if self.exact or not any(c.isdigit() for c in value) or not is_plain(value):
            return value
        if _WHOLE.fullmatch(value):
            return str(int(value.partition(".")[0]))
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def by_value(counts: Counter[str]) -> Counter[str]:
    """How often each value is there, by how often each text is.

    Examples
    --------
    >>> by_value(Counter({"250.0": 2, "250.00": 1, "1e2": 1}))
    Counter({'250': 3, '100': 1})
    """
    key = Keys(counts)
    found: Counter[str] = Counter()
    for text, count in counts.items():
        found[key(text)] += count
    return found


@dataclass
class Unseen:
    """The rows of a table whose value in one column is new.

    Attributes
    ----------
    column : str
    count, rows : int
        Rows with such values, and all.
    example, place : str
        The first such value, and its place for messages.
    known : list of str
        The values of training.
    expected : float or None
        The share that new rows of the training table would have; None where an older version trained.
    """

    column: str
    count: int
    rows: int
    example: str
    place: str
    known: Sequence[str]
    expected: float | None


def joined(found: Iterable[Unseen], rows: int) -> list[Unseen]:
    """What is new in blocks of a table of so many rows, as of the whole table."""
    first: dict[str, Unseen] = {}
    for new in found:
        had = first.get(new.column)
        count = new.count + (had.count if had else 0)
        first[new.column] = replace(had or new, count=count, rows=rows)
    return list(first.values())


def told(found: Sequence[Unseen], origin: str, limit: float, strict: bool = False) -> None:
    """Say what is unseen, column by column, or refuse it if it is more than expected by a share of `limit`."""
    for new in found:
        name = visible(new.column)
        if strict:
            raise DataError(
                f"{new.place}column `{name}` must have a value that training saw, got `{visible(new.example)}`"
            )
        share = new.count / new.rows
        if new.expected is not None and new.rows >= FEW and share > new.expected + limit:
            known = ", ".join(f"`{visible(value)}`" for value in new.known[:5]) + ", ..." * (len(new.known) > 5)
            raise DataError(
                f"{origin}: column `{name}` must have values that training saw in all rows but"
                f" {new.expected + limit:.1%} at most, got others in {share:.1%}, such as `{visible(new.example)}`",
                hint=f"training saw {known or 'none often enough'}; `data.unseen` in its configuration sets the limit",
            )
        tell(
            DataWarning(
                f"{origin}: column `{name}` has values that training did not see in {new.count:,} of {new.rows:,} rows"
                f" ({share:.1%}), such as `{visible(new.example)}`"
            )
        )
