"""What scikit-learn calls the arguments of its estimators, and what they are called here."""

from __future__ import annotations

WORDS = {
    "hidden_layer_sizes": "`hidden=`",
    "solver": "`optimizer=`",
    "alpha": "`weight_decay=`",
    "learning_rate_init": "`learning_rate=`",
    "lr": "`learning_rate=`",
    "max_iter": "`epochs=`",
    "n_iter_no_change": "`patience=`",
    "n_jobs": "`n_threads=`",
    "n_estimators": "`n_ens=`",
    "cv": "`n_cv=`",
    "seed": "`random_state=`",
    "validation_split": "`validation_fraction=`",
    "momentum": "`optimizer=fb.SGD(momentum=0.9)`",
    "nesterovs_momentum": "`optimizer=fb.SGD(momentum=0.9, nesterov=True)`",
    "beta_1": "`optimizer=fb.AdamW(betas=(0.9, 0.999))`",
    "beta_2": "`optimizer=fb.AdamW(betas=(0.9, 0.999))`",
    "epsilon": "`optimizer=fb.AdamW(eps=1e-8)`",
    "tol": "`callbacks=[fb.EarlyStopping(min_delta=1e-4)]`",
}  # of scikit-learn's estimators of the same names, its ensembles and others' estimators, and what is written here


def hint_of(word: str) -> str | None:
    """What an argument of scikit-learn's estimator is called here, as a hint."""
    return f"here this is {WORDS[word]}" if word in WORDS else None
