"""The presets of RealMLP beside the authors' program: losses of steps from the same tables, on the same batches, with
the same first parameters and masks of dropout.
"""

import csv
import logging
from types import SimpleNamespace

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.config.build import plan_of, trainer_of
from fastbp.config.presets.laid import laid
from fastbp.config.text import Text
from fastbp.runs.subject import subject_of

pytest.importorskip("pytabkit")
pandas = pytest.importorskip("pandas")
torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = 100
ROWS, TRAIN = 1500, 1300
PER_EPOCH = TRAIN // 256
TOTAL = 256 * PER_EPOCH
NUMBERS = ["a", "b", "c", "d", "e"]
CASES = [("realmlp-td-s", "classes"), ("realmlp-td-s", "numbers"), ("realmlp-td", "classes"), ("realmlp-td", "numbers")]


class Enough(Exception):
    """As many steps as are looked at."""


def table():
    """Numbers with a heavy tail and with a value that many rows share; two, three and twelve categories."""
    rng = np.random.default_rng(0)
    found = pandas.DataFrame(rng.normal(size=(ROWS, 5)).astype(np.float32), columns=NUMBERS)
    found["b"] = np.exp(found["b"])
    found.loc[rng.random(ROWS) < 0.8, "c"] = 0.25
    found["f"] = rng.choice(["u", "v"], ROWS, p=[0.3, 0.7])
    found["g"] = rng.choice(["x", "y", "z"], ROWS)
    found["h"] = [f"c{i:02d}" for i in rng.integers(0, 12, ROWS)]
    made = found["a"] * np.where(found["f"] == "u", 1.0, -1.0) + (found["g"] == "x") * found["b"]
    return found, (made + 0.3 * rng.normal(size=ROWS)).to_numpy(np.float32)


def theirs(preset, task, X, y, watch):
    """Their program, which calls `watch` before and after each step, and ends after STEPS of them."""
    import pytabkit
    from pytabkit.models.training.lightning_modules import TabNNModule

    logging.getLogger("lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    kind = {"classes": "Classifier", "numbers": "Regressor"}[task]
    model = getattr(pytabkit, {"realmlp-td": f"RealMLP_TD_{kind}", "realmlp-td-s": f"RealMLP_TD_S_{kind}"}[preset])
    step = TabNNModule.training_step

    def watched(module, batch, index):
        watch.before(module, batch)
        loss = step(module, batch, index)
        watch.after(float(loss))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TabNNModule, "training_step", watched)
        patch.setattr(torch.nn.functional, "dropout", watch.dropout)
        made = model(device="cpu", random_state=0, verbosity=0, n_threads=1)
        with pytest.raises(Enough):
            made.fit(X[:TRAIN], y[:TRAIN], X[TRAIN:], y[TRAIN:])


def ours(preset, task, X, y, path):
    """The preset for the same table, with schedules that know their end."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*X.columns, "target", "part"])
        for i, row in enumerate(zip(*(X[name] for name in X.columns), y, strict=True)):
            writer.writerow([*(repr(float(v)) if not isinstance(v, str) else v for v in row), PARTS[i >= TRAIN]])
    data = {"path": str(path), "target": "target", "task": task, "split": {"column": "part"}}
    down = {"name": "flat_cosine", "flat": 0.5, "steps": TOTAL}
    steps = {"schedule": {"name": "cos_log4", "steps": TOTAL}}
    steps |= {"schedules": {"dropout": down, "weight_decay": down}} if preset == "realmlp-td" else {}
    plan = plan_of(laid(Text({"preset": preset, "data": data, "trainer": {**steps, "threads": 1}})))
    subject = subject_of(plan)
    net = subject.network()
    return SimpleNamespace(subject=subject, net=net, trainer=trainer_of(plan, net, subject.loss))


PARTS = {False: "train", True: "validation"}


class Watch:
    """Hands the first parameters, the batches and the masks from one to the other, and notes both losses."""

    def __init__(self, own, first):
        self.own, self.losses, self.first = own, [], first
        self.train = own.subject.parts["train"]
        self.places = np.argsort(self.train.X[:, 0], kind="stable")
        self.dropped = [node for node in own.net.graph.nodes if node.layer.kind == "dropout"]

    def before(self, module, batch):
        if not self.losses:
            self._take(module)
        x = batch["x_cont"][0].numpy()
        self.rows = self._found(x[:, 0])
        self.turn = iter(self.dropped)

    def _found(self, x):
        """Which rows these are: those of these numbers in the first column, as it is or scaled."""
        for column in (self.train.X[:, 0], self.first):
            known = column[self.places]
            at = np.clip(np.searchsorted(known, x), 1, len(known) - 1)
            at -= np.abs(known[at - 1] - x) < np.abs(known[at] - x)
            if np.abs(known[at] - x).max() < 1e-5:
                break
        assert np.abs(known[at] - x).max() < 1e-5
        assert len(set(at.tolist())) == len(x) == 256
        return self.places[at]

    def _take(self, module):
        """Their first parameters become ours."""
        net, kinds = self.own.net, {}
        for node in net.graph.nodes:
            kinds.setdefault(node.layer.kind, []).append(node.name)
        layer, current = iter(kinds["linear"]), ""
        bends = iter(kinds.get("parametric", ()))
        waves = {"weight_1": "frequency", "bias_1": "phase", "weight_2": "weight", "bias_2": "bias"}
        given = set()
        for parameter in module.model.parameters():
            scope, value = str(parameter.context.scope).split("/"), parameter.detach().numpy()[0]
            if scope[-2] == "plr":
                name = f"{kinds['pbld'][0]}.{waves[scope[-1]]}"
            elif scope[-1] == "emb":
                name = next(name for name in net.parameters if name.startswith(f"{kinds['embedding'][0]}."))
            elif scope[-1] == "scale":
                name = f"{kinds['scale'][0]}.weight"
            elif scope[-1] == "act":
                name = f"{next(bends)}.weight"
            else:
                current = next(layer) if scope[-1] == "weight" else current
                name = f"{current}.{scope[-1]}"
            net.parameters[name] = value.reshape(net.parameters[name].shape)
            given.add(name)
        assert given == set(net.parameters)

    def dropout(self, x, p, training=True):
        if not training:
            return x
        node, step = next(self.turn), len(self.losses)
        kept = reference.dropout_mask(x.shape[1], x.shape[2], p, self.own.trainer.seed, step, node.index)
        return x * torch.from_numpy(kept).to(x.dtype) / (1.0 - p)

    def after(self, loss):
        own = self.own.trainer.step(self.train.X[self.rows], self.train.y[self.rows])
        self.losses.append((own, loss))
        if len(self.losses) == STEPS:
            raise Enough


@pytest.mark.parametrize(("preset", "task"), CASES)
def test_the_losses_of_a_hundred_steps_are_those_of_pytabkit(preset, task, tmp_path):
    X, y = table()
    y = (y > 0.5).astype(np.int64) if task == "classes" else y
    watch = Watch(ours(preset, task, X, y, tmp_path / "t.csv"), X["a"].to_numpy()[:TRAIN])
    theirs(preset, task, X, y, watch)
    own, other = np.array(watch.losses).T
    assert len(own) == STEPS
    assert abs(own[0] - own[-1]) > 0.1 * own[0]  # something has been learned
    np.testing.assert_allclose(own, other, rtol=2e-4)


def test_a_preset_of_ours_is_used(tmp_path):
    X, y = table()
    own = ours("realmlp-td", "numbers", X, y, tmp_path / "t.csv")
    kinds = [node.layer.kind for node in own.net.graph.nodes]
    assert kinds[:4] == ["embedding", "pbld", "scale", "linear"]
    assert isinstance(own.trainer.optimizer, fb.AdamW)
