"""Distillation: a network learns what a slow teacher says, and says it in microseconds (Hinton et al., 2015).

    t = (1 - h) p + h [y]    what a row is trained on: p what the teachers say of it on average, [y] what is true

Of rows that it was fitted to a teacher is surer than of others; a forest, or a learner in context, by far. So each
row is labelled by a teacher that was fitted without it: rows are divided into folds, and for each fold a copy of the
teacher is fitted to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_is_fitted, has_fit_parameter

from fastbp.errors import ConfigError, ConfigTypeError, DataError, brief
from fastbp.numerics.splits import split
from fastbp.sklearn.classifier import MLPClassifier
from fastbp.sklearn.perceptron import Perceptron
from fastbp.sklearn.regressor import MLPRegressor
from fastbp.sklearn.there import column_named
from fastbp.spec.elsewhere import known_words

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Array = NDArray[Any]
NEAR = 1e-3  # how far the sum of a row's probabilities may be from 1


@known_words
def distill(
    teacher: Any,
    X: Any,
    y: Any = None,
    student: Perceptron | None = None,
    *,
    folds: int | None = 5,
    hard: float = 0.0,
    groups: ArrayLike | None = None,
    sample_weight: Any = None,
    seed: int = 0,
) -> Any:
    """Train a network on what other estimators say of rows that they were not fitted to.

    Parameters
    ----------
    teacher : estimator, or a list of them
        Any of scikit-learn's interface, with `predict_proba` or `predict`: it is cloned for each fold. What several say
        is averaged.
    X : array or table
        As teachers and the student take it: categories and missing values, too.
    y : array, shape (rows,), or (rows, outputs) of numbers
    student : MLPClassifier or MLPRegressor, optional
        Its settings; by default two hidden layers of 256. It is cloned, and stays as it is.
    folds : int >= 2, or None
        Each row is labelled by a teacher that was fitted to the rows of the other folds; where rows have classes, folds
        have the same shares of each. None: teachers are fitted already, and label rows as they are. They must not have
        been fitted to these rows, of which they would be too sure; `y` may then be left out.
    hard : float, 0 <= hard <= 1
        The share of y itself in what is trained on.
    groups : array, shape (rows,), optional
        Rows of one group are in one fold.
    sample_weight : array, shape (rows,), optional
        For teachers and student.
    seed : int
        Of the folds, and of the student where it has no `random_state`.

    Returns
    -------
    MLPClassifier or MLPRegressor
        Fitted. Its `teacher_predictions_` are what the teachers say of each row: probabilities of `classes_`, or
        numbers.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> import fastbp as fb
    >>> X, y = fb.data.digits("train")
    >>> student = fb.distill(RandomForestClassifier(random_state=0), X, y)
    >>> student.teacher_predictions_.shape, student.score(*fb.data.digits("test")) > 0.95
    ((1197, 10), True)
    """
    teachers = _listed(teacher)
    share = _share(hard)
    rows = _num_samples(X)
    alike = {_tells_classes(one) for one in teachers}
    if len(alike) > 1:
        raise ConfigError("teacher", "must all tell classes apart, or all predict numbers", "both")
    classes = alike.pop()
    made = _student(student, classes, seed)
    if groups is not None and folds is None:
        raise ConfigError("groups", "must be None where `folds` is None")
    truth = _truth(y, rows, folds, share)
    names = None
    if classes:
        known = [_classes(one) for one in teachers] if truth is None else [truth]
        names = np.unique(np.concatenate(known))
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight is not None and weight.shape != (rows,):
        raise DataError("sample_weight", f"must have shape `({rows},)`", f"`{weight.shape}`")
    said = [_labels(one, X, truth, names, folds, groups, weight, seed, rows) for one in teachers]
    found = np.mean(said, axis=0) if len(said) > 1 else said[0]
    if names is None:
        goal = found if truth is None or share == 0.0 else (1.0 - share) * found + share * truth.reshape(found.shape)
        made.fit(X, goal, sample_weight)
        if goal.ndim == 1:
            made.recipe_.outputs.columns = made.recipe_.outputs.names = [column_named(y, "target")]
    else:
        likely = names[found.argmax(axis=1)] if truth is None else y
        goal = found
        if truth is not None:
            goal = (1.0 - share) * found + share * (truth[:, None] == names)
        made._fit_soft(X, likely, names, goal, sample_weight)
    made.teacher_predictions_ = found
    return made


def _listed(teacher: Any) -> list[Any]:
    found = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    if not found:
        raise ConfigError("teacher", "must have at least one estimator", "none")
    for one in found:
        if isinstance(one, type) or not hasattr(one, "fit") or not hasattr(one, "predict"):
            raise ConfigTypeError("teacher", "must be an estimator with `fit` and `predict`", f"`{brief(one)}`")
    return found


def _tells_classes(teacher: Any) -> bool:
    return bool(is_classifier(teacher)) or hasattr(teacher, "predict_proba")


def _share(hard: Any) -> float:
    from fastbp.spec.checks import real

    found = real("hard", hard)
    if not 0.0 <= found <= 1.0:
        raise ConfigError("hard", "must be at least 0 and at most 1", f"`{found}`")
    return found


def _student(student: Any, classes: bool, seed: int) -> Any:
    kind = MLPClassifier if classes else MLPRegressor
    if student is None:
        return kind(hidden=(256, 256), random_state=seed)
    if not isinstance(student, kind):
        what = "tells classes apart" if classes else "predicts numbers"
        got = type(student).__name__
        raise ConfigTypeError("student", f"must be an `{kind.__name__}`, as the teacher {what}", f"`{got}`")
    made = clone(student)
    return made if made.random_state is not None else made.set_params(random_state=seed)


def _truth(y: Any, rows: int, folds: int | None, share: float) -> Array | None:
    """What is true, as an array; None where nobody has to know."""
    if y is None:
        if folds is not None:
            raise DataError("y", "must be given where teachers are fitted on `folds`", "`None`")
        if share:
            raise ConfigError("hard", "must be 0 where there is no `y`", f"`{share}`")
        return None
    found = np.asarray(y)
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if len(found) != rows:
        raise DataError("y", f"must have the {rows} rows of X", f"`{len(found)}`")
    return found


def _classes(teacher: Any) -> Array:
    _fitted(teacher)
    return np.asarray(teacher.classes_)


def _fitted(teacher: Any) -> None:
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        got = f"`{type(teacher).__name__}`, which is not"
        hint = "`folds=5` has it fitted to the rows of other folds"
        raise ConfigError("teacher", "must be fitted where `folds` is None", got, hint) from None


def _labels(
    teacher: Any,
    X: Any,
    y: Array | None,
    names: Array | None,
    folds: Any,
    groups: Any,
    weight: Array | None,
    seed: int,
    rows: int,
) -> Array:
    """What a teacher says of each row."""
    if folds is None:
        _fitted(teacher)
        return _said(teacher, X, names, rows)
    assert y is not None
    if names is not None and y.ndim != 1:
        raise DataError("y", "must be one class a row to be distilled", f"shape `{y.shape}`")
    if weight is not None and not has_fit_parameter(teacher, "sample_weight"):
        got = f"`{type(teacher).__name__}`"
        raise ConfigError("sample_weight", "must be left out with a teacher whose `fit` does not take it", got)
    found: Array | None = None
    for others, fold in _folds(folds, rows, seed, y if names is not None else None, groups):
        made = clone(teacher)
        weights = {} if weight is None else {"sample_weight": weight[others]}
        made.fit(_safe_indexing(X, others), y[others], **weights)
        said = _said(made, _safe_indexing(X, fold), names, len(fold))
        found = np.empty((rows, *said.shape[1:])) if found is None else found
        found[fold] = said
    assert found is not None
    return found


def _folds(folds: Any, rows: int, seed: int, classes: Array | None, groups: Any) -> Sequence[tuple[Array, Array]]:
    """For each fold the other rows, and its own."""
    from fastbp.spec.checks import seed_of, whole

    count, seed = whole("folds", folds, 2), seed_of(seed)
    of = None if groups is None else np.asarray(groups)
    if of is not None and of.shape != (rows,):
        raise DataError("groups", f"must have shape `({rows},)`", f"`{of.shape}`")
    most, what = (rows, "rows") if of is None else (len(np.unique(of)), "groups")
    if count > most:
        raise ConfigError("folds", f"must be at most {most}, the number of {what}", f"`{count}`")
    codes = None if classes is None else np.unique(classes, return_inverse=True)[1]
    found = [split(rows, seed, 0.0, 0.0, classes=codes, groups=of, folds=count, fold=k) for k in range(count)]
    return [(part["train"], part["validation"]) for part in found]


def _said(teacher: Any, X: Any, names: Array | None, rows: int) -> Array:
    """Probabilities of these classes, or numbers, checked."""
    kind = type(teacher).__name__
    if names is None:
        numbers = np.asarray(teacher.predict(X), np.float64)
        if len(numbers) != rows or not np.isfinite(numbers).all():
            raise DataError("teacher", f"must predict finite numbers for each of {rows} rows", f"others of `{kind}`")
        return numbers
    if not hasattr(teacher, "predict_proba"):
        return np.asarray((np.asarray(teacher.predict(X))[:, None] == names).astype(np.float64))
    known = np.asarray(teacher.classes_)
    p = np.asarray(teacher.predict_proba(X), np.float64)
    good = p.shape == (rows, len(known)) and np.isfinite(p).all() and (p >= 0.0).all()
    if not good or (np.abs(p.sum(axis=1) - 1.0) > NEAR).any():
        raise DataError("teacher", "must predict probabilities whose sum is 1", f"others of `{kind}`")
    place = np.minimum(np.searchsorted(names, known), len(names) - 1)
    if (names[place] != known).any():
        raise DataError("teacher", "must know no classes but those of `y`", f"`{known[names[place] != known][0]}`")
    found = np.zeros((rows, len(names)))
    found[:, place] = p / p.sum(axis=1, keepdims=True)
    return found
