"""The callbacks of scikit-learn 1.9: a fit is a task, and each epoch one of its subtasks."""

import numpy as np
import pytest

pytest.importorskip("sklearn.callback")

from sklearn.callback import ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp as fb
from fastbp.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(4)
X = RNG.normal(size=(100, 4))
Y = (X[:, 0] > 0).astype(int)
KW = {"hidden": (8,), "epochs": 5, "random_state": 0}


class Told:
    """Notes every hook that is called, without asking for the estimator."""

    def __init__(self, last=None):
        self.calls, self.last = [], last

    def setup(self, estimator, context):
        self.calls.append("setup")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context):
        self.calls.append(f"end {context.task_name} {context.task_id}")
        return context.task_name == "epoch" and context.task_id == self.last

    def teardown(self, estimator, context):
        self.calls.append("teardown")


class Fitted(Told):
    """Asks for the estimator as it is at the end of each task."""

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.calls.append((context.task_name, fitted_estimator, fitted_estimator.score(X, y), metadata))


def epochs(*numbers):
    return [f"{moment} epoch {i}" for i in numbers for moment in ("begin", "end")]


def test_every_epoch_is_a_subtask_of_the_fit():
    told = Told()
    MLPClassifier(**KW).set_callbacks(told).fit(X, Y)
    assert told.calls == ["setup", "begin fit 0", *epochs(0, 1, 2, 3, 4), "end fit 0", "teardown"]


def test_a_callback_stops_a_fit():
    told = Told(last=1)
    found = MLPClassifier(**KW).set_callbacks(told).fit(X, Y)
    assert told.calls == ["setup", "begin fit 0", *epochs(0, 1), "end fit 0", "teardown"]
    assert found.n_iter_ == 2


def test_a_fit_that_fails_is_torn_down():
    told = Told()
    model = MLPClassifier(**KW, callbacks=[lambda trainer, history: 1 / 0]).set_callbacks(told)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y)
    assert told.calls[-1] == "teardown"


def test_the_estimator_of_an_epoch_is_a_copy_that_stays_as_it_was():
    told = Fitted()
    weight = np.ones(100)
    model = MLPClassifier(**KW).set_callbacks(told).fit(X, Y, sample_weight=weight)
    tasks = [call for call in told.calls if isinstance(call, tuple)]
    assert [name for name, *_ in tasks] == ["epoch"] * 5 + ["fit"]
    for i, (_, copy, score, metadata) in enumerate(tasks):
        assert copy.score(X, Y) == score
        shorter = MLPClassifier(**{**KW, "epochs": min(i + 1, 5)}).fit(X, Y)
        assert copy.coefs_[0].tobytes() == shorter.coefs_[0].tobytes()
        assert metadata["sample_weight"] is weight
    assert tasks[-1][1].coefs_[0].tobytes() == model.coefs_[0].tobytes()


def test_a_callback_that_does_not_score_copies_no_network(monkeypatch):
    monkeypatch.setattr(fb.Network, "__reduce__", lambda net: 1 / 0)
    MLPClassifier(**KW).set_callbacks(Told()).fit(X, Y)
    with pytest.raises(ZeroDivisionError):
        MLPClassifier(**KW).set_callbacks(Fitted()).fit(X, Y)


def test_the_monitor_of_scikit_learn_scores_every_epoch():
    monitor = ScoringMonitor(scoring="r2")
    model = MLPRegressor(**KW).set_callbacks(monitor).fit(X, X[:, 1])
    rows = monitor.get_logs().data
    scores = [row["r2"] for row in rows if row["task_name"] == "epoch"]
    assert len(scores) == 5
    assert scores[-1] == model.score(X, X[:, 1]) > scores[0]


def test_callbacks_come_through_pipelines_and_searches():
    told = Told()
    told.max_propagation_depth = None
    search = GridSearchCV(make_pipeline(StandardScaler(), MLPClassifier(**KW)), {"mlpclassifier__dropout": [0.0]}, cv=2)
    search.set_callbacks(told).fit(X, Y)
    assert told.calls.count("end epoch 4") == 3
    assert told.calls.count("setup") == told.calls.count("teardown") == 1


def test_both_kinds_of_callbacks_run_in_one_fit():
    seen, told = [], Told()
    model = MLPClassifier(**KW, callbacks=[lambda trainer, history: seen.append(history.loss[-1])], early_stopping=True)
    model.set_callbacks(told).fit(X, Y)
    assert seen == model.loss_curve_
    assert len([call for call in told.calls if call.startswith("end epoch")]) == len(seen)
    assert isinstance(model.network_, fb.Network)
