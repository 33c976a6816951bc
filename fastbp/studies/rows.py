"""Prepared rows, which trials of one process share as far as their data are the same."""

from __future__ import annotations

import json
from collections import OrderedDict

import msgspec

from fastbp.config.build import Plan
from fastbp.data.prepare import Prepared
from fastbp.runs.subject import Subject, prepared_of, subject_with

KEPT = 2  # tables, of which the last ones are kept


class Rows:
    """Subjects of plans, whose rows are read and prepared once."""

    def __init__(self) -> None:
        self._first: OrderedDict[str, Subject] = OrderedDict()

    def subject(self, plan: Plan) -> Subject:
        """A plan with its data."""
        config, loss = plan.config, plan.loss
        said = [msgspec.to_builtins(config.data), config.seed, config.dtype, repr(loss), plan.strict]
        key = json.dumps(said)
        first = self._first.get(key)
        if first is None:
            first = self._first[key] = subject_with(plan, *prepared_of(plan))
            while len(self._first) > KEPT:
                self._first.popitem(last=False)
        self._first.move_to_end(key)
        found = subject_with(plan, Prepared(first.parts, first.recipe, first.seen))
        for name in ("fingerprint", "_embedded"):  # of the rows alone
            vars(found)[name] = getattr(first, name)
        return found
