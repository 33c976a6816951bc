"""A pack: many networks that are trained at once, each with the bits that it would have alone."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine import forks
from fastbp.engine import threads as team
from fastbp.errors import ConfigError, ConfigTypeError, brief, whole_number
from fastbp.model.network import Network
from fastbp.spec.checks import whole
from fastbp.spec.elsewhere import hint_of_pack, known_words
from fastbp.spec.losses import Loss
from fastbp.train.callbacks import EarlyStopping
from fastbp.train.class_weights import of_classes, row_weights
from fastbp.train.ensemble import Ensemble
from fastbp.train.held_out import Units
from fastbp.train.history import History
from fastbp.train.members import Checked, Member, copied
from fastbp.train.optimizers import Optimizer
from fastbp.train.pack_calls import Turns, Work
from fastbp.train.pack_predictions import Predicting
from fastbp.train.pack_settings import at, each, fitting, named, networks, row_lists, seeds_of, trainers, within
from fastbp.train.schedules import Schedule
from fastbp.train.selection import Greedy, Online
from fastbp.train.settled import OF_A_PACK, is_ours, refused

Several = Sequence[Any] | NDArray[Any]


class Pack(Predicting):
    """Trains many networks at once on the same rows, or each on rows of its own.

    Each thread trains whole networks, for about a millisecond each in turn, so threads never wait for one another as
    those of one network do; where fewer are left than threads, several train one. Member i has the bits that it would
    have if `Trainer` trained it alone with its settings, whatever the others do.

    A setting is one value for all members, or a list with one for each.

    Parameters
    ----------
    nets : list of Network, or a Network
        The members. They need not have the same layers, but the same inputs, outputs and dtype. They are trained
        themselves, not copies. Of one network, `n` new ones are made with the same layers.
    loss : str or Loss
    optimizer : str or Optimizer, or a list of them
        By default ``fb.Adam(lr=1e-3)``. Several learning rates are several optimisers:
        ``[fb.Adam(lr=lr) for lr in (1e-3, 3e-3, 1e-2)]``.
    batch_size : int or list of int, >= 1
    threads : int, optional
        By default one per processor of this process; results do not depend on it.
    seed : int or list of int, optional
        Of dropout and of the order of batches; one number is that of the first member, and the others count on from it.
        By default each network's own. With `n` it is the seed of initial parameters too, by default the network's.
    schedule : str or Schedule, or a list of them, optional
    clip_norm, clip_value, accumulate, ema : number or list of them, optional
        As for `Trainer`.
    lr_factors, decay_factors, frozen, penalty, schedules, drop_last : optional
        As for `Trainer`, the same for all members.
    rows : list of arrays of int, optional
        The rows of X and y that each member is trained on, in `run` and `fit`: folds, or a bootstrap sample in which
        rows occur several times. By default all rows.
    n : int, >= 1, optional
        How many members are made of one network, with the seeds s, s + 1, s + 2 and so on.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> X = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    >>> pack = fb.Pack(fb.mlp([1, 16, 1], activation="tanh"), n=8, loss="mse", optimizer=fb.Adam(lr=1e-2))
    >>> losses = pack.run(X, X**2, steps=400)
    >>> losses.shape, bool(losses.max() < 0.05)
    ((8,), True)
    >>> pack.predict(X).shape, pack.predict_members(X).shape
    ((64, 1), (8, 64, 1))
    """

    @known_words
    def __init__(
        self,
        nets: Network | Sequence[Network],
        loss: str | Loss = "cross_entropy",
        optimizer: str | Optimizer | Several | None = None,
        batch_size: int | Several = 32,
        threads: int | None = None,
        seed: int | Several | None = None,
        schedule: str | Schedule | Several | None = None,
        clip_norm: float | Several | None = None,
        clip_value: float | Several | None = None,
        accumulate: int | Several = 1,
        ema: float | Several | None = None,
        lr_factors: dict[str, float] | None = None,
        decay_factors: dict[str, float] | None = None,
        frozen: Sequence[str] = (),
        penalty: Any = None,
        rows: Several | None = None,
        n: int | None = None,
        schedules: Mapping[str, str | Schedule] | None = None,
        drop_last: bool = False,
    ) -> None:
        found = networks(nets, n, seed)
        count = len(found)
        given = {
            "optimizer": optimizer,
            "batch_size": batch_size,
            "schedule": schedule,
            "clip_norm": clip_norm,
            "clip_value": clip_value,
            "accumulate": accumulate,
            "ema": ema,
        }
        shared = {
            "loss": loss,
            "lr_factors": lr_factors,
            "decay_factors": decay_factors,
            "frozen": frozen,
            "penalty": penalty,
            "schedules": schedules,
            "drop_last": drop_last,
        }
        made = trainers(found, {**given, "seed": seeds_of(seed, count)}, shared)
        self._set_up([Member(*one) for one in zip(made, row_lists(rows, count), strict=True)], threads)

    def _set_up(self, members: list[Member], threads: int | None) -> None:
        self._members = members
        for member in members:
            member.seats = members[0].seats
        self._turns, self._threads = Turns(team.chosen(threads)), threads
        for member in members:  # where there are fewer of them than threads, plans are cut for teams from the first
            member.trainer._threads = max(1, self.threads // len(members))
        self._lock = forks.lock("this pack", writes=True)
        self.units: Units | None = None  # in which an ensemble's metrics of numbers are taken
        self._selected: Ensemble | None = None

    @classmethod
    def _of(cls, members: list[Member], threads: int | None) -> Pack:
        """A pack of these members."""
        pack = cls.__new__(cls)
        pack._set_up(members, threads)
        return pack

    def __reduce__(self) -> Any:
        from fastbp.train.pack_files import pack_of, parts_of

        return pack_of, (parts_of(self), self._threads)

    def __copy__(self) -> Pack:
        return copy.deepcopy(self)

    def save(self, path: Any) -> None:
        """Write all members to one safetensors file, from which ``fb.load(path)`` goes on with the same bits.

        Histories are not written, and the number of threads is that of who loads it.
        """
        from fastbp.train.pack_files import save

        save(self, path)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OF_A_PACK and is_ours(self):
            raise refused("Pack", name, value)
        super().__setattr__(name, value)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        first = self._members[0].trainer
        return f"Pack(members={len(self)}, loss={first.loss!r}, threads={self.threads})"

    @property
    def threads(self) -> int:
        """The most threads, and the most members that are trained at the same moment."""
        return self._turns.threads

    @property
    def members(self) -> tuple[Network, ...]:
        """The networks that are trained."""
        return tuple(member.net for member in self._members)

    @property
    def evaluated(self) -> tuple[Network, ...]:
        """The networks used for validation and predictions: running averages with an `ema`, otherwise `members`."""
        return tuple(member.trainer.evaluated for member in self._members)

    @property
    def optimizers(self) -> tuple[Optimizer, ...]:
        """The optimiser of each member; one or a list of the same kinds with other settings may be assigned."""
        return tuple(member.trainer.optimizer for member in self._members)

    @optimizers.setter
    def optimizers(self, optimizers: Optimizer | Several) -> None:
        names, given = (of("optimizers", optimizers, len(self)) for of in (named, each))
        with self._lock:
            for member, name, one in zip(self._members, names, given, strict=True):
                with at(name):
                    member.trainer._check_kind(one)
            for member, one in zip(self._members, given, strict=True):
                member.trainer.optimizer = one

    @property
    def histories(self) -> list[History]:
        """Of each member, the history of the last `fit`, `run` or `step`: see `History.stopped` for why it ended."""
        return [member.history for member in self._members]

    @property
    def steps_done(self) -> list[int]:
        """Of each member, the optimiser steps so far."""
        return [member.trainer.steps_done for member in self._members]

    def _checked(self, X: Any, y: Any, sample_weight: Any, *, chosen: bool = True) -> Checked:
        """Rows and targets as kernels read them, for all members."""
        first = self._members[0].trainer
        x, t, top = first.net.checked(X, y, first._loss, sample_weight)
        self._check_codes(x)
        if chosen:
            within("rows", [member.rows for member in self._members], len(x))
        return x, t, top

    def _by_class(self, data: Checked, y: Any, given: Any) -> list[Checked]:
        """The same rows for each member, weighted by their classes: balanced among its own; a dict is that of all."""
        first, (x, _, top) = self._members[0].trainer, data
        lists = [member.rows if isinstance(given, str) else None for member in self._members]
        found = {
            key: (x, first.net._targets(y, len(x), first._loss, row_weights(given, y, own)), top)
            for key, own in {id(own): own for own in lists}.items()
        }
        return [found[id(own)] for own in lists]

    def _run(self, works: list[Work], callers: int = 0, online: Online | None = None) -> None:
        """Run what each member wants; warn the user's line of those that did not stay finite.

        `callers` are functions more than one between it and this one; with `online` works pause after their epochs.
        """
        guarded = [member.guarded(work) for member, work in zip(self._members, works, strict=True)]
        if online is None:
            self._turns.run(guarded)
        else:
            try:
                online.run(guarded, self._turns)
            finally:
                self._selected = online.ensemble
        lost = [(i, m.history.stopped) for i, m in enumerate(self._members) if m.diverged]
        if lost:
            more = f" (and {len(lost) - 1} more, see `histories`)" if len(lost) > 1 else ""
            first, why = lost[0]
            warnings.warn(f"`members[{first}]`{more} stopped: {why}", RuntimeWarning, stacklevel=3 + callers)

    def _losses(self) -> NDArray[np.float64]:
        """The last loss of each member, NaN where it did not stay finite."""
        return np.array([m.history.loss[-1] if m.history.loss and not m.diverged else np.nan for m in self._members])

    def run(self, X: Any, y: Any, steps: int, sample_weight: Any = None) -> NDArray[np.float64]:
        """Take `steps` steps with each member over shuffled batches; the next `run` continues in the same epochs.

        A member whose loss, gradients or update would not be finite stops alone, with a warning.

        Returns
        -------
        array, shape (members,)
            Each member's mean loss of its last epoch, which need not be complete; NaN for one that was stopped.
        """
        count = whole("steps", steps, 0)
        with self._lock:
            data = self._checked(X, y, sample_weight)
            self._run([member.run(data, count) for member in self._members])
            return self._losses()

    def step(self, X: Any, y: Any, sample_weight: Any = None) -> NDArray[np.float64]:
        """One optimiser step of each member on a batch of any number of rows, all of them; `rows` are not looked at.

        Returns
        -------
        array, shape (members,)
            Each member's loss before the step; NaN for one that was stopped.
        """
        with self._lock:
            data = self._checked(X, y, sample_weight, chosen=False)
            self._run([member.step(data) for member in self._members])
            return self._losses()

    @partial(known_words, hints=hint_of_pack)
    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int = 1,
        validation: tuple[Any, Any] | None = None,
        patience: int | Several | None = None,
        sample_weight: Any = None,
        validation_rows: Several | None = None,
        ensemble: Greedy | None = None,
    ) -> list[History]:
        """Train each member for `epochs` epochs over its shuffled rows.

        Parameters
        ----------
        X : array, shape (rows, inputs)
            May be read in place, so it must not change meanwhile; nor may y.
        y : array
            Targets for the loss.
        epochs : int, >= 0
        validation : (X, y) or (X, y, sample_weight), optional
            Rows for the loss of each member after each of its epochs.
        patience : int or list of int, optional
            A member whose validation loss (without validation, training loss) has not improved for so many epochs
            leaves, with the parameters of its best epoch: ``fb.EarlyStopping(patience)``. None in a list: it stays.
        sample_weight : array, shape (rows,), or "balanced", or dict of class to number, optional
            Weight of each row, as for `Trainer.fit`: "balanced" among the rows of each member.
        validation_rows : list of arrays of int, optional
            Instead of `validation`, rows of X and y for each member, such as those that `rows` leaves out.
        ensemble : Greedy, optional
            Choose an ensemble of epochs of members while they train, ``fb.Greedy()``: then it is `selected`.

        Returns
        -------
        list of History
            One for each member: `histories`.
        """
        count, size = whole("epochs", epochs, 0), len(self)
        by_class = of_classes(sample_weight)
        with self._lock:
            data = self._checked(X, y, None if by_class else sample_weight)
            own = self._by_class(data, y, sample_weight) if by_class else [data] * size
            held_out: list[Any] = [None] * size
            if validation is not None:
                if validation_rows is not None:
                    raise ConfigError("validation_rows", "must be left out where `validation` is given")
                held_out = [(self._validation(validation), None)] * size
            elif validation_rows is not None:
                chosen = row_lists(validation_rows, size, "validation_rows")
                within("validation_rows", chosen, len(data[0]))
                held_out = [(data, one) for one in chosen]
            monitor = "loss" if validation is None and validation_rows is None else "val_loss"
            hooks = [
                [] if one is None else [EarlyStopping(whole(name, one, 0), monitor=monitor)]
                for name, one in zip(named("patience", patience, size), each("patience", patience, size), strict=True)
            ]
            online = None if ensemble is None else self._online(ensemble, validation, held_out, hooks)
            pauses = online is not None
            works = [m.fit(own[i], count, held_out[i], hooks[i], pauses) for i, m in enumerate(self._members)]
            self._run(works, 1, online)
            return self.histories

    def _online(self, said: Any, validation: Any, held_out: list[Any], hooks: list[list[Any]]) -> Online:
        """What chooses an ensemble by the validation rows."""
        if not isinstance(said, Greedy):
            raise ConfigTypeError("ensemble", "must be `fb.Greedy(...)`", f"`{brief(said)}`")
        if validation is None:
            must = "needs `validation`, rows by which it is chosen, the same for all members"
            raise ConfigError("ensemble", must)
        (x, _, _), _ = held_out[0]
        y, weight = validation[1], validation[2] if len(validation) > 2 else None
        return Online(said, self._members, hooks, x, said.judge(self._members[0].trainer, y, weight, self.units))

    @property
    def selected(self) -> Ensemble:
        """The ensemble that the last ``fit(..., ensemble=fb.Greedy())`` chose."""
        if self._selected is None:
            raise ConfigError("`selected` needs a `fit` with `ensemble=fb.Greedy(...)` of an epoch at least")
        return self._selected

    def _validation(self, validation: Any) -> Checked:
        """Validation rows and targets as kernels read them."""
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            raise ConfigTypeError("validation", "must be (X, y) or (X, y, sample_weight)", f"`{brief(validation)}`")
        X, y, *rest = validation
        with fitting("validation"):
            return self._checked(X, y, rest[0] if rest else None, chosen=False)

    def copy_member(self, source: int, target: int) -> None:
        """Let one member go on with what another has learned.

        Parameters, running statistics and averages, moments and the count of steps are copied. The target keeps its
        settings, such as the learning rate, and its place among its rows.
        """
        one, other = (self._member(name, value) for name, value in (("source", source), ("target", target)))
        with self._lock:
            copied(one, other)

    def _member(self, where: str, value: Any) -> Member:
        number = whole_number(where, value)
        if not 0 <= number < len(self):
            raise ConfigError(where, f"must be at least 0 and below {len(self)}, the members", f"`{number}`")
        return self._members[number]
