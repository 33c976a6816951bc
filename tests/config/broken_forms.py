"""What broken configurations are made from, and the names that messages list."""

from __future__ import annotations

from collections.abc import Iterable

from fastbp.config.wiring import layer_table
from fastbp.spec.catalogue import ACTIVATIONS as ACTIVATION_TABLE
from fastbp.spec.catalogue import LOSSES as LOSS_TABLE
from fastbp.train.catalogue import OPTIMIZERS as OPTIMIZER_TABLE


def listed(names: Iterable[str]) -> str:
    """Names as a message has them."""
    return ", ".join(f"`{name}`" for name in names)


DIGITS = "data: {source: digits}\n"

ACTIVATIONS, LAYERS, LOSSES = listed(ACTIVATION_TABLE), listed(layer_table()), listed(LOSS_TABLE)
OPTIMIZERS = listed([*OPTIMIZER_TABLE, "lbfgs"])
INITIALISERS = (
    "`torch`, `he_normal`, `he_uniform`, `glorot_normal`, `glorot_uniform`, `lecun_normal`, "
    "`lecun_uniform`, `normal`, `uniform`, `truncated_normal`, `truncated_normal_3`, `orthogonal`, `signs`, `zeros`, "
    "`ones`, `constant`"
)
SCHEDULES = (
    "`constant`, `step`, `multi_step`, `exponential`, `polynomial`, `cosine`, `cosine_restarts`, "
    "`one_cycle`, `cos_log4`, `flat_cosine`"
)
METRICS = (
    "`accuracy`, `top_k`, `balanced_accuracy`, `f1_macro`, `f1_micro`, `f1_weighted`, `precision`, "
    "`recall`, `log_loss`, `roc_auc`, `average_precision`, `brier`, `calibration_error`, `calibrated_log_loss`, "
    "`r2`, `mse`, `rmse`, `mae`, `mape`, `explained_variance`, `median_error`"
)
SOURCES = "`blobs`, `digits`, `files`, `friedman`, `moons`, `spirals`"


def indented(body: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in body.split("\n"))


def data(body: str) -> str:
    return "data:\n" + indented(body, 2)


def split(body: str) -> str:
    return "data:\n  source: digits\n  split:\n" + indented(body, 4)


def network(body: str) -> str:
    return DIGITS + "network:\n" + indented(body, 2)


def layers(*bodies: str) -> str:
    return network("layers:\n" + "\n".join("  - " + body for body in bodies))


def trainer(body: str) -> str:
    return DIGITS + "trainer:\n" + indented(body, 2)


def optimizer(settings: str) -> str:
    return trainer("optimizer: {" + settings + "}")


def loss(settings: str) -> str:
    return trainer("loss: {" + settings + "}")


def schedule(settings: str) -> str:
    return trainer("schedule: {" + settings + "}")
