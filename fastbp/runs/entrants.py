"""The networks of a pack's run: a member for each draw, with folds a network for each member and fold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.config import rules
from fastbp.config.build import Plan, layers_of, plan_of, trainer_of
from fastbp.config.check import fail
from fastbp.config.pack import MemberPlan, members_of, of_member, on_fold
from fastbp.config.text import Text
from fastbp.data.prepare import Part, reading_once
from fastbp.errors import DataError
from fastbp.model.network import Network
from fastbp.numerics.draws import bootstrap
from fastbp.runs.subject import Subject, subject_of
from fastbp.spec import arrays
from fastbp.train.held_out import HeldOut, Units, held_out_of
from fastbp.train.members import Checked, Member
from fastbp.train.seats import Seats


@dataclass
class Entrant:
    """A network of a pack, with the rows and the configuration that it has.

    Attributes
    ----------
    of : MemberPlan
    fold : int or None
        On which it is validated.
    subject : Subject
        Its rows.
    member : Member
        Its trainer.
    data, held_out : as `Member.fit` takes them
    """

    of: MemberPlan
    fold: int | None
    subject: Subject
    member: Member
    data: Checked
    held_out: HeldOut | None

    @property
    def named(self) -> dict[str, int]:
        """Its member and fold, as files name them."""
        return {"member": self.of.number, **({} if self.fold is None else {"fold": self.fold})}

    @property
    def rows(self) -> int:
        """The rows that it is trained on in an epoch."""
        return len(self.data[0] if self.member.rows is None else self.member.rows)


def subjects_of(plan: Plan, look: bool = False) -> list[Subject]:
    """The rows of the networks of a pack: for each fold those of a run that validates on it, else one for all."""
    pack = plan.config.pack
    assert pack is not None
    if pack.folds is None:
        subject = subject_of(plan, look)
        if pack.online is not None and "validation" not in subject.parts:
            raise fail(plan.text, ("pack", "online"), "must have validation rows to choose by")
        return [subject]
    with reading_once():
        return _on_folds(plan, pack.folds, look)


def _on_folds(plan: Plan, folds: int, look: bool) -> list[Subject]:
    found: list[Subject] = []
    for fold in range(folds):
        own = fold_of(plan, folds, fold)
        try:
            found.append(subject_of(own, look and fold == 0))
        except DataError as error:
            if error.where == "data.split":
                must = "must be at most the rows, or groups of rows, that are not for the test"
                raise fail(plan.text, ("pack", "folds"), must, f"`{folds}`") from None
            unseen = re.search(r" must be a class seen in training, got (`.*`)$", error.must)
            if unseen:
                must = f"must leave rows of every class to train on, but fold {fold} leaves none of {unseen[1]}"
                raise fail(plan.text, ("pack", "folds"), must) from None
            raise
        fitted = [subject.recipe.to_data()["outputs"].get("transforms") for subject in (found[0], found[-1])]
        if fitted[0] != fitted[1]:
            must = "must not be `quantile` together with `pack.folds`, each of which would have its own"
            raise fail(plan.text, ("data", "target_transform"), must)
    return found


def fold_of(plan: Plan, folds: int, fold: int) -> Plan:
    """The configuration of a run that validates on one of so many folds."""
    own = plan_of(Text(on_fold({**plan.text.data, "pack": None}, folds, fold), plan.text.places))
    own.strict = plan.strict
    return own


def entrants_of(plan: Plan, subjects: list[Subject]) -> list[Entrant]:
    """Everything that is trained; refuses what cannot be, before anything is."""
    found = list(each_entrant(plan, subjects))
    seats = Seats(subjects[0].loss)
    for each in found:
        each.member.seats = seats
    return found


def each_entrant(plan: Plan, subjects: list[Subject]) -> Iterator[Entrant]:
    """The same one after another, for those who keep no network: all together may be more than there is memory."""
    pack = plan.config.pack
    assert pack is not None
    members = members_of(plan)
    graphs: dict[str, Any] = {}
    recipes = [subject.recipe.to_data() for subject in subjects]
    taken = [_rows(subject) for subject in subjects]
    for one in members:
        for k, subject in enumerate(subjects):
            with of_member(one.number):
                net = _network(one, subject, graphs)
                net.about = {"recipe": recipes[k]}
                trainer = trainer_of(one.plan, net, subject.loss)
            fold = None if pack.folds is None else k
            train = subject.parts["train"]
            chosen = None
            if pack.bootstrap is not False:
                count = max(1, round(len(train) * float(pack.bootstrap)))
                numbers = bootstrap(len(train), count, plan.config.seed, one.number, k)
                chosen = numbers.astype(np.uint32)
            data, held_out = taken[k](net)
            yield Entrant(one, fold, subject, Member(trainer, chosen), data, held_out)


def _network(one: MemberPlan, subject: Subject, graphs: dict[str, Any]) -> Network:
    """The network of a member; those with the same layers share their graph."""
    text, config, sizes = one.plan.text, one.plan.config, subject.sizes
    rows = None if one.plan.embedder is None else subject.fingerprint  # of which bins are
    key = json.dumps([text.data.get("network"), *sizes[:2], sorted(sizes[2].items()), sizes[4], rows])
    graph = graphs.get(key)
    if graph is None:
        graph = graphs[key] = layers_of(one.plan, *sizes)
        subject.loss.check_outputs(graph.outputs)
    rules.of_parameters(text, config.trainer, graph)
    return Network.of_graph(graph, config.seed, config.dtype)


def _rows(subject: Subject) -> Any:
    """Rows as kernels read them, checked once, and codes for each graph."""
    known: dict[str, Any] = {}
    seen: set[int] = set()

    def rows(net: Network) -> tuple[Checked, HeldOut | None]:
        train, loss = subject.parts["train"], subject.loss
        if not known:
            known["data"] = net.checked(train.X, train.y, loss, subject.training_weight)
            known["held out"] = held_out_on(net, subject)
        elif id(net.graph) not in seen:
            for x in (known["data"][0], *([known["held out"].checked[0]] if known["held out"] else [])):
                for column, count in net.graph.codes():
                    arrays.codes("X", x, column, count)
        seen.add(id(net.graph))
        return known["data"], known["held out"]

    return rows


def held_out_on(net: Network, subject: Subject) -> HeldOut | None:
    """The validation rows of a run, where it has some."""
    part: Part | None = subject.parts.get("validation")
    if part is None:
        return None
    units = None if part.numbers is None else Units(subject.recipe.outputs.back, part.numbers)
    given = (part.X, part.y) if part.weight is None else (part.X, part.y, part.weight)
    return held_out_of(net, subject.loss, given, subject.metrics, units, 1)
