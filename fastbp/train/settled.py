"""Settings that stay as a trainer or a pack was made with: to assign one is refused, as it would change nothing."""

from __future__ import annotations

from typing import Any, TypeVar

from fastbp.errors import ConfigError, brief

Kind = TypeVar("Kind", bound=type)
STAY = (
    *("schedule", "schedules", "clip_norm", "clip_value", "accumulate", "ema", "lr_factors", "decay_factors"),
    *("frozen", "penalty", "drop_last"),
)
OF_A_PACK = {"lr", "optimizer", "loss", "batch_size", "seed", "rows", *STAY}
RATES = {
    "Trainer": "`trainer.optimizer = dataclasses.replace(trainer.optimizer, lr=1e-4)` keeps moments",
    "Pack": "`pack.optimizers = [fb.Adam(lr=lr) for lr in rates]` keeps moments",
}


def refused(kind: str, name: str, value: Any) -> ConfigError:
    """The error for a setting that somebody assigns."""
    if name in ("lr", "optimizer"):
        ours = "optimizers" if kind == "Pack" else "optimizer"
        return ConfigError(f"`{kind}.{name}` cannot be assigned, but `{ours}` can", hint=RATES[kind])
    must = f"must be given when the {kind.lower()} is made, and stays"
    return ConfigError(f"{kind}.{name}", must, f"`{brief(value)}`")


def is_ours(one: Any) -> bool:
    """Whether this is of no user's subclass, to which its attributes belong."""
    return type(one).__module__.partition(".")[0] == "fastbp"


class Settled:
    """A setting of a trainer; a subclass may have an attribute of its own by that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, trainer: Any, owner: type) -> Any:
        from fastbp.train.pickled import settings_of

        if trainer is None:
            return self
        if self.name in vars(trainer):
            return vars(trainer)[self.name]
        return trainer.optimizer.lr if self.name == "lr" else settings_of(trainer)[self.name]

    def __set__(self, trainer: Any, value: Any) -> None:
        if is_ours(trainer):
            raise refused("Trainer", self.name, value)
        vars(trainer)[self.name] = value


def settled(kind: Kind) -> Kind:
    """A class of trainers whose settings can be read, and not be assigned where that would change nothing."""
    for name in ("lr", *STAY):
        setattr(kind, name, Settled(name))
    return kind
