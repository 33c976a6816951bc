"""Scores on real tables: what `fastbp init` writes and presets train, beside other libraries, on the same rows.

    python -m bench tabular                                 every set, what init writes beside LightGBM
    python -m bench tabular adult house --seeds 5           some sets, seeds 0 to 4
    python -m bench tabular --models init,thorough@60s,catboost
    python -m bench tabular --models init,thorough --choose     scores validation rows, to choose by them
    python -m bench tabular --report                        also write the table of docs/accuracy.md
    python -m bench tabular --export                        write the tables as files and do no more

A model is `init`, for the file that `fastbp init` writes; a preset, for `fastbp init --preset NAME`; either with a time
limit behind an @; or a rival: `lightgbm`, `catboost`, `sklearn`, and with `--python` of an environment that has
pytabkit and PyTorch `pytabkit-realmlp` and `pytabkit-tabm`. `*1` behind a model trains it with one seed only.

Tables come out of packages of pip's index (`sets.py`), installed once, with the first three rivals, into an
environment of its own (`places.py`). Of the rows 70 % train, 15 % choose when to stop and 15 % are scored: drawn once,
by NumPy's generator with seed 0, so a seed is of networks and trees only. Rivals (`rivals.py`) have their defaults, and
stop by the same validation rows; presets with folds, and scikit-learn's network, take theirs out of both parts. What
was measured is kept beside the tables (`results.py`), ours as long as no file of the package changes, a rival's as long
as its version is the same.
"""
