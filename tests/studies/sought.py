"""A configuration and a space that tests search, and what is to be the same each time."""

CONFIG = {
    "name": "tiny",
    "data": {"source": "blobs", "rows": 120, "noise": 2.0},
    "network": {"hidden": [8]},
    "trainer": {"epochs": 5, "metrics": ["accuracy"]},
}
SPACE = {
    "trainer.optimizer.lr": {"log": [1e-3, 1e-1]},
    "trainer.batch_size": [8, 16],
    "network.norm": [None, "layer_norm"],
    "network.dropout": {"uniform": [0, 0.5], "when": {"network.norm": "layer_norm"}},
}


def rows(study):
    return sorted((row.number, row.state, row.value, row.epochs, str(row.settings)) for row in study.rows)
