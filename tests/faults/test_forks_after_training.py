"""A child of a process that trained on several threads works on one thread, to the same bits."""

import os

import pytest

from tests.faults.test_forks import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")

CODE = """
rng = np.random.default_rng(1)
X, y = rng.standard_normal((2048, 64)).astype("f4"), np.arange(2048) % 10
net = fb.mlp([64, 256, 256, 10], seed=2)
trainer = fb.Trainer(net, batch_size=256, threads=2)
trainer.fit(X, y, 2)
net.predict(X, threads=2)
pack = fb.Pack([fb.mlp([64, 64, 10], seed=s) for s in (0, 1)], batch_size=256, threads=2)
pack.fit(X, y, 2)
one = fb.Pack([fb.mlp([64, 512, 512, 10], seed=0)], batch_size=512, threads=2)
one.fit(X, y, 1)
wide = fb.mlp([784, 512, 256, 10], seed=0)
rows = rng.standard_normal((64, 784)).astype("f4")
wide.predict(rows)
calls = {
    "predict": lambda: net.predict(X[:3]).tobytes().hex(),
    "predict on one": lambda: net.predict(X, threads=1).tobytes(),
    "predict on two": lambda: net.predict(X, threads=2).tobytes(),
    "predict by columns": lambda: wide.predict(rows, threads=2).tobytes(),
    "step": lambda: trainer.step(X, y),
    "run": lambda: trainer.run(X, y, 300).loss,
    "fit": lambda: trainer.fit(X, y, 3).loss,
    "gradients": lambda: [g.tobytes() for g in net.loss_and_gradients(X, y)[1].values()],
    "jacobian": lambda: net.jacobian(X).tobytes(),
    "evaluate": lambda: net.evaluate(X, y),
    "pack": lambda: [h.loss for h in pack.fit(X, y, 2)],
    "pack of one": lambda: [h.loss for h in one.fit(X, y, 2)],
    "new": lambda: fb.Trainer(net, batch_size=256).fit(X, y, 1).loss,
}
def told(call):
    answer = str(call())
    after = answer, net.flat.tobytes(), trainer.steps_done
    return hashlib.sha256(repr(after).encode()).hexdigest()
for name, call in calls.items():
    child = in_a_child(lambda: told(call))
    print(name, child == told(call), child, sep=" | ")
"""


@pytest.mark.parametrize("team", ["auto", "all"])
def test_a_child_works_on_one_thread_to_the_same_bits(team):
    lines = [line.split(" | ") for line in run(CODE, FASTBP_TEAM=team, FASTBP_NUM_THREADS="2")]
    assert len(lines) == 13
    assert [(name, child) for name, right, child in lines if right != "True"] == []
    assert len({child for _, _, child in lines}) == 12  # predictions on one thread and on two are the same
