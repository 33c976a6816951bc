"""Fits whose rows stay in files."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.errors import ConfigError
from fastbp.model.feed import Feed
from fastbp.spec.windows import Source, Windows
from fastbp.train.class_weights import of_classes


def fed(trainer: Any, X: Windows, y: Any, sample_weight: Any) -> Feed:
    """What a trainer reads of rows that stay in files."""
    if not isinstance(sample_weight, Source) and of_classes(sample_weight):
        raise ConfigError("sample_weight", "must be an array where X is `Windows`", f"`{sample_weight}`")
    unit = min(trainer.batch_size, len(X)) * trainer._update.accumulate
    return Feed(trainer.net, trainer._loss, X, y, sample_weight, unit, trainer.seed)


def apart(validation: Any) -> Any:
    """The validation rows of such a fit, which are rows of their own."""
    if isinstance(validation, float | int | np.floating) and not isinstance(validation, bool):
        raise ConfigError("validation", "must be rows of their own where X is `Windows`", f"`{validation}`")
    return validation
