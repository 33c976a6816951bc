"""Which methods an estimator has: one that it cannot have says why instead of being there; names of targets."""

from __future__ import annotations

from typing import Any


def without_folds(estimator: Any) -> bool:
    """Whether an estimator can be trained in parts."""
    if estimator.n_cv is not None:
        raise AttributeError("`partial_fit` is not there with `n_cv`, as folds are of all rows")
    if isinstance(estimator.preset, str):
        from fastbp.config.presets import presets

        if estimator.preset in presets() and presets()[estimator.preset].pack:
            must = f"`partial_fit` is not there with the preset `{estimator.preset}`, of which an ensemble is kept"
            raise AttributeError(must)
    return True


def with_several(estimator: Any) -> bool:
    """Whether an estimator has several networks, or none yet."""
    if hasattr(estimator, "network_"):
        raise AttributeError("`spread` is that of several networks, of `n_ens=` or `n_cv=`, and there is one")
    return True


def column_named(values: Any, otherwise: str) -> str:
    """The name of a target."""
    name = getattr(values, "name", None)
    return name if isinstance(name, str) and name else otherwise
