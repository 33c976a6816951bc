"""Every check that scikit-learn has of estimators, none of them expected to fail."""

import inspect
import re

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import estimator_checks_generator

from fastbp.sklearn import MLPClassifier, MLPRegressor

SETTINGS = [
    {},
    {"hidden": (16, 16), "activation": "tanh", "norm": "layer_norm", "residual": True, "epochs": 60},
    {
        "hidden": [{"name": "linear", "features": 16}, "relu"],
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "epochs": 60,
        "dtype": "float64",
        "missing": "refuse",
    },
    {"n_ens": 2},
    {"n_cv": 3},
    {"n_cv": 3, "n_ens": 2, "early_stopping": True},
    {"preset": "plain"},
]
FEWEST = {MLPClassifier: 64, MLPRegressor: 57}  # checks of scikit-learn 1.7; 1.9 has two more


def name_of(check):
    check = getattr(check, "func", check)
    return getattr(check, "__name__", "check")


def cases():
    """As `parametrize_with_checks`, which hands pytest 9 a generator in scikit-learn 1.7."""
    for made in FEWEST:
        for i, settings in enumerate(SETTINGS):
            for estimator, check in estimator_checks_generator(made(**settings)):
                yield pytest.param(estimator, check, id=f"{made.__name__}-{i}-{name_of(check)}")


@pytest.mark.parametrize(("estimator", "check"), list(cases()))
def test_scikit_learn_finds_no_fault(estimator, check):
    check(estimator)


def said_of(made):
    """What a class says of its parameters, by name, those that stand together each."""
    text = re.search(r"Parameters\n-+\n(.*?)\n\n", inspect.getdoc(made), re.DOTALL)[1]
    entries = re.findall(r"^(\S.*?) : (.*(?:\n .*)*)", text, re.MULTILINE)
    return {name: entry for names, entry in entries for name in names.split(", ")}


def test_both_say_the_same_of_parameters_that_both_have():
    said = {made: said_of(made) for made in FEWEST}
    taken = {made: inspect.signature(made).parameters for made in FEWEST}
    for made in FEWEST:
        assert sorted(said[made]) == sorted(taken[made])
    shared = [name for name in taken[MLPClassifier] if name in taken[MLPRegressor]]
    assert len(shared) > 25
    assert shared == [name for name in taken[MLPRegressor] if name in taken[MLPClassifier]]
    for name in shared:
        assert said[MLPClassifier][name] == said[MLPRegressor][name], name
        assert str(taken[MLPClassifier][name]) == str(taken[MLPRegressor][name])


@pytest.mark.parametrize("made", FEWEST)
def test_all_checks_are_made_of_both(made):
    names = [name_of(check) for _, check in estimator_checks_generator(made())]
    assert len(names) >= FEWEST[made]
    wanted = {"check_sample_weight_equivalence_on_dense_data", "check_estimators_pickle", "check_fit_idempotent"}
    assert wanted <= set(names)
