"""Estimators of scikit-learn, `MLPClassifier` and `MLPRegressor`, and `distill` (``pip install "fastbp[sklearn]"``).

They are a `Network`, a `Trainer` and the preprocessing of the command line behind scikit-learn's interface, and add no
arithmetic: a trainer on the same rows gives the same bits. Nothing else of fastbp imports scikit-learn. Importing this
takes little longer than scikit-learn itself: methods import what reads tables, and what trains, when they are called.
"""

from __future__ import annotations

from fastbp.errors import DependencyError

try:
    import sklearn  # noqa: F401
except ImportError:
    raise DependencyError(
        "`fastbp.sklearn` needs scikit-learn, which is not installed", hint='pip install "fastbp[sklearn]"'
    ) from None

from fastbp.sklearn.classifier import MLPClassifier
from fastbp.sklearn.distillation import distill
from fastbp.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "distill"]
