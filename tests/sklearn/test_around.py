"""What scikit-learn builds around an estimator: pipelines, searches, ensembles, calibration, workers."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from fastbp.engine import threads
from fastbp.engine.threads import default_threads
from fastbp.sklearn import MLPClassifier, MLPRegressor
from fastbp.sklearn.threads import share

RNG = np.random.default_rng(4)
X = RNG.normal(size=(160, 5))
Y = np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 0).astype(int)]
FIVE = KFold(5, shuffle=True, random_state=0)


def small(**settings):
    return MLPClassifier(**{"hidden": (8,), "epochs": 30, "learning_rate": 1e-2, "random_state": 0, **settings})


@pytest.mark.parametrize(
    ("estimator", "load", "least"),
    [
        (MLPClassifier, load_digits, 0.97),
        (MLPClassifier, load_breast_cancer, 0.965),
        (MLPRegressor, load_diabetes, 0.45),
    ],
    ids=["digits", "breast cancer", "diabetes"],
)
def test_defaults_train_well(estimator, load, least):
    scores = cross_val_score(estimator(random_state=0), *load(return_X_y=True), cv=FIVE)
    assert scores.mean() > least


class Noted:
    """A callback that notes the threads of each trainer in a file, from whatever process."""

    def __init__(self, path):
        self.path = path

    def __call__(self, trainer, history):
        with open(self.path, "a") as file:
            file.write(f"{trainer.threads}\n")


def test_workers_of_a_search_take_one_thread_each(tmp_path):
    path = tmp_path / "threads.txt"
    search = GridSearchCV(
        small(epochs=3, callbacks=[Noted(path)]), {"dropout": [0.0, 0.1]}, cv=2, n_jobs=2, refit=False
    )
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        search.fit(X, Y)
    assert path.read_text().split() == ["1"] * 12
    assert search.best_score_ > 0.5


def test_worker_threads_take_one_thread_each_and_others_all_of_them(tmp_path):
    path = tmp_path / "threads.txt"
    with joblib.parallel_config(backend="threading"):
        cross_val_score(small(epochs=1, callbacks=[Noted(path)]), X, Y, cv=2, n_jobs=2)
    small(epochs=1, callbacks=[Noted(path)]).fit(X, Y)
    small(epochs=1, n_threads=1, callbacks=[Noted(path)]).fit(X, Y)
    assert path.read_text().split() == ["1", "1", str(default_threads()), "1"]


@pytest.mark.parametrize(
    ("told", "taken"), [("1", 1), ("2", 2), ("64", 3), ("0", 1), ("", 1), ("many", 1), (None, 1)], ids=str
)
def test_a_worker_takes_the_share_that_joblib_tells_it(told, taken, monkeypatch):
    monkeypatch.setattr(threads, "default_threads", lambda: 3)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("NUMBA_NUM_THREADS", told)
    assert joblib.Parallel(2, backend="threading")(joblib.delayed(share)(n) for n in (None, None, 3)) == [
        taken,
        taken,
        3,
    ]
    assert share(None) == 3


def test_a_search_finds_what_a_search_on_one_process_finds():
    grid = {"hidden": [(4,), (8, 8)], "learning_rate": [1e-3, 1e-2]}
    two, one = (GridSearchCV(small(), grid, cv=3, n_jobs=n).fit(X, Y) for n in (2, 1))
    assert two.cv_results_["mean_test_score"].tolist() == one.cv_results_["mean_test_score"].tolist()
    assert two.predict(X).tolist() == one.predict(X).tolist()
    assert two.best_params_["learning_rate"] == 1e-2
    assert two.score(X, Y) > 0.9


def test_halving_searches_pass_on_their_rows():
    rates = {"learning_rate": [1e-4, 1e-2]}
    found = HalvingGridSearchCV(small(), rates, factor=2, min_resources=40, cv=2, random_state=0).fit(X, Y)
    assert found.best_params_ == {"learning_rate": 1e-2}


def test_pipelines_calibration_votes_and_importances_work():
    piped = make_pipeline(MinMaxScaler(), small()).fit(X, Y, mlpclassifier__sample_weight=np.ones(160))
    assert piped.score(X, Y) > 0.9
    calibrated = CalibratedClassifierCV(small(), cv=2).fit(X, Y)
    assert np.allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
    voted = VotingClassifier([("a", small()), ("b", LogisticRegression())], voting="soft").fit(X, Y)
    assert voted.score(X, Y) > 0.9
    worth = permutation_importance(small().fit(X, Y), X, Y, random_state=0).importances_mean
    assert set(np.argsort(worth)[-2:]) == {0, 1}


def test_clones_copies_and_files_of_joblib_predict_the_same(tmp_path):
    found = small().fit(X, Y)
    joblib.dump(found, tmp_path / "m.joblib")
    for other in (copy.deepcopy(found), joblib.load(tmp_path / "m.joblib"), pickle.loads(pickle.dumps(found))):
        assert other.predict_proba(X).tobytes() == found.predict_proba(X).tobytes()
    fresh = clone(found)
    assert not hasattr(fresh, "network_")
    assert fresh.get_params() == found.get_params()
    assert fresh.fit(X, Y).predict_proba(X).tobytes() == found.predict_proba(X).tobytes()


def test_metadata_is_routed_to_a_fit():
    with sklearn.config_context(enable_metadata_routing=True):
        model = small().set_fit_request(sample_weight=True, X_val=True, y_val=True)
        piped = make_pipeline(MinMaxScaler(), model, transform_input=["X_val"])
        weight = np.ones(120)
        weight[:20] = 0.0
        piped.fit(X[:120], Y[:120], sample_weight=weight, X_val=X[120:], y_val=Y[120:])
        scaled = MinMaxScaler().fit(X[:120])
        alone = small().fit(scaled.transform(X[:120]), Y[:120], weight, X_val=scaled.transform(X[120:]), y_val=Y[120:])
        assert piped[-1].validation_loss_curve_ == alone.validation_loss_curve_


def test_verbose_prints_epochs(capsys):
    small(verbose=True, epochs=3, early_stopping=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert [word.split()[0] for word in lines[-1].split("  ")[1:]] == ["loss", "val_loss", "val_accuracy"]


def test_a_time_limit_ends_a_fit():
    found = small(epochs=10**6, time_limit=0.2).fit(X, Y)
    assert 1 <= found.n_iter_ < 10**6
